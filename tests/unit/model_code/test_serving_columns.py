"""The fast ways in and out give what the plain ways give, to the last bit and the last character."""

import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import serving_codecs
import serving_columns
from hypothesis import given, settings
from hypothesis import strategies as st
from serving_codecs import default_input_fn, default_output_fn
from serving_columns import BadTable, Columns, NotColumnar, Unsupported, csv_matrix, numbers_as_text

FLOATS = st.floats(allow_nan=False, allow_infinity=False)
NUMBERS = FLOATS | st.integers(-(2**63), 2**63 - 1).map(float) | st.floats(0, 1) | st.floats(0, 1e-3)
ROWS = [st.lists(NUMBERS, min_size=width, max_size=width) for width in range(1, 5)]
TABLES = st.one_of([st.lists(row, min_size=1) for row in ROWS])
NAMES = ("a", "b", "c")
PARQUET = "application/vnd.apache.parquet"


@pytest.fixture
def without_pyarrow(monkeypatch):
    monkeypatch.setattr(serving_columns, "has_pyarrow", lambda: False)


def csv_of(rows) -> bytes:
    return "".join(",".join(map(repr, row)) + "\n" for row in rows).encode()


def parquet_of(**columns) -> bytes:
    stream = io.BytesIO()
    pa.parquet.write_table(pa.table(columns), stream)
    return stream.getvalue()


@given(TABLES)
def test_every_float64_is_read_from_csv_to_the_last_bit(rows):
    assert csv_matrix(csv_of(rows), np.float64).tobytes() == np.array(rows).tobytes()


@pytest.mark.filterwarnings("ignore:overflow")
@given(TABLES)
def test_large_csv_gives_the_script_what_awss_way_gives(rows):
    text = csv_of(rows).decode()
    plain = default_input_fn(text, "text/csv")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(serving_codecs, "LARGE_TEXT", 0)
        fast = default_input_fn(text, "text/csv")
    assert (fast.dtype, fast.shape, fast.tobytes()) == (plain.dtype, plain.shape, plain.tobytes())


@pytest.mark.parametrize("text", ["1,2\r\n3,4\r\n", '"1",2\n', "1, 2 \n", "nan,inf\n", "1_0,2\n", "+1,.5\n", "1,2"])
def test_csv_out_of_the_ordinary_is_read_as_on_aws_whatever_its_size(text, monkeypatch):
    plain = default_input_fn(text, "text/csv")
    monkeypatch.setattr(serving_codecs, "LARGE_TEXT", 0)
    np.testing.assert_array_equal(default_input_fn(text, "text/csv"), plain)


@pytest.mark.parametrize("text", ["1,2\n3\n", "1,2\n\n3,4\n", "1,\n", "1,x\n", '1,"2\n', "1,2\n3,4,5\n"])
def test_csv_that_aws_refuses_is_refused_whatever_its_size(text, monkeypatch):
    monkeypatch.setattr(serving_codecs, "LARGE_TEXT", 0)
    with pytest.raises(NotColumnar):
        csv_matrix(text.encode(), np.float64)
    with pytest.raises(ValueError, match=r".+"):
        default_input_fn(text, "text/csv")


@settings(max_examples=200)
@given(st.lists(NUMBERS, min_size=1))
def test_numbers_are_written_as_python_writes_them(values):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(serving_columns, "MANY_NUMBERS", 0)
        assert numbers_as_text(np.array(values), "", "\n") == "\n".join(map(repr, values))


@given(st.lists(st.sampled_from([0.0, -0.0, 1.0, 2.0, 1e300]), min_size=20), st.lists(st.integers(-9, 9), min_size=1))
def test_labels_are_written_as_python_writes_them(floats, integers):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(serving_columns, "MANY_NUMBERS", 0)
        assert numbers_as_text(np.array(floats), "", ",") == ",".join(map(repr, floats))
        assert numbers_as_text(np.array(integers), "", ",") == ",".join(map(repr, integers))


@pytest.mark.parametrize("accept", ["text/csv", "application/json"])
@pytest.mark.parametrize(
    "values",
    [
        np.random.default_rng(3).random(5000),
        np.arange(5000) % 2,
        np.append(np.ones(2000), [np.nan, np.inf, 1e-7]),
        np.random.default_rng(3).random(5000).astype(np.float32),
        np.random.default_rng(3).random((2000, 2)),
    ],
    ids=["probabilities", "labels", "not-finite", "float32", "two-columns"],
)
def test_long_predictions_are_written_as_on_aws(values, accept, monkeypatch):
    fast = default_output_fn(values, accept)
    monkeypatch.setattr(serving_codecs, "_is_long", lambda prediction: False)
    assert fast == default_output_fn(values, accept)


@pytest.mark.parametrize("repeat", [1, 30_000])
@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        ("1,2.5,3\n", "text/csv"),
        ("[1, 2.5, 3]\n", "application/jsonlines"),
        ('{"c": 3, "a": 1, "b": 2.5, "x": "y"}\n', "application/jsonlines"),
    ],
)
def test_columnar_hooks_read_rows_and_names_in_the_models_order(body, content_type, repeat):
    rows = Columns(NAMES).input_fn(body.encode() * repeat, content_type)
    assert rows.dtype == np.float64
    assert rows.tolist() == [[1.0, 2.5, 3.0]] * repeat


def test_columnar_hooks_read_the_same_without_pyarrow(without_pyarrow):
    test_columnar_hooks_read_rows_and_names_in_the_models_order("1,2.5,3\n", "text/csv", 30_000)
    test_columnar_hooks_read_rows_and_names_in_the_models_order("[1,2.5,3]\n", "application/jsonlines", 30_000)
    with pytest.raises(Unsupported, match="no pyarrow") as no_parquet:
        Columns(NAMES).input_fn(b"PAR1", PARQUET)
    assert no_parquet.value.status_code == 415
    assert numbers_as_text(np.full(5000, 0.5), "", ",") == ",".join(["0.5"] * 5000)


@pytest.mark.parametrize("body", ["[[1, 2, 3]]", '{"instances": [[1, 2, 3]]}', '[{"a": 1, "c": 3, "b": 2}]'])
def test_columnar_hooks_read_json_in_the_usual_forms(body):
    assert Columns(NAMES).input_fn(body.encode(), "application/json; charset=utf-8").tolist() == [[1, 2, 3]]


def test_parquet_columns_are_taken_by_name_whatever_their_order_and_type():
    body = parquet_of(c=[3.5, 4.5], id=["x", "y"], b=pa.array([1, 2], pa.int32()), a=[True, False])
    assert Columns(NAMES).input_fn(body, PARQUET).tolist() == [[1.0, 1.0, 3.5], [0.0, 2.0, 4.5]]


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"a": [1.0], "b": [1.0]}, "no column c"),
        ({"a": [1.0], "b": [None], "c": [1.0]}, "column b has 1 empty values"),
        ({"a": [1.0], "b": ["x"], "c": [1.0]}, "column b is string, not numbers"),
    ],
)
def test_parquet_that_does_not_fit_the_model_is_refused(columns, reason):
    with pytest.raises(BadTable, match=reason):
        Columns(NAMES).input_fn(parquet_of(**columns), PARQUET)


@pytest.mark.parametrize(
    ("body", "content_type", "reason"),
    [
        ("1,2\n", "text/csv", "2 values instead of 3"),
        ("1,2,3\n\n4,5,6\n", "text/csv", "empty line"),
        ("1,2,x\n", "text/csv", "not CSV"),
        ("", "text/csv", "no rows"),
        ("[]\n", "application/jsonlines", "rows without values"),
        ("[[1, 2, 3], [1]]", "application/json", "all of one length"),
        ('[["1", "2", "3"]]', "application/json", "rows of numbers"),
        ('[{"a": 1}]', "application/json", "needs all of a, b, c"),
        ("7", "application/json", "list of rows"),
        ("{", "application/json", "not JSON"),
        ("[1,2,3]\n[1,2", "application/jsonlines", "not JSON Lines"),
        ("not a file", PARQUET, "not Parquet"),
        ("not a file", "application/x-npy", "not npy"),
    ],
)
def test_bodies_that_are_no_table_of_the_models_features_are_refused(body, content_type, reason):
    with pytest.raises(BadTable, match=reason):
        Columns(NAMES).input_fn(body.encode(), content_type)


@pytest.mark.parametrize("line", ["[1,2],[3]\n", "[1,2,3]]\n", "1,2,3\n", "[1,2\n", "[[1,2,3]]\n", "[1,,3]\n"])
def test_large_json_lines_with_one_broken_line_are_refused(line):
    body = (b"[1,2,3]\n" * 20_000) + line.encode() + b"[1,2,3]\n"
    with pytest.raises(BadTable):
        Columns(NAMES).input_fn(body, "application/jsonlines")


def read_lines(body: bytes) -> bytes | None:
    """Return the rows' bits, None for a refusal."""
    try:
        return Columns().input_fn(body, "application/jsonlines").tobytes()
    except BadTable:
        return None


WRITTEN = ["1", "0", "-1", "-0", "0.5", "1e5", "1E+5", "-1.5e-07", "10", "1" * 25, "1e999", "9007199254740993"]
WRITTEN += [" 1", "1 ", "\t1", "NaN"]
ODD = ["", "+1", "01", "-01", "00", ".5", "-.5", "1.", "1.e5", "1e", "1e+", "1-2", "1+2", "--1", "-", "1 2", "1. 5"]
ODD += ["1e 5", "1.2.3", "1e5.5", "[1]", "1_0", "inf", "0x1", "1,,2"]


@pytest.mark.parametrize("number", WRITTEN + ODD, ids=repr)
def test_a_line_of_json_is_read_or_refused_alike_alone_and_in_a_large_body(number):
    line, plain = f"[{number}, 1.5]\n".encode(), b"[1.5, 1.5]\n" * 3_000
    alone, among = read_lines(line), read_lines(plain + line + plain)
    assert (among is None) == (alone is None) == (number in ODD)
    assert alone is None or among[3_000 * 16 : 3_001 * 16] == alone


NEARLY_JSON = st.text("0123.-+eE,[] \n", max_size=12)
NEARLY_ROWS = st.lists(st.lists(st.sampled_from(WRITTEN + ODD), min_size=2, max_size=2).map(", ".join), max_size=3)
NEARLY_LINES = NEARLY_ROWS.map(lambda rows: "".join(f"[{row}]\n" for row in rows))


@settings(max_examples=200, deadline=None)
@given(NEARLY_JSON | NEARLY_LINES | NEARLY_JSON.map(lambda inside: f"[1.5,{inside}]\n[2, 3]"), st.integers(1, 8))
def test_the_fast_way_into_json_lines_gives_what_the_plain_way_gives(text, at_once):
    plain = read_lines(text.encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(serving_columns, "LARGE_TEXT", 0)
        patch.setattr(serving_columns, "AT_ONCE", at_once)
        assert read_lines(text.encode()) == plain


def test_plain_json_lines_go_the_fast_way(monkeypatch):
    monkeypatch.setattr(serving_columns.json, "loads", None)
    for separator in (",", ", "):
        line = f"[1.5{separator}-2e-07{separator}0]\n".encode()
        assert Columns(NAMES).input_fn(line * 5_000, "application/jsonlines").tolist() == [[1.5, -2e-07, 0]] * 5_000


@pytest.mark.parametrize("content_type", ["application/json", "application/jsonlines"])
@pytest.mark.parametrize("depth", [100, 60_000])
def test_what_is_nested_too_deeply_is_a_bad_body(content_type, depth):
    for body in (b"[" * depth + b"]" * depth, b'{"a":' * depth + b"1" + b"}" * depth):
        with pytest.raises(BadTable):
            Columns(NAMES).input_fn(body, content_type)


def test_named_columns_are_refused_where_nobody_said_their_order():
    for body, content_type in ((b'[{"a": 1}]', "application/json"), (parquet_of(a=[1.0]), PARQUET)):
        with pytest.raises(BadTable, match="TURNOUT_FEATURES"):
            Columns().input_fn(body, content_type)


@pytest.mark.parametrize("count", [2, 5000])
def test_columnar_predictions_come_back_the_same_in_every_format(count):
    columns, values = Columns(), np.random.default_rng(5).random(count)
    pairs = np.column_stack([values, 1 - values])

    def written(prediction, accept):
        body, content_type = columns.output_fn(prediction, accept)
        assert content_type == accept
        return body

    assert json.loads(written(values, "application/json")) == {"predictions": values.tolist()}
    assert json.loads(written(pairs, "application/json")) == {"predictions": pairs.tolist()}
    assert [float(line) for line in written(values, "text/csv").splitlines()] == values.tolist()
    lines = written(pairs, "application/jsonlines").splitlines()
    assert [json.loads(line) for line in lines] == pairs.tolist()
    table = pa.parquet.read_table(io.BytesIO(written(values, PARQUET)))
    assert table.to_pydict() == {"prediction": values.tolist()}
    table = pa.parquet.read_table(io.BytesIO(written(pairs, PARQUET)))
    assert table.column("prediction_1").to_pylist() == pairs[:, 1].tolist()
    assert (np.load(io.BytesIO(written(values, "application/x-npy"))) == values).all()


def test_labels_of_text_are_lines_of_json():
    assert Columns().output_fn(np.array(["yes", 'n"o']), "application/jsonlines")[0] == '"yes"\n"n\\"o"\n'


def test_types_nobody_knows_are_refused_with_the_status_that_http_has_for_it():
    with pytest.raises(Unsupported) as no_read:
        Columns().input_fn(b"", "text/plain")
    with pytest.raises(Unsupported) as no_write:
        Columns().output_fn(np.zeros(1), "text/plain")
    assert (no_read.value.status_code, no_write.value.status_code) == (415, 406)
