"""A drill: data whose own time is past the limit, what each model then answers, the alarm, and how it ends."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from handlers.contract import metrics
from handlers.logic.moments import format_moment
from tests.integration.conftest import ROOT
from tests.integration.pipeline_runs import follow, put_input, run, wait_for
from turnout import runs
from turnout.local import control

DAYS = 10
#: The alarm looks back as long where looks are five minutes apart.
ALARM_SECONDS = 900
MODELS = ("late", "cracked", "patient")  # on_stale: serve, refuse and live


def rows_of(model: str, at: datetime) -> dict[str, bytes]:
    """Return the model's usual input, with rows of that moment and of earlier ones."""
    times = [format_moment(at - timedelta(hours=hours)) for hours in (1, 0)]
    if model == "patient":
        rows = json.loads((ROOT / "tests/integration/models/patient/artifact/sample_payloads.json").read_text())["rows"]
        lines = [json.dumps({"name": row["name"], "at": times[n % 2], **row["features"]}) for n, row in enumerate(rows)]
        return {"rows.jsonl": "\n".join(lines).encode()}
    return {"rows.csv": b"name,x,at\n" + "".join(f"k{n},{n % 600},{times[n % 2]}\n" for n in range(3_000)).encode()}


@pytest.fixture(scope="module")
def stale(client, platform, model):
    """The moment of the data behind the scores of MODELS: days ago, although they are scored just now."""
    moment = datetime.now(UTC).replace(microsecond=0) - timedelta(days=DAYS)
    for name in MODELS:
        put_input(client, platform, name, rows_of(name, moment))
    started = {name: runs.start(model(name)) for name in MODELS}
    ended = {name: follow(model(name), platform, execution) for name, execution in started.items()}
    assert {name: end.status for name, end in ended.items()} == dict.fromkeys(MODELS, "SUCCEEDED")
    return format_moment(moment)


@pytest.fixture
def look(client):
    """A function that has a model's age looked at now, as its schedule does every few minutes."""

    def look(model: str) -> dict:
        payload = json.dumps({"slot": format_moment(datetime.now(UTC))})
        answer = client("lambda").invoke(FunctionName=one(client, model, "ServingFreshnessLook"), Payload=payload)
        found = json.load(answer["Payload"])
        assert "FunctionError" not in answer, found
        return found

    return look


def one(client, model: str, logical: str) -> str:
    """Return the physical name of a model's function or alarm, by the start of its logical id."""
    kinds = ("AWS::Lambda::Function", "AWS::CloudWatch::Alarm")
    listed = client("cloudformation").describe_stack_resources(StackName=f"turnout-dev-{model}")["StackResources"]
    (found,) = (
        resource["PhysicalResourceId"]
        for resource in listed
        if resource["LogicalResourceId"].startswith(logical) and resource["ResourceType"] in kinds
    )
    return found


def test_serve_answers_the_old_score_and_says_how_old_its_data_are(door, stale):
    answer = door.lookup("late", "k1")
    assert (answer.status, answer.body["prediction"], answer.body["stale"]) == (200, 2.0, True)
    assert answer.body["data_as_of"] == stale
    assert answer.body["age_seconds"] >= DAYS * 86_400 > (datetime.now(UTC) - scored(answer)).total_seconds()


def scored(answer) -> datetime:
    return datetime.fromisoformat(answer.body["scored_at"])


def test_refuse_answers_503_with_the_age_and_the_limit_for_each_key(door, stale):
    answer = door.lookup("cracked", "k1")
    error = answer.body["error"]
    assert (answer.status, error["code"], error["data_as_of"]) == (503, "stale_scores", stale)
    assert error["age_seconds"] >= DAYS * 86_400 > error["max_staleness_seconds"] == 2 * 86_400
    assert int(answer.headers["retry-after"]) > 0
    several = door.predict("cracked", {"instances": [{"key": "k1"}, {"key": "absent"}]})
    codes = [entry["error"]["code"] for entry in several.body["predictions"]]
    assert (several.status, codes) == (200, ["stale_scores", "unknown_key"])


def test_live_asks_the_model_where_there_are_features_and_serves_the_old_score_where_not(door, stale):
    key = json.loads(rows_of("patient", datetime.now(UTC))["rows.jsonl"].splitlines()[0])["name"]
    without = door.lookup("patient", key).body
    assert (without["source"], without["stale"], without["data_as_of"]) == ("precomputed", True, stale)
    asked = door.predict("patient", {"key": key, "features": {"x": 9.0}}).body
    assert (asked["source"], asked["prediction"], asked["stale"]) == ("live", 3.0, False)
    assert door.lookup("patient", key).body["source"] == "remembered"


@pytest.mark.local_only("an alarm that need not wait a quarter of an hour for what was measured before")
def test_the_alarm_rings_and_ends_with_the_first_look_at_newer_data(client, cloud, platform, model, door, look, stale):
    alarm = one(client, "late", "AlarmsStale")
    state = lambda: client("cloudwatch").describe_alarms(AlarmNames=[alarm])["MetricAlarms"][0]["StateValue"]  # noqa: E731
    control.age_metric(cloud, metrics.DATA_AGE_SECONDS, ALARM_SECONDS)
    found = look("late")
    assert (found["data_as_of"], found["started"]) == (stale, None)
    wait_for(lambda: state() == "ALARM", "the alarm to ring")
    put_input(client, platform, "late", rows_of("late", datetime.now(UTC)))
    assert run(model("late"), platform).status == "SUCCEEDED"
    assert look("late")["age_seconds"] < 60
    wait_for(lambda: state() == "OK", "the alarm to end")
    wait_for(lambda: door.lookup("late", "k1").body["stale"] is False, "the new scores", seconds=10)


def test_age_starts_one_run_and_new_data_are_served_again(client, platform, model, door, look, stale):
    cracked = model("cracked")
    put_input(client, platform, "cracked", rows_of("cracked", datetime.now(UTC)))
    found = look("cracked")
    assert found["started"], found["why"]
    assert look("cracked")["started"] is None
    ended = follow(cracked, platform, found["started"])
    assert (ended.status, ended.run.trigger) == ("SUCCEEDED", "age")
    wait_for(lambda: door.lookup("cracked", "k1").status == 200, "the new scores", seconds=10)
    assert look("cracked")["why"] == "the data are young enough"
