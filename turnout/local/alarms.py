"""Which state a CloudWatch alarm is in: periods, data points to alarm, missing data.

Periods are counted back from now, not aligned to the clock as AWS does, so that an alarm reacts at once.
"""

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "GreaterThanOrEqualToThreshold": operator.ge,
    "GreaterThanThreshold": operator.gt,
    "LessThanThreshold": operator.lt,
    "LessThanOrEqualToThreshold": operator.le,
}


def dimensions(alarm: Mapping[str, Any]) -> dict[str, str]:
    """Return the alarm's dimensions as name -> value, whichever way they are stored."""
    given = alarm.get("Dimensions") or {}
    return dict(given) if isinstance(given, Mapping) else {d["Name"]: d["Value"] for d in given}


def windows(alarm: Mapping[str, Any], points: Sequence[Mapping[str, Any]], now: float) -> list[list[Mapping[str, Any]]]:
    """Return the data points of each evaluated period, newest period first.

    Points carry whole seconds. Periods end with the last complete one, and the newest holds what the second that has
    just begun brings too: else what a gauge says once a second would be missed, depending on when one looks.
    """
    end = math.floor(now) - 1
    period, count = float(alarm.get("Period", 60)), int(alarm.get("EvaluationPeriods", 1))
    parts: list[list[Mapping[str, Any]]] = [[] for _ in range(count)]
    for point in points:
        index = max(int((end - point["Timestamp"]) // period), 0)
        if index < count:
            parts[index].append(point)
    return parts


def evaluate(alarm: Mapping[str, Any], values: Sequence[float | None]) -> tuple[str, str]:
    """Return state and reason for one value per period, newest first; None where nothing was reported."""
    treat = alarm.get("TreatMissingData") or "missing"
    compare = COMPARISONS[alarm["ComparisonOperator"]]
    threshold = float(alarm["Threshold"])
    needed = int(alarm.get("DatapointsToAlarm") or alarm.get("EvaluationPeriods", 1))
    breaching = [treat == "breaching" if value is None else compare(value, threshold) for value in values]
    rule = f"{alarm['ComparisonOperator']} {threshold:g}"
    reason = f"{sum(breaching)} of {len(values)} datapoints {list(values)} breach ({rule}), {needed} needed"
    if all(value is None for value in values):
        state = {"breaching": "ALARM", "notBreaching": "OK", "ignore": alarm.get("StateValue", "INSUFFICIENT_DATA")}
        return state.get(treat, "INSUFFICIENT_DATA"), f"no datapoints, missing data is {treat}"
    if treat == "ignore" and sum(breaching) < needed and None in values:
        return alarm.get("StateValue", "OK"), reason
    return ("ALARM" if sum(breaching) >= needed else "OK"), f"Threshold Crossed: {reason}"
