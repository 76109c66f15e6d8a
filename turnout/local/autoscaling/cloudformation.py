"""CloudFormation's ScalableTarget and ScalingPolicy."""

from turnout.local.autoscaling.api import SERVICE, Autoscaling
from turnout.local.autoscaling.registry import KEY_MEMBERS
from turnout.local.sagemaker import validation
from turnout.local.sagemaker.cloudformation import ResourceFailed, ResourceType
from turnout.local.sagemaker.errors import ApiError

TARGET_CREATE_ONLY = ("ResourceId", "ScalableDimension", "ServiceNamespace")
POLICY_CREATE_ONLY = ("PolicyName", "ScalingTargetId", "ResourceId", "ScalableDimension", "ServiceNamespace")
#: Ref of a target: its three parts in this order.
REF_MEMBERS = ("ResourceId", "ScalableDimension", "ServiceNamespace")


def resource_types(autoscaling: Autoscaling) -> dict[str, ResourceType]:
    """Return the CloudFormation types that Application Auto Scaling provides, by name."""
    return {
        "AWS::ApplicationAutoScaling::ScalableTarget": _target(autoscaling),
        "AWS::ApplicationAutoScaling::ScalingPolicy": _policy(autoscaling),
    }


def _target(autoscaling: Autoscaling) -> ResourceType:
    def create(name: str, properties: dict) -> tuple[str, dict]:
        request = {k: v for k, v in properties.items() if k != "ScheduledActions"}
        _call(autoscaling, "RegisterScalableTarget", request)
        target = {member: properties[member] for member in REF_MEMBERS}
        for action in properties.get("ScheduledActions") or []:
            _call(autoscaling, "PutScheduledAction", target | action)
        identity = "|".join(target.values())
        return identity, {"Id": identity}

    def update(identity: str, old: dict, new: dict) -> tuple[str, dict]:
        result = create("", new)
        target = {member: new[member] for member in REF_MEMBERS}
        for name in _actions(old) - _actions(new):
            _delete(autoscaling, "DeleteScheduledAction", target | {"ScheduledActionName": name})
        return result

    def delete(identity: str) -> None:
        request = dict(zip(REF_MEMBERS, identity.split("|"), strict=True))
        _delete(autoscaling, "DeregisterScalableTarget", request)

    return ResourceType(create, update, delete, TARGET_CREATE_ONLY, tagged=False)


def _actions(properties: dict) -> set[str]:
    return {action["ScheduledActionName"] for action in properties.get("ScheduledActions") or []}


def _policy(autoscaling: Autoscaling) -> ResourceType:
    def create(name: str, properties: dict) -> tuple[str, dict]:
        request = dict(properties)
        if identity := request.pop("ScalingTargetId", None):
            request |= dict(zip(REF_MEMBERS, identity.split("|"), strict=True))
        arn = _call(autoscaling, "PutScalingPolicy", request)["PolicyARN"]
        return arn, {"Arn": arn, "PolicyName": request["PolicyName"]}

    def update(arn: str, old: dict, new: dict) -> tuple[str, dict]:
        return create("", new)

    def delete(arn: str) -> None:
        if (found := autoscaling.registry.policy(arn)) is not None:
            policy = found[1]
            request = {member: policy[member] for member in (*KEY_MEMBERS, "PolicyName")}
            _delete(autoscaling, "DeleteScalingPolicy", request)

    return ResourceType(create, update, delete, POLICY_CREATE_ONLY, tagged=False)


def _call(autoscaling: Autoscaling, operation: str, request: dict) -> dict:
    try:
        return autoscaling.call(operation, validation.typed(operation, request, SERVICE))
    except ApiError as error:
        raise ResourceFailed(f"{error.message} (Service: ApplicationAutoScaling, Error Code: {error.code})") from error


def _delete(autoscaling: Autoscaling, operation: str, request: dict) -> None:
    """Delete what may be gone already: with its endpoint, which deregisters its targets."""
    try:
        autoscaling.call(operation, request)
    except ApiError as error:
        if error.code != "ObjectNotFoundException":
            raise ResourceFailed(error.message) from error
