"""Mode `async`: every request is taken in at once and answered when the model has come to it."""

from constructs import Construct

from infra.constructs.async_endpoint import AsyncEndpoint
from infra.constructs.parts import Parts
from infra.serving.base import Serving


class AsyncServing(Serving):
    proof_seconds = 1_800  # an endpoint at rest has to start an instance first

    def __init__(self, scope: Construct, id: str, *, parts: Parts) -> None:
        super().__init__(scope, id, parts=parts)
        self._answer_live(AsyncEndpoint(self, "Async", parts=parts))
