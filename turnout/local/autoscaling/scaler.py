"""Carries policies and scheduled actions out: looks at metrics and clock once a second, changes capacities.

Minutes of metrics and cooldowns are AWS's, shortened by the time scale. Schedules go by the clock on the wall, or the
one that EventBridge Scheduler is shown.
"""

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from turnout.local import schedules
from turnout.local.autoscaling import alarms, policies
from turnout.local.autoscaling.checks import parts
from turnout.local.autoscaling.registry import Key, Registry
from turnout.local.faults import Faults
from turnout.local.sagemaker.errors import ApiError
from turnout.local.sagemaker.hosting.metering import USAGE_NAMESPACE, USAGE_SECONDS
from turnout.local.sagemaker.ports import Scope

COOLDOWN_SECONDS = 300
#: How long before the first look at a schedule it may have been due: it was put since the last one.
LOOKED_BEFORE = timedelta(seconds=1.5)

logger = logging.getLogger("turnout.autoscaling")


class Capacities(Protocol):
    """The endpoints whose capacity is changed."""

    def capacity(self, scope: Scope, endpoint: str, variant: str, dimension: str) -> int:
        """Return the desired capacity. Raises Invalid for a variant that does not exist."""

    def set_capacity(self, scope: Scope, endpoint: str, variant: str, dimension: str, count: int) -> None:
        """Ask for another one. Raises Invalid while something else is under way."""


Points = Callable[[Scope, str, str, dict[str, str]], list[dict]]


class Scaler:
    """`points(scope, namespace, metric, dimensions)` gives a metric's stored values, `now()` the time for schedules.

    `next_cron` is `schedules.NextCron`.
    """

    def __init__(
        self,
        registry: Registry,
        capacities: Capacities,
        points: Points,
        faults: Faults,
        next_cron: schedules.NextCron,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._registry, self._capacities, self._points, self._faults = registry, capacities, points, faults
        self._next_cron, self._now = next_cron, now

    def tick(self) -> None:
        """Look at every target once."""
        for key, target in list(self._registry.targets.items()):
            try:
                self._run_schedules(key, target)
                self._look(key, target)
            except ApiError as error:
                logger.debug("%s: %s", target["ResourceId"], error)

    # Schedules

    def _run_schedules(self, key: Key, target: dict) -> None:
        now = self._now()
        for action in self._registry.of("schedules", key):
            after = action.setdefault("_After", now - LOOKED_BEFORE)
            due = schedules.latest_due(_as_schedule(action), after, now, self._next_cron)
            if due is None:
                continue
            action["_After"] = due
            if not target["SuspendedState"].get("ScheduledScalingSuspended"):
                self._apply(key[0], target, action)

    def _apply(self, scope: Scope, target: dict, action: dict) -> None:
        """Set a target's bounds; the look that follows brings its capacity within them."""
        least, most = (
            action["ScalableTargetAction"].get(name, target[name]) for name in ("MinCapacity", "MaxCapacity")
        )
        cause = f"scheduled action name {action['ScheduledActionName']} was triggered"
        problem = "Maximum capacity cannot be less than minimum capacity" if least > most else ""
        if not problem:
            target.update(MinCapacity=least, MaxCapacity=most)
        self._registry.note(scope, target, f"min capacity to {least} and max capacity to {most}", cause, problem)

    # Bounds and policies

    def _look(self, key: Key, target: dict) -> None:
        scope, current = key[0], self._current(key[0], target)
        within = _within(target, current)
        if within != current:
            bound = "minimum" if within > current else "maximum"
            self._set(scope, target, current, within, f"{bound} capacity was set to {within}")
            return
        tracking = [p for p in self._registry.of("policies", key) if p["PolicyType"] == "TargetTrackingScaling"]
        votes = [(self._tracked(scope, target, policy, current), policy) for policy in tracking]
        outward = [vote for vote in votes if vote[0] > current]
        inward = [
            vote for vote in votes if not vote[1]["TargetTrackingScalingPolicyConfiguration"].get("DisableScaleIn")
        ]
        if chosen := outward or inward:  # out if one wants it; in only when all that may want it
            count, policy = max(chosen, key=lambda vote: vote[0])
            alarm = policy["Alarms"][count < current]["AlarmName"]  # high, low
            self._change(scope, target, policy, current, count, f"monitor alarm {alarm} in state ALARM")

    def _current(self, scope: Scope, target: dict) -> int:
        return self._capacities.capacity(scope, *parts(target["ResourceId"]), target["ScalableDimension"])

    def _tracked(self, scope: Scope, target: dict, policy: dict, current: int) -> int:
        settings = policy["TargetTrackingScalingPolicyConfiguration"]
        namespace, name, dimensions, statistic, silence = alarms.metric(settings, target)
        minute = max(self._faults.seconds(60), USAGE_SECONDS if namespace == USAGE_NAMESPACE else 0)
        points = self._points(scope, namespace, name, dimensions)
        now = time.time()
        values = policies.per_minute(points, statistic, minute, policies.IN_PERIODS, now)
        if silence is not None:
            known = int((now - policy.setdefault("_Since", now)) / max(minute, 1.0))  # before, nothing was looked for
            values = [silence if v is None and age < known else v for age, v in enumerate(values)]
        return policies.tracked(current, settings["TargetValue"], values, not settings.get("DisableScaleIn"))

    def alarm(self, policy_arn: str, alarm: dict, value: float) -> None:
        """Carry a step policy out because an alarm that names it is in ALARM; `value` is the metric's."""
        found = self._registry.policy(policy_arn)
        if found is None or found[1]["PolicyType"] != "StepScaling":
            return
        key, policy = found
        target = self._registry.targets[key]
        try:
            current = self._current(key[0], target)
            settings = policy["StepScalingPolicyConfiguration"]
            wanted = policies.stepped(current, settings, value - float(alarm["Threshold"]))
            self._change(key[0], target, policy, current, wanted, f"monitor alarm {alarm['AlarmName']} in state ALARM")
        except ApiError as error:
            logger.debug("%s: %s", target["ResourceId"], error)

    def _change(self, scope: Scope, target: dict, policy: dict, current: int, wanted: int, cause: str) -> None:
        wanted, out = _within(target, wanted), wanted > current
        if wanted == current or self._suspended(target, out) or self._cools(target, policy, out):
            return
        self._set(scope, target, current, wanted, f"{cause} triggered policy {policy['PolicyName']}")

    def _set(self, scope: Scope, target: dict, current: int, count: int, cause: str) -> None:
        endpoint, variant = parts(target["ResourceId"])
        self._capacities.set_capacity(scope, endpoint, variant, target["ScalableDimension"], count)
        target["_Last"] = count > current, time.monotonic()
        self._registry.note_capacity(scope, target, count, cause)
        logger.info("%s: %d -> %d (%s)", target["ResourceId"], current, count, cause)

    @staticmethod
    def _suspended(target: dict, out: bool) -> bool:
        return target["SuspendedState"].get(f"DynamicScaling{'Out' if out else 'In'}Suspended", False)

    def _cools(self, target: dict, policy: dict, out: bool) -> bool:
        """Whether the last change is too recent; one inwards never keeps from going out again."""
        went_out, when = target.get("_Last", (out, float("-inf")))
        if out and not went_out:
            return False
        tracking = policy.get("TargetTrackingScalingPolicyConfiguration") or {}
        step = policy.get("StepScalingPolicyConfiguration") or {}
        seconds = step.get("Cooldown", tracking.get("ScaleOutCooldown" if out else "ScaleInCooldown", COOLDOWN_SECONDS))
        return time.monotonic() - when < self._faults.seconds(seconds)


def _within(target: dict, count: int) -> int:
    return min(max(count, target["MinCapacity"]), target["MaxCapacity"])


def _as_schedule(action: dict) -> dict[str, Any]:
    """Return a scheduled action as EventBridge Scheduler would have it."""
    return {
        "ScheduleExpression": action["Schedule"],
        "ScheduleExpressionTimezone": action.get("Timezone"),
        "StartDate": action.get("StartTime"),
        "EndDate": action.get("EndTime"),
        "CreationDate": action["CreationTime"],
    }
