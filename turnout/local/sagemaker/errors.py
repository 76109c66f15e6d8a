"""Errors of the SageMaker API, as a client sees them.

ApiError
├── Invalid             400 ValidationException
│   └── Malformed       400 SerializationException: no JSON, or a value of another type than the service's model says
├── NotFound            400 ResourceNotFound
├── InUse               400 ResourceInUse
├── Conflict            400 ConflictException
├── UnknownOperation    400 UnknownOperationException: SageMaker has no such operation either
├── NotEmulated         501 NotEmulated: an operation or setting that the local cloud does not have
└── the runtime's
    ├── CallInvalid     400 ValidationError
    ├── CallTooLarge    413 answered by the gateway: it has no name, clients see the code 413
    ├── CallThrottled   429 ThrottlingException: a serverless endpoint's MaxConcurrency
    ├── ModelNotReady   429 ModelNotReadyException: a serverless process does not come up
    ├── ModelError      424 ModelError: what the model answered, or that it did not
    └── Unavailable     503 ServiceUnavailable
"""


class ApiError(Exception):
    """Base: `code` and `status` go on the wire, `message` too."""

    code = "InternalFailure"
    status = 500

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Invalid(ApiError):
    code, status = "ValidationException", 400


class Malformed(Invalid):
    code = "SerializationException"


class NotFound(ApiError):
    code, status = "ResourceNotFound", 400


class InUse(ApiError):
    code, status = "ResourceInUse", 400


class Conflict(ApiError):
    code, status = "ConflictException", 400


class UnknownOperation(ApiError):
    code, status = "UnknownOperationException", 400


class NotEmulated(ApiError):
    """Says what is missing, so that nobody mistakes it for AWS's own refusal."""

    code, status = "NotEmulated", 501


class CallInvalid(ApiError):
    code, status = "ValidationError", 400


class CallTooLarge(ApiError):
    code, status = "", 413


class CallThrottled(ApiError):
    code, status = "ThrottlingException", 429


class ModelNotReady(ApiError):
    code, status = "ModelNotReadyException", 429


class Unavailable(ApiError):
    code, status = "ServiceUnavailable", 503


class ModelError(ApiError):
    """`original_status` and `original_message` are the model's; status 0: it did not answer in time."""

    code, status = "ModelError", 424

    def __init__(self, message: str, original_status: int, original_message: str, log_stream_arn: str) -> None:
        super().__init__(message)
        self.original_status, self.original_message = original_status, original_message
        self.log_stream_arn = log_stream_arn
