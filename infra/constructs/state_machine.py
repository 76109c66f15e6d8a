"""A Step Functions machine from a definition that is data, under a role of its own, logged and traced."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from infra.constructs.log_group import LogGroup
from infra.constructs.permissions import Statement, allow, own_account, service_role

#: Step Functions delivers logs through calls that know no resources (its developer guide, "Logging").
_LOG_DELIVERY = (
    "CreateLogDelivery",
    "GetLogDelivery",
    "UpdateLogDelivery",
    "DeleteLogDelivery",
    "ListLogDeliveries",
    "PutResourcePolicy",
    "DescribeResourcePolicies",
    "DescribeLogGroups",
)
_TRACING = ("PutTraceSegments", "PutTelemetryRecords", "GetSamplingRules", "GetSamplingTargets")


def add_machine(
    scope: Construct,
    *,
    definition: Mapping[str, Any],
    substitutions: Mapping[str, str],
    allowed: Sequence[Statement],
    logs: LogGroup,
) -> sfn.CfnStateMachine:
    """Add `Machine` and `Role`. `substitutions` fill what the definition leaves open as `${Name}`."""
    role = service_role(
        scope,
        "Role",
        service="states.amazonaws.com",
        statements=[
            *allowed,
            allow([f"logs:{action}" for action in _LOG_DELIVERY], ["*"]),
            allow([f"xray:{action}" for action in _TRACING], ["*"]),
        ],
        trust_condition=own_account(),
    )
    return sfn.CfnStateMachine(
        scope,
        "Machine",
        role_arn=role.attr_arn,
        definition_string=json.dumps(definition, indent=1),
        definition_substitutions=dict(substitutions),
        logging_configuration={
            # Without the data of each step: the execution's history has it for 90 days, logs are kept longer.
            "level": "ALL",
            "includeExecutionData": False,
            "destinations": [{"cloudWatchLogsLogGroup": {"logGroupArn": logs.arn}}],
        },
        tracing_configuration={"enabled": True},
    )
