"""The command line: help, exit codes, one-line errors, JSON for scripts."""

import json

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from typer.testing import CliRunner

from handlers.contract.records import Generation, Pointer, Run
from turnout import cli, deployed, runs
from turnout.errors import NotDeployed, UserError
from turnout.front_door import Answer, FrontDoor
from turnout.switching import progress, traffic
from turnout.switching.clients import Recent

GOOD = "models:\n  churn:\n    mode: batch\n    schedule: rate(1 day)\n    key: id\n    features: [x]\n    code: code\n"


class FakeModel:
    """A deployed model with two generations and one failed run."""

    name, mode, model_version, stack = "churn", "precompute", "abc123", "turnout-dev-churn"
    state_machine, front_door, stage = "arn:machine", "door", "dev"
    stack_status = "UPDATE_COMPLETE"

    def __init__(self):
        self.outputs = {"ModelVersion": "abc123"}
        self.now = Pointer(results="g2", scores="g2", previous_scores="g1", revision=3)

    def pointer(self):
        return self.now

    def generation(self, generation_id):
        return generation_id and Generation(
            generation_id, "abc123", "2026-11-23T06:04:00Z", "2026-11-23T06:05:00Z", 3, 2, 1, 2, "string", "s3://b/r/",
            None, 4_000_000_000,
        )  # fmt: skip

    def runs(self, limit):
        return [
            Run(
                "20261123T070000Z", "arn", "manual", "s", "failed", "2026-11-23T07:00:00Z", 1, error="EmptyInput",
                cause="nothing under s3://b/input/churn/",
            )
        ]  # fmt: skip

    def move_pointer(self, old, new):
        assert old == self.now
        self.now = new


WEEK = Recent(requests=1000, hits=973, misses=27)
PLATFORM = deployed.Platform("dev", "turnout-dev-platform", "http://api", "api", "bucket", "topic")


@pytest.fixture
def model(monkeypatch):
    fake = FakeModel()
    monkeypatch.setattr(deployed, "find_model", lambda stage, name: fake)
    monkeypatch.setattr(deployed, "find_platform", lambda stage: PLATFORM)
    monkeypatch.setattr(deployed, "deployed_models", lambda stage: ["churn"])
    monkeypatch.setattr(traffic, "recent", lambda model, column, now: WEEK)
    return fake


@pytest.fixture
def project(tmp_path, monkeypatch):
    (tmp_path / "code").mkdir()
    (tmp_path / "code/inference.py").write_text("def model_fn(d): ...\n")
    (tmp_path / "models.yaml").write_text(GOOD)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(*arguments):
    return CliRunner().invoke(cli.app, list(arguments), catch_exceptions=False)


def main_exit_code(monkeypatch, *arguments) -> int:
    monkeypatch.setattr("sys.argv", ["turnout", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return ended.value.code


@pytest.mark.parametrize(
    "command",
    [
        *("validate", "plan", "cost", "advise", "report", "prices", "switch", "run", "runs", "predict"),
        *("generations", "refresh", "rollback", "status", "local"),
    ],
)
def test_every_command_explains_itself(command):
    result = call(command, "--help")
    assert result.exit_code == 0
    assert "Usage" in result.output


def test_a_valid_file_is_listed_with_its_modes(project):
    assert json.loads(call("validate", "--json").stdout) == {
        "valid": True,
        "models": {"churn": "batch"},
        "warnings": [],
    }


def test_a_warning_is_shown_and_stops_nothing(project):
    (project / "models.yaml").write_text(GOOD.replace("1 day", "5 minutes"))
    result = call("validate")
    assert result.exit_code == 0
    assert "5 minutes" in result.stderr


def test_an_invalid_file_fails_with_every_problem(project):
    (project / "models.yaml").write_text(GOOD.replace("batch", "btach") + "    colour: red\n")
    result = call("validate", "--json")
    assert result.exit_code == 1
    assert {problem["key"] for problem in json.loads(result.stdout)["problems"]} == {"mode", "colour"}


def test_a_plan_names_the_switch(project, model):
    (step,) = json.loads(call("plan", "--json").stdout)
    assert (step["action"], step["before"], step["after"]) == ("switch", "precompute", "batch")


def test_a_plan_for_another_mode_is_whole_and_writes_nothing(project, model):
    shown = call("plan", "churn", "--mode", "hybrid")
    assert shown.exit_code == 0
    assert shown.stdout.startswith("churn: switch (precompute → hybrid)\n")
    assert "97.3 % of the last 7 days' 1,000 requests" in " ".join(shown.stdout.split())
    assert "1. create" in shown.stdout
    (body,) = json.loads(call("plan", "churn", "--mode", "hybrid", "--traffic", "5", "--json").stdout)
    assert body["transition"]["created"] == ["serverless endpoint"]
    assert body["cost"]["assumptions"][0] == "5 requests a month (as given)"
    assert (project / "models.yaml").read_text() == GOOD


def test_a_plan_for_a_mode_wants_a_model(project, model):
    assert call("plan", "--mode", "hybrid").exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("plan", "chrun"), "There is no model 'chrun' in models.yaml. There are: churn."),
        (("plan", "--stage", "test"), "there is no stage 'test'"),
        (("switch", "chrun", "hybrid"), "Did you mean 'churn'?"),
        (("switch", "churn", "hybird"), "'hybird' is no mode"),
        (("switch", "churn", "streaming"), "not available yet"),
    ],
)
def test_what_cannot_be_planned_is_said_and_nothing_is_written(project, model, monkeypatch, capsys, arguments, said):
    assert main_exit_code(monkeypatch, *arguments) == 1
    assert said in capsys.readouterr().err
    assert (project / "models.yaml").read_text() == GOOD


def test_a_switch_changes_one_word(project, model):
    text = "# mine\r\n" + GOOD.replace("mode: batch", "mode: batch   # for now")
    (project / "models.yaml").write_bytes(text.encode())
    done = call("switch", "churn", "hybrid")
    assert done.exit_code == 0
    assert (project / "models.yaml").read_bytes().decode() == text.replace("mode: batch", "mode: hybrid")
    assert "Make it so with `cdk deploy turnout-dev-churn`." in done.stdout
    assert sorted(path.name for path in project.iterdir()) == ["code", "models.yaml"]


def test_a_switch_in_another_stage_says_so_in_its_command(project, model):
    done = json.loads(call("switch", "churn", "hybrid", "--stage", "prod", "--json").stdout)
    assert done["command"] == "cdk deploy turnout-prod-churn -c stage=prod"
    assert done["written"] is True


def test_a_dry_run_writes_nothing(project, model):
    shown = call("switch", "churn", "hybrid", "--dry-run")
    assert "models.yaml is as it was." in shown.stdout
    assert json.loads(call("switch", "churn", "hybrid", "-n", "--json").stdout)["written"] is False
    assert (project / "models.yaml").read_text() == GOOD


def test_a_switch_that_takes_answers_away_is_refused_until_acknowledged(project, model, monkeypatch, capsys):
    (project / "models.yaml").write_text(GOOD.replace("batch", "precompute"))
    assert main_exit_code(monkeypatch, "switch", "churn", "batch") == 1
    said = capsys.readouterr()
    assert "churn: switch (precompute → batch)" in said.out, "the plan is shown all the same"
    assert said.err.startswith("turnout: Nothing was written: model 'churn' answers requests in mode precompute")
    assert "mode: precompute" in (project / "models.yaml").read_text()
    refused = call("switch", "churn", "batch", "--json")
    assert (refused.exit_code, json.loads(refused.stdout)["written"]) == (1, False)
    acknowledged = GOOD.replace("batch", "precompute") + "    acknowledge: [lost-answers]\n"
    (project / "models.yaml").write_text(acknowledged)
    assert call("switch", "churn", "batch").exit_code == 0
    assert (project / "models.yaml").read_text() == acknowledged.replace("precompute", "batch")


def test_a_switch_without_aws_compares_with_the_file_and_says_so(project, monkeypatch):
    def silent(stage, name):
        raise UserError("No answer from AWS: no credentials.", "Check them.")

    monkeypatch.setattr(deployed, "find_model", silent)
    done = call("switch", "churn", "hybrid")
    assert done.exit_code == 0
    assert "No answer from AWS: no credentials. Compared with the word in the file." in " ".join(done.stdout.split())
    assert "mode: hybrid" in (project / "models.yaml").read_text()


def test_a_switch_of_what_is_not_deployed_loses_nobodys_answers(project, monkeypatch):
    def missing(stage, name):
        raise NotDeployed("Stack turnout-dev-churn is not deployed here.", "Run `cdk deploy --all` first.")

    monkeypatch.setattr(deployed, "find_model", missing)
    (project / "models.yaml").write_text(GOOD.replace("batch", "precompute"))
    assert call("switch", "churn", "batch").exit_code == 0


def test_a_file_that_is_wrong_already_is_told_before_anything_else(project, model, monkeypatch, capsys):
    broken = GOOD + "    colour: red\n"
    (project / "models.yaml").write_text(broken)
    assert main_exit_code(monkeypatch, "switch", "churn", "hybrid") == 1
    assert "colour" in capsys.readouterr().err
    assert (project / "models.yaml").read_text() == broken


def test_a_metric_that_may_not_be_read_is_a_note(project, model, monkeypatch):
    def denied(model, column, now):
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "GetMetricData")

    monkeypatch.setattr(traffic, "recent", denied)
    shown = " ".join(call("plan", "churn", "--mode", "hybrid").stdout.split())
    assert "The recent past could not be read" in shown
    assert "What clients asked for of late is not known." in shown


def test_a_run_in_a_mode_without_runs_is_refused(model, monkeypatch, capsys):
    model.state_machine, model.mode = None, "realtime"
    assert main_exit_code(monkeypatch, "run", "churn") == 1
    assert "which makes no runs" in capsys.readouterr().err


def test_runs_show_what_went_wrong(model):
    result = call("runs", "churn")
    assert "20261123T070000Z failed: EmptyInput: nothing under s3://b/input/churn/" in result.stdout
    assert json.loads(call("runs", "churn", "--json").stdout)[0]["error"] == "EmptyInput"


def test_status_shows_what_is_served(model):
    (row,) = json.loads(call("status", "--json").stdout)
    assert (row["model"], row["generation"], row["last_run"]) == ("churn", "g2", "failed")
    assert "20261123T070000Z" not in call("status").stdout
    assert " g2 " in call("status").stdout


def test_status_says_what_a_deploy_waits_for(model, monkeypatch):
    waits = progress.Awaited("prove", "endpoint dev-churn-realtime-1a2b3c is Creating", 42)
    monkeypatch.setattr(progress, "awaited", lambda stack: waits if stack == model.stack else None)
    assert json.loads(call("status", "--json").stdout)[0]["deploy"] is None, "nothing is under way"
    model.stack_status = "UPDATE_IN_PROGRESS"
    assert json.loads(call("status", "--json").stdout)[0]["deploy"] == str(waits)
    assert f"churn is being deployed: {waits}\n" in call("status").stdout


def test_one_broken_stack_does_not_hide_the_others(model, monkeypatch):
    monkeypatch.setattr(progress, "awaited", lambda stack: None)

    def find(stage, name):
        if name == "broken":
            raise NotDeployed("Stack turnout-dev-broken is ROLLBACK_COMPLETE and has no outputs.")
        return model

    monkeypatch.setattr(deployed, "find_model", find)
    monkeypatch.setattr(deployed, "deployed_models", lambda stage: ["broken", "churn"])
    rows = json.loads(call("status", "--json").stdout)
    assert [row["model"] for row in rows] == ["broken", "churn"]
    assert "ROLLBACK_COMPLETE" in rows[0]["last_run"]
    assert call("status").exit_code == 0


def test_a_cloud_that_went_away_is_one_line_with_the_log(monkeypatch, capsys):
    def gone(stage, name):
        raise EndpointConnectionError(endpoint_url="http://127.0.0.1:1")

    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setattr(deployed, "find_model", gone)
    assert main_exit_code(monkeypatch, "runs", "churn") == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "local.log" in err


def test_rollback_swaps_generations_and_can_be_undone(model):
    assert json.loads(call("rollback", "churn", "--json").stdout) == {"model": "churn", "from": "g2", "to": "g1"}
    assert model.now.scores == "g1"
    call("rollback", "churn")
    assert model.now.scores == "g2"


def test_rollback_without_a_previous_generation_is_one_line(model, monkeypatch, capsys):
    model.now = Pointer(scores="g1", revision=1)
    assert main_exit_code(monkeypatch, "rollback", "churn") == 1
    assert capsys.readouterr().err.strip() == (
        "turnout: Model 'churn': generation g1 is the only one; there is none before it"
    )


def test_predict_prints_the_answer_and_fails_with_its_status(model, monkeypatch):
    answers = {"1": Answer(200, {}, {"prediction": 0.5}), "2": Answer(404, {}, {"error": {"code": "unknown_key"}})}
    monkeypatch.setattr(FrontDoor, "predict", lambda self, name, body: answers[body["key"]])
    found = call("predict", "churn", "--key", "1")
    assert (found.exit_code, json.loads(found.stdout)) == (0, {"prediction": 0.5})
    missing = call("predict", "churn", "--key", "2", "--json")
    assert (missing.exit_code, json.loads(missing.stdout)["status"]) == (1, 404)


def test_predict_posts_a_body_from_stdin(model, monkeypatch):
    monkeypatch.setattr(FrontDoor, "predict", lambda self, name, body: Answer(200, {}, body))
    result = CliRunner().invoke(cli.app, ["predict", "churn", "--body", "-"], input='{"key": "1"}')
    assert json.loads(result.stdout) == {"key": "1"}


def test_predict_wants_a_key_or_a_body(model):
    assert call("predict", "churn").exit_code == 2
    assert call("predict", "churn", "--body", "{").exit_code == 2


def test_a_run_that_fails_exits_with_3(model, monkeypatch, capsys):
    failed = runs.Followed("FAILED", model.runs(1)[0], duplicate=False, seconds={"Start": 1.0})
    monkeypatch.setattr(runs, "start", lambda target: "arn:e")
    monkeypatch.setattr(runs, "follow", lambda *arguments: iter([runs.Progress("Start", 0.0), failed]))
    assert main_exit_code(monkeypatch, "run", "churn") == 3
    assert "EmptyInput: nothing under s3://b/input/churn/" in capsys.readouterr().err


def test_what_is_not_deployed_is_one_line_without_a_traceback(monkeypatch, capsys):
    def missing(stage, name):
        raise NotDeployed("Stack turnout-dev-churn is not deployed here.", "Run `cdk deploy --all` first.")

    monkeypatch.setattr(deployed, "find_model", missing)
    assert main_exit_code(monkeypatch, "runs", "churn") == 1
    err = capsys.readouterr().err
    assert err == "turnout: Stack turnout-dev-churn is not deployed here. Run `cdk deploy --all` first.\n"


def test_local_without_a_cloud_says_how_to_start_it(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert main_exit_code(monkeypatch, "--local", "status") == 1
    assert "turnout local up" in capsys.readouterr().err
