"""Scores to buckets: how many a generation needs, and what is in each. In any order the same scores make equal bytes.

A bucket is meant to stay within the 4 KB that one read unit covers: the mean and four standard deviations of its size
fit, so that about one in thirty thousand does not and costs its readers a second unit.
"""

import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from handlers.contract.card import Precision
from handlers.contract.errors import VerificationFailed
from handlers.logic.buckets import FLOATS, Values, encode, hashes, key_bytes, part, within

#: Bytes that one read unit covers, without what surrounds a bucket in its item: names, key, expiry (80 bytes at most).
ROOM = 4_096 - 80
DEVIATIONS = 4
#: Bytes of a prediction as JSON above which it gets an item of its own: packing it would save next to nothing, and
#: every key beside it would be dearer to read.
LARGE = 1_024
#: Below so many scores in a bucket packing saves too little to be worth it.
WORTHWHILE = 3
#: Bytes that no bucket exceeds, whatever the keys hash to; an item may have 400 KB.
LARGEST_BUCKET = 300_000
#: Above it a float32 is infinite.
LARGEST_FLOAT32 = 3.4028234663852886e38
#: Scores that are packed on trial, to see how far they deflate.
PILOT = 256


@dataclass(frozen=True)
class Packed:
    """One partition's scores: `buckets` says into how many they are hashed, 0 that each is an item of its own.

    `bodies` holds the number and the bytes of each bucket that is not empty, `singles` the scores that stand alone.
    """

    rows: int
    buckets: int
    bodies: list[tuple[int, bytes]]
    singles: list[tuple[str, Any]]

    @property
    def items(self) -> int:
        return len(self.bodies) + len(self.singles)


@dataclass(frozen=True)
class _Column:
    """What goes into buckets: key, place in the partition and value of each row, and the kind of all values.

    `exceptions` are the rows whose values are texts among floats.
    """

    keys: list[bytes]
    places: list[int]
    values: Sequence[Any]
    kind: Values
    exceptions: Sequence[int]

    def sizes(self) -> list[int]:
        """Return the bytes of each row before anything is deflated."""
        if self.kind == "j":
            return [len(key) + len(text) + 2 for key, text in zip(self.keys, self.values, strict=True)]
        width = FLOATS[self.kind] + 1
        sizes = [len(key) + width for key in self.keys]
        for index in self.exceptions:
            sizes[index] += len(self.values[index]) + 1
        return sizes


def pack(
    keys: Sequence[str], predictions: Sequence[Any], *, partitions: int = 1, precision: Precision = "float64"
) -> Packed:
    """Return the scores of one of `partitions` parts as buckets.

    Floats keep every bit, or with `float32` what that precision keeps; everything else is kept as JSON, beside the
    floats where these are as many, else all together. Raises
    VerificationFailed for a key that comes twice and ValueError for what JSON cannot carry.
    """
    encoded = list(map(key_bytes, keys))
    if repeated := len(encoded) - len(set(encoded)):
        raise VerificationFailed(f"{repeated:,} keys were scored more than once")
    kind, values, exceptions, large = _values(predictions, precision)
    places = hashes(encoded)
    if partitions > 1:
        places = [within(place, partitions) for place in places]
    column = _Column(encoded, places, values, kind, exceptions)
    count = 0 if 2 * len(large) > len(encoded) else _bucket_count(column)
    while count:
        bodies = list(_bodies(column, count))
        if max((len(body) for _, body in bodies), default=0) <= LARGEST_BUCKET:
            return Packed(len(encoded), count, bodies, [(keys[index], predictions[index]) for index in large])
        count = 2 * count if count < len(encoded) else 0
    return Packed(len(encoded), 0, [], list(zip(keys, predictions, strict=True)))


def _values(
    predictions: Sequence[Any], precision: Precision
) -> tuple[Values, Sequence[Any], Sequence[int], Sequence[int]]:
    """Return how values are kept, the values so, which of them are texts among floats, and which are large.

    What is large is kept as an empty text.
    """
    kinds = Counter(map(type, predictions))
    others = len(predictions) - kinds[float]
    floats = [value for value in predictions if type(value) is float] if others else predictions
    is_json = 2 * others > len(predictions) or not all(map(math.isfinite, floats))
    if not others and not is_json:
        return _float_kind(floats, precision), predictions, (), ()
    as_text = [index for index, value in enumerate(predictions) if is_json or type(value) is not float]
    values = list(predictions)
    for index in as_text:
        values[index] = json.dumps(predictions[index], allow_nan=False).encode()
    large = [index for index in as_text if len(values[index]) > LARGE]
    for index in large:
        values[index] = b""
    return ("j", values, (), large) if is_json else (_float_kind(floats, precision), values, as_text, large)


def _float_kind(floats: Sequence[float], precision: Precision) -> Values:
    """Return `d` or `f`: float32 where it is asked for and none becomes infinite."""
    is_narrow = precision == "float32" and max(map(abs, floats), default=0.0) <= LARGEST_FLOAT32
    return "f" if is_narrow else "d"


def _bucket_count(column: _Column) -> int:
    """Return how many buckets hold the rows within ROOM, or 0 where packing is not worth it."""
    sizes = column.sizes()
    rows = len(sizes)
    if not rows:
        return 0
    edge = 2**64 * min(rows, PILOT) // rows
    pilot = [index for index, place in enumerate(column.places) if place < edge] or [0]
    ratio = len(_encoded(column, pilot)) / sum(sizes[index] for index in pilot)
    mean = ratio * sum(sizes) / rows
    if mean * rows <= ROOM:
        return 1
    # A bucket of a Poisson number of scores has `scores * mean` bytes with variance `scores * square`.
    square = ratio**2 * sum(size * size for size in sizes) / rows
    root = (math.sqrt(DEVIATIONS**2 * square + 4 * mean * ROOM) - DEVIATIONS * math.sqrt(square)) / (2 * mean)
    return math.ceil(rows / root**2) if root**2 >= WORTHWHILE else 0


def _bodies(column: _Column, count: int) -> Iterator[tuple[int, bytes]]:
    members: list[list[int]] = [[] for _ in range(count)]
    for index, bucket in enumerate([part(place, count) for place in column.places]):
        members[bucket].append(index)
    for bucket, indices in enumerate(members):
        if indices:
            yield bucket, _encoded(column, indices)


def _encoded(column: _Column, indices: list[int]) -> bytes:
    keys, values = column.keys, column.values
    indices.sort(key=keys.__getitem__)
    return encode([keys[index] for index in indices], [values[index] for index in indices], column.kind)
