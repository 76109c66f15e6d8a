"""What an entry answers to the questions of `turnout.advice`, and whether its mode goes with that."""

import math
from datetime import timedelta

from handlers.contract.modes import AVAILABLE, ServingMode
from handlers.logic.freshness import LONGEST_PAUSE
from handlers.logic.scores import KEEPS_SCORES
from turnout.advice.questions import JOB, QUESTIONS
from turnout.advice.rules import Rule, Serving, excluding
from turnout.config import images, schedules
from turnout.config.capabilities import ENDPOINT, LIMITS, endpoint_family, may_scale
from turnout.config.specs import ModelSpec, ScheduleSpec, format_duration, format_wait

MONTH = timedelta(hours=730)
SLOW = timedelta(seconds=5)
#: Time to allow a serverless environment for its start; AWS states none, it grows with the model and its image.
COLD_START = timedelta(seconds=10)
#: Time that an asynchronous endpoint stays up beyond its cool-down: its start, and the alarm that ends it.
AWAKE = timedelta(minutes=15)
ASLEEP_SHARE = 0.05
#: Endpoints that a mode may keep, where it leaves the choice to a setting, and the path of that setting.
VARIANTS: dict[ServingMode, tuple[str, ...]] = {
    ServingMode.HYBRID: ("serverless", "realtime", "async"),
    ServingMode.TIERED: ("serverless", "realtime"),
}
#: Rates that are advised, the slowest last; a transform job has hardly started before the first is over.
RATES = (
    *(timedelta(minutes=minutes) for minutes in (10, 15, 20, 30)),
    *(timedelta(hours=hours) for hours in (1, 2, 3, 4, 6, 8, 12)),
    *(timedelta(days=days) for days in range(1, 8)),
)
MINUTE = timedelta(minutes=1)
CHOSEN_BY = {ServingMode.HYBRID: "hybrid.fallback", ServingMode.TIERED: "tiered.light"}


def answered(spec: ModelSpec) -> dict[str, str]:
    """Return question -> word of the answer, for those that the entry answers."""
    said = {name: getattr(spec.answers, name) for name in QUESTIONS}
    return {name: QUESTIONS[name].choice(answer) for name, answer in said.items() if answer is not None}


def facts(spec: ModelSpec) -> frozenset[str]:
    """Return which of `turnout.advice.rules.FACTS` the entry declares; what it leaves open is no fact."""
    traffic, latency = spec.traffic, spec.traffic.model_latency
    asked = spec.answers.latency
    found = {
        "model-too-slow": latency is not None and asked is not None and latency > asked,
        "slow-model": latency is not None and latency >= SLOW,
        "kept-warm": _kept_warm(spec),
        "no-time-to-start": asked is not None and asked < COLD_START,
        "rests": traffic.requests_per_month is not None and _asleep(spec, traffic.requests_per_month) > ASLEEP_SHARE,
        "beyond-serverless": _in_flight(spec) > (LIMITS["serverless.max_concurrency"].most or math.inf),
        "few-requests": (traffic.requests_per_month is not None and traffic.requests_per_month < MONTH.total_seconds()),
        "scored-by-event": spec.refresh.on_event,
        "no-run-in-time": _no_run_in_time(spec),
        "needs-gpu": any(
            images.processor(section.instance_type) in ("gpu", "inf", "trn")
            for section in (spec.realtime, spec.async_)
            if "instance_type" in section.model_fields_set
        ),
    }
    return frozenset(name for name, holds in found.items() if holds)


def _kept_warm(spec: ModelSpec) -> bool:
    """Say whether provisioned environments are enough at the peak; nothing is known of it unless the entry says."""
    kept, known = spec.serverless.provisioned_concurrency, spec.traffic.peak_per_second is not None
    return known and kept is not None and 0 < _in_flight(spec) <= kept


def _in_flight(spec: ModelSpec) -> float:
    """Return the requests in flight at the peak that the bill rests on; 0 where the entry does not say how many come,
    or how long one lasts.
    """
    from turnout.cost.workload import workload_of  # here: bills read the rules that read this module

    traffic = spec.traffic
    if traffic.model_latency is None or (traffic.requests_per_month is None and traffic.peak_per_second is None):
        return 0.0
    return workload_of(spec).peak * traffic.model_latency.total_seconds()


def _asleep(spec: ModelSpec, requests: float) -> float:
    """Return the share of requests that find an asynchronous endpoint at rest, if they come at random moments."""
    if not may_scale(spec.async_.instance_type):
        return 0.0
    return math.exp(-requests * ((AWAKE + spec.async_.scale_in_cooldown) / MONTH))


def serving(spec: ModelSpec) -> Serving:
    """Return how the entry's mode serves."""
    return Serving(spec.mode, endpoint_family(spec))


def against(spec: ModelSpec) -> list[Rule]:
    """Return the rules that the entry's mode breaks, given its answers."""
    return list(excluding(serving(spec), answered(spec), facts(spec)))


def unbroken(spec: ModelSpec) -> list[Serving]:
    """Return the ways to serve that break no rule, of those that this release can deploy; neither limits nor bills are
    asked.
    """
    known, said = answered(spec), facts(spec)
    return [way for way in ways(spec) if way.mode in AVAILABLE and not list(excluding(way, known, said))]


def ways(spec: ModelSpec) -> list[Serving]:
    """Return every way to serve: each mode once for each endpoint that it can keep, the entry's own first."""
    found = []
    for mode in ENDPOINT:
        own = ENDPOINT[mode](spec)
        variants = [own, *(each for each in VARIANTS.get(mode, ()) if each != own)]
        found += [Serving(mode, each) for each in variants]
    return found


def too_seldom(spec: ModelSpec) -> str | None:
    """Return why the schedule cannot keep scores as fresh as the answers ask; None if it can, or time has no say.

    Where no rate could, events that score keys again are what keeps them fresh.
    """
    fresh = spec.answers.freshness
    if not fresh or spec.schedule is None or (every := interval(spec.schedule)) is None:
        return None
    if every / MINUTE <= _minutes_between(spec, fresh):
        return None
    if spec.refresh.on_event and slowest(spec) is None:
        return None
    took = f"runs that come up to {format_duration(every)} apart and take {_minutes(run_time(spec))}"
    return f"scores may be {format_wait(fresh)} old, and {took} let them grow older"


def slowest(spec: ModelSpec) -> timedelta | None:
    """Return the slowest of RATES that keeps scores as fresh as the answers ask; None if none does, or none ask."""
    if not spec.answers.freshness:
        return None
    most = _minutes_between(spec, spec.answers.freshness)
    return max((rate for rate in RATES if rate / MINUTE <= most), default=None)


def _no_run_in_time(spec: ModelSpec) -> bool:
    """Say whether scores of hours or days are asked, and runs take too long for them at any rate."""
    by_data = spec.schedule is not None and spec.schedule.on_new_data
    fresh = spec.answers.freshness
    return fresh is not None and fresh >= JOB and not by_data and slowest(spec) is None


def _minutes_between(spec: ModelSpec, fresh: timedelta) -> float:
    """Return the minutes between two runs, at most, that leave the second time to replace scores while fresh."""
    return (fresh - run_time(spec)) / MINUTE


def run_time(spec: ModelSpec) -> timedelta:
    """Return the time from a run's start until its results are visible, in whole minutes."""
    from turnout.cost import pipeline_time  # here, as `turnout.cost` reads this package

    return pipeline_time.run_time(spec)


def _minutes(time: timedelta) -> str:
    return f"{time / MINUTE:,.0f} min"


def interval(schedule: ScheduleSpec) -> timedelta | None:
    """Return the longest time between two runs of a legal schedule; None where data decides, or a single moment."""
    if schedule.rate is not None and schedules.check_rate(schedule.rate) is None:
        return schedules.rate_interval(schedule.rate)
    if schedule.cron is not None and schedules.check_cron(schedule.cron) is None:
        return schedules.longest_gap(schedule.cron)
    return None


def kept_at_least(spec: ModelSpec) -> timedelta | None:
    """Return how long scores must be kept to last until the next run has replaced them, in whole hours or days; None
    where nothing keeps scores, or no schedule says when that is.
    """
    if not KEEPS_SCORES.get(spec.mode, False) or (every := between_runs(spec)) is None:
        return None
    least = every + run_time(spec)
    unit = timedelta(days=1) if least > timedelta(days=2) else timedelta(hours=1)
    return -(-least // unit) * unit


def between_runs(spec: ModelSpec) -> timedelta | None:
    """Return the longest time between two runs, those that age starts among them; None where no schedule says it.

    Runs by age that find the same data again come LONGEST_PAUSE apart at most.
    """
    if spec.schedule is None or (every := interval(spec.schedule)) is None:
        return None
    older_than = spec.refresh.when_older_than
    return every if older_than is None else min(every, max(older_than, LONGEST_PAUSE))
