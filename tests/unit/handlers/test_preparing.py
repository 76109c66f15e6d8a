import gzip
import io
import json
import math
import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from handlers.contract.card import Feature
from handlers.contract.errors import (
    EmptyInput,
    MissingColumns,
    TooManyBadRows,
    TooManyRows,
    UnreadableInput,
    WrongColumnType,
)
from handlers.contract.modes import ServingMode
from handlers.logic import sharding
from handlers.logic.preparing import prepare
from handlers.logic.sharding import MAX_SHARDS, ShardWriter, wire_table
from tests.unit.handlers.datasets import RUN, Outcome, card, csv_text, jsonlines, parquet
from tests.unit.handlers.fakes import FakeObjects

GOOD = [{"id": "a", "x": 1.0}, {"id": "b", "x": 2.5}]
MAKERS = {"parquet": parquet, "csv": csv_text, "jsonlines": jsonlines}


def spoiled(**values):
    """Two sound rows with a spoiled one in between."""
    return [GOOD[0], {"id": "s", "x": 0.5, **values}, GOOD[1]]


def without_id(row):
    return {name: value for name, value in row.items() if name != "id"}


def reasons(rows, *features, input_format="parquet", **settings):
    outcome = Outcome(card(*features, input_format=input_format, **settings), {"f": MAKERS[input_format](rows)})
    return outcome.codes


class TestShards:
    def test_a_line_is_row_number_and_features_and_the_key_stays_in_the_sidecar(self):
        outcome = Outcome(card(), {"f.parquet": parquet(GOOD)})
        assert outcome.shard(0) == ["1,1", "2,2.5"]
        assert outcome.keys(0) == [{"row": 1, "key": "a"}, {"row": 2, "key": "b"}]
        assert outcome.prepared == {
            "rows_in": 2,
            "rows_valid": 2,
            "rows_quarantined": 0,
            "key_type": "string",
            "quarantine_uri": None,
            "reasons": {},
            "shards": [{"index": 0, "rows": 2}],
            "data_as_of": "2026-11-23T05:00:00Z",
            "partitions": [0],
        }

    def test_features_stand_in_the_order_of_the_schema_whatever_the_order_in_the_file(self):
        model = card(Feature("x"), Feature("n", "integer"), Feature("b", "boolean"), Feature("s", "string", True))
        rows = [
            {"s": "p", "b": True, "ignored": 9, "n": 7, "id": "a", "x": 0.1},
            {"b": False, "n": 8, "id": "b", "x": 1},
        ]
        for input_format, make in MAKERS.items():
            model = card(*model.features, input_format=input_format)
            assert Outcome(model, {"f": make(rows)}).shard(0) == ['1,0.1,7,1,"p"', "2,1,8,0,"], input_format

    def test_json_lines_carry_types_and_nulls(self):
        model = card(Feature("x"), Feature("b", "boolean"), Feature("s", "string", True), wire_format="jsonlines")
        outcome = Outcome(model, {"f": parquet([{"id": "a", "x": 0.1, "b": True, "s": 'two\n"lines"'}])})
        assert [json.loads(line) for line in outcome.shard(0)] == [
            {"row": 1, "features": {"x": 0.1, "b": True, "s": 'two\n"lines"'}}
        ]

    def test_parquet_carries_row_numbers_names_types_nulls_and_line_breaks(self):
        features = (
            Feature("x", nullable=True),
            Feature("n", "integer"),
            Feature("b", "boolean"),
            Feature("s", "string"),
        )
        rows = [
            {"id": "a", "x": None, "n": 7, "b": True, "s": 'two\n"lines"'},
            {"id": "b", "x": 0.1, "n": 2**53 + 1, "b": False, "s": "ü"},
        ]
        types = {"x": pa.float64(), "n": pa.int64(), "b": pa.bool_(), "s": pa.string()}
        for input_format, make in (("parquet", parquet), ("jsonlines", jsonlines)):
            outcome = Outcome(card(*features, wire_format="parquet", input_format=input_format), {"f": make(rows)})
            table = outcome.table(0)
            assert {field.name: field.type for field in table.schema} == {"row": pa.int64(), **types}, input_format
            assert table.to_pylist() == [{**row, "row": number} for number, row in enumerate(map(without_id, rows), 1)]
            assert outcome.keys(0) == [{"row": 1, "key": "a"}, {"row": 2, "key": "b"}]

    def test_parquet_carries_the_key_in_its_type_only_when_asked(self):
        rows = {"id": pa.array([7, 8]), "x": pa.array([0.5, 1.0])}
        outcome = Outcome(card(wire_format="parquet", pass_key_to_model=True), {"f": parquet(rows)})
        assert outcome.table(0).to_pydict() == {"row": [1, 2], "key": [7, 8], "x": [0.5, 1.0]}
        assert "key" not in Outcome(card(wire_format="parquet"), {"f": parquet(rows)}).table(0).column_names

    @pytest.mark.parametrize(("payload_mb", "most"), [(1, 12_500), (2, 25_000), (6, 50_000)])
    def test_a_shard_that_goes_whole_is_never_larger_than_the_payload(self, payload_mb, most):
        generator = random.Random(7)
        names = [f"x{number}" for number in range(8)]
        columns = {name: pa.array([generator.random() for _ in range(50_000)]) for name in names}
        features = map(Feature, names)
        model = card(*features, wire_format="parquet", max_payload_mb=payload_mb)
        outcome = Outcome(model, {"f": parquet({"id": pa.array(range(50_000)), **columns})})
        shards = outcome.prepared["shards"]
        sizes = [
            len(outcome.objects.get("data", f"work/m/{RUN}/shards/shard-{s['index']:05d}.parquet")) for s in shards
        ]
        assert max(sizes) <= payload_mb * 10**6
        assert max(sizes) > 0.7 * payload_mb * 10**6 or payload_mb == 6
        assert max(shard["rows"] for shard in shards) <= most
        assert [shard["index"] for shard in shards] == list(range(len(shards)))
        rows = [row for shard in shards for row in outcome.table(shard["index"])["row"].to_pylist()]
        assert rows == [row["row"] for shard in shards for row in outcome.keys(shard["index"])] == [*range(1, 50_001)]

    def test_a_single_row_that_is_larger_than_the_payload_is_left_to_batch_transform(self):
        generator = random.Random(7)
        text = "".join(chr(generator.randint(0x4E00, 0x9FFF)) for _ in range(700_000))
        rows = [{"id": "a", "s": text}, {"id": "b", "s": "short"}]
        model = card(Feature("s", "string"), wire_format="parquet", max_payload_mb=1)
        outcome = Outcome(model, {"f": parquet(rows)})
        assert [shard["rows"] for shard in outcome.prepared["shards"]] == [1, 1]

    @pytest.mark.parametrize(("wire", "line"), [("csv", '1,"a",1'), ("jsonlines", '{"key": "a", "x": 1.0}')])
    def test_the_key_goes_to_the_model_only_when_asked(self, wire, line):
        first = Outcome(card(wire_format=wire, pass_key_to_model=True), {"f": parquet(GOOD)}).shard(0)[0]
        assert first == line or json.dumps(json.loads(first)["features"]) == line

    def test_every_float_reads_back_as_the_same_bits(self):
        generator = random.Random(7)
        floats = [math.ldexp(generator.random() - 0.5, generator.randint(-1000, 1000)) for _ in range(3000)]
        floats += [0.1, -0.0, 5e-324, 1.7976931348623157e308, 1e22, 123456789012345680.0]
        rows = [{"id": str(number), "x": value} for number, value in enumerate(floats)]
        outcome = Outcome(card(), {"f": parquet(rows)})
        lines = [line for shard in outcome.prepared["shards"] for line in outcome.shard(shard["index"])]
        back = [float(line.split(",")[1]) for line in lines]
        assert [value.hex() for value in back] == [value.hex() for value in floats]

    @pytest.mark.parametrize(
        ("rows", "instances", "sizes"),
        [
            (1, 1, [1]),
            (1_999, 1, [1_999]),
            (2_001, 1, [1_001, 1_000]),
            (23_470, 1, [11_735, 11_735]),
            (23_470, 3, [3_912, 3_912, 3_912, 3_912, 3_911, 3_911]),
            (5_000, 4, [1_000] * 5),
            (120_000, 1, [40_000] * 3),
        ],
    )
    def test_there_are_two_shards_per_instance_where_there_are_enough_rows(self, rows, instances, sizes):
        table = parquet({"id": pa.array(range(rows)), "x": pa.array([0.5] * rows)})
        outcome = Outcome(card(instance_count=instances), {"f": table})
        assert [shard["rows"] for shard in outcome.prepared["shards"]] == sizes

    @pytest.mark.parametrize("instances", [1, 20, 100])
    def test_a_hundred_million_rows_fit_one_run_whatever_the_number_of_instances(self, instances, monkeypatch):
        thousand = 1_000  # all sizes are a thousandth of the real ones
        for name in ("MAX_SHARD_ROWS", "MIN_SHARD_ROWS", "BUFFERED_ROWS"):
            monkeypatch.setattr(sharding, name, getattr(sharding, name) // thousand)
        monkeypatch.setitem(sharding.WIRE, "csv", lambda rows, card: b"")
        writer = ShardWriter(card(instance_count=instances), RUN, "data", FakeObjects())
        keys = pa.array(["k"] * 400)
        for start in range(0, 100_000, 400):
            writer.add(wire_table(pa.array(range(start, start + 400)), keys, {}))
            assert writer._waiting_rows <= sharding.BUFFERED_ROWS + 2 * 400
        sizes = [shard["rows"] for shard in writer.finish()]
        assert sum(sizes) == 100_000
        assert len(sizes) <= MAX_SHARDS
        assert max(sizes) <= 50
        assert all(size <= max(sizes[0], sum(sizes[:place]) / (2 * instances)) for place, size in enumerate(sizes))

    def test_more_shards_than_an_execution_carries_are_refused_before_anything_is_scored(self, monkeypatch):
        monkeypatch.setattr(sharding, "MAX_SHARDS", 1)
        with pytest.raises(TooManyRows, match="1,000 rows fill the 1 shards of one run, and there are more"):
            Outcome(card(), {"f": parquet({"id": [str(row) for row in range(2_000)], "x": [1.0] * 2_000})})

    def test_many_rows_are_written_while_reading_in_shards_of_at_most_50_000(self):
        rows = 420_000
        table = parquet({"id": pa.array(range(rows)), "x": pa.array([0.5] * rows)})
        outcome = Outcome(card(), {"f": table})
        sizes = [shard["rows"] for shard in outcome.prepared["shards"]]
        assert sum(sizes) == rows
        assert max(sizes) <= 50_000
        assert [row["row"] for index in range(len(sizes)) for row in outcome.keys(index)] == list(range(1, rows + 1))

    def test_preparing_again_leaves_nothing_of_the_first_attempt(self):
        files = {"input/m/f": parquet({"id": pa.array(range(4_000)), "x": pa.array([0.5] * 4_000)})}
        objects = FakeObjects(files)
        assert len(prepare(card(), RUN, "data", objects, mode=ServingMode.PRECOMPUTE)["shards"]) == 2
        objects.put("data", "input/m/f", parquet(GOOD))
        again = prepare(card(), RUN, "data", objects, mode=ServingMode.PRECOMPUTE)
        names = [stored.key for stored in objects.list("data", f"work/m/{RUN}/")]
        assert len(again["shards"]) == 1
        assert names == [f"work/m/{RUN}/keys/shard-00000.parquet", f"work/m/{RUN}/shards/shard-00000.csv"]


class TestReasons:
    BOUNDED = (Feature("x", minimum=0, maximum=10),)
    LISTED = (Feature("x", values=[0.5, 1, 2.5]),)

    @pytest.mark.parametrize(
        ("values", "features", "code", "says"),
        [
            ({"id": None}, (), "null_key", "the key is missing"),
            ({"id": ""}, (), "empty_key", "the key is the empty text"),
            ({"id": "a"}, (), "duplicate_key", "the key 'a' is already that of row 1"),
            ({"id": "ü" * 769}, (), "key_too_long", "the key has 1,538 bytes in UTF-8; a key may have 1,536"),
            ({"x": None}, (), "missing", "x is missing and may not be empty"),
            ({"x": math.nan}, (), "nan", "x is NaN"),
            ({"x": -math.inf}, BOUNDED, "infinite", "x is infinite (-inf)"),
            ({"x": -0.5}, BOUNDED, "below_minimum", "-0.5 is below the minimum 0"),
            ({"x": 10.5}, BOUNDED, "above_maximum", "10.5 is above the maximum 10"),
            ({"x": 0.6}, LISTED, "value_not_allowed", "0.6 is not one of 0.5, 1, 2.5"),
        ],
    )
    def test_a_parquet_row_is_refused_for_its_own_fault_and_only_it(self, values, features, code, says):
        outcome = Outcome(card(*features), {"f.parquet": parquet(spoiled(**values))})
        assert outcome.codes == {2: [code]}
        assert outcome.quarantined[0]["reasons"][0]["message"] == says
        assert outcome.quarantined[0]["file"] == "s3://data/input/m/f.parquet"
        assert outcome.prepared["reasons"] == {code: 1}
        assert [line.split(",")[0] for line in outcome.shard(0)] == ["1", "3"]

    @pytest.mark.parametrize("input_format", ["csv", "jsonlines"])
    @pytest.mark.parametrize(
        ("value", "kind", "code"),
        [
            ("lots", "float", "not_a_number"),
            ("1.5", "integer", "not_an_integer"),
            ("maybe", "boolean", "not_a_boolean"),
        ],
    )
    def test_text_that_is_not_of_the_type_is_one_rows_fault(self, input_format, value, kind, code):
        sound = {"float": 1.5, "integer": 3, "boolean": True}[kind]
        rows = [{"id": "a", "x": sound}, {"id": "b", "x": value}, {"id": "c", "x": sound}]
        assert reasons(rows, Feature("x", kind), input_format=input_format) == {2: [code]}

    def test_numbers_where_json_text_is_wanted_are_refused(self):
        rows = [{"id": "a", "x": "p"}, {"id": "b", "x": 5}, {"id": "c", "x": "\ud800"}, {"id": "d", "x": "q"}]
        assert reasons(rows, Feature("x", "string"), input_format="jsonlines") == {
            2: ["not_a_string"],
            3: ["not_a_string"],
        }

    def test_json_numbers_out_of_range_are_refused_one_by_one(self):
        rows = [
            {"id": "a", "n": 1},
            {"id": "b", "n": 2**63},
            {"id": "c", "n": 2.5},
            {"id": "d", "n": 3.0},
            {"id": "e", "n": True},
        ]
        features = (Feature("n", "integer"),)
        assert reasons(rows, *features, input_format="jsonlines") == {k: ["not_an_integer"] for k in (2, 3, 5)}

    def test_whole_floats_are_integers_and_others_are_not(self):
        floats = [1.0, 2.5, math.nan, None, 2.0**63, math.inf]
        rows = [{"id": str(number), "n": value} for number, value in enumerate(floats)]
        outcome = Outcome(card(Feature("n", "integer")), {"f": parquet(rows)})
        refused = ["not_an_integer"]
        assert outcome.codes == {2: refused, 3: refused, 4: ["missing"], 5: refused, 6: refused}
        assert outcome.shard(0) == ["1,1"]

    def test_bounds_of_integers_are_exact_where_they_are_whole_and_may_be_fractions(self):
        rows = [{"id": str(n), "n": n} for n in (0, 1, 2**53, 2**53 + 1, 2**62)]
        whole = Feature("n", "integer", minimum=1, maximum=2**53)
        assert reasons(rows, whole) == {1: ["below_minimum"], 4: ["above_maximum"], 5: ["above_maximum"]}
        assert reasons(rows, Feature("n", "integer", minimum=0.5, maximum=1e300)) == {1: ["below_minimum"]}

    def test_unsigned_integers_that_do_not_fit_are_refused(self):
        column = pa.array([1, 2**63], pa.uint64())
        outcome = Outcome(card(Feature("n", "integer")), {"f": parquet({"id": ["a", "b"], "n": column})})
        assert outcome.codes == {2: ["not_an_integer"]}

    def test_a_pattern_must_match_the_whole_text(self):
        rows = [{"id": str(n), "s": s} for n, s in enumerate(["AB-1", "AB-1x", "xAB-1", "AB-1", "AB-1\n"])]
        feature = Feature("s", "string", pattern=r"(?=A)[A-Z]{2}-\d")
        assert reasons(rows, feature) == {
            2: ["pattern_mismatch"],
            3: ["pattern_mismatch"],
            5: ["pattern_mismatch", "line_break"],
        }

    def test_a_row_has_every_reason_that_applies(self):
        rows = [GOOD[0], {"id": "a", "x": -1.0, "s": "no"}, {"id": None, "x": None, "s": "yes"}]
        rows[0] = {**rows[0], "s": "yes"}
        features = (Feature("x", minimum=0), Feature("s", "string", values=["yes"]))
        assert reasons(rows, *features) == {
            2: ["below_minimum", "value_not_allowed", "duplicate_key"],
            3: ["null_key", "missing"],
        }

    def test_a_refused_row_claims_no_key(self):
        rows = [{"id": "a", "x": None}, {"id": "a", "x": 1.0}, {"id": "a", "x": 2.0}]
        outcome = Outcome(card(), {"f": parquet(rows)})
        assert outcome.codes == {1: ["missing"], 3: ["duplicate_key"]}
        assert "row 2" in outcome.quarantined[1]["reasons"][0]["message"]

    def test_duplicates_are_found_across_files_and_rows_count_over_all_of_them(self):
        outcome = Outcome(card(), {"b": parquet(GOOD), "a": parquet([{"id": "z", "x": 1.0}, {"id": "b", "x": 1.0}])})
        assert outcome.codes == {4: ["duplicate_key"]}
        assert outcome.quarantined[0]["file"] == "s3://data/input/m/b"
        assert "row 2" in outcome.quarantined[0]["reasons"][0]["message"]

    def test_nan_in_a_nullable_feature_means_empty(self):
        outcome = Outcome(card(Feature("x", nullable=True)), {"f": parquet(spoiled(x=math.nan))})
        assert outcome.shard(0) == ["1,1", "2,", "3,2.5"]

    def test_text_with_a_line_break_is_refused_on_the_csv_wire_only(self):
        rows = [{"id": "a", "s": "x\ny"}, {"id": "b", "s": "z"}]
        assert reasons(rows, Feature("s", "string")) == {1: ["line_break"]}
        assert (
            Outcome(card(Feature("s", "string"), wire_format="jsonlines"), {"f": parquet(rows)}).prepared["reasons"]
            == {}
        )

    def test_the_quarantine_keeps_what_the_row_held_as_strict_json(self):
        outcome = Outcome(
            card(Feature("x"), Feature("s", "string")),
            {"f": parquet([{"id": "k", "x": math.inf, "s": "ü"}, {"id": "ok", "x": 1.0, "s": "v"}])},
        )
        line = outcome.objects.get("data", f"quarantine/m/run={RUN}/rows.jsonl")
        record = json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
        assert record["key"] == "k"
        assert record["values"] == {"x": "inf", "s": "ü"}

    def test_a_hundred_rows_broken_in_ten_ways_are_each_named_and_the_rest_goes_on(self):
        rows = [{"id": f"{n:05d}", "x": n % 90 + 0.5, "n": n % 9} for n in range(23_570)]
        breaks = [
            ("null_key", {"id": None}),
            ("empty_key", {"id": ""}),
            ("duplicate_key", {"id": "00000"}),
            ("key_too_long", {"id": "k" * 2_000}),
            ("missing", {"x": None}),
            ("nan", {"x": math.nan}),
            ("infinite", {"x": math.inf}),
            ("below_minimum", {"x": -1.0}),
            ("above_maximum", {"x": 1e6}),
            ("value_not_allowed", {"n": 99}),
        ]
        expected = {}
        for number in range(100):
            code, values = breaks[number % 10]
            rows[100 + number * 200].update(values)
            expected[101 + number * 200] = [code]
        features = (Feature("x", minimum=0, maximum=100), Feature("n", "integer", values=list(range(9))))
        quarter = len(rows) // 4 + 1
        files = {f"part-{n}.parquet": parquet(rows[n * quarter : (n + 1) * quarter]) for n in range(4)}
        outcome = Outcome(card(*features, max_bad_fraction=0.01), files)
        assert outcome.codes == expected
        assert outcome.prepared["reasons"] == {code: 10 for code, _ in breaks}
        assert (outcome.prepared["rows_in"], outcome.prepared["rows_valid"]) == (23_570, 23_470)


class TestText:
    def test_a_csv_line_with_the_wrong_number_of_fields_is_one_row_with_its_line_number(self):
        body = b"id,x\na,1\nb,2,3\n\nc\nd,4\n"
        outcome = Outcome(card(input_format="csv"), {"f.csv": body})
        assert outcome.codes == {2: ["wrong_field_count"], 3: ["wrong_field_count"]}
        assert [(row["line"], row["values"]) for row in outcome.quarantined] == [(3, "b,2,3"), (5, "c")]
        assert outcome.quarantined[0]["reasons"][0]["message"] == "line 3 has 3 fields where the header has 2"
        assert outcome.shard(0) == ["1,1", "4,4"]

    def test_a_quote_that_is_never_closed_costs_one_line(self):
        lines = ["id,x"] + [f"k{n},{n}" for n in range(2_000)]
        lines[500] = '"open,1'
        lines[900] = 'k899,"2'
        outcome = Outcome(card(input_format="csv"), {"f": "\n".join(lines).encode()})
        assert outcome.codes == {500: ["malformed_line"], 900: ["malformed_line"]}
        assert [(row["line"], row["values"]) for row in outcome.quarantined] == [(501, '"open,1'), (901, 'k899,"2')]
        assert outcome.prepared["rows_in"] == 2_000

    def test_a_quoted_field_may_span_lines_and_the_rows_after_it_keep_their_line_numbers(self):
        body = b'id,note,x\na,"one\ntwo",1\nb,plain,lots\nc,plain,3\n'
        outcome = Outcome(card(input_format="csv"), {"f": body})
        assert [(row["row"], row["line"]) for row in outcome.quarantined] == [(2, 4)]
        assert outcome.shard(0) == ["1,1", "3,3"]

    def test_a_malformed_json_line_is_one_row_with_its_line_number(self):
        body = b'{"id": "a", "x": 1}\n\n{"id": "b", "x"\n[1]\n\xff\n{"id": "c", "x": 3}\n'
        outcome = Outcome(card(input_format="jsonlines"), {"f": body})
        assert outcome.codes == {2: ["malformed_line"], 3: ["malformed_line"], 4: ["malformed_line"]}
        assert [row["line"] for row in outcome.quarantined] == [3, 4, 5]
        assert "line 4 is JSON list, not an object" in outcome.quarantined[1]["reasons"][0]["message"]
        assert outcome.shard(0) == ["1,1", "5,3"]

    def test_bytes_that_are_not_utf_8_cost_the_rows_that_hold_them(self):
        body = "id,s\na,fine\nb,M\u00fcller\nc,fine\n".encode("latin-1")
        assert Outcome(card(Feature("s", "string"), input_format="csv"), {"f": body}).codes == {2: ["not_utf8"]}

    @pytest.mark.parametrize("number", ["1", "+1", " 1 ", "1.", "1.0", "1e0", ".1e1", "1E+00", "0001"])
    def test_csv_numbers_may_be_written_in_any_usual_way(self, number):
        assert Outcome(card(input_format="csv"), {"f": f"id,x\na,{number}\n".encode()}).shard(0) == ["1,1"]

    @pytest.mark.parametrize(
        ("number", "code"),
        [
            ("1,5", "wrong_field_count"),
            ("1_0", "not_a_number"),
            ("0x10", "not_a_number"),
            ("NULL", "not_a_number"),
            ("-", "not_a_number"),
            ("1e999", "infinite"),
            ("-Infinity", "infinite"),
            ("NaN", "nan"),
            ("", "missing"),
        ],
    )
    def test_csv_text_that_is_no_finite_number_is_refused(self, number, code):
        assert Outcome(card(input_format="csv"), {"f": f"id,x\na,1\nb,{number}\n".encode()}).codes == {2: [code]}

    def test_a_byte_order_mark_is_not_part_of_the_first_column(self):
        assert Outcome(card(input_format="csv"), {"f": b"\xef\xbb\xbfid,x\r\na,1\r\n"}).shard(0) == ["1,1"]
        assert Outcome(card(input_format="jsonlines"), {"f": b'\xef\xbb\xbf{"id":"a","x":1}'}).shard(0) == ["1,1"]

    def test_gzipped_text_is_read(self):
        assert Outcome(card(input_format="csv"), {"f.csv.gz": gzip.compress(b"id,x\na,1\n")}).shard(0) == ["1,1"]


class TestKeys:
    def test_zeros_in_front_of_a_csv_key_stay(self):
        outcome = Outcome(card(input_format="csv"), {"f": b"id,x\n00001,1\n1,2\n 1,3\n"})
        assert [row["key"] for row in outcome.keys(0)] == ["00001", "1", " 1"]
        assert outcome.prepared["key_type"] == "string"

    def test_an_integer_column_gives_integer_keys(self):
        outcome = Outcome(card(), {"f": parquet([{"id": 7, "x": 1.0}])})
        assert outcome.keys(0) == [{"row": 1, "key": 7}]
        assert outcome.prepared["key_type"] == "integer"

    def test_the_card_can_make_integers_text_and_text_integers(self):
        as_text = Outcome(card(key_type="string"), {"f": parquet([{"id": 7, "x": 1.0}])})
        assert as_text.keys(0)[0]["key"] == "7"
        body = b"id,x\n7,1\n-3,2\n007,3\n7.0,4\n,5\n"
        as_integer = Outcome(card(key_type="integer", input_format="csv"), {"f": body})
        assert [row["key"] for row in as_integer.keys(0)] == [7, -3]
        assert as_integer.codes == {3: ["not_an_integer"], 4: ["not_an_integer"], 5: ["null_key"]}
        assert "type: string" in as_integer.quarantined[0]["reasons"][0]["message"]

    def test_json_keys_keep_their_type_and_the_first_one_decides(self):
        outcome = Outcome(card(input_format="jsonlines"), {"f": jsonlines([{"id": 7, "x": 1}, {"id": "8", "x": 1}])})
        assert outcome.keys(0) == [{"row": 1, "key": 7}]
        assert outcome.codes == {2: ["not_an_integer"]}

    def test_unicode_and_slashes_are_just_text(self):
        keys = ["a/b", "日本", "100%", "a b", "e\u0301", '"', "\u0000"]
        outcome = Outcome(card(), {"f": parquet([{"id": key, "x": 1.0} for key in keys])})
        assert [row["key"] for row in outcome.keys(0)] == keys


class TestDataSet:
    def test_several_files_with_different_number_types_are_one_data_set(self):
        whole = parquet({"id": ["a"], "x": pa.array([1], pa.int32())})
        single = parquet({"id": ["b"], "x": pa.array([0.5], pa.float32())})
        dictionary = parquet({"id": pa.array(["c"]).dictionary_encode(), "x": pa.array([None], pa.null())})
        outcome = Outcome(card(Feature("x", nullable=True)), {"1": whole, "2": single, "3": dictionary})
        assert outcome.shard(0) == ["1,1", "2,0.5", "3,"]

    def test_hidden_names_and_folder_markers_are_no_data(self):
        files = {"": b"", "_SUCCESS": b"", ".crc": b"x", "_tmp/part": b"x", "sub/": b"", "sub/f": parquet(GOOD)}
        assert Outcome(card(), files).prepared["rows_in"] == 2

    def test_a_sibling_whose_name_starts_alike_is_not_read(self):
        objects = FakeObjects({"input/churn/f": parquet(GOOD), "input/churn2/f": b"junk"})
        model = card()
        model = type(model)(**{**model.__dict__, "input_uri": "s3://data/input/churn"})
        assert prepare(model, RUN, "data", objects, mode=ServingMode.PRECOMPUTE)["rows_in"] == 2

    @pytest.mark.parametrize(
        "files",
        [
            {},
            {"_SUCCESS": b""},
            {"f.parquet": parquet({"id": pa.array([], pa.string()), "x": pa.array([], pa.float64())})},
        ],
    )
    def test_no_rows_is_an_error_that_names_the_place(self, files):
        with pytest.raises(EmptyInput, match="s3://data/input/m/"):
            Outcome(card(), files)

    @pytest.mark.parametrize("input_format", list(MAKERS))
    def test_missing_columns_are_all_named_with_what_looks_like_them(self, input_format):
        rows = [{"ID": "a", "Recency_Days": 1, "y": 2, "z": 3}]
        model = card(Feature("recency_days"), Feature("y"), Feature("purchases"), input_format=input_format)
        with pytest.raises(MissingColumns) as missing:
            Outcome(model, {"f": MAKERS[input_format](rows)})
        assert missing.value.details["missing"] == ["id", "recency_days", "purchases"]
        assert "'id' (did you mean 'ID'?)" in missing.value.message
        assert "'recency_days' (did you mean 'Recency_Days'?)" in missing.value.message
        assert "'purchases'; it has: " in missing.value.message

    @pytest.mark.parametrize(
        ("column", "wanted", "found"),
        [
            (pa.array(["1"]), "float", "string"),
            (pa.array([1]), "string", "int64"),
            (pa.array([1.0]), "boolean", "double"),
            (pa.array([[1.0]]), "float", "list<element: double>"),
            (pa.array([b"x"]), "string", "binary"),
            (pa.array([0], pa.timestamp("s")), "integer", "timestamp[ms]"),
        ],
    )
    def test_a_column_of_another_type_is_an_error_that_names_file_column_found_and_wanted(self, column, wanted, found):
        with pytest.raises(WrongColumnType) as wrong:
            Outcome(card(Feature("x", wanted)), {"f": parquet({"id": ["a"], "x": column})})
        assert wrong.value.message == f"s3://data/input/m/f: column 'x' holds {found} where the schema wants {wanted}"

    def test_keys_of_another_type_in_a_later_file_are_an_error(self):
        with pytest.raises(WrongColumnType, match="m/2: column 'id' holds int64 where the schema wants string"):
            Outcome(card(), {"1": parquet(GOOD), "2": parquet([{"id": 1, "x": 1.0}])})

    @pytest.mark.parametrize("input_format", ["csv", "jsonlines"])
    def test_a_text_column_that_never_holds_its_type_is_an_error_and_not_a_heap_of_bad_rows(self, input_format):
        rows = [{"id": str(n), "x": "high"} for n in range(5)]
        with pytest.raises(WrongColumnType, match="column 'x' holds no float in any of the 5 rows"):
            Outcome(card(input_format=input_format), {"f": MAKERS[input_format](rows)})

    @pytest.mark.parametrize(
        ("input_format", "body", "says"),
        [
            ("parquet", b"PAR1 nonsense", "f is not Parquet"),
            ("parquet", b"", "f is not Parquet"),
            ("csv", b"", "f has no header line"),
            ("csv", b"id,x,x\na,1,2\n", "f has more than one column named 'x'"),
        ],
    )
    def test_a_file_that_is_not_its_format_is_named(self, input_format, body, says):
        with pytest.raises(UnreadableInput, match=says):
            Outcome(card(input_format=input_format), {"f": body})

    def test_a_parquet_file_with_damaged_pages_is_named(self):
        body = bytearray(parquet({"id": [str(n) for n in range(1000)], "x": [float(n) for n in range(1000)]}))
        body[4:900] = bytes(896)
        with pytest.raises(UnreadableInput, match="f is damaged"):
            Outcome(card(), {"f": bytes(body)})

    def test_broken_gzip_is_named(self):
        with pytest.raises(UnreadableInput, match=r"f\.gz is not gzip"):
            Outcome(card(input_format="csv"), {"f.gz": b"id,x\n"})

    def test_too_many_bad_rows_stop_the_run_with_numbers_and_leave_the_report(self):
        rows = [{"id": str(n), "x": 1.0 if n < 6 else math.nan} for n in range(10)]
        objects = FakeObjects({"input/m/f": parquet(rows)})
        with pytest.raises(TooManyBadRows) as stopped:
            prepare(card(max_bad_fraction=0.25), RUN, "data", objects, mode=ServingMode.PRECOMPUTE)
        uri = f"s3://data/quarantine/m/run={RUN}/rows.jsonl"
        assert stopped.value.message == (
            "4 of 10 rows (40.00%) are bad, 25.00% are allowed; most frequent reasons: nan 4; "
            f"every row and reason: {uri}"
        )
        assert objects.get("data", f"quarantine/m/run={RUN}/rows.jsonl").count(b"\n") == 4

    def test_exactly_the_allowed_share_goes_on(self):
        rows = [{"id": str(n), "x": 1.0 if n < 99 else math.nan} for n in range(100)]
        assert Outcome(card(max_bad_fraction=0.01), {"f": parquet(rows)}).prepared["rows_valid"] == 99

    def test_a_data_set_without_one_good_row_stops_whatever_the_threshold(self):
        with pytest.raises(TooManyBadRows, match="1 of 1 rows"):
            Outcome(card(max_bad_fraction=1.0), {"f": parquet([{"id": "a", "x": math.nan}])})

    def test_sidecars_are_parquet_with_row_and_key(self):
        outcome = Outcome(card(), {"f": parquet(GOOD)})
        schema = pq.read_schema(io.BytesIO(outcome.objects.get("data", f"work/m/{RUN}/keys/shard-00000.parquet")))
        assert (schema.names, schema.types) == (["row", "key"], [pa.int64(), pa.string()])
