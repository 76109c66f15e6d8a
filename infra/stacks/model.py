"""One model: artifact, pipeline, table, front door and alarms, in a stack of its own."""

from pathlib import Path

from aws_cdk import Annotations, CfnOutput, Environment, Stack
from constructs import Construct

from handlers.contract.env import PredictEnv
from handlers.contract.layout import input_prefix, results_root, stack_name
from infra.constructs.alarms import LONGEST_LOOKBACK, Alarms, front_door_alarms
from infra.constructs.arrow_layer import arrow_layer_arn
from infra.constructs.bucket_place import BucketPlace
from infra.constructs.card_asset import CardAsset
from infra.constructs.container_image import ContainerImage
from infra.constructs.front_door import FrontDoor
from infra.constructs.handler_code import HandlerCode
from infra.constructs.model import Model
from infra.constructs.model_artifact import Artifact
from infra.constructs.parts import Parts
from infra.constructs.score_store import ScoreStore
from infra.serving import SERVING
from infra.serving.base import Serving
from infra.stacks.platform import PlatformStack
from infra.stacks.tags import tag
from turnout.config.cards import to_card
from turnout.config.specs import ModelSpec, PlatformSpec
from turnout.config.stages import Stage


class ModelStack(Stack):
    """Whatever the mode, table and front door stand beside `Serving`, so their logical ids survive a switch."""

    def __init__(
        self,
        scope: Construct,
        *,
        spec: ModelSpec,
        settings: PlatformSpec,
        stage: Stage,
        platform: PlatformStack,
        artifact: Artifact,
        handlers: Path,
        staging: Path,
        env: Environment | None = None,
    ) -> None:
        super().__init__(
            scope,
            stack_name(stage.name, spec.name),
            description=f"Turnout {stage.name}: model {spec.name}.",
            env=env,
        )
        tags = {**spec.tags, "turnout:model": spec.name, "turnout:stage": stage.name}
        parts = self._parts(spec, settings, stage, platform, artifact, handlers, staging, tags)
        serving = SERVING[spec.mode](self, "Serving", parts=parts)
        front_door = FrontDoor(
            self,
            "FrontDoor",
            parts=parts,
            env=_predict_environment(parts),
            allowed=serving.front_door_permissions,
            api=platform.api,
        )
        self._watch(parts, serving, front_door, platform)
        self._publish_outputs(parts, serving, front_door)
        tag(self, tags)

    def _parts(self, spec, settings, stage, platform, artifact, handlers, staging, tags) -> Parts:
        """Make what the rest of the stack shares."""
        source, prefix = _input_place(spec, platform.data)
        card = to_card(spec, input_uri=spec.input.location or prefix)
        # The mode stands only on what a mode costs: the model and its jobs. On the front door it would be a change.
        cost_tags = {**tags, "turnout:mode": spec.mode.value}
        image = ContainerImage(self, "Image", spec=spec)
        return Parts(
            spec=spec,
            stage=stage,
            card=card,
            card_asset=CardAsset(self, "Card", card=card, staging=staging),
            code=HandlerCode(self, "Code", folder=handlers),
            model=Model(self, "Model", spec=spec, artifact=artifact, image=image, data=platform.data, tags=cost_tags),
            store=ScoreStore(self, "Scores", stage=stage),
            data=platform.data,
            input=source,
            input_prefix=prefix,
            arrow_layer=arrow_layer_arn(self, settings.arrow_layer_arn),
            tags=cost_tags,
        )

    def _watch(self, parts: Parts, serving: Serving, front_door: FrontDoor, platform: PlatformStack) -> None:
        name, stage = parts.spec.name, parts.stage
        specs = serving.alarms + front_door_alarms(stage=stage.name, model=name, function_name=front_door.name)
        Alarms(self, "Alarms", specs=specs, subject=name, topic_arn=platform.alarm_topic, stage=stage)
        if parts.spec.max_staleness > LONGEST_LOOKBACK:
            Annotations.of(self).add_warning_v2(
                "turnout:staleness",
                f"{name}: max_staleness is {parts.spec.max_staleness}, and CloudWatch looks back "
                f"{LONGEST_LOOKBACK.days} days at most: no alarm watches it.",
            )

    def _publish_outputs(self, parts: Parts, serving: Serving, front_door: FrontDoor) -> None:
        for name, value in {
            "PredictUrl": front_door.url,
            "FrontDoorName": front_door.name,
            "TableName": parts.store.name,
            "Mode": parts.spec.mode.value,
            "ModelVersion": parts.model.version,
            **serving.outputs,
        }.items():
            CfnOutput(self, name, value=value)


def _input_place(spec: ModelSpec, data: BucketPlace) -> tuple[BucketPlace, str]:
    """Return the bucket and prefix that the model's input lies under."""
    if not spec.input.location:
        return data, input_prefix(spec.name)
    bucket, _, prefix = spec.input.location.removeprefix("s3://").partition("/")
    return BucketPlace.named(bucket), prefix


def _predict_environment(parts: Parts) -> PredictEnv:
    return PredictEnv(
        stage=parts.stage.name,
        model=parts.spec.name,
        mode=parts.spec.mode,
        model_version=parts.model.version,
        table=parts.store.name,
        max_staleness_seconds=parts.card.max_staleness_seconds,
        results_uri=f"s3://{parts.data.name}/{results_root(parts.spec.name)}",
        spec_bucket=parts.card_asset.bucket,
        spec_key=parts.card_asset.key,
    )
