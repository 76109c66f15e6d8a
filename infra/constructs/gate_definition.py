"""The gate's machine as data: look, wait, look again, and tell CloudFormation, whatever happens.

It keeps CloudFormation's response URL, so that no function has to wait for a proof. What goes through it is a Proof
(handlers.contract.gating). As in `pipeline_definition`, names in `${...}` are filled in by CloudFormation.
"""

from typing import Any

from infra.constructs.pipeline_definition import LAMBDA_HICCUPS

State = dict[str, Any]

SUBSTITUTIONS = ("ProveArn", "AnswerArn")

#: The longest that CloudFormation waits for a custom resource.
CLOUDFORMATION_SECONDS = 3_600
#: CloudFormation has given up by then; an execution that is still there waits for nothing.
MACHINE_TIMEOUT_SECONDS = 3_900
#: One look may ask a model that takes a minute, and list what lies in S3.
LOOK_SECONDS = 90
#: Tries of a look that Lambda did not take, and of one that failed, before the gate says so.
HICCUP_ATTEMPTS, LOOK_ATTEMPTS = 3, 2
RETRY_SECONDS, LONGEST_RETRY_SECONDS = 2, 300
#: What takes CloudFormation's question in, and what answers it, is given this long.
HAND_OVER_SECONDS = 60
#: Seconds between two looks, at most.
LONGEST_POLL_SECONDS = 30
#: No answer would leave the stack waiting for an hour: this one is tried for about half of that.
ANSWER_ATTEMPTS = 10


def _waits(attempts: int) -> int:
    """Return the seconds that Step Functions waits at most between the tries of one retrier."""
    return sum(min(RETRY_SECONDS * 2**attempt, LONGEST_RETRY_SECONDS) for attempt in range(attempts))


#: What may pass beyond the gate's own bound until CloudFormation has its answer: the question is handed over, a last
#: wait begins just before the bound, the look after it fails each time that it is tried, and the answer is delivered.
GRACE_SECONDS = (
    HAND_OVER_SECONDS
    + LONGEST_POLL_SECONDS
    + (1 + HICCUP_ATTEMPTS + LOOK_ATTEMPTS) * LOOK_SECONDS
    + _waits(HICCUP_ATTEMPTS)
    + _waits(LOOK_ATTEMPTS)
    + HAND_OVER_SECONDS
)
#: The longest bound after which the answer is still the gate's own, and not that nobody answered.
LONGEST_BOUND_SECONDS = CLOUDFORMATION_SECONDS - GRACE_SECONDS


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
                "TimeoutSeconds": LOOK_SECONDS,
                "Retry": [
                    _retry(*LAMBDA_HICCUPS, attempts=HICCUP_ATTEMPTS),
                    _retry("States.ALL", attempts=LOOK_ATTEMPTS),
                ],
                "Catch": [{"ErrorEquals": ["States.ALL"], "ResultPath": "$.failure", "Next": "Failed"}],
                "Next": "Decided",
            },
            # What was proved serves clients by now. Taking that back because a look failed would serve nobody, so
            # the drain looks on; once its time is up, it says so without a look (handlers.logic.gating.looked).
            "Failed": {
                "Type": "Choice",
                "Choices": [{"Variable": "$.kind", "StringEquals": "drain", "Next": "Prove"}],
                "Default": "Answer",
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
        "IntervalSeconds": RETRY_SECONDS,
        "MaxAttempts": attempts,
        "BackoffRate": 2,
        "JitterStrategy": "FULL",
        "MaxDelaySeconds": LONGEST_RETRY_SECONDS,
    }
