"""Changes that the observed traffic of a deployed model speaks for, each with dollars, confidence and conditions.

A proposal never breaks a rule that the answers or the traffic decide, is never illegal, and says which unanswered
questions would have to be answered how. What costs more is proposed only where a promise is broken now.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Literal

from handlers.contract.answering import LOST_ANSWERS, takes_the_model_away
from turnout import cost
from turnout.advice import ranking
from turnout.advice.observed import Inferred, Seen, enough_keys, guessed, inferred, workload
from turnout.advice.questions import QUESTIONS
from turnout.advice.rules import Serving, excluding
from turnout.config import answers, ways
from turnout.config.capabilities import SCORES_IN_BATCH, realtime_instances
from turnout.config.specs import ModelSpec, ScheduleSpec, format_duration
from turnout.config.stages import Stage
from turnout.cost import Bill, pipeline_time
from turnout.cost.endpoints import capacity
from turnout.cost.lines import Case
from turnout.prices import Prices

Level = Literal["high", "medium", "low"]
LEVELS: tuple[Level, ...] = ("low", "medium", "high")
#: A saving below is none: USD a month, and for another mode also the share of what the model costs now.
LEAST_USD, LEAST_SHARE = 1.0, 0.05
#: Of savings that differ by no more than this share, the mode for which more speaks is proposed.
ALIKE = 0.1
#: Share of lookups that get a stale score, or none for its age, from which the schedule breaks its promise.
TOO_STALE = 0.01
#: Days that show weekdays and week-ends.
WEEK = 6.5


@dataclass(frozen=True)
class Trust:
    """One reason to trust a proposal much or little."""

    level: Level
    because: str


@dataclass(frozen=True)
class Proposal:
    """One change. `settings` are the entry's new ones by path; `saves` is USD a month, negative where it costs more.

    `range` are the savings on days like the quietest and the busiest one; `conditions` are unanswered questions, and
    how they would have to be answered.
    """

    model: str
    what: str
    because: str
    settings: Mapping[str, Any]
    now: Bill
    then: Bill
    range: tuple[float, float] | None = None
    trust: tuple[Trust, ...] = ()
    conditions: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def saves(self) -> float:
        return self.now.monthly - self.then.monthly

    @property
    def confidence(self) -> Level:
        return min((each.level for each in self.trust), key=LEVELS.index, default="high")

    def to_body(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "what": self.what,
            "because": self.because,
            "settings": {path: plain(value) for path, value in self.settings.items()},
            "usd_now": round(self.now.monthly, 2),
            "usd_then": round(self.then.monthly, 2),
            "saves_usd": round(self.saves, 2),
            "saves_range_usd": self.range and [round(each, 2) for each in self.range],
            "once_usd": round(self.then.once, 2),
            "confidence": self.confidence,
            "trust": [vars(each) for each in self.trust],
            "conditions": list(self.conditions),
            "remarks": list(self.remarks),
        }


def plain(value: Any) -> Any:
    """Return a setting as it is written in the file."""
    if isinstance(value, timedelta):
        return format_duration(value)
    return f"rate({value.rate})" if isinstance(value, ScheduleSpec) else value


def propose(seen: Seen, stage: Stage, prices: Prices) -> list[Proposal]:
    """Return what the traffic speaks for: the mode first, then settings of the mode as it is, the largest saving first.

    Settings are proposed for the mode that is deployed; they are an alternative to another mode.
    """
    case = _Case(seen, stage, prices)
    settings = [found for make in _SETTINGS if (found := make(case)) is not None]
    mode = _mode(case)
    return ([mode] if mode else []) + sorted(settings, key=lambda each: -each.saves)


class _Case:
    """A model with its own bill. `entry` is as deployed, with measured traffic and inferred answers."""

    def __init__(self, seen: Seen, stage: Stage, prices: Prices) -> None:
        self.seen, self.stage, self.prices = seen, stage, prices
        self.entry, self.inferred, self.work = guessed(seen), inferred(seen), workload(seen)
        self.known, self.facts = answers.answered(self.entry), answers.facts(self.entry)
        self.serving = answers.serving(self.entry)
        self.own = self.bill(self.entry)

    def bill(self, entry: ModelSpec, **other: Any) -> Bill:
        """Return the bill of an entry under the measured workload; `other` figures go before."""
        runs = {} if entry.schedule == self.entry.schedule else {"runs": cost.workload_of(entry).runs}
        work = replace(self.work, **{**runs, **other})
        return cost.bill(entry.mode, entry, self.stage, work, self.prices)

    def saved(self, entry: ModelSpec, **other: Any) -> float:
        return self.bill(self.entry, **other).monthly - self.bill(entry, **other).monthly

    def allows(self, serving: Serving, question: str, answer: Any) -> bool:
        """Say whether no rule excludes a way to serve if a question is answered so."""
        said = self.entry.answers.model_copy(update={question: answer})
        entry = self.entry.model_copy(update={"answers": said})
        return not any(excluding(serving, answers.answered(entry), answers.facts(entry)))

    def pays(self, saves: float) -> bool:
        """Say whether a saving is worth another mode."""
        return saves >= max(LEAST_USD, LEAST_SHARE * self.own.monthly)


def _mode(case: _Case) -> Proposal | None:
    """Return another way to serve: the one that mends a broken promise, or else the one that saves most."""
    advice = ranking.advise(case.entry, case.stage, case.prices)
    broken = list(excluding(case.serving, case.known, case.facts))
    others = [option for option in advice.options if option.open and option.serving != case.serving]
    offers = {option.serving: _offer(case, option) for option in others if option.bill.complete}
    if broken:
        found = [option for option in others if option.serving in offers]
        if not found:
            return None
        cheapest = min(found, key=lambda option: (-option.points, -offers[option.serving].saves))
        why = f"mode {case.serving} breaks what is asked of it: {broken[0].because} ({broken[0].id})"
        return replace(offers[cheapest.serving], because=why)
    points = sum(1 for _ in ranking.preferring(case.serving, case.known, case.facts))
    paying = [
        option
        for option in others
        if option.serving in offers
        and case.pays(offers[option.serving].saves)
        and (_only_the_bill(case) or option.points >= points)
        and None not in _conditions(case, option.serving)
    ]
    if not paying:
        return None
    most = max(offers[option.serving].saves for option in paying)
    alike = [option for option in paying if offers[option.serving].saves >= (1 - ALIKE) * most]
    best = max(alike, key=lambda option: (option.points, offers[option.serving].saves))
    return offers[best.serving]


def _only_the_bill(case: _Case) -> bool:
    """Say whether nothing but rules weighs against a saving: so it is unless the entry says otherwise."""
    return case.known.get("cost") in (None, "high")


def _offer(case: _Case, option: ranking.Option) -> Proposal:
    entry, seen = ways.with_settings(case.entry, option.settings), case.seen
    return Proposal(
        model=entry.name,
        what=f"{option.serving}",
        because=_who_asks(seen),
        settings=option.settings,
        now=case.own,
        then=case.bill(entry),
        range=_range(case, entry),
        trust=tuple(_trust(case, entry, _conditions(case, option.serving))),
        conditions=tuple(each for each in _conditions(case, option.serving) if each),
        remarks=tuple(_remarks(case, entry)),
    )


def _who_asks(seen: Seen) -> str:
    """Return what was asked for, as the beginning of a sentence."""
    if not seen.requests:
        return f"nobody asked it for a prediction in {seen.days:.3g} days"
    keys = f" from {_about(seen)} keys" if seen.distinct is not None and not seen.without_key else ""
    return f"this {seen.entry.mode} model gets {_count(seen.a_day)} requests a day{keys}"


def _about(seen: Seen) -> str:
    exact = seen.distinct == seen.keys.distinct
    return f"{seen.distinct:,}" if exact else f"about {_round(seen.distinct or 0):,}"


def _round(count: float) -> int:
    """Return an estimate in two digits."""
    return round(count, -max(0, int(math.log10(count)) - 1)) if count >= 100 else round(count)


def _count(number: float) -> str:
    return f"{number:,.0f}" if number >= 10 else f"{number:,.2g}"


def _range(case: _Case, entry: ModelSpec) -> tuple[float, float] | None:
    if case.seen.quiet_and_busy is None:
        return None
    both = [case.saved(entry, requests=requests) for requests in case.seen.quiet_and_busy]
    return min(both), max(both)


def _conditions(case: _Case, serving: Serving) -> list[str | None]:
    """Return how open questions would have to be answered for a way to serve; None among them: no answer lets it."""
    found: list[str | None] = []
    for name, question in QUESTIONS.items():
        guess = case.inferred.get(name)
        if (name in case.known and guess is None) or (guess is not None and guess.sure):
            continue
        fine = [choice for choice in question.choices if case.allows(serving, name, question.answer(choice))]
        if not fine:
            found.append(None)
        elif len(fine) < len(question.choices):
            found.append(_condition(name, [guess.choice] if guess else fine, guess))
    return found


def _condition(name: str, fine: list[str], guess: Inferred | None) -> str:
    meanings = " or ".join(f"`{choice}` ({QUESTIONS[name].choices[choice]})" for choice in fine)
    said = f", as it looks: {guess.because}" if guess else ""
    return f"answers.{name} is {meanings}{said}"


def _trust(case: _Case, entry: ModelSpec, conditions: list[str | None]) -> Iterator[Trust]:
    yield from _trust_in_traffic(case)
    if conditions:
        count = len(conditions)
        yield Trust("medium", f"{count} question{'s are' if count > 1 else ' is'} not answered in the entry")
    if SCORES_IN_BATCH[entry.mode] != SCORES_IN_BATCH[case.entry.mode] and case.seen.requests:
        yield Trust(enough_keys(case.seen), _key_basis(case.seen))
    unsure = [line for each in (case.own, case.bill(entry)) for line in each.unsure]
    if sum(line.usd or 0 for line in unsure) > 0.1 * max(case.own.monthly, 0.01):
        names = ", ".join(sorted({line.price for line in unsure}))
        yield Trust("medium", f"prices of which no primary source was read: {names}")
    spread = _range(case, entry)
    if spread is not None and spread[0] < 0 < spread[1]:
        yield Trust("low", "on days like the quietest or the busiest one it costs more than now")


def _trust_in_traffic(case: _Case) -> Iterator[Trust]:
    seen = case.seen
    what = f"{seen.requests:,.0f} requests in {seen.days:.3g} days"
    if seen.days < 2 or 0 < seen.requests < 100:
        yield Trust("low", f"little was seen: {what}")
    elif seen.days < WEEK:
        yield Trust("medium", f"less than a week was seen: {what}")
    else:
        yield Trust("high", what)


def _key_basis(seen: Seen) -> str:
    keys = seen.keys
    if seen.looks_up:
        return f"{seen.hits:,.0f} hits and {seen.misses:,.0f} misses were counted"
    if keys.known is not None:
        return f"of {keys.drawn:,} logged keys the newest generation has {keys.known:,}"
    return f"{keys.drawn:,} logged keys, {keys.distinct:,} of them distinct"


def _remarks(case: _Case, entry: ModelSpec) -> Iterator[str]:
    seen, lost = case.seen, 1 - (case.seen.covered or 0)
    if takes_the_model_away(case.entry.mode, entry.mode) and seen.requests:
        yield (
            f"keys without a score get 404 then ({_share(lost)} of the requests, as far as seen): the switch asks for "
            f"`acknowledge: [{LOST_ANSWERS}]`"
        )
    if SCORES_IN_BATCH[entry.mode] and not SCORES_IN_BATCH[case.entry.mode] and seen.rows is None:
        yield f"priced with {case.work.entities:,} rows a run{_up_to(case, entry)}"
    if SCORES_IN_BATCH[case.entry.mode] and answers.serving(entry).endpoint and not case.serving.endpoint:
        yield "the model answers only requests that carry features beside the key"
    if seen.model is None and answers.serving(entry).endpoint:
        yield f"the model's time of {case.work.model_seconds:g} s was not measured: no endpoint of it is up"


def _share(share: float) -> str:
    return "none" if share <= 0 else "less than 0.1%" if share < 0.001 else f"{share:.1%}"


MOST_ROWS = 10**9


def _up_to(case: _Case, entry: ModelSpec) -> str:
    """Say up to how many rows a run the change still saves money."""

    def pays(rows: int) -> bool:
        return case.bill(entry, entities=rows, transform_minutes=None).monthly < case.own.monthly

    if pays(MOST_ROWS) or not pays(case.work.entities):
        return ""
    return f"; it saves money with up to {_round(_last(pays, case.work.entities, MOST_ROWS)):,}"


def _last(holds: Callable[[int], bool], low: int, high: int) -> int:
    """Return the largest number for which something holds that holds for `low` and not for `high`."""
    while high - low > max(1, low // 100):
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def _schedule(case: _Case) -> Proposal | None:
    """Return another rate: seldomer where scores are much fresher than asked, more often where they are too old."""
    seen, entry = case.seen, case.entry
    if not SCORES_IN_BATCH[entry.mode] or entry.schedule is None or (every := answers.interval(entry.schedule)) is None:
        return None
    asked, delivered = entry.answers.freshness or entry.max_staleness, seen.age
    takes = _takes(case)
    rate = max((rate for rate in answers.RATES if rate + takes <= asked), default=None)
    too_old = seen.stale > TOO_STALE * (seen.hits + seen.stale) and seen.stale > 0
    if rate is None or (rate >= every if too_old else rate <= every):
        return None
    then = ways.with_settings(entry, settings := _rated(entry, rate))
    if not too_old and case.saved(then) < LEAST_USD:
        return None
    when = f"scores may be {_hours(asked)} old"
    got = f"95% of those handed out were younger than {_hours(timedelta(seconds=delivered.p95))}" if delivered else ""
    ran = f"runs come up to {_hours(every)} apart and take {takes.total_seconds() / 60:.3g} min"
    late = f"{seen.stale:,.0f} scores were too old" if too_old else ""
    return Proposal(
        model=entry.name,
        what=f"schedule: rate({settings['schedule'].rate})",
        because=", ".join(filter(None, (when, late or got, ran))),
        settings=settings,
        now=case.own,
        then=case.bill(then),
        range=_range(case, then),
        trust=(*_trust_in_traffic(case), *_trust_in_asked(entry)),
        conditions=tuple(_asked_condition(entry)),
        remarks=_failed_runs(seen),
    )


def _takes(case: _Case) -> timedelta:
    """Return how long a run takes by the clock: as long as the last one did, where one was seen."""
    if case.seen.run_minutes is not None:
        return timedelta(minutes=case.seen.run_minutes)
    return pipeline_time.run_time(case.entry, case.work)


def _rated(entry: ModelSpec, rate: timedelta) -> dict[str, Any]:
    return ways.with_kept_scores(entry, {"schedule": ScheduleSpec(rate=ways.rate_words(rate))})


def _hours(time: timedelta) -> str:
    hours = time.total_seconds() / 3600
    if hours < 1:
        return f"{hours * 60:.3g} min"
    return f"{hours:.3g} h" if hours < 48 else f"{hours / 24:.3g} days"


def _trust_in_asked(entry: ModelSpec) -> Iterator[Trust]:
    if entry.answers.freshness is None:
        yield Trust("medium", "1 question is not answered in the entry")


def _asked_condition(entry: ModelSpec) -> Iterator[str]:
    if entry.answers.freshness is None:
        yield f"scores may really be as old as `max_staleness` says: {format_duration(entry.max_staleness)}"


def _failed_runs(seen: Seen) -> tuple[str, ...]:
    return (f"of {seen.runs + seen.failed_runs} runs {seen.failed_runs} failed",) if seen.failed_runs else ()


#: The setting that says how many instances are always up, by the endpoint that has some.
COUNTS: dict[str | None, str] = {"realtime": "realtime.instance_count"}


def _instances(case: _Case) -> Proposal | None:
    """Return a smaller least number of instances, where the busiest minute would do with it."""
    seen, entry = case.seen, case.entry
    path = COUNTS.get(case.serving.endpoint)
    if path is None or seen.model is None:
        return None
    share = 1 - case.work.covered if SCORES_IN_BATCH[entry.mode] else 1.0
    wanted = seen.peak * share / capacity(Case(entry, case.stage, case.work, case.prices))
    least = 2 if case.known.get("failure") == "must-answer" else case.stage.min_instances
    count = max(math.ceil(wanted - 1e-9), least)
    if count >= (before := realtime_instances(entry, case.stage)):
        return None
    then = ways.with_settings(entry, {path: count})
    if case.saved(then) < LEAST_USD:
        return None
    keeps = "the entry does not say whether an outage of one instance matters (`answers.failure`)"
    open_ = "failure" not in case.known and count < 2
    return Proposal(
        model=entry.name,
        what=f"{path}: {count}",
        because=f"the busiest minute, {seen.peak:.3g} requests a second of {case.work.model_seconds:.3g} s, wants "
        f"{max(wanted, 0.01):.2f} instances of the {before} that are always up",
        settings={path: count},
        now=case.own,
        then=case.bill(then),
        range=_range(case, then),
        trust=(*_trust_in_traffic(case), *([Trust("medium", keeps)] if open_ else [])),
    )


#: What may be changed of a mode without leaving it.
_SETTINGS: tuple[Callable[[_Case], Proposal | None], ...] = (_schedule, _instances)
