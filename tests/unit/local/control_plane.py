"""The control plane with nothing behind it: no emulator, no process, jobs and endpoints that only are recorded."""

import contextlib
import queue
from pathlib import Path
from typing import Any

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
    """Return a SageMaker that runs nothing; `started` gets the records of jobs."""
    sagemaker = SageMaker(cloud)
    jobs = [] if started is None else started
    sagemaker.jobs.start = lambda scope, job: jobs.append(job)
    sagemaker.jobs.stop = lambda arn: None
    sagemaker.endpoints.create = lambda *args: None
    sagemaker.endpoints.delete = lambda scope, record: None
    return sagemaker


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
    return {"InferenceSpecification": {"Containers": [container]}, **more}
