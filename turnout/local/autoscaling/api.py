"""The operations of Application Auto Scaling on variants of SageMaker endpoints."""

import re
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from typing import Any

from turnout.local.sagemaker import validation
from turnout.local.sagemaker.errors import ApiError, Invalid, NotEmulated
from turnout.local.sagemaker.ports import Cloud, Scope

SERVICE = "application-autoscaling"
COUNT_DIMENSION = "sagemaker:variant:DesiredInstanceCount"
RESOURCE = re.compile(r"endpoint/([^/]+)/variant/([^/]+)")
KEY_MEMBERS = ("ServiceNamespace", "ResourceId", "ScalableDimension")
MOST_ACTIVITIES = 200

Key = tuple[Scope, str, str, str]


class ObjectNotFound(ApiError):
    code, status = "ObjectNotFoundException", 400


class Autoscaling:
    """Targets, policies and what was done. `capacity(scope, endpoint, variant)` raises Invalid for strangers."""

    def __init__(self, cloud: Cloud, capacity: Callable[[Scope, str, str], int], may_be_zero: Callable) -> None:
        self.cloud, self._capacity, self._may_be_zero = cloud, capacity, may_be_zero
        self.targets: dict[Key, dict] = {}
        self.policies: dict[tuple[Key, str], dict] = {}
        self.activities: list[tuple[Scope, dict]] = []
        self.lock = threading.RLock()
        self._operations = {name: getattr(self, method) for name, method in OPERATIONS.items()}

    def call(self, operation: str, request: dict) -> dict:
        """Answer one operation. Raises ApiError."""
        if operation not in self._operations:
            raise NotEmulated(f"Application Auto Scaling: {operation} is not emulated by the local cloud.")
        validation.check(operation, request, SERVICE)
        with self.lock:
            return self._operations[operation](self.cloud.scope(), request)

    # Targets

    def register(self, scope: Scope, request: dict) -> dict:
        key = self._key(scope, request)
        before = self.targets.get(key)
        endpoint, variant = _parts(request["ResourceId"])
        self._capacity(scope, endpoint, variant)
        if before is None and not {"MinCapacity", "MaxCapacity"} <= set(request):
            raise Invalid("MinCapacity and MaxCapacity must be given for a new scalable target.")
        target = {**(before or {"CreationTime": time.time(), "ScalableTargetARN": _target_arn(scope)}), **request}
        target.pop("Tags", None)
        if target["MinCapacity"] > target["MaxCapacity"]:
            raise Invalid("Maximum capacity cannot be less than minimum capacity")
        if target["MinCapacity"] == 0 and not self._may_be_zero(scope, endpoint):
            raise Invalid("Minimum capacity cannot be less than 1 for real-time variants; 0 is for asynchronous ones.")
        target.setdefault("RoleARN", f"arn:aws:iam::{scope.account}:role/aws-service-role/sagemaker.application-auto")
        self.targets[key] = target
        return {"ScalableTargetARN": target["ScalableTargetARN"]}

    def deregister(self, scope: Scope, request: dict) -> dict:
        key = self._key(scope, request)
        if self.targets.pop(key, None) is None:
            raise ObjectNotFound(f"No scalable target registered for {_words(request)}")
        for owner, name in [known for known in self.policies if known[0] == key]:
            self.policies.pop((owner, name))
        return {}

    def describe_targets(self, scope: Scope, request: dict) -> dict:
        wanted = set(request.get("ResourceIds") or [])
        found = [
            {k: v for k, v in target.items() if not k.startswith("_")}
            for key, target in self.targets.items()
            if key[0] == scope and (not wanted or target["ResourceId"] in wanted) and _matches(target, request)
        ]
        return {"ScalableTargets": found}

    # Policies

    def put_policy(self, scope: Scope, request: dict) -> dict:
        key = self._key(scope, request)
        if key not in self.targets:
            raise ObjectNotFound(f"No scalable target registered for {_words(request)}")
        _check_policy(request)
        known = self.policies.get((key, request["PolicyName"]))
        made = {"PolicyARN": _policy_arn(scope, request), "CreationTime": time.time(), "Alarms": []}
        policy = {"PolicyType": "StepScaling", **(known or made), **request}
        self.policies[key, request["PolicyName"]] = policy
        return {"PolicyARN": policy["PolicyARN"], "Alarms": []}

    def delete_policy(self, scope: Scope, request: dict) -> dict:
        if self.policies.pop((self._key(scope, request), request["PolicyName"]), None) is None:
            raise ObjectNotFound(f"No scaling policy found for {_words(request)}, policy {request['PolicyName']}")
        return {}

    def describe_policies(self, scope: Scope, request: dict) -> dict:
        names = set(request.get("PolicyNames") or [])
        found = [
            {k: v for k, v in policy.items() if not k.startswith("_")}
            for (key, name), policy in self.policies.items()
            if key[0] == scope and (not names or name in names) and _matches(policy, request)
        ]
        return {"ScalingPolicies": found}

    def describe_activities(self, scope: Scope, request: dict) -> dict:
        found = [a for owner, a in reversed(self.activities) if owner == scope and _matches(a, request)]
        return {"ScalingActivities": found[: request.get("MaxResults", 50)]}

    # For the rest of the cloud

    def scaled_variants(self, scope: Scope, endpoint: str) -> Iterable[str]:
        """Return the variants of an endpoint that are registered as scalable targets."""
        parts = [_parts(resource) for owner, _, resource, _ in self.targets if owner == scope]
        return [variant for name, variant in parts if name == endpoint]

    def forget(self, scope: Scope, endpoint: str) -> None:
        """Deregister what belongs to an endpoint that is deleted, as SageMaker does."""
        with self.lock:
            for key in [k for k in self.targets if k[0] == scope and _parts(k[2])[0] == endpoint]:
                self.deregister(scope, dict(zip(KEY_MEMBERS, key[1:], strict=True)))

    def policy(self, arn: str) -> tuple[Key, dict] | None:
        """Return a policy and the key of its target, by ARN."""
        found = ((key, policy) for (key, _), policy in list(self.policies.items()) if policy["PolicyARN"] == arn)
        return next(found, None)

    def note(self, scope: Scope, target: dict, policy: dict, wanted: int, cause: str) -> None:
        """Remember a scaling activity."""
        now = time.time()
        activity = {name: target[name] for name in KEY_MEMBERS} | {
            "ActivityId": str(uuid.uuid4()),
            "Description": f"Setting desired instance count to {wanted}.",
            "Cause": f"{cause} triggered policy {policy['PolicyName']}",
            "StartTime": now,
            "EndTime": now,
            "StatusCode": "Successful",
            "StatusMessage": f"Successfully set desired instance count to {wanted}.",
        }
        self.activities = [*self.activities[-MOST_ACTIVITIES:], (scope, activity)]

    def reset(self) -> None:
        with self.lock:
            self.targets.clear()
            self.policies.clear()
            self.activities.clear()

    def dump(self) -> dict:
        with self.lock:
            return {
                "targets": [[[*_flat(key)], _plain(target)] for key, target in self.targets.items()],
                "policies": [[[*_flat(key)], name, _plain(p)] for (key, name), p in self.policies.items()],
            }

    def load(self, state: dict) -> None:
        with self.lock:
            for key, target in state.get("targets", []):
                self.targets[_key_of(key)] = target
            for key, name, policy in state.get("policies", []):
                self.policies[_key_of(key), name] = policy

    def _key(self, scope: Scope, request: dict) -> Key:
        if request["ServiceNamespace"] != "sagemaker" or request["ScalableDimension"] != COUNT_DIMENSION:
            raise NotEmulated(
                f"Only sagemaker, {COUNT_DIMENSION}, is emulated; not {request['ServiceNamespace']}, "
                f"{request['ScalableDimension']}."
            )
        _parts(request["ResourceId"])
        return (scope, *(request[member] for member in KEY_MEMBERS))


#: Operation -> method of Autoscaling.
OPERATIONS = {
    "RegisterScalableTarget": "register",
    "DeregisterScalableTarget": "deregister",
    "DescribeScalableTargets": "describe_targets",
    "PutScalingPolicy": "put_policy",
    "DeleteScalingPolicy": "delete_policy",
    "DescribeScalingPolicies": "describe_policies",
    "DescribeScalingActivities": "describe_activities",
}


def _parts(resource: str) -> tuple[str, str]:
    found = RESOURCE.fullmatch(resource)
    if not found:
        raise Invalid(f"ResourceId {resource!r} is not endpoint/NAME/variant/VARIANT.")
    return found[1], found[2]


def _check_policy(request: dict) -> None:
    settings = {
        "TargetTrackingScaling": request.get("TargetTrackingScalingPolicyConfiguration"),
        "StepScaling": request.get("StepScalingPolicyConfiguration"),
    }
    kind = request.get("PolicyType", "StepScaling")
    if kind not in settings:
        raise NotEmulated(f"PolicyType {kind} is not emulated; {' and '.join(settings)} are.")
    if not settings[kind]:
        raise Invalid(f"PolicyType {kind} needs {kind}PolicyConfiguration.")
    custom = (settings["TargetTrackingScaling"] or {}).get("CustomizedMetricSpecification") or {}
    if custom.get("Metrics"):
        raise NotEmulated("Metric maths in CustomizedMetricSpecification (Metrics) is not emulated.")


def _matches(record: dict, request: dict) -> bool:
    return all(record[member] == request.get(member, record[member]) for member in KEY_MEMBERS)


def _words(request: dict) -> str:
    return ", ".join(f"{member}: {request[member]}" for member in KEY_MEMBERS)


def _target_arn(scope: Scope) -> str:
    return f"arn:aws:application-autoscaling:{scope.region}:{scope.account}:scalable-target/{uuid.uuid4().hex[:26]}"


def _policy_arn(scope: Scope, request: dict) -> str:
    where = f"arn:aws:autoscaling:{scope.region}:{scope.account}:scalingPolicy:{uuid.uuid4()}"
    return f"{where}:resource/sagemaker/{request['ResourceId']}:policyName/{request['PolicyName']}"


def _plain(record: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in record.items() if not k.startswith("_")}


def _flat(key: Key) -> tuple[str, ...]:
    scope, *rest = key
    return (scope.account, scope.region, *rest)


def _key_of(flat: list[str]) -> Key:
    account, region, *rest = flat
    return (Scope(account, region), *rest)
