"""The reference and the JSON Schema are derived from the specs, and say the same as the loader."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from turnout.config.document import parse
from turnout.config.generate import DOCS, generated, main
from turnout.config.shape import inner, members
from turnout.config.specs import Config, ModelSpec, SchemaSpec, Strict

HERE = Path(__file__).parent
ROOT = HERE.parents[2]

#: Invalid files whose fault no JSON Schema can see: it takes more than one value, or the file system, to tell.
ONLY_THE_LOADER_CAN_TELL = {
    "at_with_zone",
    "code_folder",
    "columns_of_results",
    "cron_fields",
    "cron_of_unix",
    "cron_two_days",
    "environment",
    "images",
    "kept_scores",
    "no_columns",
    "parquet",
    "rows",
    "schema_file",
    "tags",
    "xgboost_body",
}
NOT_EVEN_YAML = {"syntax", "yaml_oddities", "duplicate_key"}


@pytest.fixture(scope="module")
def schema():
    text = json.loads((DOCS / "models.schema.json").read_text())
    Draft202012Validator.check_schema(text)
    return Draft202012Validator(text)


@pytest.mark.parametrize("name", ["configuration.md", "models.schema.json"])
def test_the_committed_file_is_current(name):
    assert (DOCS / name).read_text() == generated()[name], "run python -m turnout.config.generate"


def test_the_generator_writes_every_file(tmp_path, monkeypatch):
    monkeypatch.setattr("turnout.config.generate.DOCS", tmp_path)
    main([])
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == generated()


@pytest.mark.parametrize("path", sorted((HERE / "valid").glob("*.yaml")), ids=lambda path: path.stem)
def test_what_the_loader_accepts_the_schema_accepts(path, schema, read):
    assert read(path.read_text()).models
    document, _ = parse(path.read_text(), path.name)
    assert [error.message for error in schema.iter_errors(document.plain())] == []


@pytest.mark.parametrize("path", sorted((HERE / "invalid").glob("*.yaml")), ids=lambda path: path.stem)
def test_what_the_schema_can_see_it_refuses(path, schema):
    document, problems = parse(path.read_text(), path.name)
    assert bool(problems) is (path.stem in NOT_EVEN_YAML)
    if document is not None and not problems:
        assert schema.is_valid(document.plain()) is (path.stem in ONLY_THE_LOADER_CAN_TELL)


def test_the_repositorys_own_file_names_the_schema_and_passes_it(schema):
    text = (ROOT / "models.yaml").read_text()
    assert text.splitlines()[0] == "# yaml-language-server: $schema=docs/models.schema.json"
    assert schema.is_valid(parse(text, "models.yaml")[0].plain())


def test_examples_in_the_reference_load(read, workspace):
    examples = re.findall(r"```yaml\n(.*?)```", (DOCS / "configuration.md").read_text(), re.DOTALL)
    assert len(examples) == 3
    for text in examples:
        if text.startswith("models:"):
            assert read(text).models
        else:
            (workspace / "model_code/churn/schema.yaml").write_text(text)
            spec = read("models: {churn: {mode: batch, schedule: rate(1 day)}}").models["churn"]
            assert spec.output.prediction == "churn_probability"


def sections(section=Config):
    """Return every section that a file may hold."""
    found = {section}
    for field in section.model_fields.values():
        for kind in (inner(field.annotation), *getattr(inner(field.annotation), "__args__", ())):
            if isinstance(inner(kind), type) and issubclass(inner(kind), Strict):
                found |= sections(inner(kind))
    return found


def test_every_key_has_a_meaning_and_stands_in_the_reference():
    page = (DOCS / "configuration.md").read_text()
    known = (sections() | {SchemaSpec}) - {Config}
    assert len(known) == 19
    for section in known:
        for name, field in members(section).items():
            assert field.description, f"{section.__name__}.{name} has no description"
            if (section, name) != (ModelSpec, "name"):
                assert re.search(
                    rf"^\| `{name}` \| .*{re.escape(field.description[:40].replace('|', ''))}", page, re.MULTILINE
                )


def test_the_loader_needs_neither_the_cloud_nor_the_sdks():
    heavy = ("boto3", "botocore", "aws_cdk", "sagemaker")
    code = f"import sys, turnout.config; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
