"""Between two modes: the gate that the front door waits for, and the drain that the clean-up waits for.

CloudFormation makes and updates what a mode needs, then asks the gate; only when the mode has proved itself are the
front door's function and alias updated; then the drain holds the clean-up back until nobody needs the old mode.
Both are custom resources of one function, which hands the request to a machine and returns (handlers.contract.gating).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from aws_cdk import Aws, CfnResource
from constructs import Construct

from handlers.contract.answering import LOST_ANSWERS
from handlers.contract.env import GateEnv
from handlers.contract.gating import GateProperties
from handlers.contract.records import GENERATION, POINTER, REQUEST, RUN
from infra.constructs.function import HandlerFunction, Size
from infra.constructs.gate_definition import (
    GRACE_SECONDS,
    HAND_OVER_SECONDS,
    LONGEST_BOUND_SECONDS,
    LONGEST_POLL_SECONDS,
    LOOK_SECONDS,
    gate_definition,
)
from infra.constructs.log_group import LogGroup
from infra.constructs.parts import Parts
from infra.constructs.permissions import Statement, allow
from infra.constructs.request_permissions import read_answers
from infra.constructs.score_permissions import on_items
from infra.constructs.state_machine import add_machine

LOOK = Size(memory_mb=512, timeout_seconds=LOOK_SECONDS)
HAND_OVER = Size(memory_mb=256, timeout_seconds=HAND_OVER_SECONDS)
#: Asynchronous requests that take longer are let go.
DRAIN_BOUND_SECONDS = LONGEST_BOUND_SECONDS
#: Longer waits would leave no time within CloudFormation's hour.
LONGEST_DRAIN_SECONDS = 600


class BadPace(ValueError):
    """`-c drain` or `-c gate_poll` is not a number of seconds that makes sense."""


@dataclass(frozen=True)
class Pace:
    """How the gate waits: seconds between two looks, and from the move until the old endpoint may go at the earliest.

    35 s: the front door's function may run for 30, and an alias is everywhere a moment after it has moved.
    """

    poll_seconds: int = 5
    drain_seconds: int = 35

    @classmethod
    def from_settings(cls, *, drain: str | None, gate_poll: str | None) -> Self:
        """Return the pace that the command line asks for. Raises BadPace."""
        given = {
            "drain_seconds": ("drain", drain, LONGEST_DRAIN_SECONDS),
            "poll_seconds": ("gate_poll", gate_poll, LONGEST_POLL_SECONDS),
        }
        return cls(**{field: _seconds(*setting) for field, setting in given.items() if setting[1] is not None})


def _seconds(name: str, text: str, most: int) -> int:
    if not str(text).isdecimal() or not 1 <= int(text) <= most:
        raise BadPace(f"-c {name}={text}: write whole seconds, 1 to {most}")
    return int(text)


@dataclass(frozen=True)
class Proving:
    """What a mode has to prove (`Serving`), as the gate's functions and its resource are told."""

    endpoint: str
    endpoint_config: str
    most_instances: int
    fallback: str
    pipeline: str
    fresh_seconds: int
    bound_seconds: int
    allowed: Sequence[Statement]


class Gate(Construct):
    """`passed` is the resource that is there once the mode has proved itself."""

    def __init__(self, scope: Construct, id: str, *, parts: Parts, proving: Proving, pace: Pace) -> None:
        super().__init__(scope, id)
        self._parts, self._proving, self._pace = parts, proving, pace
        self._logs = LogGroup(self, parts.stage)
        prove = self._function("Prove", "looks whether a mode works", LOOK, _looking(parts, proving))
        answer = self._function("Answer", "tells CloudFormation the verdict", HAND_OVER, [])
        steps = {"ProveArn": prove.arn, "AnswerArn": answer.arn}
        machine = add_machine(
            self,
            definition=gate_definition(poll_seconds=pace.poll_seconds),
            substitutions=steps,
            allowed=[allow(["lambda:InvokeFunction"], list(steps.values()))],
            logs=self._logs,
        )
        start = [
            allow(["states:StartExecution"], [machine.attr_arn]),
            # A stack that goes back to what it was is not asked for proof.
            allow(["cloudformation:DescribeStacks"], [Aws.STACK_ID]),
        ]
        gate = self._function("Gate", "hands CloudFormation's question on", HAND_OVER, start, machine.attr_arn)
        self._token = gate.arn
        asked = {"LostAnswersAcknowledged": str(LOST_ANSWERS in parts.spec.acknowledge).lower()}
        if proving.fresh_seconds and parts.spec.on_stale == "refuse":
            asked["RefusesStale"] = "true"
        self.passed = self._resource("Passed", "prove", proving.bound_seconds, asked)

    def require(self, proved: Construct) -> None:
        """Ask only after everything in a construct is there and up to date."""
        self.passed.node.add_dependency(proved)

    def hold_back_cleanup(self, *, after: CfnResource, release: str) -> None:
        """Hold CloudFormation's clean-up back, once `after` has moved, until nobody needs what it will delete.

        That is asked at every release of the front door, whose old version and role go too.
        """
        asked = {"DrainSeconds": str(self._pace.drain_seconds), "Release": release}
        drained = self._resource("Drained", "drain", DRAIN_BOUND_SECONDS, asked)
        drained.add_resource_dependency(after)

    def _function(
        self, id: str, purpose: str, size: Size, statements: Sequence[Statement], machine: str = ""
    ) -> HandlerFunction:
        return HandlerFunction(
            self,
            id,
            entry=id.lower(),
            description=f"{self._parts.spec.name}: {purpose}.",
            code=self._parts.code,
            env=self._environment(machine),
            size=size,
            statements=statements,
            logs=self._logs,
            tags=self._parts.tags,
        )

    def _environment(self, machine: str) -> GateEnv:
        parts, proving = self._parts, self._proving
        return GateEnv(
            stage=parts.stage.name,
            model=parts.spec.name,
            mode=parts.spec.mode.value,
            model_version=parts.model_version,
            table=parts.scores.name,
            spec_bucket=parts.card_file.bucket,
            spec_key=parts.card_file.key,
            samples_bucket=parts.samples.bucket if parts.samples else "",
            samples_key=parts.samples.key if parts.samples else "",
            endpoint=proving.endpoint,
            endpoint_config=proving.endpoint_config,
            most_instances=proving.most_instances,
            fallback=proving.fallback,
            pipeline=proving.pipeline,
            gate_machine=machine,
            data_bucket=parts.data.name,
        )

    def _resource(self, id: str, kind: str, bound_seconds: int, asked: Mapping[str, str]) -> CfnResource:
        """Return one of the two resources. `asked` are the properties of its kind alone, lest a change of one resource
        have the other ask again.
        """
        properties = GateProperties(
            ServiceToken=self._token,
            Kind=kind,
            Mode=self._parts.spec.mode.value,
            ModelVersion=self._parts.model_version,
            Endpoint=self._proving.endpoint,
            EndpointConfig=self._proving.endpoint_config,
            FreshSeconds=str(self._proving.fresh_seconds),
            BoundSeconds=str(bound_seconds),
        )
        timeout = {"ServiceTimeout": str(bound_seconds + GRACE_SECONDS)}
        return CfnResource(self, id, type=TYPES[kind], properties={**properties, **asked, **timeout})


TYPES = {"prove": "Custom::TurnoutGate", "drain": "Custom::TurnoutDrain"}


def _looking(parts: Parts, proving: Proving) -> list[Statement]:
    """Return what a look may do: in every mode the drain's part, and what the mode's own proof takes."""
    table = parts.scores.arn
    samples = [parts.samples.read] if parts.samples else []
    return [
        parts.card_file.read,
        *samples,
        on_items(table, ["GetItem"], POINTER, GENERATION, RUN),
        on_items(table, ["Query"], REQUEST),
        *read_answers(parts),
        *proving.allowed,
    ]
