"""Last step of the gate's machine, whatever happened: the verdict to CloudFormation."""

from handlers.adapters.cloudformation import deliver
from handlers.contract.gating import Proof
from handlers.logic.gating import answer_of


def handler(event: Proof, context: object) -> None:
    """Deliver the answer. Raises OSError when CloudFormation does not take it; the machine then tries again."""
    body = answer_of(event)
    print(body.decode(), flush=True)
    deliver(event["response_url"], body)
