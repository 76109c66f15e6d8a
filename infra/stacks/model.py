"""One model: artifact, pipeline, table, front door and alarms, in a stack of its own."""

from aws_cdk import CfnOutput, Environment, Stack
from constructs import Construct

from handlers.contract.env import PredictEnv
from handlers.contract.layout import input_prefix, results_root, stack_name
from infra.constructs.alarms import Alarms
from infra.constructs.bucket_place import BucketPlace
from infra.constructs.card_file import stage_card
from infra.constructs.file_asset import StagedFile, Uploads
from infra.constructs.front_door import FrontDoor
from infra.constructs.gate import Gate, Pace, Proving
from infra.constructs.model_artifact import artifact_in_s3, build_artifact
from infra.constructs.parts import Parts
from infra.constructs.published_by_aws import PublishedAnywhere, PublishedIn
from infra.constructs.samples import stage_samples
from infra.constructs.score_store import ScoreStore
from infra.constructs.staging import Staging
from infra.serving import SERVING
from infra.serving.base import Serving
from infra.stacks.platform import PlatformStack
from infra.stacks.tags import tag
from turnout.config.cards import to_card
from turnout.config.specs import ModelSpec
from turnout.config.stages import Stage


class ModelStack(Stack):
    """Whatever the mode, table and front door stand beside `Serving`, so their logical ids survive a switch."""

    def __init__(
        self,
        scope: Construct,
        *,
        spec: ModelSpec,
        stage: Stage,
        platform: PlatformStack,
        handlers: StagedFile,
        staging: Staging,
        env: Environment,
        pace: Pace,
    ) -> None:
        name = stack_name(stage.name, spec.name)
        super().__init__(scope, name, description=f"Turnout {stage.name}: model {spec.name}.", env=env)
        tags = {**spec.tags, "turnout:model": spec.name, "turnout:stage": stage.name}
        parts = self._parts(spec, stage, platform, handlers, staging, env.region, tags)
        serving = SERVING[spec.mode](self, "Serving", parts=parts)
        gate = Gate(self, "Gate", parts=parts, proving=_proving(serving), pace=pace)
        gate.require(serving)
        for follower in serving.followers:
            follower.wait_for(gate.passed)
        front_door = FrontDoor(
            self,
            "FrontDoor",
            parts=parts,
            env=_predict_environment(parts, serving),
            allowed=serving.front_door_permissions,
            slow_milliseconds=serving.slow_milliseconds,
            api=platform.api,
            gate=gate,
        )
        self._publish_outputs(parts, serving, front_door)
        tag(self, tags)

    def _parts(
        self,
        spec: ModelSpec,
        stage: Stage,
        platform: PlatformStack,
        handlers: StagedFile,
        staging: Staging,
        region: str | None,
        tags: dict[str, str],
    ) -> Parts:
        """Make what the rest of the stack shares. Raises ImageError and NoArrowLayer for a region without them."""
        uploads = Uploads(self)
        source, prefix = _source(spec, platform.data)
        card = to_card(spec, input_uri=spec.input.location or prefix)
        artifact = artifact_in_s3(spec.artifact) if spec.artifact else build_artifact(spec.code, staging)
        layer = platform.arrow_layer
        published = PublishedIn(region, spec, layer) if region else PublishedAnywhere(self, spec, layer)
        samples = stage_samples(spec, staging)
        # The mode tags what it costs, and nothing else: on front door and table a switch would be a change to them.
        job_tags = {**tags, "turnout:mode": spec.mode.value}
        return Parts(
            spec=spec,
            stage=stage,
            card=card,
            card_file=uploads.add(stage_card(card, staging)),
            code=uploads.add(handlers),
            archive_uri=artifact.uri or uploads.add(artifact.file).uri,
            model_version=artifact.version,
            samples=uploads.add(samples) if samples else None,
            scores=ScoreStore(self, "Scores", stage=stage),
            data=platform.data,
            source=source,
            source_prefix=prefix,
            published=published,
            alarms=Alarms(self, "Alarms", subject=spec.name, topic_arn=platform.alarm_topic, stage=stage),
            tags=tags,
            job_tags=job_tags,
        )

    def _publish_outputs(self, parts: Parts, serving: Serving, front_door: FrontDoor) -> None:
        for name, value in {
            "PredictUrl": front_door.url,
            "FrontDoorName": front_door.name,
            "TableName": parts.scores.name,
            "Mode": parts.spec.mode.value,
            "ModelVersion": parts.model_version,
            **serving.outputs,
        }.items():
            CfnOutput(self, name, value=value)


def _source(spec: ModelSpec, data: BucketPlace) -> tuple[BucketPlace, str]:
    """Return the bucket and prefix that the model's input lies under."""
    if not spec.input.location:
        return data, input_prefix(spec.name)
    bucket, _, prefix = spec.input.location.removeprefix("s3://").partition("/")
    return BucketPlace.named(bucket), prefix


def _proving(serving: Serving) -> Proving:
    return Proving(
        endpoint=serving.endpoint,
        endpoint_config=serving.endpoint_config,
        most_instances=serving.most_instances,
        fallback=serving.fallback,
        pipeline=serving.pipeline,
        fresh_seconds=serving.fresh_seconds,
        bound_seconds=serving.proof_seconds,
        allowed=serving.proof_permissions,
    )


def _predict_environment(parts: Parts, serving: Serving) -> PredictEnv:
    return PredictEnv(
        stage=parts.stage.name,
        model=parts.spec.name,
        mode=parts.spec.mode.value,
        model_version=parts.model_version,
        table=parts.scores.name,
        max_staleness_seconds=parts.card.max_staleness_seconds,
        results_uri=f"s3://{parts.data.name}/{results_root(parts.spec.name)}",
        spec_bucket=parts.card_file.bucket,
        spec_key=parts.card_file.key,
        data_bucket=parts.data.name,
        endpoint=serving.endpoint,
        fallback=serving.fallback,
        remember_seconds=serving.remember_seconds,
        max_live_per_minute=parts.spec.hybrid.max_live_per_minute,
        async_expiry_seconds=int(parts.spec.async_.expiry.total_seconds()),
        async_invocation_seconds=int(parts.spec.async_.invocation_timeout.total_seconds()),
        overlaid=serving.overlaid,
        on_stale=parts.spec.on_stale,
    )
