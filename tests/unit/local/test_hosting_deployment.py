"""How traffic moves between fleets."""

import pytest

from turnout.local.sagemaker.hosting.deployment import Step, alarm_names, steps


def blue_green(**traffic) -> dict:
    return {"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": traffic}}


HALF = {"Type": "INSTANCE_COUNT", "Value": 2}
THIRD = {"Type": "CAPACITY_PERCENT", "Value": 33}


@pytest.mark.parametrize(
    ("deployment", "expected"),
    [
        (None, [Step(1.0, 0)]),
        ({}, [Step(1.0, 0)]),
        (blue_green(Type="ALL_AT_ONCE", WaitIntervalInSeconds=60), [Step(1.0, 60)]),
        (blue_green(Type="CANARY", CanarySize=HALF, WaitIntervalInSeconds=300), [Step(0.5, 300), Step(1.0, 300)]),
        (
            blue_green(Type="LINEAR", LinearStepSize=THIRD, WaitIntervalInSeconds=10),
            [Step(0.33, 10), Step(0.66, 10), Step(0.99, 10), Step(1.0, 10)],
        ),
        (
            {"RollingUpdatePolicy": {"MaximumBatchSize": HALF, "WaitIntervalInSeconds": 5}},
            [Step(0.5, 5), Step(1.0, 5)],
        ),
    ],
)
def test_every_policy_ends_with_all_traffic_on_the_new_fleet(deployment, expected):
    found = list(steps(deployment, instances=4))
    assert [(round(s.share, 2), s.wait) for s in found] == [tuple(s) for s in expected]
    assert found[-1].share == 1.0


def test_alarms_that_turn_a_deployment_back_are_named():
    assert alarm_names({"AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "a"}]}}) == ["a"]
    assert alarm_names(None) == []
