"""Predictions made at the moment of the request: the same in every mode, once per key, within limits that are said."""

import http.client
import io
import json
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import pyarrow.parquet as pq
import pytest
import requests

from handlers.contract.modes import AVAILABLE, ServingMode
from handlers.contract.records import MINUTE, NO_SORT, PK, SK
from handlers.logic.moments import format_moment
from tests.integration.conftest import ROOT, SCORED_IN_HYBRID, STAGE, STANDS_FOR, Signed
from tests.integration.pipeline_runs import counted, put_input, run, wait_for
from turnout.errors import CallFailed
from turnout.front_door import Answer, FrontDoor

MEGABYTE = 2**20
JSON = {"Content-Type": "application/json"}
#: Misses for one key, all under way before the first is answered.
HERD = 1_000
#: `hybrid.max_live_per_minute` of the model `patient`.
CAP = 5
#: The front door waits for a model for 24 s.
TOO_SLOW = 40


@pytest.fixture(scope="module")
def endpoint_of(client) -> Callable[[str], str]:
    def name(model: str) -> str:
        (stack,) = client("cloudformation").describe_stacks(StackName=f"turnout-{STAGE}-{model}")["Stacks"]
        return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}["EndpointName"]

    return name


def invocations(client, endpoint: str) -> float:
    """Count the calls that SageMaker has handed to an endpoint's model."""
    return counted(client, "AWS/SageMaker", "Invocations", EndpointName=endpoint, VariantName="AllTraffic")


def at_the_door(client, model: str, *names: str) -> Counter:
    """Return what the front door has counted of a model, by metric."""
    return Counter({name: counted(client, "Turnout", name, Stage=STAGE, Model=model) for name in names})


def all_at_once(door: FrontDoor, model: str, body: dict, count: int) -> list[tuple[int, dict]]:
    """POST the same body `count` times over as many connections; return statuses and bodies.

    Each connection first gets its request but for the last byte, and then all of them get that byte, before any
    answer is read: every request is under way together with all others. How long they wait is up to this machine, on
    which four environments of the function share two cores; an API would give up after 30 s. An account runs 1,000
    requests at once, so nothing else may be asked meanwhile.
    """
    url, raw = f"{door.api_url}/models/{model}/predictions", json.dumps(body).encode()
    signed = requests.Request("POST", url, data=raw, auth=Signed(), headers=JSON).prepare()
    connections = [http.client.HTTPConnection(urlsplit(url).netloc, timeout=120) for _ in range(count)]
    try:
        for connection in connections:
            connection.request("POST", signed.path_url, raw[:-1], dict(signed.headers))
        for connection in connections:
            connection.send(raw[-1:])
        responses = [connection.getresponse() for connection in connections]
        return [(response.status, json.loads(response.read())) for response in responses]
    finally:
        for connection in connections:
            connection.close()


@pytest.mark.local_only("AWS's API takes in 500 requests at once and refuses the others itself")
def test_a_thousand_misses_for_one_key_cause_one_live_call(client, door, endpoint_of):
    names = ("Requests", "Hits", "Misses", "LiveCalls", "Remembered", "Errors")
    endpoint, key = endpoint_of("patient"), f"herd-{uuid.uuid4()}"
    calls, counts = invocations(client, endpoint), at_the_door(client, "patient", *names)
    answers = all_at_once(door, "patient", {"key": key, "features": {"x": 2.0, "seconds": 1.0}}, HERD)
    assert Counter(status for status, _ in answers) == {200: HERD}
    assert {(body["key"], body["prediction"]) for _, body in answers} == {(key, 2.0 / 3.0)}
    assert Counter(body["source"] for _, body in answers) == {"live": 1, "remembered": HERD - 1}
    assert invocations(client, endpoint) - calls == 1
    wanted = Counter(Requests=HERD, Misses=HERD, LiveCalls=1, Remembered=HERD - 1)
    wait_for(lambda: at_the_door(client, "patient", *names) - counts == wanted, "the front door's metrics")


@pytest.fixture(scope="module")
def asked_slowly(door) -> Future:
    """Ask a question that takes too long; its seconds pass while the tests after this one run."""
    waiting: Future = Future()

    def ask() -> None:
        began = time.monotonic()
        try:
            answer = door.predict("heavy", {"features": {"seconds": TOO_SLOW}})
        except CallFailed as error:
            waiting.set_exception(error)
        else:
            waiting.set_result((answer, time.monotonic() - began))

    threading.Thread(target=ask, daemon=True).start()
    return waiting


def results(client, run, key: str, prediction: str) -> dict[str, Any]:
    """Return the predictions in a run's Parquet files by key."""
    bucket, _, prefix = run.report["results_uri"].removeprefix("s3://").partition("/")
    found = {}
    for item in client("s3").list_objects_v2(Bucket=bucket, Prefix=prefix)["Contents"]:
        table = pq.read_table(io.BytesIO(client("s3").get_object(Bucket=bucket, Key=item["Key"])["Body"].read()))
        found.update(zip(table[key].to_pylist(), table[prediction].to_pylist(), strict=True))
    return found


def predictions_of(answer: Answer, source: str) -> list[dict]:
    assert answer.status == 200, answer
    predictions = answer.body["predictions"]
    assert {prediction.get("source") for prediction in predictions} == {source}, predictions
    return predictions


def asked(door: FrontDoor, model: str, instances: list[dict], source: str) -> list[dict]:
    """Return the predictions for several instances, all of them from `source`."""
    return predictions_of(door.predict(model, {"instances": instances}), source)


def keys_and_features(samples: list[dict]) -> list[dict]:
    return [{"key": row["customer_id"], "features": row["features"]} for row in samples]


@pytest.fixture(scope="module")
def accepted(door, samples) -> Answer:
    """The samples, left with mode async: the endpoint wakes up while other modes get ready."""
    answer = door.predict("queued", {"instances": keys_and_features(samples)})
    assert answer.status == 202, answer
    return answer


@pytest.fixture(scope="module")
def answers(door, accepted, scored, samples) -> dict[str, list[dict]]:
    """The answers about the samples, by who gave them; keys alone where a score is to answer."""
    whole = keys_and_features(samples)
    keys = [{"key": instance["key"]} for instance in whole]
    misses = [{**instance, "key": f"{instance['key']}-{uuid.uuid4()}"} for instance in whole]
    fetched = lambda: (got := door.call("GET", accepted.headers["location"])).status != 202 and got  # noqa: E731
    return {
        "precompute": asked(door, "churn", keys, "precomputed"),
        "hybrid, by key": asked(door, "mixed", keys[:SCORED_IN_HYBRID], "precomputed"),
        "hybrid, a score before the model": asked(door, "mixed", whole[:SCORED_IN_HYBRID], "precomputed"),
        "hybrid, by the model": asked(door, "mixed", misses, "live"),
        "hybrid, remembered": asked(door, "mixed", [{"key": miss["key"]} for miss in misses], "remembered"),
        "realtime": asked(door, "live", whole, "live"),
        "realtime, one by one": [asked(door, "live", [instance], "live")[0] for instance in whole],
        "serverless": asked(door, "burst", whole, "live"),
        "async": predictions_of(wait_for(fetched, "the asynchronous answer"), "async"),
    }


@pytest.mark.usefixtures("asked_slowly")
def test_six_modes_say_what_training_said_to_the_last_bit(client, scored, samples, answers):
    expected = [row["churn_probability"] for row in samples]
    assert len(set(expected)) > len(expected) / 2
    in_files = results(client, scored["weekly"].run, "customer_id", "churn_probability")
    assert [in_files[row["customer_id"]] for row in samples] == expected
    for who, predictions in answers.items():
        assert [prediction["prediction"] for prediction in predictions] == expected[: len(predictions)], who


def test_what_they_say_is_of_one_version_of_one_model_in_all_modes(answers, model):
    given = {prediction["mode"] for predictions in answers.values() for prediction in predictions}
    assert given | {ServingMode.BATCH} == AVAILABLE
    versions = {prediction["model_version"] for predictions in answers.values() for prediction in predictions}
    assert versions == {model(name).model_version for name in STANDS_FOR.values()}
    assert len(versions) == 1


def test_rows_that_lack_features_get_the_same_prediction_from_batch_by_key_and_live(client, door, model, platform):
    """The sample model wants every feature; this one may be left without any."""
    rows = json.loads((ROOT / "tests/integration/models/patient/artifact/sample_payloads.json").read_text())["rows"]
    now = format_moment(datetime.now(UTC))
    lines = "\n".join(json.dumps({"name": row["name"], "at": now, **row["features"]}) for row in rows)
    put_input(client, platform, "patient", {"rows.jsonl": lines.encode()})
    ended = run(model("patient"), platform)
    assert ended.status == "SUCCEEDED", ended.run
    expected = [row["third"] for row in rows]
    in_files = results(client, ended.run, "name", "third")
    assert [in_files[row["name"]] for row in rows] == expected
    by_key = [{"key": row["name"]} for row in rows]
    null = [{"features": row["features"]} for row in rows]
    left_out = [{"features": {name: v for name, v in row["features"].items() if v is not None}} for row in rows]
    assert {} in [instance["features"] for instance in left_out]
    for name, instances, source in (
        ("patient", by_key, "precomputed"),
        ("patient", null, "live"),
        ("heavy", null, "live"),
        ("heavy", left_out, "live"),
    ):
        assert [answer["prediction"] for answer in asked(door, name, instances, source)] == expected, (name, source)


def within_one_minute(act: Callable[[], Any]) -> Any:
    """Return what `act` returns once it began and ended in the same minute of the clock, by which the cap counts."""
    while True:
        minute = datetime.now(UTC).minute
        result = act()
        if datetime.now(UTC).minute == minute:
            return result


@pytest.fixture
def fresh_minute(client, model) -> Callable[[], None]:
    """A function that has the model `patient` forget the live calls of the minute that has begun."""

    def forget() -> None:
        minute = {PK: {"S": f"{MINUTE}{datetime.now(UTC):%Y%m%dT%H%M}"}, SK: {"S": NO_SORT}}
        client("dynamodb").delete_item(TableName=model("patient").table_name, Key=minute)

    return forget


def test_the_cap_allows_so_many_live_calls_in_a_minute_and_no_more(client, door, endpoint_of, fresh_minute):
    endpoint, names = endpoint_of("patient"), ("LiveCalls", "LiveRefused")
    bodies = [{"key": f"capped-{uuid.uuid4()}", "features": {"x": 3.0}} for _ in range(4 * CAP)]

    def ask() -> tuple[list[Answer], float, Counter]:
        fresh_minute()
        calls, counts = invocations(client, endpoint), at_the_door(client, "patient", *names)
        with ThreadPoolExecutor(2 * CAP) as callers:
            answers = list(callers.map(lambda body: door.predict("patient", body), bodies))
        return answers, calls, counts

    answers, calls, counts = within_one_minute(ask)
    assert Counter(answer.status for answer in answers) == {200: CAP, 429: 3 * CAP}
    assert invocations(client, endpoint) - calls == CAP
    for refused in (answer for answer in answers if answer.status == 429):
        error = refused.body["error"]
        assert (error["code"], error["limit_per_minute"]) == ("live_limit_reached", CAP)
        assert f"asked {CAP} times in this minute" in error["message"]
        assert 1 <= int(refused.headers["retry-after"]) == error["retry_after_seconds"] <= 60
    wanted = Counter(LiveCalls=CAP, LiveRefused=3 * CAP)
    wait_for(lambda: at_the_door(client, "patient", *names) - counts == wanted, "the front door's metrics")


def test_hits_misses_and_live_calls_are_metrics_from_which_rates_follow(client, door, scored, samples):
    names = ("Requests", "Hits", "Misses", "LiveCalls", "Remembered")
    counts = at_the_door(client, "mixed", *names)
    hits = [row["customer_id"] for row in samples[:SCORED_IN_HYBRID]][:7]
    misses = [{"key": f"new-{uuid.uuid4()}", "features": row["features"]} for row in samples[:3]]
    for key in hits:
        assert door.lookup("mixed", key).status == 200
    for miss in misses:
        assert door.predict("mixed", miss).body["source"] == "live"
        assert door.lookup("mixed", miss["key"]).body["source"] == "remembered"
    wanted = Counter(Requests=13, Hits=7, Misses=6, LiveCalls=3, Remembered=3)
    wait_for(lambda: at_the_door(client, "mixed", *names) - counts == wanted, "the front door's metrics")


def refused(answer: Answer) -> tuple[int, str, str]:
    error = answer.body["error"]
    return answer.status, error["code"], error["message"]


class TestLimits:
    def test_a_body_of_five_megabytes_is_answered_and_one_byte_more_refused(self, door, samples):
        url, plain = f"{door.api_url}/models/live/predictions", json.dumps({"features": samples[0]["features"]})
        most, more = (
            requests.post(url, plain.ljust(size).encode(), headers=JSON, auth=Signed(), timeout=31)
            for size in (5 * MEGABYTE, 5 * MEGABYTE + 1)
        )
        assert (most.status_code, most.json().get("prediction")) == (200, samples[0]["churn_probability"])
        error = more.json()["error"]
        assert (more.status_code, error["code"], error["limit_bytes"]) == (413, "payload_too_large", 5 * MEGABYTE)
        assert "5,242,881 bytes" in error["message"]
        assert "AWS Lambda" in error["message"]

    def test_what_a_serverless_endpoint_takes_is_answered_and_one_byte_more_refused(self, door):
        line = len(',,,""\n')
        most = {"features": {"note": "n" * (4 * MEGABYTE - line)}}
        assert door.predict("heavy", most).body["prediction"] == 1.0 / 3.0
        answer = door.predict("heavy", {"features": {"note": "n" * (4 * MEGABYTE - line + 1)}})
        status, code, message = refused(answer)
        assert (status, code) == (413, "payload_too_large")
        assert "4,194,305 bytes" in message
        assert "4 MB, the limit of a serverless endpoint" in message
        assert answer.body["error"]["limit_bytes"] == 4 * MEGABYTE

    def test_an_answer_that_lambda_cannot_carry_says_so(self, door, fresh_minute):
        fresh_minute()
        letters = 100_000
        instances = [{"features": {"letters": letters}}] * (6 * MEGABYTE // letters + 1)
        status, code, message = refused(door.predict("patient", {"instances": instances}))
        assert (status, code) == (413, "payload_too_large")
        assert "6 MB, the limit of AWS Lambda" in message
        assert "ask for fewer instances" in message

    def test_an_answer_that_the_endpoint_cannot_carry_is_a_failure_of_the_model_with_its_size(self, door):
        status, code, message = refused(door.predict("heavy", {"features": {"letters": 4 * MEGABYTE}}))
        assert (status, code) == (502, "model_failed")
        assert f"response of {4 * MEGABYTE + 1} bytes exceeds {4 * MEGABYTE} bytes" in message

    def test_a_model_that_takes_longer_than_an_api_waits_is_a_timeout_in_time(self, asked_slowly):
        answer, seconds = asked_slowly.result(timeout=60)
        assert refused(answer)[:2] == (504, "model_timeout")
        assert "did not answer within the time that an HTTP API leaves" in refused(answer)[2]
        assert seconds < TOO_SLOW
        assert answer.headers["retry-after"] == "1"
