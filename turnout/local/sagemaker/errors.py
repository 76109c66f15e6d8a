"""Errors of the SageMaker API, as a client sees them.

ApiError
├── Invalid             400 ValidationException
├── NotFound            400 ResourceNotFound
├── InUse               400 ResourceInUse
└── NotEmulated         501 NotEmulated: an operation or setting that the local cloud does not have
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


class NotFound(ApiError):
    code, status = "ResourceNotFound", 400


class InUse(ApiError):
    code, status = "ResourceInUse", 400


class NotEmulated(ApiError):
    """Says what is missing, so that nobody mistakes it for AWS's own refusal."""

    code, status = "NotEmulated", 501
