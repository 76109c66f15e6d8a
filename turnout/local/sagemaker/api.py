"""Control plane: the SageMaker operations that the local cloud has, and AWS's errors for the rest.

Every operation takes and returns the JSON of the wire. `Api` checks requests and trims answers by the service's
model, so that an operation is its behaviour alone; those of endpoints, of the model registry, Search and the lists
are in modules of their own. An operation that nobody has answers NotEmulated by name.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from turnout.local.sagemaker import refusals, validation
from turnout.local.sagemaker.errors import ApiError, InUse, Invalid, NotEmulated, NotFound, UnknownOperation
from turnout.local.sagemaker.listing import page
from turnout.local.sagemaker.ports import Cloud, Scope
from turnout.local.sagemaker.refusals import Refusal, is_given
from turnout.local.sagemaker.store import RESOURCES, Store
from turnout.local.sagemaker.transform.checks import check_transform
from turnout.local.sagemaker.transform.settings import NO_PROCESSING, with_defaults

RUNNING = ("InProgress", "Stopping")
RESERVED = "aws:"  # whose tags only AWS's own services set
MOST_TAGS = 50
MOST_ENVIRONMENT_BYTES = 32 * 1024
Operation = Callable[[Scope, dict], dict]


class Part(Protocol):
    """A family of operations."""

    def operations(self) -> Mapping[str, Operation]:
        """Return them by name."""


class Api:
    """All operations of all parts."""

    def __init__(self, cloud: Cloud, parts: Iterable[Part]) -> None:
        self._cloud = cloud
        self.operations = {name: operation for part in parts for name, operation in part.operations().items()}

    def call(self, operation: str, request: dict, by_aws: bool = False) -> dict:
        """Answer one operation; `by_aws`: for a service that may set reserved tags. Raises ApiError."""
        if operation not in self.operations:
            raise _absent(operation, self.operations)
        request = validation.check(operation, request)
        _check_tags(request.get("Tags", []), by_aws)
        return validation.answer(operation, self.operations[operation](self._cloud.scope(), request))


def _absent(operation: str, known: Mapping[str, Any]) -> ApiError:
    if not validation.knows_operation(operation):
        return UnknownOperation(f"SageMaker has no operation {operation}.")
    return NotEmulated(f"{operation} is not emulated by the local cloud; it has {', '.join(sorted(known))}.")


def _check_tags(tags: list[dict], by_aws: bool) -> None:
    keys = [tag["Key"] for tag in tags]
    if any(key.lower().startswith(RESERVED) for key in keys) and not by_aws:
        raise Invalid(f"{RESERVED} prefixed tag key names are not allowed for external use.")
    if repeated := sorted({key for key in keys if keys.count(key) > 1}):
        raise Invalid(f"Duplicate tag keys are not allowed: {', '.join(repeated)}.")


class Models:
    """Models. `packaged(scope, container)` gives the containers that one of a request stands for."""

    def __init__(self, store: Store, packaged: Callable[[Scope, dict], list[dict]]) -> None:
        self.store, self._packaged = store, packaged

    def operations(self) -> Mapping[str, Operation]:
        return {"CreateModel": self.create, "DescribeModel": self.describe, "DeleteModel": self.delete}

    def create(self, scope: Scope, request: dict) -> dict:
        name = request["ModelName"]
        arn = scope.arn("model", name)
        containers = self._containers(scope, request)
        with self.store.lock:
            if self.store.find("models", scope, arn):
                raise Invalid(f'Cannot create already existing model "{arn}".')
            record = {k: v for k, v in request.items() if k not in ("Tags", "PrimaryContainer", "Containers")}
            single = "PrimaryContainer" in request and len(containers) == 1
            record |= {"PrimaryContainer": containers[0]} if single else {"Containers": containers}
            record.update(ModelArn=arn, CreationTime=time.time())
            record.setdefault("EnableNetworkIsolation", False)
            self.store.put("models", scope, name, record)
            self.store.tag(scope, arn, request.get("Tags"))
        return record

    def _containers(self, scope: Scope, request: dict) -> list[dict]:
        given = [request["PrimaryContainer"]] if "PrimaryContainer" in request else []
        if bool(given) == bool(request.get("Containers")):
            raise Invalid("One of PrimaryContainer and Containers must be given.")
        for index, container in enumerate(given or request["Containers"]):
            _check_container(container, "PrimaryContainer" if given else f"Container {index + 1}")
        _check_environments(given or request["Containers"])
        return [part for container in given or request["Containers"] for part in self._packaged(scope, container)]

    def describe(self, scope: Scope, request: dict) -> dict:
        """Return the record with the defaults that AWS fills in."""
        record = dict(self.find(scope, request["ModelName"]))
        if "PrimaryContainer" in record:
            record["PrimaryContainer"] = {**CONTAINER_DEFAULTS, **record["PrimaryContainer"]}
        if "Containers" in record:
            record["Containers"] = [{**CONTAINER_DEFAULTS, **container} for container in record["Containers"]]
        return record

    def delete(self, scope: Scope, request: dict) -> dict:
        self.store.remove("models", scope, self.find(scope, request["ModelName"])["ModelName"])
        return {}

    def find(self, scope: Scope, name: str) -> dict:
        """Return a model's record. Raises Invalid as AWS does for a model that does not exist."""
        record = self.store.get("models", scope, name)
        if record is None:
            raise Invalid(f'Could not find model "{scope.arn("model", name)}".')
        return record

    def runnable(self, scope: Scope, name: str) -> dict:
        """Return the record of a model that is about to be used. Raises NotEmulated for what no process here runs."""
        record = self.find(scope, name)
        if words := refusals.first(record, REFUSED):
            raise NotEmulated(f"Model {name}: {words}.")
        return record


def _refused_of_containers(*path: str) -> tuple[Refusal, ...]:
    multi, more = (*path, "Mode"), (*path, "AdditionalModelDataSources")
    return (
        Refusal(multi, lambda kind: kind == "MultiModel", "the mode MultiModel is not emulated, SingleModel is", True),
        Refusal(more, is_given, "AdditionalModelDataSources are not emulated", True),
    )


#: What no model may have that is used, although AWS runs it; and what it may not have from a package.
REFUSED = (
    Refusal(
        ("InferenceExecutionConfig", "Mode"),
        lambda kind: kind == "Direct",
        "the InferenceExecutionConfig Direct is not emulated, Serial is",
        of_use=True,
    ),
    *_refused_of_containers("PrimaryContainer"),
    *_refused_of_containers("Containers"),
)
REFUSED_OF_PACKAGES = _refused_of_containers("InferenceSpecification", "Containers")
CONTAINER_DEFAULTS: dict[str, Any] = {"Mode": "SingleModel", "Environment": {}}


def is_uncompressed(model: dict) -> bool:
    """Whether some of a model's data is not in a model.tar.gz."""
    parts = [*model.get("Containers", []), model.get("PrimaryContainer", {})]
    sources = [part.get("ModelDataSource", {}).get("S3DataSource") or {} for part in parts]
    return any(source.get("CompressionType") == "None" for source in sources)


def _check_container(container: dict, what: str) -> None:
    if not container.get("Image") and not container.get("ModelPackageName"):
        raise Invalid(f"{what} needs an Image.")
    if "ModelDataUrl" in container and "ModelDataSource" in container:
        raise Invalid(f"{what} can have one of ModelDataUrl and ModelDataSource.")
    source = container.get("ModelDataSource", {}).get("S3DataSource") or {}
    if (source.get("CompressionType"), source.get("S3DataType")) == ("Gzip", "S3Prefix"):
        raise Invalid(f"{what}: the S3DataType of a Gzip ModelDataSource is S3Object.")


def _check_environments(containers: list[dict]) -> None:
    """Raise Invalid for more variables than a model may have (ContainerDefinition.Environment in the service model)."""
    variables = [text for container in containers for item in container.get("Environment", {}).items() for text in item]
    size = sum(len(text.encode()) for text in variables)
    if size > MOST_ENVIRONMENT_BYTES:
        raise Invalid(
            f"The keys and values of all containers' Environment have {size} bytes together; "
            f"at most {MOST_ENVIRONMENT_BYTES} are allowed."
        )


class Runner(Protocol):
    """What runs transform jobs."""

    def start(self, scope: Scope, job: dict) -> None: ...

    def stop(self, arn: str) -> None: ...


class TransformJobs:
    """Transform jobs, run by `jobs` in the background. `runnable(scope, model)` raises for what it cannot run."""

    def __init__(self, store: Store, runnable: Callable[[Scope, str], dict], jobs: Runner) -> None:
        self.store, self._runnable, self._jobs = store, runnable, jobs

    def operations(self) -> Mapping[str, Operation]:
        return {
            "CreateTransformJob": self.create,
            "DescribeTransformJob": self.describe,
            "StopTransformJob": self.stop,
        }

    def create(self, scope: Scope, request: dict) -> dict:
        name = request["TransformJobName"]
        arn = scope.arn("transform-job", name)
        check_transform(request)
        if is_uncompressed(self._runnable(scope, request["ModelName"])):
            raise Invalid(
                f"Model {request['ModelName']} has an uncompressed ModelDataSource, which no transform job takes."
            )
        with self.store.lock:
            if self.store.find("jobs", scope, arn):
                raise InUse(
                    "Job name must be unique within an AWS account and region, and a job with this name already "
                    f"exists ({arn})"
                )
            record = {k: v for k, v in request.items() if k != "Tags"}
            record.update(TransformJobArn=arn, TransformJobStatus="InProgress", CreationTime=time.time())
            self.store.put("jobs", scope, name, record)
            self.store.tag(scope, arn, request.get("Tags"))
        self._jobs.start(scope, record)
        return record

    def describe(self, scope: Scope, request: dict) -> dict:
        """Return the record with the defaults that AWS fills in.

        Of a job that does not exist AWS says so by ValidationException, although the service model has a
        ResourceNotFound: https://github.com/aws-controllers-k8s/sagemaker-controller (generator.yaml) relies on it.
        """
        record = self.store.get("jobs", scope, request["TransformJobName"])
        if record is None:
            raise Invalid(f"Could not find requested job with name: {request['TransformJobName']}")
        return {**with_defaults(record), "DataProcessing": {**NO_PROCESSING, **record.get("DataProcessing", {})}}

    def stop(self, scope: Scope, request: dict) -> dict:
        with self.store.lock:
            record = self.store.get("jobs", scope, request["TransformJobName"])
            if record is None:
                raise NotFound(f"Could not find requested job with name: {request['TransformJobName']}")
            if record["TransformJobStatus"] != "InProgress":
                raise Invalid(
                    f"The request was rejected because the transform job is in status {record['TransformJobStatus']}."
                )
            record["TransformJobStatus"] = "Stopping"
        self._jobs.stop(record["TransformJobArn"])
        return {}


class Tags:
    """Tags of everything that has an ARN."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def operations(self) -> Mapping[str, Operation]:
        return {"AddTags": self.add, "ListTags": self.list, "DeleteTags": self.delete}

    def add(self, scope: Scope, request: dict) -> dict:
        arn = self._arn(scope, request)
        with self.store.lock:
            keys = {tag["Key"] for tag in self.store.tags(scope, arn) + request["Tags"]}
            if len(keys) > MOST_TAGS:
                raise Invalid(f"A resource can have at most {MOST_TAGS} tags; {arn} would have {len(keys)}.")
            self.store.tag(scope, arn, request["Tags"])
        return {"Tags": self.store.tags(scope, arn)}

    def list(self, scope: Scope, request: dict) -> dict:
        tags = self.store.tags(scope, self._arn(scope, request))
        return page("ListTags", tags, {"MaxResults": MOST_TAGS, **request}, key="Tags", place=lambda tag: [tag["Key"]])

    def delete(self, scope: Scope, request: dict) -> dict:
        arn = self._arn(scope, request)
        with self.store.lock:
            kept = {tag["Key"]: tag["Value"] for tag in self.store.tags(scope, arn)}
            self.store.put("tags", scope, arn, {k: v for k, v in kept.items() if k not in request["TagKeys"]})
        return {}

    def _arn(self, scope: Scope, request: dict) -> str:
        arn = request["ResourceArn"].lower()  # as every ARN here is
        if not any(self.store.find(kind, scope, arn) for kind in RESOURCES):
            raise Invalid(f"Could not find resource with ARN {request['ResourceArn']}.")
        return arn
