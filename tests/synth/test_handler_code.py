"""The Lambda asset holds `handlers/` and nothing else."""

from pathlib import Path

import pytest

from infra.constructs.handler_code import HANDLERS, stage_handlers
from infra.constructs.staging import Staging
from tests.synth.conftest import Served, Synth, Template, entry


def test_it_holds_every_handler_module_and_nothing_else(tmp_path: Path):
    staged = tmp_path / stage_handlers(Staging(tmp_path)).path
    names = {path.relative_to(staged).as_posix() for path in staged.rglob("*") if path.is_file()}
    assert names == {f"handlers/{path.relative_to(HANDLERS).as_posix()}" for path in HANDLERS.rglob("*.py")}
    assert [path.name for path in staged.iterdir()] == ["handlers"]


def test_it_has_the_same_digest_wherever_it_is_staged(tmp_path: Path):
    assert stage_handlers(Staging(tmp_path / "a")).digest == stage_handlers(Staging(tmp_path / "b")).digest


def test_other_code_has_another_digest(tmp_path: Path):
    source = tmp_path / "handlers"
    source.mkdir()
    (source / "start.py").write_text("one")
    before = stage_handlers(Staging(tmp_path / "out"), source)
    (source / "start.py").write_text("two")
    assert stage_handlers(Staging(tmp_path / "out"), source).digest != before.digest


def test_two_synths_at_once_do_not_disturb_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    staging = Staging(tmp_path)
    first = stage_handlers(staging)
    monkeypatch.setattr(Path, "exists", lambda self: False)  # the other synth finished in between
    assert stage_handlers(staging) == first
    assert [path.name for path in (tmp_path / "staging").iterdir()] == [first.digest[:32]]


def test_every_function_of_every_stack_runs_it(synth: Synth, served: Served, platform: Template):
    (digest,) = {
        name
        for part in ("churn", "platform")
        for name, file in synth(entry()).assets(part).items()
        if file["source"]["packaging"] == "zip"
    }
    for template in (served("hybrid"), platform):
        for function in template.properties("AWS::Lambda::Function"):
            assert function["Code"]["S3Key"] == f"{digest}.zip"


def test_every_function_names_a_handler_that_exists(precompute: Template, platform: Template):
    import importlib

    for template in (precompute, platform):
        for function in template.properties("AWS::Lambda::Function"):
            module, name = function["Handler"].rsplit(".", 1)
            assert callable(getattr(importlib.import_module(module), name))
