"""The seam between a model's stack and the way the model is served."""

from typing import Protocol

from aws_cdk import CfnResource
from constructs import Construct

from infra.constructs.live_endpoint import LiveEndpoint
from infra.constructs.parts import Parts
from infra.constructs.permissions import Statement


class Follower(Protocol):
    def wait_for(self, resource: CfnResource) -> None:
        """Leave everything as it is until `resource` is there."""


class Serving(Construct):
    """What every mode offers, so that `ModelStack` never asks which one it has.

    `front_door_permissions`  what the front door may do in this mode, beside what it may in all
    `proof_permissions`       what the gate may do to prove this mode
    `proof_seconds`           time after which the gate gives up
    `endpoint`                name of the endpoint that answers live, and `endpoint_config` that must be in force
    `most_instances`          upper bound of that endpoint's instances; 0 where they are not counted
    `fallback`                hybrid only: the family of that endpoint
    `pipeline`                ARN of the machine that makes generations
    `fresh_seconds`           age up to which a visible generation is proof enough; 0: none is wanted
    `remember_seconds`        how long live answers are remembered
    `overlaid`                whether single keys are scored by event, so that lookups read them too
    `followers`               what changes, as the front door does, only once the mode is proved
    `slow_milliseconds`       time in which 99 of 100 requests are answered
    `outputs`                 stack outputs of this mode, by name

    What a mode does not have is empty or 0. Alarms are added to `parts.alarms`.
    """

    proof_seconds = 600

    def __init__(self, scope: Construct, id: str, *, parts: Parts) -> None:
        super().__init__(scope, id)
        self.front_door_permissions: list[Statement] = []
        self.proof_permissions: list[Statement] = []
        self.endpoint, self.endpoint_config, self.fallback, self.pipeline = "", "", "", ""
        self.fresh_seconds = self.remember_seconds = self.most_instances = 0
        self.slow_milliseconds = 1_000
        self.overlaid = False
        self.followers: list[Follower] = []
        self.outputs: dict[str, str] = {}

    def _answer_live(self, endpoint: LiveEndpoint) -> None:
        """Have an endpoint answer. Its construct is named after its family, so that modes share it."""
        self.endpoint, self.endpoint_config = endpoint.name, endpoint.config_name
        self.most_instances = endpoint.most_instances
        self.front_door_permissions += endpoint.front_door_permissions
        self.proof_permissions += endpoint.proof_permissions
        self.slow_milliseconds = max(self.slow_milliseconds, endpoint.slow_milliseconds)
        self.outputs |= endpoint.outputs
