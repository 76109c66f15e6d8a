"""Mode `precompute`: scored like `batch`, and every score looked up by key."""

from constructs import Construct

from infra.constructs.parts import Parts
from infra.constructs.permissions import Statement
from infra.constructs.score_permissions import read_scores, write_scores
from infra.serving.batch import BatchServing


class PrecomputeServing(BatchServing):
    """The batch pipeline also fills the table, and the front door reads scores from it."""

    proof_seconds = 3_300  # a whole run; CloudFormation waits for an hour at most

    def __init__(self, scope: Construct, id: str, *, parts: Parts) -> None:
        super().__init__(scope, id, parts=parts)
        self.fresh_seconds = parts.card.max_staleness_seconds
        self.front_door_permissions += [read_scores(parts.scores.arn)]
        self.proof_permissions += self._pipeline.start_and_watch()

    def _publish_permissions(self, parts: Parts) -> list[Statement]:
        return [write_scores(parts.scores.arn)]
