"""Mode `batch`: scored on a trigger, results in S3. Nothing is servable live."""

from constructs import Construct

from infra.constructs.alarms import run_alarms, staleness_alarms, trigger_alarms
from infra.constructs.freshness import Freshness, minutes_between_looks
from infra.constructs.parts import Parts
from infra.constructs.permissions import Statement
from infra.constructs.transform_pipeline import TransformPipeline
from infra.constructs.trigger import Trigger
from infra.serving.base import Serving


class BatchServing(Serving):
    """A pipeline and what starts it. The front door knows how fresh the results are and where they lie."""

    def __init__(self, scope: Construct, id: str, *, parts: Parts) -> None:
        super().__init__(scope, id, parts=parts)
        self._pipeline = TransformPipeline(self, "Pipeline", parts=parts, publish=self._publish_permissions(parts))
        trigger = Trigger(self, "Trigger", parts=parts, machine_arn=self._pipeline.arn)
        Freshness(self, "Freshness", parts=parts, machine=self._pipeline.machine)
        names = {"stage": parts.stage.name, "model": parts.spec.name}
        parts.alarms.add(
            [
                *run_alarms(**names, machine_arn=self._pipeline.arn),
                *staleness_alarms(
                    **names,
                    max_staleness=parts.spec.max_staleness,
                    minutes_between=minutes_between_looks(parts.spec),
                ),
                *trigger_alarms(queue_name=trigger.queue_name),
            ]
        )
        self.pipeline = self.outputs["StateMachineArn"] = self._pipeline.arn

    def _publish_permissions(self, parts: Parts) -> list[Statement]:
        """Return what publishing may do beyond writing results to S3: nothing."""
        return []
