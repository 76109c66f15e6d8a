"""Where a run's files lie in the data bucket, and how runs, jobs and stored items are named.

    input/<model>/...                                   default place for a model's input
    work/<model>/<run>/shards/shard-00000.csv           what Batch Transform reads
    work/<model>/<run>/keys/shard-00000.parquet         row number and key of each line of the shard
    work/<model>/<run>/transform/shard-00000.csv.out    what Batch Transform writes
    work/<model>/<run>/scores/shard-00000.json          the shard's scores, by the partition that packs them
    work/<model>/<run>/published/shard-00000.json       one receipt per published shard
    work/<model>/<run>/published/partition-00000.json   one receipt per packed partition
    results/<model>/date=2026-11-23/run=<run>/shard-00000.parquet
    quarantine/<model>/run=<run>/rows.jsonl             one line per refused row
    async/<model>/input/<request>                       payload of an asynchronous request
    async/<model>/output/... , failed/...               what SageMaker wrote for it

Prefixes end with a slash; nothing starts with one.
"""

import re
from datetime import UTC, datetime

RUN_ID = re.compile(r"[0-9]{8}T[0-9]{6}Z(-[0-9a-z]{6})?")
#: 32 characters, the most that InvokeEndpointAsync takes as a file name.
REQUEST_ID = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{15}")

#: Batch Transform and endpoint names (SageMaker API, botocore 1.43.106).
SAGEMAKER_NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")


def input_prefix(model: str) -> str:
    return f"input/{model}/"


def work_root(model: str) -> str:
    return f"work/{model}/"


def run_prefix(model: str, run_id: str) -> str:
    return f"{work_root(model)}{run_id}/"


def shards_prefix(model: str, run_id: str) -> str:
    return f"{run_prefix(model, run_id)}shards/"


def shard_name(index: int) -> str:
    return f"shard-{index:05d}"


def shard_key(model: str, run_id: str, index: int, extension: str) -> str:
    return f"{shards_prefix(model, run_id)}{shard_name(index)}.{extension}"


def keys_key(model: str, run_id: str, index: int) -> str:
    return f"{run_prefix(model, run_id)}keys/{shard_name(index)}.parquet"


def transform_prefix(model: str, run_id: str) -> str:
    return f"{run_prefix(model, run_id)}transform/"


def transform_output_key(model: str, run_id: str, index: int, extension: str) -> str:
    return f"{transform_prefix(model, run_id)}{shard_name(index)}.{extension}.out"


def receipt_key(model: str, run_id: str, index: int) -> str:
    return f"{run_prefix(model, run_id)}published/{shard_name(index)}.json"


def scores_key(model: str, run_id: str, index: int) -> str:
    return f"{run_prefix(model, run_id)}scores/{shard_name(index)}.json"


def partition_receipt_key(model: str, run_id: str, partition: int) -> str:
    return f"{run_prefix(model, run_id)}published/partition-{partition:05d}.json"


def async_root(model: str) -> str:
    return f"async/{model}/"


def async_input_key(model: str, request_id: str) -> str:
    return f"{async_root(model)}input/{request_id}"


def async_output_prefix(model: str) -> str:
    return f"{async_root(model)}output/"


def async_failure_prefix(model: str) -> str:
    return f"{async_root(model)}failed/"


def request_id(now: datetime, random: str) -> str:
    """Return an asynchronous request's id: the second in UTC, so that ids sort by time, and 15 of random hex digits."""
    return f"{now.astimezone(UTC):%Y%m%dT%H%M%SZ}-{random[:15]}"


def endpoint_name(stage: str, model: str, family: str, identity: str) -> str:
    """Return an endpoint's name. `family` is realtime, serverless or async: SageMaker changes no endpoint from one
    to another, so each has its own. `identity` is six hex digits of the model and what it runs on: a change of them
    makes a new endpoint beside the old one.
    """
    return f"{stage}-{model}-{family}-{identity}"


def are_kin(one: str, other: str) -> bool:
    """Say whether two endpoints' names differ at most in their identity: one model, one family."""
    return one.rpartition("-")[0] == other.rpartition("-")[0]


def results_root(model: str) -> str:
    return f"results/{model}/"


def results_prefix(model: str, run_id: str, date: str) -> str:
    """Return the Hive-style prefix of one run's Parquet results; `date` is `YYYY-MM-DD` in UTC."""
    return f"{results_root(model)}date={date}/run={run_id}/"


def results_key(model: str, run_id: str, date: str, index: int) -> str:
    return f"{results_prefix(model, run_id, date)}{shard_name(index)}.parquet"


def quarantine_root(model: str) -> str:
    return f"quarantine/{model}/"


def quarantine_prefix(model: str, run_id: str) -> str:
    return f"{quarantine_root(model)}run={run_id}/"


def quarantine_key(model: str, run_id: str) -> str:
    return f"{quarantine_prefix(model, run_id)}rows.jsonl"


def job_name(stage: str, model: str, run_id: str) -> str:
    """Return the transform job's name: the same run always gets the same name, so a second job is refused."""
    return f"{stage}-{model}-{run_id}"


def resource_prefix(stage: str, model: str) -> str:
    """Return the start of every physical name that Turnout chooses for a model."""
    return f"{stage}-{model}-"


def stack_name(stage: str, part: str) -> str:
    """Return a stack's name; `part` is a model's name or `platform`."""
    return f"turnout-{stage}-{part}"
