"""A shard's scores between publishing and packing: one file, cut by the partition that each key is in.

    offsets    partitions + 1 numbers of 8 bytes (little-endian): where each segment begins, and where the last ends
    segments   JSON `[keys, predictions]`, one per partition

A packer reads the offsets and its own segment, so that many packers together read each file once.
"""

import json
import struct
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import accumulate
from typing import Any

from handlers.logic.buckets import hashes, key_bytes, part
from handlers.logic.ports import Objects

Segment = tuple[list[str], list[Any]]

#: Files read at once: a packer of 100 million rows reads its part of 2,000 of them, each in two requests of some 20 ms.
READERS = 8


def score_file(rows: Sequence[tuple[Any, Any]], partitions: int) -> bytes:
    """Return the file of (key, prediction) rows. Raises ValueError for what JSON cannot carry."""
    segments: list[Segment] = [([], []) for _ in range(partitions)]
    keys, predictions = [str(key) for key, _ in rows], [prediction for _, prediction in rows]
    if partitions == 1:
        segments = [(keys, predictions)]
    else:
        hashed = hashes(map(key_bytes, keys))
        for number, key, prediction in zip(hashed, keys, predictions, strict=True):
            into = segments[part(number, partitions)]
            into[0].append(key)
            into[1].append(prediction)
    bodies = [json.dumps(segment, allow_nan=False).encode() for segment in segments]
    offsets = accumulate(map(len, bodies), initial=8 * (partitions + 1))
    return struct.pack(f"<{partitions + 1}Q", *offsets) + b"".join(bodies)


def read_segments(objects: Objects, bucket: str, files: Iterable[str], partition: int, partitions: int) -> Segment:
    """Return keys and predictions of one partition from files in order. Raises ObjectMissing."""
    keys: list[str] = []
    predictions: list[Any] = []
    with ThreadPoolExecutor(READERS, thread_name_prefix="read") as pool:
        for segment in pool.map(partial(_read_segment, objects, bucket, partition, partitions), files):
            keys += segment[0]
            predictions += segment[1]
    return keys, predictions


def _read_segment(objects: Objects, bucket: str, partition: int, partitions: int, key: str) -> Segment:
    head = objects.get_range(bucket, key, 0, 8 * (partitions + 1))
    start, stop = struct.unpack_from("<2Q", head, 8 * partition)
    keys, predictions = json.loads(objects.get_range(bucket, key, start, stop))
    return keys, predictions
