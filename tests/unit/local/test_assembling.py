"""One object through the model, with a function in the model's place, against a model of the whole way."""

import csv
import gzip
import io
import json
import random
import re
import tracemalloc

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from turnout.local.sagemaker.transform.assembling import transform_object, unpack
from turnout.local.sagemaker.transform.errors import BadData
from turnout.local.sagemaker.transform.sending import Requests
from turnout.local.sagemaker.transform.settings import TransformSettings
from turnout.local.sagemaker.transform.splitting import MEGABYTE

PROCESSING = {"InputFilter": "$[1:]", "JoinSource": "Input", "OutputFilter": "$[0,-1]"}
UUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("assembling") / "object"


def settings(split="Line", offered=None, processing=None, kind="text/csv", **request) -> TransformSettings:
    source = {"ContentType": kind, "SplitType": split, **request.pop("source", {})}
    sink = {"Accept": kind, "AssembleWith": request.pop("assemble", "Line")}
    data = {"TransformInput": source, "TransformOutput": sink, "DataProcessing": processing or {}, **request}
    return TransformSettings.from_request(data, offered or {})


def transformed(path, data, how, model) -> bytes:
    path.write_bytes(data)
    sink = io.BytesIO()
    transform_object(path, sink, how, lambda batches: ((batch, model(batch.body)) for batch in batches))
    return sink.getvalue()


class Model:
    """Adds up each line and remembers the bodies that it got."""

    def __init__(self):
        self.bodies = []

    def __call__(self, body):
        self.bodies.append(body)
        lines = body.decode().splitlines()
        return "\n".join(str(sum(float(v) for v in line.split(","))) for line in lines).encode()


rows = st.lists(st.lists(st.integers(-1000, 1000), min_size=1, max_size=4), max_size=40)


@given(rows, st.booleans())
def test_every_row_gets_its_own_prediction_in_order(scratch, rows, single):
    data = "".join(f"{number},{','.join(map(str, row))}\n" for number, row in enumerate(rows, 1)).encode()
    strategy = "SingleRecord" if single else "MultiRecord"
    out = transformed(scratch, data, settings(processing=PROCESSING, BatchStrategy=strategy), Model())
    expected = "".join(f"{number},{float(sum(row))}\n" for number, row in enumerate(rows, 1))
    assert out.decode() == expected


fields = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), max_size=8)
tables = st.integers(2, 5).flatmap(lambda n: st.lists(st.lists(fields, min_size=n, max_size=n), max_size=12))
picks = st.lists(st.integers(-2, 1), min_size=1, max_size=3)


def csv_text(rows) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue()


def csv_rows(data: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(data.decode(), newline="")))


@given(tables, st.booleans(), picks, picks, st.booleans())
def test_filters_and_join_do_to_csv_what_they_do_to_lists(scratch, table, single, kept, shown, windows):
    def echo_backwards(body):
        return csv_text([row[::-1] for row in csv_rows(body)]).encode()

    def path(indexes):
        return f"$[{','.join(map(str, indexes))}]"

    how = settings(
        processing={"InputFilter": path(kept), "JoinSource": "Input", "OutputFilter": path(shown)},
        BatchStrategy="SingleRecord" if single else "MultiRecord",
    )
    table = [[*row, "x"] for row in table]  # so that no row is one empty field, which csv itself writes in two ways
    kept_rows = [[row[i] for i in kept] for row in table]
    assume([""] not in kept_rows)
    expected = [[[*row, *sent[::-1]][i] for i in shown] for row, sent in zip(table, kept_rows, strict=True)]
    text = csv_text(table).replace("\n", "\r\n" if windows else "\n")
    lines = transformed(scratch, text.encode(), how, echo_backwards).decode().split("\n")[:-1]
    assert [next(csv.reader([line]), [""]) or [""] for line in lines] == expected


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(st.lists(json_values, max_size=8), st.booleans(), st.booleans())
def test_json_lines_keep_each_record_beside_its_prediction(scratch, records, single, ascii_only):
    how = settings(
        kind="application/jsonlines",
        processing={"JoinSource": "Input"},
        BatchStrategy="SingleRecord" if single else "MultiRecord",
    )
    data = "".join(json.dumps(record, ensure_ascii=ascii_only) + "\n" for record in records)
    assume(ascii_only or not re.search("[\ud800-\udfff]", data))
    out = transformed(
        scratch, data.encode(), how, lambda body: b"\n".join(b'{"p":%d}' % len(x) for x in body.split(b"\n")[:-1])
    )
    for record, line, given_line in zip(records, out.decode().split("\n"), data.split("\n"), strict=False):
        joined = json.loads(line)
        assert joined.pop("SageMakerOutput") == {"p": len(given_line.encode())}
        expected = record if isinstance(record, dict) else {"SageMakerInput": record}
        assert joined == {name: value for name, value in expected.items() if name != "SageMakerOutput"}


@given(
    st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=9), max_size=30),
    st.booleans(),
    st.integers(1, 5),
    st.booleans(),
)
def test_answers_come_back_in_order_whatever_is_ready_first(scratch, lines, single, concurrency, assemble):
    data = "".join(line + "\n" for line in lines).encode()
    scratch.write_bytes(data)
    how = settings(
        BatchStrategy="SingleRecord" if single else "MultiRecord",
        MaxConcurrentTransforms=concurrency,
        assemble="Line" if assemble else "None",
    )
    sink = io.BytesIO()
    with Requests(lambda body, headers, timeout: (200, body, {}), how, wait=None) as requests:
        transform_object(scratch, sink, how, requests.answers)
    assert sink.getvalue() == data


def test_multi_record_fills_requests_up_to_the_payload_and_single_record_sends_lines(scratch):
    line = b"1," + b"0" * 600_000 + b"\n"
    multi, single = Model(), Model()
    transformed(scratch, line * 3, settings(MaxPayloadInMB=1), multi)
    assert [len(body) for body in multi.bodies] == [len(line)] * 3
    transformed(scratch, b"1\n2\n", settings(BatchStrategy="SingleRecord"), single)
    assert single.bodies == [b"1\n", b"2\n"]


def test_whole_objects_go_in_one_request_and_must_fit(scratch):
    model = Model()
    assert transformed(scratch, b"1,2\n3,4", settings(split="None"), model) == b"3.0\n7.0\n"
    assert model.bodies == [b"1,2\n3,4"]
    with pytest.raises(BadData, match="Too much data for max payload size: the object has 1048577 bytes"):
        transformed(scratch, b"1" * (MEGABYTE + 1), settings(split="None", MaxPayloadInMB=1), model)


def test_line_assembly_ends_each_answer_with_one_newline_and_none_adds_nothing(scratch):
    answers = {b"1\n": b"a", b"2\n": b"b\n", b"3\n": b""}
    for assemble, expected in (("Line", b"a\nb\n\n"), ("None", b"ab\n")):
        how = settings(assemble=assemble, BatchStrategy="SingleRecord")
        assert transformed(scratch, b"1\n2\n3\n", how, answers.get) == expected


def test_a_model_that_loses_a_record_fails_the_object(scratch):
    with pytest.raises(BadData, match=r"Fail to join: .*records 1 to 2 \(2\) were sent, 1 came back"):
        transformed(scratch, b"1,1\n2,2\n", settings(processing=PROCESSING), lambda body: b"1.0")


def test_without_a_join_answers_are_not_counted_and_without_output_filter_not_looked_at(scratch):
    only_input = settings(processing={"InputFilter": "$[1:]"})
    assert transformed(scratch, b"1,1\n2,2\n", only_input, lambda body: b"\xff\xfe") == b"\xff\xfe\n"
    only_output = settings(processing={"OutputFilter": "$[0]"})
    assert transformed(scratch, b"1,1\n", only_output, lambda body: b"a,b\nc,d\n") == b"a\nc\n"


def test_a_quoted_newline_fails_the_object_when_it_is_filtered_or_joined(scratch):
    data = b'1,"two\nlines"\n'
    for processing in ({"InputFilter": "$[1:]"}, {"JoinSource": "Input"}):
        with pytest.raises(BadData, match="Failed to parse line as CSV"):
            transformed(scratch, data, settings(processing=processing), lambda body: body)
    assert transformed(scratch, data, settings(), lambda body: body) == data


def test_one_json_document_may_span_lines_on_both_sides(scratch):
    how = settings("None", kind="application/json", processing={"JoinSource": "Input"}, assemble="None")
    out = transformed(scratch, b'{"id": 1,\n "x": [1, 2]}\n', how, lambda body: b'{\n "p": 3\n}\n')
    assert out == b'{"id":1,"x":[1,2],"SageMakerOutput":{"p":3}}'
    out = transformed(scratch, b"[1, 2]", how, lambda body: b"[3, 4]")
    assert out == b'{"SageMakerInput":[1,2],"SageMakerOutput":[3,4]}'


def test_one_answer_for_several_json_records_is_not_dealt_out(scratch):
    how = settings(kind="application/json", processing={"JoinSource": "Input"})
    with pytest.raises(BadData, match=r"2.* were sent, 1 came back"):
        transformed(scratch, b'{"a":1}\n{"a":2}\n', how, lambda body: b"[1, 2]")
    alone = settings(kind="application/json", processing={"JoinSource": "Input"}, BatchStrategy="SingleRecord")
    assert transformed(scratch, b'{"a":1}\n', alone, lambda body: b"[1,\n2]") == b'{"a":1,"SageMakerOutput":[1,2]}\n'


def test_inference_ids_are_the_last_columns_or_names(scratch):
    capture = {
        "DataCaptureConfig": {"DestinationS3Uri": "s3://b/c", "GenerateInferenceId": True},
        "TransformStartTime": 0,
    }
    out = transformed(scratch, b"1,1\n2,2\n", settings(processing=PROCESSING, **capture), Model()).decode()
    assert re.fullmatch(rf"1,1.0,{UUID},1970-01-01T00:00:00Z\n2,2.0,{UUID},1970-01-01T00:00:00Z\n", out)
    how = settings(kind="application/jsonlines", **capture)
    first, second = map(json.loads, transformed(scratch, b"{}\n", how, lambda body: b'{"p":1}\n2\n').splitlines())
    assert first.pop("SageMakerInferenceId") != second.pop("SageMakerInferenceId")
    assert first == {"p": 1, "SageMakerInferenceTime": "1970-01-01T00:00:00Z"}
    assert second["SageMakerOutput"] == 2


def test_gzip_is_unpacked_and_anything_else_refused(tmp_path):
    packed, unpacked = tmp_path / "packed", tmp_path / "unpacked"
    packed.write_bytes(gzip.compress(b"1,2\n") + gzip.compress(b"3,4\n"))
    unpack(packed, unpacked)
    assert unpacked.read_bytes() == b"1,2\n3,4\n"
    for broken in (b"1,2\n", gzip.compress(b"1,2\n")[:-1], gzip.compress(b"1" * 99)[:12] + b"\xff" * 30):
        packed.write_bytes(broken)
        with pytest.raises(BadData, match="not gzip"):
            unpack(packed, unpacked)


def test_an_empty_object_gives_an_empty_output_and_no_request(scratch):
    model = Model()
    assert transformed(scratch, b"", settings(processing=PROCESSING), model) == b""
    assert model.bodies == []


def test_the_request_wins_over_the_container_which_wins_over_the_defaults():
    offered = {"MaxConcurrentTransforms": 8, "MaxPayloadInMB": 2, "BatchStrategy": "SINGLE_RECORD"}
    given_nothing, from_container = settings(), settings(offered=offered)
    assert (given_nothing.concurrency, given_nothing.splitter.max_bytes) == (1, 6 * MEGABYTE)
    assert (given_nothing.timeout, given_nothing.retries) == (600, 3)
    assert (from_container.concurrency, from_container.splitter.max_bytes) == (8, 2 * MEGABYTE)
    assert from_container.splitter.single
    asked = settings(offered=offered, MaxConcurrentTransforms=3, MaxPayloadInMB=4, BatchStrategy="MultiRecord")
    assert (asked.concurrency, asked.splitter.max_bytes, asked.splitter.single) == (3, 4 * MEGABYTE, False)
    zero = settings(offered=offered, MaxConcurrentTransforms=0, MaxPayloadInMB=0)
    assert (zero.concurrency, zero.splitter.max_bytes) == (8, 0)
    assert settings(ModelClientConfig={"InvocationsMaxRetries": 0}).retries == 0


@pytest.mark.parametrize(
    "offered", [{"MaxPayloadInMB": "6"}, {"MaxConcurrentTransforms": -1}, {"BatchStrategy": "MultiRecord"}]
)
def test_execution_parameters_that_make_no_sense_are_named(offered):
    with pytest.raises(BadData, match=f"/execution-parameters offers the {next(iter(offered))}"):
        settings(offered=offered)


def test_a_large_object_is_never_in_memory_as_a_whole(scratch):
    line = random.Random(0).randbytes(500).hex().encode() + b"\n"
    with scratch.open("wb") as file:
        for _ in range(64):
            file.write(line * 1024)
    how = settings(MaxPayloadInMB=1, MaxConcurrentTransforms=2)
    with open("/dev/null", "wb") as sink, Requests(lambda *_: (200, b"1", {}), how, wait=None) as requests:
        tracemalloc.start()
        transform_object(scratch, sink, how, requests.answers)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert scratch.stat().st_size > 60 * MEGABYTE
    assert peak < 12 * MEGABYTE
