"""What watches how old a model's data are: a function on a schedule of its own."""

import json
from datetime import timedelta

from aws_cdk import aws_scheduler as scheduler
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from handlers.contract import metrics
from handlers.contract.env import FreshnessEnv
from handlers.contract.records import RUN
from infra.constructs.function import HandlerFunction, Size
from infra.constructs.log_group import LogGroup
from infra.constructs.parts import Parts
from infra.constructs.permissions import Statement, allow, own_account, put_metrics, service_role
from infra.constructs.pseudo import arn
from infra.constructs.score_permissions import on_items, read_freshness
from turnout.config.specs import ModelSpec

#: A look reads three items; its memory is what boto3's clients need.
SIZE = Size(memory_mb=256, timeout_seconds=60)
USUAL_MINUTES = 5
#: Where ages are limited to less than this, looks are a minute apart.
SHORT = timedelta(hours=1)


class Freshness(Construct):
    """Looks every few minutes and reports the age; starts runs where the model wants them by age."""

    def __init__(self, scope: Construct, id: str, *, parts: Parts, machine: sfn.CfnStateMachine) -> None:
        super().__init__(scope, id)
        minutes = minutes_between_looks(parts.spec)
        function = self._function(parts, machine)
        role = service_role(
            self,
            "Role",
            service="scheduler.amazonaws.com",
            statements=[allow(["lambda:InvokeFunction"], [function.arn])],
            trust_condition=own_account(**{"aws:SourceArn": arn("scheduler", "schedule-group/default")}),
        )
        scheduler.CfnSchedule(
            self,
            "Schedule",
            description=f"Looks how old the data of {parts.spec.name} are.",
            schedule_expression=f"rate({minutes} minute{'s' if minutes > 1 else ''})",
            flexible_time_window={"mode": "OFF"},
            target={
                "arn": function.arn,
                "roleArn": role.attr_arn,
                "input": json.dumps({"slot": "<aws.scheduler.scheduled-time>"}),
                # The next look comes soon enough, and one that never comes is what the alarm takes for a breach.
                "retryPolicy": {"maximumRetryAttempts": 1, "maximumEventAgeInSeconds": 60},
            },
        )

    def _function(self, parts: Parts, machine: sfn.CfnStateMachine) -> HandlerFunction:
        older_than = parts.spec.refresh.when_older_than
        return HandlerFunction(
            self,
            "Look",
            entry="freshness",
            description=f"{parts.spec.name}: reports how old its data are.",
            code=parts.code,
            env=FreshnessEnv(
                stage=parts.stage.name,
                model=parts.spec.name,
                mode=parts.spec.mode.value,
                table=parts.scores.name,
                pipeline=machine.attr_arn,
                when_older_than_seconds=int(older_than.total_seconds()) if older_than else 0,
            ),
            size=SIZE,
            statements=_permissions(parts, machine),
            logs=LogGroup(self, parts.stage),
            tags=parts.tags,
        )


def minutes_between_looks(spec: ModelSpec) -> int:
    limits = [spec.max_staleness, *([spec.refresh.when_older_than] if spec.refresh.when_older_than else [])]
    return 1 if min(limits) < SHORT else USUAL_MINUTES


def _permissions(parts: Parts, machine: sfn.CfnStateMachine) -> list[Statement]:
    """Return what a look may do; only where age starts runs may it see and start executions."""
    allowed = [
        read_freshness(parts.scores.arn),
        put_metrics(metrics.NAMESPACE),
        allow(["states:DescribeStateMachine"], [machine.attr_arn]),
    ]
    if parts.spec.refresh.when_older_than:
        allowed += [
            on_items(parts.scores.arn, ["Query"], RUN),
            allow(["states:ListExecutions", "states:StartExecution"], [machine.attr_arn]),
        ]
    return allowed
