"""Many scores in one item: a bucket as bytes, which bucket a key is in, and how a key is found there.

    byte 0       the version of this layout: 1, or 2 where values are mixed (`e`, `g`)
    byte 1       keys: `t` text, each between two bytes 0xFF; `u` canonical UUIDs of 16 bytes each. Capital: deflated
    byte 2       values: `d` float64, `f` float32 (little-endian), `j` JSON texts, each ended by a line feed; `e`, `g`
                 float64 and float32 with exceptions: how many values there are (4 bytes), the floats, NaN in the place
                 of each exception, and the exceptions as JSON texts. Capital: deflated
    bytes 3..6   length of the key block (little-endian), which follows; the value block is the rest

Keys stand in the order of their UTF-8 bytes, values in the order of the keys. Whole keys are kept, and 0xFF is in no
UTF-8: a key is found exactly or not at all, so that neither two keys of one hash nor one that nobody scored get
another's answer. An empty JSON text says that the score is an item of its own, under its key.
"""

import json
import math
import struct
import zlib
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Any, Literal

VERSION, MIXED_VERSION = 1, 2
HEADER, COUNT = struct.Struct("<BccI"), struct.Struct("<I")
SEPARATOR = b"\xff"

Values = Literal["d", "f", "j"]
FLOATS: dict[Values, int] = {"d": 8, "f": 4}  # bytes of one value
#: What floats are called that have exceptions among them.
MIXED: dict[Values, bytes] = {"d": b"e", "f": b"g"}

#: What `find` returns for a key without a score, and for one whose score is an item of its own.
ABSENT, ELSEWHERE = object(), object()

_HASH_BITS = 64
_UUID = rb"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"


class UnknownLayout(ValueError):
    """A bucket of a version that this code does not know."""


def key_bytes(key: str) -> bytes:
    """Return a key as it is hashed and kept. Half a surrogate pair, which JSON can carry, is a key like any other."""
    return key.encode("utf-8", "surrogatepass")


def hashes(keys: Iterable[bytes]) -> list[int]:
    """Return numbers of 64 bits by which keys are spread: BLAKE2b, the same in every language and version."""
    number = int.from_bytes
    return [number(blake2b(key, digest_size=8).digest(), "big") for key in keys]


def part(hashed: int, parts: int) -> int:
    """Return which of `parts` equal parts of the hashes this one is in."""
    return hashed * parts >> _HASH_BITS


def within(hashed: int, parts: int) -> int:
    """Return where a hash lies in its part, in 2**64ths: what `part` of it says is independent of the first."""
    return hashed * parts & (2**_HASH_BITS - 1)


def place(key: bytes, buckets: Sequence[int]) -> tuple[int, int] | None:
    """Return partition and bucket of a key, given the number of buckets in each partition.

    None: the partition packs nothing, every score in it is an item of its own.
    """
    if not buckets:
        return None
    (hashed,) = hashes([key])
    partition = part(hashed, len(buckets))
    count = buckets[partition]
    return (partition, part(within(hashed, len(buckets)), count)) if count else None


def encode(keys: Sequence[bytes], values: Sequence[Any], kind: Values) -> bytes:
    """Return a bucket of keys in order and their values: JSON texts as bytes, or floats and such texts among them."""
    key_kind, key_block = _smaller(*_key_block(keys))
    value_kind, value_block = _smaller(*_value_block(values, kind))
    version = MIXED_VERSION if value_kind.lower() in MIXED.values() else VERSION
    return HEADER.pack(version, key_kind, value_kind, len(key_block)) + key_block + value_block


def find(bucket: bytes, key: bytes) -> Any:
    """Return the prediction of a key, ABSENT or ELSEWHERE. Raises UnknownLayout."""
    version, key_kind, value_kind, size = HEADER.unpack_from(bucket)
    if version not in (VERSION, MIXED_VERSION):
        raise UnknownLayout(f"a bucket of layout {version}; this code reads {VERSION} and {MIXED_VERSION}")
    keys = _inflated(key_kind, bucket[HEADER.size : HEADER.size + size])
    index = KEY_INDEX[key_kind.lower()](keys, key)
    if index is None:
        return ABSENT
    return _value(bucket[HEADER.size + size :], index, value_kind)


def _key_block(keys: Sequence[bytes]) -> tuple[bytes, bytes]:
    import re  # only writers

    if all(map(re.compile(_UUID).fullmatch, keys)):
        return b"u", bytes.fromhex(b"".join(keys).replace(b"-", b"").decode())
    return b"t", SEPARATOR + SEPARATOR.join(keys) + SEPARATOR


def _value_block(values: Sequence[Any], kind: Values) -> tuple[bytes, bytes]:
    if kind == "j":
        return b"j", _lines(values)
    if bytes not in set(map(type, values)):
        return kind.encode(), struct.pack(f"<{len(values)}{kind}", *values)
    floats = [math.nan if type(value) is bytes else value for value in values]
    texts = _lines(value for value in values if type(value) is bytes)
    return MIXED[kind], COUNT.pack(len(values)) + struct.pack(f"<{len(values)}{kind}", *floats) + texts


def _lines(texts: Iterable[bytes]) -> bytes:
    return b"".join(text + b"\n" for text in texts)


def _smaller(kind: bytes, block: bytes) -> tuple[bytes, bytes]:
    """Return a block deflated, if that makes it smaller, under the kind that says so."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    deflated = deflate.compress(block) + deflate.flush()
    return (kind.upper(), deflated) if len(deflated) < len(block) else (kind, block)


def _inflated(kind: bytes, block: bytes) -> bytes:
    return zlib.decompress(block, -zlib.MAX_WBITS) if kind.isupper() else block


def _text_index(keys: bytes, key: bytes) -> int | None:
    position = keys.find(SEPARATOR + key + SEPARATOR)
    return None if position < 0 else keys.count(SEPARATOR, 0, position)


def _uuid_index(keys: bytes, key: bytes) -> int | None:
    import re

    if not re.fullmatch(_UUID, key):
        return None
    wanted, position = bytes.fromhex(key.replace(b"-", b"").decode()), -1
    while (position := keys.find(wanted, position + 1)) >= 0:
        if position % 16 == 0:  # else it is the end of one UUID and the start of the next
            return position // 16
    return None


KEY_INDEX = {b"t": _text_index, b"u": _uuid_index}


def _value(block: bytes, index: int, kind: bytes) -> Any:
    if kind in b"jJ":
        return _text(_inflated(kind, block), index)
    if kind.lower() in MIXED.values():
        return _mixed(_inflated(kind, block), index, "d" if kind.lower() == MIXED["d"] else "f")
    letter = kind.decode().lower()
    width = FLOATS[letter]
    if kind.isupper():  # inflated only as far as the value
        block = zlib.decompressobj(-zlib.MAX_WBITS).decompress(block, (index + 1) * width)
    return struct.unpack_from(f"<{letter}", block, index * width)[0]


def _mixed(block: bytes, index: int, letter: Values) -> Any:
    (count,) = COUNT.unpack_from(block)
    floats = struct.unpack_from(f"<{count}{letter}", block, COUNT.size)
    if not math.isnan(floats[index]):
        return floats[index]
    return _text(block[COUNT.size + count * FLOATS[letter] :], sum(map(math.isnan, floats[:index])))


def _text(lines: bytes, index: int) -> Any:
    text = lines.split(b"\n", index + 1)[index]
    return json.loads(text) if text else ELSEWHERE
