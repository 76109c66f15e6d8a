"""A bounded pool of Lambda environments that drains instead of killing.

As on AWS an update lets environments that are answering finish; unlike an unbounded pool a burst makes
callers wait for a free environment, so that two processor cores are not buried under starting processes.
"""

import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, Protocol

START_POLL_SECONDS = 0.05
WAIT_SECONDS = 60


class Environment(Protocol):
    """What the emulator's worker offers. `_cold` is true until its process has started."""

    in_use: bool
    last_used: float
    _cold: bool


class Pool:
    """Leases environments by key; `key` identifies one version of one function."""

    def __init__(self, workers: dict[str, list], lock: Any, kill: Callable[[Iterable], None], limit: int) -> None:
        self._workers, self._kill, self._limit = workers, kill, limit
        self._changed = threading.Condition(lock)
        self._retired: set[int] = set()

    def acquire(self, key: str, create: Callable[[], Environment], limit: int | None) -> tuple[Any, str]:
        """Return `(environment, "reused" | "spawn")`, or `(None, "func_cap")` after waiting in vain.

        At most one environment of a key starts at a time; the others wait for it or for a free one.
        """
        deadline = time.monotonic() + WAIT_SECONDS
        with self._changed:
            while True:
                entries = self._workers.setdefault(key, [])
                if (free := next((w for w in entries if not w.in_use), None)) is not None:
                    return self._lease(free), "reused"
                if len(entries) < (limit or self._limit) and not any(w._cold for w in entries):
                    entries.append(create())
                    return self._lease(entries[-1]), "spawn"
                if time.monotonic() >= deadline:
                    return None, "func_cap"
                self._changed.wait(START_POLL_SECONDS)

    @staticmethod
    def _lease(worker: Environment) -> Environment:
        worker.in_use, worker.last_used = True, time.time()
        return worker

    def release(self, worker: Environment | None) -> None:
        """Give an environment back; one that was retired meanwhile ends now."""
        if worker is None:
            return
        with self._changed:
            worker.in_use, worker.last_used = False, time.time()
            retired = id(worker) in self._retired
            self._retired.discard(id(worker))
            self._changed.notify_all()
        if retired:
            self._kill([worker])

    def retire(self, matches: Callable[[str], bool]) -> None:
        """Take all environments of matching keys out: idle ones end now, busy ones after their answer."""
        with self._changed:
            gone = [w for key in [k for k in self._workers if matches(k)] for w in self._workers.pop(key)]
            self._retired.update(id(w) for w in gone if w.in_use)
            idle = [w for w in gone if not w.in_use]
            self._changed.notify_all()
        self._kill(idle)
