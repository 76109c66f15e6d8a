"""What the gate needs from the outside world: Protocols that adapters fulfil and tests fake."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from handlers.contract.answering import Counts
from handlers.contract.gating import Asked
from handlers.contract.records import Request


class NotReady(Exception):
    """An endpoint cannot answer at this moment (throttled, still loading); asking again later may help."""


class ModelAnswered(Exception):
    """The model's container answered with an error. `status` is its HTTP status."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"HTTP {status}: {text}")
        self.status, self.text = status, text


@dataclass(frozen=True)
class EndpointState:
    """An endpoint as SageMaker describes it. `reason` is empty unless something failed.

    `instances` is how many it wants to have, and is to have in service: 0 where they are not counted.
    """

    status: str
    config: str
    reason: str
    instances: int = 0


class Endpoints(Protocol):
    """Endpoints of SageMaker."""

    def state(self, name: str) -> EndpointState | None:
        """Return an endpoint's state, or None when there is no such endpoint."""

    def grow(self, name: str, instances: int) -> None:
        """Have an endpoint want another number of instances; it is Updating until it has them. Raises NotReady."""

    def invoke(self, name: str, body: bytes, content_type: str) -> bytes:
        """Return the answer to a body. Raises NotReady and ModelAnswered."""

    def invoke_later(self, name: str, body: bytes, content_type: str, file_name: str) -> Asked:
        """Queue a body and return where its answer will lie. Raises NotReady."""


@dataclass(frozen=True)
class ExecutionState:
    """An execution of a state machine. `cause` is empty unless it failed."""

    status: str  # RUNNING, SUCCEEDED, FAILED, TIMED_OUT, ABORTED
    cause: str


class Executions(Protocol):
    """Executions of state machines."""

    def start(self, machine: str, name: str, event: object) -> str:
        """Start an execution and return its ARN; a name that was used before gives the execution that has it."""

    def state(self, execution: str) -> ExecutionState:
        """Return how an execution is doing."""


class Traffic(Protocol):
    """What the model's front door has counted."""

    def counts(self, now: datetime) -> Counts:
        """Return the counts of the days before `now`."""


class Requests(Protocol):
    """Asynchronous requests in the model's table."""

    def waiting(self, now: datetime) -> Iterator[Request]:
        """Yield the requests that SageMaker had not dropped by `now`, answered or not."""
