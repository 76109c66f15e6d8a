"""The HTTP side of the container: /ping, /invocations and /execution-parameters, in one thread with an event loop.

Predictions run in the threads of serving_workers.py, so that pings are answered while all of those are busy.
"""

import asyncio
import json
import logging
import threading
import time
from collections.abc import Sequence
from typing import Any

from serving_protocol import Connection, Head
from serving_script import Answer, ModelScript, Refused, Request
from serving_settings import Settings
from serving_workers import SMALL_BODY, Job, Outcome, Workers

JSON = "application/json"
#: How often requests that waited too long are looked for.
SWEEP_SECONDS = 0.25
#: When a caller who was refused for lack of room should come again.
RETRY_SECONDS = 1
BACKLOG = 1024

logger = logging.getLogger("serving")


class InferenceServer:
    """Listens from the start; answers 503 until it is given the model's script."""

    def __init__(self, settings: Settings) -> None:
        """Listen. Raises OSError when the port is taken."""
        self.settings = settings
        self.stopping = False
        self.script: ModelScript | None = None
        self.connections: set[Connection] = set()
        self._workers: Workers | None = None
        self._turn: list[Job] = []
        self._held_bytes = 0
        self._loop = asyncio.new_event_loop()
        self._listener = self._loop.run_until_complete(self._listen())
        threading.Thread(target=self._loop.run_forever, name="http", daemon=True).start()

    @property
    def server_port(self) -> int:
        return self._listener.sockets[0].getsockname()[1]

    def begin(self, script: ModelScript) -> None:
        """Answer pings 200 and requests with this script from now on."""
        self._workers = Workers(self.settings.threads, self.settings.waiting, self._deliver_soon, script)
        self.script = script
        self._loop.call_soon_threadsafe(self._sweep)

    def drain(self, seconds: float) -> bool:
        """Stop accepting, then wait until every request in flight is answered. Return whether that came to pass."""
        return asyncio.run_coroutine_threadsafe(self._drain(seconds), self._loop).result()

    async def _listen(self) -> asyncio.Server:
        settings = self.settings
        return await self._loop.create_server(
            lambda: Connection(self, self._loop), settings.host, settings.port, backlog=BACKLOG, reuse_address=True
        )

    async def _drain(self, seconds: float) -> bool:
        self.stopping = True
        self._listener.close()
        deadline = self._loop.time() + seconds
        while busy := any(connection.busy for connection in self.connections):
            if self._loop.time() > deadline:
                break
            await asyncio.sleep(0.02)
        return not busy

    # What a connection asks for. All of it runs in the event loop's thread.

    def admit(self, size: int, already: int = 0) -> None:
        """Make room for so many more bytes of a body that holds `already`. `release` follows unless this is Refused."""
        others = self._held_bytes - already
        if others and already + size > SMALL_BODY and others + already + size > self.settings.body_bytes:
            raise Refused(503, "the bodies of other requests fill the memory", "busy")
        self._held_bytes += size

    def release(self, size: int) -> None:
        self._held_bytes -= size

    def answer(self, connection: Connection, head: Head, body: bytes | bytearray) -> None:
        """Answer a whole request, now or once it is predicted."""
        if head.target == "/ping" and head.method == "GET":
            self._ping(connection)
        elif head.target == "/execution-parameters" and head.method == "GET":
            connection.send(200, JSON, json.dumps(self._execution_parameters()).encode())
        elif head.target == "/invocations" and head.method == "POST":
            self._invoke(connection, head, body)
        else:
            self.refuse(connection, Refused(404, f"{head.method} {head.target} is not served here", "unknown_path"))

    def refuse(self, connection: Connection, refusal: Refused, hang_up: bool = False) -> None:
        """Answer with the reason as JSON; with 503 goes when to come again."""
        body = json.dumps({"error": {"code": refusal.code, "message": str(refusal)}}).encode()
        connection.send(refusal.status, JSON, body, RETRY_SECONDS if refusal.status == 503 else None, hang_up)

    def _ping(self, connection: Connection) -> None:
        if self.script is None:
            self.refuse(connection, Refused(503, "the model is still loading", "not_ready"))
        else:
            connection.send(200, JSON, b"")

    def _execution_parameters(self) -> dict[str, Any]:
        return {
            "MaxConcurrentTransforms": self.settings.threads,
            "BatchStrategy": self.settings.batch_strategy,
            "MaxPayloadInMB": self.settings.max_payload_mb,
        }

    def _invoke(self, connection: Connection, head: Head, body: bytes | bytearray) -> None:
        if self._workers is None:
            self.refuse(connection, Refused(503, "the model is still loading", "not_ready"))
            return
        accept = head.fields.get("accept", "")
        request = Request(
            body,
            head.fields.get("content-type") or JSON,
            self.settings.default_accept if accept in ("", "*/*") else accept,
        )
        if not self._turn:
            self._loop.call_soon(self._submit_turn)
        self._turn.append(Job(request, connection))

    def _submit_turn(self) -> None:
        """Hand over all that was read in one turn of the loop."""
        jobs, self._turn = self._turn, []
        for job in self._workers.submit(jobs):
            self._finish(job, Refused(503, f"{self.settings.waiting} requests are waiting already", "busy"))

    def _sweep(self) -> None:
        """Refuse what has waited for too long, and do so again shortly."""
        for job in self._workers.expire(time.monotonic() - self.settings.timeout_seconds):
            self._finish(job, Refused(503, f"all {self.settings.threads} threads stayed busy", "busy"))
        self._loop.call_later(SWEEP_SECONDS, self._sweep)

    def _deliver_soon(self, finished: Sequence[tuple[Job, Outcome]]) -> None:
        """Called by a worker's thread."""
        self._loop.call_soon_threadsafe(self._deliver, finished)

    def _deliver(self, finished: Sequence[tuple[Job, Outcome]]) -> None:
        for job, outcome in finished:
            self._finish(job, outcome)
        answered = [(job, outcome) for job, outcome in finished if isinstance(outcome, Answer)]
        if answered and logger.isEnabledFor(logging.INFO):
            _log(answered)

    def _finish(self, job: Job, outcome: Outcome) -> None:
        if isinstance(outcome, Answer):
            job.connection.send(200, outcome.content_type, outcome.body)
        elif isinstance(outcome, Refused):
            logger.info("POST /invocations %d: %s", outcome.status, outcome)
            self.refuse(job.connection, outcome)
        else:
            logger.error("POST /invocations 500", exc_info=outcome)
            told = "the model failed on this request; the container's log says how"
            self.refuse(job.connection, Refused(500, told, "model_error"))


def _log(answered: Sequence[tuple[Job, Answer]]) -> None:
    """Write one line for requests that were answered together, which many may be each second."""
    began = min(job.arrived for job, _ in answered)
    logger.info(
        "%sPOST /invocations 200 %d bytes in, %d out, %.1f ms",
        f"{len(answered)} x " if len(answered) > 1 else "",
        sum(len(job.request.body) for job, _ in answered),
        sum(len(answer.body) for _, answer in answered),
        (time.monotonic() - began) * 1000,
    )
