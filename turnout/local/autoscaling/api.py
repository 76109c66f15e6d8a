"""The operations of Application Auto Scaling on variants of SageMaker endpoints."""

import time
import uuid
from collections.abc import Callable, Iterable

from turnout.local.autoscaling import alarms, checks
from turnout.local.autoscaling.registry import KEY_MEMBERS, Key, Registry
from turnout.local.sagemaker import listing, validation
from turnout.local.sagemaker.errors import ApiError, Invalid, NotEmulated
from turnout.local.sagemaker.ports import Cloud, Scope

SERVICE = "application-autoscaling"
TRACKING = "TargetTrackingScaling"
PAGE_SIZE = 50
MOST_TAGS = 50


class ObjectNotFound(ApiError):
    code, status = "ObjectNotFoundException", 400


class ResourceNotFound(ApiError):
    code, status = "ResourceNotFoundException", 400


class TooManyTags(ApiError):
    code, status = "TooManyTagsException", 400


class InvalidNextToken(ApiError):
    code, status = "InvalidNextTokenException", 400


class Autoscaling:
    """`capacity(scope, endpoint, variant, dimension)` raises Invalid for what cannot be scaled."""

    def __init__(
        self, cloud: Cloud, capacity: Callable[[Scope, str, str, str], int], may_be_zero: Callable[[Scope, str], bool]
    ) -> None:
        self.cloud, self._capacity, self._may_be_zero = cloud, capacity, may_be_zero
        self.registry = Registry(cloud.delete_alarms)
        self._operations = {name: getattr(self, method) for name, method in OPERATIONS.items()}

    def call(self, operation: str, request: dict) -> dict:
        """Answer one operation. Raises ApiError."""
        if operation not in self._operations:
            raise NotEmulated(f"Application Auto Scaling: {operation} is not emulated by the local cloud.")
        request = validation.check(operation, request, SERVICE)
        with self.registry.lock:
            response = self._operations[operation](self.cloud.scope(), request)
        return validation.answer(operation, response, SERVICE)

    # Targets

    def register(self, scope: Scope, request: dict) -> dict:
        key = _key(scope, request)
        before = self.registry.targets.get(key)
        endpoint, variant = checks.parts(request["ResourceId"])
        self._capacity(scope, endpoint, variant, request["ScalableDimension"])
        if before is None and not {"MinCapacity", "MaxCapacity"} <= set(request):
            raise Invalid("MinCapacity and MaxCapacity must be given for a new scalable target.")
        target = {**(before or _new_target(scope)), **request}
        tags = target.pop("Tags", {})
        checks.check_bounds(target["MinCapacity"], target["MaxCapacity"], self._smallest(scope, target))
        arn = target["ScalableTargetARN"]
        self.registry.targets[key] = target
        if tags:
            self._tag(arn, tags)
        return {"ScalableTargetARN": arn}

    def deregister(self, scope: Scope, request: dict) -> dict:
        if not self.registry.drop(_key(scope, request)):
            raise ObjectNotFound(f"No scalable target registered for {_words(request)}")
        return {}

    def describe_targets(self, scope: Scope, request: dict) -> dict:
        wanted = set(request.get("ResourceIds") or [])
        found = (
            target
            for key, target in self.registry.targets.items()
            if key[0] == scope and (not wanted or target["ResourceId"] in wanted)
        )
        return _page("DescribeScalableTargets", found, request, "ScalableTargets", KEY_MEMBERS)

    def _smallest(self, scope: Scope, target: dict) -> int:
        endpoint = checks.parts(target["ResourceId"])[0]
        return 0 if target["ScalableDimension"] == checks.COUNT and self._may_be_zero(scope, endpoint) else 1

    def _target(self, scope: Scope, request: dict) -> tuple[Key, dict]:
        key = _key(scope, request)
        if key not in self.registry.targets:
            raise ObjectNotFound(f"No scalable target registered for {_words(request)}")
        return key, self.registry.targets[key]

    # Policies

    def put_policy(self, scope: Scope, request: dict) -> dict:
        key, _ = self._target(scope, request)
        checks.check_policy(request)
        known = self.registry.policies.get((key, request["PolicyName"]))
        made = {"PolicyARN": _policy_arn(scope, request), "CreationTime": time.time()}
        kept = {name: known[name] for name in made} if known else made
        policy = {"PolicyType": "StepScaling", **kept, **request, "Alarms": []}
        self.registry.drop_policy(key, request["PolicyName"])
        if policy["PolicyType"] == TRACKING:
            policy["Alarms"] = alarms.named(scope, request["ResourceId"])
            for alarm in alarms.requests(policy):
                self.cloud.put_alarm(scope, alarm)
        self.registry.policies[key, request["PolicyName"]] = policy
        return policy

    def delete_policy(self, scope: Scope, request: dict) -> dict:
        if not self.registry.drop_policy(_key(scope, request), request["PolicyName"]):
            raise ObjectNotFound(f"No scaling policy found for {_words(request)}, policy name: {request['PolicyName']}")
        return {}

    def describe_policies(self, scope: Scope, request: dict) -> dict:
        found = [self._described(scope, p) for p in _named(self.registry.policies, scope, request, "PolicyNames")]
        return _page("DescribeScalingPolicies", found, request, "ScalingPolicies", (*KEY_MEMBERS, "PolicyName"))

    def _described(self, scope: Scope, policy: dict) -> dict:
        """Return a policy with its alarms; those of a step policy are whoever's, and name it among their actions."""
        if policy["PolicyType"] == TRACKING:
            return policy
        return {**policy, "Alarms": alarms.references(scope, self.cloud.alarms_of(scope, policy["PolicyARN"]))}

    # Scheduled actions

    def put_schedule(self, scope: Scope, request: dict) -> dict:
        key, target = self._target(scope, request)
        known = self.registry.schedules.get((key, request["ScheduledActionName"]))
        made = {"ScheduledActionARN": _action_arn(scope, request), "CreationTime": time.time()}
        action = {**(known or made), **request}  # what an update does not name stays
        if "Schedule" not in action:
            raise Invalid("Schedule must be given for a new scheduled action.")
        checks.check_schedule(action)
        smallest = self._smallest(scope, target)
        least = action["ScalableTargetAction"].get("MinCapacity", smallest)
        checks.check_bounds(least, action["ScalableTargetAction"].get("MaxCapacity", least), smallest)
        if "Schedule" in request:
            action.pop("_After", None)
        self.registry.schedules[key, request["ScheduledActionName"]] = action
        return {}

    def delete_schedule(self, scope: Scope, request: dict) -> dict:
        name = request["ScheduledActionName"]
        if self.registry.schedules.pop((_key(scope, request), name), None) is None:
            raise ObjectNotFound(f"No scheduled action found for {_words(request)}, scheduled action name: {name}")
        return {}

    def describe_schedules(self, scope: Scope, request: dict) -> dict:
        found = _named(self.registry.schedules, scope, request, "ScheduledActionNames")
        order = (*KEY_MEMBERS, "ScheduledActionName")
        return _page("DescribeScheduledActions", found, request, "ScheduledActions", order)

    # Activities and tags

    def describe_activities(self, scope: Scope, request: dict) -> dict:
        found = (activity for owner, activity in self.registry.activities if owner == scope)
        operation = "DescribeScalingActivities"
        return _page(operation, found, request, "ScalingActivities", ("StartTime", "_Number"), descending=True)

    def tag(self, scope: Scope, request: dict) -> dict:
        self._tag(self._tagged(scope, request), request["Tags"])
        return {}

    def untag(self, scope: Scope, request: dict) -> dict:
        tags = self.registry.tags.get(self._tagged(scope, request), {})
        for key in request["TagKeys"]:
            tags.pop(key, None)
        return {}

    def list_tags(self, scope: Scope, request: dict) -> dict:
        return {"Tags": self.registry.tags.get(self._tagged(scope, request), {})}

    def _tag(self, arn: str, added: dict[str, str]) -> None:
        tags = {**self.registry.tags.get(arn, {}), **added}
        if len(tags) > MOST_TAGS:
            raise TooManyTags(f"A scalable target can have at most {MOST_TAGS} tags.")
        self.registry.tags[arn] = tags

    def _tagged(self, scope: Scope, request: dict) -> str:
        arn = request["ResourceARN"]
        if all(key[0] != scope or t["ScalableTargetARN"] != arn for key, t in self.registry.targets.items()):
            raise ResourceNotFound(f"The specified resource {arn} doesn't exist.")
        return arn

    # For the rest of the cloud

    def reset(self) -> None:
        self.registry.clear()

    def dump(self) -> dict:
        return self.registry.dump()

    def load(self, state: dict) -> None:
        self.registry.load(state)


#: Operation -> method of Autoscaling.
OPERATIONS = {
    "RegisterScalableTarget": "register",
    "DeregisterScalableTarget": "deregister",
    "DescribeScalableTargets": "describe_targets",
    "PutScalingPolicy": "put_policy",
    "DeleteScalingPolicy": "delete_policy",
    "DescribeScalingPolicies": "describe_policies",
    "PutScheduledAction": "put_schedule",
    "DeleteScheduledAction": "delete_schedule",
    "DescribeScheduledActions": "describe_schedules",
    "DescribeScalingActivities": "describe_activities",
    "TagResource": "tag",
    "UntagResource": "untag",
    "ListTagsForResource": "list_tags",
}


def _key(scope: Scope, request: dict) -> Key:
    checks.check_key(request)
    return (scope, *(request[member] for member in KEY_MEMBERS))


def _named(records: dict[tuple[Key, str], dict], scope: Scope, request: dict, names: str) -> Iterable[dict]:
    wanted = set(request.get(names) or [])
    return (record for (key, name), record in records.items() if key[0] == scope and (not wanted or name in wanted))


def _page(
    operation: str, records: Iterable[dict], request: dict, key: str, order: tuple[str, ...], descending: bool = False
) -> dict:
    checks.check_filter(request)
    found = (record for record in records if all(record[m] == request.get(m, record[m]) for m in KEY_MEMBERS))
    limited = {**request, "MaxResults": min(request.get("MaxResults", PAGE_SIZE), PAGE_SIZE)}
    place = lambda record: [record[member] for member in order]  # noqa: E731
    try:
        return listing.page(operation, found, limited, key=key, place=place, descending=descending)
    except Invalid as error:
        raise InvalidNextToken(error.message) from error


def _words(request: dict) -> str:
    return (
        f"service namespace: {request['ServiceNamespace']}, resource ID: {request['ResourceId']}, "
        f"scalable dimension: {request['ScalableDimension']}"
    )


def _new_target(scope: Scope) -> dict:
    where = f"arn:aws:application-autoscaling:{scope.region}:{scope.account}"
    role = "aws-service-role/sagemaker.application-autoscaling.amazonaws.com"
    return {
        "CreationTime": time.time(),
        "ScalableTargetARN": f"{where}:scalable-target/{uuid.uuid4().hex[:26]}",
        "RoleARN": f"arn:aws:iam::{scope.account}:role/{role}/"
        "AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint",
        "SuspendedState": dict.fromkeys(SUSPENDED, False),
    }


SUSPENDED = ("DynamicScalingInSuspended", "DynamicScalingOutSuspended", "ScheduledScalingSuspended")


def _policy_arn(scope: Scope, request: dict) -> str:
    where = f"arn:aws:autoscaling:{scope.region}:{scope.account}:scalingPolicy:{uuid.uuid4()}"
    return f"{where}:resource/sagemaker/{request['ResourceId']}:policyName/{request['PolicyName']}"


def _action_arn(scope: Scope, request: dict) -> str:
    where = f"arn:aws:autoscaling:{scope.region}:{scope.account}:scheduledAction:{uuid.uuid4()}"
    resource = f"{where}:resource/sagemaker/{request['ResourceId']}"
    return f"{resource}:scheduledActionName/{request['ScheduledActionName']}"
