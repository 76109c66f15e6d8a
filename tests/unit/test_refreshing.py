"""`turnout refresh` and the event that it puts."""

import json

import boto3
import pytest
from typer.testing import CliRunner

from handlers.contract.predictions import MAX_KEY_BYTES
from turnout import cli, deployed, refreshing
from turnout.errors import UserError


class Events:
    """A client of EventBridge that keeps what it is given."""

    def __init__(self, **answer):
        self.entries, self.answer = [], answer or {"EventId": "e-1"}

    def put_events(self, Entries):
        self.entries += Entries
        return {"FailedEntryCount": 0, "Entries": [self.answer]}


def model(**outputs):
    return deployed.Model("churn", "dev", "turnout-dev-churn", "hybrid", "v1", None, "table", "door", outputs)


@pytest.fixture
def events(monkeypatch):
    found = Events()
    monkeypatch.setattr(boto3, "client", lambda service: found)
    monkeypatch.setattr(deployed, "find_model", lambda stage, name: model(RefreshQueueUrl="url"))
    return found


def call(*arguments, **more):
    return CliRunner().invoke(cli.app, ["refresh", "churn", *arguments], **more)


def test_the_command_puts_one_event_for_the_model_in_its_stage(events):
    ended = call("--key", "00001", "--features", '{"x": 1.5}', "--data-as-of", "2026-11-23T06:00:00Z", "--json")
    assert (ended.exit_code, json.loads(ended.stdout)) == (0, {"model": "churn", "event": "e-1"})
    (entry,) = events.entries
    assert (entry["DetailType"], entry["Source"]) == ("Refresh Prediction", "turnout")
    assert json.loads(entry["Detail"]) == {
        "model": "churn",
        "stage": "dev",
        "key": "00001",
        "features": {"x": 1.5},
        "data_as_of": "2026-11-23T06:00:00Z",
    }


def test_features_may_come_from_stdin_and_must_be_an_object(events):
    assert "e-1" in call("--key", "a", "--features", "-", input='{"x": 1}').stdout
    assert "data_as_of" not in json.loads(events.entries[0]["Detail"])
    assert call("--key", "a", "--features", "[1]").exit_code == 2
    assert call("--key", "a", "--features", "{").exit_code == 2
    assert len(events.entries) == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--key", "a", "--features", "{}", "--data-as-of", "tomorrow"), "data_as_of is no moment in ISO 8601"),
        (("--key", "a", "--features", "{}", "--data-as-of", "2999-01-01T00:00:00Z"), "which is yet to come"),
        (("--key", "a", "--features", '{"x": NaN}'), "NaN is no JSON number"),
        (("--key", "a", "--features", '{"x": [1e999]}'), "Infinity is no JSON number"),
        (("--key", "", "--features", "{}"), "the key is empty"),
        (("--key", "k" * (MAX_KEY_BYTES + 1), "--features", "{}"), f"at most {MAX_KEY_BYTES:,} are allowed"),
    ],
)
def test_what_could_only_become_a_dead_letter_is_refused_and_not_sent(events, arguments, says):
    ended = call(*arguments)
    assert isinstance(ended.exception, UserError)
    assert says in str(ended.exception)
    assert events.entries == []


def test_a_model_that_takes_no_events_says_how_it_would(events):
    with pytest.raises(UserError, match="on_event: true"):
        refreshing.ask(model(), "a", {})
    assert events.entries == []


def test_an_event_that_eventbridge_refuses_is_told(monkeypatch):
    refusing = Events(ErrorCode="ThrottlingException", ErrorMessage="slow down")
    monkeypatch.setattr(boto3, "client", lambda service: refusing)
    with pytest.raises(UserError, match="ThrottlingException: slow down"):
        refreshing.ask(model(RefreshQueueUrl="url"), "a", {})
