"""What a live endpoint gets and answers, held to what Batch Transform carries for the same features."""

import io
import json
import math
import struct
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handlers.contract.card import Feature
from handlers.logic.feature_checks import CONVERT, key_reasons, reasons
from handlers.logic.rows import NoPrediction, content_type, decode_answer, encode_rows, shortest
from tests.unit.handlers.datasets import Outcome, card, jsonlines

ROOT = Path(__file__).resolve().parents[3]

ALL_TYPES = (
    Feature("f", "float", nullable=True),
    Feature("i", "integer", nullable=True),
    Feature("b", "boolean", nullable=True),
    Feature("s", "string", nullable=True),
)
ROWS = [
    {"f": 0.1, "i": 1, "b": True, "s": "plain"},
    {"f": 546, "i": 2**53 + 1, "b": False, "s": 'say "hi", twice'},
    {"f": -0.0, "i": -(2**63) + 1, "b": 1, "s": ""},
    {"f": 1e15, "i": 2**63 - 1, "b": 0, "s": " blank "},
    {"f": 2**60, "i": 3.0, "b": None, "s": "ünï"},
    {"f": 5e-324, "i": None, "b": True, "s": None},
    {"f": 1.7976931348623157e308, "i": 0, "b": False, "s": "007"},
    {"f": None, "i": -5, "b": True, "s": "NaN"},
    {"i": 7, "b": True, "s": "absent f"},
    {"f": 123456.789e-9, "i": 10**17, "b": True, "s": "1e5"},
]


def shard_lines(model, rows):
    """Return what the container gets from Batch Transform: the shard's lines without their row numbers."""
    keyed = [{"id": f"k,{place}", **row} for place, row in enumerate(rows)]
    outcome = Outcome(model, {"part.jsonl": jsonlines(keyed)})
    assert outcome.prepared["rows_quarantined"] == 0
    lines = outcome.shard(0)
    if model.wire_format == "csv":
        return [line.partition(",")[2] for line in lines]
    return [json.dumps(json.loads(line)["features"]) for line in lines]


@pytest.mark.parametrize("passes_key", [False, True])
@pytest.mark.parametrize("wire", ["csv", "jsonlines"])
def test_a_live_body_is_byte_for_byte_what_batch_transform_hands_over(wire, passes_key):
    model = card(*ALL_TYPES, wire_format=wire, pass_key_to_model=passes_key, input_format="jsonlines")
    keys = [f"k,{place}" for place in range(len(ROWS))]
    assert [reasons(model, row) for row in ROWS] == [[]] * len(ROWS)
    assert encode_rows(model, keys, ROWS).decode().splitlines() == shard_lines(model, ROWS)


def test_a_live_body_is_json_lines_where_batch_transform_carries_parquet_with_the_same_names_values_and_nulls():
    model = card(*ALL_TYPES, wire_format="parquet", pass_key_to_model=True, input_format="jsonlines")
    keys = [f"k,{place}" for place in range(len(ROWS))]
    outcome = Outcome(model, {"part.jsonl": jsonlines([{"id": f"k,{place}", **row} for place, row in enumerate(ROWS)])})
    live = [json.loads(line) for line in encode_rows(model, keys, ROWS).splitlines()]
    assert content_type(model) == "application/jsonlines"
    assert live == outcome.table(0).drop_columns("row").to_pylist()
    assert decode_answer(model, b'{"p": [1, null]}\n', 1) == [{"p": [1, None]}]


@pytest.mark.parametrize("wire", ["csv", "jsonlines"])
def test_integer_keys_travel_as_integers_however_they_were_asked(wire):
    model = card(Feature("f"), wire_format=wire, pass_key_to_model=True, key_type="integer")
    assert encode_rows(model, ["42", 42], [{"f": 1}, {"f": 1}]).splitlines()[0::2] == [
        encode_rows(model, [42], [{"f": 1}]).splitlines()[0]
    ]
    assert encode_rows(model, ["42"], [{"f": 1}]) == {"csv": b"42,1\n", "jsonlines": b'{"key": 42, "f": 1.0}\n'}[wire]


def arrow_text(values):
    out = io.BytesIO()
    table = pa.table({"x": pa.array(values, pa.float64())})
    pyarrow.csv.write_csv(table, out, pyarrow.csv.WriteOptions(include_header=False, quoting_style="needed"))
    return out.getvalue().decode().splitlines()


@settings(max_examples=300, deadline=None)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=50))
def test_doubles_are_written_as_arrow_writes_them_and_read_back_bit_for_bit(values):
    written = [shortest(value) for value in values]
    assert written == arrow_text(values)
    assert [struct.pack("<d", float(text)) for text in written] == [struct.pack("<d", value) for value in values]


@settings(max_examples=200, deadline=None)
@given(st.integers(-320, 308), st.integers(1, 10**17))
def test_decimal_magnitudes_are_written_as_arrow_writes_them(exponent, digits):
    value = float(f"{digits}e{exponent - 16}")
    if math.isfinite(value):
        assert [shortest(value)] == arrow_text([value])


FEATURES = {
    "float": st.floats() | st.integers(-(2**70), 2**70) | st.none() | st.text(max_size=2) | st.booleans(),
    "integer": st.integers(-(2**65), 2**65) | st.floats() | st.none() | st.booleans(),
    "boolean": st.booleans() | st.integers(-1, 2) | st.none() | st.floats(),
    "string": st.text(max_size=4) | st.none() | st.integers(),
}
BOUNDED = (
    Feature("f", "float", minimum=-2.5, maximum=9e15),
    Feature("i", "integer", minimum=0, maximum=2**53),
    Feature("b", "boolean", nullable=True, values=[True]),
    Feature("s", "string", values=["", "a", "ab"], pattern="[a-z]*"),
    Feature("v", "float", nullable=True, values=[1, 2.5]),
)


@settings(max_examples=300, deadline=None)
@given(st.fixed_dictionaries({}, optional={f.name: FEATURES[f.type] for f in BOUNDED}))
def test_a_live_instance_has_exactly_the_reasons_that_the_pipeline_would_quarantine_it_for(row):
    if any(isinstance(value, float) and not math.isfinite(value) for value in row.values()):
        return  # no JSON request can hold them
    model = card(*BOUNDED, input_format="jsonlines")
    good = {"id": "good", "f": 1.0, "i": 1, "b": True, "s": "a", "v": 1}
    outcome = Outcome(model, {"part.jsonl": jsonlines([good, {"id": "k", **row}])})
    batch = (
        [(r["code"], r["column"], r["message"]) for q in outcome.quarantined for r in q["reasons"]]
        if (outcome.prepared["rows_quarantined"])
        else []
    )
    live = [(r["code"], r["column"], r["message"]) for r in reasons(model, row)]
    assert sorted(live) == sorted(batch)


def test_a_feature_that_the_model_does_not_have_is_named():
    (reason,) = reasons(card(Feature("x", nullable=True)), {"X": 1})
    assert (reason["code"], reason["column"]) == ("unknown_feature", "X")


def test_a_key_that_the_model_is_given_must_be_there_and_fit_on_a_line():
    model = card(Feature("x"), pass_key_to_model=True)
    assert [key_reasons(model, key)[0]["code"] for key in (None, "a\nb")] == ["null_key", "line_break"]
    integers = card(Feature("x"), pass_key_to_model=True, key_type="integer")
    assert [reason["code"] for reason in key_reasons(integers, "x")] == ["not_an_integer"]
    assert key_reasons(model, "a") == key_reasons(integers, "7") == key_reasons(card(Feature("x")), None) == []


class TestAnswers:
    @pytest.mark.parametrize(
        ("wire", "body", "predictions"),
        [
            ("csv", b"0.1\n2\nyes\n", [0.1, 2, "yes"]),
            ("csv", b"0.1,2,yes\n", [0.1, 2, "yes"]),  # XGBoost's container
            ("csv", b"no,0.25\r\nyes,0.75\r\nyes,1e0", [0.25, 0.75, 1.0]),
            ("csv", b'"a,b"\n" c "\n007\n', ["a,b", "c", "007"]),
            ("jsonlines", b'0.1\n{"a": [1]}\n"x"\n', [0.1, {"a": [1]}, "x"]),
        ],
    )
    def test_an_answer_is_read_as_batch_transforms_output_is(self, wire, body, predictions):
        read = decode_answer(card(wire_format=wire), body, 3)
        assert json.dumps(read) == json.dumps(predictions)

    @pytest.mark.parametrize(
        ("wire", "body", "says"),
        [
            ("csv", b"1\n", "1 predictions for 2 rows"),
            ("csv", b"1\n2\n3\n", "3 predictions for 2 rows"),
            ("csv", b"1\nnan\n", "'nan' is not a prediction"),
            ("csv", b"\xff\n1\n", "cannot be read"),
            ("jsonlines", b"1\nNaN\n", "NaN is not JSON"),
            ("jsonlines", b"1\nnull\n", "null is not a prediction"),
            ("jsonlines", b"1\n{\n", "is not JSON"),
            ("jsonlines", b"1\n" + b"[" * 100_000, "nested too deeply"),
            ("jsonlines", b"1\n" + b"9" * 5_000, "an answer has a number of too many digits"),
            ("jsonlines", b"1\n[1, 1e999]\n", "larger than any double"),
            ("jsonlines", b"1\n" + b"9" * 400, "larger than any double"),
            ("jsonlines", b'1\n"\\ud800"\n', "half of a surrogate pair"),
            ("csv", b"1\n-1e999\n", "is not a prediction"),
        ],
    )
    def test_an_answer_that_is_not_one_prediction_per_row_says_so(self, wire, body, says):
        with pytest.raises(NoPrediction, match=says):
            decode_answer(card(wire_format=wire), body, 2)


def test_every_type_of_feature_can_be_checked_and_written():
    assert set(CONVERT) == {feature.type for feature in ALL_TYPES}


def test_what_asks_a_model_runs_without_arrow_which_the_front_door_does_not_have():
    modules = ["logic.live", "logic.hybrid", "logic.deferred", "adapters.live_table", "adapters.async_files"]
    imports = "; ".join(f"import handlers.{name}" for name in [*modules, "adapters.sagemaker_endpoint"])
    command = [sys.executable, "-c", f"import sys; sys.modules['pyarrow'] = None; {imports}"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")
