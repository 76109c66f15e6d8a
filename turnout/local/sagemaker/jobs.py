"""Data plane: runs transform jobs, each in a thread of its own, each instance as one model server process.

Objects are dealt out to the instances in key order. An object that fails gets no `.out`; the others are still
transformed and their results stay, as on AWS; the job is then Failed.
"""

import logging
import shutil
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from turnout.local.sagemaker.artifact import BadArtifact, fetch, split_uri
from turnout.local.sagemaker.container import Container, ContainerFailed, LogShipper
from turnout.local.sagemaker.ports import Cloud, Scope
from turnout.local.sagemaker.store import Store
from turnout.local.sagemaker.transform.assembling import transform_object
from turnout.local.sagemaker.transform.errors import ObjectFailed
from turnout.local.sagemaker.transform.settings import TransformSettings
from turnout.local.sagemaker.transform.splitting import output_key

LOG_GROUP = "/aws/sagemaker/TransformJobs"
EVENT_TYPE = "SageMaker Transform Job State Change"
SEE_LOGS = "See job logs for more information"
MAX_FAILURE_REASON = 1024
STRATEGIES = {"SingleRecord": "SINGLE_RECORD", "MultiRecord": "MULTI_RECORD"}

logger = logging.getLogger("turnout.sagemaker")


class JobFailed(Exception):
    """The job cannot go on; the message is its FailureReason."""


class Stopped(Exception):
    """StopTransformJob was called."""


@dataclass
class Running:
    """A job in flight: how to stop it and how to wait for its end."""

    stop: threading.Event = field(default_factory=threading.Event)
    done: threading.Event = field(default_factory=threading.Event)
    containers: list[Container] = field(default_factory=list)


class Jobs:
    """Starts jobs, stops them, waits for them."""

    def __init__(self, cloud: Cloud, store: Store) -> None:
        self.cloud, self.store = cloud, store
        self._running: dict[str, Running] = {}

    def start(self, scope: Scope, job: dict) -> None:
        running = self._running[job["TransformJobArn"]] = Running()
        name = f"transform-{job['TransformJobName']}"
        threading.Thread(target=self._run, args=(scope, job, running), daemon=True, name=name).start()

    def stop(self, arn: str) -> None:
        """End one job: requests in flight are cut off, objects already written stay."""
        if running := self._running.get(arn):
            running.stop.set()
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

    def _run(self, scope: Scope, job: dict, running: Running) -> None:
        with self.cloud.enter(scope):
            self._announce(scope, job)
            try:
                status, reason = self._outcome(scope, job, running)
                self._finish(scope, job, status, reason)
            finally:
                self._running.pop(job["TransformJobArn"], None)
                running.done.set()

    def _outcome(self, scope: Scope, job: dict, running: Running) -> tuple[str, str | None]:
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
            shutil.rmtree(folder, ignore_errors=True)
        return "Completed", None

    def _finish(self, scope: Scope, job: dict, status: str, reason: str | None) -> None:
        job["TransformEndTime"] = time.time()
        if reason is not None:
            job["FailureReason"] = reason[:MAX_FAILURE_REASON]
        job["TransformJobStatus"] = status
        logger.info("transform job %s %s %s", job["TransformJobName"], status, reason or "")
        self._announce(scope, job)

    def _announce(self, scope: Scope, job: dict) -> None:
        detail = {k: v for k, v in job.items() if k != "Tags"}
        for name in ("CreationTime", "TransformStartTime", "TransformEndTime"):
            if name in detail:
                detail[name] = int(detail[name] * 1000)
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
        self._check_stop()
        s3 = self.cloud.client("s3", self.scope)
        bucket, prefix = split_uri(self.job["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"])
        keys = self._input_keys(s3, bucket, prefix)
        model_dir = self._model_dir(s3)
        self.job["TransformStartTime"] = time.time()
        shares = deal(keys, self.job["TransformResources"]["InstanceCount"])
        with ThreadPoolExecutor(len(shares), thread_name_prefix="instance") as instances:
            work = [
                instances.submit(self._in_scope, self._instance, index, share, model_dir, bucket, prefix)
                for index, share in enumerate(shares)
            ]
            results = [future.exception() or future.result() for future in work]
        self._raise_for(results)

    def _in_scope(self, work: Callable, *args) -> list[ObjectFailed]:
        with self.cloud.enter(self.scope):
            return work(*args)

    def _raise_for(self, results: list) -> None:
        for wanted in (Stopped, JobFailed, Exception):
            for result in results:
                if isinstance(result, wanted):
                    raise result
        self._check_stop()
        failed = [failure for failures in results for failure in failures]
        if failed:
            more = f" (and {len(failed) - 1} more objects)" if len(failed) > 1 else ""
            raise JobFailed(f"{failed[0].kind}: {SEE_LOGS}. {failed[0]}{more}")

    def _check_stop(self) -> None:
        if self.running.stop.is_set():
            raise Stopped

    def _input_keys(self, s3, bucket: str, prefix: str) -> list[str]:
        keys = list(self._listed(s3, bucket, prefix))
        if not keys:
            raise JobFailed(
                f'ClientError: No S3 objects found under S3 URL "s3://{bucket}/{prefix}" given in input data source. '
                f"Please ensure that the bucket exists in the selected region ({self.scope.region}), that objects "
                f'exist under that S3 prefix, and that the role "{self._role()}" has "s3:ListBucket" permissions on '
                f'bucket "{bucket}".'
            )
        return keys

    @staticmethod
    def _listed(s3, bucket: str, prefix: str) -> Iterable[str]:
        from botocore.exceptions import ClientError

        try:
            for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
                yield from (o["Key"] for o in page.get("Contents", []) if not o["Key"].endswith("/"))
        except ClientError as error:
            raise JobFailed(f"ClientError: Failed to list s3://{bucket}/{prefix}: {error}") from error

    def _role(self) -> str:
        return (self.model or {}).get("ExecutionRoleArn", "")

    def _model_dir(self, s3) -> Path:
        if self.model is None:
            raise JobFailed(f"ClientError: Could not find model {self.job['ModelName']}; it was deleted meanwhile.")
        folder = self.folder / "model"
        folder.mkdir(parents=True, exist_ok=True)
        url = self.model["PrimaryContainer"].get("ModelDataUrl")
        if url:
            try:
                fetch(s3, url, folder)
            except BadArtifact as error:
                raise JobFailed(f"ClientError: {error}") from error
        return folder

    def _instance(self, index: int, keys: list[str], model_dir: Path, bucket: str, prefix: str) -> list[ObjectFailed]:
        """Transform this instance's objects; return what failed. Raises JobFailed when its server does not start."""
        name = self.job["TransformJobName"]
        log_file = self.cloud.log_dir / "transform" / f"{name}-{index}.log"
        logs = self.cloud.client("logs", self.scope)
        with ExitStack() as stack:
            shipper = LogShipper(logs, log_file, LOG_GROUP, f"{name}/local-{index}")
            shipper.start()
            stack.callback(shipper.close)
            container = Container(model_dir, self._environment(), log_file)
            self.running.containers.append(container)
            try:
                stack.enter_context(container)
            except ContainerFailed as error:
                self._check_stop()
                raise JobFailed(f"AlgorithmError: {SEE_LOGS}. {error}") from error
            return list(self._objects(container, keys, bucket, prefix, log_file))

    def _objects(self, container: Container, keys: list[str], bucket: str, prefix: str, log_file: Path):
        settings = TransformSettings.from_request(self.job, container.execution_parameters())
        s3 = self.cloud.client("s3", self.scope)
        with (
            ThreadPoolExecutor(settings.concurrency, thread_name_prefix="invoke") as senders,
            log_file.open("a") as log,
        ):
            strategy = "SINGLE_RECORD" if settings.single_record else "MULTI_RECORD"
            log.write(
                f"[sagemaker logs]: MaxConcurrentTransforms={settings.concurrency}, "
                f"MaxPayloadInMB={settings.max_payload_bytes >> 20}, BatchStrategy={strategy}\n"
            )
            for key in keys:
                self._check_stop()
                try:
                    self._object(s3, container, senders, settings, bucket, key, prefix)
                except ObjectFailed as error:
                    self._check_stop()
                    log.write(f"[sagemaker logs]: {bucket}/{key}: {error.kind}: {error}\n")
                    yield type(error)(f"{bucket}/{key}: {error}")

    def _object(
        self, s3, container: Container, senders, settings: TransformSettings, bucket: str, key: str, prefix: str
    ):
        offered = {"Content-Type": settings.content_type, "Accept": settings.accept}
        headers = {name: value for name, value in offered.items() if value}

        def send(bodies: Iterable[bytes]) -> Iterable[bytes]:
            return senders.map(lambda body: self._invoke(container, body, headers, settings), bodies)

        data = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        result = transform_object(data, settings, send)
        self._write(s3, key, prefix, result)

    def _write(self, s3, key: str, prefix: str, body: bytes) -> None:
        from botocore.exceptions import ClientError

        bucket, output_prefix = split_uri(self.job["TransformOutput"]["S3OutputPath"])
        try:
            s3.put_object(Bucket=bucket, Key=output_key(key, prefix, output_prefix), Body=body)
        except ClientError as error:
            raise JobFailed(f"ClientError: Failed to upload to s3://{bucket}/{output_prefix}: {error}") from error

    def _invoke(self, container: Container, body: bytes, headers: dict, settings: TransformSettings) -> bytes:
        self._check_stop()
        return container.invoke(body, headers, settings.timeout, settings.retries)

    def _environment(self) -> dict[str, str]:
        """Return what SageMaker sets in a transform container, over the model's and the job's own variables."""
        request = self.job
        variables = {
            **self.model["PrimaryContainer"].get("Environment", {}),
            **request.get("Environment", {}),
            "SAGEMAKER_BATCH": "true",
            "SAGEMAKER_REGION": self.scope.region,
            "AWS_REGION": self.scope.region,
            "AWS_DEFAULT_REGION": self.scope.region,
            "AWS_ENDPOINT_URL": self.cloud.endpoint_url(),
            "AWS_ACCESS_KEY_ID": self.scope.account,
            "AWS_SECRET_ACCESS_KEY": "local",
        }
        for name, member in (
            ("SAGEMAKER_MAX_PAYLOAD_IN_MB", "MaxPayloadInMB"),
            ("SAGEMAKER_MAX_CONCURRENT_TRANSFORMS", "MaxConcurrentTransforms"),
        ):
            if member in request:
                variables[name] = str(request[member])
        if "BatchStrategy" in request:
            variables["SAGEMAKER_BATCH_STRATEGY"] = STRATEGIES[request["BatchStrategy"]]
        return variables


def deal(keys: list[str], instances: int) -> list[list[str]]:
    """Return each instance's share of the objects; instances without an object are left out."""
    shares = [keys[i::instances] for i in range(instances)]
    return [share for share in shares if share]
