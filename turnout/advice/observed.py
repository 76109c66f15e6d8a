"""What was seen of a deployed model, and which answers and figures follow from it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from handlers.contract.answering import ANSWERS
from turnout import cost
from turnout.advice.keys import ENOUGH, KeySample
from turnout.advice.questions import QUESTIONS
from turnout.config import answers
from turnout.config.specs import ModelSpec
from turnout.cost import DAYS, HOURS, Workload

HOUR = timedelta(hours=1)
#: Share of the requests that the busiest hours hold, by which the shape of the traffic is told.
BULK = 0.8
#: Share of the hours in which the bulk of bursty or periodic traffic comes at most.
NARROW = 0.25
#: Share of requests without a score from which keys count as new: below it a lookup would do.
NEW_KEYS = 0.01
#: Share of requests with a new key, or none, from which nothing can be scored beforehand.
MOSTLY_NEW = 0.5


@dataclass(frozen=True)
class Spread:
    """A figure's mean and percentiles over `count` values; percentiles are means of the days', by their counts."""

    count: float
    mean: float
    p50: float
    p95: float
    p99: float

    def to_body(self) -> dict[str, float]:
        return {name: round(value, 4) for name, value in vars(self).items()}


@dataclass(frozen=True)
class Seen:
    """A deployed model from `begin` to `end`; times in seconds. A Spread of None: nothing was measured.

    `entry` is the entry as it is deployed. `by_hour` counts requests for predictions by the hour's begin, quiet hours
    left out; `peak` is requests a second in the busiest minute (`peak_of` says which period CloudWatch still had).
    """

    entry: ModelSpec
    begin: datetime
    end: datetime
    by_hour: Mapping[datetime, float] = field(default_factory=dict)
    peak: float = 0.0
    peak_of: timedelta = timedelta(minutes=1)
    hits: float = 0
    misses: float = 0
    keyless: float | None = None
    stale: float = 0
    errors: float = 0
    keys: KeySample = field(default_factory=KeySample)
    door: Spread | None = None  # the front door's own time
    model: Spread | None = None  # the endpoint's
    age: Spread | None = None  # of scores that were handed out
    rows: int | None = None  # of the newest generation
    runs: int = 0  # that succeeded
    failed_runs: int = 0
    run_minutes: float | None = None  # that the last run took by the clock
    job_minutes: float | None = None  # that each instance of its transform job was paid for

    @property
    def requests(self) -> float:
        return sum(self.by_hour.values())

    @property
    def hours(self) -> float:
        return (self.end - self.begin) / HOUR

    @property
    def days(self) -> float:
        return self.hours / 24

    @property
    def a_month(self) -> float:
        return self.requests * HOURS / self.hours

    @property
    def a_day(self) -> float:
        return self.requests / self.days

    @property
    def looks_up(self) -> bool:
        """Say whether most requests were lookups, so that hits and misses tell which keys have a score."""
        return self.hits + self.misses >= self.requests / 2 > 0

    @property
    def without_key(self) -> float:
        """Return the share of requests without a key."""
        return min((self.keyless or 0) / self.requests, 1.0) if self.requests else 0.0

    @property
    def covered(self) -> float | None:
        """Return the share of requests whose key had a score, or would have one if all keys seen had; None: unknown."""
        if not self.requests:
            return None
        if self.looks_up:
            return self.hits / (self.hits + self.misses) * (1 - self.without_key)
        if self.without_key >= 1:
            return 0.0
        if not self.keys.tells:
            return None
        share = self.keys.known / self.keys.drawn if self.keys.known is not None else None
        return (share if share is not None else self.keys.repeated) * (1 - self.without_key)

    @property
    def distinct(self) -> int | None:
        """Return how many keys were asked for; None where too few are in the log."""
        return self.keys.keys(self.requests * (1 - self.without_key)) if self.keys.tells else None

    @property
    def by_day(self) -> list[float]:
        """Return the requests of each whole day of 24 hours, the first one begun at `begin`."""
        whole = int(self.days)
        sums = [0.0] * whole
        for hour, count in self.by_hour.items():
            if 0 <= (day := int((hour - self.begin) / timedelta(days=1))) < whole:
                sums[day] += count
        return sums

    @property
    def quiet_and_busy(self) -> tuple[float, float] | None:
        """Return the requests a month if each day were the quietest, and the busiest; None for less than two days."""
        days = self.by_day
        return (min(days) * DAYS, max(days) * DAYS) if len(days) >= 2 else None

    @property
    def shape(self) -> str | None:
        """Return the word of the traffic's shape; None where fewer than one request an hour tell of none."""
        if self.requests < self.hours or self.days < 1:
            return None
        if self._bulk(list(self.by_hour.values()), self.hours) > NARROW:
            return "steady"
        return "periodic" if self._same_hours() else "bursty"

    def _bulk(self, counts: list[float], places: float) -> float:
        """Return the share of the places that hold the bulk of the requests."""
        held, wanted = 0.0, sum(counts) * BULK
        for number, count in enumerate(sorted(counts, reverse=True)):
            if held >= wanted:
                return number / places
            held += count
        return len(counts) / places

    def _same_hours(self) -> bool:
        """Say whether the bulk comes at the same hours of the day on nearly all of at least three days."""
        clock = [0.0] * 24
        for hour, count in self.by_hour.items():
            clock[hour.hour] += count
        days = self.by_day
        busy = sum(count > 0 for count in days)
        return len(days) >= 3 and busy >= BULK * len(days) and self._bulk(clock, 24) <= NARROW


@dataclass(frozen=True)
class Inferred:
    """An answer that was not given but seen. One that is not `sure` is a guess that the owner has to confirm."""

    choice: str
    because: str
    sure: bool = True


#: How answers are used, by the endpoint that a mode keeps; None: answers come from the table.
GIVEN: dict[str | None, Inferred] = {
    **dict.fromkeys((None, "realtime", "serverless"), Inferred("waits", "callers get their answers at once now")),
    "async": Inferred("later", "callers fetch answers later now"),
}


def inferred(seen: Seen) -> dict[str, Inferred]:
    """Return question -> answer, for questions that the entry leaves open and the traffic answers."""
    found = {"consumption": _consumption(seen), "input": _input(seen), "traffic_shape": _shape(seen)}
    said = answers.answered(seen.entry)
    return {name: each for name, each in found.items() if each is not None and name not in said}


def _consumption(seen: Seen) -> Inferred | None:
    if not seen.requests:
        return None
    if not ANSWERS[seen.entry.mode]:
        return Inferred("waits", "callers ask for single predictions and are refused", sure=False)
    return GIVEN[answers.serving(seen.entry).endpoint]


def _input(seen: Seen) -> Inferred | None:
    if not seen.requests:
        return None
    share = seen.covered
    if share is None:
        return Inferred("request", f"only {seen.keys.drawn} keys are in the log, too few to tell whose score would do")
    new = 1 - share
    if new < NEW_KEYS:
        return Inferred("stored", "the same keys are asked for again and again", sure=False)
    which = f"{_percent(new)} of the requests have a key without a score, or none"
    if new < MOSTLY_NEW or (seen.looks_up and not seen.without_key):
        return Inferred("mostly-stored", which)
    return Inferred("request", which)


def _shape(seen: Seen) -> Inferred | None:
    if (shape := seen.shape) is None:
        return None
    return Inferred(shape, f"the hours of {seen.days:.3g} days show it", sure=False)


def _percent(share: float) -> str:
    return f"{share:.1%}" if share < 0.1 else f"{share:.0%}"


def guessed(seen: Seen) -> ModelSpec:
    """Return the entry with what was measured as its traffic, and what was seen as its answers."""
    said = {name: QUESTIONS[name].answer(each.choice) for name, each in inferred(seen).items()}
    traffic = {setting: value for setting, (value, _) in measured(seen).items()}
    return seen.entry.model_copy(
        update={
            "traffic": seen.entry.traffic.model_copy(update=traffic),
            "answers": seen.entry.answers.model_copy(update=said),
        }
    )


def measured(seen: Seen) -> dict[str, tuple[Any, str]]:
    """Return setting of `traffic:` -> its measured value, and how it was measured."""
    over = f"counted over {seen.days:.3g} days"
    found: dict[str, tuple[Any, str]] = {"requests_per_month": (round(seen.a_month), over)}
    if seen.requests:
        found["peak_per_second"] = (_rounded(seen.peak), f"the busiest {seen.peak_of.seconds // 60} min")
    if (share := seen.covered) is not None:
        how = "hits and misses" if seen.looks_up else f"{seen.keys.drawn:,} logged keys"
        found["covered"] = (round(share, 4), how)
    if seen.model is not None:
        found["model_latency"] = (
            max(timedelta(milliseconds=round(seen.model.mean * 1000)), MILLISECOND),
            "ModelLatency",
        )
    if seen.rows is not None:
        found["entities"] = (seen.rows, "newest generation")
    elif seen.entry.traffic.entities is None and seen.distinct is not None:
        found["entities"] = (seen.distinct, "estimated from the logged keys")
    if seen.job_minutes is not None:
        found["run_duration"] = (timedelta(minutes=seen.job_minutes), "as the last transform job took")
    return found


MILLISECOND = timedelta(milliseconds=1)


def _rounded(value: float) -> float:
    return float(f"{value:.3g}")


#: Which figure of a Workload each setting above is.
FIGURES = {
    "requests_per_month": "requests",
    "peak_per_second": "peak_per_second",
    "covered": "covered",
    "model_latency": "model_seconds",
    "entities": "entities",
    "run_duration": "transform_minutes",
}


def workload(seen: Seen) -> Workload:
    """Return what bills rest on, each figure with where it comes from."""
    origins = {FIGURES[setting]: how for setting, (_, how) in measured(seen).items()}
    return cost.measured(cost.workload_of(guessed(seen)), origins)


def enough_keys(seen: Seen) -> str:
    """Return how far the log's keys can be trusted: high, medium or low."""
    if seen.looks_up or seen.keys.known is not None:
        return "high"
    if not seen.keys.tells:
        return "low"
    extrapolated = (seen.distinct or 0) > 2 * seen.keys.distinct
    return "high" if seen.keys.drawn >= ENOUGH and not extrapolated else "medium"
