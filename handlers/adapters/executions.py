"""`handlers.logic.gating_ports.Executions` in Step Functions."""

import json
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
