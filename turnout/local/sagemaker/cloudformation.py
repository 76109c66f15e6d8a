"""CloudFormation's view of SageMaker: what creates, replaces and deletes the resources of a stack.

Handlers take and return plain values; `emulator.py` fits them into the emulator's own table of types.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from turnout.local.sagemaker import validation
from turnout.local.sagemaker.errors import ApiError
from turnout.local.sagemaker.service import SageMaker

#: Every property of a Model or an EndpointConfig but its Tags is create-only: a change replaces the resource.
MODEL_CREATE_ONLY = (
    "ModelName",
    "ExecutionRoleArn",
    "PrimaryContainer",
    "Containers",
    "VpcConfig",
    "EnableNetworkIsolation",
    "InferenceExecutionConfig",
)
CONFIG_CREATE_ONLY = (
    "EndpointConfigName",
    "ProductionVariants",
    "AsyncInferenceConfig",
    "DataCaptureConfig",
    "KmsKeyId",
    "VpcConfig",
    "EnableNetworkIsolation",
    "MetricsConfig",
    "ExplainerConfig",
    "ShadowProductionVariants",
    "ExecutionRoleArn",
)
GROUP_CREATE_ONLY = ("ModelPackageGroupName", "ModelPackageGroupDescription")
POLICY = "ModelPackageGroupPolicy"
PACKAGE_CREATE_ONLY = (
    "ModelPackageGroupName",
    "ModelPackageName",
    "ModelPackageDescription",
    "InferenceSpecification",
    "ValidationSpecification",
    "SourceAlgorithmSpecification",
    "MetadataProperties",
    "ModelMetrics",
    "ClientToken",
    "DriftCheckBaselines",
    "Domain",
    "Task",
    "SamplePayloadUrl",
    "SecurityConfig",
)
#: Properties of a ModelPackage that UpdateModelPackage takes; CreateModelPackage has not all of them.
PACKAGE_UPDATED = (
    "ModelApprovalStatus",
    "ApprovalDescription",
    "CustomerMetadataProperties",
    "AdditionalInferenceSpecificationsToAdd",
    "SourceUri",
    "ModelCard",
)
PACKAGE_UPDATE_ONLY = ("ApprovalDescription", "AdditionalInferenceSpecificationsToAdd")
#: How long CloudFormation waits for an endpoint, in AWS's time.
CREATE_SECONDS, UPDATE_SECONDS, DELETE_SECONDS = 160 * 60, 970 * 60, 160 * 60
#: Handlers wait at least this long here, however fast AWS's time passes: containers start in their own time.
LEAST_SECONDS = 300


class ResourceFailed(ValueError):
    """The resource goes to CREATE_FAILED (or UPDATE_FAILED) with this reason."""


@dataclass(frozen=True)
class ResourceType:
    """`create(name, properties)` and `update(id, old, new)` return `(Ref, attributes)`; `name` is a generated name.

    A type that `blocks` waits for something and must not run on the server's event loop.
    """

    create: Callable[[str, dict], tuple[str, dict]]
    update: Callable[[str, dict, dict], tuple[str, dict]]
    delete: Callable[[str], None]
    create_only: tuple[str, ...] = ()
    name_property: str = ""
    blocks: bool = False
    tagged: bool = True


def resource_types(sagemaker: SageMaker) -> dict[str, ResourceType]:
    """Return the CloudFormation types that this SageMaker provides, by name."""
    return {
        "AWS::SageMaker::Model": _model(sagemaker),
        "AWS::SageMaker::EndpointConfig": _endpoint_config(sagemaker),
        "AWS::SageMaker::Endpoint": _endpoint(sagemaker),
        "AWS::SageMaker::ModelPackageGroup": _model_package_group(sagemaker),
        "AWS::SageMaker::ModelPackage": _model_package(sagemaker),
    }


def _model(sagemaker: SageMaker) -> ResourceType:
    def create(name: str, properties: dict) -> tuple[str, dict]:
        request = {**properties, "ModelName": properties.get("ModelName") or name}
        arn = _call(sagemaker, "CreateModel", request)["ModelArn"]
        return arn, {"ModelArn": arn, "ModelName": request["ModelName"]}

    def update(arn: str, old: dict, new: dict) -> tuple[str, dict]:
        _retag(sagemaker, arn, old, new)
        return arn, {"ModelArn": arn, "ModelName": sagemaker.name_of("models", arn)}

    def delete(arn: str) -> None:
        if name := sagemaker.name_of("models", arn):
            _call(sagemaker, "DeleteModel", {"ModelName": name})

    return ResourceType(create, update, delete, MODEL_CREATE_ONLY, "ModelName")


def _endpoint_config(sagemaker: SageMaker) -> ResourceType:
    def create(name: str, properties: dict) -> tuple[str, dict]:
        request = {**properties, "EndpointConfigName": properties.get("EndpointConfigName") or name}
        arn = _call(sagemaker, "CreateEndpointConfig", request)["EndpointConfigArn"]
        return arn, {"EndpointConfigArn": arn, "EndpointConfigName": request["EndpointConfigName"]}

    def update(arn: str, old: dict, new: dict) -> tuple[str, dict]:
        _retag(sagemaker, arn, old, new)
        return arn, {"EndpointConfigArn": arn, "EndpointConfigName": sagemaker.name_of("endpoint_configs", arn)}

    def delete(arn: str) -> None:
        if name := sagemaker.name_of("endpoint_configs", arn):
            _call(sagemaker, "DeleteEndpointConfig", {"EndpointConfigName": name})

    return ResourceType(create, update, delete, CONFIG_CREATE_ONLY, "EndpointConfigName")


def _endpoint(sagemaker: SageMaker) -> ResourceType:
    def seconds(on_aws: float) -> float:
        scaled = sagemaker.faults.seconds(on_aws)
        return scaled if sagemaker.faults.endpoint_starts == "never" else max(scaled, LEAST_SECONDS)

    def create(name: str, properties: dict) -> tuple[str, dict]:
        only_updates = ("RetainAllVariantProperties", "ExcludeRetainedVariantProperties", "RetainDeploymentConfig")
        request = {k: v for k, v in properties.items() if k not in only_updates}
        request["EndpointName"] = name = properties.get("EndpointName") or name
        arn = _call(sagemaker, "CreateEndpoint", request)["EndpointArn"]
        described = sagemaker.wait_for_endpoint(name, seconds(CREATE_SECONDS)) or {"EndpointStatus": "deleted"}
        if described["EndpointStatus"] != "InService":
            sagemaker.abandon_endpoint(name)
            sagemaker.wait_for_endpoint(name, seconds(DELETE_SECONDS))
            raise ResourceFailed(_not_stabilised(arn, described))
        return arn, {"EndpointArn": arn, "EndpointName": name}

    def update(arn: str, old: dict, new: dict) -> tuple[str, dict]:
        _retag(sagemaker, arn, old, new)
        name = sagemaker.name_of("endpoints", arn)
        if name is None:
            raise ResourceFailed(f"Endpoint {arn} does not exist any more (it was deleted outside the stack).")
        attributes = {"EndpointArn": arn, "EndpointName": name}
        if _untagged(old) == _untagged(new):
            return arn, attributes
        sagemaker.wait_for_endpoint(name, seconds(UPDATE_SECONDS))  # a scaling activity may be under way
        _call(sagemaker, "UpdateEndpoint", {**_untagged(new), "EndpointName": name})
        described = sagemaker.wait_for_endpoint(name, seconds(UPDATE_SECONDS)) or {"EndpointStatus": "deleted"}
        in_force = described.get("EndpointConfigName") == new["EndpointConfigName"]
        if described["EndpointStatus"] != "InService" or not in_force:
            raise ResourceFailed(_not_stabilised(arn, described))
        return arn, attributes

    def delete(arn: str) -> None:
        name = sagemaker.name_of("endpoints", arn)
        if name is None:
            return
        described = sagemaker.wait_for_endpoint(name, seconds(UPDATE_SECONDS))
        if described is None:
            return
        _call(sagemaker, "DeleteEndpoint", {"EndpointName": name})
        if sagemaker.wait_for_endpoint(name, seconds(DELETE_SECONDS)) is not None:
            raise ResourceFailed(f"Endpoint {arn} was not deleted in time.")

    return ResourceType(create, update, delete, ("EndpointName",), "EndpointName", blocks=True)


def _model_package_group(sagemaker: SageMaker) -> ResourceType:
    def attributes(name: str) -> dict:
        described = _call(sagemaker, "DescribeModelPackageGroup", {"ModelPackageGroupName": name})
        shown = {n: described[n] for n in ("ModelPackageGroupArn", "ModelPackageGroupName", "ModelPackageGroupStatus")}
        return {**shown, "CreationTime": _moment(described["CreationTime"])}

    def put_policy(name: str, policy: dict | str) -> None:
        text = policy if isinstance(policy, str) else json.dumps(policy)
        request = {"ModelPackageGroupName": name, "ResourcePolicy": text}
        _call(sagemaker, "PutModelPackageGroupPolicy", request)

    def create(name: str, properties: dict) -> tuple[str, dict]:
        request = {k: v for k, v in properties.items() if k != POLICY}
        arn = _call(sagemaker, "CreateModelPackageGroup", request)["ModelPackageGroupArn"]
        if POLICY in properties:
            put_policy(request["ModelPackageGroupName"], properties[POLICY])
        return arn, attributes(request["ModelPackageGroupName"])

    def update(arn: str, old: dict, new: dict) -> tuple[str, dict]:
        _retag(sagemaker, arn, old, new)
        if POLICY in new:
            put_policy(new["ModelPackageGroupName"], new[POLICY])
        elif POLICY in old:
            request = {"ModelPackageGroupName": new["ModelPackageGroupName"]}
            _call(sagemaker, "DeleteModelPackageGroupPolicy", request)
        return arn, attributes(new["ModelPackageGroupName"])

    def delete(arn: str) -> None:
        if name := sagemaker.name_of("model_package_groups", arn):
            _call(sagemaker, "DeleteModelPackageGroup", {"ModelPackageGroupName": name})

    return ResourceType(create, update, delete, GROUP_CREATE_ONLY, "ModelPackageGroupName")


def _model_package(sagemaker: SageMaker) -> ResourceType:
    """Return the type of versions and of packages on their own, which are tagged by their own Tags alone."""

    def attributes(arn: str) -> dict:
        described = _call(sagemaker, "DescribeModelPackage", {"ModelPackageName": arn})
        times = {name: _moment(described[name]) for name in ("CreationTime", "LastModifiedTime") if name in described}
        return {"ModelPackageArn": arn, "ModelPackageStatus": described["ModelPackageStatus"], **times}

    def create(name: str, properties: dict) -> tuple[str, dict]:
        request = {k: v for k, v in properties.items() if k not in PACKAGE_UPDATE_ONLY}
        if "ModelPackageGroupName" not in request:
            request.setdefault("ModelPackageName", name)
        arn = _call(sagemaker, "CreateModelPackage", request)["ModelPackageArn"]
        change(arn, request, properties)
        return arn, attributes(arn)

    def update(arn: str, old: dict, new: dict) -> tuple[str, dict]:
        _retag(sagemaker, arn, old, new)
        change(arn, old, new)
        return arn, attributes(arn)

    def change(arn: str, old: dict, new: dict) -> None:
        changes: dict[str, Any] = {n: new[n] for n in PACKAGE_UPDATED if n in new and new[n] != old.get(n)}
        gone = set(old.get("CustomerMetadataProperties", {})) - set(new.get("CustomerMetadataProperties", {}))
        if gone:
            changes["CustomerMetadataPropertiesToRemove"] = sorted(gone)
        if changes:
            _call(sagemaker, "UpdateModelPackage", {"ModelPackageArn": arn, **changes})

    def delete(arn: str) -> None:
        if sagemaker.name_of("model_packages", arn):
            _call(sagemaker, "DeleteModelPackage", {"ModelPackageName": arn})

    return ResourceType(create, update, delete, PACKAGE_CREATE_ONLY, tagged=False)


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def _not_stabilised(arn: str, described: dict) -> str:
    reason = described.get("FailureReason") or "CloudFormation did not wait any longer."
    return f"Resource {arn} did not stabilize: it is {described['EndpointStatus']}. {reason}"


def _untagged(properties: dict) -> dict:
    return {name: value for name, value in properties.items() if name != "Tags"}


def _retag(sagemaker: SageMaker, arn: str, old: dict, new: dict) -> None:
    gone = {tag["Key"] for tag in old.get("Tags", [])} - {tag["Key"] for tag in new.get("Tags", [])}
    if gone:
        _call(sagemaker, "DeleteTags", {"ResourceArn": arn, "TagKeys": sorted(gone)})
    if new.get("Tags"):
        _call(sagemaker, "AddTags", {"ResourceArn": arn, "Tags": new["Tags"]})


def _call(sagemaker: SageMaker, operation: str, request: dict[str, Any]) -> dict:
    try:
        return sagemaker.call(operation, validation.typed(operation, request), by_aws=True)
    except ApiError as error:
        raise ResourceFailed(f"{error.message} (Service: SageMaker, Error Code: {error.code})") from error
