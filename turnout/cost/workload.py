"""What a month asks of a model: from the entry's `traffic:`, measured, or assumed; each figure says which.

A month has 730 hours or 30.4 days. Sizes are decimal: 1 KB is 1,000 bytes.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from turnout.config.schedules import runs_a_month
from turnout.config.specs import ModelSpec

HOURS, DAYS = 730, 30.4
#: Peak over mean rate, where nothing else is said.
PEAKINESS = 10
#: Share of the month that the peak lasts at most.
PEAK_SHARE = 0.1
#: Rows that a transform job scores in the time that one request takes: one body holds many.
ROWS_IN_A_REQUEST = 100
#: Minutes of a transform job that are paid for beside scoring: download, start and end of the container.
JOB_MINUTES = 3.0

ASSUMED = "assumed"


@dataclass(frozen=True)
class Workload:
    """The figures that a bill rests on. `notes` say of each whether it was measured, configured or assumed."""

    requests: float = 100_000  # a month
    peak_per_second: float | None = None  # None: PEAKINESS times the mean
    payload_kb: float = 1.0  # of one request
    answer_kb: float = 0.5
    model_seconds: float = 0.1  # that the model takes for one request
    entities: int = 100_000  # rows that a run scores
    runs: float = DAYS  # a month
    changed_fraction: float = 1.0  # share of entities whose score differs from the run before
    covered: float = 0.95  # share of requests whose key has a score
    transform_minutes: float | None = None  # of one run, that each instance is paid for; None: from entities
    key_bytes: float = 5.5  # of one key in a bucket, deflated (docs/scores.md): 3.5 short numbers, 16 UUIDs
    score_bytes: float | None = None  # of one score in a bucket, deflated; None: a float's
    notes: tuple[str, ...] = ()

    @property
    def mean_per_second(self) -> float:
        return self.requests / (HOURS * 3600)

    @property
    def peak(self) -> float:
        """Requests a second at the peak; never below the mean."""
        mean = self.mean_per_second
        return max(mean, mean * PEAKINESS if self.peak_per_second is None else self.peak_per_second)

    @property
    def misses(self) -> float:
        """Requests a month whose key has no score."""
        return self.requests * (1 - self.covered)

    @property
    def row_seconds(self) -> float:
        """Seconds in which one instance scores one row of many."""
        return self.model_seconds / ROWS_IN_A_REQUEST

    def minutes_of_a_run(self, instances: int) -> float:
        """Return the minutes that each of the instances of one transform job is paid for."""
        if self.transform_minutes is not None:
            return self.transform_minutes
        return JOB_MINUTES + self.entities * self.row_seconds / 60 / instances

    def levels(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """Return the month as two shares of its time, each with its rate: at the peak, and besides."""
        mean, peak = self.mean_per_second, self.peak
        share = min(PEAK_SHARE, mean / peak) if peak else 0.0
        return (share, peak), (1 - share, max(mean - share * peak, 0) / (1 - share))


#: Deflated bytes of a key in a bucket, by what `traffic.keys` calls it (docs/scores.md).
KEY_BYTES = {"numbers": 3.5, "ids": 5.5, "uuids": 16.0}

#: Which figure of a Workload each setting of `traffic:` is.
_SETTINGS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "requests_per_month": ("requests", lambda value: value),
    "peak_per_second": ("peak_per_second", lambda value: value),
    "payload_kb": ("payload_kb", lambda value: value),
    "answer_kb": ("answer_kb", lambda value: value),
    "model_latency": ("model_seconds", lambda value: value.total_seconds()),
    "entities": ("entities", lambda value: value),
    "runs_per_month": ("runs", lambda value: value),
    "run_duration": ("transform_minutes", lambda value: value.total_seconds() / 60),
    "changed_fraction": ("changed_fraction", lambda value: value),
    "covered": ("covered", lambda value: value),
    "keys": ("key_bytes", KEY_BYTES.__getitem__),
    "score_bytes": ("score_bytes", lambda value: value),
}


def workload_of(spec: ModelSpec, **given: Any) -> Workload:
    """Return what an entry says of its traffic. `given` figures go before the entry's and are marked as such."""
    said, origins = {}, {}
    if spec.schedule is not None and (runs := runs_a_month(spec.schedule)) is not None:
        said["runs"], origins["runs"] = runs, "by the schedule"
    for setting, (figure, read) in _SETTINGS.items():
        if (value := getattr(spec.traffic, setting)) is not None:
            said[figure], origins[figure] = read(value), "config"
    for figure, value in given.items():
        if value is not None:
            said[figure], origins[figure] = value, "as given"
    return noted(Workload(**said), origins)


def measured(work: Workload, origins: dict[str, str], **figures: Any) -> Workload:
    """Return a workload with figures that were looked up; `origins` says where each comes from."""
    before = {figure: _origin(note) for figure, note in zip(_WORDS, work.notes, strict=False)}
    return noted(replace(work, **figures), {**before, **origins})


def noted(work: Workload, origins: dict[str, str]) -> Workload:
    """Return the workload with a note for every figure; one without an origin is assumed."""
    notes = (f"{word(work)} ({origins.get(figure, ASSUMED)})" for figure, word in _WORDS.items())
    return replace(work, notes=tuple(notes))


def _origin(note: str) -> str:
    return note.rpartition(" (")[2].removesuffix(")")


#: How each figure is written.
_WORDS: dict[str, Callable[[Workload], str]] = {
    "requests": lambda work: f"{work.requests:,.0f} requests a month",
    "peak_per_second": lambda work: f"{work.peak:,.3g} a second at the peak, {PEAK_SHARE:.0%} of the time",
    "payload_kb": lambda work: f"{work.payload_kb:g} KB a request",
    "answer_kb": lambda work: f"{work.answer_kb:g} KB an answer",
    "model_seconds": lambda work: f"{work.model_seconds:g} s of the model a request",
    "entities": lambda work: f"{work.entities:,} rows a run",
    "runs": lambda work: f"{work.runs:,.1f} runs a month",
    "transform_minutes": lambda work: f"{work.minutes_of_a_run(1):,.3g} paid minutes a run on one instance",
    "changed_fraction": lambda work: (
        f"{work.changed_fraction:.0%} of the scores change from run to run, and all are written"
    ),
    "covered": lambda work: f"{work.covered:.1%} of the requests have a score",
    "key_bytes": lambda work: f"{work.key_bytes:g} B a key in the table",
    "score_bytes": lambda work: "a float a score" if work.score_bytes is None else f"{work.score_bytes:g} B a score",
}
