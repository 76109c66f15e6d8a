"""Why a transform job, or one object of it, does not complete.

ObjectFailed    one object gets no `.out`; the others are still transformed and the job is Failed
├── BadData     the object or its settings do not fit together, or the container said 4xx (AWS: ClientError)
└── ModelFailed the container answered with a 5xx, or not at all (AWS: AlgorithmError)
JobFailed       nothing can go on; the message is the job's FailureReason
Stopped         StopTransformJob was called
"""


class ObjectFailed(Exception):
    """One object gets no `.out`. `kind` is the prefix of AWS's FailureReason, `answer` what the container said."""

    kind = "ClientError"

    def __init__(self, message: str, answer: str = "") -> None:
        super().__init__(message)
        self.message, self.answer = message, answer

    def __str__(self) -> str:
        return f"{self.message}: {' '.join(self.answer[:300].split())}" if self.answer else self.message


class BadData(ObjectFailed):
    """The object or its settings do not fit together (AWS: ClientError)."""


class ModelFailed(ObjectFailed):
    """The container answered with a 5xx, or not at all (AWS: AlgorithmError)."""

    kind = "AlgorithmError"


class JobFailed(Exception):
    """The job cannot go on; the message is its FailureReason."""


class Stopped(Exception):
    """StopTransformJob was called."""
