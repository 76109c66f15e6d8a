"""Refreshing against AWS in process: overlay and minute's count in the table, the queues, the entry end to end."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from botocore.exceptions import ClientError
from moto.dynamodb.responses import DynamoHandler

from handlers import predict, refresh
from handlers.adapters.clients import client
from handlers.adapters.event_queue import EventQueue, messages_of
from handlers.adapters.overlay_table import OverlayTable
from handlers.adapters.records_table import RecordsTable
from handlers.adapters.sagemaker_endpoint import SageMakerEndpoint
from handlers.adapters.score_table import ScoreTable
from handlers.contract.env import RefreshEnv
from handlers.contract.errors import BadBody, PayloadTooLarge, StoreUnavailable
from handlers.contract.records import Pointer, Refreshed
from handlers.logic.packing import pack
from handlers.logic.refreshing import Message
from tests.unit.handlers.conftest import BUCKET, TABLE, forget_environments, predict_env
from tests.unit.handlers.fakes import event
from tests.unit.handlers.world import manifest

EXPIRES, NOW = 2**40, 1_795_414_200
ENTRY = Refreshed(0.1 + 0.2, "v7", "2026-11-23T06:10:00.000Z", "2026-11-23T06:10:01Z", EXPIRES, "e1", 5)


@pytest.fixture
def overlay(aws, monkeypatch):
    """A table that takes one request at a time, as DynamoDB's writes are atomic and moto's are not."""
    lock, answer = threading.Lock(), DynamoHandler.call_action

    def one_at_a_time(handler):
        with lock:
            return answer(handler)

    monkeypatch.setattr(DynamoHandler, "call_action", one_at_a_time)
    return OverlayTable(client("dynamodb"), TABLE)


class TestOverlay:
    @pytest.mark.parametrize("prediction", [0.1 + 0.2, "high", [1.5, {"a": None}], None, True])
    def test_a_prediction_comes_back_bit_for_bit(self, overlay, prediction):
        entry = replace(ENTRY, prediction=prediction)
        assert overlay.refresh("a#b", entry, NOW) is True
        assert overlay.refreshed(["a#b", "other"]) == {"a#b": entry}

    @pytest.mark.parametrize(
        ("later", "wins"),
        [
            ({"data_as_of": "2026-11-23T06:10:00.001Z"}, True),
            ({"data_as_of": "2026-11-23T06:09:59.999Z"}, False),
            ({"arrived": 6}, True),
            ({"arrived": 4, "event": "e2"}, False),
            ({"arrived": 4, "model_version": "v8"}, True),
            ({"data_as_of": "2026-11-23T06:09:59.999Z", "model_version": "v8"}, False),
        ],
    )
    def test_only_newer_data_take_a_place(self, overlay, later, wins):
        entry = replace(ENTRY, prediction=0.5, **later)
        overlay.refresh("a", ENTRY, NOW)
        assert overlay.refresh("a", entry, NOW) is wins
        assert overlay.refreshed(["a"]) == {"a": entry if wins else ENTRY}

    def test_a_prediction_larger_than_an_item_is_refused_before_it_is_sent(self, overlay):
        overlay.refresh("a", replace(ENTRY, prediction="x" * 380_000), NOW)
        with pytest.raises(PayloadTooLarge, match="an entry of 400,"):
            overlay.refresh("b", replace(ENTRY, prediction="x" * 400_000), NOW)
        assert list(overlay.refreshed(["a", "b"])) == ["a"]

    def test_what_has_expired_makes_way(self, overlay):
        overlay.refresh("a", replace(ENTRY, expires_at=NOW), NOW)
        assert overlay.refresh("a", replace(ENTRY, data_as_of="2026-11-22T00:00:00.000Z"), NOW) is True

    def test_a_retry_inside_the_client_that_meets_its_own_write_has_written(self, overlay):
        overlay.refresh("a", ENTRY, NOW)
        assert overlay.refresh("a", ENTRY, NOW) is True

    def test_the_cap_holds_exactly_at_once_and_what_is_left_is_taken(self, overlay):
        with ThreadPoolExecutor(8) as pool:
            taken = list(pool.map(lambda _: overlay.take_turns("m", 7, 30, expires_at=EXPIRES), range(12)))
        assert sum(taken) == 30
        assert sorted(taken)[-5:] == [2, 7, 7, 7, 7]
        assert overlay.take_turns("n", 99, 30, expires_at=EXPIRES) == 30

    def test_a_table_that_does_not_answer_is_unavailable(self):
        class Broken:
            def __getattr__(self, name):
                def call(**arguments):
                    raise ClientError({"Error": {"Code": "ProvisionedThroughputExceededException"}}, name)

                return call

        table = OverlayTable(Broken(), TABLE)
        for use in (
            lambda: table.refreshed(["a"]),
            lambda: table.refresh("a", ENTRY, NOW),
            lambda: table.take_turns("m", 1, 1, expires_at=1),
        ):
            with pytest.raises(StoreUnavailable):
                use()


class Counting:
    """A client of DynamoDB that counts what it is asked."""

    def __init__(self, real):
        self.real, self.calls = real, []

    def __getattr__(self, name):
        def call(**arguments):
            self.calls.append((name, arguments))
            return getattr(self.real, name)(**arguments)

        return call


class TestReading:
    def test_scores_and_overlay_are_read_in_one_round_trip(self, overlay):
        counted = Counting(client("dynamodb"))
        scores, generation = ScoreTable(counted, TABLE), replace(manifest(), buckets=[1])
        scores.put(generation.id, 0, pack(["a", "b"], [0.5, 0.25]), expires_at=EXPIRES)
        overlay.refresh("b", ENTRY, NOW)
        overlay.refresh("c", ENTRY, NOW)
        counted.calls.clear()
        found, refreshed = scores.get_overlaid(generation, ["a", "b", "c", "d"])
        assert {key: score.prediction for key, score in found.items()} == {"a": 0.5, "b": 0.25}
        assert refreshed == {"b": ENTRY, "c": ENTRY}
        assert [name for name, _ in counted.calls] == ["batch_get_item"]

    def test_a_bucket_that_is_not_there_is_asked_for_again_and_an_entry_is_not(self, overlay):
        counted = Counting(client("dynamodb"))
        assert ScoreTable(counted, TABLE).get_overlaid(replace(manifest(), buckets=[1]), ["a"]) == ({}, {})
        (first, second) = [arguments["RequestItems"][TABLE] for _, arguments in counted.calls]
        assert (len(first["Keys"]), first["ConsistentRead"]) == (2, False)
        assert (len(second["Keys"]), second["ConsistentRead"]) == (1, True)

    def test_without_a_generation_there_is_only_the_overlay(self, overlay):
        overlay.refresh("a", ENTRY, NOW)
        assert ScoreTable(client("dynamodb"), TABLE).get_overlaid(None, ["a", "b"]) == ({}, {"a": ENTRY})

    def test_a_hundred_keys_are_read_with_scores_that_stand_alone_among_them(self, overlay):
        keys = [f"k{number}" for number in range(100)]
        large = ["x" * 2000] * 2 + [float(number) for number in range(98)]
        scores, packed = ScoreTable(client("dynamodb"), TABLE), pack(keys, large)
        scores.put(manifest().id, 0, packed, expires_at=EXPIRES)
        for key in keys[50:]:
            overlay.refresh(key, ENTRY, NOW)
        found, refreshed = scores.get_overlaid(replace(manifest(), buckets=[packed.buckets]), keys)
        assert [found[key].prediction for key in keys] == large
        assert list(refreshed) == keys[50:]


@pytest.fixture
def queues(aws):
    sqs = client("sqs")
    return [sqs.create_queue(QueueName=name)["QueueUrl"] for name in ("events", "letters")]


def received(url, **more):
    return client("sqs").receive_message(
        QueueUrl=url, MaxNumberOfMessages=10, AttributeNames=["All"], MessageAttributeNames=["All"], **more
    ).get("Messages", [])  # fmt: skip


def handed_over(messages):
    """Return what Lambda makes of messages that it has received."""
    return {
        "Records": [
            {
                "messageId": message["MessageId"],
                "receiptHandle": message["ReceiptHandle"],
                "body": message["Body"],
                "attributes": message["Attributes"],
                "eventSource": "aws:sqs",
            }
            for message in messages
        ]
    }


class TestQueues:
    def test_messages_are_hidden_each_for_its_time(self, queues):
        for number in range(12):
            client("sqs").send_message(QueueUrl=queues[0], MessageBody=str(number))
        messages = received(queues[0], VisibilityTimeout=600) + received(queues[0], VisibilityTimeout=600)
        assert len(messages) == 12
        pauses = {message["ReceiptHandle"]: 0 if message["Body"] == "7" else 500 for message in messages}
        EventQueue(client("sqs"), *queues).postpone(pauses)
        (back,) = received(queues[0])
        assert (back["Body"], back["Attributes"]["ApproximateReceiveCount"]) == ("7", "2")

    def test_a_letter_is_the_event_as_it_came_with_its_reason(self, queues):
        EventQueue(client("sqs"), *queues).give_up(Message("m", "h", '{"a": 1}', 0, 1), BadBody("no key" * 1000))
        (letter,) = received(queues[1])
        said = {name: attribute["StringValue"] for name, attribute in letter["MessageAttributes"].items()}
        assert letter["Body"] == '{"a": 1}'
        assert (said["Code"], said["Reason"][:6], len(said["Reason"])) == ("bad_body", "no key", 1000)

    def test_a_queue_that_is_gone_is_unavailable(self, queues):
        gone = EventQueue(client("sqs"), f"{queues[0]}-gone", f"{queues[1]}-gone")
        with pytest.raises(StoreUnavailable):
            gone.postpone({"h": 1})
        with pytest.raises(StoreUnavailable):
            gone.give_up(Message("m", "h", "{}", 0, 1), BadBody("no"))


@pytest.fixture
def deployed(model, queues, monkeypatch):
    """The function of model `m`, whose endpoint says 0.25 to everything."""
    env = RefreshEnv("dev", "m", "v7", TABLE, BUCKET, "card.json", "dev-m-live", "realtime", *queues, 60, 600)
    door = predict_env("hybrid", fallback="realtime", remember_seconds=60, max_live_per_minute=9, overlaid=True)
    for environment in (env, door):
        for name, value in environment.to_environ().items():
            monkeypatch.setenv(name, value)
    monkeypatch.setattr(
        SageMakerEndpoint, "invoke", lambda endpoint, body, content_type: b"0.25\n" * len(body.splitlines())
    )
    forget_environments()
    yield queues
    forget_environments()


def put(queue, **detail):
    detail = {"model": "m", "key": "a", "features": {"x": 1}, **detail}
    body = {"id": f"e-{json.dumps(detail)}", "time": "2026-11-23T06:00:00Z", "detail": detail}
    client("sqs").send_message(QueueUrl=queue, MessageBody=json.dumps(body))


def test_an_event_goes_from_the_queue_to_a_json_answer_and_poison_to_the_letters(deployed, capsys, monkeypatch):
    table = RecordsTable(client("dynamodb"), TABLE)
    table.put_generation(replace(manifest(), buckets=[1], scored_at="2026-11-23T05:00:00Z", expires_at=EXPIRES))
    table.move_pointer(Pointer(manifest().id, manifest().id, None, 1), expected_revision=0)
    ScoreTable(client("dynamodb"), TABLE).put(manifest().id, 0, pack(["a", "b"], [0.5, 0.5]), expires_at=EXPIRES)
    put(deployed[0], key="a")
    put(deployed[0], key="secret", features={"x": -1})
    put(deployed[0], key="a", features={"x": 2}, data_as_of="2026-11-23T05:59:00Z")
    answered = refresh.handler(handed_over(received(deployed[0])), None)
    assert answered == {"batchItemFailures": []}
    out = capsys.readouterr().out
    line = json.loads(out)
    assert (line["Refreshed"], line["RefreshSkipped"], line["RefreshPostponed"], line["RefreshRejected"]) == (
        1,
        1,
        0,
        1,
    )
    assert line["rejected"][0]["reasons"] == [{"code": "below_minimum", "column": "x"}]
    assert "secret" not in out, "keys may identify people"
    assert line["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "Turnout"
    assert [letter["MessageAttributes"]["Code"]["StringValue"] for letter in received(deployed[1])] == ["bad_features"]
    asked = event("http_lookup", routeKey="GET /models/m/predictions/{key+}", pathParameters={"key": "a"})
    body = json.loads(predict.handler(asked, None)["body"])
    assert (body["prediction"], body["source"]) == (0.25, "refreshed")


def test_what_stays_in_the_queue_is_reported_by_its_id(deployed):
    put(deployed[0], key="a")
    refresh.handler(handed_over(received(deployed[0])), None)
    put(deployed[0], key="a", features={"x": 2}, data_as_of="2026-11-23T06:00:01Z")
    put(deployed[0], key="b")
    waiting = handed_over(received(deployed[0], VisibilityTimeout=0))
    (kept, scored) = sorted(waiting["Records"], key=lambda record: '"key": "b"' in record["body"])
    assert refresh.handler(waiting, None) == {"batchItemFailures": [{"itemIdentifier": kept["messageId"]}]}
    assert [message["MessageId"] for message in received(deployed[0])] == [scored["messageId"]], "Lambda deletes that"


def test_messages_are_read_as_lambda_hands_them_over(queues):
    client("sqs").send_message(QueueUrl=queues[0], MessageBody="{}")
    (message,) = messages_of(handed_over(received(queues[0])))
    assert (message.body, message.receives, message.arrived > 1.7e12) == ("{}", 1, True)
