"""Why one object of a transform job cannot be transformed."""


class ObjectFailed(Exception):
    """One input object gets no `.out`. `kind` is the prefix of AWS's FailureReason."""

    kind = "ClientError"


class BadData(ObjectFailed):
    """The object or its settings do not fit together (AWS: ClientError)."""


class ModelFailed(ObjectFailed):
    """The container answered with a 5xx, or not at all (AWS: AlgorithmError)."""

    kind = "AlgorithmError"
