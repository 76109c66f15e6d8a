"""Records of the binary formats that SplitType knows: MXNet's RecordIO and TensorFlow's TFRecord.

RecordIO (dmlc-core recordio.h): per part the magic number, a word with 3 bits of flag and 29 bits of length, the
data, zeros up to the next multiple of 4; all words little-endian. A record that contains the magic number at a
multiple of 4 is cut there into several parts; the reader puts the magic number back between them.

TFRecord (tensorflow record_writer.h): length (8 bytes), its masked CRC32C, the data, its masked CRC32C; little-endian.
"""

import functools
import struct
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from turnout.local.sagemaker.transform.errors import BadData

MAGIC = 0xCED7230A
MAGIC_BYTES = struct.pack("<I", MAGIC)
WHOLE, FIRST, MIDDLE, LAST = range(4)
LENGTH_BITS = 29
CRC32C_POLYNOMIAL = 0x82F63B78  # Castagnoli, reflected
CRC_MASK = 0xA282EAD8
#: A length from which the file is asked whether it is that long before memory is: a broken header may say anything.
MUCH = 1024 * 1024


class Frame(NamedTuple):
    """One record: as it stands in the file, with header and padding, and what it carries."""

    raw: bytes
    payload: bytes


def recordio(file: BinaryIO, max_bytes: int) -> Iterator[Frame]:
    """Yield a RecordIO file's records. Raises BadData for a broken one or one larger than `max_bytes` (0: no limit)."""
    number = 0
    while header := file.read(8):
        number += 1
        yield _recordio_record(file, header, number, max_bytes)


def _recordio_record(file: BinaryIO, header: bytes, number: int, max_bytes: int) -> Frame:
    raw, payload, size = [], [], 0
    while True:
        flag, length = _recordio_header(header, number)
        if (flag in (MIDDLE, LAST)) != bool(raw):
            raise BadData(f"RecordIO record {number} has its parts in the wrong order")
        size += length
        _check_size(size, number, max_bytes)
        data = _exactly(file, length + -length % 4, f"RecordIO record {number}")
        raw += (header, data)
        payload += (MAGIC_BYTES if payload else b"", data[:length])
        if flag in (WHOLE, LAST):
            return Frame(b"".join(raw), b"".join(payload))
        header = file.read(8)


def _recordio_header(header: bytes, number: int) -> tuple[int, int]:
    if len(header) < 8:
        raise BadData(f"RecordIO record {number} is cut off")
    magic, word = struct.unpack("<II", header)
    if magic != MAGIC:
        raise BadData(f"RecordIO record {number} does not start with the magic number 0x{MAGIC:x}")
    flag = word >> LENGTH_BITS
    if flag > LAST:
        raise BadData(f"RecordIO record {number} has the unknown flag {flag}")
    return flag, word & ((1 << LENGTH_BITS) - 1)


def tfrecord(file: BinaryIO, max_bytes: int) -> Iterator[Frame]:
    """Yield a TFRecord file's records. Raises BadData for a broken one or one larger than `max_bytes` (0: no limit)."""
    number = 0
    while header := file.read(12):
        number += 1
        what = f"TFRecord record {number}"
        if len(header) < 12:
            raise BadData(f"{what} is cut off")
        length, length_crc = struct.unpack("<QI", header)
        if masked_crc32c(header[:8]) != length_crc:
            raise BadData(f"{what} has a damaged length")
        _check_size(length, number, max_bytes)
        data = _exactly(file, length + 4, what)
        if masked_crc32c(data[:length]) != int.from_bytes(data[length:], "little"):
            raise BadData(f"{what} has damaged data")
        yield Frame(header + data, data[:length])


def _check_size(size: int, number: int, max_bytes: int) -> None:
    if max_bytes and size > max_bytes:
        raise BadData(f"Too much data for max payload size: record {number} has {size} bytes")


def _exactly(file: BinaryIO, size: int, what: str) -> bytes:
    if size > MUCH and size > (available := _bytes_left(file)):
        raise BadData(f"{what} is cut off: {size} bytes announced, {available} left")
    data = file.read(size)
    if len(data) < size:
        raise BadData(f"{what} is cut off: {size} bytes announced, {len(data)} left")
    return data


def _bytes_left(file: BinaryIO) -> int:
    position = file.tell()
    end = file.seek(0, 2)
    file.seek(position)
    return end - position


def masked_crc32c(data: bytes) -> int:
    """Return the CRC32C of data, rotated and shifted as TFRecord stores it."""
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + CRC_MASK) & 0xFFFFFFFF


def crc32c(data: bytes) -> int:
    """Return the CRC-32C (Castagnoli) of data. Takes pairs of bytes as little-endian machines do."""
    crc, table = 0xFFFFFFFF, _table()
    for pair in memoryview(data)[: len(data) & ~1].cast("H"):
        crc = table[(crc ^ pair) & 0xFFFF] ^ (crc >> 16)
    if len(data) % 2:
        crc = _shifted(crc ^ data[-1], 8)
    return crc ^ 0xFFFFFFFF


@functools.cache
def _table() -> list[int]:
    """Return what two bytes do to the checksum: a table for pairs is half the work of one for bytes."""
    return [_shifted(value, 16) for value in range(1 << 16)]


def _shifted(value: int, bits: int) -> int:
    for _ in range(bits):
        value = value >> 1 ^ (CRC32C_POLYNOMIAL if value & 1 else 0)
    return value
