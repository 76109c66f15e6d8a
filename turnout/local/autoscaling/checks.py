"""What Application Auto Scaling refuses beyond the shape of a request. Pure functions over requests."""

import itertools
import re
from collections.abc import Mapping
from datetime import datetime
from math import inf
from typing import Any
from zoneinfo import ZoneInfo

from turnout.local.sagemaker import refusals
from turnout.local.sagemaker.errors import Invalid, NotEmulated
from turnout.local.sagemaker.refusals import Refusal, is_given

COUNT = "sagemaker:variant:DesiredInstanceCount"
CONCURRENCY = "sagemaker:variant:DesiredProvisionedConcurrency"
#: Dimensions and what activities call their capacities.
DIMENSIONS = {COUNT: "desired instance count", CONCURRENCY: "desired provisioned concurrency"}
RESOURCE = re.compile(r"endpoint/([^/]+)/variant/([^/]+)")
#: Predefined metrics by the dimension they are for: CloudWatch metric, statistic, and what silence means.
#: Without traffic SageMaker "emits metrics with a value of zero" for instances, so that idle ones go.
PREDEFINED: dict[str, dict[str, tuple[str, str, float | None]]] = {
    COUNT: {
        "SageMakerVariantInvocationsPerInstance": ("InvocationsPerInstance", "Sum", 0.0),
        "SageMakerVariantConcurrentRequestsPerModelHighResolution": ("ConcurrentRequestsPerModel", "Maximum", 0.0),
    },
    CONCURRENCY: {
        "SageMakerVariantProvisionedConcurrencyUtilization": (
            "ServerlessProvisionedConcurrencyUtilization",
            "Average",
            None,
        ),
    },
}
#: What is refused although AWS takes it, in keys of targets and in policies.
REFUSED_TARGETS = (
    Refusal(
        ("ServiceNamespace",),
        lambda service: service not in (None, "sagemaker"),
        "ServiceNamespace {} is not emulated, sagemaker is",
    ),
    Refusal(
        ("ScalableDimension",),
        lambda dimension: dimension not in (None, *DIMENSIONS),
        f"ScalableDimension {{}} is not emulated, {' and '.join(DIMENSIONS)} are",
    ),
)
REFUSED_POLICIES = (
    Refusal(
        ("PolicyType",),
        lambda kind: kind not in (None, "TargetTrackingScaling", "StepScaling"),
        "PolicyType {} is not emulated, TargetTrackingScaling and StepScaling are",
    ),
    Refusal(
        ("TargetTrackingScalingPolicyConfiguration", "CustomizedMetricSpecification", "Metrics"),
        is_given,
        "Metric maths in CustomizedMetricSpecification (Metrics) is not emulated",
    ),
)
MOST_STEPS = 20
AT = re.compile(r"at\((\S+)\)")
RATE = re.compile(r"rate\((\d+) (minute|minutes|hour|hours|day|days)\)")
CRON = re.compile(r"cron\(\S+( \S+){5}\)")


def parts(resource: str) -> tuple[str, str]:
    """Return endpoint and variant. Raises Invalid."""
    found = RESOURCE.fullmatch(resource)
    if not found:
        raise Invalid(f"ResourceId {resource!r} is not endpoint/NAME/variant/VARIANT.")
    return found[1], found[2]


def check_key(request: Mapping[str, Any]) -> None:
    """Raise NotEmulated for what is not a variant of an endpoint, Invalid for a resource id of another form."""
    if words := refusals.first(request, REFUSED_TARGETS):
        raise NotEmulated(f"{words}.")
    parts(request["ResourceId"])


def check_filter(request: Mapping[str, Any]) -> None:
    if "ScalableDimension" in request and not ("ResourceId" in request or request.get("ResourceIds")):
        raise Invalid("If a scalable dimension is specified, a resource ID must be specified too.")


def check_bounds(least: int, most: int, smallest: int) -> None:
    """Raise Invalid for capacities out of order or below the smallest that the resource may have."""
    if least < 0 or most < 0:
        raise Invalid("MinCapacity and MaxCapacity must be 0 or greater.")
    if least > most:
        raise Invalid("Maximum capacity cannot be less than minimum capacity")
    if least < smallest:
        raise Invalid("Minimum capacity cannot be less than 1 for real-time variants; 0 is for asynchronous ones.")


def check_policy(request: Mapping[str, Any]) -> None:
    """Raise what is refused in PutScalingPolicy."""
    if words := refusals.first(request, REFUSED_POLICIES):
        raise NotEmulated(f"{words}.")
    checks = {"TargetTrackingScaling": _check_tracking, "StepScaling": _check_step}
    kind = request.get("PolicyType", "StepScaling")
    for other in checks:
        if (f"{other}PolicyConfiguration" in request) != (other == kind):
            needs = "needs" if other == kind else "cannot have"
            raise Invalid(f"PolicyType {kind} {needs} {other}PolicyConfiguration.")
    checks[kind](request[f"{kind}PolicyConfiguration"], request["ScalableDimension"])


def _check_tracking(settings: Mapping[str, Any], dimension: str) -> None:
    named = [m for m in ("PredefinedMetricSpecification", "CustomizedMetricSpecification") if m in settings]
    if len(named) != 1:
        raise Invalid("Exactly one of PredefinedMetricSpecification and CustomizedMetricSpecification is required.")
    if settings["TargetValue"] <= 0:
        raise Invalid("TargetValue must be greater than 0.")
    if named == ["PredefinedMetricSpecification"]:
        kind = settings["PredefinedMetricSpecification"]["PredefinedMetricType"]
        if kind not in PREDEFINED[dimension]:
            raise Invalid(f"Predefined metric type {kind} is not for scalable dimension {dimension}.")
        return
    custom = settings["CustomizedMetricSpecification"]
    if missing := [name for name in ("MetricName", "Namespace", "Statistic") if name not in custom]:
        raise Invalid(f"CustomizedMetricSpecification needs {', '.join(missing)}.")


def _check_step(settings: Mapping[str, Any], dimension: str) -> None:
    """Raise Invalid, in AWS's words, for steps that leave open what a policy does.

    https://docs.aws.amazon.com/autoscaling/application/APIReference/API_StepAdjustment.html
    """
    steps, kind = settings.get("StepAdjustments"), settings.get("AdjustmentType")
    if not steps:
        raise Invalid("There must be at least one step adjustment")
    if not kind:
        raise Invalid("Adjustment type must be specified")
    if len(steps) > MOST_STEPS:
        raise Invalid(f"There can be at most {MOST_STEPS} step adjustments per scaling policy")
    if "MinAdjustmentMagnitude" in settings and kind != "PercentChangeInCapacity":
        raise Invalid("Minimum adjustment magnitude is only allowed for adjustment type PercentChangeInCapacity")
    if kind == "ExactCapacity" and any(step["ScalingAdjustment"] < 0 for step in steps):
        raise Invalid("Scaling adjustment cannot be less than 0 when adjustment type is ExactCapacity")
    _check_intervals(
        [(step.get("MetricIntervalLowerBound", -inf), step.get("MetricIntervalUpperBound", inf)) for step in steps]
    )


def _check_intervals(intervals: list[tuple[float, float]]) -> None:
    """Raise Invalid unless the intervals are one piece that has no end on the side away from the alarm's threshold."""
    intervals = sorted(intervals)
    if (-inf, inf) in intervals:
        raise Invalid("Both lower and upper bounds of a step adjustment cannot be left unspecified")
    _check_end("lower", "negative", [-low for low, _ in intervals])
    _check_end("upper", "positive", [high for _, high in intervals])
    if any(low >= high for low, high in intervals):
        raise Invalid("The upper bound of a step adjustment must be greater than its lower bound.")
    for (_, end), (start, _) in itertools.pairwise(intervals):
        if end > start:
            raise Invalid("Step adjustment intervals cannot overlap")
        if end < start:
            raise Invalid("Step adjustment intervals cannot have gaps between them")


def _check_end(side: str, sign: str, outward: list[float]) -> None:
    """Raise Invalid for bounds of one side that leave its end open: the larger, the farther out; inf has been left out.

    A bound beyond the threshold, one that is `sign`, needs another that is left out.
    """
    if outward.count(inf) > 1:
        raise Invalid(f"At most one step adjustment may have an unspecified {side} bound")
    if max(outward) > 0 and inf not in outward:
        raise Invalid(
            f"There must be a step adjustment with an unspecified {side} bound when one step adjustment has a "
            f"{sign} {side} bound"
        )


def check_schedule(request: Mapping[str, Any]) -> None:
    """Raise Invalid for a schedule that is none, an unknown time zone, or an action without effect."""
    schedule, action = request["Schedule"], request.get("ScalableTargetAction") or {}
    if not (_is_moment(schedule) or RATE.fullmatch(schedule) or CRON.fullmatch(schedule)):
        raise Invalid(
            f"Schedule expression {schedule!r} is not valid: at(yyyy-mm-ddThh:mm:ss), rate(...) or cron(...)."
        )
    try:
        ZoneInfo(request.get("Timezone", "UTC"))
    except (LookupError, ValueError) as error:
        raise Invalid(f"Timezone {request['Timezone']!r} is not valid.") from error
    if not action:
        raise Invalid("ScalableTargetAction needs MinCapacity, MaxCapacity or both.")
    if {"MinCapacity", "MaxCapacity"} <= set(action):
        check_bounds(action["MinCapacity"], action["MaxCapacity"], 0)
    if request.get("EndTime", float("inf")) <= request.get("StartTime", 0):
        raise Invalid("EndTime must be later than StartTime.")


def _is_moment(schedule: str) -> bool:
    if not (found := AT.fullmatch(schedule)):
        return False
    try:
        return datetime.fromisoformat(found[1]).tzinfo is None
    except ValueError:
        return False
