"""From an entry and its answers to modes in order, each with its bill, its reasons and the lines to paste."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from handlers.contract.modes import ServingMode
from turnout import cost
from turnout.advice.questions import QUESTIONS
from turnout.advice.rules import Rule, Serving, excluding, preferring
from turnout.config import answers, legality, ways
from turnout.config.capabilities import LIMITS, SCORES_IN_BATCH
from turnout.config.specs import ModelSpec, ScheduleSpec, format_wait
from turnout.config.stages import Stage
from turnout.config.ways import value_at, with_settings
from turnout.cost import Bill
from turnout.cost.endpoints import capacity
from turnout.cost.lines import Case
from turnout.prices import Prices


@dataclass(frozen=True)
class Option:
    """One way to serve. It is open to the entry unless rules exclude it or `refused` says why it is illegal.

    `settings` are those that the entry would have to gain or change for it, by path; with them `bill` was made.
    """

    serving: Serving
    bill: Bill
    excluded: tuple[Rule, ...]
    preferred: tuple[Rule, ...]
    refused: str | None
    settings: Mapping[str, Any]

    @property
    def open(self) -> bool:
        return not self.excluded and self.refused is None

    @property
    def points(self) -> int:
        return len(self.preferred)

    @property
    def mode(self) -> ServingMode:
        return self.serving.mode

    def to_body(self) -> dict[str, Any]:
        return {
            "mode": self.mode,
            "endpoint": self.serving.endpoint,
            "open": self.open,
            "points": self.points,
            "usd": None if self.refused else round(self.bill.monthly, 2),
            "complete": self.bill.complete,
            "refused": self.refused,
            "excluded": [_said(rule) for rule in self.excluded],
            "preferred": [_said(rule) for rule in self.preferred],
            "settings": dict(self.settings),
        }


def _said(rule: Rule) -> dict[str, str]:
    return {"rule": rule.id, "because": rule.because}


@dataclass(frozen=True)
class Advice:
    """What is advised for one entry: `options` in order, one for each mode, the open ones first."""

    name: str
    mode: ServingMode | None  # None: an entry that is yet to be written
    answers: Mapping[str, str]
    facts: frozenset[str]
    options: tuple[Option, ...]
    order: str  # the rule by which open options stand in order

    @property
    def best(self) -> Option | None:
        """The mode to take; None where every one is excluded or illegal, or nothing has been answered."""
        return self.options[0] if self.answers and self.options[0].open else None

    @property
    def fits(self) -> Option | None:
        """The mode that the answers want most: the best, or one that is illegal here and for which more speaks."""
        least = self.best.points if self.best else -1
        wanted = [each for each in self.options if self.answers and each.refused and not each.excluded]
        return max((each for each in wanted if each.points > least), key=lambda each: each.points, default=self.best)

    @property
    def own(self) -> Option | None:
        """The mode in the entry."""
        return next((option for option in self.options if option.mode is self.mode), None)

    @property
    def saved(self) -> float | None:
        """USD a month that the advised mode costs less than the entry's; negative: more. None: nothing to compare, or a
        price of one of them is missing.
        """
        if self.best is None or self.own is None or self.own.refused is not None:
            return None
        if not (self.own.bill.complete and self.best.bill.complete):
            return None
        return self.own.bill.monthly - self.best.bill.monthly

    @property
    def missing(self) -> list[str]:
        """What has no known price of the entry's mode and of the advised one: those sums are too small."""
        told = {option.mode: option for option in (self.own, self.best) if option is not None}
        return [f"{self.name}: {line.what}: {line.how}" for each in told.values() for line in each.bill.missing]

    @property
    def unanswered(self) -> list[str]:
        return [name for name in QUESTIONS if name not in self.answers]

    def to_body(self) -> dict[str, Any]:
        return {
            "model": self.name,
            "mode": self.mode,
            "advised": self.best and self.best.mode,
            "fits_best": self.fits and self.fits.mode,
            "answers": dict(self.answers),
            "unanswered": self.unanswered,
            "facts": sorted(self.facts),
            "order": self.order,
            "saves_usd": self.saved if self.saved is None else round(self.saved, 2),
            "options": [option.to_body() for option in self.options],
        }


Key = Callable[[Option], tuple[float, ...]]


def _price(option: Option) -> float:
    return round(option.bill.monthly, 2) if option.bill.complete else float("inf")


#: How open options are put in order, by the answer about the bill: name of the rule, and its key.
ORDERS: dict[str | None, tuple[str, Key]] = {
    "high": ("cheapest-first", lambda option: (_price(option), -option.points)),
    "medium": ("fit-then-price", lambda option: (-option.points, _price(option))),
    "low": ("fit-then-price", lambda option: (-option.points, _price(option))),
    None: ("fit-then-price", lambda option: (-option.points, _price(option))),
}
ORDER_WORDS = {
    "cheapest-first": "the bill matters most: of the modes that keep every promise, the cheapest",
    "fit-then-price": "of the modes that keep every promise, the one for which most speaks; among equals, the cheaper",
}


def advise(spec: ModelSpec, stage: Stage, prices: Prices, *, written: bool = True) -> Advice:
    """Return the modes in order for an entry's answers. What is illegal or excluded never stands before what is open.

    `written` is false for an entry that is yet to be written: its mode and schedule stand for nothing.
    """
    known, facts = answers.answered(spec), answers.facts(spec)
    name, key = ORDERS[known.get("cost")]

    def place(option: Option) -> tuple[float, ...]:
        return (not option.open, len(option.excluded), option.refused is not None, *key(option))

    entry = spec if written else spec.model_copy(update={"schedule": None})
    best: dict[ServingMode, Option] = {}
    for way in answers.ways(spec):
        option = _option(way, entry, known, facts, stage, prices, written)
        if way.mode not in best or place(option) < place(best[way.mode]):
            best[way.mode] = option
    options = tuple(sorted(best.values(), key=place))
    return Advice(spec.name, spec.mode if written else None, known, facts, options, name)


def _option(
    way: Serving,
    spec: ModelSpec,
    known: Mapping[str, str],
    facts: frozenset[str],
    stage: Stage,
    prices: Prices,
    written: bool,
) -> Option:
    preferred = tuple(preferring(way, known, facts))
    settings = ways.needed(spec, way) | _wanted(spec, way, preferred)
    if not written:
        settings = {"mode": way.mode, **settings}
    entry = with_settings(spec, settings)
    work = cost.workload_of(entry)
    room = _room(Case(entry, stage, work, prices), way)
    settings |= {path: min(need, LIMITS[path].most or need) for path, need in room.items()}
    entry = with_settings(entry, settings)
    refused = "; ".join(finding.reason for finding in legality.refusals(entry, spec)) or None
    bill = Bill(way.mode, refused=refused) if refused else cost.bill(way.mode, entry, stage, work, prices)
    broken = tuple(excluding(way, known, facts)) or _beyond(room)
    return Option(way, bill, broken, preferred, refused, settings)


def _wanted(spec: ModelSpec, way: Serving, preferred: tuple[Rule, ...]) -> dict[str, Any]:
    """Return the least values that rules ask of the way's endpoint, where the entry has less."""
    found = {}
    for rule in preferred:
        for path, least in rule.settings.items():
            if path.partition(".")[0] == way.endpoint and (value_at(spec, path) or 0) < least:
                found[path] = least
    most = found.get("realtime.instance_count", 0)
    return found | ({"realtime.max_instances": most} if most > spec.realtime.max_instances else {})


def _room(case: Case, way: Serving) -> dict[str, int]:
    """Return the upper bound that an endpoint needs at the peak, where the entry states traffic and allows less; it may
    be more than AWS does.
    """
    traffic, work = case.spec.traffic, case.work
    if way.endpoint not in _ROOM or (traffic.requests_per_month is None and traffic.peak_per_second is None):
        return {}
    peak = work.peak * (1 - work.covered if SCORES_IN_BATCH[way.mode] else 1)
    path, wanted = _ROOM[way.endpoint](case, peak)
    need = math.ceil(wanted - 1e-9)
    return {path: need} if need > value_at(case.spec, path) else {}


def _beyond(room: Mapping[str, int]) -> tuple[Rule, ...]:
    """Return what excludes a way whose endpoint needs more at the peak than AWS lets one have."""
    return tuple(
        Rule("beyond-limit", "excludes", f"the peak wants {need:,} of {path}, and AWS's limit is {LIMITS[path].most}")
        for path, need in room.items()
        if LIMITS[path].most is not None and need > LIMITS[path].most
    )


#: How much of what an endpoint needs at a peak, in requests a second, by its family.
_ROOM: dict[str | None, Callable[[Case, float], tuple[str, float]]] = {
    "realtime": lambda case, peak: ("realtime.max_instances", peak / capacity(case)),
    "serverless": lambda case, peak: ("serverless.max_concurrency", peak * case.work.model_seconds),
    "async": lambda case, peak: (
        "async.max_instances",
        peak * case.work.model_seconds / case.spec.async_.max_concurrent_per_instance,
    ),
}


def lines(spec: ModelSpec, option: Option) -> list[str]:
    """Return the lines of `models.yaml` that make an option so, with the answers that led to it."""
    said = {name: getattr(spec.answers, name) for name in QUESTIONS}
    whole: dict[str, Any] = {"mode": option.mode}
    for path, value in option.settings.items():
        section, _, key = path.rpartition(".")
        (whole.setdefault(section, {}) if section else whole)[key] = value
    whole["answers"] = {name: answer for name, answer in said.items() if answer is not None}
    found = ["models:", f"  {spec.name}:"]
    for key, value in whole.items():
        if isinstance(value, dict):
            found += (
                [f"    {key}:", *(f"      {name}: {_written(each)}" for name, each in value.items())] if value else []
            )
        else:
            found.append(f"    {key}: {_written(value)}")
    return found


def _written(value: Any) -> str:
    if isinstance(value, timedelta):
        return format_wait(value)
    if isinstance(value, bool):
        return str(value).lower()
    return f"rate({value.rate})" if isinstance(value, ScheduleSpec) else str(value)
