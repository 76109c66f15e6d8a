"""DynamoDB's failures on the way to a caller, as the error that the front door answers."""

import sys

from handlers.contract.errors import StoreUnavailable


class CallFailed(Exception):
    """A call of our own client failed: `code` is the service's, or the class of the network's error."""

    def __init__(self, code: str, message: str, *, is_passing: bool) -> None:
        super().__init__(f"{code}: {message}")
        self.code, self.is_passing = code, is_passing


class answered:
    """Turn any failure of a read into StoreUnavailable; the cause stays attached for the log.

    A class and not a generator: contextlib's take three times as long, and this stands around every read.
    """

    def __enter__(self) -> None:
        """Do nothing: only failures matter."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if kind is not None and issubclass(kind, _failures()):
            raise StoreUnavailable("the store does not answer; try again in a moment") from error


def _failures() -> tuple[type[Exception], ...]:
    """Return what clients raise. botocore's own errors exist only where botocore was needed."""
    botocore = sys.modules.get("botocore.exceptions")
    return (CallFailed, botocore.BotoCoreError, botocore.ClientError) if botocore else (CallFailed,)
