"""How a run and a lookup grow with the number of rows: every step of the pipeline, in the local cloud.

    python -m benchmarks.growth [--rows 10000 100000 1000000] [--plot docs/growth.png] [--record docs/growth.json]

Each size gets a local cloud and a process of its own (so that memory is its own too): input in Parquet, four features;
the pipeline's handlers as they are deployed, called one after the other; Batch Transform by the local SageMaker with a
logistic regression in its container. Seconds are wall time of one process, with the machine's load average beside them.
Lookups are one key each by the front door's client. `--record` keeps sizes measured before: the figures of ten million
rows, which take a while, stay in the plot.
"""

import argparse
import io
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from handlers.contract import layout
from handlers.contract.card import Feature, ModelCard
from handlers.contract.env import PipelineEnv
from handlers.contract.records import PK, SK

MODEL, BUCKET, TABLE, RUN = "growth", "growth", "growth", "20261123T060000Z"
FEATURES, FILE_ROWS = 4, 500_000
STEPS = ("prepare", "transform", "publish", "pack", "conclude")
LOOKUPS = 2_000


# One size, in a process of its own


def measure(rows: int) -> dict[str, Any]:
    """Carry out one run of so many rows in the cloud of this environment; return seconds, memory and lookup times."""
    from handlers import conclude, prepare, publish

    create_places()
    write_input(rows)
    started = {
        "run_id": RUN,
        "duplicate": False,
        "job_name": layout.job_name("dev", MODEL, RUN),
        "started_at": "2026-11-23T06:00:00Z",
        "shards_uri": f"s3://{BUCKET}/{layout.shards_prefix(MODEL, RUN)}",
        "transform_uri": f"s3://{BUCKET}/{layout.transform_prefix(MODEL, RUN)}",
    }
    seconds: dict[str, float] = {}
    prepared = timed(seconds, "prepare", lambda: prepare.handler(started, None))
    timed(seconds, "transform", lambda: transform(started))
    run = {"run_id": RUN, "scored_at": "2026-11-23T06:09:00Z", "model_version": "v1", "retention_seconds": 30 * 86_400}
    common = {**run, "key_type": prepared["key_type"], "partitions": prepared["partitions"]}
    published = timed(
        seconds,
        "publish",
        lambda: [publish.handler({**common, "shard": shard}, None) for shard in prepared["shards"]],
    )
    packed = timed(
        seconds,
        "pack",
        lambda: [
            publish.handler({**common, "partition": part, "shards": prepared["shards"]}, None)
            for part in prepared["partitions"]
        ],
    )
    conclusion = {**run, "outcome": "succeeded", "execution": RUN, "started_at": started["started_at"]}
    conclusion |= {"prepared": prepared, "published": published, "packed": packed}
    timed(seconds, "conclude", lambda: conclude.handler(conclusion, None))
    return {
        "rows": rows,
        "shards": len(prepared["shards"]),
        "partitions": len(prepared["partitions"]),
        "items": sum(part["items"] for part in packed),
        "seconds": seconds,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "load": os.getloadavg()[0],
    }


def timed(seconds: dict[str, float], step: str, work: Callable[[], Any]) -> Any:
    began = time.perf_counter()
    result = work()
    seconds[step] = time.perf_counter() - began
    print(f"  {step:<9} {seconds[step]:8.1f} s", file=sys.stderr, flush=True)
    return result


def lookups(rows: int) -> dict[str, float]:
    """Return median and 99th percentile of one lookup in milliseconds, wall, and its CPU in microseconds."""
    from handlers.adapters.dynamodb_http import reader
    from handlers.adapters.records_table import RecordsTable
    from handlers.adapters.score_table import ScoreTable
    from handlers.logic.lookup import Visible

    store, dice = reader(), random.Random(7)
    scores = ScoreTable(store, TABLE)
    visible = Visible(RecordsTable(store, TABLE), time.monotonic)
    generation = visible.generation(visible.pointer().scores)
    walls, cpus = [], []
    for _ in range(LOOKUPS):
        key = key_of(dice.randrange(rows))
        began, cpu = time.perf_counter(), time.process_time()
        assert scores.get(generation, key) is not None
        walls.append((time.perf_counter() - began) * 1_000)
        cpus.append((time.process_time() - cpu) * 1e6)
    return {
        "lookup_ms": statistics.median(walls),
        "lookup_p99_ms": statistics.quantiles(walls, n=100)[98],
        "lookup_cpu_us": statistics.median(cpus),
    }


def key_of(number: int) -> str:
    return f"user#{number:08d}"


def create_places() -> None:
    from handlers.adapters.clients import client

    client("s3").create_bucket(Bucket=BUCKET)
    card = ModelCard(MODEL, "id", [Feature(f"x{place}") for place in range(FEATURES)], f"input/{MODEL}/")
    client("s3").put_object(Bucket=BUCKET, Key="card.json", Body=card.to_json().encode())
    client("dynamodb").create_table(
        TableName=TABLE,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": PK, "KeyType": "HASH"}, {"AttributeName": SK, "KeyType": "RANGE"}],
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in (PK, SK)],
    )


def write_input(rows: int) -> None:
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    from handlers.adapters.clients import client

    for start in range(0, rows, FILE_ROWS):
        count = min(FILE_ROWS, rows - start)
        values = np.random.default_rng(start).normal(size=(FEATURES, count)).round(4)
        table = pa.table(
            {
                "id": [key_of(number) for number in range(start, start + count)],
                **{f"x{place}": values[place] for place in range(FEATURES)},
            }
        )
        out = io.BytesIO()
        pq.write_table(table, out)
        client("s3").put_object(Bucket=BUCKET, Key=f"input/{MODEL}/{start:09d}.parquet", Body=out.getvalue())


def transform(started: dict[str, Any]) -> None:
    """Have the local SageMaker score the shards, as the state machine asks for it."""
    from benchmarks.local_overhead import ENVIRONMENT, IMAGE, ROLE
    from handlers.adapters.clients import client

    client("s3").put_object(Bucket=BUCKET, Key="model.tar.gz", Body=model_archive())
    sagemaker = client("sagemaker")
    container = {"Image": IMAGE, "ModelDataUrl": f"s3://{BUCKET}/model.tar.gz", "Environment": ENVIRONMENT}
    sagemaker.create_model(ModelName=MODEL, ExecutionRoleArn=ROLE, PrimaryContainer=container)
    data = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": started["shards_uri"]}}
    sagemaker.create_transform_job(
        TransformJobName=started["job_name"],
        ModelName=MODEL,
        BatchStrategy="MultiRecord",
        MaxPayloadInMB=6,
        TransformInput={"DataSource": data, "ContentType": "text/csv", "SplitType": "Line"},
        TransformOutput={"S3OutputPath": started["transform_uri"], "Accept": "text/csv", "AssembleWith": "Line"},
        TransformResources={"InstanceType": "ml.m5.large", "InstanceCount": 1},
        DataProcessing={"InputFilter": "$[1:]", "JoinSource": "Input", "OutputFilter": "$[0,-1]"},
    )
    while (job := sagemaker.describe_transform_job(TransformJobName=started["job_name"]))["TransformJobStatus"] in (
        "InProgress",
        "Stopping",
    ):
        time.sleep(0.1)
    if job["TransformJobStatus"] != "Completed":
        raise RuntimeError(f"the transform job ended as {job['TransformJobStatus']}: {job.get('FailureReason')}")


def model_archive() -> bytes:
    import joblib
    import numpy as np
    from sklearn.linear_model import LogisticRegression

    from benchmarks.local_overhead import SCRIPT

    rows = np.random.default_rng(7).normal(size=(2_000, FEATURES))
    model = LogisticRegression().fit(rows, rows[:, 0] > 0)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar, tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "code").mkdir()
        joblib.dump(model, Path(folder) / "model.joblib")
        (Path(folder) / "code/inference.py").write_text(SCRIPT)
        tar.add(folder, arcname=".")
    return out.getvalue()


PARTS = {"run": measure, "lookups": lookups}

# All sizes


def measure_apart(rows: int) -> dict[str, Any]:
    from turnout.local import control

    with tempfile.TemporaryDirectory(prefix="growth-") as folder:
        cloud = control.up(Path(folder) / "cloud")
        try:
            pipeline = PipelineEnv("dev", MODEL, "precompute", TABLE, BUCKET, BUCKET, "card.json")
            threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
            environment = os.environ | threads | control.environ(cloud) | pipeline.to_environ()
            command = [sys.executable, "-m", "benchmarks.growth", "--one", str(rows), "--part"]
            how = {"env": environment, "check": True, "stdout": subprocess.PIPE, "text": True}
            # Lookups in a process of their own: one that has just prepared ten million rows is no front door.
            parts = [json.loads(subprocess.run([*command, part], **how).stdout) for part in PARTS]
        finally:
            control.down(Path(folder) / "cloud")
    return {name: value for part in parts for name, value in part.items()}


def show(sizes: list[dict[str, Any]]) -> None:
    steps = "".join(f"{step:>11}" for step in STEPS)
    print("seconds per million rows")
    print(f"{'rows':>11}{steps}   shards  parts    items  peak MB   lookup ms (p99)  CPU us  load")
    for size in sizes:
        per_million = "".join(f"{size['seconds'][step] * 1e6 / size['rows']:>11.1f}" for step in STEPS)
        print(
            f"{size['rows']:>11,}{per_million} {size['shards']:>8} {size['partitions']:>6} {size['items']:>8,} "
            f"{size['peak_mb']:>8,.0f} {size['lookup_ms']:>8.2f} ({size['lookup_p99_ms']:5.2f}) "
            f"{size['lookup_cpu_us']:>8.0f} {size['load']:>5.1f}"
        )


def plot(sizes: list[dict[str, Any]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    rows = [size["rows"] for size in sizes]
    figure, (run, lookup) = pyplot.subplots(1, 2, figsize=(10, 4))
    for name, steps in {
        "transform": ("transform",),
        "prepare": ("prepare",),
        "publish + pack + conclude": ("publish", "pack", "conclude"),
    }.items():
        run.loglog(rows, [sum(size["seconds"][step] for step in steps) for size in sizes], marker="o", label=name)
    run.loglog(rows, [rows_ / rows[-1] * sizes[-1]["seconds"]["pack"] for rows_ in rows], "k:", label="linear")
    run.set(xlabel="rows", ylabel="seconds", title="One run")
    run.legend()
    lookup.semilogx(rows, [size["lookup_ms"] for size in sizes], marker="o", label="median")
    lookup.semilogx(rows, [size["lookup_p99_ms"] for size in sizes], marker="o", label="99th percentile")
    lookup.set(xlabel="rows", ylabel="ms", title="One lookup", ylim=(0, None))
    lookup.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=80, metadata={"Software": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--record", type=Path)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(PARTS[asked.part](asked.one)))
        return
    known = json.loads(asked.record.read_text()) if asked.record and asked.record.exists() else []
    sizes = {size["rows"]: size for size in known}
    for rows in asked.rows:
        print(f"{rows:,} rows", file=sys.stderr, flush=True)
        sizes[rows] = measure_apart(rows)
    measured = [sizes[rows] for rows in sorted(sizes)]
    show(measured)
    if asked.record:
        asked.record.write_text(json.dumps(measured, indent=1) + "\n")
    if asked.plot:
        plot(measured, asked.plot)


if __name__ == "__main__":
    main()
