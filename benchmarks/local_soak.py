"""Transform jobs and endpoints for minutes on the local cloud, and what they leave behind.

    python -m benchmarks.local_soak [--minutes 10] [--jobs 200] [--endpoints 50]

Jobs succeed, fail and are stopped; endpoints are real-time, serverless and asynchronous, are updated, asked, lose a
process to SIGKILL now and then, and are deleted. The server is measured after a warm-up, every minute and when
everything is deleted. In the end it is killed itself, in the midst of work, and started again. Exits with 1 when
something leaks.

Its memory may grow by what SageMaker and CloudWatch never forget: records of jobs, log lines and metric values. How
much that is shows in the growth for each operation (a job, an endpoint, an update), which is held to a limit.
"""

import argparse
import io
import json
import os
import signal
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import psutil
from botocore.config import Config
from rich.console import Console

from turnout.local import control

IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.9-0"
ROLE = "arn:aws:iam::000000000000:role/any"
#: No framework is imported, so that the machine's time goes into starting and ending, where leaks are.
SCRIPT = """
import json

def model_fn(model_dir):
    return 2

def transform_fn(model, body, content_type, accept):
    if b"bad" in (body if isinstance(body, bytes) else body.encode()):
        raise ValueError("a bad record")
    return json.dumps([model * float(line) for line in body.split()]), "application/json"
"""
BUCKET = "soak"
WARM_UP = 4  # jobs, and as many endpoints
ASKED = 5  # times before an update, and as often after it
KINDS = ("instance", "serverless", "asynchronous")
#: What may be more at the end than after the warm-up. Threads: workers that a pool keeps for the next request.
MORE_AT_THE_END = {"processes": 0, "ports": 0, "handles": 2, "threads": 4, "scratch files": 0}
#: Kilobytes of memory that one operation may cost for good: a job's record, its log and what it measured.
KILOBYTES_FOR_EACH = 100


@dataclass(frozen=True)
class Sample:
    """What the cloud holds at a moment. Handles leave out both ends of connections to its own port, which are kept."""

    minutes: float
    operations: int
    processes: int
    ports: int
    handles: int
    threads: int
    scratch_files: int
    memory_mb: float

    def counts(self) -> dict[str, int]:
        names = ("processes", "ports", "handles", "threads")
        return {**{name: getattr(self, name) for name in names}, "scratch files": self.scratch_files}


class Soak:
    """Jobs and endpoints on a cloud of their own."""

    def __init__(self, cloud: control.LocalCloud) -> None:
        self.cloud, self.began = cloud, time.monotonic()
        self.samples: list[Sample] = []
        self.killed = 0
        self.done = 0
        self.s3, self.sagemaker, self.runtime = (
            self._client(name) for name in ("s3", "sagemaker", "sagemaker-runtime")
        )

    def _client(self, service: str) -> Any:
        return boto3.session.Session().client(
            service,
            endpoint_url=self.cloud.endpoint,
            region_name=control.REGION,
            aws_access_key_id=control.ACCOUNT,
            aws_secret_access_key="local",
            config=Config(max_pool_connections=20),
        )

    def prepare(self) -> None:
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w:gz") as tar:
            member = tarfile.TarInfo("code/inference.py")
            member.size = len(SCRIPT)
            tar.addfile(member, io.BytesIO(SCRIPT.encode()))
        self.s3.create_bucket(Bucket=BUCKET)
        self.s3.put_object(Bucket=BUCKET, Key="model.tar.gz", Body=out.getvalue())
        self.s3.put_object(Bucket=BUCKET, Key="good/a.csv", Body=b"1\n2\n3\n")
        self.s3.put_object(Bucket=BUCKET, Key="bad/a.csv", Body=b"1\nbad\n3\n")

    def model(self, name: str) -> None:
        container = {"Image": IMAGE, "ModelDataUrl": f"s3://{BUCKET}/model.tar.gz"}
        container["Environment"] = {
            "SAGEMAKER_PROGRAM": "inference.py",
            "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code",
        }
        self.sagemaker.create_model(ModelName=name, ExecutionRoleArn=ROLE, PrimaryContainer=container)

    # Jobs

    def job(self, number: int) -> None:
        """One job from its model to its deletion: every fifth fails, every seventh is stopped."""
        name, folder = f"job-{number}", "bad" if number % 5 == 4 else "good"
        expected = "Failed" if folder == "bad" else "Completed"
        self.model(name)
        self._create_job(name, folder)
        if number % 7 == 6:
            self.sagemaker.stop_transform_job(TransformJobName=name)
            expected = "Stopped"
        status = wait_for(lambda: self._job_status(name), ("Completed", "Failed", "Stopped"))
        assert status == expected, (name, status, expected)
        if expected == "Completed":
            body = self.s3.get_object(Bucket=BUCKET, Key=f"out/{name}/a.csv.out")["Body"].read()
            assert json.loads(body) == [2, 4, 6], body
            self.s3.delete_object(Bucket=BUCKET, Key=f"out/{name}/a.csv.out")
        self.sagemaker.delete_model(ModelName=name)
        self.done += 1

    def _create_job(self, name: str, folder: str) -> None:
        source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{BUCKET}/{folder}/"}}
        self.sagemaker.create_transform_job(
            TransformJobName=name,
            ModelName=name,
            ModelClientConfig={"InvocationsMaxRetries": 0},
            TransformInput={"DataSource": source, "ContentType": "text/csv", "SplitType": "Line"},
            TransformOutput={"S3OutputPath": f"s3://{BUCKET}/out/{name}/"},
            TransformResources={"InstanceType": "ml.m5.large", "InstanceCount": 1},
        )

    def _job_status(self, name: str) -> str:
        return self.sagemaker.describe_transform_job(TransformJobName=name)["TransformJobStatus"]

    # Endpoints

    def endpoint(self, number: int) -> None:
        """One endpoint from its model to its deletion, with an update in between; every fifth loses its process."""
        name, kind = f"endpoint-{number}", KINDS[number % len(KINDS)]
        self.model(name)
        for config in (f"{name}-a", f"{name}-b"):
            self._create_config(config, name, kind)
        self.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=f"{name}-a")
        self._settled(name)
        self._ask(name, kind)
        if number % 5 == 4:
            self._kill_process_of(name)
        self.sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=f"{name}-b")
        self._settled(name)
        self._ask(name, kind)
        self.sagemaker.delete_endpoint(EndpointName=name)
        wait_for(lambda: self._listed(name), (False,))
        for config in (f"{name}-a", f"{name}-b"):
            self.sagemaker.delete_endpoint_config(EndpointConfigName=config)
        self.sagemaker.delete_model(ModelName=name)
        self.done += 2

    def _create_config(self, config: str, model: str, kind: str) -> None:
        variant = {"VariantName": "AllTraffic", "ModelName": model}
        if kind == "serverless":
            variant["ServerlessConfig"] = {"MemorySizeInMB": 1024, "MaxConcurrency": 2}
        else:
            variant |= {"InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
        asynchronous = {"AsyncInferenceConfig": {"OutputConfig": {"S3OutputPath": f"s3://{BUCKET}/later/"}}}
        self.sagemaker.create_endpoint_config(
            EndpointConfigName=config, ProductionVariants=[variant], **(asynchronous if kind == "asynchronous" else {})
        )

    def _settled(self, name: str) -> None:
        status = wait_for(lambda: self._endpoint_status(name), ("InService", "Failed"))
        assert status == "InService", (name, status)

    def _endpoint_status(self, name: str) -> str:
        return self.sagemaker.describe_endpoint(EndpointName=name)["EndpointStatus"]

    def _listed(self, name: str) -> bool:
        found = self.sagemaker.list_endpoints(NameContains=name)["Endpoints"]
        return name in [endpoint["EndpointName"] for endpoint in found]

    def _ask(self, name: str, kind: str) -> None:
        for _ in range(ASKED):
            if kind == "asynchronous":
                answer = self.runtime.invoke_endpoint_async(
                    EndpointName=name, InputLocation=f"s3://{BUCKET}/good/a.csv", ContentType="text/csv"
                )
                key = answer["OutputLocation"].removeprefix(f"s3://{BUCKET}/")
                wait_for(lambda key=key: bool(self.s3.list_objects_v2(Bucket=BUCKET, Prefix=key)["KeyCount"]), (True,))
                self.s3.delete_object(Bucket=BUCKET, Key=key)
                continue
            answer = self.runtime.invoke_endpoint(EndpointName=name, Body=b"1\n2\n", ContentType="text/csv")
            assert json.load(answer["Body"]) == [2, 4]

    def _kill_process_of(self, name: str) -> None:
        """Kill what serves an endpoint, as the machine does when its memory ends."""
        for process in psutil.process_iter(["cmdline"]):
            command = " ".join(process.info["cmdline"] or [])
            if f"/endpoint-{name}-" in command and "guard.py" not in command:
                process.kill()
                self.killed += 1

    # Measuring

    def sample(self) -> Sample:
        server = psutil.Process(self.cloud.pid)
        pids = control.processes(self.cloud.state_dir)
        kept = [c for c in server.net_connections("tcp") if c.raddr and self.cloud.port in (c.laddr.port, c.raddr.port)]
        taken = Sample(
            minutes=(time.monotonic() - self.began) / 60,
            operations=self.done,
            processes=len(pids),
            ports=sum(listening(pid) for pid in pids),
            handles=server.num_fds() - len(kept),
            threads=server.num_threads(),
            scratch_files=sum(1 for _ in (self.cloud.state_dir / "tmp").rglob("*")),
            memory_mb=server.memory_info().rss / 2**20,
        )
        self.samples.append(taken)
        return taken


def listening(pid: int) -> int:
    try:
        return sum(c.status == psutil.CONN_LISTEN for c in psutil.Process(pid).net_connections("tcp"))
    except psutil.NoSuchProcess:
        return 0


def wait_for(look: Callable[[], Any], wanted: tuple, seconds: float = 120) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if (found := look()) in wanted:
            return found
        time.sleep(0.1)
    raise TimeoutError(f"not one of {wanted} after {seconds:g} s: {found}")


def paced(work: Callable[[int], None], numbers: range, seconds: float) -> None:
    """Do each number at its time, evenly over the seconds; what is late catches up."""
    began = time.monotonic()
    for place, number in enumerate(numbers):
        time.sleep(max(0.0, began + seconds * place / len(numbers) - time.monotonic()))
        work(number)


def run(soak: Soak, minutes: float, jobs: int, endpoints: int, console: Console) -> None:
    soak.prepare()
    for number in range(WARM_UP):
        soak.job(number)
        soak.endpoint(number)
    rest(soak)
    soak.began = time.monotonic()
    show(console, soak.sample(), header=True)
    threads = [(soak.job, range(n, WARM_UP + jobs, 2)) for n in (WARM_UP, WARM_UP + 1)]
    threads.append((soak.endpoint, range(WARM_UP, WARM_UP + endpoints)))
    with ThreadPoolExecutor(len(threads)) as pool:
        working = [pool.submit(paced, work, numbers, minutes * 60) for work, numbers in threads]
        minute = 1
        while not all(future.done() for future in working):
            time.sleep(0.5)
            if time.monotonic() - soak.began >= minute * 60:
                show(console, soak.sample())
                minute += 1
        for future in working:
            future.result()
    rest(soak)
    show(console, soak.sample())


def rest(soak: Soak) -> None:
    """Wait until only the server runs, and a little for what it closes at leisure."""
    wait_for(lambda: len(control.processes(soak.cloud.state_dir)), (1,))
    time.sleep(3)


COLUMNS = ("minute", "operations", "processes", "ports", "handles", "threads", "scratch files", "memory MB")


def show(console: Console, sample: Sample, header: bool = False) -> None:
    if header:
        console.print("".join(f"{name:>14}" for name in COLUMNS))
    values = [f"{sample.minutes:.1f}", sample.operations, *sample.counts().values(), f"{sample.memory_mb:.0f}"]
    console.print("".join(f"{value:>14}" for value in values))


def leaks(samples: list[Sample]) -> list[str]:
    """Return what is more at the end than after the warm-up, beyond what is allowed."""
    first, last = samples[0], samples[-1]
    found = [
        f"{name}: {first.counts()[name]} -> {last.counts()[name]}, allowed +{more}"
        for name, more in MORE_AT_THE_END.items()
        if last.counts()[name] > first.counts()[name] + more
    ]
    if (kilobytes := growth(samples)) > KILOBYTES_FOR_EACH:
        found.append(f"memory: {kilobytes:.0f} KB for each operation, allowed {KILOBYTES_FOR_EACH}")
    return found


def growth(samples: list[Sample]) -> float:
    """Return the kilobytes of memory for each operation: the slope of the straight line through all samples."""
    xs, ys = [sample.operations for sample in samples], [sample.memory_mb * 1024 for sample in samples]
    x, y = sum(xs) / len(xs), sum(ys) / len(ys)
    return sum((a - x) * (b - y) for a, b in zip(xs, ys, strict=True)) / sum((a - x) ** 2 for a in xs)


def killed_at_work(soak: Soak) -> list[str]:
    """Kill the server while endpoints and a job run, start it again, and return what the old one left behind."""
    soak.model("last")
    soak._create_config("last", "last", "instance")
    soak.sagemaker.create_endpoint(EndpointName="last", EndpointConfigName="last")
    soak._settled("last")
    soak._create_job("last", "good")
    before = set(control.processes(soak.cloud.state_dir))
    ports = {port for pid in before for port in listening_ports(pid)}
    os.kill(soak.cloud.pid, signal.SIGKILL)
    again = control.up(soak.cloud.state_dir)
    now = set(control.processes(soak.cloud.state_dir))
    left = [f"process {pid}" for pid in before - {again.pid} if runs(pid)]
    left += [f"process {pid} beside the server" for pid in now if pid != again.pid]
    taken = {port for pid in psutil.pids() for port in listening_ports(pid)}
    left += [f"port {port}" for port in ports & taken - {again.port}]
    jobs = again.state_dir / "tmp/jobs"
    left += [f"scratch {path}" for path in (jobs.iterdir() if jobs.exists() else ())]
    return left


def runs(pid: int) -> bool:
    """Tell whether a process has not ended; one that nobody has collected has."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def listening_ports(pid: int) -> set[int]:
    try:
        found = psutil.Process(pid).net_connections("tcp")
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return set()
    return {c.laddr.port for c in found if c.status == psutil.CONN_LISTEN}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--endpoints", type=int, default=50)
    asked = parser.parse_args()
    console = Console(width=120, highlight=False)
    with tempfile.TemporaryDirectory(prefix="local-soak-") as folder:
        cloud = control.up(Path(folder))
        try:
            soak = Soak(cloud)
            run(soak, asked.minutes, asked.jobs, asked.endpoints, console)
            wrong = leaks(soak.samples)
            console.print(
                f"{asked.jobs} jobs, {asked.endpoints} endpoints with an update each, {soak.killed} processes killed; "
                f"memory grew by {growth(soak.samples):.1f} KB for each operation"
            )
            left = killed_at_work(soak)
            console.print(f"killed at work and started again: {', '.join(left) or 'nothing left behind'}")
        finally:
            control.down(Path(folder))
    for line in (*wrong, *left):
        console.print(f"LEAK {line}")
    return int(bool(wrong or left))


if __name__ == "__main__":
    sys.exit(main())
