"""Mode `hybrid`: looked up like `precompute`, and what has no score is asked of the model."""

from constructs import Construct

from infra.constructs.families import FAMILIES
from infra.constructs.parts import Parts
from infra.constructs.permissions import Statement
from infra.constructs.refresh import Refresh
from infra.constructs.request_permissions import remember_answers
from infra.constructs.score_permissions import read_overlaid
from infra.serving.precompute import PrecomputeServing


class HybridServing(PrecomputeServing):
    """A cache of scores in front of an endpoint of the family that `hybrid.fallback` names."""

    def __init__(self, scope: Construct, id: str, *, parts: Parts) -> None:
        super().__init__(scope, id, parts=parts)
        self.remember_seconds = int(parts.spec.hybrid.remember.total_seconds())
        self.fallback = self.outputs["Fallback"] = parts.spec.hybrid.fallback
        self._answer_live(FAMILIES[self.fallback](self, self.fallback.capitalize(), parts=parts))
        self.front_door_permissions += remember_answers(parts)
        if parts.spec.refresh.on_event:
            self._score_by_event(scope, parts)

    def _score_by_event(self, scope: Construct, parts: Parts) -> None:
        """Have events score single keys; beside `Serving`, for that follows the gate as the front door does."""
        refresh = Refresh(scope, "Refresh", parts=parts, endpoint=self.endpoint, family=self.fallback)
        self.overlaid = True
        self.followers.append(refresh)
        self.front_door_permissions += [read_overlaid(parts.scores.arn)]
        self.outputs["RefreshQueueUrl"] = refresh.queue_url

    def _loss_permissions(self) -> list[Statement]:
        """Return nothing: what has no score is asked of the model."""
        return []
