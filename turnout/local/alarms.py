"""Which state a CloudWatch alarm is in: periods, data points to alarm, missing data.

Periods are counted back from now, not aligned to the clock as AWS does, so that an alarm reacts at once.
"""

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from turnout.local import metric_math

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


def check_metrics(queries: Sequence[Mapping[str, Any]]) -> None:
    """Raise metric_math.NotSupported when an alarm's Metrics cannot be worked out here."""
    if len(_returned(queries)) != 1:
        raise metric_math.NotSupported("exactly one of an alarm's Metrics has ReturnData")
    ids = [query["Id"] for query in queries]
    below: dict[str, set[str]] = {}
    for query in queries:
        names = metric_math.names(query["Expression"], ids) if query.get("Expression") else set()
        below[query["Id"]] = names
    while leaves := {identity for identity, names in below.items() if not names & below.keys()}:
        below = {identity: names for identity, names in below.items() if identity not in leaves}
    if below:
        raise metric_math.NotSupported(f"the metric expressions {sorted(below)} refer to each other")


def metric_period(queries: Sequence[Mapping[str, Any]]) -> int:
    """Return the period, in seconds, of what an alarm's Metrics give."""
    (query,) = _returned(queries)
    periods = [each["MetricStat"]["Period"] for each in queries if each.get("MetricStat")]
    return int(query.get("Period") or (query.get("MetricStat") or {}).get("Period") or max(periods, default=60))


def metric_values(
    queries: Sequence[Mapping[str, Any]], measured: Callable[[Mapping[str, Any]], metric_math.Series]
) -> metric_math.Series:
    """Return what an alarm's Metrics give per period; `measured` returns the series of one MetricStat."""
    known = {query["Id"]: measured(query["MetricStat"]) for query in queries if query.get("MetricStat")}
    measured_ids, by_id = list(known), {query["Id"]: query for query in queries}
    period = float(metric_period(queries))

    def value(identity: str) -> metric_math.Series:
        if identity not in known:
            expression = by_id[identity]["Expression"]
            needed = [*measured_ids, *(n for n in metric_math.names(expression, list(by_id)) if n not in measured_ids)]
            given = {name: value(name) for name in needed}
            known[identity] = metric_math.evaluate(
                metric_math.parse(expression, list(by_id)), given, period, measured_ids
            )
        return known[identity]

    return value(_returned(queries)[0]["Id"])


def _returned(queries: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [query for query in queries if str(query.get("ReturnData", True)).lower() == "true"]
