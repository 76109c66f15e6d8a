"""The seam between a model's stack and the way the model is served."""

from constructs import Construct

from infra.constructs.alarms import AlarmSpec
from infra.constructs.parts import Parts
from infra.constructs.permissions import Statement


class Serving(Construct):
    """What every mode offers, so that `ModelStack` never asks which one it has.

    `front_door_permissions`  what the front door may do, beside reading the model's card
    `alarms`                  what can go wrong in this mode and should wake someone
    `outputs`                 stack outputs of this mode, by name
    """

    front_door_permissions: list[Statement]
    alarms: list[AlarmSpec]
    outputs: dict[str, str]

    def __init__(self, scope: Construct, id: str, *, parts: Parts) -> None:
        super().__init__(scope, id)
        self.front_door_permissions = []
        self.alarms = []
        self.outputs = {}
