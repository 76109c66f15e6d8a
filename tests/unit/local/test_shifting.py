"""When a shift goes how far, when it stops, and which deployment groups there are."""

import threading
from collections import Counter

import pytest

from turnout.local import shifting
from turnout.local.faults import Faults
from turnout.local.sagemaker.cloudformation import ResourceFailed
from turnout.local.sagemaker.errors import ApiError, NotEmulated
from turnout.local.sagemaker.ports import Scope
from turnout.local.shifting import CONFIGURATIONS, Shifting, share_after, version_for, why_stop

CANARY = CONFIGURATIONS["CodeDeployDefault.LambdaCanary10Percent5Minutes"]
LINEAR = CONFIGURATIONS["CodeDeployDefault.LambdaLinear10PercentEvery1Minute"]
FASTEST = 3600  # the time scale's limit: canary takes a twelfth of a second, linear 0.15 s
SCOPE = Scope("1", "here")
POLICY = {"ApplicationName": "app", "DeploymentGroupName": "group"}


class Cloud:
    """One scope, and alarms that ring from the look on that `rings_at` says."""

    def __init__(self, rings_at: int | None = None) -> None:
        self.rings_at, self.looks, self.here = rings_at, 0, SCOPE

    def scope(self) -> Scope:
        return self.here

    def alarm_states(self, scope: Scope, names: list[str]) -> dict[str, str]:
        self.looks += 1
        ringing = self.rings_at is not None and self.looks > self.rings_at
        return dict.fromkeys(names, "ALARM" if ringing else "OK")


def group(**overrides) -> dict:
    return {
        "ApplicationName": "app",
        "DeploymentConfigName": "CodeDeployDefault.LambdaCanary10Percent5Minutes",
        "DeploymentStyle": {"DeploymentType": "BLUE_GREEN", "DeploymentOption": "WITH_TRAFFIC_CONTROL"},
        "AutoRollbackConfiguration": {"Enabled": True, "Events": sorted(shifting.GOES_BACK_ON)},
        "AlarmConfiguration": {"Enabled": "true", "Alarms": [{"Name": "errors"}]},
        **overrides,
    }


def codedeploy(cloud: Cloud | None = None, time_scale: float = FASTEST, **overrides) -> Shifting:
    """Return a CodeDeploy with one group, made as CloudFormation makes it."""
    cloud = cloud or Cloud()
    made = Shifting(cloud, Faults(time_scale=time_scale))
    types = shifting.resource_types(made)
    types["AWS::CodeDeploy::Application"].create("app", {"ComputePlatform": "Lambda"})
    types["AWS::CodeDeploy::DeploymentGroup"].create("group", group(**overrides))
    return made


def newest(made: Shifting) -> dict:
    identity = made.call("ListDeployments", {"applicationName": "app"})["deployments"][0]
    return made.call("GetDeployment", {"deploymentId": identity})["deploymentInfo"]


# How far


@pytest.mark.parametrize(
    ("steps", "minutes", "share"),
    [
        (CANARY, 0, 0.1),
        (CANARY, 4.99, 0.1),
        (CANARY, 5, 1.0),
        (LINEAR, 0, 0.1),
        (LINEAR, 0.99, 0.1),
        (LINEAR, 1, 0.2),
        (LINEAR, 8.5, 0.9),
        (LINEAR, 9, 1.0),
        ((), 0, 1.0),
    ],
)
def test_the_share_grows_as_codedeploy_says(steps, minutes, share):
    assert share_after(steps, minutes) == share


def test_a_weight_is_the_share_of_requests():
    alias = {"FunctionVersion": "1", "RoutingConfig": {"AdditionalVersionWeights": {"2": 0.1}}}
    chosen = Counter(version_for(alias, number / 100) for number in range(100))
    assert chosen == {"2": 10, "1": 90}
    assert version_for({"FunctionVersion": "1"}, 0.0) is None


# When not


def test_only_an_alarm_in_alarm_stops_a_shift():
    assert why_stop({"a": "OK", "b": "INSUFFICIENT_DATA"}, asked=False, cancelled=False) is None
    stop = why_stop({"b": "ALARM", "c": "OK", "a": "ALARM"}, asked=False, cancelled=False)
    assert stop.code == "ALARM_ACTIVE"
    assert stop.message.endswith("Activated alarms: <a> <b>")


def test_a_request_and_a_cancelled_update_stop_a_shift():
    assert why_stop({}, asked=True, cancelled=False).code == "MANUAL_STOP"
    assert "cancelled" in why_stop({}, asked=False, cancelled=True).message


@pytest.mark.parametrize("configuration", ["LambdaCanary10Percent5Minutes", "LambdaLinear10PercentEvery1Minute"])
def test_a_shift_without_alarms_takes_every_step_and_ends(configuration):
    made = codedeploy(DeploymentConfigName=f"CodeDeployDefault.{configuration}")
    shares: list[float] = []
    made.shift(POLICY, shares.append)
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0.1, 1.0)
    assert newest(made)["status"] == "Succeeded"


def test_an_alarm_in_the_midst_gives_everything_back_to_the_old_version():
    made, shares = codedeploy(Cloud(rings_at=1)), []
    with pytest.raises(ResourceFailed, match=r"d-\w{9} failed. One or more alarms .* <errors>"):
        made.shift(POLICY, shares.append)
    assert shares == [0.1, 0.0]
    assert (newest(made)["status"], newest(made)["errorInformation"]["code"]) == ("Stopped", "ALARM_ACTIVE")


def test_an_alarm_that_rings_at_the_start_lets_the_new_version_have_nothing():
    made, shares = codedeploy(Cloud(rings_at=0)), []
    with pytest.raises(ResourceFailed, match="errors"):
        made.shift(POLICY, shares.append)
    assert shares == [0.0]


def test_alarms_that_are_not_enabled_are_not_watched():
    made = codedeploy(Cloud(rings_at=0), AlarmConfiguration={"Enabled": False, "Alarms": [{"Name": "errors"}]})
    made.shift(POLICY, lambda share: None)
    assert newest(made)["status"] == "Succeeded"


def test_an_alias_that_is_gone_ends_the_deployment_with_its_reason():
    made = codedeploy()

    def weigh(share: float) -> None:
        raise ResourceFailed("the alias cannot be moved")

    with pytest.raises(ResourceFailed, match="cannot be moved"):
        made.shift(POLICY, weigh)
    assert (newest(made)["status"], newest(made)["errorInformation"]["message"]) == (
        "Failed",
        "the alias cannot be moved",
    )


def test_a_stop_is_heard_by_the_shift_that_it_means():
    made, shares, begun = codedeploy(time_scale=1), [], threading.Event()  # it would take five minutes
    failure: list[BaseException] = []

    def weigh(share: float) -> None:
        shares.append(share)
        begun.set()

    def shift() -> None:
        try:
            made.shift(POLICY, weigh)
        except ResourceFailed as error:
            failure.append(error)

    thread = threading.Thread(target=shift, daemon=True)
    thread.start()
    assert begun.wait(5)
    (identity,) = made.call("ListDeployments", {"includeOnlyStatuses": ["InProgress"]})["deployments"]
    assert made.call("StopDeployment", {"deploymentId": identity})["status"] == "Pending"
    thread.join(5)
    assert (shares, "stopped by a user" in str(failure[0])) == ([0.1, 0.0], True)
    with pytest.raises(ApiError, match="already completed"):
        made.call("StopDeployment", {"deploymentId": identity})


# What there is


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        ({"DeploymentConfigName": "Mine"}, "Mine"),
        ({"DeploymentStyle": {"DeploymentType": "IN_PLACE"}}, "BLUE_GREEN"),
        ({"AutoRollbackConfiguration": {"Enabled": False}}, "AutoRollbackConfiguration"),
        ({"AlarmConfiguration": {"Enabled": True, "Alarms": [{"Name": str(n)} for n in range(11)]}}, "10"),
    ],
)
def test_a_group_that_would_act_otherwise_than_ours_is_refused(overrides, says):
    with pytest.raises(ResourceFailed, match=says):
        codedeploy(**overrides)


def test_another_platform_is_refused():
    with pytest.raises(ResourceFailed, match="only Lambda"):
        shifting.resource_types(codedeploy())["AWS::CodeDeploy::Application"].create("a", {})


@pytest.mark.parametrize("policy", [{**POLICY, "DeploymentGroupName": "other"}, {**POLICY, "ApplicationName": "other"}])
def test_a_shift_needs_its_group(policy):
    with pytest.raises(ResourceFailed, match="No Deployment Group found"):
        codedeploy().shift(policy, lambda share: None)


def test_groups_and_deployments_belong_to_one_account_and_region():
    cloud = Cloud()
    made = codedeploy(cloud)
    made.shift(POLICY, lambda share: None)
    identity = newest(made)["deploymentId"]
    cloud.here = Scope("2", "here")
    assert made.call("ListDeployments", {}) == {"deployments": []}
    with pytest.raises(ApiError, match="could not be found"):
        made.call("GetDeployment", {"deploymentId": identity})


def test_an_operation_that_is_not_there_is_refused_by_name():
    with pytest.raises(NotEmulated, match="CreateDeployment is not emulated"):
        codedeploy().call("CreateDeployment", {})


def test_a_policy_names_its_group_by_reference_or_by_name():
    resources = {"Shift": {"PhysicalResourceId": "app"}}
    policy = {"ApplicationName": {"Ref": "Shift"}, "DeploymentGroupName": "group"}
    assert shifting.policy_of({"UpdatePolicy": {"CodeDeployLambdaAliasUpdate": policy}}, resources) == POLICY
    assert shifting.policy_of({"Properties": {}}, resources) is None


@pytest.mark.parametrize(
    "more",
    [{"BeforeAllowTrafficHook": "f"}, {"ApplicationName": {"Ref": "Gone"}}, {"ApplicationName": {"Fn::Sub": "a"}}],
)
def test_a_policy_that_cannot_be_obeyed_is_refused(more):
    with pytest.raises(ResourceFailed, match="is not emulated"):
        shifting.policy_of({"UpdatePolicy": {"CodeDeployLambdaAliasUpdate": {**POLICY, **more}}}, {})


def test_what_is_kept_survives_a_restart_and_not_a_reset():
    made = codedeploy()
    made.shift(POLICY, lambda share: None)
    again = Shifting(Cloud(), Faults(time_scale=FASTEST))
    again.load(made.dump())
    assert newest(again) == newest(made)
    again.shift(POLICY, lambda share: None)
    again.reset()
    assert again.call("ListDeployments", {}) == {"deployments": []}
    with pytest.raises(ResourceFailed):
        again.shift(POLICY, lambda share: None)
