"""The command line: help, exit codes, one-line errors, JSON for scripts."""

import json

import pytest
from botocore.exceptions import EndpointConnectionError
from typer.testing import CliRunner

from handlers.contract.records import Generation, Pointer, Run
from turnout import cli, deployed, runs
from turnout.errors import NotDeployed
from turnout.front_door import Answer, FrontDoor

GOOD = "models:\n  churn:\n    mode: batch\n    schedule: rate(1 day)\n    key: id\n    features: [x]\n    code: code\n"


class FakeModel:
    """A deployed model with two generations and one failed run."""

    name, mode, model_version, stack = "churn", "precompute", "abc123", "turnout-dev-churn"

    def __init__(self):
        self.now = Pointer(results="g2", scores="g2", previous_scores="g1", revision=3)

    def pointer(self):
        return self.now

    def generation(self, generation_id):
        return generation_id and Generation(
            generation_id, "abc123", "2026-11-23T06:04:00Z", "2026-11-23T06:05:00Z", 3, 2, 1, 2, "string", "s3://b/r/",
            None, 1,
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


PLATFORM = deployed.Platform("dev", "turnout-dev-platform", "http://api", "api", "bucket", "topic")


@pytest.fixture
def model(monkeypatch):
    fake = FakeModel()
    monkeypatch.setattr(deployed, "find_model", lambda stage, name: fake)
    monkeypatch.setattr(deployed, "find_platform", lambda stage: PLATFORM)
    monkeypatch.setattr(deployed, "deployed_models", lambda stage: ["churn"])
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


@pytest.mark.parametrize("command", ["validate", "plan", "run", "runs", "predict", "rollback", "status", "local"])
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


def test_runs_show_what_went_wrong(model):
    result = call("runs", "churn")
    assert "20261123T070000Z failed: EmptyInput: nothing under s3://b/input/churn/" in result.stdout
    assert json.loads(call("runs", "churn", "--json").stdout)[0]["error"] == "EmptyInput"


def test_status_shows_what_is_served(model):
    (row,) = json.loads(call("status", "--json").stdout)
    assert (row["model"], row["generation"], row["last_run"]) == ("churn", "g2", "failed")
    assert "20261123T070000Z" not in call("status").stdout
    assert " g2 " in call("status").stdout


def test_one_broken_stack_does_not_hide_the_others(model, monkeypatch):
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
