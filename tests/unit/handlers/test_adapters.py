"""Adapters against moto, and against clients that fail in the ways DynamoDB and S3 do."""

import io
import json
import math
import random
import threading
from collections import Counter
from dataclasses import replace

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from botocore.stub import Stubber

from handlers.adapters.attributes import from_attributes, to_attributes
from handlers.adapters.clients import FAST, client
from handlers.adapters.cloudwatch_metrics import CloudWatchMetrics
from handlers.adapters.records_table import RecordsTable
from handlers.adapters.s3_objects import S3Objects
from handlers.adapters.score_table import ScoreTable
from handlers.adapters.score_writing import NOTED, ROUNDS, WRITE_BATCH, NotAllWritten, write_all
from handlers.contract import metrics
from handlers.contract.errors import StoreUnavailable
from handlers.contract.records import Generation, Pointer, Run
from handlers.logic.buckets import hashes, key_bytes, part
from handlers.logic.packing import pack
from handlers.logic.ports import ObjectMissing, StoredScore
from tests.unit.handlers.conftest import BUCKET, TABLE

RUN = "20261123T060000Z"


def items(count):
    return [{"pk": {"S": f"{RUN}#{number}"}, "sk": {"S": "-"}} for number in range(count)]


class FakeTable:
    """DynamoDB's BatchWriteItem, which takes, leaves over, throttles or breaks as `behave` says."""

    def __init__(self, behave=lambda number, requests: len(requests)):
        self.behave, self.lock = behave, threading.Lock()
        self.calls, self.written = 0, Counter()

    def batch_write_item(self, RequestItems):
        requests = RequestItems[TABLE]
        keys = [request["PutRequest"]["Item"]["pk"]["S"] for request in requests]
        assert len(keys) <= 25, "a ValidationException in DynamoDB"
        assert len(set(keys)) == len(keys), "a ValidationException in DynamoDB"
        with self.lock:
            self.calls += 1
            taken = self.behave(self.calls, requests)
            self.written.update(keys[:taken])
        return {"UnprocessedItems": {TABLE: requests[taken:]} if taken < len(requests) else {}}


def throttled(code="ProvisionedThroughputExceededException"):
    return ClientError({"Error": {"Code": code, "Message": "slow down"}}, "BatchWriteItem")


class TestWriting:
    def write(self, table, count, **settings):
        self.pauses = []
        return write_all(table, TABLE, items(count), sleep=self.pauses.append, jitter=lambda: 1.0, **settings)

    @pytest.mark.parametrize("count", [0, 1, 25, 26, 1_003])
    def test_every_item_is_written_once_in_batches_of_25(self, count):
        table = FakeTable()
        assert self.write(table, count) == count
        assert sum(table.written.values()) == len(table.written) == count
        assert table.calls == -(-count // WRITE_BATCH)
        assert self.pauses == []

    def test_items_left_over_are_sent_again_until_none_is(self):
        generator = random.Random(5)
        table = FakeTable(lambda number, requests: generator.randint(0, len(requests)))
        assert self.write(table, 1_000) == 1_000
        assert len(table.written) == 1_000
        assert len(self.pauses) > 10

    def test_a_throttle_storm_is_waited_out_with_growing_pauses(self):
        def storm(number, requests):
            if number <= 9:
                raise throttled()
            return len(requests)

        table = FakeTable(storm)
        assert self.write(table, 25) == 25
        assert self.pauses == [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]

    def test_pauses_are_jittered_so_that_threads_do_not_come_back_together(self):
        def once(number, requests):
            return 0 if number == 1 else len(requests)

        pauses = []
        write_all(FakeTable(once), TABLE, items(1), sleep=pauses.append, jitter=lambda: 0.5)
        assert pauses == [0.025]

    def test_a_table_that_takes_nothing_for_ever_is_given_up_with_a_clear_error(self):
        table = FakeTable(lambda number, requests: 0)
        with pytest.raises(NotAllWritten, match=f"25 of 25 items were refused {ROUNDS} times"):
            self.write(table, 25)

    def test_an_error_that_waiting_does_not_mend_stops_at_once(self):
        def denied(number, requests):
            raise throttled("AccessDeniedException")

        table = FakeTable(denied)
        with pytest.raises(ClientError, match="AccessDenied"):
            self.write(table, 10_000)
        assert table.calls <= 8
        assert self.pauses == []

    def test_a_crash_in_the_middle_and_a_retry_leave_every_item_there(self):
        def crash(number, requests):
            if number == 20:
                raise EndpointConnectionError(endpoint_url="https://dynamodb")
            return len(requests)

        table = FakeTable(crash)
        with pytest.raises(EndpointConnectionError):
            self.write(table, 1_000)
        assert 0 < len(table.written) < 1_000
        assert self.write(table, 1_000) == 1_000
        assert len(table.written) == 1_000

    def test_what_is_noted_as_written_is_in_the_table_whatever_the_order_of_its_batches(self):
        generator, noted = random.Random(6), []
        table = FakeTable(lambda number, requests: generator.choice([0, len(requests)]))

        def note(written):
            noted.append(written)
            assert {item["pk"]["S"] for item in items(written)} <= set(table.written)

        assert self.write(table, 1_010, note=note) == 1_010
        assert noted == [NOTED, 2 * NOTED, 3 * NOTED, 1_010]
        noted.clear()
        assert self.write(table, 30, note=note) == 30
        assert noted == [30]

    def test_items_are_taken_from_the_source_only_as_they_can_be_sent(self):
        released, taken = threading.Event(), []

        def wait(number, requests):
            released.wait(5)
            return len(requests)

        def source():
            for item in items(10_000):
                taken.append(item)
                yield item

        def release():
            released.set()

        threading.Timer(0.2, release).start()
        seen = []
        table = FakeTable(lambda number, requests: (seen.append(len(taken)), wait(number, requests))[1])
        write_all(table, TABLE, source(), threads=2)
        assert seen[0] <= 5 * WRITE_BATCH


class CountedWrites:
    """A client that counts the items it is given and loses the connection at one call of BatchWriteItem."""

    def __init__(self, client, crash_at=None):
        self.client, self.crash_at = client, crash_at
        self.items, self.calls, self.lock = 0, 0, threading.Lock()

    def __getattr__(self, name):
        return getattr(self.client, name)

    def batch_write_item(self, RequestItems):
        with self.lock:
            self.calls += 1
            if self.calls == self.crash_at:
                raise EndpointConnectionError(endpoint_url="https://dynamodb")
            self.items += len(RequestItems[TABLE])
            return self.client.batch_write_item(RequestItems=RequestItems)


def packed(rows):
    """Return scores of any number as a publisher packs them."""
    rows = list(rows)
    return pack([key for key, _ in rows], [prediction for _, prediction in rows])


def manifest(run_id=RUN, buckets=None):
    return Generation(run_id, "v7", "2026-11-23T06:09:30Z", "", 3, 3, 0, 3, "string", "s3://", None, 9, buckets)


class TestScoreTable:
    @pytest.fixture
    def scores(self, aws):
        return ScoreTable(client("dynamodb"), TABLE)

    def publish(self, scores, rows, run_id=RUN, expires_at=9):
        """Put scores as one partition and return the manifest that leads to them."""
        whole = packed(rows)
        scores.put(run_id, 0, whole, expires_at=expires_at)
        return manifest(run_id, [whole.buckets])

    @pytest.mark.parametrize("large", [False, True])
    def test_predictions_come_back_equal_in_value_and_type(self, scores, large):
        predictions = [
            0.1,
            1,
            -0.0,
            5e-324,
            1.7976931348623157e308,
            10**30,
            True,
            None,
            "ü\u0000",
            [0.3, {"a": [1.0]}],
            {},
        ]
        predictions += ["long" * 1_000] * (12 * large)
        rows = [(str(number), prediction) for number, prediction in enumerate(predictions)]
        generation = self.publish(scores, rows)
        assert generation.buckets == [0 if large else 1]
        back = [scores.get(generation, key).prediction for key, _ in rows]
        assert json.dumps(back) == json.dumps(predictions)
        assert math.copysign(1, back[2]) == -1

    def test_a_large_prediction_among_small_ones_stands_alone_and_is_found(self, scores):
        rows = {"a": "small", "b": "large" * 1_000, "c": 1}
        generation = self.publish(scores, rows.items())
        assert generation.buckets == [1]
        names = [item["pk"]["S"] for item in client("dynamodb").scan(TableName=TABLE)["Items"]]
        assert sorted(names) == [f"{RUN}#0", f"{RUN}#0.0", f"{RUN}#b"]  # how far writing came is the first
        assert {key: scores.get(generation, key).prediction for key in rows} == rows
        found = scores.get_many(generation, [*rows, "d"])
        assert {key: score.prediction for key, score in found.items()} == rows

    def test_floats_come_back_bit_for_bit(self, scores):
        generator = random.Random(11)
        floats = {str(n): math.ldexp(generator.random() - 0.5, generator.randint(-1060, 1020)) for n in range(500)}
        generation = self.publish(scores, floats.items())
        back = scores.get_many(generation, list(floats))
        assert {key: score.prediction.hex() for key, score in back.items()} == {k: v.hex() for k, v in floats.items()}

    @pytest.mark.parametrize("key", ["00001", "a/b", "a#b", "日本", "100%", " ", "0.0", "k" * 1_536])
    def test_any_key_is_just_text(self, scores, key):
        generation = self.publish(scores, [(key, 1)])
        assert scores.get(generation, key).prediction == 1
        assert scores.get_many(generation, [key, "other"]).keys() == {key}

    def test_generations_lie_side_by_side(self, scores):
        first = self.publish(scores, [("a", 1)], "g1")
        second = self.publish(scores, [("a", 2), ("b", 3)], "g2", expires_at=10)
        assert (scores.get(first, "a").prediction, scores.get(second, "a").prediction) == (1, 2)
        assert scores.get(first, "b") is None
        assert scores.get(second, "a").expires_at == 10

    def test_a_generation_of_before_there_were_buckets_is_still_read(self, scores):
        item = {"pk": {"S": f"{RUN}#a"}, "sk": {"S": "-"}, "p": {"S": "0.5"}, "expires_at": {"N": "9"}}
        client("dynamodb").put_item(TableName=TABLE, Item=item)
        old = Generation.from_item({k: v for k, v in manifest().to_item().items() if k != "buckets"})
        assert scores.get(old, "a").prediction == 0.5
        assert scores.get_many(old, ["a", "b"]).keys() == {"a"}

    def test_writing_again_in_another_order_leaves_the_same_items(self, scores):
        rows = [(str(number), number / 3) for number in range(2_000)]
        dynamodb = client("dynamodb")
        self.publish(scores, rows)
        first = dynamodb.scan(TableName=TABLE)["Items"]
        self.publish(scores, rows[::-1])
        assert sorted(dynamodb.scan(TableName=TABLE)["Items"], key=str) == sorted(first, key=str)
        assert 1 < len(first) < 20

    def test_an_attempt_goes_on_where_the_last_one_noted_that_it_was(self, scores, monkeypatch):
        whole = packed([(f"k{number}", "x" * 1_500) for number in range(1_000)])
        calls = CountedWrites(client("dynamodb"), crash_at=20)
        with pytest.raises(EndpointConnectionError):
            ScoreTable(calls, TABLE).put(RUN, 0, whole, expires_at=9)
        calls = CountedWrites(client("dynamodb"))
        ScoreTable(calls, TABLE).put(RUN, 0, whole, expires_at=9)
        assert 500 <= calls.items <= 751 + 2  # of 1,000; each NOTED of them are noted with an item more
        again = CountedWrites(client("dynamodb"))
        ScoreTable(again, TABLE).put(RUN, 0, whole, expires_at=9)
        assert again.items == 0
        assert len(scores.get_many(manifest(buckets=[0]), [f"k{number}" for number in range(1_000)])) == 1_000

    @pytest.mark.parametrize(
        ("count", "prediction", "noted"),
        [(10, 0.5, False), (1, "x" * 900, False), (1, "x" * 1_024, True), (300, None, True), (5_000, None, True)],
    )
    def test_a_delivery_of_what_is_written_costs_nothing_unless_it_is_one_write_unit(
        self, scores, count, prediction, noted
    ):
        dice = random.Random(3)
        whole = packed([(f"k{number}", prediction or dice.random()) for number in range(count)])
        first, again = CountedWrites(client("dynamodb")), CountedWrites(client("dynamodb"))
        for calls in (first, again):
            ScoreTable(calls, TABLE).put(RUN, 0, whole, expires_at=9)
        assert first.items == whole.items + noted
        assert again.items == (0 if noted else 1)

    def test_what_an_attempt_with_other_scores_noted_does_not_count(self, scores):
        self.publish(scores, [(f"k{number}", 0.5) for number in range(1_000)])
        found = self.publish(scores, [(f"k{number}", 0.25) for number in range(1_000)])
        assert scores.get(found, "k7") == StoredScore(0.25, 9)
        found = self.publish(scores, [(f"k{number}", 0.25) for number in range(1_000)], expires_at=10)
        assert scores.get(found, "k7") == StoredScore(0.25, 10)

    def test_expiry_is_a_number_of_seconds_as_ttl_wants_it(self, scores):
        self.publish(scores, [("a", 1)], expires_at=1_900_000_000)
        (item,) = client("dynamodb").scan(TableName=TABLE)["Items"]
        assert item["expires_at"] == {"N": "1900000000"}

    def test_more_keys_than_one_call_takes_and_keys_that_repeat_are_read(self, scores):
        generation = self.publish(scores, [(str(number), number) for number in range(30_000)])
        assert generation.buckets[0] > 25
        keys = [*map(str, range(29_000, 31_000)), "29007", "29007"]
        found = scores.get_many(generation, keys)
        assert {key: score.prediction for key, score in found.items()} == {str(n): n for n in range(29_000, 30_000)}
        assert scores.get_many(generation, []) == {}

    def test_partitions_are_found_by_their_own_numbers_of_buckets(self, scores):
        rows = {str(number): number for number in range(20_000)}
        parts = [{}, {}, {}]
        for key, value in rows.items():
            parts[part(hashes([key_bytes(key)])[0], 3)][key] = value
        parts[1] = dict.fromkeys(parts[1], "large" * 300)
        whole = [pack(list(rows), list(rows.values()), partitions=3) for rows in parts]
        for number, one in enumerate(whole[::2]):
            scores.put(RUN, 2 * number, one, expires_at=9)
        scores.put(RUN, 1, replace(whole[1], singles=whole[1].singles[:50]), expires_at=9)
        generation = manifest(buckets=[one.buckets for one in whole])
        assert generation.buckets[1] == 0
        assert scores.get(generation, next(iter(parts[1]))).prediction == "large" * 300
        found = scores.get_many(generation, [*parts[0], *parts[2]])
        assert {key: score.prediction for key, score in found.items()} == parts[0] | parts[2]

    def test_a_miss_is_asked_again_consistently_before_it_is_believed(self, aws):
        dynamodb = client("dynamodb", FAST)
        key = {"pk": {"S": f"{RUN}#a"}, "sk": {"S": "-"}}
        with Stubber(dynamodb) as stub:
            stub.add_response("get_item", {}, {"TableName": TABLE, "Key": key, "ConsistentRead": False})
            item = {**key, "p": {"S": "0.5"}, "expires_at": {"N": "9"}}
            stub.add_response("get_item", {"Item": item}, {"TableName": TABLE, "Key": key, "ConsistentRead": True})
            assert ScoreTable(dynamodb, TABLE).get(manifest(), "a").prediction == 0.5
            stub.assert_no_pending_responses()

    def test_keys_that_dynamodb_leaves_out_are_asked_for_again(self, aws):
        keys = {name: {"pk": {"S": f"{RUN}#{name}"}, "sk": {"S": "-"}} for name in "ab"}
        items = {name: {**key, "p": {"S": f'"{name}"'}, "expires_at": {"N": "9"}} for name, key in keys.items()}
        dynamodb = client("dynamodb", FAST)
        with Stubber(dynamodb) as stub:
            left_over = {TABLE: {"Keys": [keys["b"]], "ConsistentRead": False}}
            stub.add_response("batch_get_item", {"Responses": {TABLE: [items["a"]]}, "UnprocessedKeys": left_over})
            stub.add_response("batch_get_item", {"Responses": {TABLE: [items["b"]]}}, {"RequestItems": left_over})
            assert ScoreTable(dynamodb, TABLE).get_many(manifest(), ["a", "b"]).keys() == {"a", "b"}

    def test_a_store_that_leaves_keys_out_for_ever_is_unavailable(self, aws, monkeypatch):
        monkeypatch.setattr("time.sleep", lambda seconds: None)

        class Starved:
            def batch_get_item(self, RequestItems):
                return {"Responses": {}, "UnprocessedKeys": RequestItems}

        with pytest.raises(StoreUnavailable):
            ScoreTable(Starved(), TABLE).get_many(manifest(), ["a"])

    @pytest.mark.parametrize(
        "code", ["ProvisionedThroughputExceededException", "InternalServerError", "AccessDeniedException"]
    )
    def test_whatever_dynamodb_says_a_reader_hears_that_the_store_is_unavailable(self, aws, code):
        class Broken:
            def get_item(self, **arguments):
                raise ClientError({"Error": {"Code": code, "Message": "table 123"}}, "GetItem")

        with pytest.raises(StoreUnavailable) as unavailable:
            ScoreTable(Broken(), TABLE).get(manifest(), "a")
        assert "123" not in unavailable.value.message
        assert code in repr(unavailable.value.__cause__)


class TestRecordsTable:
    RUNNING = Run(RUN, "arn:1", "schedule", "2026-11-23T06:00:00Z", "running", "2026-11-23T06:00:03Z", 1_900_000_000)

    @pytest.fixture
    def records(self, aws):
        return RecordsTable(client("dynamodb"), TABLE)

    def test_before_anything_is_published_the_pointer_points_nowhere(self, records):
        assert records.pointer() == Pointer()
        assert records.generation(RUN) is None
        assert records.run(RUN) is None

    def test_the_pointer_moves_only_from_the_revision_that_was_read(self, records):
        first = Pointer("a", "a", None, 1)
        assert records.move_pointer(first, expected_revision=0) is True
        assert records.move_pointer(Pointer("b", "b", None, 1), expected_revision=0) is False
        assert records.pointer() == first
        assert records.move_pointer(Pointer("b", "b", "a", 2), expected_revision=1) is True
        assert records.move_pointer(Pointer("c", "c", "a", 2), expected_revision=1) is False
        assert records.pointer() == Pointer("b", "b", "a", 2)
        assert records.move_pointer(Pointer("b", "a", "b", 3, held="a"), expected_revision=2) is True
        assert records.pointer().held == "a"

    def test_a_retry_that_meets_its_own_first_write_has_moved_the_pointer(self, records):
        moved = Pointer("a", "a", None, 1)
        records.move_pointer(moved, expected_revision=0)
        assert records.move_pointer(moved, expected_revision=0) is True

    def test_records_come_back_as_they_were_written(self, records):
        generation = Generation(RUN, "v", "s", "p", 4, 3, 1, 3, "string", "s3://r", "s3://q", 1_900_000_000)
        ended = replace(self.RUNNING, status="failed", ended_at="e", error="E", cause="c", report={"a": [1, 0.5]})
        records.put_generation(generation)
        records.put_run(ended)
        assert records.generation(RUN) == generation
        assert records.run(RUN) == ended

    def test_only_the_first_claim_holds_and_others_learn_whose_it_is(self, records):
        assert records.claim(self.RUNNING) == self.RUNNING
        assert records.claim(replace(self.RUNNING, execution="arn:2", started_at="later")) == self.RUNNING

    def test_of_many_claims_at_once_one_wins(self, records):
        holders = []
        threads = [
            threading.Thread(
                target=lambda n=n: holders.append(records.claim(replace(self.RUNNING, execution=f"arn:{n}")))
            )
            for n in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len({holder.execution for holder in holders}) == 1

    def test_an_answer_without_the_old_item_is_completed_by_a_read(self, aws):
        dynamodb = client("dynamodb")
        RecordsTable(dynamodb, TABLE).claim(self.RUNNING)
        missing = dynamodb.exceptions.ConditionalCheckFailedException

        class Forgetful:
            exceptions = dynamodb.exceptions
            get_item = dynamodb.get_item

            def put_item(self, **arguments):
                raise missing({"Error": {"Code": "ConditionalCheckFailedException", "Message": ""}}, "PutItem")

        assert RecordsTable(Forgetful(), TABLE).claim(replace(self.RUNNING, execution="arn:2")) == self.RUNNING

    def test_an_item_holds_text_numbers_and_booleans_and_refuses_the_rest(self):
        item = {"a": "ü", "b": 10**20, "c": True, "d": -1}
        assert from_attributes(to_attributes(item)) == item
        with pytest.raises(TypeError, match="float"):
            to_attributes({"x": 0.1})


class TestS3Objects:
    @pytest.fixture
    def objects(self, aws):
        return S3Objects(client("s3"))

    def test_objects_are_listed_in_the_order_of_their_names_and_deleted_over_many_pages(self, objects, monkeypatch):
        monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "3")
        monkeypatch.setattr("handlers.adapters.s3_objects.DELETE_BATCH", 4)
        names = sorted(f"in/{number:04d}" for number in range(10))
        for name in names:
            objects.put(BUCKET, name, b"x")
        objects.put(BUCKET, "other", b"")
        assert [stored.key for stored in objects.list(BUCKET, "in/")] == names
        assert [stored.key for stored in objects.list(BUCKET, "in/", after="in/0004")] == names[5:]
        objects.delete(BUCKET, names)
        assert [(stored.key, stored.size) for stored in objects.list(BUCKET, "")] == [("other", 0)]

    def test_bytes_and_files_come_back(self, objects):
        objects.put(BUCKET, "bytes", b"abc")
        objects.put(BUCKET, "file", io.BytesIO(b"def"))
        assert objects.get(BUCKET, "bytes") + objects.get(BUCKET, "file") == b"abcdef"

    def test_what_is_not_there_is_missing(self, objects):
        with pytest.raises(ObjectMissing, match="s3://data/nothing"):
            objects.get(BUCKET, "nothing")

    def test_a_delete_that_s3_refuses_is_an_error(self):
        class Locked:
            def delete_objects(self, **arguments):
                return {"Errors": [{"Key": "a", "Code": "AccessDenied"}]}

        with pytest.raises(OSError, match="AccessDenied"):
            S3Objects(Locked()).delete(BUCKET, ["a"])


def test_metrics_arrive_with_unit_and_dimensions(aws):
    sent = []

    class Recorder:
        def put_metric_data(self, **arguments):
            sent.append(arguments)

    CloudWatchMetrics(Recorder(), stage="dev", model="m").put({metrics.RUN_FAILED: 1, metrics.RUN_SECONDS: 7})
    dimensions = [{"Name": "Stage", "Value": "dev"}, {"Name": "Model", "Value": "m"}]
    assert sent == [
        {
            "Namespace": "Turnout",
            "MetricData": [
                {"MetricName": "RunFailed", "Value": 1.0, "Unit": "Count", "Dimensions": dimensions},
                {"MetricName": "RunSeconds", "Value": 7.0, "Unit": "Seconds", "Dimensions": dimensions},
            ],
        }
    ]


def test_clients_are_made_once_and_the_front_door_gives_up_before_its_gateway(aws):
    assert client("dynamodb") is client("dynamodb")
    config = client("dynamodb", FAST).meta.config
    attempts = config.retries["total_max_attempts"]
    assert attempts * (config.connect_timeout + config.read_timeout) < 29
