"""The CloudWatch alarms of a policy: the two of a target tracking policy, as AWS names them, or those that act on it.

The two show where the metric stands and change nothing: `scaler.py` looks at the metric itself, at the pace of the
local cloud's time scale.
"""

import uuid
from collections.abc import Iterable
from typing import Any

from turnout.local.autoscaling.checks import PREDEFINED, parts
from turnout.local.autoscaling.policies import IN_BELOW, IN_PERIODS, OUT_PERIODS
from turnout.local.sagemaker.hosting.metering import NAMESPACE
from turnout.local.sagemaker.ports import Scope

PERIOD_SECONDS = 60
DESCRIPTION = "DO NOT EDIT OR DELETE. For TargetTrackingScaling policy {}."


def named(scope: Scope, resource: str) -> list[dict[str, str]]:
    """Return the `Alarms` of a new policy on a resource: names and ARNs, high before low."""
    return references(scope, [f"TargetTracking-{resource}-{w}-{uuid.uuid4()}" for w in ("AlarmHigh", "AlarmLow")])


def references(scope: Scope, names: Iterable[str]) -> list[dict[str, str]]:
    """Return alarms as the `Alarms` of a policy name them."""
    where = f"arn:aws:cloudwatch:{scope.region}:{scope.account}:alarm"
    return [{"AlarmName": name, "AlarmARN": f"{where}:{name}"} for name in names]


def requests(policy: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a PutMetricAlarm request for each alarm of a policy."""
    settings = policy["TargetTrackingScalingPolicyConfiguration"]
    namespace, name, dimensions, statistic, _ = metric(settings, policy)
    high, low = (alarm["AlarmName"] for alarm in policy["Alarms"])
    limits = (
        (high, "GreaterThanThreshold", settings["TargetValue"], OUT_PERIODS),
        (low, "LessThanThreshold", settings["TargetValue"] * IN_BELOW, IN_PERIODS),
    )
    return [
        {
            "AlarmName": alarm,
            "AlarmDescription": DESCRIPTION.format(policy["PolicyARN"]),
            "Namespace": namespace,
            "MetricName": name,
            "Dimensions": [{"Name": key, "Value": value} for key, value in dimensions.items()],
            "Statistic": statistic,
            "ComparisonOperator": comparison,
            "Threshold": threshold,
            "Period": PERIOD_SECONDS,
            "EvaluationPeriods": periods,
            "AlarmActions": [policy["PolicyARN"]],
        }
        for alarm, comparison, threshold, periods in limits
    ]


def metric(settings: dict[str, Any], target: dict) -> tuple[str, str, dict[str, str], str, float | None]:
    """Return namespace, name, dimensions and statistic of the metric that a policy tracks, and what silence means."""
    if custom := settings.get("CustomizedMetricSpecification"):
        dimensions = {d["Name"]: d["Value"] for d in custom.get("Dimensions", [])}
        return custom["Namespace"], custom["MetricName"], dimensions, custom["Statistic"], None
    kind = settings["PredefinedMetricSpecification"]["PredefinedMetricType"]
    name, statistic, silence = PREDEFINED[target["ScalableDimension"]][kind]
    endpoint, variant = parts(target["ResourceId"])
    return NAMESPACE, name, {"EndpointName": endpoint, "VariantName": variant}, statistic, silence
