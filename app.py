"""The CDK app: models.yaml in, one platform stack and one stack per model out.

    cdk synth [-c stage=prod] [-c account=111122223333] [-c region=eu-west-1] [-c config=models.yaml]
              [-c drain=35] [-c gate_poll=5]

`drain` is how many seconds an old endpoint stays at least once requests have moved, `gate_poll` how many lie between
two looks of the gate; small values are for the local cloud.

Nothing is called while it runs: not AWS, not git, not pip, not the network.
"""

import os
import sys
from pathlib import Path

from infra.constructs.arrow_layer import NoArrowLayer
from infra.constructs.gate import BadPace, Pace
from infra.stacks import add_stacks, new_app
from turnout.config import Config, ConfigError, artifact_problems, load
from turnout.config.images import ImageError
from turnout.config.stages import UnknownStage, stage

HERE = Path(__file__).resolve().parent


def main() -> int:
    """Write the templates. Where models.yaml or a setting is wrong, say why on stderr and return 1."""
    # The CDK CLI says where to write; run by hand, write where it would have.
    app = new_app(os.environ.get("CDK_OUTDIR", HERE / "cdk.out"))
    setting = app.node.try_get_context
    try:
        config = deployable(HERE / (setting("config") or "models.yaml"))
        chosen = stage(setting("stage") or "dev")
        pace = Pace.from_settings(drain=setting("drain"), gate_poll=setting("gate_poll"))
        add_stacks(app, config, stage=chosen, account=setting("account"), region=setting("region"), pace=pace)
    except (ConfigError, UnknownStage, ImageError, NoArrowLayer, BadPace) as error:
        print(error, file=sys.stderr)
        return 1
    app.synth()
    return 0


def deployable(path: Path) -> Config:
    """Return a configuration that is valid and whose models are trained; print its warnings. Raises ConfigError."""
    config = load(path, root=HERE)
    if problems := artifact_problems(config):
        raise ConfigError(problems)
    for warning in config.warnings:
        print(warning, file=sys.stderr)
    return config


if __name__ == "__main__":
    sys.exit(main())
