"""Alarm states from values per period."""

import pytest

from turnout.local import alarms
from turnout.local.alarms import dimensions, evaluate, windows
from turnout.local.metric_math import NotSupported


def alarm(**settings):
    return {
        "ComparisonOperator": "GreaterThanThreshold",
        "Threshold": 5.0,
        "Period": 60,
        "EvaluationPeriods": 3,
        "StateValue": "INSUFFICIENT_DATA",
        **settings,
    }


@pytest.mark.parametrize(
    ("values", "settings", "state"),
    [
        ([6, 7, 8], {}, "ALARM"),
        ([6, 7, 1], {}, "OK"),
        ([6, 1, 7], {"DatapointsToAlarm": 2}, "ALARM"),
        ([None, None, None], {}, "INSUFFICIENT_DATA"),
        ([None, None, None], {"TreatMissingData": "breaching"}, "ALARM"),
        ([None, None, None], {"TreatMissingData": "notBreaching"}, "OK"),
        ([None, None, None], {"TreatMissingData": "ignore", "StateValue": "ALARM"}, "ALARM"),
        ([None, 6, 7], {"TreatMissingData": "breaching"}, "ALARM"),
        ([None, 6, 7], {"TreatMissingData": "notBreaching"}, "OK"),
        ([5, 5, 5], {}, "OK"),
        ([5, 5, 5], {"ComparisonOperator": "GreaterThanOrEqualToThreshold"}, "ALARM"),
        ([0, 0, 0], {"ComparisonOperator": "LessThanThreshold"}, "ALARM"),
    ],
)
def test_state(values, settings, state):
    assert evaluate(alarm(**settings), values)[0] == state


def test_points_fall_into_periods_newest_first():
    points = [{"Timestamp": stamp} for stamp in (1000, 950, 930, 815, 700, 1001)]
    parts = windows(alarm(), points, now=1000)
    assert [sorted(p["Timestamp"] for p in part) for part in parts] == [[950, 1000, 1001], [930], []]


@pytest.mark.parametrize("newest", [999, 1000])
@pytest.mark.parametrize("now", [1000.0, 1000.9])
def test_a_value_a_second_is_in_every_period_of_a_second_whenever_one_looks(newest, now):
    points = [{"Timestamp": stamp} for stamp in range(990, newest + 1)]
    assert all(windows(alarm(Period=1, EvaluationPeriods=2), points, now))


def test_dimensions_are_read_either_way():
    assert (
        dimensions({"Dimensions": [{"Name": "a", "Value": "b"}]})
        == dimensions({"Dimensions": {"a": "b"}})
        == {"a": "b"}
    )


def stat(identity, value, returned=False):
    metric = {"Namespace": "N", "MetricName": value}
    return {"Id": identity, "MetricStat": {"Metric": metric, "Period": 60, "Stat": "Sum"}, "ReturnData": returned}


def expression(identity, text, returned=False):
    return {"Id": identity, "Expression": text, "ReturnData": returned}


SERIES = {"errors": [1.0, None], "calls": [10.0, 20.0]}


def test_an_expression_over_expressions_is_worked_out():
    queries = [
        expression("rate", "100 * filled / calls", returned=True),
        expression("filled", "FILL(errors, 0)"),
        stat("errors", "errors"),
        stat("calls", "calls"),
    ]
    alarms.check_metrics(queries)
    assert alarms.metric_values(queries, lambda s: SERIES[s["Metric"]["MetricName"]]) == [10.0, 0.0]
    assert alarms.metric_period(queries) == 60


def test_metrics_means_what_was_measured_only():
    queries = [
        expression("sum", "SUM(METRICS())", returned=True),
        expression("other", "calls * 100"),
        stat("calls", "calls"),
    ]
    assert alarms.metric_values(queries, lambda s: SERIES[s["Metric"]["MetricName"]]) == [10.0, 20.0]


@pytest.mark.parametrize(
    ("queries", "words"),
    [
        ([stat("a", "calls"), stat("b", "calls")], "exactly one"),
        ([stat("a", "calls", True), stat("b", "calls", True)], "exactly one"),
        ([expression("a", "b + 1", True), expression("b", "a + 1")], "refer to each other"),
        ([expression("a", "c + 1", True)], "no metric c"),
    ],
)
def test_metrics_that_cannot_be_worked_out_are_refused(queries, words):
    with pytest.raises(NotSupported, match=words):
        alarms.check_metrics(queries)
