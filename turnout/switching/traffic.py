"""What a model's front door has counted and logged of late."""

import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import boto3

from handlers.contract import metrics
from handlers.contract.key_hash import key_hash
from handlers.contract.records import Generation
from turnout.deployed import Model
from turnout.switching.clients import Recent

COUNTED = {"requests": metrics.REQUESTS, "hits": metrics.HITS, "misses": metrics.MISSES}
LINES_A_DAY = 200  # of the log, each day's first
PAGES_A_DAY = 20  # CloudWatch may return empty pages; beyond these the day counts as quiet
MOST_KEYS = 20_000_000  # of a generation that are worth reading for an estimate


def recent(model: Model, key_column: str, *, now: datetime, days: int = 7) -> Recent:
    """Return the model's traffic of the last days. Logged keys are compared with the newest generation only where too
    few requests were lookups for the counts to tell.
    """
    start = now - timedelta(days=days)
    counts = counted(boto3.client("cloudwatch"), model, start, now)
    found = Recent(days=days, **counts)
    if not found.requests or found.hits + found.misses >= found.requests / 2:
        return found
    pointer = model.pointer()
    generation = model.generation(pointer.scores or pointer.results)
    if generation is None or generation.rows_scored > MOST_KEYS:
        return found
    sample = list(logged(boto3.client("logs"), log_group(boto3.client("lambda"), model.front_door), start, days))
    if not sample:
        return found
    known = set(sample) & {key_hash(model.name, key) for key in keys(boto3.client("s3"), generation, key_column)}
    return replace(
        found,
        sampled=len(sample),
        sampled_known=sum(each in known for each in sample),
        generation=generation.id,
    )


def counted(cloudwatch: Any, model: Model, start: datetime, end: datetime) -> dict[str, int]:
    """Return sums of the front door's metrics, by the name of Recent's field."""
    dimensions = [
        {"Name": name, "Value": value}
        for name, value in zip(metrics.DIMENSIONS, (model.stage, model.name), strict=True)
    ]
    queries = [
        {
            "Id": name,
            "MetricStat": {
                "Metric": {"Namespace": metrics.NAMESPACE, "MetricName": metric, "Dimensions": dimensions},
                "Period": 3600,
                "Stat": "Sum",
            },
        }
        for name, metric in COUNTED.items()
    ]
    totals = dict.fromkeys(COUNTED, 0.0)
    pages = cloudwatch.get_paginator("get_metric_data").paginate(
        MetricDataQueries=queries, StartTime=start, EndTime=end
    )
    for page in pages:
        for result in page["MetricDataResults"]:
            totals[result["Id"]] += sum(result["Values"])
    return {name: round(total) for name, total in totals.items()}


def log_group(functions: Any, function: str) -> str:
    """Return the log group that a function writes to."""
    configuration = functions.get_function_configuration(FunctionName=function)
    return configuration.get("LoggingConfig", {}).get("LogGroup") or f"/aws/lambda/{function}"


def logged(logs: Any, group: str, start: datetime, days: int) -> Iterator[str]:
    """Yield hashes of the keys that were asked for: each day's first LINES_A_DAY, so that no day outweighs another."""
    for day in range(days):
        begin = start + timedelta(days=day)
        taken = 0
        for event in _events(logs, group, begin, begin + timedelta(days=1)):
            for each in _hashes(event["message"]):
                taken += 1
                yield each
            if taken >= LINES_A_DAY:
                break


def _events(logs: Any, group: str, begin: datetime, end: datetime) -> Iterator[dict[str, Any]]:
    request = {
        "logGroupName": group,
        "filterPattern": '{ $.key_hash = "*" }',
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


def _hashes(message: str) -> Iterable[str]:
    """Return the key hashes in a log line: one, several, or none where the line is not one of ours."""
    try:
        line = json.loads(message)
    except ValueError:
        return ()
    found = line.get("key_hash") if isinstance(line, dict) else None
    return found if isinstance(found, list) else [found] if found else ()


def keys(s3: Any, generation: Generation, column: str) -> Iterator[Any]:
    """Yield every key of a generation, read from its Parquet results."""
    import pyarrow.parquet as pq

    bucket, _, prefix = generation.results_uri.removeprefix("s3://").partition("/")
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for item in page.get("Contents", []):
            if item["Key"].endswith(".parquet"):
                body = s3.get_object(Bucket=bucket, Key=item["Key"])["Body"].read()
                yield from pq.read_table(io.BytesIO(body), columns=[column]).column(column).to_pylist()
