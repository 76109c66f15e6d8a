"""The deployed front door where answers come later, called as an application would: POST, then GET its Location."""

import contextlib
import importlib.util
import json
import random
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import psutil
import pytest

from handlers.contract.layout import async_input_key
from tests.integration.conftest import ROOT, STAGE
from tests.integration.pipeline_runs import wait_for
from turnout.front_door import Answer, FrontDoor
from turnout.local import control

REQUESTS, DELIVERIES = 100, 2
#: Callers at a time; they share two cores with all that they call.
CALLERS = 8
#: Seconds within which an answer must be there: an alarm, a cooldown, a container's start, and the work.
SOON = 60
UPLOAD_ROWS, UPLOAD_ROW_BYTES = 20_000, 10_000
VARIANT = "AllTraffic"

local_only = pytest.mark.local_only("it takes instances away, and has requests delivered twice or expire")


class Endpoint:
    """The asynchronous endpoint behind a model's front door."""

    def __init__(self, client: Callable, cloud: control.LocalCloud | None, model: str) -> None:
        (stack,) = client("cloudformation").describe_stacks(StackName=f"turnout-{STAGE}-{model}")["Stacks"]
        outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
        self.name = outputs["EndpointName"]
        self.success_topic, self.error_topic = outputs["SuccessTopicArn"], outputs["ErrorTopicArn"]
        self._client, self._cloud = client, cloud

    def processes(self) -> int:
        """Count the processes of the endpoint's containers."""
        count = 0
        for process in psutil.Process(self._cloud.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):  # it may end while we look
                count += f"/endpoint-{self.name}-" in process.environ().get("TURNOUT_MODEL_DIR", "")
        return count

    def rest(self) -> None:
        """Take every instance away and wait until no process is left."""
        wait_for(self._rests, f"{self.name} at zero", SOON)

    def _rests(self) -> bool:
        sagemaker = self._client("sagemaker")
        described = sagemaker.describe_endpoint(EndpointName=self.name)
        (variant,) = described["ProductionVariants"]
        if described["EndpointStatus"] == "InService" and variant["DesiredInstanceCount"]:
            none = [{"VariantName": VARIANT, "DesiredInstanceCount": 0}]
            with contextlib.suppress(sagemaker.exceptions.ClientError):  # its scaling may be at work just now
                sagemaker.update_endpoint_weights_and_capacities(
                    EndpointName=self.name, DesiredWeightsAndCapacities=none
                )
        return variant["CurrentInstanceCount"] == 0 and not self.processes()

    def last_scaled(self) -> dict[str, Any]:
        """Return the newest scaling activity; empty before the first."""
        activities = self._client("application-autoscaling").describe_scaling_activities(
            ServiceNamespace="sagemaker", ResourceId=f"endpoint/{self.name}/variant/{VARIANT}"
        )["ScalingActivities"]
        return activities[0] if activities else {}

    def processed(self) -> float:
        """Return how many deliveries the endpoint has come to an end with, whatever that was."""
        now = time.time()
        points = self._client("cloudwatch").get_metric_statistics(
            Namespace="AWS/SageMaker",
            MetricName="InvocationsProcessed",
            Dimensions=[{"Name": "EndpointName", "Value": self.name}, {"Name": "VariantName", "Value": VARIANT}],
            StartTime=now - 3600,
            EndTime=now + 60,
            Period=7200,
            Statistics=["Sum"],
        )["Datapoints"]
        return sum(point["Sum"] for point in points)


@pytest.fixture(scope="module")
def endpoint(client, cloud, platform):
    """A function from a model's name to its asynchronous endpoint."""
    return lambda model: Endpoint(client, cloud, model)


@pytest.fixture(scope="module")
def in_process(trained) -> Callable[[list[dict]], list[float]]:
    """A function from instances' features to what the model itself predicts, with nothing of ours in between."""
    found = importlib.util.spec_from_file_location("churn_inference", ROOT / "model_code/churn/inference.py")
    script = importlib.util.module_from_spec(found)
    found.loader.exec_module(script)
    model = script.model_fn(trained)
    return lambda rows: script.predict_fn(
        np.array([[row[name] for name in script.FEATURES] for row in rows], dtype=float), model
    ).tolist()


def customer(chance: random.Random) -> dict[str, float]:
    """Return the features of some customer."""
    return {
        "recency_days": chance.randint(1, 700),
        "purchase_days": chance.randint(1, 40),
        "mean_amount_usd": round(chance.uniform(1, 300), 2),
        "tenure_days": chance.randint(1, 700),
        "mean_gap_days": round(chance.uniform(1, 200), 2),
        "last_amount_usd": round(chance.uniform(1, 300), 2),
        "cds_bought": chance.randint(1, 100),
        "purchase_days_91d": chance.randint(0, 20),
        "cohort_month": chance.randint(1, 3),
    }


@contextlib.contextmanager
def faults(cloud: control.LocalCloud, **wanted: Any) -> Iterator[None]:
    """Have things go wrong for a while."""
    control.set_faults(cloud, **wanted)
    try:
        yield
    finally:
        control.set_faults(cloud)


@contextlib.contextmanager
def subscribed(client: Callable, topic: str) -> Iterator[Callable[[], dict[str, dict]]]:
    """Give a function that returns what a topic has said since, by the request that it was about."""
    sns, sqs, heard = client("sns"), client("sqs"), {}
    queue = sqs.create_queue(QueueName=f"hear-{random.randrange(2**40):x}")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    subscription = sns.subscribe(
        TopicArn=topic,
        Protocol="sqs",
        Endpoint=arn,
        Attributes={"RawMessageDelivery": "true"},
        ReturnSubscriptionArn=True,
    )["SubscriptionArn"]

    def listen() -> dict[str, dict]:
        while messages := sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", []):
            for message in messages:
                told = json.loads(message["Body"])
                heard[told["inferenceId"]] = told
                sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
        return heard

    try:
        yield listen
    finally:
        sns.unsubscribe(SubscriptionArn=subscription)
        sqs.delete_queue(QueueUrl=queue)


def accept(door: FrontDoor, model: str, body: dict) -> Answer:
    """POST a body that is answered later."""
    accepted = door.predict(model, body)
    assert accepted.status == 202, accepted.body
    return accepted


def follow(door: FrontDoor, accepted: Answer) -> Answer:
    """GET the place where the answer will be until it is there."""

    def answered() -> Answer | None:
        found = door.call("GET", accepted.headers["location"])
        return None if found.status == 202 else found

    return wait_for(answered, f"the answer at {accepted.headers['location']}", SOON)


def error_of(answer: Answer) -> tuple[int, str | None]:
    return answer.status, answer.body.get("error", {}).get("code")


@dataclass(frozen=True)
class ColdRun:
    """A hundred requests that came while nothing ran, each delivered twice; lists in the order of the requests."""

    instances: list[dict]
    accepted: list[Answer]
    running_then: int
    pending: Answer
    woken: dict[str, Any]
    answers: list[Answer]
    processed: float
    answers_again: list[Answer]
    told: dict[str, dict]


@pytest.fixture(scope="module")
def cold(client, cloud, door, endpoint, in_process) -> ColdRun:
    queued, instances = endpoint("queued"), of_different_predictions(in_process)
    queued.rest()
    before = queued.processed()
    with ThreadPoolExecutor(CALLERS) as callers, subscribed(client, queued.success_topic) as told:
        with faults(cloud, async_deliveries=DELIVERIES, endpoint_starts="never"):
            accepted = [accept(door, "queued", instances[0])]
            woken = wait_for(lambda: woken_up(queued), "the alarm that starts an instance")
            accepted += callers.map(lambda one: accept(door, "queued", one), instances[1:])
            pending, running = door.call("GET", accepted[0].headers["location"]), queued.processes()
        answers = list(callers.map(lambda one: follow(door, one), accepted))
        wait_for(lambda: queued.processed() - before >= REQUESTS * DELIVERIES, "every delivery's end", SOON)
        again = list(callers.map(lambda one: follow(door, one), accepted))
        processed = queued.processed() - before
        # A delivery counts as processed once its message is out, so every message is there.
        return ColdRun(instances, accepted, running, pending, woken, answers, processed, again, told())


def of_different_predictions(in_process: Callable) -> list[dict]:
    """Return instances that differ in their prediction, so that an answer to another request would be seen."""
    chance = random.Random(7)
    customers = [customer(chance) for _ in range(10 * REQUESTS)]
    by_prediction = dict(zip(in_process(customers), customers, strict=True))
    assert len(by_prediction) >= REQUESTS
    chosen = list(by_prediction.values())[:REQUESTS]
    return [{"key": f"{place:05d}", "features": features} for place, features in enumerate(chosen)]


def woken_up(endpoint: Endpoint) -> dict[str, Any] | None:
    activity = endpoint.last_scaled()
    return activity if activity.get("Description", "").endswith(" to 1.") else None


@local_only
class TestAHundredRequestsFromCold:
    def test_each_is_taken_in_with_a_place_of_its_own_while_nothing_runs(self, cold):
        assert cold.running_then == 0
        assert {one.headers["location"] for one in cold.accepted} == {
            f"/models/queued/predictions?request={one.body['request']}" for one in cold.accepted
        }
        assert len({one.body["request"] for one in cold.accepted}) == REQUESTS

    def test_one_that_waits_is_pending_and_says_when_to_ask_again(self, cold):
        assert (cold.pending.status, cold.pending.body["status"]) == (202, "pending")
        assert cold.pending.body["request"] == cold.accepted[0].body["request"]
        assert cold.pending.headers["retry-after"] == str(cold.pending.body["retry_after_seconds"])
        assert int(cold.pending.headers["retry-after"]) >= 1

    def test_they_wake_the_endpoint_by_its_alarm(self, cold, endpoint):
        assert cold.woken["Cause"].startswith("monitor alarm")
        assert cold.woken["Cause"].endswith(f"triggered policy {endpoint('queued').name}-wake")

    def test_each_gets_the_prediction_for_its_own_features_to_the_last_bit(self, cold, in_process):
        assert {answer.status for answer in cold.answers} == {200}
        assert [answer.body["key"] for answer in cold.answers] == [one["key"] for one in cold.instances]
        expected = in_process([one["features"] for one in cold.instances])
        assert [answer.body["prediction"] for answer in cold.answers] == expected
        assert len(set(expected)) == REQUESTS
        assert {answer.body["source"] for answer in cold.answers} == {"async"}

    def test_being_delivered_twice_leaves_each_one_answer(self, cold):
        moments = ("scored_at", "data_as_of", "age_seconds")

        def lasting(answer: Answer) -> dict:
            return {name: value for name, value in answer.body.items() if name not in moments}

        assert cold.processed == REQUESTS * DELIVERIES
        assert [lasting(answer) for answer in cold.answers_again] == [lasting(answer) for answer in cold.answers]

    def test_the_success_topic_tells_of_each(self, cold):
        assert {*cold.told} == {one.body["request"] for one in cold.accepted}
        assert {told["invocationStatus"] for told in cold.told.values()} == {"Completed"}


@pytest.fixture
def uploads(client, door, platform):
    """A function that has a payload's place handed out; what was PUT there is removed in the end."""
    handed = []

    def hand_out(model: str) -> dict:
        handed.append((model, door.call("POST", f"/models/{model}/uploads", {}).body))
        return handed[-1][1]

    yield hand_out
    for model, one in handed:
        client("s3").delete_object(Bucket=platform.data_bucket, Key=async_input_key(model, one["upload"]))


def put(url: str, payload, size: int) -> None:
    """PUT a payload (bytes, or an iterable of them), without holding it in memory."""
    request = urllib.request.Request(url, data=payload, method="PUT", headers={"Content-Length": str(size)})
    with urllib.request.urlopen(request, timeout=SOON) as response:
        assert response.status == 200


def test_two_hundred_megabytes_are_uploaded_scored_and_handed_out(door, uploads, in_process):
    chance = random.Random(11)
    customers = [customer(chance) for _ in range(UPLOAD_ROWS)]
    handed = uploads("queued")

    def padded(row: dict) -> bytes:
        text = ",".join(repr(row[name]) for name in handed["columns"])
        return text.rjust(UPLOAD_ROW_BYTES - 1).encode() + b"\n"  # numbers may have blanks around them

    put(handed["url"], map(padded, customers), UPLOAD_ROWS * UPLOAD_ROW_BYTES)
    answer = follow(door, accept(door, "queued", {"upload": handed["upload"]}))
    assert answer.status == 200, answer.body
    with urllib.request.urlopen(answer.body["output_uri"], timeout=SOON) as response:
        lines = response.read().splitlines()
    assert [float(line) for line in lines] == in_process(customers)


def test_what_a_script_raises_in_awss_scikit_learn_image_is_the_models_failure(door, uploads):
    """The image makes a page of 500 of whatever a script raises, so nobody can tell that these rows were refused."""
    handed = uploads("queued")
    put(handed["url"], b"1,2,3\n", 6)
    answer = follow(door, accept(door, "queued", {"upload": handed["upload"]}))
    assert error_of(answer) == (502, "model_failed")
    assert "stands in the container's log" in answer.body["error"]["message"]


@local_only
def test_a_request_that_nobody_took_in_time_says_that_it_expired(client, cloud, door, endpoint):
    queued = endpoint("queued")
    queued.rest()
    with subscribed(client, queued.error_topic) as told, faults(cloud, async_ttl_seconds=0.2):
        accepted = accept(door, "queued", {"features": customer(random.Random(1))})
        answer = follow(door, accepted)
        told_of = wait_for(lambda: told().get(accepted.body["request"]), "the topic's message")
    assert error_of(answer) == (410, "request_expired")
    assert "waited longer than 0.2 seconds" in answer.body["error"]["message"]
    assert (told_of["invocationStatus"], queued.processes()) == ("Failed", 0)
    assert "waited longer than 0.2 seconds" in told_of["failureReason"]


@local_only
def test_a_model_that_fails_is_told_on_the_requests_place_and_its_topic(client, door, endpoint):
    with subscribed(client, endpoint("late").error_topic) as told:
        accepted = accept(door, "late", {"key": "unlucky", "features": {"x": 666}})
        answer = follow(door, accepted)
        told_of = wait_for(lambda: told().get(accepted.body["request"]), "the topic's message")
    assert error_of(answer) == (502, "model_failed")
    assert "Internal Server Error" in answer.body["error"]["message"]
    assert "Received server error (500) from primary" in told_of["failureReason"]
    assert door.call("GET", accepted.headers["location"]).body == answer.body


def ask_after(door: FrontDoor, model: str, request: str) -> Answer:
    return door.call("GET", f"/models/{model}/predictions?request={request}")


def test_an_id_means_something_only_to_the_model_that_gave_it_out(door, uploads):
    accepted, handed = accept(door, "late", {"features": {"x": 4}}), uploads("late")
    put(handed["url"], b"7\n", 2)
    nobodys = accepted.body["request"][:-15] + "0" * 15
    strangers = [
        ask_after(door, "queued", accepted.body["request"]),
        ask_after(door, "late", nobodys),
        ask_after(door, "late", handed["upload"]),
        door.predict("late", {"upload": accepted.body["request"]}),
        door.predict("queued", {"upload": handed["upload"]}),
    ]
    assert [error_of(answer) for answer in strangers] == [(404, "unknown_request")] * len(strangers)
    assert follow(door, accepted).body["prediction"] == 8.0
    scored = follow(door, accept(door, "late", {"upload": handed["upload"]})).body["predictions"]
    assert [one["prediction"] for one in scored] == [14.0]


def test_an_id_is_never_taken_for_a_key_nor_a_key_for_an_id(door):
    first = accept(door, "late", {"key": "someone", "features": {"x": 5}})
    alike = first.body["request"]
    second = accept(door, "late", {"key": alike, "features": {"x": 6}})  # a key that is another request's id
    assert second.body["request"] != alike
    assert error_of(door.lookup("late", second.body["request"])) == (404, "unknown_key")
    assert error_of(ask_after(door, "late", "someone")) == (404, "unknown_request")
    assert [follow(door, one).body["prediction"] for one in (first, second)] == [10.0, 12.0]
    remembered = door.lookup("late", alike)
    assert (remembered.body["prediction"], remembered.body["key"], remembered.body["source"]) == (
        12.0,
        alike,
        "remembered",
    )
    assert ask_after(door, "late", alike).body["prediction"] == 10.0
