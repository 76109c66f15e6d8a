"""CloudWatch's CPUUtilization and MemoryUtilization of a transform instance, measured from its processes."""

import threading
import time
from collections.abc import Callable

from turnout.local.sagemaker.hosting.usage import Use

NAMESPACE = "/aws/sagemaker/TransformJobs"
PERIOD_SECONDS = 60


class Meter:
    """Measures every minute and once more when it is left. Use as a context manager.

    `read` returns the processes' use, None when there is nothing to read; `record(name, percent)` publishes.
    """

    def __init__(
        self,
        read: Callable[[], Use | None],
        record: Callable[[str, float], None],
        memory_bytes: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read, self._record, self._memory_bytes, self._clock = read, record, memory_bytes, clock
        self._then = clock()
        self._cpu_seconds = 0.0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="meter")

    def __enter__(self) -> "Meter":
        self.start()
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._done.set()
        self._thread.join()
        self.measure()

    def start(self) -> None:
        """Begin at what the processes have used so far."""
        self._then = self._clock()
        self._cpu_seconds = use.cpu_seconds if (use := self._read()) else 0.0

    def measure(self) -> None:
        """Publish the use since the last time: 100 is one core, or all memory of this machine."""
        now, use = self._clock(), self._read()
        if use is None or now <= self._then:
            return
        busy = max(use.cpu_seconds - self._cpu_seconds, 0.0)
        self._record("CPUUtilization", busy / (now - self._then) * 100)
        self._record("MemoryUtilization", use.resident_bytes / self._memory_bytes * 100)
        self._then, self._cpu_seconds = now, use.cpu_seconds

    def _run(self) -> None:
        while not self._done.wait(PERIOD_SECONDS):
            self.measure()
