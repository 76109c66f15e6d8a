"""What a scaling policy wants, given metrics."""

import pytest

from turnout.local.autoscaling.policies import IN_PERIODS, OUT_PERIODS, per_minute, stepped, tracked


@pytest.mark.parametrize(
    ("current", "values", "expected"),
    [
        (2, [30.0] * OUT_PERIODS, 6),
        (1, [11.0] * OUT_PERIODS, 2),
        (0, [50.0] * OUT_PERIODS, 1),
        (2, [30.0, 30.0, None], 2),
        (2, [30.0, 30.0, 9.0], 2),
        (2, [30.0] * (OUT_PERIODS - 1), 2),
        (4, [2.5] * IN_PERIODS, 1),
        (4, [0.0] * IN_PERIODS, 0),
        (4, [0.0] * (IN_PERIODS - 1) + [None], 4),
        (4, [0.0] * (IN_PERIODS - 1) + [9.5], 4),
        (4, [9.5] * IN_PERIODS, 4),
        (0, [0.0] * IN_PERIODS, 0),
        (3, [], 3),
    ],
)
def test_target_tracking_scales_out_after_three_minutes_and_in_after_fifteen(current, values, expected):
    assert tracked(current, 10.0, values) == expected


def test_scale_in_can_be_switched_off():
    assert tracked(4, 10.0, [0.0] * IN_PERIODS, scale_in=False) == 4


STEPS = [
    {"MetricIntervalLowerBound": 0, "MetricIntervalUpperBound": 10, "ScalingAdjustment": 1},
    {"MetricIntervalLowerBound": 10, "ScalingAdjustment": 3},
]


@pytest.mark.parametrize(
    ("kind", "above", "expected"),
    [
        ("ChangeInCapacity", 0, 3),
        ("ChangeInCapacity", 9.9, 3),
        ("ChangeInCapacity", 10, 5),
        ("ChangeInCapacity", -1, 2),
        ("ExactCapacity", 10, 3),
        ("PercentChangeInCapacity", 10, 3),
    ],
)
def test_a_step_is_chosen_by_how_far_the_metric_is_above_the_threshold(kind, above, expected):
    assert stepped(2, {"AdjustmentType": kind, "StepAdjustments": STEPS}, above) == expected


BELOW = [
    {"MetricIntervalUpperBound": -10, "ScalingAdjustment": -2},
    {"MetricIntervalLowerBound": -10, "MetricIntervalUpperBound": 0, "ScalingAdjustment": -1},
]


@pytest.mark.parametrize(("above", "expected"), [(0, 4), (-9.9, 4), (-10, 3), (1, 5)])
def test_below_the_threshold_the_upper_bound_belongs_to_the_step(above, expected):
    assert stepped(5, {"AdjustmentType": "ChangeInCapacity", "StepAdjustments": BELOW}, above) == expected


@pytest.mark.parametrize(
    ("current", "percent", "least", "expected"),
    [(10, 25, 0, 12), (10, -25, 0, 8), (1, 50, 0, 2), (1, -50, 0, 0), (10, 10, 3, 13), (0, 50, 0, 0), (0, 50, 2, 2)],
)
def test_percentages_are_rounded_towards_the_capacity_but_change_at_least_one(current, percent, least, expected):
    step = {"MetricIntervalLowerBound": 0, "ScalingAdjustment": percent}
    settings = {"AdjustmentType": "PercentChangeInCapacity", "StepAdjustments": [step], "MinAdjustmentMagnitude": least}
    assert stepped(current, settings, 1) == expected


def points(*values) -> list[dict]:
    """Return values by their age in seconds at the moment 1000."""
    return [{"Timestamp": 1000.0 - age, "Value": value, "Count": count} for age, value, count in values]


def test_periods_count_back_from_the_last_complete_second():
    found = per_minute(points((0, 99.0, 1), (1, 1.0, 1), (2, 2.0, 1), (4, 4.0, 1)), "Average", 1.0, 4, 1000.7)
    assert found == [1.0, 2.0, None, 4.0]


@pytest.mark.parametrize(
    ("statistic", "minute", "expected"),
    [
        ("Sum", 1.0, 20 * 60),
        ("Sum", 60.0, 20),
        ("Average", 1.0, 1.0),
        ("SampleCount", 1.0, 1200),
        ("Maximum", 1.0, 1.0),
    ],
)
def test_a_rate_is_per_real_minute_however_fast_time_passes(statistic, minute, expected):
    assert per_minute(points((1, 1.0, 20.0)), statistic, minute, 1, 1000.0) == [expected]
