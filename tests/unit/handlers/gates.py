"""A gate whose world is in memory: endpoints, executions and requests that a test sets up."""

import json
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from handlers.contract import layout
from handlers.contract.answering import Counts
from handlers.contract.card import Feature, ModelCard
from handlers.contract.gating import Asked, Proof
from handlers.contract.records import Generation, Pointer, Request, Run
from handlers.logic import gating
from handlers.logic.draining import Drain, drain
from handlers.logic.gating_ports import EndpointState, ExecutionState
from handlers.logic.moments import format_moment
from handlers.logic.proofs import Gate, prove
from handlers.logic.samples import read_samples
from tests.unit.handlers.fakes import FakeClock, FakeObjects, FakeRecords, event

CARD = ModelCard("m", "id", [Feature("x"), Feature("n", type="integer")], "input/m/", prediction="p")
SAMPLES = {
    "features": ["x", "n"],
    "rows": [
        {"id": "a", "features": {"x": 0.1, "n": 1.0}, "p": 0.30000000000000004},
        {"id": "b", "features": {"x": 2.5, "n": 2}, "p": 0.5},
    ],
}
RIGHT = b"0.30000000000000004\n0.5\n"


@dataclass
class FakeEndpoints:
    """Endpoints by name. `answer` is bytes, or what invoking raises."""

    states: dict[str, EndpointState] = field(default_factory=dict)
    answer: bytes | Exception = RIGHT
    asked: list[tuple[str, bytes, str]] = field(default_factory=list)
    queued: list[tuple[str, bytes, str]] = field(default_factory=list)
    grown: list[tuple[str, int]] = field(default_factory=list)

    def state(self, name: str) -> EndpointState | None:
        return self.states.get(name)

    def grow(self, name: str, instances: int) -> None:
        self.grown.append((name, instances))
        self.states[name] = replace(self.states[name], status="Updating", instances=instances)

    def invoke(self, name: str, body: bytes, content_type: str) -> bytes:
        self.asked.append((name, body, content_type))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def invoke_later(self, name: str, body: bytes, content_type: str, file_name: str) -> Asked:
        self.queued.append((name, body, file_name))
        if isinstance(self.answer, Exception):
            raise self.answer
        return Asked(output=f"s3://data/async/m/output/{file_name}", failure=f"s3://data/async/m/failed/{file_name}")


@dataclass
class FakeExecutions:
    """Remembers what was started, by name; every execution is RUNNING unless a test says otherwise."""

    started: dict[str, Any] = field(default_factory=dict)
    states: dict[str, ExecutionState] = field(default_factory=dict)

    def start(self, machine: str, name: str, event: object) -> str:
        self.started.setdefault(name, event)
        return f"{machine}:{name}"

    def state(self, execution: str) -> ExecutionState:
        return self.states.get(execution, ExecutionState("RUNNING", ""))


@dataclass
class FakeRequests:
    stored: list[Request] = field(default_factory=list)

    def waiting(self, now):
        return (request for request in self.stored if request.waits_until > format_moment(now))


@dataclass
class FakeTraffic:
    """Counts that a test sets, and how often they were read."""

    counted: Counts = field(default_factory=Counts)
    reads: int = 0

    def counts(self, now):
        self.reads += 1
        return self.counted


class World:
    """One model's gate and drain; `look` is what the gate's machine repeats."""

    def __init__(self, fallback: str = "", samples: dict | None = SAMPLES, most_instances: int = 4) -> None:
        self.clock, self.records, self.objects = FakeClock(), FakeRecords(), FakeObjects()
        self.endpoints, self.executions, self.requests = FakeEndpoints(), FakeExecutions(), FakeRequests()
        self.traffic = FakeTraffic()
        self.gate = Gate(
            model="m",
            fallback=fallback,
            pipeline="pipeline",
            most_instances=most_instances,
            card=lambda: CARD,
            samples=lambda: read_samples(json.dumps(samples).encode(), CARD) if samples is not None else None,
            endpoints=self.endpoints,
            executions=self.executions,
            records=self.records,
            objects=self.objects,
            traffic=self.traffic,
            clock=self.clock,
        )
        self.drain = Drain("m", "data", self.requests, self.objects, self.clock)

    def asked(self, request_type: str = "Update", old: dict[str, str] | None = None, **properties: str) -> Proof:
        """Return the proof that CloudFormation asks for with the stored event, some properties replaced."""
        wanted = event("cfn_gate_update", RequestType=request_type)
        if properties.get("Kind") == "drain":
            del wanted["ResourceProperties"]["LostAnswersAcknowledged"]
            wanted["ResourceProperties"]["DrainSeconds"] = "35"
        wanted["ResourceProperties"] |= properties
        if request_type == "Create":
            del wanted["OldResourceProperties"], wanted["PhysicalResourceId"]
        else:
            wanted["OldResourceProperties"] |= old or {}
        return gating.opened(wanted, stage="dev", model="m", now=self.clock())

    def look(self, proof: Proof, times: int = 1) -> Proof:
        """Look, and look again every five seconds, as the machine does while nothing is decided."""
        looks = {"prove": lambda p: prove(self.gate, p), "drain": lambda p: drain(self.drain, p)}
        for number in range(times):
            # What goes through Step Functions comes back as JSON.
            proof = json.loads(json.dumps(gating.looked(proof, looks, self.clock)))
            if proof["state"] != "proving":
                return proof
            if number < times - 1:
                self.clock.advance(5)
        return proof

    def in_service(
        self, config: str = "m-config-new", name: str = "dev-m-realtime-1a2b3c", instances: int = 1, reason: str = ""
    ) -> None:
        self.endpoints.states[name] = EndpointState("InService", config, reason, instances)

    def show(
        self, generation_id: str = "20261123T060000Z", version: str = "v7", age: int = 60, data_age: int | None = None
    ) -> None:
        """Make a generation visible that was scored `age` seconds ago, of data that are `data_age` seconds old."""
        scored_at = format_moment(self.clock() - timedelta(seconds=age))
        made = Generation(generation_id, version, scored_at, scored_at, 2, 2, 0, 2, "string", "s3://r/", None, 10**10)
        if data_age is not None:
            made = replace(made, data_as_of=format_moment(self.clock() - timedelta(seconds=data_age)))
        self.records.put_generation(made)
        self.records.current = Pointer(generation_id, generation_id, None, self.records.current.revision + 1)

    def run(self, run_id: str, status: str, execution: str, **ended: str) -> None:
        self.records.put_run(Run(run_id, execution, "gate", "s", status, format_moment(self.clock()), 10**10, **ended))

    def request(self, number: int, waits: int = 600, endpoint: str = "dev-m-async-1a2b3c") -> Request:
        """Have a client wait for an asynchronous answer of an endpoint."""
        moment = self.clock() + timedelta(seconds=number)
        request_id = layout.request_id(moment, f"{number:015x}")
        found = Request(
            id=request_id,
            created_at=format_moment(moment),
            mode="async",
            model_version="v7",
            keys=[None],
            several=False,
            output_uri=f"s3://data/{layout.async_output_prefix('m')}{request_id}",
            failure_uri=f"s3://data/{layout.async_failure_prefix('m')}{request_id}",
            waits_until=format_moment(moment + timedelta(seconds=waits)),
            expires_at=10**10,
            endpoint=endpoint,
        )
        self.requests.stored.append(found)
        return found

    def answer(self, uri: str, body: bytes = RIGHT) -> None:
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        self.objects.stored[bucket, key] = body
