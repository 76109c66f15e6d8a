"""`handlers.logic.gating_ports.Executions` and `handlers.logic.freshness.Pipeline` in Step Functions."""

import json
from datetime import datetime
from typing import Any

from handlers.logic.gating_ports import ExecutionState


class StateMachineExecutions:
    def __init__(self, client: Any) -> None:
        self._client = client

    def start(self, machine: str, name: str, event: object) -> str:
        try:
            started = self._client.start_execution(stateMachineArn=machine, name=name, input=json.dumps(event))
        except self._client.exceptions.ExecutionAlreadyExists:
            # The name is made of the request that asked for it, so this is that request once more.
            return f"{machine.replace(':stateMachine:', ':execution:')}:{name}"
        return started["executionArn"]

    def state(self, execution: str) -> ExecutionState:
        found = self._client.describe_execution(executionArn=execution)
        said = ": ".join(text for text in (found.get("error"), found.get("cause")) if text)
        return ExecutionState(found["status"], said)


class StateMachine:
    """One machine. Its list of executions is eventually consistent: a start of a moment ago may be missing."""

    def __init__(self, client: Any, arn: str) -> None:
        self._client, self._arn = client, arn
        self._executions = StateMachineExecutions(client)

    def created(self) -> datetime:
        return self._client.describe_state_machine(stateMachineArn=self._arn)["creationDate"]

    def is_running(self) -> bool:
        found = self._client.list_executions(stateMachineArn=self._arn, statusFilter="RUNNING", maxResults=1)
        return bool(found["executions"])

    def start(self, name: str, event: object) -> str:
        return self._executions.start(self._arn, name, event)
