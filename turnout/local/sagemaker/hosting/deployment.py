"""How traffic moves from the old fleet to the new one: AWS's deployment guardrails as plain steps."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from turnout.local.sagemaker.errors import Invalid
from turnout.local.sagemaker.hosting.kinds import is_serverless

DEFAULT = {
    "BlueGreenUpdatePolicy": {
        "TrafficRoutingConfiguration": {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 0},
        "TerminationWaitInSeconds": 0,
    }
}
#: How much of a variant one step may move, in percent: least and most.
BOUNDS = {"CanarySize": (0, 50), "LinearStepSize": (10, 50), "MaximumBatchSize": (5, 50)}


class Step(NamedTuple):
    """Send `share` of the traffic to the new fleet and watch the alarms for `wait` seconds of AWS's time."""

    share: float
    wait: float


def check(deployment: Mapping[str, Any], old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Raise Invalid for a deployment that SageMaker refuses; `old` and `new` are endpoint configurations."""
    policies = [name for name in ("BlueGreenUpdatePolicy", "RollingUpdatePolicy") if deployment.get(name)]
    if len(policies) > 1:
        raise Invalid("Only one of BlueGreenUpdatePolicy and RollingUpdatePolicy can be specified.")
    rolling = deployment.get("RollingUpdatePolicy")
    if rolling and (len(new["ProductionVariants"]) > 1 or any(map(is_serverless, new["ProductionVariants"]))):
        raise Invalid("RollingUpdatePolicy does not support serverless endpoints, nor several production variants.")
    name, size = _step(deployment)
    if name is None:
        return
    if size is None:
        raise Invalid(f"{name} is required for this type of deployment.")
    if _names(old) != _names(new):
        raise Invalid("A deployment in steps needs production variants of the same names.")
    least, most = BOUNDS[name]
    for variant in new["ProductionVariants"]:
        count = variant.get("InitialInstanceCount", 1)
        percent = size["Value"] if size["Type"] == "CAPACITY_PERCENT" else 100 * size["Value"] / count
        if not least <= percent <= most:
            raise Invalid(
                f"{name} must be between {least} and {most} percent of the instances of variant "
                f"{variant['VariantName']}; it is {percent:g} percent of {count}."
            )


def _names(config: Mapping[str, Any]) -> set[str]:
    return {variant["VariantName"] for variant in config["ProductionVariants"]}


def _step(deployment: Mapping[str, Any]) -> tuple[str | None, Mapping[str, Any] | None]:
    """Return the name and value of the member that says how large a step is; no name for all at once."""
    if rolling := deployment.get("RollingUpdatePolicy"):
        return "MaximumBatchSize", rolling["MaximumBatchSize"]
    policy = deployment.get("BlueGreenUpdatePolicy") or DEFAULT["BlueGreenUpdatePolicy"]
    traffic = policy["TrafficRoutingConfiguration"]
    name = {"CANARY": "CanarySize", "LINEAR": "LinearStepSize"}.get(traffic["Type"])
    return name, traffic.get(name or "")


def steps(deployment: Mapping[str, Any] | None, instances: int) -> Iterator[Step]:
    """Yield the steps of a deployment over a variant of `instances`; the last one has share 1."""
    if rolling := (deployment or {}).get("RollingUpdatePolicy"):
        size = _fraction(rolling["MaximumBatchSize"], instances)
        yield from _linear(size, rolling.get("WaitIntervalInSeconds", 0))
        return
    policy = (deployment or DEFAULT).get("BlueGreenUpdatePolicy") or DEFAULT["BlueGreenUpdatePolicy"]
    traffic = policy["TrafficRoutingConfiguration"]
    wait = traffic.get("WaitIntervalInSeconds", 0)
    if traffic["Type"] == "CANARY":
        yield Step(_fraction(traffic["CanarySize"], instances), wait)
        yield Step(1.0, wait)
    elif traffic["Type"] == "LINEAR":
        yield from _linear(_fraction(traffic["LinearStepSize"], instances), wait)
    else:
        yield Step(1.0, wait)


def _linear(size: float, wait: float) -> Iterator[Step]:
    share = size
    while share < 1 - 1e-9:
        yield Step(share, wait)
        share += size
    yield Step(1.0, wait)


def _fraction(size: Mapping[str, Any], instances: int) -> float:
    value = size["Value"] / (100 if size["Type"] == "CAPACITY_PERCENT" else max(instances, 1))
    return min(max(value, 0.01), 1.0)


def bake_seconds(deployment: Mapping[str, Any] | None) -> float:
    """Return how long the old fleet stays after all traffic has moved, still watched by the alarms."""
    return ((deployment or {}).get("BlueGreenUpdatePolicy") or {}).get("TerminationWaitInSeconds", 0)


def alarm_names(deployment: Mapping[str, Any] | None) -> list[str]:
    """Return the alarms that turn a deployment back."""
    rollback = (deployment or {}).get("AutoRollbackConfiguration") or {}
    return [alarm["AlarmName"] for alarm in rollback.get("Alarms", [])]
