"""How traffic moves from the old fleet to the new one: AWS's deployment guardrails as plain steps."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

DEFAULT = {"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": {"Type": "ALL_AT_ONCE"}}}


class Step(NamedTuple):
    """Send `share` of the traffic to the new fleet and watch the alarms for `wait` seconds of AWS's time."""

    share: float
    wait: float


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


def alarm_names(deployment: Mapping[str, Any] | None) -> list[str]:
    """Return the alarms that turn a deployment back."""
    rollback = (deployment or {}).get("AutoRollbackConfiguration") or {}
    return [alarm["AlarmName"] for alarm in rollback.get("Alarms", [])]
