"""The churn script alone, and in the container: the same bits by every route and in every company."""

import ast
import io
import json
import sys
from pathlib import Path

import inference
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from features import SCORING_CUTOFF, features_at
from inference import FEATURES, BadRows, UnsupportedAccept, UnsupportedContentType, input_fn, output_fn, predict_fn
from threadpoolctl import threadpool_limits

MODEL_CODE = Path(inference.__file__).parents[1]
CSV, JSON, JSON_LINES = "text/csv", "application/json", "application/jsonlines"
PARQUET = "application/x-parquet"
ROW = list(inference.WARM_UP_ROW)
NAMED = dict(zip(FEATURES, ROW, strict=True))


@pytest.fixture(scope="module")
def model(trained):
    return inference.model_fn(str(trained))


@pytest.fixture(scope="module")
def rows(transactions):
    return features_at(transactions, SCORING_CUTOFF)[1]


def as_csv(rows) -> str:
    return "".join(",".join(map(repr, row)) + "\n" for row in rows.tolist())


def as_json(rows) -> str:
    return json.dumps({"instances": rows.tolist()})


def as_named_lines(rows) -> bytes:
    return "".join(json.dumps(dict(zip(FEATURES, row, strict=True))) + "\n" for row in rows.tolist()).encode()


def as_parquet(rows, **more) -> bytes:
    columns = dict(zip(FEATURES, np.ascontiguousarray(rows.T), strict=True))
    return parquet({"row": np.arange(len(rows)), **dict(reversed(columns.items())), **more})


def parquet(columns) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table(columns), out)
    return out.getvalue()


def bits(values) -> list[bytes]:
    return [np.float64(value).tobytes() for value in values]


@pytest.mark.parametrize("size", [1, 2, 7, 64, 1000])
def test_a_rows_prediction_does_not_depend_on_the_rows_around_it(model, rows, size):
    picked = rows[: 250 * size]
    together = predict_fn(rows, model)[: len(picked)]
    with threadpool_limits(1):  # the other computation ran on all cores, so threads cannot matter either
        apart = np.concatenate([predict_fn(picked[at : at + size], model) for at in range(0, len(picked), size)])
    assert bits(together) == bits(apart)
    assert bits(predict_fn(picked[::-1], model)[::-1]) == bits(together)


def test_every_request_format_gives_the_same_bits(model, rows):
    expected = bits(predict_fn(rows, model))
    bodies = {CSV: as_csv(rows), JSON: as_json(rows), JSON_LINES: as_named_lines(rows), PARQUET: as_parquet(rows)}
    for content_type, body in bodies.items():
        assert bits(predict_fn(input_fn(body, content_type), model)) == expected, content_type


def test_every_answer_format_reads_back_to_the_same_bits(model, rows):
    predictions = predict_fn(rows, model)
    lines, content_type = output_fn(predictions, CSV)
    assert content_type == CSV
    assert bits(map(float, lines.splitlines())) == bits(predictions)
    assert output_fn(predictions, JSON_LINES) == (lines, JSON_LINES)
    assert bits(json.loads(output_fn(predictions, JSON)[0])["predictions"]) == bits(predictions)
    file, content_type = output_fn(predictions, PARQUET)
    table = pq.read_table(io.BytesIO(file))
    assert (content_type, table.column_names) == (PARQUET, ["prediction"])
    assert bits(table["prediction"].to_pylist()) == bits(predictions)


def test_rows_may_come_by_name_in_any_order_or_as_a_bare_list_and_as_bytes_or_text():
    backwards = dict(reversed(NAMED.items()))
    for body in (json.dumps([ROW]), json.dumps({"instances": [NAMED]}), json.dumps([backwards]).encode()):
        assert input_fn(body, JSON).tolist() == [ROW]
    assert input_fn((as_csv(np.array([ROW]))).rstrip("\n").encode(), "text/csv; charset=utf-8").tolist() == [ROW]
    assert input_fn(json.dumps(ROW), JSON_LINES).tolist() == [ROW]


@pytest.mark.parametrize(
    ("body", "content_type", "reason"),
    [
        ("", CSV, "no rows"),
        ("1,2\n", CSV, "rows have 2 values instead of 9"),
        (as_csv(np.array([ROW])) + "\n" + as_csv(np.array([ROW])), CSV, "an empty line is no row"),
        (",".join(["1"] * 8) + ",\n", CSV, "could not convert string ''"),
        (",".join(FEATURES) + "\n" + as_csv(np.array([ROW])), CSV, "could not convert string 'recency_days'"),
        (",".join(["1"] * 8) + ",nan\n", CSV, "row 1: cohort_month is not a finite number"),
        (b"\xff", CSV, "can't decode"),
        ("[]", JSON, "no rows"),
        ("{}", JSON, "expected"),
        ('"text"', JSON, "expected a list of rows"),
        ("[1, 2]", JSON, "row 1 is neither a list nor an object"),
        ("[[1, 2]]", JSON, "row 1 has 2 values instead of 9"),
        ("[[1, 2", JSON, "delimiter"),
        (json.dumps([NAMED, {**NAMED, "age": 3}]), JSON, "row 2 lacks or does not know: age"),
        (json.dumps([{"recency_days": 1}]), JSON, "purchase_days"),
        (json.dumps([[*ROW[:8], "1"]]), JSON, "every value must be a number"),
        (json.dumps([[*ROW[:8], None]]), JSON, "every value must be a number"),
        (json.dumps([[*ROW[:8], [1]]]), JSON, "inhomogeneous"),
        (json.dumps([[*ROW[:8], float("inf")]]), JSON, "not a finite number"),
        (json.dumps(ROW) + "\n\n", JSON_LINES, "Expecting value"),
        (b"", PARQUET, "not Parquet"),
        (as_parquet(np.array([ROW]))[:-9], PARQUET, "not Parquet"),
        (as_parquet(np.array([ROW]))[30:], PARQUET, "not Parquet"),
        (as_parquet(np.empty((0, 9))), PARQUET, "no rows"),
        (parquet({"recency_days": [1]}), PARQUET, "lacks or has twice: purchase_days"),
        (as_parquet(np.array([ROW]), cohort_month=["1"]), PARQUET, "every value must be a number"),
        (as_parquet(np.array([ROW]), cohort_month=[True]), PARQUET, "every value must be a number"),
        (as_parquet(np.array([ROW]), cohort_month=[None]), PARQUET, "every value must be a number"),
        (
            as_parquet(np.array([ROW, ROW]), cohort_month=[1, None]),
            PARQUET,
            "row 2: cohort_month is not a finite number",
        ),
    ],
)
def test_a_body_that_is_no_rows_is_refused_with_the_reason(body, content_type, reason):
    with pytest.raises(BadRows) as refused:
        input_fn(body, content_type)
    assert reason in str(refused.value)
    assert refused.value.status_code == 400


def test_unknown_types_are_refused_with_the_status_that_http_has_for_it():
    with pytest.raises(UnsupportedContentType) as no_read:
        input_fn(b"", "application/x-npy")
    with pytest.raises(UnsupportedAccept) as no_write:
        output_fn(np.array([0.5]), "image/png")
    assert (no_read.value.status_code, no_write.value.status_code) == (415, 406)


def test_the_container_gives_the_sample_predictions_by_every_route(start, trained):
    samples = json.loads((trained / "sample_payloads.json").read_text())
    rows = np.array([list(sample["features"].values()) for sample in samples["rows"]])
    expected = bits(sample["churn_probability"] for sample in samples["rows"])
    container = start(model_dir=trained).ready()
    for body, content_type in ((as_csv(rows), CSV), (as_json(rows), JSON), (as_named_lines(rows), JSON_LINES)):
        answer = container.post(body, Content_Type=content_type, Accept=CSV)
        assert (answer.status, bits(map(float, answer.text.splitlines()))) == (200, expected)
    answer = container.post(as_parquet(rows), Content_Type=PARQUET, Accept=PARQUET)
    assert (answer.status, answer.headers["content-type"]) == (200, PARQUET)
    assert bits(pq.read_table(io.BytesIO(answer.body))["prediction"].to_pylist()) == expected
    one_by_one = [container.post(as_csv(row[None]), Content_Type=CSV, Accept=JSON_LINES).text for row in rows]
    assert bits(map(float, one_by_one)) == expected
    as_document = container.post(as_json(rows), Content_Type=JSON)
    assert bits(json.loads(as_document.body)["predictions"]) == expected
    refused = container.post("1,2\n", Content_Type=CSV, Accept=CSV)
    assert (refused.status, json.loads(refused.body)["error"]["message"]) == (400, "rows have 2 values instead of 9")


def is_import(node: ast.AST) -> bool:
    return isinstance(node, ast.Import | ast.ImportFrom)


def imports_of(path: Path) -> set[str]:
    return imports_in(ast.parse(path.read_text()))


def imports_in(tree: ast.AST) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module.partition(".")[0])
    return found - set(sys.stdlib_module_names)


def test_the_script_imports_nothing_that_awss_container_lacks():
    assert imports_of(MODEL_CODE / "churn/inference.py") <= {"joblib", "numpy", "pyarrow", "sklearn"}
    at_import = [node for node in ast.parse((MODEL_CODE / "churn/inference.py").read_text()).body if is_import(node)]
    assert "pyarrow" not in imports_in(ast.Module(at_import, []))


def test_the_server_starts_with_the_standard_library_alone():
    modules = {path.stem for path in (MODEL_CODE / "server").glob("*.py")}
    serving = [path for path in (MODEL_CODE / "server").glob("*.py") if path.stem != "export_onnx"]  # where one trains
    for path in serving:
        assert imports_of(path) - modules <= {"numpy", "pyarrow", "orjson", "onnxruntime"}, path.name
        at_import = ast.Module([node for node in ast.parse(path.read_text()).body if is_import(node)], [])
        assert imports_in(at_import) <= modules, path.name


def test_a_script_without_numpy_is_served_without_numpy(start):
    script = """
import sys
model_fn = lambda model_dir: None
transform_fn = lambda model, body, content_type, accept: str({"numpy", "pyarrow"} & set(sys.modules))
"""
    assert start(script).ready().post("1").text == "set()"
