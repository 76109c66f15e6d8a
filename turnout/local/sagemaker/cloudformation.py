"""CloudFormation's view of SageMaker: what creates, replaces and deletes the resources of a stack.

Handlers take and return plain values; `emulator.py` fits them into the emulator's own table of types.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from turnout.local.sagemaker.errors import ApiError
from turnout.local.sagemaker.service import SageMaker

#: Every property of a Model but its Tags is create-only: a change replaces the resource.
MODEL_CREATE_ONLY = (
    "ModelName",
    "ExecutionRoleArn",
    "PrimaryContainer",
    "Containers",
    "VpcConfig",
    "EnableNetworkIsolation",
    "InferenceExecutionConfig",
)
NOT_YET = ("AWS::SageMaker::EndpointConfig", "AWS::SageMaker::Endpoint")


class ResourceFailed(ValueError):
    """The resource goes to CREATE_FAILED (or UPDATE_FAILED) with this reason."""


@dataclass(frozen=True)
class ResourceType:
    """`create(name, properties)` and `update(id, old, new)` return `(Ref, attributes)`; `name` is a generated name."""

    create: Callable[[str, dict], tuple[str, dict]]
    update: Callable[[str, dict, dict], tuple[str, dict]]
    delete: Callable[[str], None]
    create_only: tuple[str, ...] = ()
    name_property: str = ""


def resource_types(sagemaker: SageMaker) -> dict[str, ResourceType]:
    """Return the CloudFormation types that this SageMaker provides, by name."""
    types = {name: _refused(name) for name in NOT_YET}
    types["AWS::SageMaker::Model"] = _model(sagemaker)
    return types


def _model(sagemaker: SageMaker) -> ResourceType:
    def create(name: str, properties: dict) -> tuple[str, dict]:
        request = typed({**properties, "ModelName": properties.get("ModelName") or name})
        arn = _call(sagemaker, "CreateModel", request)["ModelArn"]
        return arn, {"ModelArn": arn, "ModelName": request["ModelName"]}

    def update(arn: str, old: dict, new: dict) -> tuple[str, dict]:
        gone = {tag["Key"] for tag in old.get("Tags", [])} - {tag["Key"] for tag in new.get("Tags", [])}
        if gone:
            _call(sagemaker, "DeleteTags", {"ResourceArn": arn, "TagKeys": sorted(gone)})
        if new.get("Tags"):
            _call(sagemaker, "AddTags", {"ResourceArn": arn, "Tags": new["Tags"]})
        return arn, {"ModelArn": arn, "ModelName": sagemaker.model_name(arn)}

    def delete(arn: str) -> None:
        name = sagemaker.model_name(arn)
        if name is not None:
            _call(sagemaker, "DeleteModel", {"ModelName": name})

    return ResourceType(create, update, delete, MODEL_CREATE_ONLY, "ModelName")


def _refused(type_name: str) -> ResourceType:
    reason = f"{type_name} is not emulated by the local cloud: it has models and batch transform jobs only."

    def create(name: str, properties: dict) -> tuple[str, dict]:
        raise ResourceFailed(reason)

    def update(identifier: str, old: dict, new: dict) -> tuple[str, dict]:
        raise ResourceFailed(reason)

    return ResourceType(create, update, lambda identifier: None)


def _call(sagemaker: SageMaker, operation: str, request: dict) -> dict:
    try:
        return sagemaker.call(operation, request)
    except ApiError as error:
        raise ResourceFailed(f"{error.message} (Service: SageMaker, Error Code: {error.code})") from error


def typed(value: Any, key: str = "") -> Any:
    """Return properties with the types of the API: templates may spell booleans as text."""
    if isinstance(value, dict):
        return {k: typed(v, k) for k, v in value.items()}
    if isinstance(value, list):
        return [typed(item, key) for item in value]
    if key.startswith("Enable") and value in ("true", "false"):
        return value == "true"
    return value
