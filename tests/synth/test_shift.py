"""`shift`: requests move to a new version at once, or in steps that the alarms may take back."""

from typing import get_args

import pytest

from infra.constructs.shift import SHIFTS
from tests.synth.cloudformation import text_of, texts_of, waits_for
from tests.synth.conftest import Served
from turnout.config.specs import ModelSpec
from turnout.local.shifting import CONFIGURATIONS
from turnout.switching import transitions

STEPS = {
    "canary": "CodeDeployDefault.LambdaCanary10Percent5Minutes",
    "linear": "CodeDeployDefault.LambdaLinear10PercentEvery1Minute",
}


def shifted(shift: str) -> str:
    return f"    shift: {shift}\n"


def test_every_word_of_the_configuration_is_known():
    assert set(SHIFTS) == set(get_args(ModelSpec.model_fields["shift"].annotation))


def test_every_configuration_is_codedeploy_s_own():
    assert {name for name in SHIFTS.values() if name} <= set(CONFIGURATIONS)


@pytest.mark.parametrize("shift", sorted(STEPS))
def test_a_plan_takes_a_shift_for_as_long_as_the_steps_of_its_configuration(shift: str):
    minutes = sum(step.minutes for step in CONFIGURATIONS[STEPS[shift]])
    assert transitions.SHIFTS[shift].least == 60 * minutes


def test_all_at_once_is_the_alias_alone(served: Served):
    template = served("realtime")
    assert not [r for r in template.resources.values() if r["Type"].startswith("AWS::CodeDeploy")]
    (alias,) = template.of_type("AWS::Lambda::Alias").values()
    assert "UpdatePolicy" not in alias
    assert served("realtime", shifted("all-at-once")).text == template.text


@pytest.mark.parametrize("shift", sorted(STEPS))
def test_codedeploy_moves_the_alias_in_steps(shift: str, served: Served):
    template = served("realtime", shifted(shift))
    (application,), (group,) = (
        template.of_type(f"AWS::CodeDeploy::{kind}") for kind in ("Application", "DeploymentGroup")
    )
    (alias,) = template.of_type("AWS::Lambda::Alias").values()
    assert alias["UpdatePolicy"] == {
        "CodeDeployLambdaAliasUpdate": {
            "ApplicationName": {"Ref": application},
            "DeploymentGroupName": {"Ref": group},
        }
    }
    assert template.resources[application]["Properties"]["ComputePlatform"] == "Lambda"
    properties = template.resources[group]["Properties"]
    assert properties["DeploymentConfigName"] == STEPS[shift]
    assert properties["DeploymentStyle"] == {
        "DeploymentType": "BLUE_GREEN",
        "DeploymentOption": "WITH_TRAFFIC_CONTROL",
    }


@pytest.mark.parametrize(
    ("mode", "judges"),
    [
        ("batch", {"FrontDoorErrors", "FrontDoorCrashes"}),
        ("realtime", {"FrontDoorErrors", "FrontDoorCrashes", "EndpointErrors"}),
        ("async", {"FrontDoorErrors", "FrontDoorCrashes"}),
    ],
)
def test_the_models_alarms_take_a_release_back(mode: str, judges: set[str], served: Served):
    template = served(mode, shifted("canary"))
    group = template.only("AWS::CodeDeploy::DeploymentGroup")
    assert group["AutoRollbackConfiguration"]["Enabled"] is True
    assert "DEPLOYMENT_STOP_ON_ALARM" in group["AutoRollbackConfiguration"]["Events"]
    named = {alarm["Name"]["Ref"] for alarm in group["AlarmConfiguration"]["Alarms"]}
    assert {id for judge in judges for id in template.resources if id.startswith(f"Alarms{judge}")} == named


def test_codedeploy_may_move_this_alias_and_look_at_these_alarms(served: Served):
    template = served("realtime", shifted("linear"))
    role = template.starting_with("FrontDoorShiftRole", "AWS::IAM::Role")
    statements = role["Policies"][0]["PolicyDocument"]["Statement"]
    allowed = {action: texts_of(s["Resource"]) for s in statements for action in texts_of(s["Action"])}
    alarms = template.only("AWS::CodeDeploy::DeploymentGroup")["AlarmConfiguration"]["Alarms"]
    function = text_of(template.body["Outputs"]["FrontDoorName"]["Value"])
    function_arn = f"arn:<AWS::Partition>:lambda:<AWS::Region>:<AWS::AccountId>:function:{function}"
    assert allowed == {
        # IAM checks these two against the function, not the alias: a policy with the alias's ARN is refused.
        "lambda:GetAlias": [function_arn],
        "lambda:UpdateAlias": [function_arn],
        "lambda:GetProvisionedConcurrencyConfig": [f"{function_arn}:live"],
        "cloudwatch:DescribeAlarms": [f"<{alarm['Name']['Ref']}.Arn>" for alarm in alarms],
    }


@pytest.mark.parametrize("shift", sorted(STEPS))
def test_the_drain_waits_for_the_last_step(shift: str, served: Served):
    template = served("realtime", shifted(shift))
    (drain,), (alias,) = template.of_type("Custom::TurnoutDrain"), template.of_type("AWS::Lambda::Alias")
    assert alias in waits_for(template, drain)


def test_what_is_shifted_can_be_switched_like_anything_else(served: Served):
    kinds = {"AWS::CodeDeploy::Application", "AWS::CodeDeploy::DeploymentGroup"}
    old, new = served("realtime", shifted("canary")), served("batch", shifted("canary"))
    assert {id for id, r in old.resources.items() if r["Type"] in kinds} == {
        id for id, r in new.resources.items() if r["Type"] in kinds
    }
