"""What a model's front door has counted and logged of late."""

import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import boto3

from handlers.adapters.front_door_counts import FrontDoorCounts
from handlers.contract.answering import RECENT_DAYS
from handlers.contract.key_hash import key_hash
from handlers.contract.modes import ServingMode
from handlers.contract.records import Generation
from turnout.deployed import Model
from turnout.switching.clients import FEW, Recent

LINES_A_DAY = 200  # of the log, each day's first
PAGES_A_DAY = 20  # CloudWatch may return empty pages; beyond these the day counts as quiet
MOST_KEYS = 20_000_000  # of a generation that are worth reading for an estimate


class UnreadableGeneration(ValueError):
    """The newest generation's files do not hold what its keys could be read from; the message says why."""


def recent(model: Model, key_column: str, *, now: datetime, days: int = RECENT_DAYS) -> Recent:
    """Return the model's traffic of the last days. Keys that the mode in force has logged are compared with the newest
    generation unless the counts tell: what an earlier mode was asked tells nothing of those who ask now.
    """
    counts = FrontDoorCounts(boto3.client("cloudwatch"), stage=model.stage, model=model.name).counts(now, days)
    found = Recent(days, counts.requests, counts.hits, counts.misses, counts.keyless)
    if not found.requests or found.counted(ServingMode(model.mode)):
        return found
    pointer = model.pointer()
    generation = model.generation(pointer.scores or pointer.results)
    if generation is None or generation.rows_scored > MOST_KEYS:
        return found
    start, group = now - timedelta(days=days), log_group(boto3.client("lambda"), model.front_door)
    sample = list(logged(boto3.client("logs"), group, start, days, mode=model.mode))
    if len(sample) < FEW:
        return replace(found, sampled=len(sample))
    try:
        known = known_of(set(sample), model.name, keys(boto3.client("s3"), generation, key_column))
    except UnreadableGeneration as error:
        return replace(found, obstacle=str(error))
    return replace(
        found,
        sampled=len(sample),
        sampled_known=sum(each in known for each in sample),
        generation=generation.id,
    )


def known_of(wanted: set[str], model: str, keys: Iterable[Any]) -> set[str]:
    """Return which of the hashes are those of keys. Millions of keys go by; no more is kept than was wanted."""
    known: set[str] = set()
    for key in keys:
        if (each := key_hash(model, key)) in wanted:
            known.add(each)
            if len(known) == len(wanted):
                break
    return known


def log_group(functions: Any, function: str) -> str:
    """Return the log group that a function writes to."""
    configuration = functions.get_function_configuration(FunctionName=function)
    return configuration.get("LoggingConfig", {}).get("LogGroup") or f"/aws/lambda/{function}"


def logged(logs: Any, group: str, start: datetime, days: int, *, mode: str | None = None) -> Iterator[str]:
    """Yield hashes of the keys that were asked for, of one mode or of any: each day's first LINES_A_DAY, so that no day
    outweighs another.
    """
    for day in range(days):
        begin = start + timedelta(days=day)
        taken = 0
        for event in _events(logs, group, begin, begin + timedelta(days=1), mode):
            for each in _hashes(event["message"], mode):
                taken += 1
                yield each
            if taken >= LINES_A_DAY:
                break


def _events(logs: Any, group: str, begin: datetime, end: datetime, mode: str | None) -> Iterator[dict[str, Any]]:
    request = {
        "logGroupName": group,
        "filterPattern": f'{{ ($.key_hash = "*") && ($.mode = "{mode}") }}' if mode else '{ $.key_hash = "*" }',
        "startTime": int(begin.timestamp() * 1000),
        "endTime": int(end.timestamp() * 1000),
        "limit": LINES_A_DAY,
    }
    for _ in range(PAGES_A_DAY):
        page = logs.filter_log_events(**request)
        yield from page["events"]
        if "nextToken" not in page:
            return
        request["nextToken"] = page["nextToken"]


def _hashes(message: str, mode: str | None) -> Iterable[str]:
    """Return the key hashes in a log line: one, several, or none where the line is not one of ours, or another mode's.

    The local cloud takes every line for one that the pattern finds.
    """
    try:
        line = json.loads(message)
    except ValueError:
        return ()
    if not isinstance(line, dict) or (mode and line.get("mode") != mode):
        return ()
    found = line.get("key_hash")
    return found if isinstance(found, list) else [found] if found else ()


def keys(s3: Any, generation: Generation, column: str) -> Iterator[Any]:
    """Yield every key of a generation, read from its Parquet results. Raises UnreadableGeneration."""
    bucket, _, prefix = generation.results_uri.removeprefix("s3://").partition("/")
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for item in page.get("Contents", []):
            if item["Key"].endswith(".parquet"):
                body = s3.get_object(Bucket=bucket, Key=item["Key"])["Body"].read()
                yield from _column(body, column, generation)


def _column(body: bytes, column: str, generation: Generation) -> Iterator[Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(io.BytesIO(body))
    except pa.ArrowException as error:
        raise UnreadableGeneration(f"generation {generation.id} cannot be read: {error}") from error
    if column not in file.schema_arrow.names:
        raise UnreadableGeneration(
            f"generation {generation.id} has no column {column!r}: it was made while the key had another name"
        )
    for batch in file.iter_batches(columns=[column]):
        yield from batch.column(0).to_pylist()
