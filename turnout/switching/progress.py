"""What a deploy that is under way waits for. `cdk deploy` shows resources only; the gate's machine knows the rest."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import boto3

#: Kinds of the gate's resources -> what it does meanwhile.
DOING = {"prove": "the gate waits for proof", "drain": "the drain waits"}
#: Events of an execution in which its last look lies.
NEWEST_EVENTS = 50


@dataclass(frozen=True)
class Awaited:
    """`what` is the gate's own sentence after its last look; `seconds` since it began."""

    kind: str
    what: str
    seconds: int

    def __str__(self) -> str:
        return f"{DOING.get(self.kind, self.kind)}, since {self.seconds} s: {self.what}"


def awaited(stack: str, *, now: datetime | None = None) -> Awaited | None:
    """Return what the gate of a stack waits for; None where it is not asked anything at this moment."""
    machine = _machine(stack)
    if machine is None:
        return None
    steps = boto3.client("stepfunctions")
    running = steps.list_executions(stateMachineArn=machine, statusFilter="RUNNING", maxResults=1)["executions"]
    if not running:
        return None
    (execution,) = running
    seconds = ((now or datetime.now(UTC)) - execution["startDate"]).total_seconds()
    looked = _last_look(steps, execution["executionArn"])
    return Awaited(looked.get("kind", "prove"), looked.get("reason", "it has not looked yet"), max(0, int(seconds)))


def _machine(stack: str) -> str | None:
    """Return the ARN of a stack's gate machine, which no output tells before the first deployment is done."""
    pages = boto3.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=stack)
    found = (
        resource.get("PhysicalResourceId")
        for page in pages
        for resource in page["StackResourceSummaries"]
        if resource["LogicalResourceId"].startswith("GateMachine")
    )
    return next(found, None)


def _last_look(steps: Any, execution: str) -> dict[str, Any]:
    events = steps.get_execution_history(executionArn=execution, reverseOrder=True, maxResults=NEWEST_EVENTS)["events"]
    looks = [event for event in events if event.get("stateExitedEventDetails", {}).get("name") == "Prove"]
    if not looks:
        return {}
    return json.loads(max(looks, key=lambda event: event["id"])["stateExitedEventDetails"]["output"])
