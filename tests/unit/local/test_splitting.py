"""An object's bytes cut into requests, against a model of its own: lists of records, packed one by one."""

from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.local.framed import recordio_part, tfrecord
from turnout.local.sagemaker.transform import splitting
from turnout.local.sagemaker.transform.errors import BadData
from turnout.local.sagemaker.transform.formats import codec_for
from turnout.local.sagemaker.transform.splitting import MEGABYTE, FileChunks, Splitter

any_bytes = st.binary(max_size=300) | st.lists(st.sampled_from([b"\n", b"\r\n", b"a", b"bc,", b'"'])).map(b"".join)
limits = st.integers(0, 40)
payloads = st.lists(st.binary(max_size=30) | st.just(b"abc\xce\xd7\x23\x0a"[::-1]), max_size=12)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("splitting") / "object"


def sent(path, data, split="None", single=False, max_bytes=6 * MEGABYTE, codec=None) -> list[bytes]:
    """Return the bodies of an object's requests."""
    path.write_bytes(data)
    batches = list(Splitter(split, single, max_bytes, codec).batches(path))
    assert all(isinstance(batch.body, bytes) == bool(max_bytes) for batch in batches), "0 means chunked"
    return [batch.body if max_bytes else b"".join(batch.body) for batch in batches]


def lines_of(data: bytes) -> list[bytes]:
    """The records of SplitType Line, by the letter: each newline ends one."""
    records, record = [], b""
    for number in range(len(data)):
        record += data[number : number + 1]
        if data[number] == 10:
            records.append(record)
            record = b""
    return [*records, record] if record else records


def packed(records: list[bytes], single: bool, limit: int) -> list[bytes]:
    """One record a body, or as many as fit; ValueError when one alone does not."""
    if limit and any(len(record) > limit for record in records):
        raise ValueError
    if single:
        return records
    bodies = []
    for record in records:
        if bodies and (not limit or len(bodies[-1]) + len(record) <= limit):
            bodies[-1] += record
        else:
            bodies.append(record)
    return bodies


def same_as(expected, actual):
    """Both give the same bodies, or both refuse."""
    try:
        wanted = expected()
    except ValueError:
        with pytest.raises(BadData, match="Too much data for max payload size"):
            actual()
    else:
        assert actual() == wanted


@given(any_bytes, st.booleans(), limits)
def test_lines_are_cut_as_the_model_cuts_them(scratch, data, single, limit):
    same_as(lambda: packed(lines_of(data), single, limit), lambda: sent(scratch, data, "Line", single, limit))


@given(any_bytes, st.booleans(), limits)
def test_bodies_put_together_are_the_object_and_none_is_too_large(scratch, data, single, limit):
    try:
        bodies = sent(scratch, data, "Line", single, limit)
    except BadData:
        assert limit
        return
    assert b"".join(bodies) == data
    assert not limit or all(len(body) <= limit for body in bodies)


@given(any_bytes, limits)
def test_a_whole_object_is_one_body_or_too_large(scratch, data, limit):
    same_as(lambda: packed([data], True, limit), lambda: sent(scratch, data, "None", max_bytes=limit))


@pytest.mark.parametrize(("split", "frame"), [("RecordIO", recordio_part), ("TFRecord", tfrecord)])
@given(payloads, st.booleans(), st.integers(0, 150))
def test_binary_records_keep_their_frames_in_batches_and_lose_them_alone(scratch, split, frame, records, single, limit):
    framed = [frame(record) for record in records]
    expected = records if single else framed
    same_as(
        lambda: packed(expected, single, limit),
        lambda: sent(scratch, b"".join(framed), split, single, limit),
    )


text_lines = st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=12), max_size=30)


@given(text_lines, st.sampled_from(["\n", "\r\n"]), st.booleans(), st.booleans(), limits, st.integers(1, 60))
def test_filtered_records_are_packed_like_any_other(scratch, lines, newline, last_newline, single, limit, block):
    lines = [line.replace('"', "'") for line in lines]
    text = newline.join(lines) + (newline if last_newline and lines else "")
    codec = codec_for("text/csv", {"InputFilter": "$[1:]"})
    kept = lines if last_newline or (lines and lines[-1]) else lines[:-1]
    expected = [(",".join(line.split(",")[1:]) + "\n").encode() for line in kept]
    with mock.patch.object(splitting, "BLOCK_BYTES", block):
        same_as(
            lambda: packed(expected, single, limit),
            lambda: sent(scratch, text.encode(), "Line", single, limit, codec),
        )


def test_filtered_batches_know_their_records(scratch):
    scratch.write_bytes(b"1,a\r\n2,b\n3,c")
    codec = codec_for("text/csv", {"InputFilter": "$[1:]"})
    batches = list(Splitter("Line", False, 4, codec).batches(scratch))
    assert [(batch.body, batch.records) for batch in batches] == [(b"a\nb\n", ["1,a", "2,b"]), (b"c\n", ["3,c"])]


def test_a_record_larger_than_the_payload_is_refused(scratch):
    with pytest.raises(BadData, match=r"the record at byte 2 has more bytes, MaxPayloadInMB allows 1 MB"):
        sent(scratch, b"x\n" + b"y" * MEGABYTE + b"\n", "Line", max_bytes=MEGABYTE)
    with pytest.raises(BadData, match=r"the object has 1048577 bytes, MaxPayloadInMB allows 1 MB"):
        sent(scratch, b"y" * (MEGABYTE + 1), max_bytes=MEGABYTE)


def test_a_newline_within_quotes_ends_the_record(scratch):
    assert sent(scratch, b'1,"a\nb"\n', "Line", single=True) == [b'1,"a\n', b'b"\n']


def test_a_byte_order_mark_is_data(scratch):
    assert sent(scratch, b"\xef\xbb\xbf1,2\n", "Line") == [b"\xef\xbb\xbf1,2\n"]


def test_an_empty_object_is_one_empty_request_unless_it_is_split(scratch):
    assert sent(scratch, b"") == [b""]
    assert [sent(scratch, b"", split) for split in ("Line", "RecordIO", "TFRecord")] == [[], [], []]


def test_bytes_that_are_not_utf8_pass_unless_they_are_filtered(scratch):
    assert sent(scratch, b"\xff\n", "Line") == [b"\xff\n"]
    with pytest.raises(BadData, match="not UTF-8"):
        sent(scratch, b"\xff\n", "Line", codec=codec_for("text/csv", {"InputFilter": "$[0]"}))


def test_chunks_of_a_file_can_be_sent_again(scratch):
    scratch.write_bytes(b"x" * (splitting.BLOCK_BYTES + 1))
    chunks = FileChunks(scratch)
    assert [len(chunk) for chunk in chunks] == [len(chunk) for chunk in chunks] == [splitting.BLOCK_BYTES, 1]
