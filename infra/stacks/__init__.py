"""From a configuration to stacks: one platform and one stack per model."""

from pathlib import Path

from aws_cdk import App, Environment

from infra.constructs.gate import Pace
from infra.constructs.handler_code import stage_handlers
from infra.constructs.staging import Staging
from infra.stacks.model import ModelStack
from infra.stacks.platform import PlatformStack
from turnout.config.specs import Config
from turnout.config.stages import Stage

#: Behaviour of CDK that the templates rely on, set here so that every way of running the app gives the same ones.
FLAGS = {
    "@aws-cdk/aws-s3:serverAccessLogsUseBucketPolicy": True,
    # A platform output that models import cannot be removed under them.
    "@aws-cdk/core:defaultCrossStackReferences": "strong",
    # Nobody reads the stack traces that CDK keeps of each resource, and they cost time.
    "aws:cdk:disable-stack-trace": True,
}
#: How the gate waits unless `cdk -c drain=... -c gate_poll=...` says otherwise.
DEFAULT_PACE = Pace()


def new_app(outdir: str | Path) -> App:
    """Return an app without usage reports and the console's construct tree, neither of which a template needs."""
    return App(outdir=str(outdir), analytics_reporting=False, tree_metadata=False, context=FLAGS)


def add_stacks(
    app: App,
    config: Config,
    *,
    stage: Stage,
    account: str | None = None,
    region: str | None = None,
    pace: Pace = DEFAULT_PACE,
) -> tuple[PlatformStack, dict[str, ModelStack]]:
    """Add a stage's stacks to an app. Without account or region the templates fit any; `pace` is the gate's."""
    env = Environment(account=account, region=region)
    staging = Staging(Path(app.outdir))
    handlers = stage_handlers(staging)
    platform = PlatformStack(app, spec=config.platform, stage=stage, handlers=handlers, env=env)
    models = {
        spec.name: ModelStack(
            app, spec=spec, stage=stage, platform=platform, handlers=handlers, staging=staging, env=env, pace=pace
        )
        for spec in config.models.values()
    }
    return platform, models
