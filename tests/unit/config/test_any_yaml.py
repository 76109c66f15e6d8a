"""Whatever stands in the file: a Config comes out, or a ConfigError with something in it."""

import json
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from turnout.config import ConfigError, load
from turnout.config.json_schema import json_schema

WORKSPACE = Path(__file__).parent / "workspace"
SETTINGS = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def _words() -> list[str]:
    """Return every key and word that the schema knows, so that generated files reach deep into the checks."""
    found: set[str] = {"churn", "typed", "broken", "1h", "rate(1 day)", "cron(0 6 * * ? *)", "on-new-data"}

    def walk(schema):
        if isinstance(schema, dict):
            found.update(schema.get("properties", {}))
            found.update(value for value in schema.get("enum", [])[:8] if isinstance(value, str))
            for value in schema.values():
                walk(value)

    walk(json_schema())
    return sorted(found)


WORDS = st.sampled_from(_words())
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), WORDS, st.text(max_size=20), st.just("9" * 5000)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.one_of(WORDS, st.text(max_size=5)), inner, max_size=6)
    ),
    max_leaves=30,
)


def check(text: str, path: Path) -> None:
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        loaded = load(path, root=WORKSPACE)
    except ConfigError as refused:
        loaded = refused
    if isinstance(loaded, ConfigError):
        assert loaded.problems
        assert all(problem.line >= 1 and problem.reason and problem.remedy for problem in loaded.problems)
        assert str(loaded)
    else:
        assert loaded.models


@SETTINGS
@given(text=st.text(alphabet=st.characters(codec=None), max_size=200))
@example(text='models: {churn: {code: "\\0"}}')
@example(text="models: {? : 1}")
@example(text="models: {churn: {mode: batch, code: " + "x" * 300 + "}}")
def test_any_text(text, tmp_path):
    check(text, tmp_path / "models.yaml")


@SETTINGS
@given(
    text=st.lists(st.sampled_from([*":-?[]{}&*!|>'\"%@#, \n", "a: ", "\n  ", "&a ", "*a", "<<: ", "- "])).map("".join)
)
def test_any_punctuation(text, tmp_path):
    check("models:\n" + text, tmp_path / "models.yaml")


@SETTINGS
@given(entry=st.dictionaries(WORDS, VALUES, max_size=8), platform=VALUES)
def test_any_settings(entry, platform, tmp_path):
    document = {"models": {"churn": {"mode": "batch", "schedule": "rate(1 day)", **entry}}, "platform": platform}
    check(json.dumps(document), tmp_path / "models.yaml")


@SETTINGS
@given(document=VALUES)
def test_any_document(document, tmp_path):
    check(yaml.safe_dump(document, allow_unicode=True), tmp_path / "models.yaml")


@pytest.mark.parametrize("key", ["cron", "rate", "at", "timezone", "marker"])
@SETTINGS
@given(
    value=st.one_of(
        st.text(max_size=60), st.from_regex(r"[0-9*?,/LW#-]{1,8}( [0-9*?,/LW#A-Z-]{1,8}){5}", fullmatch=True)
    )
)
def test_any_schedule(key, value, tmp_path):
    entry = {"mode": "batch", "schedule": {"rate": "1 day", key: value}}
    check(json.dumps({"models": {"churn": entry}}), tmp_path / "models.yaml")
