"""What CloudFormation calls at the gate and at the drain. It never waits here, and it always gets an answer."""

import os
from functools import cache
from typing import Any

from handlers.adapters.clients import client
from handlers.adapters.cloudformation import Stacks, deliver
from handlers.adapters.executions import StateMachineExecutions
from handlers.contract.env import GateEnv
from handlers.logic.gating import answer_of, decided_at_once, failed, opened, unopened
from handlers.logic.moments import utc_now
from handlers.logic.proofs import execution_name


@cache
def environment() -> GateEnv:
    return GateEnv.from_environ(os.environ)


def handler(event: dict[str, Any], context: object) -> None:
    """Hand a request of CloudFormation to the gate's machine, or answer it where there is nothing to look at.

    Raises OSError when an answer cannot be delivered; Lambda then calls again.
    """
    proof = unopened(event)
    try:
        env = environment()
        proof = opened(event, stage=env.stage, model=env.model, now=utc_now())
        decided = decided_at_once(proof, Stacks(client("cloudformation")).status)
        if decided is None:
            executions = StateMachineExecutions(client("stepfunctions"))
            executions.start(env.gate_machine, execution_name(proof["request_id"]), proof)
            return
    except Exception as error:  # noqa: BLE001 a gate that says nothing blocks the stack for an hour
        decided = failed(proof, repr(error))
    deliver(proof["response_url"], answer_of(decided))
