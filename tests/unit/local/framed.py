"""Writers of the binary record formats, for tests: from their descriptions, sharing nothing with the reader."""

import struct

MAGIC = b"\x0a\x23\xd7\xce"


def recordio_part(data: bytes, flag: int = 0) -> bytes:
    """Return one part of a RecordIO record: 0 is a whole one, 1 the first, 2 a middle, 3 the last."""
    word = flag * 2**29 + len(data)
    return MAGIC + struct.pack("<I", word) + data + b"\0" * ((4 - len(data) % 4) % 4)


def recordio_record(data: bytes) -> bytes:
    """Return a record as MXNet writes it: cut wherever the magic number stands at a multiple of four."""
    parts, begin = [], 0
    for at in range(0, len(data) - len(data) % 4, 4):
        if data[at : at + 4] == MAGIC:
            parts.append(data[begin:at])
            begin = at + 4
    parts.append(data[begin:])
    if len(parts) == 1:
        return recordio_part(data)
    flags = [1] + [2] * (len(parts) - 2) + [3]
    return b"".join(recordio_part(part, flag) for part, flag in zip(parts, flags, strict=True))


def tfrecord(data: bytes) -> bytes:
    """Return one TFRecord record."""
    length = struct.pack("<Q", len(data))
    return length + _masked(length) + data + _masked(data)


def _masked(data: bytes) -> bytes:
    crc = _crc32c(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17 & 0xFFFFFFFF) + 0xA282EAD8) % 2**32)


def _crc32c(data: bytes) -> int:
    """Long division, bit by bit: Castagnoli's polynomial, reflected."""
    remainder = 0xFFFFFFFF
    for byte in data:
        for bit in range(8):
            top = (remainder ^ byte >> bit) & 1
            remainder = remainder >> 1 ^ (0x82F63B78 if top else 0)
    return remainder ^ 0xFFFFFFFF
