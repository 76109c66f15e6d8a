"""The gate's machine as data: look, wait, look again, and tell CloudFormation, whatever happens.

It keeps CloudFormation's response URL, so that no function has to wait for a proof. What goes through it is a Proof
(handlers.contract.gating). As in `pipeline_definition`, names in `${...}` are filled in by CloudFormation.
"""

from typing import Any

from infra.constructs.pipeline_definition import LAMBDA_HICCUPS

State = dict[str, Any]

SUBSTITUTIONS = ("ProveArn", "AnswerArn")

#: CloudFormation has given up by then; an execution that is still there waits for nothing.
MACHINE_TIMEOUT_SECONDS = 3_900
#: No answer would leave the stack waiting for an hour: this one is tried for about half of that.
ANSWER_ATTEMPTS = 10


def gate_definition(*, poll_seconds: int) -> dict[str, Any]:
    """Return the whole machine. `poll_seconds` lie between two looks."""
    return {
        "Comment": "Proves that a mode works before requests reach it, or waits until nobody needs the old one.",
        "TimeoutSeconds": MACHINE_TIMEOUT_SECONDS,
        "StartAt": "Prove",
        "States": {
            "Prove": {
                "Type": "Task",
                "Resource": "${ProveArn}",
                "Retry": [_retry(*LAMBDA_HICCUPS, attempts=6), _retry("States.ALL", attempts=2)],
                "Catch": [{"ErrorEquals": ["States.ALL"], "ResultPath": "$.failure", "Next": "Answer"}],
                "Next": "Decided",
            },
            "Decided": {
                "Type": "Choice",
                "Choices": [{"Variable": "$.state", "StringEquals": "proving", "Next": "Wait"}],
                "Default": "Answer",
            },
            "Wait": {"Type": "Wait", "Seconds": poll_seconds, "Next": "Prove"},
            "Answer": {
                "Type": "Task",
                "Resource": "${AnswerArn}",
                "Retry": [_retry("States.ALL", attempts=ANSWER_ATTEMPTS)],
                "End": True,
            },
        },
    }


def _retry(*errors: str, attempts: int) -> dict[str, Any]:
    return {
        "ErrorEquals": list(errors),
        "IntervalSeconds": 2,
        "MaxAttempts": attempts,
        "BackoffRate": 2,
        "JitterStrategy": "FULL",
        "MaxDelaySeconds": 300,
    }
