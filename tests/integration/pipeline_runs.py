"""What integration tests do over and over: put input, run a pipeline, wait for a condition, look at a metric."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import psutil

from handlers.contract.layout import input_prefix, run_prefix
from turnout import runs
from turnout.deployed import Model, Platform


def put_input(client, platform: Platform, model: str, files: dict[str, bytes]) -> None:
    """Replace a model's input by `files` (name to content)."""
    s3 = client("s3")
    listed = s3.list_objects_v2(Bucket=platform.data_bucket, Prefix=input_prefix(model))
    for item in listed.get("Contents", []):
        s3.delete_object(Bucket=platform.data_bucket, Key=item["Key"])
    for name, content in files.items():
        s3.put_object(Bucket=platform.data_bucket, Key=input_prefix(model) + name, Body=content)


def follow(model: Model, platform: Platform, execution: str) -> runs.Followed:
    """Wait for the execution's end."""
    *_, ended = runs.follow(model, platform, execution)
    return ended


def run(model: Model, platform: Platform) -> runs.Followed:
    """Start a run and wait for its end."""
    return follow(model, platform, runs.start(model))


def wait_for(probe: Callable[[], object], what: str, seconds: float = 60) -> object:
    """Poll until `probe` returns something true and return that; fail with `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (found := probe()):
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.1)
    return found


def receipts(client, platform: Platform, model: str, run_id: str) -> int:
    """Count the shards whose publishing has finished."""
    prefix = f"{run_prefix(model, run_id)}published/"
    return client("s3").list_objects_v2(Bucket=platform.data_bucket, Prefix=prefix)["KeyCount"]


def generation_items(client, table: str, generation: str) -> list[dict]:
    """Return the items that hold one generation's scores, visible or not."""
    pages = (
        client("dynamodb")
        .get_paginator("scan")
        .paginate(
            TableName=table,
            FilterExpression="begins_with(pk, :generation)",
            ExpressionAttributeValues={":generation": {"S": f"{generation}#"}},
        )
    )
    return [item for page in pages for item in page["Items"]]


def lambda_processes(cloud, role: str) -> list[psutil.Process]:
    """Return the local processes that serve functions with `role` (such as Publish) in their generated name."""
    workers = psutil.Process(cloud.pid).children(recursive=True)
    return [worker for worker in workers if role in worker.environ().get("AWS_LAMBDA_FUNCTION_NAME", "")]


def objects(client, platform: Platform, prefix: str) -> list[str]:
    """Return the keys below a prefix of the data bucket, without the prefix."""
    pages = client("s3").get_paginator("list_objects_v2").paginate(Bucket=platform.data_bucket, Prefix=prefix)
    return [item["Key"].removeprefix(prefix) for page in pages for item in page.get("Contents", [])]


def counted(client, namespace: str, metric: str, **dimensions: str) -> float:
    """Return the sum of a CloudWatch metric's values of the last hour."""
    now = datetime.now(UTC)
    points = client("cloudwatch").get_metric_statistics(
        Namespace=namespace,
        MetricName=metric,
        Dimensions=[{"Name": name, "Value": value} for name, value in dimensions.items()],
        StartTime=now - timedelta(hours=1),
        EndTime=now + timedelta(hours=1),
        Period=60,
        Statistics=["Sum"],
    )["Datapoints"]
    return sum(point["Sum"] for point in points)
