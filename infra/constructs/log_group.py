"""Log groups are made here, never by a service at its first line, because those keep their lines for ever."""

from aws_cdk import aws_logs as logs
from constructs import Construct

from infra.constructs.permissions import Statement, allow
from infra.constructs.retention import keep_as_stage_says
from turnout.config.stages import Stage


class LogGroup:
    """A log group with a generated name that keeps its lines as long as the stage says."""

    def __init__(self, scope: Construct, stage: Stage, id: str = "Logs") -> None:
        group = logs.CfnLogGroup(scope, id, retention_in_days=stage.log_retention_days)
        keep_as_stage_says(group, stage)
        self.name = group.ref
        self.arn = group.attr_arn

    @property
    def write(self) -> Statement:
        return allow(["logs:CreateLogStream", "logs:PutLogEvents"], [self.arn])
