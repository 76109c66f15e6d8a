"""Carries scaling policies out: looks at metrics once a second, obeys cooldowns and limits, changes capacities.

Minutes and cooldowns are AWS's, shortened by the time scale.
"""

import logging
import time
from collections.abc import Callable
from typing import Any, Protocol

from turnout.local.autoscaling import policies
from turnout.local.autoscaling.api import RESOURCE, Autoscaling, Key
from turnout.local.faults import Faults
from turnout.local.sagemaker.errors import ApiError, Invalid
from turnout.local.sagemaker.ports import Scope

NAMESPACE = "AWS/SageMaker"
COOLDOWN_SECONDS = 300

logger = logging.getLogger("turnout.autoscaling")


class Capacities(Protocol):
    """The endpoints whose capacity is changed."""

    def capacity(self, scope: Scope, endpoint: str, variant: str) -> int:
        """Return the desired instance count. Raises Invalid for a variant that does not exist."""

    def set_capacity(self, scope: Scope, endpoint: str, variant: str, count: int) -> None:
        """Ask for another count. Raises Invalid while something else is under way."""


Points = Callable[[Scope, str, str, dict[str, str]], list[dict]]


class Scaler:
    """`points(scope, namespace, metric, dimensions)` gives a metric's stored values."""

    def __init__(self, autoscaling: Autoscaling, capacities: Capacities, points: Points, faults: Faults) -> None:
        self._autoscaling, self._capacities, self._points, self._faults = autoscaling, capacities, points, faults

    def tick(self) -> None:
        """Look at every target once."""
        for key, target in list(self._autoscaling.targets.items()):
            try:
                self._look(key, target)
            except ApiError as error:
                logger.debug("%s: %s", target["ResourceId"], error)

    def _look(self, key: Key, target: dict) -> None:
        scope = key[0]
        current = self._current(scope, target)
        within = min(max(current, target["MinCapacity"]), target["MaxCapacity"])
        if within != current:
            self._set(scope, target, within)
            return
        wanted = {}
        for (owner, _), policy in list(self._autoscaling.policies.items()):
            if owner == key and policy["PolicyType"] == "TargetTrackingScaling":
                wanted[policy["PolicyName"]] = self._tracked(scope, target, policy, current), policy
        if not wanted:
            return
        count, policy = max(wanted.values(), key=lambda pair: pair[0])  # out wins; in only when all agree
        self._change(scope, target, policy, current, count, "target tracking")

    def _current(self, scope: Scope, target: dict) -> int:
        endpoint, variant = RESOURCE.fullmatch(target["ResourceId"]).groups()
        return self._capacities.capacity(scope, endpoint, variant)

    def _tracked(self, scope: Scope, target: dict, policy: dict, current: int) -> int:
        settings = policy["TargetTrackingScalingPolicyConfiguration"]
        namespace, name, dimensions, statistic = _metric(settings, target)
        values = policies.per_minute(
            self._points(scope, namespace, name, dimensions),
            statistic,
            self._faults.seconds(60),
            policies.IN_PERIODS,
            time.time(),
        )
        return policies.tracked(current, settings["TargetValue"], values, not settings.get("DisableScaleIn"))

    def alarm(self, policy_arn: str, alarm: dict, value: float) -> None:
        """Carry a step policy out because an alarm that names it is in ALARM; `value` is the metric's."""
        found = self._autoscaling.policy(policy_arn)
        if found is None or found[1]["PolicyType"] != "StepScaling":
            return
        key, policy = found
        target = self._autoscaling.targets[key]
        try:
            current = self._current(key[0], target)
            settings = policy["StepScalingPolicyConfiguration"]
            wanted = policies.stepped(current, settings, value - float(alarm["Threshold"]))
            self._change(key[0], target, policy, current, wanted, f"monitor alarm {alarm['AlarmName']}")
        except ApiError as error:
            logger.debug("%s: %s", target["ResourceId"], error)

    def _change(self, scope: Scope, target: dict, policy: dict, current: int, wanted: int, cause: str) -> None:
        wanted = min(max(wanted, target["MinCapacity"]), target["MaxCapacity"])
        if (
            wanted == current
            or self._suspended(target, wanted > current)
            or self._cools(target, policy, wanted > current)
        ):
            return
        self._set(scope, target, wanted)
        target["_changed_at"] = time.monotonic()
        self._autoscaling.note(scope, target, policy, wanted, cause)
        logger.info("%s: %d -> %d (%s)", target["ResourceId"], current, wanted, cause)

    def _set(self, scope: Scope, target: dict, count: int) -> None:
        endpoint, variant = RESOURCE.fullmatch(target["ResourceId"]).groups()
        self._capacities.set_capacity(scope, endpoint, variant, count)

    @staticmethod
    def _suspended(target: dict, out: bool) -> bool:
        state = target.get("SuspendedState") or {}
        return bool(state.get("DynamicScalingOutSuspended" if out else "DynamicScalingInSuspended"))

    def _cools(self, target: dict, policy: dict, out: bool) -> bool:
        tracking = policy.get("TargetTrackingScalingPolicyConfiguration") or {}
        step = policy.get("StepScalingPolicyConfiguration") or {}
        seconds = step.get("Cooldown", tracking.get("ScaleOutCooldown" if out else "ScaleInCooldown", COOLDOWN_SECONDS))
        since = time.monotonic() - target.get("_changed_at", float("-inf"))
        return since < self._faults.seconds(seconds)


def _metric(settings: dict[str, Any], target: dict) -> tuple[str, str, dict[str, str], str]:
    """Return namespace, name, dimensions and statistic of the metric that a policy tracks."""
    if custom := settings.get("CustomizedMetricSpecification"):
        dimensions = {d["Name"]: d["Value"] for d in custom.get("Dimensions", [])}
        return custom["Namespace"], custom["MetricName"], dimensions, custom["Statistic"]
    kind = settings["PredefinedMetricSpecification"]["PredefinedMetricType"]
    if kind not in policies.PREDEFINED:
        raise Invalid(f"Predefined metric {kind} is not emulated.")
    name, statistic = policies.PREDEFINED[kind]
    endpoint, variant = RESOURCE.fullmatch(target["ResourceId"]).groups()
    return NAMESPACE, name, {"EndpointName": endpoint, "VariantName": variant}, statistic
