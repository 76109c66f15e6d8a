"""Control plane: the SageMaker operations that the local cloud has, and AWS's errors for the rest.

Every operation takes and returns the JSON of the wire. `OPERATIONS` is the whole list; an operation that is
not in it answers NotEmulated by name.
"""

import re
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from turnout.local.sagemaker import validation
from turnout.local.sagemaker.errors import InUse, Invalid, NotEmulated, NotFound
from turnout.local.sagemaker.ports import Cloud, Scope
from turnout.local.sagemaker.store import Store
from turnout.local.sagemaker.transform.checks import check_transform

RUNNING = ("InProgress", "Stopping")
ARN = re.compile(r"arn:aws:sagemaker:([^:]+):([^:]+):([a-z-]+)/(.+)")


class Api:
    """The operations. `start_job(scope, record)` runs a transform job in the background; `stop_job(arn)` ends it.

    `more` are operations that live elsewhere: functions of scope and request, by name.
    """

    def __init__(
        self,
        cloud: Cloud,
        store: Store,
        start_job: Callable,
        stop_job: Callable,
        more: Mapping[str, Callable[[Scope, dict], dict]] = MappingProxyType({}),
    ) -> None:
        self.cloud, self.store = cloud, store
        self._start_job, self._stop_job = start_job, stop_job
        self._operations = {name: getattr(self, method) for name, method in OPERATIONS.items()} | dict(more)

    def call(self, operation: str, request: dict) -> dict:
        """Answer one operation. Raises ApiError."""
        if operation not in self._operations:
            raise NotEmulated(_not_emulated(operation, self._operations))
        validation.check(operation, request)
        return self._operations[operation](self.cloud.scope(), request)

    # Models

    def create_model(self, scope: Scope, request: dict) -> dict:
        name = request["ModelName"]
        arn = scope.arn("model", name)
        _check_containers(request)
        with self.store.lock:
            if self.store.get("models", scope, name):
                raise Invalid(f'Cannot create already existing model "{arn}".')
            record = {k: v for k, v in request.items() if k != "Tags"}
            record.update(ModelArn=arn, CreationTime=time.time())
            record.setdefault("EnableNetworkIsolation", False)
            self.store.put("models", scope, name, record)
        self.store.tag(scope, arn, request.get("Tags"))
        return {"ModelArn": arn}

    def describe_model(self, scope: Scope, request: dict) -> dict:
        return self.model(scope, request["ModelName"])

    def delete_model(self, scope: Scope, request: dict) -> dict:
        record = self.model(scope, request["ModelName"])
        self.store.remove("models", scope, request["ModelName"])
        self.store.remove("tags", scope, record["ModelArn"])
        return {}

    def list_models(self, scope: Scope, request: dict) -> dict:
        fields = ("ModelName", "ModelArn", "CreationTime")
        return page(self.store.all("models", scope), request, "Models", fields, "ModelName")

    def model(self, scope: Scope, name: str) -> dict:
        """Return a model's record. Raises Invalid as AWS does for a model that does not exist."""
        record = self.store.get("models", scope, name)
        if record is None:
            raise Invalid(f'Could not find model "{scope.arn("model", name)}".')
        return record

    # Transform jobs

    def create_transform_job(self, scope: Scope, request: dict) -> dict:
        name = request["TransformJobName"]
        arn = scope.arn("transform-job", name)
        check_transform(request)
        self.model(scope, request["ModelName"])
        with self.store.lock:
            if self.store.get("jobs", scope, name):
                raise InUse(
                    "Job name must be unique within an AWS account and region, and a job with this name already "
                    f"exists ({arn})"
                )
            record = {k: v for k, v in request.items() if k != "Tags"}
            record.update(TransformJobArn=arn, TransformJobStatus="InProgress", CreationTime=time.time())
            self.store.put("jobs", scope, name, record)
        self.store.tag(scope, arn, request.get("Tags"))
        self._start_job(scope, record)
        return {"TransformJobArn": arn}

    def describe_transform_job(self, scope: Scope, request: dict) -> dict:
        record = self.store.get("jobs", scope, request["TransformJobName"])
        if record is None:
            raise Invalid(f"Could not find requested job with name: {request['TransformJobName']}")
        return record

    def stop_transform_job(self, scope: Scope, request: dict) -> dict:
        record = self.store.get("jobs", scope, request["TransformJobName"])
        if record is None:
            raise NotFound(f"Could not find requested job with name: {request['TransformJobName']}")
        if record["TransformJobStatus"] != "InProgress":
            raise Invalid(
                f"The request was rejected because the transform job is in status {record['TransformJobStatus']}."
            )
        record["TransformJobStatus"] = "Stopping"
        self._stop_job(record["TransformJobArn"])
        return {}

    def list_transform_jobs(self, scope: Scope, request: dict) -> dict:
        fields = (
            "TransformJobName",
            "TransformJobArn",
            "CreationTime",
            "TransformEndTime",
            "TransformJobStatus",
            "FailureReason",
        )
        jobs = self.store.all("jobs", scope)
        if status := request.get("StatusEquals"):
            jobs = (job for job in jobs if job["TransformJobStatus"] == status)
        return page(jobs, request, "TransformJobSummaries", fields, "TransformJobName")

    # Tags

    def add_tags(self, scope: Scope, request: dict) -> dict:
        self._known_arn(scope, request["ResourceArn"])
        self.store.tag(scope, request["ResourceArn"], request["Tags"])
        return {"Tags": self._tags(scope, request["ResourceArn"])}

    def list_tags(self, scope: Scope, request: dict) -> dict:
        self._known_arn(scope, request["ResourceArn"])
        return {"Tags": self._tags(scope, request["ResourceArn"])}

    def delete_tags(self, scope: Scope, request: dict) -> dict:
        self._known_arn(scope, request["ResourceArn"])
        kept = dict(self.store.get("tags", scope, request["ResourceArn"]) or {})
        for key in request["TagKeys"]:
            kept.pop(key, None)
        self.store.put("tags", scope, request["ResourceArn"], kept)
        return {}

    def _tags(self, scope: Scope, arn: str) -> list[dict]:
        return [{"Key": k, "Value": v} for k, v in (self.store.get("tags", scope, arn) or {}).items()]

    def _known_arn(self, scope: Scope, arn: str) -> None:
        if not any(record[member] == arn for kind, member in ARNS for record in self.store.all(kind, scope)):
            raise Invalid(f"Could not find resource with ARN {arn}.")


#: Kind of record and where its ARN stands, for what can be tagged.
ARNS = (
    ("models", "ModelArn"),
    ("jobs", "TransformJobArn"),
    ("endpoint_configs", "EndpointConfigArn"),
    ("endpoints", "EndpointArn"),
)

#: Operation -> method of Api; those of endpoints are in hosting/api.py.
OPERATIONS = {
    "CreateModel": "create_model",
    "DescribeModel": "describe_model",
    "DeleteModel": "delete_model",
    "ListModels": "list_models",
    "CreateTransformJob": "create_transform_job",
    "DescribeTransformJob": "describe_transform_job",
    "StopTransformJob": "stop_transform_job",
    "ListTransformJobs": "list_transform_jobs",
    "AddTags": "add_tags",
    "ListTags": "list_tags",
    "DeleteTags": "delete_tags",
}


def _not_emulated(operation: str, known: Mapping[str, Any]) -> str:
    if not validation.knows_operation(operation):
        return f"SageMaker has no operation {operation}."
    return f"{operation} is not emulated by the local cloud; it has {', '.join(sorted(known))}."


def _check_containers(request: dict) -> None:
    if request.get("Containers"):
        raise NotEmulated("Models with several containers (Containers) are not emulated; use PrimaryContainer.")
    container = request.get("PrimaryContainer")
    if not container:
        raise Invalid("One of PrimaryContainer and Containers must be given.")
    if not container.get("Image") and not container.get("ModelPackageName"):
        raise Invalid("PrimaryContainer needs an Image.")
    if container.get("ModelDataSource") or container.get("ModelPackageName"):
        raise NotEmulated("Only ModelDataUrl (a model.tar.gz) is emulated as a model's data.")


def page(records: Any, request: dict, key: str, fields: tuple[str, ...], name: str) -> dict:
    """Return one page of summaries, newest first unless asked otherwise; the token is an offset."""
    wanted = [r for r in records if request.get("NameContains", "") in r[name]]
    by_name = request.get("SortBy") == "Name"
    wanted.sort(key=lambda r: r[name] if by_name else r["CreationTime"])
    if request.get("SortOrder", "Descending") == "Descending":
        wanted.reverse()
    start = int(request.get("NextToken") or 0)
    end = start + request.get("MaxResults", 100)
    found = {key: [{f: r[f] for f in fields if f in r} for r in wanted[start:end]]}
    if key == "TransformJobSummaries":
        for summary in found[key]:
            summary["LastModifiedTime"] = summary.get("TransformEndTime", summary["CreationTime"])
    return found | ({"NextToken": str(end)} if end < len(wanted) else {})
