"""What every family of endpoints offers to the mode that uses it."""

from collections.abc import Sequence
from typing import ClassVar

from constructs import Construct

from infra.constructs.endpoint import Endpoint, on_endpoint, on_namesakes
from infra.constructs.parts import Parts
from infra.constructs.permissions import Statement
from turnout.config.capabilities import FamilyName
from turnout.config.containers import endpoint_of_model, identity_of


class LiveEndpoint(Construct):
    """A model behind an endpoint of one family. SageMaker changes no endpoint from one family to another.

    Another model is another endpoint, too: what belongs to one is built below `own`, whose id is the identity that
    also stands in the name, so that the new one comes up beside the old one with a role, alarms and scaling of its own.

    `name`                    the endpoint's name
    `config_name`             the configuration that is in force once an update has succeeded
    `most_instances`          upper bound of its instances; 0 where they are not counted
    `front_door_permissions`  what the front door may do to have requests answered
    `proof_permissions`       what the gate may do to prove that the endpoint answers
    `outputs`                 stack outputs, by name
    `slow_milliseconds`       time in which the front door answers 99 of 100 requests
    """

    family: ClassVar[FamilyName]
    slow_milliseconds = 2_000

    def __init__(self, scope: Construct, id: str, *, parts: Parts) -> None:
        super().__init__(scope, id)
        spec, version = parts.spec, parts.model_version
        self.name = endpoint_of_model(spec, parts.stage.name, self.family, version)
        self.own = Construct(self, identity_of(spec, self.family, version))
        self.tags = {**parts.tags, "turnout:endpoint": self.family}
        self.most_instances = 0
        self.front_door_permissions: list[Statement] = []
        self.proof_permissions: list[Statement] = []
        self.outputs: dict[str, str] = {}

    def _offer(self, endpoint: Endpoint, invoke: str, beside: Sequence[Statement] = ()) -> None:
        """Publish an endpoint that is called by the action `invoke`; `beside` is what a caller needs besides."""
        self.config_name = endpoint.config_name
        call = on_endpoint(self.name, invoke)
        self.front_door_permissions += [call, *beside]
        self.proof_permissions += [call, on_endpoint(self.name, "DescribeEndpoint")]
        self.outputs["EndpointName"] = self.name

    def _grow(self, most: int) -> None:
        """Have the gate start as many instances, up to `most`, as the endpoint has come to that this one replaces."""
        self.most_instances = most
        self.proof_permissions += [
            on_endpoint(self.name, "UpdateEndpointWeightsAndCapacities"),
            on_namesakes(self.name, "DescribeEndpoint"),
        ]
