"""The HTTP side of an image: /ping, /invocations and /execution-parameters, one thread per connection."""

import logging
import socketserver
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from toolkit_answers import JSON, Answer, flask_page, model_server_error, nginx_page
from toolkit_pool import Pool, WorkerDied, WorkerTimedOut
from toolkit_settings import Settings

#: Bytes of an oversized body that are read and dropped, so that the sender gets to read why.
DRAIN_BYTES = 100 * 2**20

logger = logging.getLogger("toolkit")


class ImageServer(ThreadingHTTPServer):
    """Listens from the start; pings fail until a worker has loaded the model."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, settings: Settings, pool: Pool) -> None:
        self.settings, self.pool = settings, pool
        self._in_flight = 0
        self._changed = threading.Condition()
        self.stopping = False
        super().__init__((settings.host, settings.port), Handler)

    def server_bind(self) -> None:
        # HTTPServer would ask DNS for the host's name, which nothing here uses and which may hang.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]

    def count(self, change: int) -> None:
        """Count a request as begun or ended."""
        with self._changed:
            self._in_flight += change
            self._changed.notify_all()

    def drain(self, seconds: float) -> None:
        """Stop accepting and wait until every request in flight is answered."""
        self.stopping = True
        self.shutdown()
        self.server_close()
        with self._changed:
            self._changed.wait_for(lambda: self._in_flight == 0, timeout=seconds)


class Handler(BaseHTTPRequestHandler):
    """One connection; requests on it come one after another."""

    server: ImageServer
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and body leave in one packet
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        if self.path == "/ping":
            self._send(self._pinged())
        elif self.path == "/execution-parameters":
            self._send(self._asked(b""))
        else:
            self._send(self._not_found())

    def do_POST(self) -> None:
        self.server.count(1)
        try:
            body = self._read_body()
            if body is None:
                self._send(self._too_large())
            else:
                self._send(self._asked(body) if self.path == "/invocations" else self._not_found())
        except ConnectionError:
            self.close_connection = True
            logger.warning("the caller went away before the answer was sent")
        finally:
            self.server.count(-1)

    def _asked(self, body: bytes) -> Answer:
        headers = {name.lower(): value for name, value in self.headers.items()}
        flask = self.server.settings.flask
        try:
            head, answer = self.server.pool.ask({"path": self.path, "headers": headers}, body)
        except WorkerDied:
            return nginx_page(502) if flask else model_server_error(500, "Worker died.")
        except WorkerTimedOut:
            return nginx_page(504) if flask else model_server_error(500, "Worker died.")
        return Answer(head["status"], answer, head["type"], head["headers"])

    def _pinged(self) -> Answer:
        flask = self.server.settings.flask
        if self.server.pool.ready:
            return Answer(200, b"", JSON) if flask else Answer(200, b'{\n  "status": "Healthy"\n}\n', JSON)
        return nginx_page(503) if flask else model_server_error(503, "Unhealthy")

    def _not_found(self) -> Answer:
        return (
            flask_page(404)
            if self.server.settings.flask
            else model_server_error(404, "Requested resource is not found")
        )

    def _too_large(self) -> Answer:
        return flask_page(413) if self.server.settings.flask else Answer(413, b"")

    def _read_body(self) -> bytes | None:
        """Return the whole body, or None when it is larger than the image takes."""
        limit = self.server.settings.largest_body
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            return self._read_chunks(limit)
        size = int(self.headers.get("Content-Length") or 0)
        if limit is not None and size > limit:
            self._drop(size)
            return None
        return self._exactly(size)

    def _read_chunks(self, limit: int | None) -> bytes | None:
        chunks, total = [], 0
        while size := int(self.rfile.readline().partition(b";")[0].strip() or b"0", 16):
            total += size
            if limit is not None and total > limit:
                self.close_connection = True
                return None
            chunks.append(self._exactly(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass  # trailers end with an empty line
        return b"".join(chunks)

    def _exactly(self, size: int) -> bytes:
        body = self.rfile.read(size)
        if len(body) < size:
            raise ConnectionAbortedError(f"{len(body)} of {size} bytes arrived")
        return body

    def _drop(self, size: int) -> None:
        self.close_connection = True
        left = min(size, DRAIN_BYTES)
        while left and (dropped := len(self.rfile.read(min(left, 2**16)))):
            left -= dropped

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        if answer.content_type:
            self.send_header("Content-Type", answer.content_type)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if isinstance(answer.body, bytes):
            self.send_header("Content-Length", str(len(answer.body)))
        else:
            self.send_header("Transfer-Encoding", "chunked")
        if self.server.stopping or self.close_connection:
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        if isinstance(answer.body, bytes):
            self.wfile.write(answer.body)
        else:
            self._send_parts(answer.body)
        self.wfile.flush()
        if self.path == "/invocations":
            logger.info("POST /invocations %d", answer.status)

    def _send_parts(self, parts: Iterator[bytes]) -> None:
        """Send each part at once. A stream that breaks ends without the last chunk: the caller sees it broken."""
        try:
            for part in parts:
                if part:
                    self.wfile.write(b"%x\r\n%b\r\n" % (len(part), part))
                    self.wfile.flush()
        except (WorkerDied, WorkerTimedOut):
            self.close_connection = True
            return
        finally:
            parts.close()
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_) -> None:
        """Stay silent: an answer logs its status, and pings come every few seconds."""
