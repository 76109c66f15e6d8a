"""CloudFormation as the gate meets it: what a stack is doing, and the URL at which it waits for an answer."""

import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

#: Tries to deliver an answer, with 1, 2, 4 ... seconds in between; the machine's retries come on top.
ATTEMPTS = 4
TIMEOUT_SECONDS = 10


class Stacks:
    def __init__(self, client: Any) -> None:
        self._client = client

    def status(self, stack_id: str) -> str:
        """Return a stack's status, such as UPDATE_IN_PROGRESS."""
        return self._client.describe_stacks(StackName=stack_id)["Stacks"][0]["StackStatus"]


def deliver(url: str, body: bytes, *, sleep: Callable[[float], None] = time.sleep) -> None:
    """PUT an answer to a response URL; the same answer again does no harm. Raises OSError when nobody takes it.

    The URL is signed for a request without a content type, so the header must be there and empty.
    """
    request = urllib.request.Request(url, data=body, method="PUT", headers={"Content-Type": ""})
    for attempt in range(ATTEMPTS):
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:
                response.read()
            return
        except OSError:  # a refusal too is one, urllib's HTTPError
            if attempt == ATTEMPTS - 1:
                raise
            sleep(2**attempt)
