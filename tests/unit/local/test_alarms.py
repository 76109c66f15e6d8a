"""Alarm states from values per period."""

import pytest

from turnout.local.alarms import dimensions, evaluate, windows


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
