"""What happens to data when its resource leaves the stack: the stage decides, and the template says so."""

from aws_cdk import CfnResource, RemovalPolicy

from turnout.config.stages import Stage


def removal_policy(stage: Stage) -> RemovalPolicy:
    return RemovalPolicy.RETAIN if stage.retain_data else RemovalPolicy.DESTROY


def keep_as_stage_says(resource: CfnResource, stage: Stage) -> None:
    """Set what happens on deletion and on replacement."""
    resource.apply_removal_policy(removal_policy(stage))
