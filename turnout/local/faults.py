"""What may be made to go wrong on purpose, and how fast AWS's waiting passes here; drills and tests set it."""

import threading
import time
from dataclasses import dataclass, field, fields

#: How many seconds of AWS's waiting (alarm periods, cooldowns and bake times of endpoints) pass in one second for tests
#: and drills: a minute is a second. Containers start in the time they need, and requests keep their own time-outs.
TIME_SCALE = 60.0
REAL_TIME = 1.0
STARTS = ("", "fail", "never")


@dataclass
class Faults:
    """Settings, not events: each stays until it is set otherwise. The time scale that it is made with is the normal."""

    async_deliveries: int = 1  # how often each asynchronous request is handed to the model
    async_ttl_seconds: float = 0.0  # above 0: no asynchronous request waits longer than this
    endpoint_starts: str = ""  # "fail": instances cannot be had; "never": they never come up, until this is cleared
    time_scale: float = TIME_SCALE
    _usual_scale: float = field(default=0.0, init=False, repr=False)
    _throttled: dict[str, float] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def __post_init__(self) -> None:
        self._usual_scale = self.time_scale
        self.reset()  # refuses what `set` refuses

    def set(
        self,
        async_deliveries: int = 1,
        async_ttl_seconds: float = 0.0,
        endpoint_starts: str = "",
        throttled_table: str = "",
        throttled_seconds: float = 0.0,
        time_scale: float | None = None,
    ) -> None:
        """Set all of them; what is not named goes back to normal, but for the time scale. Raises ValueError."""
        scale = self.time_scale if time_scale is None else float(time_scale)
        if not 1 <= int(async_deliveries) <= 10:
            raise ValueError("async_deliveries must be between 1 and 10")
        if endpoint_starts not in STARTS:
            raise ValueError(f"endpoint_starts must be one of {', '.join(repr(word) for word in STARTS)}")
        if not 1 <= scale <= 3600:
            raise ValueError("time_scale must be between 1 (as on AWS) and 3600")
        with self._lock:
            self.async_deliveries, self.async_ttl_seconds = int(async_deliveries), float(async_ttl_seconds)
            self.endpoint_starts, self.time_scale = endpoint_starts, scale
            self._throttled.clear()
            if throttled_table:
                self._throttled[throttled_table] = time.monotonic() + float(throttled_seconds)

    def reset(self) -> None:
        """Go back to normal, the time scale included."""
        self.set(time_scale=self._usual_scale)

    def seconds(self, on_aws: float) -> float:
        """Return how long something takes here that takes `on_aws` seconds there."""
        return on_aws / self.time_scale

    def throttles(self, table: str) -> bool:
        """Whether writes to this DynamoDB table are refused now."""
        with self._lock:
            return time.monotonic() < self._throttled.get(table, 0.0)

    def describe(self) -> dict:
        """Return the settings, and the seconds that each throttled table stays so."""
        now = time.monotonic()
        shown = {f.name: getattr(self, f.name) for f in fields(self) if not f.name.startswith("_")}
        return shown | {"throttled_tables": {t: round(end - now, 1) for t, end in self._throttled.items() if end > now}}
