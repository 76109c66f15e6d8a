"""The model registry: groups of versioned packages, packages on their own, approval, and the models made of them.

Packages are taken as they are: nothing is scanned or validated, so a package is Completed at once and one that
asks for validation is refused. What follows an approval listens to the event, as on AWS.
"""

import json
import logging
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

from turnout.local.sagemaker import refusals
from turnout.local.sagemaker.errors import Conflict, Invalid, NotEmulated
from turnout.local.sagemaker.listing import listed
from turnout.local.sagemaker.ports import Cloud, Scope
from turnout.local.sagemaker.refusals import Refusal, is_given
from turnout.local.sagemaker.store import Store

EVENT_TYPE = "SageMaker Model Package State Change"
MOST_SPECIFICATIONS = 15
ARN = re.compile(r"arn:[^:]+:sagemaker:(?P<region>[^:]*):(?P<account>[^:]*):(?P<kind>[^/]+)/(?P<name>.+)")
#: Members of UpdateModelPackage that take the place of what was there.
REPLACED = (
    "ModelApprovalStatus",
    "ModelPackageRegistrationType",
    "ApprovalDescription",
    "InferenceSpecification",
    "SourceUri",
    "ModelCard",
    "ModelLifeCycle",
)
TIMES = ("CreationTime", "LastModifiedTime")

logger = logging.getLogger("turnout.sagemaker")


class Registry:
    """The operations on model packages and their groups."""

    def __init__(self, cloud: Cloud, store: Store) -> None:
        self.cloud, self.store = cloud, store
        # one thread: a rule's target may take its time, and events keep their order
        self._announcer = ThreadPoolExecutor(1, thread_name_prefix="model-package-events")

    def operations(self) -> dict[str, Callable[[Scope, dict], dict]]:
        return {name: getattr(self, method) for name, method in OPERATIONS.items()}

    # Groups

    def create_group(self, scope: Scope, request: dict) -> dict:
        name = request["ModelPackageGroupName"]
        arn = scope.arn("model-package-group", name)
        with self.store.lock:
            if self._find_group(scope, arn):
                raise Invalid(f"Model Package Group already exists: {arn}")
            record = {k: v for k, v in request.items() if k != "Tags"}
            record.update(ModelPackageGroupArn=arn, ModelPackageGroupStatus="Completed", CreationTime=time.time())
            record.update(CreatedBy={}, _LastVersion=0)
            self.store.put("model_package_groups", scope, name, record)
            self.store.tag(scope, arn, request.get("Tags"))
        return {"ModelPackageGroupArn": arn}

    def describe_group(self, scope: Scope, request: dict) -> dict:
        return self._group(scope, request["ModelPackageGroupName"])

    def delete_group(self, scope: Scope, request: dict) -> dict:
        with self.store.lock:
            group = self._group(scope, request["ModelPackageGroupName"])
            if any(self._versions(scope, group)):
                arn = group["ModelPackageGroupArn"]
                raise Conflict(f"Model Package Group {arn} cannot be deleted because it contains Model Packages.")
            self.store.remove("model_package_groups", scope, group["ModelPackageGroupName"])
        return {}

    def put_group_policy(self, scope: Scope, request: dict) -> dict:
        group = self._group_of_policy(scope, request)
        try:
            json.loads(request["ResourcePolicy"])
        except ValueError as error:
            raise Invalid(f"ResourcePolicy is not a JSON document: {error}") from error
        group["_ResourcePolicy"] = request["ResourcePolicy"]
        return group

    def get_group_policy(self, scope: Scope, request: dict) -> dict:
        group = self._group_of_policy(scope, request)
        if "_ResourcePolicy" not in group:
            raise Invalid(f"Cannot find resource policy for: {group['ModelPackageGroupArn']}")
        return {"ResourcePolicy": group["_ResourcePolicy"]}

    def delete_group_policy(self, scope: Scope, request: dict) -> dict:
        self.get_group_policy(scope, request)
        self._group_of_policy(scope, request).pop("_ResourcePolicy")
        return {}

    def _group_of_policy(self, scope: Scope, request: dict) -> dict:
        arn = _arn(scope, "model-package-group", request["ModelPackageGroupName"])
        group = self._find_group(scope, arn)
        if group is None:
            raise Invalid(f"Cannot find Model Package Group: {arn}")
        return group

    def _find_group(self, scope: Scope, arn: str) -> dict | None:
        return self.store.find("model_package_groups", scope, arn)

    def _group(self, scope: Scope, name_or_arn: str) -> dict:
        arn = _arn(scope, "model-package-group", name_or_arn)
        group = self._find_group(scope, arn)
        if group is None:
            raise Invalid(f"ModelPackageGroup {arn} does not exist.")
        return group

    def _versions(self, scope: Scope, group: dict) -> list[dict]:
        name = group["ModelPackageGroupName"]
        return [p for p in self.store.all("model_packages", scope) if p.get("ModelPackageGroupName") == name]

    # Packages

    def create_package(self, scope: Scope, request: dict) -> dict:
        """Create a package; one in a group is its next version, and a number is never given twice."""
        _check_package(request)
        now = time.time()
        record = {k: v for k, v in request.items() if k not in ("Tags", "ClientToken")}
        record.update(
            CreationTime=now,
            LastModifiedTime=now,
            CreatedBy={},
            ModelPackageStatus="Completed",
            ModelPackageStatusDetails={"ValidationStatuses": [], "ImageScanStatuses": []},
            _ClientToken=request.get("ClientToken"),
        )
        record.setdefault("CertifyForMarketplace", False)
        with self.store.lock:
            if again := self._with_token(scope, request.get("ClientToken")):
                return again
            self._name(scope, record)
            self.store.put("model_packages", scope, record["ModelPackageArn"], record)
            self.store.tag(scope, record["ModelPackageArn"], request.get("Tags"))
        self._announce(scope, record, [])
        return record

    def _with_token(self, scope: Scope, token: str | None) -> dict | None:
        """Return what the same request made before it was sent again."""
        known = self.store.all("model_packages", scope) if token else ()
        return next((package for package in known if package["_ClientToken"] == token), None)

    def _name(self, scope: Scope, record: dict) -> None:
        if "ModelPackageGroupName" not in record:
            record["_Name"] = record["ModelPackageName"]
            record["ModelPackageArn"] = scope.arn("model-package", record["_Name"])
            if self.store.find("model_packages", scope, record["ModelPackageArn"]):
                raise Invalid(f"Model Package already exists: {record['ModelPackageArn']}")
            return
        group = self._group(scope, record["ModelPackageGroupName"])
        record["_Name"] = record["ModelPackageGroupName"] = group["ModelPackageGroupName"]
        record["ModelPackageVersion"] = group["_LastVersion"] = group["_LastVersion"] + 1
        record["ModelPackageArn"] = scope.arn("model-package", f"{record['_Name']}/{record['ModelPackageVersion']}")
        record.setdefault("ModelApprovalStatus", "PendingManualApproval")

    def describe_package(self, scope: Scope, request: dict) -> dict:
        return self.package(scope, request["ModelPackageName"])

    def update_package(self, scope: Scope, request: dict) -> dict:
        with self.store.lock:
            record = self.package(scope, request["ModelPackageArn"])
            if "ModelApprovalStatus" in request and "ModelPackageVersion" not in record:
                raise Invalid("ModelApprovalStatus cannot be specified when using non-versioned ModelPackages")
            changes: dict[str, Any] = {name: request[name] for name in REPLACED if name in request}
            if added := request.get("AdditionalInferenceSpecificationsToAdd"):
                changes["AdditionalInferenceSpecifications"] = _specifications(record) + added
                if len(changes["AdditionalInferenceSpecifications"]) > MOST_SPECIFICATIONS:
                    raise Invalid(
                        f"A model package has at most {MOST_SPECIFICATIONS} AdditionalInferenceSpecifications."
                    )
            properties = {
                **record.get("CustomerMetadataProperties", {}),
                **request.get("CustomerMetadataProperties", {}),
            }
            for key in request.get("CustomerMetadataPropertiesToRemove", []):
                properties.pop(key, None)
            if properties != record.get("CustomerMetadataProperties", {}):
                changes["CustomerMetadataProperties"] = properties
            record.update(changes, LastModifiedTime=time.time(), LastModifiedBy={})
        self._announce(scope, record, list(changes))
        return record

    def delete_package(self, scope: Scope, request: dict) -> dict:
        record = self.package(scope, request["ModelPackageName"])
        self.store.remove("model_packages", scope, record["ModelPackageArn"])
        return {}

    def list_packages(self, scope: Scope, request: dict) -> dict:
        """List unversioned packages unless a group or a type is asked for."""
        records = self.store.all("model_packages", scope)
        if "ModelPackageGroupName" in request:
            records = self._versions(scope, self._group(scope, request["ModelPackageGroupName"]))
        wanted = request.get("ModelPackageType", "Versioned" if "ModelPackageGroupName" in request else "Unversioned")
        if wanted != "Both":
            records = [r for r in records if ("ModelPackageVersion" in r) == (wanted == "Versioned")]
        if status := request.get("ModelApprovalStatus"):
            records = [r for r in records if r.get("ModelApprovalStatus") == status]
        return listed("ListModelPackages", records, request)

    def batch_describe(self, scope: Scope, request: dict) -> dict:
        found, errors = {}, {}
        for arn in request["ModelPackageArnList"]:
            try:
                found[arn] = self.package(scope, arn)
            except Invalid as error:
                errors[arn] = {"ErrorCode": error.code, "ErrorResponse": error.message}
        return {"ModelPackageSummaries": found, "BatchDescribeModelPackageErrorMap": errors}

    def package(self, scope: Scope, name_or_arn: str) -> dict:
        """Return a package by name, `group/version` or ARN. Raises Invalid for one that does not exist."""
        arn = _arn(scope, "model-package", name_or_arn)
        record = self.store.find("model_packages", scope, arn)
        if record is None:
            raise Invalid(f"ModelPackage {arn} does not exist.")
        return record

    def _announce(self, scope: Scope, record: dict, updated: list[str]) -> None:
        detail = {name: value for name, value in record.items() if not name.startswith("_")}
        for name in TIMES:
            detail[name] = datetime.fromtimestamp(detail[name], UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        detail["UpdatedModelPackageFields"] = updated
        self._announcer.submit(self._publish, scope, detail)

    def _publish(self, scope: Scope, detail: dict) -> None:
        arn = detail["ModelPackageArn"]
        try:
            self.cloud.publish_event(scope, EVENT_TYPE, detail, [arn])
        except Exception:
            logger.exception("event of model package %s", arn)  # the change itself has been made

    # Models

    def containers(self, scope: Scope, container: dict) -> list[dict]:
        """Return what a container of CreateModel stands for: itself, or the containers of the package it names.

        Variables that the request gives win over the package's. Raises Invalid for a package that is not approved.
        """
        if "ModelPackageName" not in container:
            return [container]
        package = self.package(scope, container["ModelPackageName"])
        status = package.get("ModelApprovalStatus", "Approved")
        if status != "Approved":
            raise Invalid(
                f"Model package {package['ModelPackageArn']} has the approval status {status}; "
                "a model can be made of an Approved one only."
            )
        variables = container.get("Environment", {})
        named = {"ModelPackageName": package["ModelPackageArn"]}
        return [
            {**_hosted(part), **named, "Environment": {**part.get("Environment", {}), **variables}}
            for part in self._specification(package, container.get("InferenceSpecificationName"))["Containers"]
        ]

    def _specification(self, package: dict, name: str | None) -> dict:
        arn = package["ModelPackageArn"]
        if name is None:
            if words := refusals.first(package, UNUSABLE):
                raise NotEmulated(f"Model package {arn}: {words}.")
            return package["InferenceSpecification"]
        found = next((each for each in _specifications(package) if each["Name"] == name), None)
        if found is None:
            raise Invalid(f"Model package {arn} has no inference specification named {name}.")
        return found


#: Members of a package's container that a model's container has too.
HOSTED = ("ContainerHostname", "Image", "ModelDataUrl", "ModelDataSource", "AdditionalModelDataSources")


def _hosted(container: dict) -> dict:
    return {name: container[name] for name in HOSTED if name in container}


def _specifications(package: dict) -> list[dict]:
    return package.get("AdditionalInferenceSpecifications", [])


def _check_package(request: dict) -> None:
    versioned, named = "ModelPackageGroupName" in request, "ModelPackageName" in request
    if versioned and named:
        raise Invalid(
            "Both ModelPackageName and ModelPackageGroupName are provided in the input. "
            "Cannot determine which one to use."
        )
    if not versioned and not named:
        raise Invalid("Missing ARN.")
    if versioned and request.get("Tags"):
        raise Invalid("Tags cannot be given for a versioned model package: it has the tags of its group.")
    if named and "ModelApprovalStatus" in request:
        raise Invalid("ModelApprovalStatus cannot be specified when using non-versioned ModelPackages")
    containers = request.get("InferenceSpecification", {}).get("Containers", [])
    if named and any(container.get("Environment") for container in containers):
        raise Invalid("Environment variable map cannot be specified when using non-versioned ModelPackages")
    if words := refusals.first(request, REFUSED):
        raise NotEmulated(f"{words}.")


#: What CreateModelPackage refuses although AWS does not, and packages of which no model is made.
REFUSED = (
    Refusal(
        ("ValidationSpecification", "ValidationProfiles"),
        is_given,
        "ValidationSpecification is not emulated: no transform job would validate the package",
    ),
)
UNUSABLE = (
    Refusal(
        ("InferenceSpecification",),
        lambda specification: specification is None,
        "there is no InferenceSpecification, and no model can be made of it here",
        of_use=True,
    ),
)


def _arn(scope: Scope, kind: str, name_or_arn: str) -> str:
    """Return the ARN that a name or an ARN stands for. Raises Invalid for another Region's."""
    found = ARN.fullmatch(name_or_arn)
    if found is None:
        return scope.arn(kind, name_or_arn)
    if found["region"] != scope.region:
        raise Invalid(f"ARN should be scoped to correct region: {scope.region}")
    if found["kind"] != kind:
        raise Invalid(f"{name_or_arn} is not the ARN of a {kind}.")
    return Scope(found["account"], scope.region).arn(kind, found["name"])


OPERATIONS = {
    "CreateModelPackageGroup": "create_group",
    "DescribeModelPackageGroup": "describe_group",
    "DeleteModelPackageGroup": "delete_group",
    "PutModelPackageGroupPolicy": "put_group_policy",
    "GetModelPackageGroupPolicy": "get_group_policy",
    "DeleteModelPackageGroupPolicy": "delete_group_policy",
    "CreateModelPackage": "create_package",
    "DescribeModelPackage": "describe_package",
    "UpdateModelPackage": "update_package",
    "DeleteModelPackage": "delete_package",
    "ListModelPackages": "list_packages",
    "BatchDescribeModelPackage": "batch_describe",
}
