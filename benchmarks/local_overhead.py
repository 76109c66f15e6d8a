"""What the local cloud costs on top of the model: rows through a transform job, requests through InvokeEndpoint.

    python -m benchmarks.local_overhead [--rows 200000] [--requests 1000] [--repetitions 5]

The floor of a job is `predict_proba` in process on arrays that are there already, in the same batches; between the two
stand the script's own hooks in process (reading CSV, predicting, writing) and the container alone, which gets the same
payloads over HTTP. A job's time to start is taken away by subtracting a job of one row. The floor of InvokeEndpoint is
the container alone. Everything takes turns, so that the machine's moods reach all of them; medians are printed.
"""

import argparse
import http.client
import io
import os
import statistics
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import boto3
import joblib
import numpy as np
from rich.console import Console
from rich.table import Table
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from turnout.local import control
from turnout.local.sagemaker.container import Container
from turnout.local.sagemaker.containers import open_container

IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.9-0"
ROLE = "arn:aws:iam::000000000000:role/any"
SCRIPT = """
import io
import os

import joblib
import numpy as np
import pandas as pd

def model_fn(model_dir):
    return joblib.load(os.path.join(model_dir, "model.joblib"))

def input_fn(body, content_type):
    return pd.read_csv(io.StringIO(body), header=None, dtype=np.float64).to_numpy()

def predict_fn(rows, model):
    return model.predict_proba(rows)[:, 1]

def output_fn(prediction, accept):
    return "\\n".join(map(repr, prediction.tolist())), "text/csv"
"""
FEATURES = 20
PAYLOAD_MB = 6
BUCKET = "overhead"
ENVIRONMENT = {"SAGEMAKER_PROGRAM": "inference.py", "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code"}
KINDS = {
    "logistic regression": lambda: LogisticRegression(),
    "forest of 100 trees": lambda: RandomForestClassifier(100, max_depth=8, random_state=7, n_jobs=1),
}


class Bench:
    """One kind of model on a local cloud, and all the ways to ask it."""

    def __init__(self, cloud: control.LocalCloud, folder: Path, kind: str, rows: int) -> None:
        self.cloud, self.folder, self.name = cloud, folder, kind.replace(" ", "-")
        random = np.random.default_rng(7)
        self.rows = random.normal(size=(rows, FEATURES))
        self.model = KINDS[kind]().fit(self.rows[:2000], self.rows[:2000, 0] + self.rows[:2000, 1] > 0)
        self.lines = [",".join(f"{value:.6f}" for value in row) for row in self.rows]
        self.payloads = list(payloads(self.lines))
        self.batches = np.split(self.rows, np.cumsum([payload.count("\n") for payload in self.payloads])[:-1])
        self.script = ModuleType("script")
        exec(SCRIPT, self.script.__dict__)
        self.s3, self.sagemaker, self.runtime = (
            self._client(name) for name in ("s3", "sagemaker", "sagemaker-runtime")
        )
        self._upload()

    def _client(self, service: str) -> Any:
        return boto3.session.Session().client(
            service,
            endpoint_url=self.cloud.endpoint,
            region_name=control.REGION,
            aws_access_key_id=control.ACCOUNT,
            aws_secret_access_key="local",
        )

    def _upload(self) -> None:
        model_dir = self.folder / self.name
        (model_dir / "code").mkdir(parents=True)
        joblib.dump(self.model, model_dir / "model.joblib")
        (model_dir / "code/inference.py").write_text(SCRIPT)
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w:gz") as tar:
            tar.add(model_dir, arcname=".")
        self.s3.create_bucket(Bucket=BUCKET)
        self.s3.put_object(Bucket=BUCKET, Key=f"{self.name}.tar.gz", Body=out.getvalue())
        self.s3.put_object(Bucket=BUCKET, Key="all/rows.csv", Body="\n".join(self.lines).encode())
        self.s3.put_object(Bucket=BUCKET, Key="one/rows.csv", Body=self.lines[0].encode())
        self.sagemaker.create_model(ModelName=self.name, ExecutionRoleArn=ROLE, PrimaryContainer=self._container())

    def _container(self) -> dict[str, Any]:
        return {"Image": IMAGE, "ModelDataUrl": f"s3://{BUCKET}/{self.name}.tar.gz", "Environment": ENVIRONMENT}

    @contextmanager
    def container(self) -> Iterator[Container]:
        """The model's container as the local cloud starts it, without the local cloud."""
        record = {"PrimaryContainer": self._container()}
        with open_container(record, self.folder / self.name, {}, self.folder / f"{self.name}.log") as running:
            yield running

    # Rows

    def predict(self) -> None:
        for batch in self.batches:
            self.model.predict_proba(batch)

    def hooks(self) -> None:
        script = self.script
        for payload in self.payloads:
            script.output_fn(script.predict_fn(script.input_fn(payload, "text/csv"), self.model), "text/csv")

    def container_rows(self, connection: http.client.HTTPConnection) -> None:
        for payload in self.payloads:
            post(connection, "/invocations", payload.encode())

    def job(self, source: str) -> None:
        name = f"{self.name}-{time.monotonic_ns()}"
        data = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{BUCKET}/{source}/"}}
        self.sagemaker.create_transform_job(
            TransformJobName=name,
            ModelName=self.name,
            BatchStrategy="MultiRecord",
            MaxPayloadInMB=PAYLOAD_MB,
            TransformInput={"DataSource": data, "ContentType": "text/csv", "SplitType": "Line"},
            TransformOutput={"S3OutputPath": f"s3://{BUCKET}/out/", "Accept": "text/csv", "AssembleWith": "Line"},
            TransformResources={"InstanceType": "ml.m5.large", "InstanceCount": 1},
        )
        while (status := self._job(name)) == "InProgress":
            time.sleep(0.02)
        assert status == "Completed", status

    def _job(self, name: str) -> str:
        return self.sagemaker.describe_transform_job(TransformJobName=name)["TransformJobStatus"]

    # Requests

    def serve(self) -> None:
        variant = {"VariantName": "AllTraffic", "ModelName": self.name, "InstanceType": "ml.m5.large"}
        self.sagemaker.create_endpoint_config(
            EndpointConfigName=self.name, ProductionVariants=[{**variant, "InitialInstanceCount": 1}]
        )
        self.sagemaker.create_endpoint(EndpointName=self.name, EndpointConfigName=self.name)
        while (status := self.sagemaker.describe_endpoint(EndpointName=self.name)["EndpointStatus"]) == "Creating":
            time.sleep(0.1)
        assert status == "InService", status

    def container_requests(self, connection: http.client.HTTPConnection, requests: int) -> None:
        for line in self.lines[:requests]:
            post(connection, "/invocations", line.encode())

    def endpoint_requests(self, connection: http.client.HTTPConnection, requests: int) -> None:
        for line in self.lines[:requests]:
            post(connection, f"/endpoints/{self.name}/invocations", line.encode())

    def boto3_requests(self, requests: int) -> None:
        for line in self.lines[:requests]:
            self.runtime.invoke_endpoint(EndpointName=self.name, Body=line, ContentType="text/csv", Accept="text/csv")[
                "Body"
            ].read()


def payloads(lines: list[str]) -> Iterator[str]:
    """Put as many lines into each payload as fit, as MultiRecord does."""
    held, size = [], 0
    for line in lines:
        if held and size + len(line) + 1 > PAYLOAD_MB * 2**20:
            yield "\n".join(held) + "\n"
            held, size = [], 0
        held.append(line)
        size += len(line) + 1
    yield "\n".join(held) + "\n"


def post(connection: http.client.HTTPConnection, path: str, body: bytes) -> bytes:
    authorization = f"AWS4-HMAC-SHA256 Credential={control.ACCOUNT}/20261123/{control.REGION}/sagemaker/aws4_request"
    headers = {"Content-Type": "text/csv", "Accept": "text/csv", "Authorization": authorization}
    connection.request("POST", path, body, headers)
    answer = connection.getresponse()
    read = answer.read()
    assert answer.status == 200, (answer.status, read[:200])
    return read


def timed(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def in_turns(ways: dict[str, Callable[[], None]], repetitions: int) -> dict[str, float]:
    """Return the median seconds of each way; each is done once before, to warm up."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repetitions + 1):
        for name, way in ways.items():
            seconds[name].append(timed(way))
    return {name: statistics.median(taken[1:]) for name, taken in seconds.items()}


def measure(bench: Bench, requests: int, repetitions: int, tables: tuple[Table, Table]) -> None:
    bench.serve()
    with bench.container() as container:
        alone = http.client.HTTPConnection("127.0.0.1", container._port)
        front = http.client.HTTPConnection("127.0.0.1", bench.cloud.port)
        rows = in_turns(
            {
                "predict": bench.predict,
                "hooks": bench.hooks,
                "container": partial(bench.container_rows, alone),
                "all": partial(bench.job, "all"),
                "one": partial(bench.job, "one"),
            },
            repetitions,
        )
        asked = in_turns(
            {
                "container": partial(bench.container_requests, alone, requests),
                "endpoint": partial(bench.endpoint_requests, front, requests),
                "boto3": partial(bench.boto3_requests, requests),
            },
            repetitions,
        )
    job = rows["all"] - rows["one"]
    rates = [
        f"{len(bench.rows) / seconds:,.0f}" for seconds in (rows["predict"], rows["hooks"], rows["container"], job)
    ]
    ratios = [f"{job / rows[floor]:.2f}" for floor in ("predict", "hooks", "container")]
    tables[0].add_row(bench.name, *rates, *ratios, f"{rows['one']:.2f}")
    rates = [f"{requests / asked[way]:,.0f}" for way in ("container", "endpoint", "boto3")]
    ratios = [f"{asked[way] / asked['container']:.2f}" for way in ("endpoint", "boto3")]
    tables[1].add_row(bench.name, *rates, *ratios)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--repetitions", type=int, default=5)
    asked = parser.parse_args()
    rows = Table(
        "model", "predict_proba", "hooks", "container", "job", "job x predict", "x hooks", "x container", "one row, s"
    )
    rows.title = f"rows a second, {asked.rows:,} rows of {FEATURES} features as CSV"
    requests = Table(
        "model", "container", "InvokeEndpoint", "by boto3", "InvokeEndpoint x container", "boto3 x container"
    )
    requests.title = "requests a second, one row each, one client"
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = "1"
    with tempfile.TemporaryDirectory(prefix="local-overhead-") as folder:
        cloud = control.up(Path(folder) / "cloud")
        try:
            for kind in KINDS:
                measure(
                    Bench(cloud, Path(folder), kind, asked.rows), asked.requests, asked.repetitions, (rows, requests)
                )
        finally:
            control.down(Path(folder) / "cloud")
    console = Console(width=140, highlight=False)
    console.print(rows, requests)
    return 0


if __name__ == "__main__":
    sys.exit(main())
