"""How traffic moves between fleets."""

import pytest

from turnout.local.sagemaker.errors import Invalid
from turnout.local.sagemaker.hosting.deployment import Step, alarm_names, bake_seconds, check, steps


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


def config(*names: str, count: int = 4) -> dict:
    return {"ProductionVariants": [{"VariantName": name, "InitialInstanceCount": count} for name in names]}


def test_the_old_fleet_stays_as_long_as_it_is_told_to():
    assert bake_seconds({"BlueGreenUpdatePolicy": {"TerminationWaitInSeconds": 120}}) == 120
    assert bake_seconds(None) == bake_seconds({}) == 0


ROLLING = {"RollingUpdatePolicy": {"MaximumBatchSize": HALF, "WaitIntervalInSeconds": 5}}


@pytest.mark.parametrize(
    ("deployment", "new", "words"),
    [
        (blue_green(Type="ALL_AT_ONCE") | ROLLING, config("a"), "Only one of"),
        (ROLLING, config("a", "b"), "several production variants"),
        (ROLLING, {"ProductionVariants": [{"VariantName": "a", "ServerlessConfig": {}}]}, "serverless"),
        (blue_green(Type="CANARY"), config("a"), "CanarySize is required"),
        (blue_green(Type="CANARY", CanarySize=HALF), config("b"), "same names"),
        (blue_green(Type="CANARY", CanarySize=HALF), config("a", count=2), "between 0 and 50 percent"),
        (blue_green(Type="CANARY", CanarySize={**THIRD, "Value": 51}), config("a"), "CanarySize must be"),
        (blue_green(Type="LINEAR", LinearStepSize={**THIRD, "Value": 9}), config("a"), "between 10 and 50"),
        ({"RollingUpdatePolicy": {"MaximumBatchSize": {**THIRD, "Value": 4}}}, config("a"), "between 5 and 50"),
    ],
)
def test_deployments_that_sagemaker_refuses(deployment, new, words):
    with pytest.raises(Invalid, match=words):
        check(deployment, config("a"), new)


def test_variants_may_change_their_names_when_all_traffic_moves_at_once():
    check(blue_green(Type="ALL_AT_ONCE"), config("a"), config("b"))
    check({}, config("a"), config("b"))
    check(blue_green(Type="CANARY", CanarySize=HALF), config("a"), config("a"))
