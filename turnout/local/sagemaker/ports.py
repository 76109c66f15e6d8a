"""What the SageMaker of the local cloud needs from the rest of it. `emulator.py` provides it."""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol


@dataclass(frozen=True)
class Scope:
    """Whose resources: names are unique within one account and one region."""

    account: str
    region: str

    def arn(self, kind: str, name: str) -> str:
        """Return a SageMaker ARN; names are in lower case there, as AWS has them."""
        return f"arn:aws:sagemaker:{self.region}:{self.account}:{kind}/{name.lower()}"


class Cloud(Protocol):
    """The neighbours: other services of the same emulator."""

    work_dir: Path  # scratch space for containers
    log_dir: Path  # one log file per container

    def scope(self) -> Scope:
        """Return the scope of the request being handled."""

    def enter(self, scope: Scope) -> AbstractContextManager[None]:
        """Act for `scope` in a thread that handles no request."""

    def client(self, service: str, scope: Scope) -> Any:
        """Return a boto3 client that talks to this emulator."""

    def endpoint_url(self) -> str:
        """Return the emulator's own URL."""

    def publish_event(self, scope: Scope, detail_type: str, detail: dict, resources: list[str]) -> None:
        """Put an event of source `aws.sagemaker` on the default bus."""

    def record_metric(
        self, scope: Scope, namespace: str, name: str, value: float, unit: str, dimensions: dict[str, str]
    ) -> None:
        """Publish one value to CloudWatch."""

    def record_metrics(
        self, scope: Scope, namespace: str, values: Iterable[tuple[str, float, str]], dimensions: dict[str, str]
    ) -> None:
        """Publish several values, each as name, value and unit, at once."""

    def put_alarm(self, scope: Scope, request: dict[str, Any]) -> None:
        """Create or replace a CloudWatch alarm, given as PutMetricAlarm's request."""

    def delete_alarms(self, scope: Scope, names: list[str]) -> None:
        """Delete alarms; one that does not exist is no error."""

    def alarms_of(self, scope: Scope, action: str) -> list[str]:
        """Return the names of the alarms that have this ARN among their actions."""

    def alarm_states(self, scope: Scope, names: list[str]) -> dict[str, str]:
        """Return the state of each alarm that exists, by name."""
