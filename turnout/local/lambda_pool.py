"""A bounded pool of Lambda environments that drains instead of killing.

As on AWS an update lets environments that are answering finish; unlike an unbounded pool a burst makes
callers wait for a free environment, so that two processor cores are not buried under starting processes.
"""

import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, Protocol

#: How often callers look whether a start has ended, which nobody tells them, and whether their wait was in vain.
START_POLL_SECONDS, FULL_POLL_SECONDS = 0.05, 1.0
WAIT_SECONDS = 60


class Environment(Protocol):
    """What the emulator's worker offers. `_cold` is true until its process has started."""

    in_use: bool
    last_used: float
    _cold: bool


class Pool:
    """Leases environments by key; `key` identifies one version of one function."""

    def __init__(self, workers: dict[str, list], lock: Any, kill: Callable[[Iterable], None], limit: int) -> None:
        self._workers, self._lock, self._kill, self._limit = workers, lock, kill, limit
        self._freed: dict[str, threading.Condition] = {}  # by key, so that a freed environment wakes one of its callers
        self._leased: dict[int, str] = {}  # identity of an environment at work -> its key
        self._retired: set[int] = set()

    def acquire(self, key: str, create: Callable[[], Environment], limit: int | None) -> tuple[Any, str]:
        """Return `(environment, "reused" | "spawn")`, or `(None, "func_cap")` after waiting in vain.

        At most one environment of a key starts at a time; the others wait for it or for a free one.
        """
        deadline = time.monotonic() + WAIT_SECONDS
        with self._lock:
            freed = self._freed.setdefault(key, threading.Condition(self._lock))
            while True:
                entries = self._workers.setdefault(key, [])
                if (free := next((w for w in entries if not w.in_use), None)) is not None:
                    return self._lease(key, free), "reused"
                may_grow = len(entries) < (limit or self._limit)
                if may_grow and not any(w._cold for w in entries):
                    entries.append(create())
                    return self._lease(key, entries[-1]), "spawn"
                if (left := deadline - time.monotonic()) <= 0:
                    return None, "func_cap"
                freed.wait(START_POLL_SECONDS if may_grow else min(left, FULL_POLL_SECONDS))

    def _lease(self, key: str, worker: Environment) -> Environment:
        worker.in_use, worker.last_used = True, time.time()
        self._leased[id(worker)] = key
        return worker

    def release(self, worker: Environment | None) -> None:
        """Give an environment back; one that was retired meanwhile ends now."""
        if worker is None:
            return
        with self._lock:
            worker.in_use, worker.last_used = False, time.time()
            retired = id(worker) in self._retired
            self._retired.discard(id(worker))
            if (key := self._leased.pop(id(worker), None)) is not None:
                self._freed[key].notify()
        if retired:
            self._kill([worker])

    def retire(self, matches: Callable[[str], bool]) -> None:
        """Take all environments of matching keys out: idle ones end now, busy ones after their answer."""
        with self._lock:
            keys = [key for key in self._workers if matches(key)]
            gone = [w for key in keys for w in self._workers.pop(key)]
            self._retired.update(id(w) for w in gone if w.in_use)
            idle = [w for w in gone if not w.in_use]
            for key in keys:
                if key in self._freed:
                    self._freed[key].notify_all()
        self._kill(idle)
