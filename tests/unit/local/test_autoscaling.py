"""Application Auto Scaling alone: no endpoint, no process."""

import contextlib
import json
import re
from datetime import UTC, datetime, timedelta

import pytest

from turnout.local.autoscaling.api import Autoscaling, InvalidNextToken, ObjectNotFound, ResourceNotFound, TooManyTags
from turnout.local.autoscaling.checks import CONCURRENCY
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
    def __init__(self):
        self.alarms = {}

    def scope(self):
        return HERE

    def put_alarm(self, scope, request):
        self.alarms[request["AlarmName"]] = request

    def delete_alarms(self, scope, names):
        for name in names:
            del self.alarms[name]

    def alarms_of(self, scope, action):
        return [name for name, alarm in self.alarms.items() if action in alarm["AlarmActions"]]

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
def cloud():
    return FakeCloud()


@pytest.fixture
def api(cloud, endpoints):
    return Autoscaling(cloud, endpoints.capacity, lambda scope, endpoint: True)


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


def tracking(target=10.0):
    settings = {**TRACKED, "TargetValue": target}
    return {"PolicyType": "TargetTrackingScaling", "TargetTrackingScalingPolicyConfiguration": settings}


def track(api, **limits):
    return register(api, **limits, **tracking())


def test_a_tracking_policy_names_two_alarms_that_exist(api, cloud):
    track(api)
    (policy,) = api.call("DescribeScalingPolicies", {"ServiceNamespace": "sagemaker"})["ScalingPolicies"]
    high, low = (alarm["AlarmName"] for alarm in policy["Alarms"])
    for name, which in ((high, "AlarmHigh"), (low, "AlarmLow")):
        assert re.fullmatch(rf"TargetTracking-endpoint/e/variant/AllTraffic-{which}-[0-9a-f-]{{36}}", name)
    assert policy["Alarms"][0]["AlarmARN"] == f"arn:aws:cloudwatch:us-east-1:000000000000:alarm:{high}"
    shown = {name: [alarm[m] for m in ALARM_MEMBERS] for name, alarm in cloud.alarms.items()}
    assert shown == {
        high: ["AWS/SageMaker", "InvocationsPerInstance", "Sum", "GreaterThanThreshold", 10.0, 3, 60],
        low: ["AWS/SageMaker", "InvocationsPerInstance", "Sum", "LessThanThreshold", 9.0, 15, 60],
    }
    variant = [{"Name": "EndpointName", "Value": "e"}, {"Name": "VariantName", "Value": "AllTraffic"}]
    assert cloud.alarms[high]["Dimensions"] == variant


ALARM_MEMBERS = (
    "Namespace",
    "MetricName",
    "Statistic",
    "ComparisonOperator",
    "Threshold",
    "EvaluationPeriods",
    "Period",
)


@pytest.mark.parametrize(
    "end",
    [
        lambda api: api.call("DeleteScalingPolicy", {**TARGET, "PolicyName": "p"}),
        lambda api: api.call("DeregisterScalableTarget", TARGET),
        lambda api: api.registry.forget(HERE, "e"),
        lambda api: register(api, PolicyType="StepScaling", StepScalingPolicyConfiguration=STEP),
    ],
)
def test_a_tracking_policys_alarms_go_with_it(api, cloud, end):
    track(api)
    end(api)
    assert cloud.alarms == {}


def test_a_tracking_policy_that_is_put_again_has_two_alarms_still(api, cloud):
    track(api)
    answer = api.call("PutScalingPolicy", {**TARGET, "PolicyName": "p", **tracking(20.0)})
    assert [alarm["AlarmName"] for alarm in answer["Alarms"]] == list(cloud.alarms)
    assert [alarm["Threshold"] for alarm in cloud.alarms.values()] == [20.0, 18.0]


def test_a_step_policy_names_the_alarms_that_act_on_it_and_leaves_them_when_it_goes(api, cloud):
    arn = register(api, PolicyType="StepScaling", StepScalingPolicyConfiguration=STEP)

    def named() -> list[dict]:
        (policy,) = api.call("DescribeScalingPolicies", {"ServiceNamespace": "sagemaker"})["ScalingPolicies"]
        return policy["Alarms"]

    assert named() == []
    cloud.put_alarm(HERE, {"AlarmName": "backlog", "AlarmActions": [arn]})
    cloud.put_alarm(HERE, {"AlarmName": "another", "AlarmActions": ["arn:aws:sns:us-east-1:000000000000:topic"]})
    where = "arn:aws:cloudwatch:us-east-1:000000000000:alarm"
    assert named() == [{"AlarmName": "backlog", "AlarmARN": f"{where}:backlog"}]
    api.call("DeleteScalingPolicy", {**TARGET, "PolicyName": "p"})
    assert set(cloud.alarms) == {"backlog", "another"}


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
        ({"ScalableDimension": "sagemaker:inference-component:DesiredCopyCount"}, NotEmulated, "is not emulated"),
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


# Policies


def test_an_idle_variant_goes_to_its_minimum_once_it_was_idle_long_enough(api, endpoints, now):
    track(api)
    endpoints.count = 4
    idle = scaler_of(api, endpoints, lambda *_: [])
    for _ in range(15):  # fifteen minutes are fifteen seconds
        idle.tick()
        assert endpoints.changes == []
        now[0] += 1
    idle.tick()
    assert endpoints.changes == [1]


def test_silence_of_a_customised_metric_says_nothing(api, endpoints, now):
    custom = {"MetricName": "m", "Namespace": "n", "Statistic": "Average"}
    tracked = {"TargetValue": 10.0, "CustomizedMetricSpecification": custom}
    register(api, PolicyType="TargetTrackingScaling", TargetTrackingScalingPolicyConfiguration=tracked)
    endpoints.count = 4
    idle = scaler_of(api, endpoints, lambda *_: [])
    for _ in range(30):
        idle.tick()
        now[0] += 1
    assert endpoints.changes == []


def two_policies(api, values: dict[str, float], now, **second):
    """Two policies over metrics of their own, and what the scaler is told of those."""
    register(api)
    for name, more in (("a", {}), ("b", second)):
        custom = {"MetricName": name, "Namespace": "n", "Statistic": "Average"}
        settings = {"TargetValue": 10.0, "CustomizedMetricSpecification": custom, **more}
        kind = {"PolicyType": "TargetTrackingScaling", "TargetTrackingScalingPolicyConfiguration": settings}
        api.call("PutScalingPolicy", {**TARGET, "PolicyName": name, **kind})
    return lambda scope, namespace, name, where: [
        {"Timestamp": now[0] - age, "Value": values[name], "Count": 1.0} for age in range(20)
    ]


def test_one_policy_is_enough_to_scale_out(api, endpoints, now):
    endpoints.count = 2
    scaler_of(api, endpoints, two_policies(api, {"a": 15.0, "b": 1.0}, now)).tick()
    assert endpoints.changes == [3]


def test_all_policies_have_to_agree_to_scale_in(api, endpoints, now):
    endpoints.count = 4
    scaler_of(api, endpoints, two_policies(api, {"a": 9.5, "b": 1.0}, now)).tick()
    assert endpoints.changes == []


def test_a_policy_that_may_not_scale_in_does_not_keep_others_from_it(api, endpoints, now):
    endpoints.count = 4
    values = {"a": 5.0, "b": 1.0}
    scaler_of(api, endpoints, two_policies(api, values, now, DisableScaleIn=True)).tick()
    assert endpoints.changes == [2]


def test_scaling_out_does_not_wait_for_the_cooldown_of_scaling_in(api, endpoints, now):
    track(api)
    endpoints.count = 4
    scaler(api, endpoints, now, 0.0).tick()
    assert endpoints.changes == [1]
    scaler(api, endpoints, now, 1.0).tick()
    assert endpoints.changes == [1, 4]


@pytest.mark.parametrize(("word", "load", "count"), [("In", 0.0, 4), ("Out", 1.0, 1)])
def test_a_suspended_direction_stays(api, endpoints, now, word, load, count):
    track(api)
    suspended = {f"DynamicScaling{word}Suspended": True}
    api.call("RegisterScalableTarget", {**TARGET, "SuspendedState": suspended})
    endpoints.count = count
    scaler(api, endpoints, now, load).tick()
    assert endpoints.changes == []
    api.call("RegisterScalableTarget", {**TARGET, "SuspendedState": dict.fromkeys(suspended, False)})
    scaler(api, endpoints, now, load).tick()
    assert len(endpoints.changes) == 1


POLICY = {"PolicyName": "p"}
CUSTOM = {"MetricName": "m", "Namespace": "n", "Statistic": "Sum"}


@pytest.mark.parametrize(
    ("policy", "error", "words"),
    [
        ({"PolicyType": "PredictiveScaling"}, NotEmulated, "PredictiveScaling is not emulated"),
        ({"PolicyType": "StepScaling"}, Invalid, "needs StepScalingPolicyConfiguration"),
        ({"TargetTrackingScalingPolicyConfiguration": {"TargetValue": 1.0}}, Invalid, "Exactly one of Predefined"),
        (
            {
                "TargetTrackingScalingPolicyConfiguration": {
                    "TargetValue": 1.0,
                    "PredefinedMetricSpecification": {"PredefinedMetricType": "ECSServiceAverageCPUUtilization"},
                }
            },
            Invalid,
            "is not for scalable dimension",
        ),
        (
            {
                "TargetTrackingScalingPolicyConfiguration": {
                    "TargetValue": 1.0,
                    "CustomizedMetricSpecification": {"MetricName": "m"},
                }
            },
            Invalid,
            "needs Namespace, Statistic",
        ),
        (
            {"TargetTrackingScalingPolicyConfiguration": {"TargetValue": 0.0, "CustomizedMetricSpecification": CUSTOM}},
            Invalid,
            "greater than 0",
        ),
    ],
)
def test_bad_policies_are_refused(api, policy, error, words):
    register(api)
    kind = {"PolicyType": "TargetTrackingScaling"} if "TargetTrackingScalingPolicyConfiguration" in policy else {}
    with pytest.raises(error, match=words):
        api.call("PutScalingPolicy", {**TARGET, **POLICY, **kind, **policy})


def steps(*intervals: tuple[float | None, float | None], add: int = 1) -> dict:
    """Return a step scaling policy's settings with one step per interval; None: the bound is left out."""
    bounds = ("MetricIntervalLowerBound", "MetricIntervalUpperBound")
    given = [{n: v for n, v in zip(bounds, interval, strict=True) if v is not None} for interval in intervals]
    return {**STEP, "StepAdjustments": [{"ScalingAdjustment": add, **step} for step in given]}


@pytest.mark.parametrize(
    "settings",
    [
        steps((0, 10), (10, None)),
        steps((10, None), (0, 10)),
        steps((None, -10), (-10, 0)),
        steps((None, -10), (-10, 10), (10, None)),
        steps((None, 0)),
        steps((5, None)),
        steps((None, 0), add=-1),
        {**steps((0, None), add=0), "AdjustmentType": "ExactCapacity"},
        {**steps((0, None)), "AdjustmentType": "PercentChangeInCapacity", "MinAdjustmentMagnitude": 2},
        steps(*((n, n + 1) for n in range(19)), (19, None)),
    ],
)
def test_steps_without_gaps_and_with_an_open_end_are_taken(api, settings):
    assert register(api, PolicyType="StepScaling", StepScalingPolicyConfiguration=settings)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (steps(), "There must be at least one step adjustment"),
        ({"StepAdjustments": STEP["StepAdjustments"]}, "Adjustment type must be specified"),
        ({**STEP, "MinAdjustmentMagnitude": 2}, "only allowed for adjustment type PercentChangeInCapacity"),
        ({**steps((0, None), add=-1), "AdjustmentType": "ExactCapacity"}, "Scaling adjustment cannot be less than 0"),
        (steps((None, None)), "Both lower and upper bounds of a step adjustment cannot be left unspecified"),
        (steps((None, 0), (None, None)), "Both lower and upper bounds"),
        (steps((0, None), (0, None)), "At most one step adjustment may have an unspecified upper bound"),
        (steps((None, 0), (None, 5), (5, None)), "At most one step adjustment may have an unspecified lower bound"),
        (steps((0, 10), (10, 20)), "unspecified upper bound when one step adjustment has a positive upper bound"),
        (steps((-20, -10), (-10, 0)), "unspecified lower bound when one step adjustment has a negative lower bound"),
        (steps((0, 10), (9, None)), "Step adjustment intervals cannot overlap"),
        (steps((0, 10), (11, None)), "Step adjustment intervals cannot have gaps between them"),
        (steps((None, -10), (0, None)), "Step adjustment intervals cannot have gaps between them"),
        (steps((10, 5), (5, None)), "must be greater than its lower bound"),
        (steps(*((n, n + 1) for n in range(20)), (20, None)), "There can be at most 20 step adjustments"),
    ],
)
def test_steps_that_leave_open_what_to_do_are_refused_in_awss_words(api, settings, words):
    with pytest.raises(Invalid, match=words):
        register(api, PolicyType="StepScaling", StepScalingPolicyConfiguration=settings)


# Schedules


@pytest.fixture
def at():
    """The time that schedules see, which tests move."""
    return [datetime(2026, 11, 23, 5, 0, tzinfo=UTC)]


@pytest.fixture
def timed(api, endpoints, at):
    return scaler_of(api, endpoints, lambda *_: [], lambda: at[0])


def put_action(api, schedule: str, least: int | None = None, most: int | None = None, name: str = "a", **more):
    bounds = {k: v for k, v in (("MinCapacity", least), ("MaxCapacity", most)) if v is not None}
    request = {**TARGET, "ScheduledActionName": name, "Schedule": schedule, "ScalableTargetAction": bounds, **more}
    return api.call("PutScheduledAction", request)


def bounds(api) -> tuple[int, int]:
    (target,) = api.call("DescribeScalableTargets", {"ServiceNamespace": "sagemaker"})["ScalableTargets"]
    return target["MinCapacity"], target["MaxCapacity"]


def test_a_scheduled_action_changes_bounds_and_capacity_at_its_time(api, endpoints, timed, at):
    register(api)
    put_action(api, "at(2026-11-23T05:10:00)", least=3, most=5)
    timed.tick()
    assert (bounds(api), endpoints.count) == ((1, 4), 1)
    at[0] += timedelta(minutes=10)
    timed.tick()
    timed.tick()
    assert (bounds(api), endpoints.count) == ((3, 5), 3)
    activities = api.call("DescribeScalingActivities", {"ServiceNamespace": "sagemaker"})["ScalingActivities"]
    assert [(a["Description"], a["Cause"]) for a in activities] == [
        ("Setting desired instance count to 3.", "minimum capacity was set to 3"),
        ("Setting min capacity to 3 and max capacity to 5.", "scheduled action name a was triggered"),
    ]


def test_a_lower_maximum_takes_instances_away(api, endpoints, timed, at):
    register(api)
    endpoints.count = 4
    put_action(api, "at(2026-11-23T05:10:00)", most=2)
    at[0] += timedelta(minutes=10)
    timed.tick()
    assert (bounds(api), endpoints.count) == ((1, 2), 2)


@pytest.mark.parametrize(
    ("zone", "hours"),  # from five o'clock UTC until it is six there
    [({}, 1), ({"Timezone": "America/New_York"}, 6), ({"Timezone": "Asia/Kolkata"}, 19.5)],
)
def test_cron_goes_by_its_time_zone(api, endpoints, timed, at, zone, hours):
    register(api)
    put_action(api, "cron(0 6 * * ? *)", least=2, **zone)
    timed.tick()
    at[0] += timedelta(hours=hours) - timedelta(minutes=1)
    timed.tick()
    assert endpoints.changes == []
    at[0] += timedelta(minutes=1)
    timed.tick()
    assert endpoints.changes == [2]


def test_a_rate_begins_with_its_start_and_ends_with_its_end(api, endpoints, timed, at):
    register(api)
    start, end = at[0] + timedelta(minutes=3), at[0] + timedelta(minutes=12)
    put_action(api, "rate(5 minutes)", least=2, StartTime=start.timestamp(), EndTime=end.timestamp())
    fired = []
    for minute in range(20):
        timed.tick()
        if endpoints.changes:
            fired.append(minute)
            endpoints.changes.clear()
            endpoints.count = 1
            api.call("RegisterScalableTarget", {**TARGET, "MinCapacity": 1})
        at[0] += timedelta(minutes=1)
    assert fired == [3, 8]


def test_suspended_schedules_change_nothing(api, endpoints, timed, at):
    register(api)
    api.call("RegisterScalableTarget", {**TARGET, "SuspendedState": {"ScheduledScalingSuspended": True}})
    put_action(api, "at(2026-11-23T05:10:00)", least=3)
    at[0] += timedelta(minutes=10)
    timed.tick()
    assert (bounds(api), endpoints.changes) == ((1, 4), [])


def test_bounds_that_cross_are_a_failed_activity(api, endpoints, timed, at):
    register(api)
    put_action(api, "at(2026-11-23T05:10:00)", least=9)
    at[0] += timedelta(minutes=10)
    timed.tick()
    (activity,) = api.call("DescribeScalingActivities", {"ServiceNamespace": "sagemaker"})["ScalingActivities"]
    assert (activity["StatusCode"], bounds(api)) == ("Failed", (1, 4))
    assert "Maximum capacity cannot be less" in activity["StatusMessage"]


def test_a_scheduled_action_is_described_changed_and_gone(api):
    register(api)
    put_action(api, "rate(1 day)", least=2, Timezone="Europe/Berlin")
    put_action(api, "rate(2 days)", most=3)
    (action,) = api.call("DescribeScheduledActions", {"ServiceNamespace": "sagemaker"})["ScheduledActions"]
    assert (action["Schedule"], action["Timezone"]) == ("rate(2 days)", "Europe/Berlin")
    assert action["ScalableTargetAction"] == {"MaxCapacity": 3}
    assert action["ScheduledActionARN"].endswith(":scheduledActionName/a")
    api.call("DeleteScheduledAction", {**TARGET, "ScheduledActionName": "a"})
    with pytest.raises(ObjectNotFound, match="No scheduled action found"):
        api.call("DeleteScheduledAction", {**TARGET, "ScheduledActionName": "a"})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"Schedule": "tomorrow"}, "is not valid"),
        ({"Schedule": "at(2026-13-01T00:00:00)"}, "is not valid"),
        ({"Schedule": "at(2026-11-01T00:00:00Z)"}, "is not valid"),
        ({"Schedule": "rate(0.5 hours)"}, "is not valid"),
        ({"Schedule": "cron(0 6 * * *)"}, "is not valid"),
        ({"Timezone": "Atlantis/Capital"}, "Timezone"),
        ({"ScalableTargetAction": {}}, "needs MinCapacity"),
        ({"ScalableTargetAction": {"MinCapacity": 3, "MaxCapacity": 2}}, "Maximum capacity cannot be less"),
        ({"StartTime": 2_000_000_000, "EndTime": 1_900_000_000}, "EndTime must be later"),
    ],
)
def test_bad_schedules_are_refused(api, changes, words):
    register(api)
    good = {"Schedule": "rate(1 day)", "ScalableTargetAction": {"MinCapacity": 2}, "ScheduledActionName": "a"}
    with pytest.raises(Invalid, match=words):
        api.call("PutScheduledAction", {**TARGET, **good, **changes})


# Pages, filters, tags


def test_lists_come_in_pages_without_doubles(api):
    register(api)
    for number in range(7):
        put_action(api, "rate(1 day)", least=2, name=f"a{number}")
    seen, token = [], {}
    while True:
        request = {"ServiceNamespace": "sagemaker", "MaxResults": 3, **token}
        page = api.call("DescribeScheduledActions", request)
        seen += [action["ScheduledActionName"] for action in page["ScheduledActions"]]
        assert len(page["ScheduledActions"]) <= 3
        if "NextToken" not in page:
            break
        token = {"NextToken": page["NextToken"]}
    assert seen == [f"a{number}" for number in range(7)]
    with pytest.raises(InvalidNextToken):
        api.call("DescribeScheduledActions", {"ServiceNamespace": "sagemaker", "NextToken": "nonsense"})


def test_lists_are_filtered(api):
    register(api)
    put_action(api, "rate(1 day)", least=2)
    for request, count in (
        ({"ScheduledActionNames": ["other"]}, 0),
        ({"ResourceId": "endpoint/other/variant/v"}, 0),
        ({"ScheduledActionNames": ["a"], "ResourceId": TARGET["ResourceId"]}, 1),
    ):
        found = api.call("DescribeScheduledActions", {"ServiceNamespace": "sagemaker", **request})
        assert len(found["ScheduledActions"]) == count
    dimension = {"ScalableDimension": TARGET["ScalableDimension"]}
    with pytest.raises(Invalid, match="a resource ID must be specified"):
        api.call("DescribeScalableTargets", {"ServiceNamespace": "sagemaker", **dimension})


def test_targets_have_tags(api):
    bounded = {**TARGET, "MinCapacity": 1, "MaxCapacity": 2}
    arn = api.call("RegisterScalableTarget", {**bounded, "Tags": {"a": "1"}})["ScalableTargetARN"]
    api.call("TagResource", {"ResourceARN": arn, "Tags": {"b": "2"}})
    api.call("UntagResource", {"ResourceARN": arn, "TagKeys": ["a"]})
    assert api.call("ListTagsForResource", {"ResourceARN": arn})["Tags"] == {"b": "2"}
    with pytest.raises(TooManyTags):
        api.call("TagResource", {"ResourceARN": arn, "Tags": {f"k{n}": "v" for n in range(50)}})
    api.call("DeregisterScalableTarget", TARGET)
    with pytest.raises(ResourceNotFound):
        api.call("ListTagsForResource", {"ResourceARN": arn})


def test_what_is_not_there_is_refused_by_name(api):
    with pytest.raises(NotEmulated, match="GetPredictiveScalingForecast is not emulated"):
        api.call("GetPredictiveScalingForecast", {})


def test_provisioned_concurrency_has_metrics_of_its_own(api):
    register_concurrency = {**TARGET, "ScalableDimension": CONCURRENCY}
    with pytest.raises(Invalid, match="cannot be less than 1"):
        api.call("RegisterScalableTarget", {**register_concurrency, "MinCapacity": 0, "MaxCapacity": 4})
    api.call("RegisterScalableTarget", {**register_concurrency, "MinCapacity": 1, "MaxCapacity": 4})
    for kind, refused in (
        ("SageMakerVariantProvisionedConcurrencyUtilization", False),
        ("SageMakerVariantInvocationsPerInstance", True),
    ):
        tracked = {"TargetValue": 0.7, "PredefinedMetricSpecification": {"PredefinedMetricType": kind}}
        request = {"PolicyType": "TargetTrackingScaling", "TargetTrackingScalingPolicyConfiguration": tracked}
        context = pytest.raises(Invalid, match="is not for scalable dimension") if refused else contextlib.nullcontext()
        with context:
            api.call("PutScalingPolicy", {**register_concurrency, "PolicyName": "p", **request})


def test_templates_bring_scheduled_actions_and_take_them_away(api):
    target = resource_types(api)["AWS::ApplicationAutoScaling::ScalableTarget"]
    action = {"ScheduledActionName": "a", "Schedule": "rate(1 day)", "ScalableTargetAction": {"MinCapacity": "2"}}
    properties = {**TARGET, "MinCapacity": "1", "MaxCapacity": "4"}
    before = {**properties, "ScheduledActions": [action, {**action, "ScheduledActionName": "b"}]}
    ref, _ = target.create("x", before)
    names = lambda: [a["ScheduledActionName"] for a in api.registry.schedules.values()]  # noqa: E731
    assert names() == ["a", "b"]
    target.update(ref, before, {**properties, "ScheduledActions": [action]})
    assert names() == ["a"]
