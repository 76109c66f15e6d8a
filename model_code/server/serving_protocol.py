"""HTTP/1.1 as far as SageMaker and a load balancer speak it: one connection, its requests one after another.

Bodies of known length are received straight into their own buffer. A refusal before the body has been read reads and
drops some of it, so that the sender gets to read why.
"""

import asyncio
import logging
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from serving_script import Refused

if TYPE_CHECKING:
    from serving_http import InferenceServer

#: Bytes of a body above which it is refused: the most that SageMaker sends, which is to an asynchronous endpoint.
MAX_BODY_BYTES = 2**30
#: Bytes of a refused body that are read and dropped.
DRAIN_BYTES = 100 * 2**20
#: Bytes of a request's first line and fields together; a small body arrives with them in one piece.
MAX_HEAD_BYTES = 2**14
MAX_CHUNK_LINE = 1024
REASONS = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}

logger = logging.getLogger("serving")


@dataclass(slots=True)
class Head:
    """A request's first line and fields; names of fields are in lower case."""

    method: str
    target: str
    version: str
    fields: dict[str, str]

    @property
    def keep_alive(self) -> bool:
        wish = self.fields.get("connection", "").lower()
        return wish == "keep-alive" if self.version == "HTTP/1.0" else wish != "close"


def parse_head(text: bytes) -> Head:
    """Return the head of a request. Raises Refused for what is not one, or not for us."""
    first, *lines = text.decode("latin-1").split("\r\n")
    parts = first.split()
    if len(parts) != 3 or not parts[2].startswith("HTTP/1."):
        raise Refused(400, f"not a request line of HTTP/1: {first[:100]!r}", "bad_request")
    fields = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise Refused(400, f"not a header field: {line[:100]!r}", "bad_request")
        fields[name.lower()] = value.strip()
    if parts[0] not in ("GET", "POST"):
        raise Refused(501, f"{parts[0]} is not supported", "bad_request")
    return Head(*parts, fields)


def body_length(head: Head) -> int | None:
    """Return how many bytes follow, None if they come in chunks. Raises Refused."""
    coding = head.fields.get("transfer-encoding", "").lower()
    length = head.fields.get("content-length", "")
    if coding == "chunked":
        return None
    if coding:
        raise Refused(501, f"transfer encoding {coding} is not supported", "bad_request")
    if not length and head.method == "GET":
        return 0
    if not (length.isascii() and length.isdigit()):
        raise Refused(411, "a request needs Content-Length or chunked transfer encoding", "length_required")
    return int(length)


class Chunks:
    """A body that arrives in chunks. `feed` takes what arrived; when `done`, `rest` is what followed the body."""

    def __init__(self) -> None:
        self.body = bytearray()
        self.done = False
        self.rest = b""
        self._pending = b""
        self._left = 0  # of the present chunk, the line end behind it included
        self._trailers = False

    def feed(self, data: bytes) -> None:
        """Raises Refused for a chunk size that is none, or a body that grows too large."""
        self._pending += data
        while not self.done and (self._take_data() if self._left else self._take_line()):
            pass

    def _take_data(self) -> bool:
        taken = self._pending[: self._left]
        self._pending = self._pending[len(taken) :]
        content = max(0, self._left - 2)  # the rest is the line end
        self.body += taken[:content]
        self._left -= len(taken)
        return bool(taken) and not self._left

    def _take_line(self) -> bool:
        line, end, rest = self._pending.partition(b"\n")
        if not end:
            if len(self._pending) > MAX_CHUNK_LINE:
                raise Refused(400, "a chunk size without end", "bad_chunk")
            return False
        self._pending = rest
        if self._trailers:
            self.done = not line.strip()
            self.rest = rest
            return True
        self._begin_chunk(line.partition(b";")[0].strip())
        return True

    def _begin_chunk(self, digits: bytes) -> None:
        try:
            size = int(digits, 16)
        except ValueError as error:
            raise Refused(400, f"{digits[:100]!r} is no chunk size", "bad_chunk") from error
        if size < 0 or len(self.body) + size > MAX_BODY_BYTES:
            raise too_large()
        self._trailers = size == 0
        self._left = size + 2 if size else 0


def too_large() -> Refused:
    return Refused(413, f"the body is larger than {MAX_BODY_BYTES:,} bytes")


class Connection(asyncio.BufferedProtocol):
    """One caller. What comes before the request ahead is answered waits in `_inbox`."""

    def __init__(self, server: "InferenceServer", loop: asyncio.AbstractEventLoop) -> None:
        self._server = server
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._inbox = bytearray(MAX_HEAD_BYTES)
        self._filled = 0  # bytes of the inbox that have arrived
        self._head: Head | None = None
        self._body: bytearray | None = None  # being received straight from the socket
        self._got = 0  # bytes of it
        self._chunks: Chunks | None = None
        self._held = 0  # bytes of the body that the server has admitted
        self._left_to_drop = 0  # of a body that was refused
        self._answering = False
        self._caller_ended = False
        self._heard = 0.0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def busy(self) -> bool:
        """Whether a request has begun to arrive and is not answered yet."""
        return self._answering or self._head is not None or self._filled > 0

    # What the event loop calls

    def connection_made(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._server.connections.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._server.connections.discard(self)
        self._stop_timer()
        if not self._answering:
            self._release()

    def eof_received(self) -> bool:
        """Return whether to stay open: for an answer that is on its way."""
        self._caller_ended = True
        self._advance()
        return self._answering

    def get_buffer(self, hint: int) -> memoryview:
        if self._body is not None:
            return memoryview(self._body)[self._got :]
        return memoryview(self._inbox)[self._filled :]

    def buffer_updated(self, size: int) -> None:
        self._heard = self._loop.time()
        if self._body is not None:
            self._got += size
            if self._got == len(self._body):
                self._complete(self._body)
            return
        self._filled += size
        self._advance()
        if self._filled == len(self._inbox) and self._transport is not None:
            self._transport.pause_reading()

    # Reading a request

    def _advance(self) -> None:
        """Take as much as there is out of the inbox."""
        try:
            while self._filled and not self._answering and self._transport is not None:
                if not self._step():
                    break
        except Refused as refusal:
            self._refuse_unread(refusal)
        if self._caller_ended and not self._answering and self._transport is not None:
            self._transport.close()  # whatever has begun to arrive will not be whole

    def _step(self) -> bool:
        """Take one piece out of the inbox. Return False if more has to arrive first."""
        if self._left_to_drop:
            return self._drop()
        if self._head is None:
            return self._take_head()
        return self._take_chunks()

    def _take_head(self) -> bool:
        while self._inbox.startswith(b"\r\n") and self._filled >= 2:
            self._take(2)  # an empty line before a request is ignored (RFC 9112, 2.2)
        end = self._inbox.find(b"\r\n\r\n", 0, self._filled)
        if end < 0:
            if self._filled == len(self._inbox):
                raise Refused(431, f"the head is longer than {MAX_HEAD_BYTES:,} bytes", "bad_request")
            return False
        self._head = parse_head(self._take(end + 4)[:end])
        length = body_length(self._head)
        if length is None:
            self._chunks = Chunks()
            self._expect_more()
            return True
        return self._take_sized(length)

    def _take_sized(self, length: int) -> bool:
        if length > MAX_BODY_BYTES:
            raise too_large()
        self._admit(length)
        if length <= self._filled:
            self._complete(self._take(length))
            return True
        body = bytearray(length)
        self._got = self._filled
        body[: self._got] = self._take(self._filled)
        self._body = body
        self._expect_more()
        return False

    def _take_chunks(self) -> bool:
        self._chunks.feed(self._take(self._filled))
        self._admit(len(self._chunks.body) - self._held)
        if not self._chunks.done:
            return False
        self._filled = len(self._chunks.rest)
        self._inbox[: self._filled] = self._chunks.rest
        self._complete(self._chunks.body)
        return True

    def _take(self, size: int) -> bytes:
        """Return the first bytes of the inbox and move up the others."""
        taken = bytes(memoryview(self._inbox)[:size])
        self._inbox[: self._filled - size] = self._inbox[size : self._filled]
        self._filled -= size
        return taken

    def _admit(self, size: int) -> None:
        self._server.admit(size, self._held)
        self._held += size

    def _release(self) -> None:
        self._server.release(self._held)
        self._held = 0

    def _complete(self, body: bytes | bytearray) -> None:
        self._stop_timer()
        self._body = self._chunks = None
        self._answering = True
        self._server.answer(self, self._head, body)

    def _expect_more(self) -> None:
        """Tell a caller who asks first to go ahead, and watch that the body keeps coming."""
        if self._head.fields.get("expect", "").lower() == "100-continue":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._timer = self._loop.call_later(self._server.settings.timeout_seconds, self._check_arrival)

    def _check_arrival(self) -> None:
        silent = self._loop.time() - self._heard
        limit = self._server.settings.timeout_seconds
        if silent < limit:
            self._timer = self._loop.call_later(limit - silent, self._check_arrival)
        elif self._left_to_drop:
            self._transport.close()
        else:
            self._refuse_unread(Refused(408, "the body stopped arriving", "body_timeout"))

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _refuse_unread(self, refusal: Refused) -> None:
        """Answer a request whose body has not been read, drop some of that and hang up."""
        self._stop_timer()
        self._body = self._chunks = None
        self._left_to_drop = 0 if refusal.status == 408 else self._unread()
        logger.info("refused %d: %s", refusal.status, refusal)
        self._server.refuse(self, refusal, hang_up=True)
        if self._left_to_drop and self._transport is not None:
            self._timer = self._loop.call_later(self._server.settings.timeout_seconds, self._check_arrival)
            self._drop()

    def _unread(self) -> int:
        """Return how much of a refused request is to be dropped; its end is known only where its length is."""
        if self._head is None:
            return DRAIN_BYTES if self._filled == len(self._inbox) else 0
        if self._head.fields.get("transfer-encoding"):
            return DRAIN_BYTES
        length = self._head.fields.get("content-length", "")
        return min(int(length), DRAIN_BYTES) if length.isascii() and length.isdigit() else 0

    def _drop(self) -> bool:
        self._left_to_drop -= len(self._take(min(self._filled, self._left_to_drop)))
        if not self._left_to_drop and self._transport is not None:
            self._transport.close()
        return False

    # Answering

    def send(
        self, status: int, content_type: str, body: bytes, retry_after: int | None = None, hang_up: bool = False
    ) -> None:
        """Send the answer to the request that is being answered, and turn to the next one."""
        head, self._head, self._answering = self._head, None, False
        self._release()
        if self._transport is None:
            logger.warning("the caller went away before the answer was sent")
            return
        last = hang_up or self._server.stopping or head is None or not head.keep_alive
        self._transport.writelines((_head_of_answer(status, content_type, len(body), retry_after, last), body))
        if last or (self._caller_ended and not self._filled):
            if not self._left_to_drop:
                self._transport.close()
        else:
            self._transport.resume_reading()
            if self._filled:
                self._loop.call_soon(self._advance)


def _head_of_answer(status: int, content_type: str, length: int, retry_after: int | None, last: bool) -> bytes:
    fields = f"HTTP/1.1 {REASONS[status]}\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n"
    if retry_after is not None:
        fields += f"Retry-After: {retry_after}\r\n"
    return f"{fields}Connection: {'close' if last else 'keep-alive'}\r\n\r\n".encode("latin-1")
