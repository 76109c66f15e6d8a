"""What the live modes need from the outside world: Protocols that adapters fulfil and tests fake."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from handlers.contract.records import Flight, Remembered, Request


class Endpoint(Protocol):
    """The model, now."""

    def invoke(self, body: bytes, content_type: str) -> bytes:
        """Return the model's answer. Raises Throttled, EndpointUnavailable, ModelRefused, ModelFailed, ModelTimeout."""


@dataclass(frozen=True)
class Places:
    """Where an asynchronous answer will lie, or the text of the failure (s3://...)."""

    output_uri: str
    failure_uri: str


class Queue(Protocol):
    """The model, later."""

    def put(self, request_id: str, payload: bytes | str, content_type: str, *, expiry: int, invocation: int) -> Places:
        """Queue a payload (bytes, or where it lies), and return where the answer will be.

        `expiry` is the seconds that it may wait, `invocation` those that the model may take. The same id again
        gives the same places. Raises Throttled and EndpointUnavailable.
        """


class Flights(Protocol):
    """Live answers that are remembered, who is asking for which key, and how often the model was asked."""

    def remembered(self, keys: Sequence[str]) -> dict[str, Remembered]:
        """Return what is remembered, by key, expired or not; it includes everything written before the call."""

    def remember(self, key: str, answer: Remembered) -> bool:
        """Write an answer; return whether it fits into the store."""

    def lead(self, key: str, flight: Flight, now: int, over: str = "") -> Flight:
        """Write the flight unless another one is under way at `now` (milliseconds); return the one that is.

        A flight of leader `over` is not in the way.
        """

    def under_way(self, keys: Sequence[str]) -> dict[str, Flight]:
        """Return the flights of keys, over or not."""

    def extend(self, key: str, flight: Flight) -> None:
        """Write the flight over the same leader's earlier one: a later end of its lease, or its failure."""

    def land(self, key: str, leader: str) -> None:
        """Remove the leader's flight; one of another leader stays, and so does a failure that others are to read."""

    def count_call(self, minute: str, limit: int, *, expires_at: int) -> bool:
        """Count one live call in a minute and return True, or False when there were `limit` already."""


class Requests(Protocol):
    """The ledger of asynchronous requests."""

    def get(self, request_id: str) -> Request | None:
        """Return a request, or None."""

    def put(self, request: Request) -> None:
        """Write a request, over one of the same id."""

    def drop(self, request_id: str) -> None:
        """Remove a request; none of that id is no error."""


@dataclass(frozen=True)
class File:
    """An object that is there; `size` is bytes."""

    size: int
    modified: datetime


class Files(Protocol):
    """Payloads, answers and failures in S3, by URI (s3://...)."""

    def look(self, uri: str) -> File | None:
        """Return what an object is, or None when there is none."""

    def get(self, uri: str) -> bytes:
        """Return a whole object. Raises ObjectMissing."""

    def put(self, uri: str, body: bytes) -> None:
        """Write a whole object."""

    def upload_url(self, uri: str, seconds: int) -> str:
        """Return a URL to which anyone may PUT the object for a while."""

    def download_url(self, uri: str, seconds: int) -> str:
        """Return a URL from which anyone may GET the object for a while."""
