"""Data plane: runs transform jobs, each in a thread of its own, each instance as one model server process.

Objects are dealt out to the instances in key order. An object that fails gets no `.out`; the others are still
transformed and their results stay, as on AWS; the job is then Failed.
"""

import logging
import secrets
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from turnout.local.sagemaker.artifact import BadArtifact, fetch_model, remove
from turnout.local.sagemaker.container import Container, ContainerFailed, LogShipper
from turnout.local.sagemaker.containers import open_container
from turnout.local.sagemaker.data_log import DataLog
from turnout.local.sagemaker.hosting import usage
from turnout.local.sagemaker.ports import Cloud, Scope
from turnout.local.sagemaker.store import Store
from turnout.local.sagemaker.transform.capture import manifests
from turnout.local.sagemaker.transform.errors import JobFailed, ObjectFailed, Stopped
from turnout.local.sagemaker.transform.inputs import InputObject, Inputs, deal, location, read_inputs
from turnout.local.sagemaker.transform.meter import NAMESPACE, Meter
from turnout.local.sagemaker.transform.objects import Objects, encryption
from turnout.local.sagemaker.transform.sending import Requests
from turnout.local.sagemaker.transform.settings import STRATEGIES, TransformSettings, with_defaults

LOG_GROUP = "/aws/sagemaker/TransformJobs"
EVENT_TYPE = "SageMaker Transform Job State Change"
SEE_LOGS = "See job logs for more information"
#: https://github.com/aws/amazon-sagemaker-examples/issues/852
NO_PING = (
    "Model container failed to respond to ping. Please ensure /ping endpoint is implemented and responds with an HTTP "
    "200 status code"
)
MAX_FAILURE_REASON = 1024
TIMES = ("CreationTime", "TransformStartTime", "TransformEndTime")
#: Job setting -> variable that the container gets when the job's creator set it.
SETTING_VARIABLES = {
    "MaxPayloadInMB": "SAGEMAKER_MAX_PAYLOAD_IN_MB",
    "MaxConcurrentTransforms": "SAGEMAKER_MAX_CONCURRENT_TRANSFORMS",
    "BatchStrategy": "SAGEMAKER_BATCH_STRATEGY",
}

logger = logging.getLogger("turnout.sagemaker")


@dataclass
class Running:
    """A job in flight: how to stop it and how to wait for its end."""

    scope: Scope
    job: dict
    stop: threading.Event = field(default_factory=threading.Event)
    done: threading.Event = field(default_factory=threading.Event)
    containers: list[Container] = field(default_factory=list)

    def check(self) -> None:
        """Raise Stopped once the job is to end."""
        if self.stop.is_set():
            raise Stopped

    def wait(self, seconds: float) -> None:
        """Wait before a retry. Raises Stopped when the job is to end meanwhile."""
        if self.stop.wait(seconds):
            raise Stopped


class Jobs:
    """Starts jobs, stops them, waits for them."""

    def __init__(self, cloud: Cloud, store: Store) -> None:
        self.cloud, self.store = cloud, store
        self._running: dict[str, Running] = {}

    def start(self, scope: Scope, job: dict) -> None:
        running = self._running[job["TransformJobArn"]] = Running(scope, job)
        name = f"transform-{job['TransformJobName']}"
        threading.Thread(target=self._run, args=(running,), daemon=True, name=name).start()

    def stop(self, arn: str) -> None:
        """End one job: requests in flight are cut off, objects already written stay. Once is enough."""
        with self.store.lock:
            running = self._running.get(arn)
            if running is None or running.stop.is_set():
                return
            running.job["TransformJobStatus"] = "Stopping"
            running.stop.set()
        self._announce(running)
        for container in list(running.containers):
            threading.Thread(target=container.stop, daemon=True, name="stop-container").start()

    def wait(self, arn: str, timeout: float) -> bool:
        """Return whether the job has ended, waiting for it up to `timeout` seconds."""
        running = self._running.get(arn)
        return running is None or running.done.wait(timeout)

    def stop_all(self) -> None:
        """End every job and its processes: the local cloud goes down, or forgets its state."""
        running = list(self._running.values())
        for one in running:
            one.stop.set()
            for container in list(one.containers):
                container.stop()
        for one in running:
            one.done.wait(20)

    def _run(self, running: Running) -> None:
        with self.cloud.enter(running.scope):
            self._announce(running)
            try:
                self._finish(running, *self._outcome(running))
            finally:
                self._running.pop(running.job["TransformJobArn"], None)
                running.done.set()

    def _outcome(self, running: Running) -> tuple[str, str | None]:
        scope, job = running.scope, running.job
        folder = self.cloud.work_dir / f"{scope.account}-{scope.region}-{job['TransformJobName']}"
        try:
            Transform(self.cloud, scope, job, self.store.get("models", scope, job["ModelName"]), folder, running).run()
        except Stopped:
            return "Stopped", None
        except JobFailed as error:
            return "Failed", str(error)
        except Exception as error:
            logger.exception("transform job %s", job["TransformJobName"])
            return "Failed", f"InternalServerError: {type(error).__name__}: {error}"
        finally:
            remove(folder)
        return "Completed", None

    def _finish(self, running: Running, status: str, reason: str | None) -> None:
        job = running.job
        with self.store.lock:  # StopTransformJob comes before this or finds the job ended
            job["TransformEndTime"] = time.time()
            if reason is not None:
                job["FailureReason"] = reason[:MAX_FAILURE_REASON]
            job["TransformJobStatus"] = "Stopped" if running.stop.is_set() else status
            self._running.pop(job["TransformJobArn"], None)
        logger.info("transform job %s %s %s", job["TransformJobName"], job["TransformJobStatus"], reason or "")
        self._announce(running)

    def _announce(self, running: Running) -> None:
        """Publish the job's state as EventBridge has it: times in milliseconds, tags by name."""
        job, scope = running.job, running.scope
        detail = with_defaults(job)
        detail |= {name: round(detail[name] * 1000) for name in TIMES if name in detail}
        detail["Tags"] = dict(self.store.get("tags", scope, job["TransformJobArn"]) or {})
        self.cloud.publish_event(scope, EVENT_TYPE, detail, [job["TransformJobArn"]])


@dataclass
class Transform:
    """One job's work. `folder` is scratch space that the caller removes."""

    cloud: Cloud
    scope: Scope
    job: dict
    model: dict | None
    folder: Path
    running: Running

    def run(self) -> None:
        """Do it. Raises JobFailed or Stopped."""
        self.running.check()
        s3 = self.cloud.client("s3", self.scope)
        source = self.job["TransformInput"]["DataSource"]["S3DataSource"]
        inputs = read_inputs(s3, source, (self.model or {}).get("ExecutionRoleArn", ""), self.scope.region)
        location(self.job["TransformOutput"]["S3OutputPath"])
        model_dir = self._model_dir(s3)
        self.job["TransformStartTime"] = time.time()
        shares = deal(inputs.objects, self.job["TransformResources"]["InstanceCount"])
        with ThreadPoolExecutor(len(shares), thread_name_prefix="instance") as instances:
            work = [
                instances.submit(self._in_scope, self._instance, index, share, model_dir)
                for index, share in enumerate(shares)
            ]
            results = [future.exception() or future.result() for future in work]
        self._raise_for(results)
        self._capture(s3, inputs)

    def _in_scope(self, work: Callable, *args) -> list[ObjectFailed]:
        with self.cloud.enter(self.scope):
            return work(*args)

    def _raise_for(self, results: list) -> None:
        for wanted in (Stopped, JobFailed, Exception):
            for result in results:
                if isinstance(result, wanted):
                    raise result
        self.running.check()
        failed = [failure for failures in results for failure in failures]
        if failed:
            raise JobFailed(f"{failed[0].kind}: {SEE_LOGS}")

    def _model_dir(self, s3) -> Path:
        if self.model is None:
            raise JobFailed(f"ClientError: Could not find model {self.job['ModelName']}; it was deleted meanwhile.")
        folder = self.folder / "model"
        folder.mkdir(parents=True, exist_ok=True)
        try:
            fetch_model(s3, self.model, folder)
        except BadArtifact as error:
            raise JobFailed(f"ClientError: {error}") from error
        return folder

    def _instance(self, index: int, objects: list[InputObject], model_dir: Path) -> list[ObjectFailed]:
        """Transform this instance's objects; return what failed. Raises JobFailed when its server does not start."""
        identity = "i-" + secrets.token_hex(9)[:17]
        log_file = self.cloud.log_dir / "transform" / f"{self.job['TransformJobName']}-{index}.log"
        with ExitStack() as stack:
            data_log = self._logs(stack, log_file, identity)
            container = open_container(self.model, model_dir, self._environment(), log_file)
            self.running.containers.append(container)
            self.running.check()
            try:
                stack.enter_context(container)
            except ContainerFailed as error:
                self.running.check()
                data_log.write(*str(error).splitlines())
                raise JobFailed(f"AlgorithmError: {NO_PING}") from error
            stack.enter_context(self._meter(container, identity))
            return self._objects(container, data_log, self.folder / str(index), objects)

    def _logs(self, stack: ExitStack, log_file: Path, identity: str) -> DataLog:
        """Ship the container's log and the data log, under the names that SageMaker gives them."""
        stream = f"{self.job['TransformJobName']}/{identity}-{int(time.time())}"
        log_file.parent.mkdir(parents=True, exist_ok=True)
        log_file.unlink(missing_ok=True)
        data_file = log_file.with_name(f"{log_file.stem}-data.log")
        for file, name in ((log_file, stream), (data_file, f"{stream}/data-log")):
            stack.enter_context(LogShipper(self.cloud.client("logs", self.scope), file, LOG_GROUP, name))
        return stack.enter_context(closing(DataLog(data_file)))

    def _meter(self, container: Container, identity: str) -> Meter:
        host = {"Host": f"{self.job['TransformJobName']}/{identity}"}

        def record(name: str, percent: float) -> None:
            self.cloud.record_metric(self.scope, NAMESPACE, name, percent, "Percent", host)

        return Meter(lambda: usage.of_family(container.pid, usage.processes()), record, usage.memory_bytes())

    def _objects(
        self, container: Container, log: DataLog, folder: Path, objects: list[InputObject]
    ) -> list[ObjectFailed]:
        try:
            settings = TransformSettings.from_request(self.job, container.execution_parameters())
        except ObjectFailed as error:
            raise JobFailed(f"{error.kind}: {error}") from error
        log.write(settings.describe())

        def check() -> None:
            self.running.check()
            if not container.alive():
                log.write(*f"The model server has exited{container.last_log()}".splitlines())
                raise JobFailed(f"AlgorithmError: {SEE_LOGS}")

        s3, output = self.cloud.client("s3", self.scope), self.job["TransformOutput"]
        with Requests(container.send, settings, self.running.wait) as requests:
            return Objects(s3, output, settings, requests, folder, log, check).transform(objects)

    def _capture(self, s3: Any, inputs: Inputs) -> None:
        """Write what DataCaptureConfig asks for."""
        from botocore.exceptions import ClientError

        config, path = self.job.get("DataCaptureConfig"), self.job["TransformOutput"]["S3OutputPath"]
        if not config:
            return
        bucket, prefix = location(config["DestinationS3Uri"].rstrip("/") + "/")
        for name, body in manifests(inputs, path, self.job["TransformStartTime"]):
            try:
                s3.put_object(Bucket=bucket, Key=prefix + name, Body=body, **encryption(config.get("KmsKeyId")))
            except ClientError as error:
                raise JobFailed(f"ClientError: Failed to upload to s3://{bucket}/{prefix}: {error}") from error

    def _environment(self) -> dict[str, str]:
        """Return what SageMaker sets in a transform container, over the model's and the job's own variables."""
        asked = {name: self.job[setting] for setting, name in SETTING_VARIABLES.items() if setting in self.job}
        if not self.job.get("MaxConcurrentTransforms"):
            asked.pop(SETTING_VARIABLES["MaxConcurrentTransforms"], None)  # 0 means unset
        return {
            **self.job.get("Environment", {}),
            "SAGEMAKER_BATCH": "true",
            "SAGEMAKER_REGION": self.scope.region,
            "AWS_REGION": self.scope.region,
            "AWS_DEFAULT_REGION": self.scope.region,
            "AWS_ENDPOINT_URL": self.cloud.endpoint_url(),
            "AWS_ACCESS_KEY_ID": self.scope.account,
            "AWS_SECRET_ACCESS_KEY": "local",
            **{name: STRATEGIES.get(value, str(value)) for name, value in asked.items()},
        }
