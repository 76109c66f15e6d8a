"""`turnout cost`: the whole file or one model, for people and for scripts, and loud where a price is missing."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from datetime import date, timedelta

import pytest
from typer.testing import CliRunner

from handlers.contract.modes import AVAILABLE, ServingMode
from turnout import cli, config, cost, prices
from turnout.config import STAGES
from turnout.cost import fleets, text

MODELS = """
models:
  churn:
    mode: precompute
    schedule: rate(1 day)
    key: id
    features: [x]
    code: code
    traffic: {requests_per_month: 300000, entities: 1000000, run_duration: 15m}
  fraud:
    mode: realtime
    key: id
    features: [x]
    code: code
    traffic: {model_latency: 40s}
"""
MODELS_LEGAL = MODELS.replace("40s", "20ms")


@pytest.fixture
def project(tmp_path, monkeypatch):
    (tmp_path / "code").mkdir()
    (tmp_path / "models.yaml").write_text(MODELS_LEGAL)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(*arguments):
    return CliRunner().invoke(cli.app, ["cost", *arguments])


def test_the_table_has_a_row_for_each_model_and_a_column_for_each_mode(project):
    shown = call()
    assert shown.exit_code == 0
    head, churn, fraud = shown.stdout.splitlines()[2:5]
    assert head.split()[3:] == [mode.value for mode in ServingMode if mode in AVAILABLE]
    assert [cell.startswith("*") for cell in churn.split()[1:]] == [False, True, False, False, False, False]
    assert fraud.split()[4].startswith("*~")
    assert "list prices of us-east-1 as of" in shown.stdout
    assert "fraud: precompute: priced with `schedule: rate(1 day)`" in shown.stdout
    assert "100,000 requests a month" in shown.stdout  # what is assumed
    assert max(map(len, shown.stdout.splitlines())) <= text.WIDTH


def test_the_declared_modes_and_what_is_shared_are_the_fleets_bill(project):
    body = json.loads(call("--format", "json").stdout)
    assert body["usd"] == pytest.approx(sum(model["usd"] for model in body["models"]) + body["shared"]["usd"], abs=0.02)
    churn = body["models"][0]["modes"]["precompute"]
    monthly = sum(line["usd"] for line in churn["lines"] if line["kind"] == "monthly")
    assert churn["usd"] == pytest.approx(monthly, abs=0.005)
    assert body["models"][1]["modes"]["streaming"]["refused"]
    assert "300,000 requests a month (config)" in body["models"][0]["rests_on"]
    assert (body["region"], body["prices_of"]) == ("us-east-1", prices.load().compiled.isoformat())


def test_one_model_is_shown_line_by_line_with_what_changes_the_answer(project):
    shown = call("churn").stdout
    assert re.search(r"^transform jobs +0\.87 +0\.87 +0\.87$", shown, re.M)
    assert re.search(r"^ +0\.8740  transform jobs: 30\.4 runs x 15 min x 1 ml\.m5\.large; 7\.6 x", shown, re.M)
    assert "ten times the requests: $" in shown
    assert "tenfold" not in shown
    assert "1,000,000 rows a run (config)" in shown
    assert max(map(len, shown.splitlines())) <= 120


def test_a_change_that_makes_another_mode_the_cheapest_is_named(project):
    spec = config.load(project / "models.yaml").models["churn"]
    model = fleets.model_bills(spec, STAGES["dev"], prices.load())
    said = list(fleets.changes(model, spec, STAGES["dev"], prices.load()))
    assert model.cheapest is ServingMode.BATCH
    assert any(
        "a tenth of the requests" in each and "serverless is the cheapest then, not batch" in each for each in said
    )


def test_traffic_that_is_given_goes_before_the_entrys(project):
    body = json.loads(call("churn", "--traffic", "5", "-f", "json").stdout)
    assert "5 requests a month (as given)" in body["models"][0]["rests_on"]


def test_a_mode_that_could_not_serve_the_traffic_is_struck_out_with_the_reason(project):
    (project / "models.yaml").write_text(MODELS.replace("mode: realtime", "mode: async"))
    shown = " ".join(call().stdout.split())
    assert "fraud: realtime — traffic.model_latency: the model takes 40 s for a request, and the front door" in shown
    assert json.loads(call("fraud", "-f", "json").stdout)["models"][0]["modes"]["serverless"]["lines"] == []


def test_a_missing_price_of_the_declared_mode_fails_and_names_the_nearest(project, monkeypatch):
    entry = MODELS_LEGAL.replace(
        "    code: code\n    traffic: {m",
        "    realtime: {instance_type: ml.m5.24xlarge}\n    code: code\n    traffic: {m",
    )
    (project / "models.yaml").write_text(entry)
    monkeypatch.setattr("sys.argv", ["turnout", "cost"])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 1
    shown = call()
    assert "*>" in shown.stdout
    assert "nearest known is sagemaker_instance.ml.m5.4xlarge" in str(shown.exception)


def test_a_missing_price_of_another_mode_only_marks_it(project):
    entry = MODELS_LEGAL.replace(
        "    mode: precompute\n", "    mode: precompute\n    realtime: {instance_type: ml.m5.24xlarge}\n"
    )
    (project / "models.yaml").write_text(entry)
    shown = call()
    assert shown.exit_code == 0
    assert re.search(r"^churn .* >", shown.stdout, re.M)


def test_a_stale_table_is_told_in_every_output(project):
    models = config.load(project / "models.yaml").models
    table = prices.load()
    late = fleets.fleet(models, STAGES["dev"], table, table.compiled + timedelta(days=200))
    assert "200 days old" in late.to_body()["stale"]
    assert any(line.startswith("STALE") and "200 days old" in line for line in text.fleet_lines(late))
    one = fleets.fleet({"churn": models["churn"]}, STAGES["dev"], table, table.compiled + timedelta(days=200))
    assert any(line.startswith("STALE") for line in text.model_lines(one, ()))
    old = replace(table, compiled=date(2020, 1, 1))
    assert fleets.fleet(models, STAGES["dev"], old, date(2020, 1, 2)).stale is None


def test_a_region_without_prices_says_how_to_get_them(project):
    shown = call("--region", "mars-1")
    assert "turnout prices refresh --region mars-1" in str(shown.exception)


def test_an_unknown_model_names_those_that_there_are(project):
    assert "There are: churn, fraud" in str(call("nobody").exception)


def test_pricing_imports_neither_aws_nor_a_table_library():
    heavy = ("boto3", "botocore", "pandas", "numpy", "pyarrow", "aws_cdk")
    code = f"import turnout.cost.text, sys; print([name for name in {heavy} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_every_mode_that_is_available_has_a_bill():
    from turnout.cost import billing

    assert set(billing._MODES) == AVAILABLE
    assert (
        cost.shared_bill(STAGES["prod"], prices.load()).monthly > cost.shared_bill(STAGES["dev"], prices.load()).monthly
    )
