"""One object through the model, with a function in the model's place."""

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.local.sagemaker.transform.assembling import transform_object
from turnout.local.sagemaker.transform.errors import BadData
from turnout.local.sagemaker.transform.settings import TransformSettings
from turnout.local.sagemaker.transform.splitting import MEGABYTE

PROCESSING = {"InputFilter": "$[1:]", "JoinSource": "Input", "OutputFilter": "$[0,-1]"}


def settings(split="Line", offered=None, processing=None, **request) -> TransformSettings:
    source = {"ContentType": "text/csv", "SplitType": split, **request.pop("source", {})}
    sink = {"Accept": "text/csv", "AssembleWith": request.pop("assemble", "Line")}
    data = {"TransformInput": source, "TransformOutput": sink, "DataProcessing": processing or {}, **request}
    return TransformSettings.from_request(data, offered or {})


class Model:
    """Adds up each line and remembers the bodies that it got."""

    def __init__(self):
        self.bodies = []

    def __call__(self, bodies):
        for body in bodies:
            self.bodies.append(body)
            lines = body.decode().splitlines()
            yield "\n".join(str(sum(float(v) for v in line.split(","))) for line in lines).encode()


rows = st.lists(st.lists(st.integers(-1000, 1000), min_size=1, max_size=4), max_size=40)


@given(rows, st.booleans())
def test_every_row_gets_its_own_prediction_in_order(rows, single):
    data = "".join(f"{number},{','.join(map(str, row))}\n" for number, row in enumerate(rows, 1)).encode()
    strategy = "SingleRecord" if single else "MultiRecord"
    out = transform_object(data, settings(processing=PROCESSING, BatchStrategy=strategy), Model())
    expected = "".join(f"{number},{float(sum(row))}\n" for number, row in enumerate(rows, 1))
    assert out.decode() == expected


def test_multi_record_fills_requests_up_to_the_payload_and_single_record_sends_lines():
    line = b"1," + b"0" * 600_000 + b"\n"
    multi, single = Model(), Model()
    transform_object(line * 3, settings(MaxPayloadInMB=1), multi)
    assert [len(body) for body in multi.bodies] == [len(line)] * 3
    transform_object(b"1\n2\n", settings(BatchStrategy="SingleRecord"), single)
    assert single.bodies == [b"1\n", b"2\n"]


def test_whole_objects_go_in_one_request_and_must_fit():
    model = Model()
    assert transform_object(b"1,2\n3,4", settings(split="None"), model) == b"3.0\n7.0\n"
    assert model.bodies == [b"1,2\n3,4"]
    with pytest.raises(BadData, match="SplitType is None"):
        transform_object(b"1" * (MEGABYTE + 1), settings(split="None", MaxPayloadInMB=1), model)


def test_without_line_assembly_answers_are_put_together_as_they_are():
    assert transform_object(b"1\n2\n", settings(assemble="None", BatchStrategy="SingleRecord"), Model()) == b"1.02.0"


def test_a_model_that_loses_a_record_fails_the_object():
    with pytest.raises(BadData, match=r"Fail to join: .*records 1 to 2 \(2\) were sent, 1 came back"):
        transform_object(b"1,1\n2,2\n", settings(processing=PROCESSING), lambda bodies: [b"1.0" for _ in bodies])


def test_gzip_is_unpacked_and_anything_else_refused():
    zipped = settings(source={"CompressionType": "Gzip"})
    assert transform_object(gzip.compress(b"1,2\n"), zipped, Model()) == b"3.0\n"
    with pytest.raises(BadData, match="not gzip"):
        transform_object(b"1,2\n", zipped, Model())


def test_an_empty_object_gives_an_empty_output_and_no_request():
    model = Model()
    assert transform_object(b"", settings(processing=PROCESSING), model) == b""
    assert model.bodies == []


def test_the_request_wins_over_the_container_which_wins_over_the_defaults():
    offered = {"MaxConcurrentTransforms": 8, "MaxPayloadInMB": 2, "BatchStrategy": "SINGLE_RECORD"}
    given_nothing, from_container = settings(), settings(offered=offered)
    assert (given_nothing.concurrency, given_nothing.max_payload_bytes) == (1, 6 * MEGABYTE)
    assert (given_nothing.timeout, given_nothing.retries) == (600, 3)
    assert (from_container.concurrency, from_container.max_payload_bytes) == (8, 2 * MEGABYTE)
    assert from_container.single_record
    asked = settings(offered=offered, MaxConcurrentTransforms=3, MaxPayloadInMB=4, BatchStrategy="MultiRecord")
    assert (asked.concurrency, asked.max_payload_bytes, asked.single_record) == (3, 4 * MEGABYTE, False)
