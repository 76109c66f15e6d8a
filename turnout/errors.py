"""Errors that the command line shows in one line; anything else is a defect and shows its traceback."""


class UserError(Exception):
    """An expected failure: what happened, and what to do about it."""

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".strip()


class NotDeployed(UserError):
    """A stack that the command needs does not exist in the account that the credentials lead to."""


class RunFailed(UserError):
    """A pipeline run ended without a new generation."""


class CallFailed(UserError):
    """The front door could not be reached at all."""
