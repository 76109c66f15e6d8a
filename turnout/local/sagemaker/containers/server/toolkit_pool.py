"""The worker processes: started, lent to one request each, killed when they do not answer, and started again."""

import contextlib
import logging
import queue
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import toolkit_wire
from toolkit_settings import Settings

WORKER = Path(__file__).with_name("toolkit_worker.py")
POLL_SECONDS = 0.05

logger = logging.getLogger("toolkit")


class WorkerDied(Exception):
    """The worker ended in the middle of a request."""


class WorkerTimedOut(Exception):
    """No worker was free in time, or the one that had the request did not answer in time and was killed."""


class Worker:
    """A process and the socket to it."""

    def __init__(self, settings: Settings) -> None:
        self.sock, theirs = socket.socketpair()
        arguments = [settings.image, str(settings.code_dir), str(theirs.fileno())]
        self.process = subprocess.Popen([sys.executable, str(WORKER), *arguments], pass_fds=[theirs.fileno()])
        theirs.close()
        self.ready = False

    def kill(self) -> None:
        self.process.kill()
        self.sock.close()


class Pool:
    """As many workers as the settings say. Only the main thread starts them: they die with the thread that did."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._workers: list[Worker] = []
        self._idle: queue.Queue[Worker] = queue.Queue()

    @property
    def ready(self) -> bool:
        """Whether some worker has loaded the model and runs."""
        return any(worker.ready for worker in self._workers)

    def run(self, stop: threading.Event) -> int:
        """Keep the workers running until told to stop. Return the exit status: 1 when a model does not load."""
        while not stop.wait(POLL_SECONDS):
            for worker in [worker for worker in self._workers if worker.process.poll() is not None]:
                if not worker.ready:
                    return 1
                logger.error("worker %d ended with %d", worker.process.pid, worker.process.returncode)
                self._workers.remove(worker)
            while len(self._workers) < self._settings.workers:
                self._start()
        return 0

    def close(self) -> None:
        """End the workers; each sees its socket close."""
        for worker in self._workers:
            worker.sock.close()

    def ask(self, head: dict[str, Any], body: bytes) -> tuple[dict[str, Any], bytes | Iterator[bytes]]:
        """Return the head and the body of a worker's answer. Raises WorkerDied or WorkerTimedOut."""
        deadline = time.monotonic() + self._settings.timeout_seconds
        worker = self._take(deadline)
        with self._ended_if_it_fails(worker):
            worker.sock.settimeout(max(deadline - time.monotonic(), 0.001))
            toolkit_wire.send(worker.sock, head, body)
            answer, content = toolkit_wire.receive(worker.sock)
        if answer.get("parts"):
            return answer, self._parts(worker)
        self._idle.put(worker)
        return answer, content

    def _parts(self, worker: Worker) -> Iterator[bytes]:
        """Yield the parts of an answer; a worker whose reader goes away is ended, since it is still at work."""
        finished = False
        try:
            with self._ended_if_it_fails(worker):
                while True:
                    worker.sock.settimeout(self._settings.timeout_seconds)
                    head, part = toolkit_wire.receive(worker.sock)
                    if not head["part"]:
                        break
                    yield part
            finished = True
        finally:
            if finished:
                self._idle.put(worker)
            else:
                worker.kill()
        if head["broken"]:
            raise WorkerDied

    def _take(self, deadline: float) -> Worker:
        while True:
            try:
                worker = self._idle.get(timeout=max(deadline - time.monotonic(), 0))
            except queue.Empty:
                raise WorkerTimedOut from None
            if worker.process.poll() is None:
                return worker

    @contextlib.contextmanager
    def _ended_if_it_fails(self, worker: Worker) -> Iterator[None]:
        try:
            yield
        except TimeoutError as error:
            logger.critical("WORKER TIMEOUT (pid:%d)", worker.process.pid)
            worker.kill()
            raise WorkerTimedOut from error
        except (OSError, EOFError) as error:
            worker.kill()
            raise WorkerDied from error

    def _start(self) -> None:
        worker = Worker(self._settings)
        self._workers.append(worker)
        threading.Thread(target=self._await_ready, args=(worker,), daemon=True, name="await-worker").start()

    def _await_ready(self, worker: Worker) -> None:
        try:
            toolkit_wire.receive(worker.sock)
        except (OSError, EOFError):
            return  # `run` sees that it ended
        worker.ready = True
        logger.info("worker %d has loaded the model", worker.process.pid)
        self._idle.put(worker)
