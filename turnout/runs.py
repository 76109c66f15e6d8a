"""Starting a pipeline run by hand and following any run to its end."""

import json
import secrets
import string
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

import boto3
from botocore.exceptions import ClientError

from handlers.contract import layout
from handlers.contract.records import Run
from turnout.deployed import Model, Platform
from turnout.errors import RunFailed, UserError

POLL_SECONDS = 0.5


@dataclass(frozen=True)
class Progress:
    """Where a run is. `done` of `total` counts shards in the steps that work shard by shard, else both are None."""

    step: str
    elapsed_seconds: float
    done: int | None = None
    total: int | None = None


@dataclass
class Followed:
    """How a run ended: its ledger entry and the seconds each step took, in order."""

    status: str
    run: Run | None
    duplicate: bool
    seconds: dict[str, float] = field(default_factory=dict)


def start(model: Model, *, now: datetime | None = None) -> str:
    """Start a run of `model` and return the execution's ARN."""
    if model.state_machine is None:
        raise UserError(
            f"Model '{model.name}' is served in mode {model.mode}, which makes no runs.",
            "Runs belong to batch, precompute and hybrid.",
        )
    moment = (now or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%SZ")
    tag = "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(6))
    trigger = {"trigger": "manual", "slot": moment, "id": tag}
    started = boto3.client("stepfunctions").start_execution(
        stateMachineArn=model.state_machine, input=json.dumps(trigger)
    )
    return started["executionArn"]


def paid_minutes(model: Model, run_id: str) -> float | None:
    """Return the minutes for which each instance of a run's transform job was paid: of its own times, as the run waits
    for instances before and goes on after. None where SageMaker knows no such job, or none that has ended.
    """
    name = layout.job_name(model.stage, model.name, run_id)
    try:
        job = boto3.client("sagemaker").describe_transform_job(TransformJobName=name)
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("ValidationException", "ResourceNotFound"):
            raise
        return None
    if "TransformStartTime" not in job or "TransformEndTime" not in job:
        return None
    return (job["TransformEndTime"] - job["TransformStartTime"]).total_seconds() / 60


def executions(model: Model) -> list[dict]:
    """Return the newest executions first, as Step Functions lists them."""
    return boto3.client("stepfunctions").list_executions(stateMachineArn=model.state_machine)["executions"]


def follow(
    model: Model,
    platform: Platform,
    execution: str,
    *,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Progress | Followed]:
    """Yield Progress until the execution ends, then one Followed.

    Progress inside Batch Transform and publishing is read from S3: finished outputs and receipts per shard.
    """
    client = boto3.client("stepfunctions")
    shards = _ShardCounter(model, platform)
    began = clock()
    while True:
        described = client.describe_execution(executionArn=execution)
        history = _history(client, execution)
        if described["status"] != "RUNNING":
            yield _ended(model, described, history)
            return
        step = history.current_step
        done, total = shards.count(step, history)
        yield Progress(step, clock() - began, done, total)
        sleep(POLL_SECONDS)


def require_success(followed: Followed) -> Followed:
    """Return `followed`, or raise RunFailed with the run's own words."""
    run = followed.run
    # A generation may be visible although its execution broke off before it could say so; the ledger knows.
    if followed.status == "SUCCEEDED" or (run is not None and run.status == "succeeded"):
        return followed
    what = f"Run {run.id} failed: {run.error}: {run.cause}" if run else f"The run ended {followed.status}."
    raise RunFailed(what, "The scores served before stay in place. See `turnout runs` and docs/runbook.md.")


@dataclass
class _History:
    current_step: str
    seconds: dict[str, float]
    run_id: str | None
    shard_count: int | None
    duplicate: bool


def _history(client, execution: str) -> _History:
    """Reduce the event history to what progress and the final report need."""
    pages = client.get_paginator("get_execution_history").paginate(executionArn=execution)
    current, seconds, entered, run_id, shards, duplicate = "Start", {}, {}, None, None, False
    for event in (event for page in pages for event in page["events"]):
        if details := event.get("stateEnteredEventDetails"):
            name = details["name"]
            entered.setdefault(name, event["timestamp"])
            duplicate = duplicate or name == "Duplicate"
            current = name
        if details := event.get("stateExitedEventDetails"):
            name = details["name"]
            if name in entered:
                seconds[name] = (event["timestamp"] - entered[name]).total_seconds()
            output = _json_object(details.get("output"))
            run_id = run_id or output.get("started", {}).get("run_id")
            if "prepared" in output:
                shards = len(output["prepared"].get("shards", []))
    return _History(current, seconds, run_id, shards, duplicate)


def _json_object(text: str | None) -> dict:
    try:
        value = json.loads(text) if text else {}
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _ended(model: Model, described: dict, history: _History) -> Followed:
    run = model.run(history.run_id) if history.run_id else None
    return Followed(described["status"], run, history.duplicate, history.seconds)


class _ShardCounter:
    """Counts finished shards in S3 for the steps that work shard by shard."""

    def __init__(self, model: Model, platform: Platform) -> None:
        self._model = model.name
        self._bucket = platform.data_bucket
        self._s3 = boto3.client("s3")

    def count(self, step: str, history: _History) -> tuple[int | None, int | None]:
        prefixes = {"Transform": layout.transform_prefix, "Publish": self._receipts, "PublishShard": self._receipts}
        if step not in prefixes or not history.run_id:
            return None, None
        listed = self._s3.list_objects_v2(Bucket=self._bucket, Prefix=prefixes[step](self._model, history.run_id))
        return listed["KeyCount"], history.shard_count

    @staticmethod
    def _receipts(model: str, run_id: str) -> str:
        return f"{layout.run_prefix(model, run_id)}published/"
