"""From a configuration to stacks: one platform and one stack per model."""

from pathlib import Path

from aws_cdk import App, Environment

from infra.constructs.handler_code import stage_handlers
from infra.constructs.model_artifact import Artifact, artifact_in_s3, build_artifact
from infra.stacks.model import ModelStack
from infra.stacks.platform import PlatformStack
from turnout.config.specs import Config, ModelSpec
from turnout.config.stages import Stage

#: Behaviour of CDK that the templates rely on, set here so that every way of running the app gives the same ones.
FLAGS = {
    "@aws-cdk/aws-s3:serverAccessLogsUseBucketPolicy": True,
    "aws:cdk:disable-stack-trace": True,
}


def new_app(outdir: str | Path) -> App:
    """Return an app without usage reports and the console's construct tree, neither of which a template needs."""
    return App(outdir=str(outdir), analytics_reporting=False, tree_metadata=False, context=FLAGS)


def add_stacks(
    app: App, config: Config, *, stage: Stage, account: str | None = None, region: str | None = None
) -> tuple[PlatformStack, dict[str, ModelStack]]:
    """Add a stage's stacks to an app. Without account or region the templates fit any."""
    env = Environment(account=account, region=region)
    staging = Path(app.outdir) / "staging"
    handlers = stage_handlers(staging)
    platform = PlatformStack(app, spec=config.platform, stage=stage, handlers=handlers, env=env)
    models = {
        spec.name: ModelStack(
            app,
            spec=spec,
            settings=config.platform,
            stage=stage,
            platform=platform,
            artifact=_artifact(spec, staging),
            handlers=handlers,
            staging=staging,
            env=env,
        )
        for spec in config.models.values()
    }
    return platform, models


def _artifact(spec: ModelSpec, staging: Path) -> Artifact:
    if spec.artifact:
        return artifact_in_s3(spec.artifact)
    return build_artifact(spec.code, staging / "artifacts")
