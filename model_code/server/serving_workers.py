"""Threads that answer requests with the one copy of the model, and the bounded queue before them.

Requests read in one turn of the event loop arrive here together. A free thread takes the oldest one; if the script says
that its rows do not depend on each other, it takes all small ones that wait, and the model predicts once for them all.
Nothing waits for a timer: a request alone is answered alone.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from serving_protocol import Connection
from serving_script import Answer, ModelScript, Request

#: Bodies up to this many bytes may share a prediction; larger ones fill a thread by themselves.
SMALL_BODY = 2**16
#: Requests that share one prediction at most.
MOST_TOGETHER = 256

#: What came of a request: an answer, or why there is none.
Outcome = Answer | Exception


@dataclass(eq=False, slots=True)
class Job:
    """A request that waits, and the connection that is to get its answer."""

    request: Request
    connection: Connection
    arrived: float = field(default_factory=time.monotonic)

    @property
    def small(self) -> bool:
        return len(self.request.body) <= SMALL_BODY


class Workers:
    """A pool of `threads`. `deliver` is handed finished jobs with their outcomes, from any of the threads."""

    def __init__(
        self, threads: int, waiting: int, deliver: Callable[[Sequence[tuple[Job, Outcome]]], None], script: ModelScript
    ) -> None:
        self._limit = threads + waiting
        self._deliver = deliver
        self._script = script
        self._unfinished = 0
        self._queue: deque[Job] = deque()
        self._changed = threading.Condition()
        for number in range(threads):
            threading.Thread(target=self._work, name=f"predict-{number}", daemon=True).start()

    def submit(self, jobs: Sequence[Job]) -> list[Job]:
        """Queue the jobs, oldest first. Return those for which there was no room."""
        with self._changed:
            room = max(0, self._limit - self._unfinished)
            taken = jobs[:room]
            self._unfinished += len(taken)
            self._queue.extend(taken)
            self._changed.notify(1 if self._script.row_by_row else len(taken))
        return list(jobs[room:])

    def expire(self, before: float) -> list[Job]:
        """Take out and return the waiting jobs that arrived before this moment of the monotonic clock."""
        expired = []
        with self._changed:
            while self._queue and self._queue[0].arrived < before:
                expired.append(self._queue.popleft())
            self._unfinished -= len(expired)
        return expired

    def _work(self) -> None:
        while True:
            jobs = self._take()
            outcomes = self._answer([job.request for job in jobs])
            with self._changed:
                self._unfinished -= len(jobs)
            self._deliver(list(zip(jobs, outcomes, strict=True)))

    def _answer(self, requests: list[Request]) -> list[Outcome]:
        try:
            return self._script.invoke_all(requests)
        except Exception as error:  # noqa: BLE001 every caller is told; a thread that ended would be missed for ever
            return [error] * len(requests)

    def _take(self) -> list[Job]:
        with self._changed:
            self._changed.wait_for(lambda: self._queue)
            jobs = [self._queue.popleft()]
            if self._script.row_by_row and jobs[0].small:
                while self._queue and self._queue[0].small and len(jobs) < MOST_TOGETHER:
                    jobs.append(self._queue.popleft())
            if self._queue:
                self._changed.notify()
        return jobs
