"""Mode `realtime`: every request is answered by the model, on instances that are always there."""

from constructs import Construct

from infra.constructs.parts import Parts
from infra.constructs.realtime_endpoint import RealtimeEndpoint
from infra.serving.base import Serving


class RealtimeServing(Serving):
    proof_seconds = 1_800  # an endpoint that replaces one that load has made larger has to grow first

    def __init__(self, scope: Construct, id: str, *, parts: Parts) -> None:
        super().__init__(scope, id, parts=parts)
        self._answer_live(RealtimeEndpoint(self, "Realtime", parts=parts))
