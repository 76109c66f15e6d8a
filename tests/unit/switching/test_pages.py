"""docs/modes.md is held to the tables that it is written from."""

import json
import re
from pathlib import Path

import pytest

from handlers.contract import metrics
from handlers.contract.modes import AVAILABLE, ServingMode
from handlers.contract.payloads import words
from turnout import cost, prices
from turnout.config import STAGES
from turnout.config.capabilities import FAMILIES, MAX_SERVERLESS_ENDPOINTS, SERVERLESS_POOL
from turnout.config.shape import inner, members
from turnout.config.specs import ModelSpec

PAGE = (Path(__file__).resolve().parents[3] / "docs/modes.md").read_text()
SPEC = ModelSpec.model_validate(
    {"name": "m", "mode": "batch", "schedule": "rate(1 day)", "key": "id", "features": ["a"]}
)


def row(start):
    (line,) = re.findall(rf"^\| {re.escape(start)} \|(.*)\|$", PAGE, re.MULTILINE)
    return [cell.strip() for cell in line.split("|")]


@pytest.mark.parametrize("mode", sorted(AVAILABLE))
def test_every_mode_has_its_row_with_what_it_costs(mode):
    usd = cost.bill(ServingMode(mode), SPEC, STAGES["dev"], cost.workload_of(SPEC), prices.load()).monthly
    most = float(re.findall(r"\$([0-9.]+)", row(f"`{mode}`")[-1])[-1])
    assert most == pytest.approx(usd, rel=0.02), "the page rounds, and no more"


def test_limits_are_those_of_the_capability_table():
    families = [FAMILIES[name] for name in ("transform", "realtime", "serverless", "async")]
    assert row("largest body") == [words(f.max_body_bytes) for f in families]
    assert row("longest computation") == ["1 h" if f.max_seconds == 3600 else f"{f.max_seconds} s" for f in families]
    for name, member in {"GPU": "gpu", "Graviton": "graviton", "network isolation": "network_isolation"}.items():
        assert row(name) == ["yes" if getattr(f, member) else "no" for f in families]
    assert f"{MAX_SERVERLESS_ENDPOINTS} serverless endpoints and {SERVERLESS_POOL} requests" in PAGE


def test_rates_are_made_of_metrics_that_the_front_door_emits():
    emitted = {value for name, value in vars(metrics).items() if name.isupper() and isinstance(value, str)}
    rates = PAGE.partition("| rate | formula |")[2].partition("\n\n")[0]
    formulas = re.findall(r"`([^`]+)` \|$", rates, re.MULTILINE)
    assert len(formulas) == 3
    assert {name for formula in formulas for name in re.findall("[A-Za-z]+", formula)} <= emitted
    (text,) = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    queries = json.loads(text)
    looked_up = [query["MetricStat"]["Metric"] for query in queries if "MetricStat" in query]
    assert {metric["MetricName"] for metric in looked_up} == {metrics.HITS, metrics.MISSES}
    for metric in looked_up:
        assert metric["Namespace"] == metrics.NAMESPACE
        assert [dimension["Name"] for dimension in metric["Dimensions"]] == list(metrics.DIMENSIONS)
    (rate,) = [query for query in queries if "Expression" in query]
    assert set(re.findall("[a-z]+", rate["Expression"])) == {query["Id"] for query in queries} - {rate["Id"]}


def test_settings_that_the_page_names_exist():
    for section in ("realtime", "serverless", "async", "hybrid"):
        known = members(inner(members(ModelSpec)[section].annotation))
        text = PAGE.partition(f"### `{section}`")[2].partition("###")[0]
        for name in re.findall(r"`([a-z]+(?:_[a-z]+)+)`", text):
            assert name in known, f"{section}.{name}"


def test_examples_on_the_page_load(tmp_path):
    from turnout.config import load

    (tmp_path / "model_code/churn").mkdir(parents=True)
    examples = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert len(examples) == 2
    for text in examples:
        path = tmp_path / "models.yaml"
        path.write_text(f"models:\n  churn:\n    key: id\n    features: [a]\n{text}")
        assert load(path).models["churn"].mode in AVAILABLE
