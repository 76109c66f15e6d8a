"""A container's requests: several at a time, answers in order, tried again when the container fails."""

import http.client
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from threading import BoundedSemaphore
from typing import Protocol

from turnout.local.sagemaker.transform.errors import BadData, ModelFailed
from turnout.local.sagemaker.transform.settings import TransformSettings
from turnout.local.sagemaker.transform.splitting import Batch, Body

#: Seconds before the first retry; each further one doubles it. AWS does not say what it waits.
FIRST_WAIT_SECONDS = 0.1
MAX_WAIT_SECONDS = 1.0
#: How many bodies may be read ahead of, or wait behind, each request in flight.
BATCHES_PER_REQUEST = 2


class Send(Protocol):
    """Sends one request: `Container.send`. Raises OSError (TimeoutError too) or HTTPException."""

    def __call__(self, body: Body, headers: dict[str, str], timeout: float) -> tuple[int, bytes, dict]: ...


#: Waits some seconds before a retry; raises Stopped when the job is stopped meanwhile.
Wait = Callable[[float], None]


class Requests:
    """All requests to one container, shared by the objects that are under way. Use as a context manager."""

    def __init__(self, send: Send, settings: TransformSettings, wait: Wait) -> None:
        self._send, self._settings, self._wait = send, settings, wait
        self._pool = ThreadPoolExecutor(settings.concurrency, thread_name_prefix="invoke")
        self._room = BoundedSemaphore(settings.concurrency * BATCHES_PER_REQUEST)

    def __enter__(self) -> "Requests":
        return self

    def __exit__(self, *_) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)  # what still runs ends with the container

    def answers(self, batches: Iterable[Batch]) -> Iterator[tuple[Batch, bytes]]:
        """Yield each batch with its answer, in order. Raises what `invoke` raises.

        Reads ahead only as far as there is room; an object that waits for room gives up its own first.
        """
        waiting: deque[tuple[Batch, Future[bytes]]] = deque()
        try:
            for batch in batches:
                while not self._room.acquire(blocking=not waiting):
                    yield self._first(waiting)
                waiting.append((batch, self._pool.submit(self.invoke, batch.body)))
            while waiting:
                yield self._first(waiting)
        finally:
            for _, future in waiting:
                future.cancel()
                self._room.release()

    def _first(self, waiting: deque[tuple[Batch, Future[bytes]]]) -> tuple[Batch, bytes]:
        batch, future = waiting[0]
        answer = future.result()
        waiting.popleft()
        self._room.release()
        return batch, answer

    def invoke(self, body: Body) -> bytes:
        """Return the answer to one request. Retries all but 2xx and 4xx: time-outs and broken connections too.

        Raises BadData for a 4xx and ModelFailed for what is still failing after the retries.
        """
        attempt = 0
        while True:
            try:
                return self._once(body)
            except ModelFailed:
                if attempt == self._settings.retries:
                    raise
            self._wait(min(FIRST_WAIT_SECONDS * 2**attempt, MAX_WAIT_SECONDS))
            attempt += 1

    def _once(self, body: Body) -> bytes:
        timeout = self._settings.timeout
        try:
            status, answer, _ = self._send(body, self._settings.headers, timeout)
        except TimeoutError:
            raise ModelFailed(
                f"Model server did not respond to /invocations request within {timeout:g} seconds"
            ) from None
        except (OSError, http.client.HTTPException) as error:
            what = f"{type(error).__name__}: {error}"
            raise ModelFailed(f"Unable to get response from algorithm ({what})") from error
        if 200 <= status < 300:
            return answer
        said = answer.decode(errors="replace")
        if 400 <= status < 500:
            raise BadData(f"ClientError: {status}", said)
        raise ModelFailed(f"Bad HTTP status received from algorithm: {status}", said)
