"""The control plane with nothing behind it: no emulator, no process, jobs and endpoints that only are recorded."""

import asyncio
import contextlib
import json
import queue
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import boto3
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from botocore.model import ServiceModel
from botocore.validate import ParamValidator

from turnout.local.emulator import JsonService
from turnout.local.sagemaker.ports import Scope
from turnout.local.sagemaker.service import SageMaker

HERE = Scope("000000000000", "us-east-1")
ROLE = "arn:aws:iam::000000000000:role/any"
ARN = f"arn:aws:sagemaker:{HERE.region}:{HERE.account}"


class FakeCloud:
    work_dir = log_dir = Path("unused")

    def __init__(self) -> None:
        self.current = HERE
        self.events: queue.Queue[tuple[Scope, str, dict, list[str]]] = queue.Queue()

    def scope(self) -> Scope:
        return self.current

    def enter(self, scope: Scope) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def publish_event(self, scope: Scope, detail_type: str, detail: dict, resources: list[str]) -> None:
        self.events.put((scope, detail_type, detail, resources))


def control_plane(cloud: FakeCloud, started: list[dict] | None = None) -> SageMaker:
    """Return a SageMaker that runs nothing; `started` gets the records of jobs.

    botocore itself checks every answer: no member that the output does not have, none missing, none of a wrong type.
    """
    sagemaker = SageMaker(cloud)
    call = sagemaker.call
    sagemaker.call = lambda operation, request, **more: _checked(operation, call(operation, request, **more))
    jobs = [] if started is None else started
    sagemaker.jobs.start = lambda scope, job: jobs.append(job)
    sagemaker.jobs.stop = lambda arn: None
    sagemaker.endpoints.create = lambda *args: None
    sagemaker.endpoints.delete = lambda scope, record: None
    return sagemaker


@cache
def _session() -> boto3.session.Session:
    """One for all: it keeps the service model, which takes long to read."""
    return boto3.session.Session(aws_access_key_id=HERE.account, aws_secret_access_key="local")


@cache
def service_model() -> ServiceModel:
    return _session().client("sagemaker", region_name=HERE.region).meta.service_model


def _checked(operation: str, answer: dict) -> dict:
    shape = service_model().operation_model(operation).output_shape
    if operation == "DescribeModelPackage" and "ModelPackageVersion" in answer:  # AWS gives versions no name
        problems = ParamValidator().validate({"ModelPackageName": "none", **answer}, shape)
    else:
        problems = ParamValidator().validate(answer, shape) if shape else None
    assert not (problems and problems.has_errors()), f"{operation}: {problems.generate_report()}"
    assert shape or answer == {}
    return answer


class _Raw:
    """The body of a response as botocore reads it."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self) -> Any:
        yield self._body


def client(sagemaker: SageMaker) -> Any:
    """Return a boto3 client that checks no parameters and whose requests end in this process, not in a socket."""
    settings = Config(parameter_validation=False, retries={"total_max_attempts": 1})
    made = _session().client("sagemaker", region_name=HERE.region, config=settings)

    def answer(request: Any, **_: Any) -> AWSResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        target = headers["x-amz-target"]
        target = target.decode() if isinstance(target, bytes) else target
        service = JsonService(sagemaker)
        handled = service.handle_request("POST", "/", headers | {"x-amz-target": target}, request.body, {})
        status, sent, body = asyncio.run(handled)
        return AWSResponse(request.url, status, sent, _Raw(body))

    made.meta.events.register("before-send.sagemaker", answer)
    return made


def send_raw(made: Any, operation: str, body: bytes) -> Callable[[], dict]:
    """Return what sends these very bytes as a request of the operation: botocore would not write all of them."""

    def replace(params: dict, **_: Any) -> None:
        params["body"] = body

    def send() -> dict:
        made.meta.events.register("before-call.sagemaker", replace)
        try:
            return made._make_api_call(operation, {})
        finally:
            made.meta.events.unregister("before-call.sagemaker", replace)

    return send


def send_json(made: Any, operation: str, request: Any) -> dict:
    """Send a request as it is, whatever botocore thinks of it."""
    return send_raw(made, operation, json.dumps(request).encode())()


def model(name: str = "m", **container: Any) -> dict:
    primary = {"Image": "image", "ModelDataUrl": "s3://b/m.tar.gz", **container}
    return {"ModelName": name, "ExecutionRoleArn": ROLE, "PrimaryContainer": primary}


def job(name: str = "job", **changes: Any) -> dict:
    """Return a CreateTransformJob request; `Part__Member=value` changes a part of it."""
    request = {
        "TransformJobName": name,
        "ModelName": "m",
        "TransformInput": {
            "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://b/in/"}},
            "ContentType": "text/csv",
            "SplitType": "Line",
        },
        "TransformOutput": {"S3OutputPath": "s3://b/out/", "Accept": "text/csv", "AssembleWith": "Line"},
        "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
    }
    for path, value in changes.items():
        target = request
        *parents, last = path.split("__")
        for parent in parents:
            target = target[parent]
        target[last] = value
    return request


def config(name: str = "c", model_name: str = "m", **more: Any) -> dict:
    variant = {"VariantName": "All", "ModelName": model_name, "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    return {"EndpointConfigName": name, "ProductionVariants": [variant], **more}


def package(**more: Any) -> dict:
    """Return a CreateModelPackage request for a package with one container, without a name or a group."""
    container = {"Image": "image:1", "ModelDataUrl": "s3://b/p.tar.gz"}
    return {"InferenceSpecification": {"Containers": [container]}} | more
