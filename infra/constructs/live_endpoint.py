"""What every family of endpoints offers to the mode that uses it."""

from collections.abc import Sequence

from constructs import Construct

from infra.constructs.endpoint import Endpoint, on_endpoint
from infra.constructs.permissions import Statement


class LiveEndpoint(Construct):
    """A model behind an endpoint of one family. SageMaker changes no endpoint from one family to another.

    `name`                    the endpoint's name
    `config_name`             the configuration that is in force once an update has succeeded
    `front_door_permissions`  what the front door may do to have requests answered
    `proof_permissions`       what the gate may do to prove that the endpoint answers
    `outputs`                 stack outputs, by name
    `slow_milliseconds`       time in which the front door answers 99 of 100 requests
    """

    slow_milliseconds = 2_000

    def __init__(self, scope: Construct, id: str) -> None:
        super().__init__(scope, id)
        self.front_door_permissions: list[Statement] = []
        self.proof_permissions: list[Statement] = []
        self.outputs: dict[str, str] = {}

    def _offer(self, endpoint: Endpoint, invoke: str, beside: Sequence[Statement] = ()) -> None:
        """Publish an endpoint that is called by the action `invoke`; `beside` is what a caller needs besides."""
        self.name, self.config_name = endpoint.name, endpoint.config_name
        call = on_endpoint(endpoint.name, invoke)
        self.front_door_permissions += [call, *beside]
        self.proof_permissions += [call, on_endpoint(endpoint.name, "DescribeEndpoint")]
        self.outputs["EndpointName"] = endpoint.name
