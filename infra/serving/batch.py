"""Mode `batch`: scored on a trigger, results in S3. Nothing is servable live."""

from constructs import Construct

from infra.constructs.alarms import run_alarms, staleness_alarms, trigger_alarms
from infra.constructs.parts import Parts
from infra.constructs.permissions import Statement
from infra.constructs.score_permissions import read_freshness
from infra.constructs.transform_pipeline import TransformPipeline
from infra.constructs.trigger import Trigger
from infra.serving.base import Serving


class BatchServing(Serving):
    """A pipeline and what starts it. The front door knows how fresh the results are and where they lie."""

    def __init__(self, scope: Construct, id: str, *, parts: Parts) -> None:
        super().__init__(scope, id, parts=parts)
        pipeline = TransformPipeline(self, "Pipeline", parts=parts, publish=self._publish_permissions(parts))
        trigger = Trigger(self, "Trigger", parts=parts, machine_arn=pipeline.arn)
        names = {"stage": parts.stage.name, "model": parts.spec.name}
        self.alarms += run_alarms(**names, machine_arn=pipeline.arn)
        self.alarms += staleness_alarms(**names, max_staleness=parts.spec.max_staleness)
        self.alarms += trigger_alarms(queue_name=trigger.queue_name)
        self.front_door_permissions += [read_freshness(parts.scores.arn)]
        self.outputs["StateMachineArn"] = pipeline.arn

    def _publish_permissions(self, parts: Parts) -> list[Statement]:
        """Return what publishing may do beyond writing results to S3: nothing."""
        return []
