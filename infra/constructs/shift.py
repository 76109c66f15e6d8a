"""How requests move to a new version of the front door: at once, or step by step under the eyes of the alarms.

CodeDeploy is written with its CloudFormation properties: its bindings bring half of CDK along.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from aws_cdk import CfnResource
from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from infra.constructs.permissions import allow, own_account, service_role
from infra.constructs.pseudo import arn

#: Word under `shift:` -> CodeDeploy's own configuration; None: CloudFormation moves the alias by itself.
SHIFTS: dict[str, str | None] = {
    "all-at-once": None,
    "canary": "CodeDeployDefault.LambdaCanary10Percent5Minutes",
    "linear": "CodeDeployDefault.LambdaLinear10PercentEvery1Minute",
}
GOES_BACK_ON = ["DEPLOYMENT_FAILURE", "DEPLOYMENT_STOP_ON_ALARM", "DEPLOYMENT_STOP_ON_REQUEST"]


def update_policy(
    scope: Construct,
    *,
    shift: str,
    function: str,
    alias: str,
    judges: Sequence[cloudwatch.CfnAlarm],
    tags: Mapping[str, str],
) -> dict[str, Any] | None:
    """Return the alias's UpdatePolicy, with a CodeDeploy application of its own where there are steps to take.

    `judges` are alarms that take the release back when they ring.
    """
    configuration = SHIFTS[shift]
    if configuration is None:
        return None
    cfn_tags = [{"Key": key, "Value": value} for key, value in sorted(tags.items())]
    role = service_role(
        scope,
        "ShiftRole",
        service="codedeploy.amazonaws.com",
        statements=[
            # To read or move an alias is a right on its function: IAM looks for the ARN without the alias.
            allow(["lambda:GetAlias", "lambda:UpdateAlias"], [arn("lambda", f"function:{function}")]),
            allow(["lambda:GetProvisionedConcurrencyConfig"], [arn("lambda", f"function:{function}:{alias}")]),
            allow(["cloudwatch:DescribeAlarms"], [alarm.attr_arn for alarm in judges]),
        ],
        trust_condition=own_account(),
    )
    application = CfnResource(
        scope,
        "Shift",
        type="AWS::CodeDeploy::Application",
        properties={"ComputePlatform": "Lambda", "Tags": cfn_tags},
    )
    group = CfnResource(
        scope,
        "ShiftGroup",
        type="AWS::CodeDeploy::DeploymentGroup",
        properties={
            "ApplicationName": application.ref,
            "ServiceRoleArn": role.attr_arn,
            "DeploymentConfigName": configuration,
            "DeploymentStyle": {"DeploymentType": "BLUE_GREEN", "DeploymentOption": "WITH_TRAFFIC_CONTROL"},
            "AutoRollbackConfiguration": {"Enabled": True, "Events": GOES_BACK_ON},
            "AlarmConfiguration": {"Enabled": True, "Alarms": [{"Name": alarm.ref} for alarm in judges]},
            "Tags": cfn_tags,
        },
    )
    names = {"ApplicationName": application.ref, "DeploymentGroupName": group.ref}
    return {"CodeDeployLambdaAliasUpdate": names}
