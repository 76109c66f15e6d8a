"""Mode `serverless`: every request is answered by the model, on capacity that comes with the requests."""

from constructs import Construct

from infra.constructs.parts import Parts
from infra.constructs.serverless_endpoint import ServerlessEndpoint
from infra.serving.base import Serving


class ServerlessServing(Serving):
    def __init__(self, scope: Construct, id: str, *, parts: Parts) -> None:
        super().__init__(scope, id, parts=parts)
        self._answer_live(ServerlessEndpoint(self, "Serverless", parts=parts))
