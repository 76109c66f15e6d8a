"""Log groups are made here, never by the service at the first line, because those keep their lines for ever."""

from aws_cdk import aws_logs as logs
from constructs import Construct

from infra.constructs.retention import keep_as_stage_says
from turnout.config.stages import Stage


def log_group_for(scope: Construct, stage: Stage, id: str = "Logs") -> logs.CfnLogGroup:
    """Add a log group with a generated name that keeps its lines as long as the stage says."""
    group = logs.CfnLogGroup(scope, id, retention_in_days=stage.log_retention_days)
    keep_as_stage_says(group, stage)
    return group
