"""The HTTP side of the container: /ping, /invocations and /execution-parameters, one thread per connection.

A prediction holds one of `settings.threads` slots; pings take none, so they are answered while all slots are busy.
"""

import json
import logging
import socketserver
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from serving_script import Answer, ModelScript, Refused
from serving_settings import Settings

JSON = "application/json"
#: Bytes of a body above which it is refused: the most that SageMaker sends, which is to an asynchronous endpoint.
MAX_BODY_BYTES = 2**30
#: Bytes of an oversized body that are read and dropped, so that the sender gets to read why.
DRAIN_BYTES = 100 * 2**20

logger = logging.getLogger("serving")


class InferenceServer(ThreadingHTTPServer):
    """Listens from the start; answers 503 until `script` is set."""

    daemon_threads = True  # a connection kept open must not keep the process alive; `drain` waits for real work
    block_on_close = False
    request_queue_size = 128

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.script: ModelScript | None = None
        self._slots = threading.BoundedSemaphore(settings.threads)
        self._in_flight = 0
        self._changed = threading.Condition()
        self.stopping = False
        super().__init__((settings.host, settings.port), Handler)

    def server_bind(self) -> None:
        # HTTPServer would ask DNS for the host's name, which nothing here uses and which may hang.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]

    def invoke(self, body: bytes, content_type: str, accept: str) -> Answer:
        """Predict in a free slot. Raises Refused."""
        script = self.script
        if script is None:
            raise Refused(503, "the model is still loading", "not_ready")
        if not self._slots.acquire(timeout=self.settings.timeout_seconds):
            raise Refused(503, f"all {self.settings.threads} threads stayed busy", "busy")
        try:
            return script.invoke(body, content_type, accept)
        finally:
            self._slots.release()

    def execution_parameters(self) -> dict[str, Any]:
        return {
            "MaxConcurrentTransforms": self.settings.threads,
            "BatchStrategy": self.settings.batch_strategy,
            "MaxPayloadInMB": self.settings.max_payload_mb,
        }

    def enter(self) -> None:
        """Count a request whose first line has arrived."""
        with self._changed:
            self._in_flight += 1

    def leave(self) -> None:
        """Count a request as answered."""
        with self._changed:
            self._in_flight -= 1
            self._changed.notify_all()

    def drain(self, seconds: float) -> bool:
        """Stop accepting, then wait until every request in flight is answered. Return whether that came to pass."""
        self.stopping = True
        self.shutdown()
        self.server_close()
        with self._changed:
            return self._changed.wait_for(lambda: self._in_flight == 0, timeout=seconds)


class Handler(BaseHTTPRequestHandler):
    """One connection; requests on it come one after another."""

    server: InferenceServer
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and body leave in one packet
    disable_nagle_algorithm = True
    server_version = "inference"
    sys_version = ""
    entered = False

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except ConnectionError:
            self.close_connection = True
            logger.warning("the caller went away before the answer was sent")
        finally:
            if self.entered:
                self.entered = False
                self.server.leave()

    def parse_request(self) -> bool:
        self.entered = True
        self.server.enter()
        return super().parse_request()

    def do_GET(self) -> None:
        if self.path == "/ping":
            self._ping()
        elif self.path == "/execution-parameters":
            self._send_json(200, self.server.execution_parameters())
        else:
            self._refuse(Refused(404, f"GET {self.path} is not served here", "unknown_path"))

    def do_POST(self) -> None:
        began = time.perf_counter()
        try:
            body = self._read_body()
            answer = self._invoke(body)
        except Refused as refusal:
            self._refuse(refusal)
            logger.info("POST %s %d: %s", self.path, refusal.status, refusal)
            return
        except ConnectionError:
            raise
        except Exception:
            logger.exception("POST %s 500", self.path)
            self._refuse(Refused(500, "the model failed on this request; the container's log says how", "model_error"))
            return
        self._send(200, answer.content_type, answer.body)
        took = (time.perf_counter() - began) * 1000
        logger.info("POST %s 200 %d bytes in, %d out, %.1f ms", self.path, len(body), len(answer.body), took)

    def _ping(self) -> None:
        if self.server.script is None:
            self._refuse(Refused(503, "the model is still loading", "not_ready"))
        else:
            self._send(200, JSON, b"")

    def _invoke(self, body: bytes) -> Answer:
        if self.path != "/invocations":
            raise Refused(404, f"POST {self.path} is not served here", "unknown_path")
        accept = self.headers.get("Accept", "")
        return self.server.invoke(
            body,
            self.headers.get("Content-Type") or JSON,
            self.server.settings.default_accept if accept in ("", "*/*") else accept,
        )

    def _read_body(self) -> bytes:
        """Return the whole body. Raises Refused for one that is too large, cut short or of unknown length."""
        self.connection.settimeout(self.server.settings.timeout_seconds)
        try:
            if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
                return self._read_chunks()
            return self._read_sized()
        except TimeoutError as error:
            self.close_connection = True
            raise Refused(408, "the body stopped arriving", "body_timeout") from error
        finally:
            self.connection.settimeout(None)

    def _read_sized(self) -> bytes:
        length = self.headers.get("Content-Length", "")
        if not length.isdigit():
            self.close_connection = True
            raise Refused(411, "a request needs Content-Length or chunked transfer encoding", "length_required")
        if int(length) > MAX_BODY_BYTES:
            self._drop(int(length))
            raise self._too_large()
        return self._read_exactly(int(length))

    def _read_chunks(self) -> bytes:
        chunks, size = [], 0
        while chunk := self._read_chunk():
            size += len(chunk)
            if size > MAX_BODY_BYTES:
                self.close_connection = True
                raise self._too_large()
            chunks.append(chunk)
        while self.rfile.readline().strip():
            pass  # trailers end with an empty line
        return b"".join(chunks)

    def _read_chunk(self) -> bytes:
        """Return the next chunk, empty for the last one."""
        head = self.rfile.readline().partition(b";")[0].strip()
        try:
            size = int(head, 16)
        except ValueError as error:
            self.close_connection = True
            raise Refused(400, f"{head!r} is no chunk size", "bad_chunk") from error
        if not 0 <= size <= MAX_BODY_BYTES:
            self.close_connection = True
            raise self._too_large()
        chunk = self._read_exactly(size)
        if size:
            self.rfile.readline()
        return chunk

    def _read_exactly(self, size: int) -> bytes:
        body = self.rfile.read(size)
        if len(body) < size:
            raise ConnectionAbortedError(f"{len(body)} of {size} bytes arrived")
        return body

    def _drop(self, size: int) -> None:
        self.close_connection = True
        left = min(size, DRAIN_BYTES)
        while left and (dropped := len(self.rfile.read(min(left, 2**16)))):
            left -= dropped

    def _too_large(self) -> Refused:
        return Refused(413, f"the body is larger than {MAX_BODY_BYTES:,} bytes")

    def _refuse(self, refusal: Refused) -> None:
        self._send_json(refusal.status, {"error": {"code": refusal.code, "message": str(refusal)}})

    def _send_json(self, status: int, document: dict[str, Any]) -> None:
        self._send(status, JSON, json.dumps(document).encode())

    def _send(self, status: int, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        if self.server.stopping or self.close_connection:
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer the standard library's own refusals (bad request line, unknown method) as JSON too."""
        self.close_connection = True
        self._refuse(Refused(code, message or self.responses[code][0], "bad_request"))

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Stay silent: do_POST logs once with sizes and time, and pings come every few seconds."""
