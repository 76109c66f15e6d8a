"""Application Auto Scaling alone: no endpoint, no process."""

import contextlib
import json
from datetime import UTC, datetime, timedelta

import pytest

from turnout.local.autoscaling.api import Autoscaling, ObjectNotFound
from turnout.local.autoscaling.cloudformation import resource_types
from turnout.local.autoscaling.scaler import Scaler
from turnout.local.faults import Faults
from turnout.local.sagemaker.cloudformation import ResourceFailed
from turnout.local.sagemaker.errors import Invalid, NotEmulated
from turnout.local.sagemaker.ports import Scope

HERE = Scope("000000000000", "us-east-1")
TARGET = {
    "ServiceNamespace": "sagemaker",
    "ResourceId": "endpoint/e/variant/AllTraffic",
    "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
}
TRACKED = {
    "TargetValue": 10.0,
    "PredefinedMetricSpecification": {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"},
}
STEP = {
    "AdjustmentType": "ChangeInCapacity",
    "StepAdjustments": [{"MetricIntervalLowerBound": 0.0, "ScalingAdjustment": 1}],
    "Cooldown": 300,
}


class FakeCloud:
    def scope(self):
        return HERE

    def enter(self, scope):
        return contextlib.nullcontext()


class FakeEndpoints:
    """One variant; a change is carried out at once, unless something else is under way."""

    def __init__(self, count=1):
        self.count, self.busy, self.changes = count, False, []

    def capacity(self, scope, endpoint, variant, dimension):
        if endpoint != "e":
            raise Invalid("no such endpoint")
        return self.count

    def set_capacity(self, scope, endpoint, variant, dimension, count):
        if self.busy:
            raise Invalid("Cannot update in-progress endpoint")
        self.count = count
        self.changes.append(count)


@pytest.fixture
def endpoints():
    return FakeEndpoints()


@pytest.fixture
def api(endpoints):
    return Autoscaling(FakeCloud(), endpoints.capacity, lambda scope, endpoint: True)


@pytest.fixture
def now(monkeypatch):
    moment = [1_000_000.0]
    for clock in ("time", "monotonic"):
        monkeypatch.setattr(f"turnout.local.autoscaling.scaler.time.{clock}", lambda: moment[0])
    return moment


def scaler(api, endpoints, now, value):
    """A scaler for which the metric has had `value` in each of the last twenty seconds."""
    stored = lambda *_: [{"Timestamp": now[0] - age, "Value": value, "Count": 1.0} for age in range(20)]  # noqa: E731
    return scaler_of(api, endpoints, stored)


def scaler_of(api, endpoints, stored, at=None):
    """A scaler over metrics given by `stored`; `at()` is the time that its schedules see."""
    return Scaler(api.registry, endpoints, stored, Faults(), next_cron, at or (lambda: datetime.now(UTC)))


def next_cron(expression, after):
    """Stand-in for the emulator's cron: every day at six, whatever the expression."""
    six = after.replace(hour=6, minute=0, second=0, microsecond=0)
    return six if six > after else six + timedelta(days=1)


def register(api, least=1, most=4, **policy):
    api.call("RegisterScalableTarget", {**TARGET, "MinCapacity": least, "MaxCapacity": most})
    if policy:
        return api.call("PutScalingPolicy", {**TARGET, "PolicyName": "p", **policy})["PolicyARN"]
    return None


def track(api, **limits):
    kind = {"PolicyType": "TargetTrackingScaling", "TargetTrackingScalingPolicyConfiguration": TRACKED}
    return register(api, **limits, **kind)


def test_a_target_is_registered_described_changed_and_gone(api):
    register(api)
    api.call("RegisterScalableTarget", {**TARGET, "MaxCapacity": 9})
    (target,) = api.call("DescribeScalableTargets", {"ServiceNamespace": "sagemaker"})["ScalableTargets"]
    assert (target["MinCapacity"], target["MaxCapacity"]) == (1, 9)
    assert list(api.registry.scaled_variants(HERE, "e")) == ["AllTraffic"]
    api.call("DeregisterScalableTarget", TARGET)
    assert list(api.registry.scaled_variants(HERE, "e")) == []
    with pytest.raises(ObjectNotFound, match="No scalable target registered"):
        api.call("DeregisterScalableTarget", TARGET)


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"MinCapacity": 5}, Invalid, "Maximum capacity cannot be less"),
        ({"ResourceId": "endpoint/e"}, Invalid, "is not endpoint/NAME/variant/VARIANT"),
        ({"ResourceId": "endpoint/nobody/variant/v"}, Invalid, "no such endpoint"),
        ({"ScalableDimension": "sagemaker:variant:Nonsense"}, Invalid, "scalableDimension"),
        ({"ScalableDimension": "sagemaker:inference-component:DesiredCopyCount"}, NotEmulated, "is emulated"),
    ],
)
def test_bad_targets_are_refused(api, changes, error, words):
    with pytest.raises(error, match=words):
        api.call("RegisterScalableTarget", {**TARGET, "MinCapacity": 1, "MaxCapacity": 4, **changes})


def test_a_policy_needs_its_target_and_goes_with_it(api):
    policy = {"PolicyType": "StepScaling", "StepScalingPolicyConfiguration": STEP}
    with pytest.raises(ObjectNotFound):
        api.call("PutScalingPolicy", {**TARGET, "PolicyName": "p", **policy})
    arn = register(api, **policy)
    assert arn.startswith("arn:aws:autoscaling:us-east-1:000000000000:scalingPolicy:")
    assert api.call("PutScalingPolicy", {**TARGET, "PolicyName": "p", **policy})["PolicyARN"] == arn
    api.registry.forget(HERE, "e")
    assert api.registry.policy(arn) is None


def test_load_scales_out_once_and_then_cools_down(api, endpoints, now):
    track(api, most=3)
    busy = scaler(api, endpoints, now, 1.0)  # one request in each second is 60 a minute, the target is 10
    busy.tick()
    busy.tick()
    assert endpoints.changes == [3]
    endpoints.count = 1
    busy.tick()
    assert endpoints.changes == [3]
    now[0] += 5.1  # five minutes of cooldown are five seconds
    busy.tick()
    assert endpoints.changes == [3, 3]
    (last, _) = api.call("DescribeScalingActivities", {"ServiceNamespace": "sagemaker"})["ScalingActivities"]
    assert last["Description"] == "Setting desired instance count to 3."


def test_silence_scales_nothing_and_idleness_scales_in(api, endpoints, now):
    track(api)
    endpoints.count = 4
    scaler_of(api, endpoints, lambda *_: []).tick()
    assert endpoints.changes == []
    scaler(api, endpoints, now, 0.0).tick()
    assert endpoints.changes == [1]


def test_capacity_outside_the_bounds_is_brought_within(api, endpoints, now):
    register(api, least=2)
    scaler(api, endpoints, now, 0.0).tick()
    assert endpoints.changes == [2]


def test_an_endpoint_that_changes_is_left_alone(api, endpoints, now):
    track(api)
    endpoints.busy = True
    busy = scaler(api, endpoints, now, 1.0)
    busy.tick()
    assert endpoints.changes == []
    endpoints.busy = False
    busy.tick()
    assert endpoints.changes == [4]


def test_an_alarm_wakes_from_zero_by_one_step_at_a_time(api, endpoints, now):
    arn = register(api, least=0, PolicyType="StepScaling", StepScalingPolicyConfiguration=STEP)
    endpoints.count = 0
    woken = scaler(api, endpoints, now, 0.0)
    alarm = {"AlarmName": "wake", "Threshold": 1}
    woken.alarm(arn, alarm, 1.0)
    woken.alarm(arn, alarm, 1.0)
    assert endpoints.changes == [1]
    woken.alarm("arn:of:nothing", alarm, 1.0)
    assert endpoints.changes == [1]


def test_state_survives_saving(api, endpoints):
    arn = track(api)
    again = Autoscaling(FakeCloud(), endpoints.capacity, lambda scope, endpoint: True)
    again.load(json.loads(json.dumps(api.dump())))
    assert again.registry.policy(arn)[1]["PolicyName"] == "p"
    assert list(again.registry.scaled_variants(HERE, "e")) == ["AllTraffic"]


def test_templates_may_spell_numbers_as_text_and_name_the_target_by_ref(api):
    types = resource_types(api)
    target, policy = (types[f"AWS::ApplicationAutoScaling::{name}"] for name in ("ScalableTarget", "ScalingPolicy"))
    ref, _ = target.create("x", {**TARGET, "MinCapacity": "1", "MaxCapacity": "4"})
    assert ref == "endpoint/e/variant/AllTraffic|sagemaker:variant:DesiredInstanceCount|sagemaker"
    tracked = {**TRACKED, "TargetValue": "10"}
    arn, attributes = policy.create(
        "y",
        {
            "PolicyName": "p",
            "PolicyType": "TargetTrackingScaling",
            "ScalingTargetId": ref,
            "TargetTrackingScalingPolicyConfiguration": tracked,
        },
    )
    assert attributes["Arn"] == arn
    assert api.registry.policy(arn)[1]["TargetTrackingScalingPolicyConfiguration"]["TargetValue"] == 10
    target.delete(ref)
    target.delete(ref)
    policy.delete(arn)
    with pytest.raises(ResourceFailed, match="ObjectNotFoundException"):
        policy.create("y", {"PolicyName": "p", "ScalingTargetId": ref, "StepScalingPolicyConfiguration": STEP})
