"""RecordIO and TFRecord, read back from what an independent writer wrote."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.local.framed import MAGIC, recordio_part, recordio_record, tfrecord
from turnout.local.sagemaker.transform.errors import BadData
from turnout.local.sagemaker.transform.framing import MUCH, crc32c
from turnout.local.sagemaker.transform.framing import recordio as read_recordio
from turnout.local.sagemaker.transform.framing import tfrecord as read_tfrecord

payloads = st.lists(st.lists(st.binary(max_size=9) | st.just(MAGIC), max_size=6).map(b"".join), max_size=6)
FORMATS = [(read_recordio, recordio_record), (read_tfrecord, tfrecord)]


@pytest.mark.parametrize(("read", "write"), FORMATS)
@given(payloads)
def test_what_was_written_is_read_and_nothing_is_lost(read, write, records):
    data = b"".join(map(write, records))
    frames = list(read(io.BytesIO(data), 0))
    assert [frame.payload for frame in frames] == records
    assert b"".join(frame.raw for frame in frames) == data


@pytest.mark.parametrize(("read", "write"), FORMATS)
@given(st.binary(max_size=20), st.data())
def test_a_file_that_is_cut_off_is_refused(read, write, record, data):
    whole = write(record)
    cut = data.draw(st.integers(1, len(whole) - 1))
    with pytest.raises(BadData, match="record 1 is cut off"):
        list(read(io.BytesIO(whole[:cut]), 0))


@given(st.binary(min_size=1, max_size=20), st.data())
def test_a_tfrecord_with_any_flipped_bit_is_refused(record, data):
    whole = bytearray(tfrecord(record))
    whole[data.draw(st.integers(0, len(whole) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(BadData, match=r"damaged (length|data)"):
        list(read_tfrecord(io.BytesIO(bytes(whole)), 0))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"1,2,3\n4,5,6\n", "record 1 does not start with the magic number 0xced7230a"),
        (recordio_part(b"a") + b"12345678", "record 2 does not start with the magic number"),
        (recordio_part(b"a", 3), "parts in the wrong order"),
        (recordio_part(b"a", 1) + recordio_part(b"b", 0), "parts in the wrong order"),
        (recordio_part(b"a", 1), "record 1 is cut off"),
        (recordio_part(b"a", 4), "unknown flag 4"),
        (MAGIC + (MUCH * 2).to_bytes(4, "little") + b"x", r"cut off: 2097152 bytes announced, 1 left"),
    ],
)
def test_broken_recordio_is_refused(data, message):
    with pytest.raises(BadData, match=message):
        list(read_recordio(io.BytesIO(data), 0))


@pytest.mark.parametrize(("read", "write"), FORMATS)
def test_a_record_larger_than_the_payload_is_refused_before_it_is_read(read, write):
    file = io.BytesIO(write(b"x" * 100))
    with pytest.raises(BadData, match="Too much data for max payload size: record 1 has 100 bytes"):
        list(read(file, 99))
    assert file.tell() <= 12


def test_the_checksum_is_castagnolis():
    assert crc32c(b"123456789") == 0xE3069283  # the check value of CRC-32C in RFC 3720, B.4 and elsewhere
