"""DynamoDB's failures on the way to a caller, as the error that the front door answers."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from handlers.contract.errors import StoreUnavailable


class CallFailed(Exception):
    """A call of our own client failed: `code` is the service's, or the class of the network's error."""

    def __init__(self, code: str, message: str, *, is_passing: bool) -> None:
        super().__init__(f"{code}: {message}")
        self.code, self.is_passing = code, is_passing


@contextmanager
def answered() -> Iterator[None]:
    """Turn any failure of a read into StoreUnavailable; the cause stays attached for the log."""
    try:
        yield
    except _failures() as error:  # evaluated only when something was raised
        raise StoreUnavailable("the store does not answer; try again in a moment") from error


def _failures() -> tuple[type[Exception], ...]:
    """Return what clients raise. botocore's own errors exist only where botocore was needed."""
    botocore = sys.modules.get("botocore.exceptions")
    return (CallFailed, botocore.BotoCoreError, botocore.ClientError) if botocore else (CallFailed,)
