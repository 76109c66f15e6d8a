"""Mode `precompute`: scored like `batch`, and every score looked up by key."""

from constructs import Construct

from infra.constructs.gate_definition import LONGEST_BOUND_SECONDS
from infra.constructs.parts import Parts
from infra.constructs.permissions import Statement, allow
from infra.constructs.score_permissions import read_scores, write_scores
from infra.serving.batch import BatchServing


class PrecomputeServing(BatchServing):
    """The batch pipeline also fills the table, and the front door reads scores from it."""

    proof_seconds = LONGEST_BOUND_SECONDS  # a whole run

    def __init__(self, scope: Construct, id: str, *, parts: Parts) -> None:
        super().__init__(scope, id, parts=parts)
        self.fresh_seconds = parts.card.max_staleness_seconds
        self.front_door_permissions += [read_scores(parts.scores.arn)]
        self.proof_permissions += [*self._pipeline.start_and_watch(), *self._loss_permissions()]

    def _loss_permissions(self) -> list[Statement]:
        """Return what the gate may do to see whom a switch to this mode would answer no more."""
        return [allow(["cloudwatch:GetMetricData"], ["*"])]

    def _publish_permissions(self, parts: Parts) -> list[Statement]:
        return [write_scores(parts.scores.arn)]
