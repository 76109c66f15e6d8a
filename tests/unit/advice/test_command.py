"""`turnout advise`: from the file, from flags, by asking; and what `validate` says of a contradiction."""

import json
import re

import pytest
from typer.testing import CliRunner

from turnout import cli
from turnout.errors import UserError

FILE = """\
models:
  churn:
    mode: realtime
    schedule: rate(1 day)
    key: id
    features: [x]
    code: code
    answers: {freshness: 1d, input: stored, consumption: waits, latency: 200ms}
  silent: {mode: batch, schedule: rate(1 day), key: id, features: [x], code: code}
"""


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    (tmp_path / "code").mkdir()
    (tmp_path / "models.yaml").write_text(FILE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(*arguments: str, given: str | None = None):
    return CliRunner().invoke(cli.app, ["advise", *arguments], input=given, catch_exceptions=False)


def advice(*arguments: str):
    return json.loads(call(*arguments, "--json").stdout)


def test_a_fleet_shows_what_each_model_has_and_should_have():
    found = {each["model"]: each for each in advice()}
    assert (found["churn"]["mode"], found["churn"]["advised"]) == ("realtime", "precompute")
    assert found["churn"]["saves_usd"] > 50
    assert found["silent"]["advised"] is None
    shown = call().stdout
    assert "churn: use precompute: realtime is out, because callers have a key" in " ".join(shown.split())
    assert "silent: no question is answered" in shown


def test_one_model_shows_reasons_costs_what_changes_it_and_lines():
    shown = call("churn").stdout
    for part in (
        "keeps every promise",
        "(input-stored)",
        "What would change it:",
        "Paste into models.yaml:",
        "mode: prec",
    ):
        assert part in shown
    body = advice("churn")
    assert body["lines"][2] == "    mode: precompute"
    assert {"input", "freshness"} <= {change["what"] for change in body["changes"]}
    assert body["unanswered"] == ["cost", "failure", "traffic_shape"]


def test_flags_go_before_the_file():
    assert advice("churn", "--freshness", "now", "--input", "request")["advised"] == "realtime"


def test_flags_alone_advise_on_a_model_that_is_not_in_the_file(project):
    (project / "models.yaml").unlink()
    body = advice("--input", "stored", "--consumption", "whole-set", "--freshness", "7d")
    assert (body["mode"], body["advised"]) == (None, "batch")
    assert body["lines"][:4] == ["models:", "  my-model:", "    mode: batch", "    schedule: rate(6 days)"]
    assert body["lines"][4] == "    max_staleness: 7d"


def test_the_bill_rests_on_the_runs_of_the_schedule_that_is_advised():
    flags = ("--input", "stored", "--consumption", "waits", "--freshness", "40m")
    assert "1,459.2 runs a month (by the schedule)" in advice(*flags)["rests_on"]
    assert "1,459.2 runs a month (by the schedule)" in " ".join(call("churn", *flags).stdout.split())


def test_traffic_decides_between_modes_that_do():
    flags = ("--input", "request", "--consumption", "waits", "--latency", "30s", "--cost", "high")
    assert advice(*flags, "--traffic", "1000")["advised"] == "serverless"
    assert advice(*flags, "--traffic", "300000000")["advised"] == "realtime"


def test_questions_are_asked_until_they_are_answered_or_skipped():
    result = call("churn", "--ask", "--json", given="cheap\nlow\n\nsteady\n")
    assert result.exit_code == 0
    assert "'cheap' is not one of high, medium, low" in result.stderr
    assert "What if a prediction cannot be made?" in result.stderr
    assert "How old may" not in result.stderr
    body = json.loads(result.stdout[result.stdout.index("{") :])  # the runner shows what was typed before it
    assert body["unanswered"] == ["failure"]
    assert (body["answers"]["cost"], body["answers"]["traffic_shape"]) == ("low", "steady")


def test_a_wrong_flag_is_one_line(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["turnout", "advise", "--latency", "soon"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1
    assert "'soon' is not a time" in capsys.readouterr().err


@pytest.mark.parametrize("flag", ["--freshness", "--input", "--consumption", "--cost", "--failure", "--latency"])
def test_an_empty_flag_is_a_wrong_answer_and_not_none(flag):
    with pytest.raises(UserError, match=f"^{flag.removeprefix('--')}: '' is not"):
        call(flag, "")


@pytest.mark.parametrize("other", [("--traffic", "7"), ("--traffic", "0"), ("--ask",)])
def test_what_was_observed_goes_with_neither_given_traffic_nor_questions(other):
    shown = call("--observed", "5", *other)
    assert shown.exit_code == 2
    assert other[0] in shown.stderr


def without_a_price(mode: str, section: str) -> str:
    """Return the file with an instance type in one section that the table has no price of."""
    rare = f"    {section}: {{instance_type: ml.m5.24xlarge}}\n    answers:"
    return FILE.replace("mode: realtime", f"mode: {mode}").replace("    answers:", rare)


@pytest.mark.parametrize("arguments", [(), ("churn",)])
@pytest.mark.parametrize("section", ["realtime", "transform"])
def test_a_missing_price_of_the_declared_or_the_advised_mode_fails_after_the_advice(project, arguments, section):
    (project / "models.yaml").write_text(without_a_price("realtime", section))
    shown = CliRunner().invoke(cli.app, ["advise", *arguments])
    assert "churn: use precompute" in shown.stdout
    assert isinstance(shown.exception, UserError)
    assert "churn: " in str(shown.exception)
    assert "The price sagemaker_instance.ml.m5.24xlarge" in str(shown.exception)


def test_a_missing_price_of_a_mode_that_is_neither_only_marks_it(project):
    (project / "models.yaml").write_text(without_a_price("precompute", "async"))
    shown = call("churn")
    assert shown.exit_code == 0
    assert " >" in shown.stdout
    assert "> lacks a price" in shown.stdout


WARM = """\
  scores:
    mode: batch
    schedule: rate(1 day)
    key: id
    features: [x]
    code: code
    serverless: {memory_mb: 4096, provisioned_concurrency: 10}
    answers: {freshness: now, input: request, consumption: waits, latency: 20s, cost: low, traffic_shape: bursty}
"""


def test_what_has_no_price_is_in_no_difference(project):
    """Environments that are kept warm cost hundreds, and no source says how many."""
    (project / "models.yaml").write_text(f"models:\n{WARM}")
    shown = CliRunner().invoke(cli.app, ["advise"])
    assert re.search(r"^scores  batch +[0-9.]+  serverless +>[0-9.]+$", shown.stdout, re.M)
    assert "What following the advice does to the bill is unknown, as prices are missing: scores." in shown.stdout
    assert "sagemaker_serverless.provisioned" in str(shown.exception)
    body = json.loads(CliRunner().invoke(cli.app, ["advise", "scores", "--json"]).stdout)
    assert (body["advised"], body["saves_usd"]) == ("serverless", None)
    assert body["options"][0]["complete"] is False


def test_a_fleets_sum_leaves_out_what_has_no_price_and_says_so(project):
    alone = advice("churn")["saves_usd"]
    (project / "models.yaml").write_text(FILE + WARM)
    shown = CliRunner().invoke(cli.app, ["advise"]).stdout
    assert f"changes the bill by -${alone:,.2f} a month, without models of which that is unknown" in shown
    assert "as prices are missing: scores." in " ".join(shown.split())


def test_validate_warns_of_a_contradiction_and_refuses_it_where_strict(project):
    loose = CliRunner().invoke(cli.app, ["validate"])
    assert loose.exit_code == 0
    assert "input-stored" in loose.stderr
    (project / "models.yaml").write_text(FILE.replace("    answers:", "    strict: true\n    answers:"))
    strict = CliRunner().invoke(cli.app, ["validate"])
    assert strict.exit_code == 1
    assert "input-stored" in strict.stderr
