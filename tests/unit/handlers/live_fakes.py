"""In-memory stand-ins for the ports of `handlers.logic.live_ports`, with the same promises, also between threads."""

import threading
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from handlers.contract.errors import RequestError
from handlers.contract.records import Flight, Remembered, Request
from handlers.logic.live_ports import File, Places
from handlers.logic.ports import ObjectMissing


class FakeEndpoint:
    """Halves the first field of each CSV line. `failures` are raised first, one per call; each call runs `before`."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.failures: list[RequestError] = []
        self.before: Callable[[], None] = lambda: None
        self.answer: Callable[[bytes], bytes] = halved
        self._lock = threading.Lock()

    def invoke(self, body: bytes, content_type: str) -> bytes:
        assert content_type == "text/csv"
        with self._lock:
            self.bodies.append(body)
            failure = self.failures.pop(0) if self.failures else None
        self.before()
        if failure is not None:
            raise failure
        return self.answer(body)


def halved(body: bytes) -> bytes:
    lines = body.decode().splitlines()
    return "".join(f"{float(line.partition(',')[0]) / 2!r}\n" for line in lines).encode()


class FakeFlights:
    """One table's flights; every operation is atomic, as DynamoDB's are."""

    def __init__(self) -> None:
        self.answers: dict[str, Remembered] = {}
        self.flights: dict[str, Flight] = {}
        self.calls: dict[str, int] = {}
        self._lock = threading.Lock()

    def remembered(self, keys: Sequence[str]) -> dict[str, Remembered]:
        with self._lock:
            return {key: self.answers[key] for key in keys if key in self.answers}

    def remember(self, key: str, answer: Remembered) -> bool:
        with self._lock:
            self.answers[key] = answer
        return True

    def lead(self, key: str, flight: Flight, now: int, over: str = "") -> Flight:
        with self._lock:
            there = self.flights.get(key)
            standing = there is not None and there.lease_until > now and there.failure is None
            if standing and there.leader != over:
                return there
            self.flights[key] = flight
            return flight

    def under_way(self, keys: Sequence[str]) -> dict[str, Flight]:
        with self._lock:
            return {key: self.flights[key] for key in keys if key in self.flights}

    def extend(self, key: str, flight: Flight) -> None:
        with self._lock:
            if key in self.flights and self.flights[key].leader == flight.leader:
                self.flights[key] = flight

    def land(self, key: str, leader: str) -> None:
        with self._lock:
            there = self.flights.get(key)
            if there is not None and there.leader == leader and there.failure is None:
                del self.flights[key]

    def count_call(self, minute: str, limit: int, *, expires_at: int) -> bool:
        with self._lock:
            if self.calls.get(minute, 0) >= limit:
                return False
            self.calls[minute] = self.calls.get(minute, 0) + 1
            return True


class FakeQueue:
    """Keeps what was queued; `work` answers it as an asynchronous endpoint does, as often as it is called."""

    def __init__(self, files: "FakeFiles") -> None:
        self.files = files
        self.queued: list[dict[str, Any]] = []
        self.failures: list[RequestError] = []
        self.before: Callable[[], None] = lambda: None

    def put(self, request_id: str, payload: bytes | str, content_type: str, *, expiry: int, invocation: int) -> Places:
        self.before()
        if self.failures:
            raise self.failures.pop(0)
        self.queued.append({"id": request_id, "payload": payload, "expiry": expiry, "invocation": invocation})
        return self._places(request_id)

    def _places(self, request_id: str) -> Places:
        root = "s3://data/async/churn"
        return Places(f"{root}/output/{request_id}.out", f"{root}/failed/{request_id}-error.out")

    def work(self, answer: Callable[[bytes], bytes] = halved) -> None:
        for entry in self.queued:
            payload = entry["payload"]
            body = self.files.get(payload) if isinstance(payload, str) else payload
            self.files.put(self._places(entry["id"]).output_uri, answer(body))

    def fail(self, text: str) -> None:
        for entry in self.queued:
            self.files.put(self._places(entry["id"]).failure_uri, text.encode())


class FakeRequests:
    def __init__(self) -> None:
        self.stored: dict[str, Request] = {}
        self.history: list[Request] = []

    def get(self, request_id: str) -> Request | None:
        return self.stored.get(request_id)

    def put(self, request: Request) -> None:
        self.stored[request.id] = Request.from_item(request.to_item())
        self.history.append(request)

    def drop(self, request_id: str) -> None:
        self.stored.pop(request_id, None)


class FakeFiles:
    """Objects by URI; `sizes` lets an object be larger than its bytes."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self.bodies: dict[str, bytes] = {}
        self.modified: dict[str, datetime] = {}
        self.sizes: dict[str, int] = {}

    def look(self, uri: str) -> File | None:
        if uri not in self.bodies:
            return None
        return File(self.sizes.get(uri, len(self.bodies[uri])), self.modified[uri])

    def get(self, uri: str) -> bytes:
        if uri not in self.bodies:
            raise ObjectMissing(uri)
        return self.bodies[uri]

    def put(self, uri: str, body: bytes) -> None:
        self.bodies[uri], self.modified[uri] = body, self._clock()

    def upload_url(self, uri: str, seconds: int) -> str:
        return f"https://put/{uri.removeprefix('s3://')}?for={seconds}"

    def download_url(self, uri: str, seconds: int) -> str:
        return f"https://get/{uri.removeprefix('s3://')}?for={seconds}"
