"""DynamoDB's failures on the way to a caller, as the error that the front door answers."""

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import BotoCoreError, ClientError

from handlers.contract.errors import StoreUnavailable


@contextmanager
def answered() -> Iterator[None]:
    """Turn any failure of a read into StoreUnavailable; the cause stays attached for the log."""
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise StoreUnavailable("the store does not answer; try again in a moment") from error
