"""What a scaling policy wants, given metrics: target tracking and step scaling. Pure functions.

Target tracking acts as AWS's alarms do: out after three minutes above the target, in after fifteen minutes below
nine tenths of it. Periods without data say nothing. Minutes are AWS's; the caller hands in one value per minute.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

OUT_PERIODS, IN_PERIODS = 3, 15
IN_BELOW = 0.9


def tracked(current: int, target: float, values: Sequence[float | None], scale_in: bool = True) -> int:
    """Return the capacity that keeps a metric at its target. `values`: one per minute, newest first."""
    newest = values[:OUT_PERIODS]
    if len(newest) == OUT_PERIODS and all(value is not None and value > target for value in newest):
        return current + 1 if current == 0 else max(math.ceil(current * newest[0] / target), current + 1)
    older = values[:IN_PERIODS]
    low = len(older) == IN_PERIODS and all(value is not None and value < IN_BELOW * target for value in older)
    if scale_in and low and current:
        return min(math.ceil(current * max(older) / target), current)
    return current


def stepped(current: int, settings: Mapping[str, Any], above_threshold: float) -> int:
    """Return the capacity after one step. `above_threshold`: metric less the alarm's threshold.

    Above the threshold the lower bound of a step belongs to it, below the upper one.
    """
    for step in settings["StepAdjustments"]:
        low = step.get("MetricIntervalLowerBound", -math.inf)
        high = step.get("MetricIntervalUpperBound", math.inf)
        upward, downward = low <= above_threshold < high, low < above_threshold <= high
        if (upward and above_threshold >= 0) or (downward and above_threshold <= 0):
            return _adjusted(current, settings, step["ScalingAdjustment"])
    return current


def _adjusted(current: int, settings: Mapping[str, Any], adjustment: int) -> int:
    kinds = {
        "ExactCapacity": lambda: adjustment,
        "ChangeInCapacity": lambda: current + adjustment,
        "PercentChangeInCapacity": lambda: current + _percent(current, adjustment, settings),
    }
    return max(kinds[settings["AdjustmentType"]](), 0)


def _percent(current: int, adjustment: int, settings: Mapping[str, Any]) -> int:
    """Return the change of capacity: whole, towards zero, but at least 1 if there is any, and the least magnitude."""
    change = abs(current * adjustment / 100)
    whole = max(math.floor(change), 1 if change else 0, settings.get("MinAdjustmentMagnitude", 0))
    return whole if adjustment > 0 else -whole


def per_minute(
    points: Sequence[Mapping[str, float]], statistic: str, minute: float, periods: int, now: float
) -> list[float | None]:
    """Return a metric per minute, newest first; None where there is no data.

    `minute` is how long a minute lasts here. `points` have Timestamp (whole seconds), Value and Count. Sums are
    scaled up to a real minute, so that 20 requests a second are 1,200 a minute however fast time passes.
    """
    width = max(minute, 1.0)
    parts: list[list[Mapping[str, float]]] = [[] for _ in range(periods)]
    end = math.floor(now)  # the second that has just begun is not complete
    for point in points:
        age = end - point["Timestamp"]
        if 0 < age <= width * periods:
            parts[min(math.ceil(age / width), periods) - 1].append(point)
    return [_statistic(part, statistic, 60 / width) if part else None for part in parts]


def _statistic(points: Sequence[Mapping[str, float]], statistic: str, to_a_minute: float) -> float:
    values = [point["Value"] for point in points]
    counts = [point.get("Count", 1.0) for point in points]
    total = sum(value * count for value, count in zip(values, counts, strict=True))
    found = {
        "Sum": lambda: total * to_a_minute,
        "SampleCount": lambda: sum(counts) * to_a_minute,
        "Average": lambda: total / sum(counts),
        "Maximum": lambda: max(values),
        "Minimum": lambda: min(values),
    }
    return found[statistic]()
