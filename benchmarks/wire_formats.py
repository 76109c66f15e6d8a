"""The three wire formats beside each other: the same rows as CSV, JSON Lines and Parquet through real transform jobs.

    python -m benchmarks.wire_formats [--rows 200000] [--rounds 3] [--features 20]

Shards are written by the pipeline's own code, scored on a local cloud by the job that the pipeline would start (default
payload and concurrency), with `model_code/server` and its columnar hooks, and published up to the Parquet results and
the packers' files. Formats take turns; medians are printed. Figures are CPU seconds, of all processes; a job of one row
is subtracted, which is the start of the container. `SageMaker` is what the local cloud itself spends on splitting,
filtering, joining and S3. The floor is `predict_proba` on arrays that are there already. A forest's scores must be
equal bit by bit in all formats; a product of matrices may differ in the last bits with the rows that a request holds.
"""

import argparse
import io
import os
import statistics
import sys
import tarfile
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import joblib
import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from handlers.adapters.clients import client
from handlers.adapters.s3_objects import S3Objects
from handlers.contract import layout
from handlers.contract.card import Feature, ModelCard, WireFormat
from handlers.contract.pipeline import Shard
from handlers.logic.publishing import Publisher
from handlers.logic.sharding import ShardWriter, wire_table
from infra.constructs.pipeline_definition import transform_state
from turnout.config.specs import TransformSpec
from turnout.local import control

IMAGE = "000000000000.dkr.ecr.us-east-1.amazonaws.com/own:1"
ROLE = "arn:aws:iam::000000000000:role/any"
BUCKET = "wire-formats"
SCRIPT = """
import os

import joblib

def model_fn(model_dir):
    return joblib.load(os.path.join(model_dir, "model.joblib"))

def predict_fn(rows, model):
    return model.predict_proba(rows)[:, 1]
"""
KINDS = {
    "logistic": lambda: LogisticRegression(),
    "forest": lambda: RandomForestClassifier(100, max_depth=8, random_state=7, n_jobs=1),
}
FORMATS: tuple[WireFormat, ...] = get_args(WireFormat)
SCORED_AT = "2026-11-23T06:09:12Z"
ROWS_READ_AT_ONCE = 50_000
#: What a format costs; `ours` is the sum without what stands for SageMaker's own.
STEPS = ("prepare", "container", "sagemaker", "publish", "ours")


@dataclass
class Cost:
    """CPU seconds of each step, wall seconds of the job, and bytes to the container and back."""

    prepare: float
    container: float
    sagemaker: float
    publish: float
    job_seconds: float
    bytes_in: int
    bytes_out: int

    @property
    def ours(self) -> float:
        return self.prepare + self.container + self.publish


class Bench:
    """One model on a local cloud."""

    def __init__(self, cloud: control.LocalCloud, folder: Path, kind: str, rows: int, features: int) -> None:
        self.cloud, self.kind = cloud, kind
        self.names = [f"f{number}" for number in range(features)]
        random = np.random.default_rng(7)
        self.values = random.normal(size=(rows, features))
        self.model = KINDS[kind]().fit(self.values[:2000], self.values[:2000, 0] + self.values[:2000, 1] > 0)
        self.objects, self.runs = S3Objects(client("s3")), 0
        out = io.BytesIO()
        joblib.dump(self.model, folder / "model.joblib")
        (folder / "inference.py").write_text(SCRIPT)
        with tarfile.open(fileobj=out, mode="w:gz") as tar:
            tar.add(folder / "model.joblib", arcname="model.joblib")
            tar.add(folder / "inference.py", arcname="code/inference.py")
        self.objects.put(BUCKET, f"{kind}.tar.gz", out.getvalue())
        environment = {"TURNOUT_HOOKS": "columnar", "TURNOUT_FEATURES": ",".join(self.names)}
        container = {"Image": IMAGE, "ModelDataUrl": f"s3://{BUCKET}/{kind}.tar.gz", "Environment": environment}
        client("sagemaker").create_model(ModelName=kind, ExecutionRoleArn=ROLE, PrimaryContainer=container)

    def predict(self) -> float:
        """Return the CPU seconds of the floor."""
        began = time.process_time()
        for start in range(0, len(self.values), ROWS_READ_AT_ONCE):
            self.model.predict_proba(self.values[start : start + ROWS_READ_AT_ONCE])
        return time.process_time() - began

    def through(self, wire: WireFormat, rows: int) -> tuple[Cost, np.ndarray]:
        """Prepare, score and publish the first `rows` rows; return the cost, and the scores in the rows' order."""
        self.runs += 1
        run = f"20261123T{self.runs:06d}Z"
        card = ModelCard(self.kind, "id", [Feature(name) for name in self.names], "input/", wire_format=wire)
        began = time.process_time()
        shards = self._prepare(card, run, rows)
        prepared = time.process_time()
        container, sagemaker, seconds = self._job(card, run)
        published = time.process_time()
        self._publish(card, run, shards)
        cost = Cost(
            prepare=prepared - began,
            container=container,
            sagemaker=sagemaker,
            publish=time.process_time() - published,
            job_seconds=seconds,
            bytes_in=self._bytes(layout.shards_prefix(card.model, run)),
            bytes_out=self._bytes(layout.transform_prefix(card.model, run)),
        )
        return cost, self._scores(card, run)

    def _prepare(self, card: ModelCard, run: str, rows: int) -> list[Shard]:
        writer = ShardWriter(card, run, BUCKET, self.objects)
        for start in range(0, rows, ROWS_READ_AT_ONCE):
            part = self.values[start : min(rows, start + ROWS_READ_AT_ONCE)]
            numbers = pa.array(np.arange(start, start + len(part)))
            columns = {name: pa.array(np.ascontiguousarray(part[:, at])) for at, name in enumerate(self.names)}
            writer.add(wire_table(numbers, numbers.cast(pa.string()), columns))
        return writer.finish()

    def _job(self, card: ModelCard, run: str) -> tuple[float, float, float]:
        """Return the CPU seconds of the container and of the local cloud, and the wall seconds."""
        spec = TransformSpec(wire_format=card.wire_format)
        parameters = transform_state(card=card, transform=spec, tags={})["Parameters"]
        source = parameters["TransformInput"]["DataSource"]["S3DataSource"]
        source["S3Uri"] = f"s3://{BUCKET}/{layout.shards_prefix(card.model, run)}"
        parameters["TransformOutput"]["S3OutputPath"] = f"s3://{BUCKET}/{layout.transform_prefix(card.model, run)}"
        name = f"{card.model}-{card.wire_format}-{run}"
        for left_open in ("TransformJobName.$", "ModelName"):
            del parameters[left_open]
        del source["S3Uri.$"], parameters["TransformOutput"]["S3OutputPath.$"]
        own, ended = self._cpu()
        began = time.perf_counter()
        client("sagemaker").create_transform_job(TransformJobName=name, ModelName=card.model, **parameters)
        while (status := self._status(name)) == "InProgress":
            time.sleep(0.05)
        seconds = time.perf_counter() - began
        if status != "Completed":
            raise RuntimeError(f"{name} is {status}")
        own_after, ended_after = self._cpu()
        return ended_after - ended, own_after - own, seconds

    def _status(self, name: str) -> str:
        return client("sagemaker").describe_transform_job(TransformJobName=name)["TransformJobStatus"]

    def _cpu(self) -> tuple[float, float]:
        """Return the CPU seconds of the cloud's processes, and of those that it has started and that have ended."""
        root = psutil.Process(self.cloud.pid)
        times = [process.cpu_times() for process in (root, *root.children(recursive=True))]
        own = sum(spent.user + spent.system for spent in times)
        return own, sum(spent.children_user + spent.children_system for spent in times)

    def _publish(self, card: ModelCard, run: str, shards: list[Shard]) -> None:
        publisher = Publisher(card, BUCKET, self.objects, scores=None)
        for shard in shards:
            event = {"run_id": run, "shard": shard, "scored_at": SCORED_AT, "key_type": "string", "partitions": [0]}
            event["model_version"] = "v1"
            publisher.publish(event)

    def _scores(self, card: ModelCard, run: str) -> np.ndarray:
        results = self.objects.list(BUCKET, layout.results_prefix(card.model, run, SCORED_AT[:10]))
        tables = [pq.ParquetFile(io.BytesIO(self.objects.get(BUCKET, stored.key))).read() for stored in results]
        table = pa.concat_tables(tables)
        scores = np.empty(len(table))
        scores[table["id"].to_numpy().astype(int)] = table["prediction"].to_numpy()
        return scores

    def _bytes(self, prefix: str) -> int:
        return sum(stored.size for stored in self.objects.list(BUCKET, prefix))


def measure(bench: Bench, rows: int, rounds: int) -> None:
    costs: dict[str, list[Cost]] = {wire: [] for wire in FORMATS}
    floors: list[float] = []
    for _ in range(rounds):
        floors.append(bench.predict())
        first: np.ndarray | None = None
        for wire in FORMATS:
            start, _ = bench.through(wire, 1)
            cost, scores = bench.through(wire, rows)
            first = scores if first is None else first
            equal = (
                first.tobytes() == scores.tobytes() if bench.kind == "forest" else np.allclose(first, scores, 1e-13, 0)
            )
            if not equal:
                raise RuntimeError(f"scores by {wire} differ from those by {FORMATS[0]}")
            cost.container -= start.container
            cost.sagemaker -= start.sagemaker
            cost.job_seconds -= start.job_seconds
            costs[wire].append(cost)
    show(bench.kind, rows, statistics.median(floors), costs)


def show(kind: str, rows: int, floor: float, costs: dict[str, list[Cost]]) -> None:
    table = Table("format", "MB in", "MB out", "job, s", *STEPS, "x parquet", "ours, each round")
    table.title = f"{kind}, {rows:,} rows: CPU seconds; predict alone {floor:.2f}"
    least = statistics.median(cost.ours for cost in costs["parquet"])
    for wire, found in costs.items():
        middle = {step: statistics.median(getattr(cost, step) for cost in found) for step in ("job_seconds", *STEPS)}
        sizes = [f"{size / 1e6:.1f}" for size in (found[0].bytes_in, found[0].bytes_out)]
        spent = [f"{seconds:.2f}" for seconds in middle.values()]
        each = ", ".join(f"{cost.ours:.2f}" for cost in found)
        table.add_row(wire, *sizes, *spent, f"{middle['ours'] / least:.2f}", each)
    Console(width=140, highlight=False).print(table)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--features", type=int, default=20)
    asked = parser.parse_args()
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = "1"
    with tempfile.TemporaryDirectory(prefix="wire-formats-") as folder:
        cloud = control.up(Path(folder) / "cloud")
        os.environ |= control.environ(cloud)
        try:
            client("s3").create_bucket(Bucket=BUCKET)
            for kind in KINDS:
                measure(Bench(cloud, Path(folder), kind, asked.rows, asked.features), asked.rows, asked.rounds)
        finally:
            control.down(Path(folder) / "cloud")
    return 0


if __name__ == "__main__":
    sys.exit(main())
