import io
import json
import math
import random
from dataclasses import replace
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from handlers.contract.errors import IncompleteOutput, VerificationFailed
from handlers.contract.modes import AVAILABLE, ServingMode
from handlers.contract.records import Generation
from handlers.logic.joining import join, scalar
from handlers.logic.ports import StoredScore
from handlers.logic.publishing import Publisher
from handlers.logic.results import prediction_column
from handlers.logic.scores import KEEPS_SCORES, partitions
from tests.unit.handlers.datasets import card
from tests.unit.handlers.fakes import FakeObjects, FakeScores, event

RUN = "20261123T060000Z"
SIDECAR = pa.table({"row": [1, 2, 4], "key": ["a", "b", "d"]})


def csv_join(text):
    return join(SIDECAR, text.encode(), "csv", "out")


def json_join(text):
    return join(SIDECAR, text.encode(), "jsonlines", "out")


def sidecar(rows, keys):
    out = io.BytesIO()
    pq.write_table(pa.table({"row": rows, "key": keys}), out)
    return out.getvalue()


class TestJoin:
    def test_predictions_find_their_keys_by_row_number_in_any_order(self):
        expected = [("a", 0.1), ("b", 0.2), ("d", 0.4)]
        assert csv_join("1,0.1\n2,0.2\n4,0.4\n") == expected
        assert csv_join("4,0.4\n1,0.1\n2,0.2") == expected

    def test_json_predictions_may_be_any_json(self):
        lines = [
            '{"row": 2, "SageMakerOutput": [0.1, {"b": null}]}',
            '{"SageMakerOutput": "yes", "row": 1}',
            '{"row": 4, "SageMakerOutput": false}',
        ]
        assert json_join("\n".join(lines)) == [("a", "yes"), ("b", [0.1, {"b": None}]), ("d", False)]

    @pytest.mark.parametrize(
        ("answer", "value"),
        [("1e308", 1e308), ("9" * 308, int("9" * 308)), (r'"\ud83d\ude00"', "😀"), ("[[], null]", [[], None])],
    )
    def test_what_a_double_and_utf_8_can_hold_is_a_prediction(self, answer, value):
        table = pa.table({"row": [1], "key": ["a"]})
        line = f'{{"row":1,"SageMakerOutput":{answer}}}'.encode()
        assert join(table, line, "jsonlines", "out") == [("a", value)]

    def test_line_separators_of_unicode_do_not_cut_a_json_line(self):
        assert json_join(
            '{"row":1,"SageMakerOutput":"a\u2028b\x85c"}\n{"row":2,"SageMakerOutput":1}\n{"row":4,"SageMakerOutput":1}\n'
        )[0] == ("a", "a\u2028b\x85c")

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ("1,0.1\n2,0.2\n", "3 rows sent, 2 results: 1 row without a result (first: row 4)"),
            ("", "3 rows sent, 0 results: 3 rows without a result (first: row 1)"),
            ("1,0.1\n2,0.2\n2,0.3\n4,0.4\n", "1 row with several (first: row 2)"),
            ("1,0.1\n2,0.2\n3,0.3\n4,0.4\n", "1 row never sent (first: row 3)"),
            ("1,0.1\n2,0.2\n3,0.3\n", "1 row without a result (first: row 4); 1 row never sent (first: row 3)"),
        ],
    )
    def test_rows_that_are_missing_doubled_or_unknown_are_counted_and_named(self, text, says):
        with pytest.raises(IncompleteOutput) as incomplete:
            csv_join(text)
        assert says in incomplete.value.message
        assert incomplete.value.message.startswith("out: ")

    @pytest.mark.parametrize("answer", ["nan", "NaN", "-inf", "Infinity", "1e999", ""])
    def test_what_json_cannot_carry_is_no_prediction(self, answer):
        with pytest.raises(IncompleteOutput, match="out: 1 lines hold no prediction; first: line 2"):
            csv_join(f"1,0.1\n2,{answer}\n4,0.4\n")

    @pytest.mark.parametrize(
        "answer",
        [
            *("NaN", "[Infinity]", "null", "1e999", "[0.5, 1e999]", '["a", -1e999]', '{"p": {"q": [1e999]}}'),
            *(
                "9" * 400,
                f"[{'9' * 400}]",
                "9" * 5_000,
                r'"\ud800"',
                r'{"\udfff": 1}',
                "[" * 600 + "]" * 600,
                "[" * 100_000,
            ),
        ],
    )
    def test_nor_is_it_in_json_lines(self, answer):
        with pytest.raises(IncompleteOutput, match="1 lines hold no prediction; first: line 2"):
            json_join(
                '{"row":1,"SageMakerOutput":1}\n{"row":2,"SageMakerOutput":%s}\n{"row":4,"SageMakerOutput":1}' % answer  # noqa: UP031
            )

    @pytest.mark.parametrize("text", ["one,0.1\n", "1\n", "1,2,3\n", '"1,2\n'])
    def test_a_line_of_another_shape_is_named(self, text):
        with pytest.raises(IncompleteOutput):
            csv_join(text)

    @pytest.mark.parametrize(
        "text", ["{}", '{"row": "1", "SageMakerOutput": 1}', "[1]", "1", "{", '{"row": true, "SageMakerOutput": 1}']
    )
    def test_a_json_line_of_another_shape_is_named(self, text):
        with pytest.raises(IncompleteOutput, match="hold no prediction; first: line 1"):
            json_join(text)

    def test_bytes_that_are_no_text_are_named(self):
        with pytest.raises(IncompleteOutput, match="out cannot be read"):
            join(SIDECAR, b"1,\xff\n", "csv", "out")

    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ("1", 1),
            ("-3", -3),
            ("1.0", 1.0),
            ("1e-3", 0.001),
            (".5", 0.5),
            ("+2.", 2.0),
            ("yes", "yes"),
            ("007", "007"),
            ("1_0", "1_0"),
        ],
    )
    def test_a_csv_field_is_a_number_or_a_label(self, text, value):
        assert (scalar(text), type(scalar(text))) == (value, type(value))

    def test_long_integers_stay_numbers(self):
        assert scalar("1" * 30) == 1.1111111111111111e29


def parquet_join(columns):
    out = io.BytesIO()
    pq.write_table(columns if isinstance(columns, pa.Table) else pa.table(columns), out)
    return join(SIDECAR, out.getvalue(), "parquet", "out")


class TestJoinParquet:
    def test_predictions_are_those_of_the_rows_in_the_order_in_which_they_were_sent(self):
        assert parquet_join({"prediction": [0.1, 0.2, 0.4]}) == [("a", 0.1), ("b", 0.2), ("d", 0.4)]

    def test_a_column_row_tells_whose_a_prediction_is_whatever_the_order(self):
        columns = {"p": [0.4, 0.1, 0.2], "row": pa.array([4, 1, 2], pa.int32())}
        assert parquet_join(columns) == [("a", 0.1), ("b", 0.2), ("d", 0.4)]

    @pytest.mark.parametrize(
        ("column", "predictions"),
        [
            ([True, False, True], [True, False, True]),
            ([1, 2, 3], [1, 2, 3]),
            (["yes", "", "007"], ["yes", "", "007"]),
            (pa.array(["no", "no", "yes"]).dictionary_encode(), ["no", "no", "yes"]),
            (pa.array([0.1, 0.2, 0.3], pa.float32()), [0.10000000149011612, 0.20000000298023224, 0.30000001192092896]),
            ([[0.5, None], [], [1.0]], [[0.5, None], [], [1.0]]),
            ([{"p": 1, "why": ["x"]}] * 3, [{"p": 1, "why": ["x"]}] * 3),
        ],
    )
    def test_predictions_may_be_any_json(self, column, predictions):
        joined = [prediction for _, prediction in parquet_join({"p": column})]
        assert json.dumps(joined) == json.dumps(predictions)

    def test_the_columns_of_a_prediction_of_several_numbers_become_a_list(self):
        columns = {"prediction_0": [0.1, 0.2, 0.4], "prediction_1": [1.0, 2.0, 4.0], "row": [1, 2, 4]}
        assert parquet_join(columns) == [("a", [0.1, 1.0]), ("b", [0.2, 2.0]), ("d", [0.4, 4.0])]
        assert parquet_join({"prediction_0": [1, 2, 4]}) == [("a", [1]), ("b", [2]), ("d", [4])]

    @pytest.mark.parametrize("count", [0, 2, 4])
    def test_more_or_fewer_predictions_than_rows_are_refused_with_the_counts(self, count):
        says = rf"out: 3 rows sent, {count} results, and no column `row` says whose they are"
        with pytest.raises(IncompleteOutput, match=says) as incomplete:
            parquet_join({"p": pa.array([0.5] * count, pa.float64())})
        assert incomplete.value.details == {"sent": 3, "received": count}

    @pytest.mark.parametrize(
        ("rows", "says"),
        [
            ([1, 2], "3 rows sent, 2 results: 1 row without a result (first: row 4)"),
            ([1, 2, 2, 4], "1 row with several (first: row 2)"),
            ([1, 2, 3, 4], "1 row never sent (first: row 3)"),
        ],
    )
    def test_rows_that_are_missing_doubled_or_unknown_are_named_where_there_are_row_numbers(self, rows, says):
        with pytest.raises(IncompleteOutput) as incomplete:
            parquet_join({"row": rows, "p": [0.5] * len(rows)})
        assert says in incomplete.value.message

    @pytest.mark.parametrize("numbers", [["1", "2", "4"], [1.0, 2.0, 4.0], [1, None, 4]])
    def test_row_numbers_that_are_none_are_refused(self, numbers):
        with pytest.raises(IncompleteOutput, match="the column `row` has to carry the shard's row numbers"):
            parquet_join({"row": numbers, "p": [0.5] * 3})

    @pytest.mark.parametrize(
        ("column", "first"),
        [
            ([0.1, math.nan, None], "2 rows hold no prediction; first: row 2 of the file, nan"),
            ([0.1, 0.2, math.inf], "1 rows hold no prediction; first: row 3 of the file, inf"),
            ([None, "x", "y"], "1 rows hold no prediction; first: row 1 of the file, None"),
            ([[0.1], [math.nan], None], "2 rows hold no prediction; first: row 2 of the file, [nan]"),
        ],
    )
    def test_what_json_cannot_carry_is_no_prediction(self, column, first):
        with pytest.raises(IncompleteOutput) as incomplete:
            parquet_join({"p": column})
        assert incomplete.value.message == f"out: {first}"

    @pytest.mark.parametrize("column", [[datetime(2026, 1, 1)] * 3, [b"x"] * 3, [[b"x"]] * 3, [{"p": b"x"}] * 3])
    def test_columns_of_a_type_that_json_does_not_have_are_named(self, column):
        with pytest.raises(IncompleteOutput, match="holds no predictions that JSON could carry"):
            parquet_join({"p": column})

    @pytest.mark.parametrize(
        "columns",
        [
            {"row": [1, 2, 4]},
            {"label": ["a"] * 3, "p": [0.1] * 3},
            pa.table([[0.1] * 3, [0.2] * 3], names=["p", "p"]),
            pa.table([[1] * 3, [1] * 3, [0.2] * 3], names=["row", "row", "p"]),
        ],
    )
    def test_another_number_of_columns_is_refused_with_their_names(self, columns):
        with pytest.raises(IncompleteOutput, match="out: one column of predictions was expected"):
            parquet_join(columns)

    def test_bytes_that_are_no_parquet_are_named(self):
        out = io.BytesIO()
        pq.write_table(pa.table({"p": [0.5] * 3}), out)
        for body in (b"", b"0.1\n0.2\n", out.getvalue()[:-9], out.getvalue()[20:]):
            with pytest.raises(IncompleteOutput, match="out cannot be read as Parquet"):
                join(SIDECAR, body, "parquet", "out")


class TestResults:
    @pytest.mark.parametrize(
        ("predictions", "kind", "values"),
        [
            ([1, 0.5], pa.float64(), [1.0, 0.5]),
            ([1, 2], pa.float64(), [1.0, 2.0]),
            ([True, False], pa.bool_(), [True, False]),
            (["a", "b"], pa.string(), ["a", "b"]),
            ([1, "b"], pa.string(), ["1", '"b"']),
            ([[0.1, 2], {"k": None}], pa.string(), ["[0.1, 2]", '{"k": null}']),
            ([True, 1], pa.string(), ["true", "1"]),
        ],
    )
    def test_the_prediction_column_has_one_type_by_one_rule(self, predictions, kind, values):
        column = prediction_column(predictions)
        assert (column.type, column.to_pylist()) == (kind, values)


class World:
    def __init__(self, **settings):
        files = {
            f"work/m/{RUN}/transform/shard-00000.csv.out": b"1,0.1\n3,0.3\n4,0.4\n6,0.6\n8,0.8\n",
            f"work/m/{RUN}/keys/shard-00000.parquet": sidecar([1, 3, 4, 6, 8], ["a", "b", "00001", "ü/%", "e"]),
        }
        self.objects, self.scores = FakeObjects(files), FakeScores()
        model = card(prediction="risk", **settings)
        self.publisher = Publisher(model, "data", self.objects, self.scores)

    def publish(self, **changes):
        """Publish and pack as the state machine does; return both receipts."""
        published = self.publisher.publish(event("publish_shard", **changes))
        shards = [changes.get("shard", {"index": 0, "rows": 5})]
        return published, self.publisher.pack(event("pack_partition", shards=shards, retention_seconds=1_000))

    def score(self, key):
        packed, _ = self.scores.partitions[RUN, 0]
        generation = Generation(RUN, "v7", "", "", 5, 5, 0, 5, "string", "s3://", None, 9, [packed.buckets])
        return self.scores.get(generation, key)

    @property
    def results(self):
        body = self.objects.get("data", f"results/m/date=2026-11-23/run={RUN}/shard-00000.parquet")
        # Read as one file: the folder's name would add partition columns.
        return pq.ParquetFile(io.BytesIO(body)).read()


class TestPublish:
    def test_results_carry_key_prediction_moment_and_version(self):
        world = World()
        assert world.publisher.publish(event("publish_shard")) == {"index": 0, "rows_scored": 5}
        table = world.results
        assert table.schema == pa.schema(
            {
                "id": pa.string(),
                "risk": pa.float64(),
                "scored_at": pa.timestamp("us", tz="UTC"),
                "model_version": pa.string(),
            }
        )
        assert table.to_pylist()[2] == {
            "id": "00001",
            "risk": 0.4,
            "scored_at": datetime(2026, 11, 23, 6, 9, 12, 345000, tzinfo=UTC),
            "model_version": "v7",
        }

    def test_results_name_the_model_that_the_execution_began_with(self):
        world = World()
        world.publish(model_version="v6")
        assert world.results["model_version"].unique().to_pylist() == ["v6"]

    def test_scores_are_kept_under_the_run_with_the_moment_they_expire(self):
        world = World()
        _, packed = world.publish()
        assert packed == {"partition": 0, "rows_published": 5, "buckets": 1, "items": 1, "singles": 0}
        scored_at = int(datetime(2026, 11, 23, 6, 9, 12, tzinfo=UTC).timestamp())
        assert world.score("ü/%") == StoredScore(0.6, scored_at + 1_000)
        assert world.score("absent") is None

    def test_a_mode_without_lookups_keeps_no_scores(self):
        world = World()
        world.publisher.publish(event("publish_shard", partitions=[]))
        assert world.scores.partitions == {}
        assert not [key for key in world.objects.writes if "/scores/" in key]
        assert len(world.results) == 5

    def test_integer_keys_stay_integers_in_parquet_and_are_text_in_the_store(self):
        world = World()
        world.objects.put("data", f"work/m/{RUN}/keys/shard-00000.parquet", sidecar([1, 3, 4, 6, 8], [5, 6, 7, 8, 9]))
        world.publish(key_type="integer")
        assert world.results["id"].to_pylist() == [5, 6, 7, 8, 9]
        assert world.score("7").prediction == 0.4

    def test_the_receipt_is_written_last_and_publishing_again_changes_nothing(self):
        world = World()
        published, packed = world.publish()
        after_first = dict(world.objects.stored), dict(world.scores.partitions)
        assert world.objects.writes[-2:] == [
            f"work/m/{RUN}/published/shard-00000.json",
            f"work/m/{RUN}/published/partition-00000.json",
        ]
        of_shard, of_partition = [json.loads(world.objects.get("data", key)) for key in world.objects.writes[-2:]]
        assert (of_shard.items() >= published.items(), of_partition) == (True, packed)
        assert world.publish() == (published, packed)
        assert (world.objects.stored, world.scores.partitions) == after_first

    def test_a_store_that_breaks_leaves_no_receipt_and_the_retry_completes(self):
        world = World()
        whole = world.scores.put

        def broken(generation, partition, packed, *, expires_at):
            whole(generation, partition, replace(packed, bodies=[]), expires_at=expires_at)
            raise ConnectionError("gone")

        world.scores.put = broken
        with pytest.raises(ConnectionError):
            world.publish()
        assert ("data", f"work/m/{RUN}/published/partition-00000.json") not in world.objects.stored
        world.scores.put = whole
        untouched = World()
        untouched.publish()
        world.publish()
        assert world.objects.stored == untouched.objects.stored
        assert world.scores.partitions == untouched.scores.partitions

    def test_partitions_take_the_keys_of_every_shard_and_each_key_once(self):
        world, partitions = World(), [0, 1, 2]
        keys = [f"k{number}" for number in range(900)]
        shards = [{"index": index, "rows": 300} for index in range(3)]
        for index in range(3):
            rows = list(range(300 * index, 300 * index + 300))
            output = "".join(f"{row},{row / 7!r}\n" for row in rows)
            world.objects.put("data", f"work/m/{RUN}/transform/shard-0000{index}.csv.out", output.encode())
            world.objects.put(
                "data", f"work/m/{RUN}/keys/shard-0000{index}.parquet", sidecar(rows, [keys[row] for row in rows])
            )
            world.publisher.publish(event("publish_shard", shard=shards[index], partitions=partitions))
        receipts = [
            world.publisher.pack(event("pack_partition", partition=number, partitions=partitions, shards=shards))
            for number in partitions
        ]
        assert sum(receipt["rows_published"] for receipt in receipts) == 900
        assert min(receipt["rows_published"] for receipt in receipts) > 200
        buckets = [receipt["buckets"] for receipt in receipts]
        generation = Generation(RUN, "v7", "", "", 900, 900, 0, 900, "string", "s3://", None, 9, buckets)
        assert [world.scores.get(generation, key).prediction for key in keys] == [row / 7 for row in range(900)]

    def test_a_key_in_two_shards_stops_the_run(self):
        world = World()
        world.publisher.publish(event("publish_shard"))
        with pytest.raises(VerificationFailed, match="5 keys were scored more than once"):
            world.publisher.pack(event("pack_partition", shards=[{"index": 0, "rows": 5}] * 2))
        assert world.scores.partitions == {}

    def test_a_key_twice_in_one_shard_stops_the_run_also_where_no_scores_are_packed(self):
        world = World()
        repeated = sidecar([1, 3, 4, 6, 8], ["a", "b", "a", "b", "e"])
        world.objects.put("data", f"work/m/{RUN}/keys/shard-00000.parquet", repeated)
        with pytest.raises(VerificationFailed, match="2 keys of shard 0 come more than once"):
            world.publisher.publish(event("publish_shard", partitions=[]))

    def test_the_receipt_says_which_rows_the_shard_spans_and_what_its_predictions_look_like(self):
        world = World()
        published = world.publisher.publish(event("publish_shard"))
        receipt = json.loads(world.objects.get("data", f"work/m/{RUN}/published/shard-00000.json"))
        assert receipt["span"] == [1, 8]
        assert receipt["profile"]["numbers"]["points"] == [0.1, 0.3, 0.4, 0.6, 0.8]
        assert published.keys() == {"index", "rows_scored"}, "3,000 profiles would not fit what a state machine carries"

    def test_an_output_that_is_not_there_is_named(self):
        world = World()
        world.objects.delete("data", [f"work/m/{RUN}/transform/shard-00000.csv.out"])
        with pytest.raises(IncompleteOutput, match=f"left no s3://data/work/m/{RUN}/transform/shard-00000.csv.out"):
            world.publisher.publish(event("publish_shard"))

    def test_a_sidecar_of_another_size_than_prepared_is_refused(self):
        with pytest.raises(IncompleteOutput, match="prepared with 4 rows, its sidecar has 5"):
            World().publisher.publish(event("publish_shard", shard={"index": 0, "rows": 4}))

    @pytest.mark.parametrize("carries_rows", [False, True])
    def test_parquet_answers_are_published_like_lines(self, carries_rows):
        lines, world = World(), World(wire_format="parquet")
        rows = {"row": [1, 3, 4, 6, 8]} if carries_rows else {}
        out = io.BytesIO()
        pq.write_table(pa.table({**rows, "prediction": [0.1, 0.3, 0.4, 0.6, 0.8]}), out)
        world.objects.put("data", f"work/m/{RUN}/transform/shard-00000.parquet.out", out.getvalue())
        assert world.publish() == lines.publish()
        assert world.results.equals(lines.results)
        assert world.scores.partitions == lines.scores.partitions

    def test_predictions_come_back_bit_for_bit(self):
        generator = random.Random(3)
        floats = [math.ldexp(generator.random(), generator.randint(-1000, 1000)) for _ in range(2_000)]
        world = World()
        rows = list(range(1, 2_001))
        world.objects.put("data", f"work/m/{RUN}/keys/shard-00000.parquet", sidecar(rows, [str(row) for row in rows]))
        lines = "".join(f"{row},{value!r}\n" for row, value in zip(rows, floats, strict=True))
        world.objects.put("data", f"work/m/{RUN}/transform/shard-00000.csv.out", lines.encode())
        world.publish(shard={"index": 0, "rows": 2_000})
        assert [world.score(str(row)).prediction for row in rows] == floats
        assert world.results["risk"].to_pylist() == floats


def test_a_run_is_packed_by_a_function_for_each_million_rows_and_by_none_where_no_scores_are_kept():
    assert partitions(ServingMode.PRECOMPUTE, 0) == partitions(ServingMode.HYBRID, 1_000_000) == [0]
    assert partitions(ServingMode.PRECOMPUTE, 1_000_001) == [0, 1]
    assert len(partitions(ServingMode.PRECOMPUTE, 100_000_000)) == 100
    assert partitions(ServingMode.BATCH, 5) == []


def test_the_table_of_modes_that_keep_scores_covers_what_can_be_deployed():
    assert set(KEEPS_SCORES) == AVAILABLE
