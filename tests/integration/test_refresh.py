"""Single keys scored by event, from EventBridge to the answer of a lookup."""

import json
import time
import uuid
from datetime import UTC, datetime, timedelta

import pytest

from tests.integration.conftest import STAGE, _parquet
from tests.integration.pipeline_runs import counted, put_input, run, wait_for

MODEL = "mixed"
#: The goal is two seconds, which `benchmarks/refresh.py` measures; a busy machine may take longer.
SECONDS = 10


@pytest.fixture(scope="module")
def put(client, platform):
    """A function that puts one event, as a system of the user's own does."""

    def put(key: str, features: dict, at: datetime | None = None, **more) -> None:
        detail = {"model": MODEL, "key": key, "features": features, **more}
        if at is not None:
            detail["data_as_of"] = at.isoformat()
        entry = {"Source": "shop.checkout", "DetailType": "Refresh Prediction", "Detail": json.dumps(detail)}
        answered = client("events").put_events(Entries=[entry])
        assert answered["FailedEntryCount"] == 0, answered

    return put


@pytest.fixture
def shows(door):
    """A function that waits until a lookup of a key shows a prediction, and returns the answer's body."""

    def shows(key: str, prediction: float) -> dict:
        probe = lambda: (found := door.lookup(MODEL, key).body).get("prediction") == prediction and found  # noqa: E731
        return wait_for(probe, f"{prediction} for {key}", SECONDS)

    return shows


def test_an_event_scores_its_key_and_neither_duplicates_nor_late_events_change_that(put, shows, door, samples):
    key, other = f"event-{uuid.uuid4()}", f"event-{uuid.uuid4()}"
    first, second, third = samples[:3]
    now = datetime.now(UTC)
    began = time.monotonic()
    put(key, first["features"], now)
    found = shows(key, first["churn_probability"])
    print(f"from event to answer: {time.monotonic() - began:.2f} s")
    assert (found["source"], found["generation"], found["age_seconds"] < 60) == ("refreshed", None, True)
    put(key, first["features"], now)
    put(key, second["features"], now - timedelta(minutes=1))
    put(other, third["features"], stage=STAGE)
    shows(other, third["churn_probability"])
    assert door.lookup(MODEL, key).body["scored_at"] == found["scored_at"]
    put(key, second["features"], now + timedelta(seconds=1))
    put(key, third["features"], now + timedelta(seconds=2))
    shows(key, third["churn_probability"])


def test_a_newer_generation_supersedes_what_an_event_brought_and_the_next_event_that(
    put, shows, client, platform, model, door, samples
):
    key = f"event-{uuid.uuid4()}"
    put(key, samples[1]["features"])
    assert shows(key, samples[1]["churn_probability"])["source"] == "refreshed"
    types = {feature["name"]: feature["type"] for feature in door.describe(MODEL).body["schema"]["features"]}
    put_input(client, platform, MODEL, {"samples.parquet": _parquet([{**samples[0], "customer_id": key}], types)})
    assert run(model(MODEL), platform).status == "SUCCEEDED"
    assert shows(key, samples[0]["churn_probability"])["source"] == "precomputed"
    put(key, samples[2]["features"])
    assert shows(key, samples[2]["churn_probability"])["source"] == "refreshed"


def test_poison_goes_to_the_dead_letters_with_its_reason_and_is_counted(put, client, samples):
    resources = client("cloudformation").describe_stack_resources(StackName=f"turnout-{STAGE}-{MODEL}")
    (letters,) = [
        resource["PhysicalResourceId"]
        for resource in resources["StackResources"]
        if resource["LogicalResourceId"].startswith("RefreshDeadLetters")
    ]
    put("poison", {**samples[0]["features"], "colour": "red"})
    receive = lambda: client("sqs").receive_message(  # noqa: E731
        QueueUrl=letters, MessageAttributeNames=["All"], WaitTimeSeconds=1
    ).get("Messages")  # fmt: skip
    (letter,) = wait_for(receive, "the letter", SECONDS)
    said = {name: attribute["StringValue"] for name, attribute in letter["MessageAttributes"].items()}
    assert (said["Code"], "colour" in said["Reason"]) == ("bad_features", True)
    assert json.loads(letter["Body"])["detail"]["key"] == "poison"
    client("sqs").delete_message(QueueUrl=letters, ReceiptHandle=letter["ReceiptHandle"])
    wait_for(lambda: counted(client, "Turnout", "RefreshRejected", Stage=STAGE, Model=MODEL) == 1, "the metric")


def test_an_event_for_another_stage_is_for_nobody_here(put, shows, door, samples):
    elsewhere, here = f"event-{uuid.uuid4()}", f"event-{uuid.uuid4()}"
    put(elsewhere, samples[0]["features"], stage="prod")
    put(here, samples[0]["features"])
    shows(here, samples[0]["churn_probability"])
    assert door.lookup(MODEL, elsewhere).status == 404
