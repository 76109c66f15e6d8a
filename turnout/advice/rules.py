"""The rules, as data: what answers and facts exclude, and what they speak for.

A rule that excludes a mode says that it would break a promise; nothing outweighs it. Among what is left, each rule that
speaks for a mode gives it one point; `ranking` says how points and bills are weighed.
"""

from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from typing import Any, Literal

from handlers.contract.modes import ServingMode

#: Facts of an entry beside the answers, with their meaning. `turnout.config.answers.facts` finds them.
FACTS = {
    "model-too-slow": "the model takes longer for a request than callers may wait",
    "slow-model": "the model takes five seconds or more for a request",
    "kept-warm": "serverless.provisioned_concurrency covers the requests in flight at the peak",
    "no-time-to-start": "callers wait less than ten seconds",
    "rests": "so few requests come that an asynchronous endpoint is at none for one in twenty",
    "beyond-serverless": "more requests are in flight at the peak than one serverless endpoint takes",
    "few-requests": "less than one request a second",
    "scored-by-event": "refresh.on_event scores a key again at once",
    "no-run-in-time": "at no rate of ten minutes or more is a run over before the scores are too old",
    "needs-gpu": "the entry asks for a GPU instance",
}


@dataclass(frozen=True)
class Serving:
    """One way to serve: a mode, and the family of the endpoint that it keeps, if any."""

    mode: ServingMode
    endpoint: str | None = None

    def __str__(self) -> str:
        return self.mode.value if self.endpoint in (None, self.mode) else f"{self.mode} with {self.endpoint}"


@dataclass(frozen=True)
class Rule:
    """`when` all these questions have one of these answers, and `facts` hold and none of `unless` does, the rule
    excludes modes, or all that keep an endpoint of `endpoints`; or it speaks for them.

    `because` is the reason as a clause. `settings` are what a mode needs to profit, by path in the entry.
    """

    id: str
    verdict: Literal["excludes", "prefers"]
    because: str
    modes: frozenset[ServingMode] = frozenset()
    endpoints: frozenset[str] = frozenset()
    when: Mapping[str, frozenset[str]] = field(default_factory=dict)
    facts: frozenset[str] = frozenset()
    unless: frozenset[str] = frozenset()
    settings: Mapping[str, Any] = field(default_factory=dict)

    def holds(self, answers: Mapping[str, str], facts: Set[str]) -> bool:
        """Say whether the situation is the rule's. An unanswered question is no rule's."""
        asked = all(answers.get(question) in choices for question, choices in self.when.items())
        return asked and self.facts <= facts and not self.unless & facts

    def covers(self, serving: Serving) -> bool:
        return serving.mode in self.modes or serving.endpoint in self.endpoints


def _rule(id: str, verdict: Literal["excludes", "prefers"], what: str, because: str, **rest: Any) -> Rule:
    """Return a rule from words: modes by name, endpoints as `endpoint:family`; other names are questions or fields."""
    words = what.split()
    modes = frozenset(ServingMode(word) for word in words if ":" not in word)
    endpoints = frozenset(word.partition(":")[2] for word in words if ":" in word)
    settings = rest.pop("settings", {})
    sets = {name: frozenset(value.split()) for name, value in rest.items()}
    facts, unless = sets.pop("facts", frozenset()), sets.pop("unless", frozenset())
    return Rule(id, verdict, because, modes, endpoints, sets, facts, unless, settings)


def _excludes(id: str, what: str, because: str, **rest: Any) -> Rule:
    return _rule(id, "excludes", what, because, **rest)


def _prefers(id: str, what: str, because: str, **rest: Any) -> Rule:
    return _rule(id, "prefers", what, because, **rest)


RULES: tuple[Rule, ...] = (
    _excludes(
        "fresh-now", "batch precompute hybrid",
        "a score that was made before cannot hold what is known only at the moment of asking",
        freshness="now",
    ),
    _excludes(
        "fresher-than-a-job", "batch precompute",
        "scores must be younger than ten minutes, and a run of a transform job alone takes that long",
        freshness="minutes",
    ),
    _excludes(
        "fresher-than-a-hit", "hybrid",
        "scores must be younger than ten minutes, and hits are as old as the last run unless events refresh them",
        freshness="minutes", unless="scored-by-event",
    ),
    _excludes(
        "no-run-in-time", "batch precompute",
        "a run takes so long that no schedule renews scores before they are older than asked",
        facts="no-run-in-time",
    ),
    _excludes(
        "no-hit-in-time", "hybrid",
        "a run takes so long that hits grow older than asked unless events refresh them",
        facts="no-run-in-time", unless="scored-by-event",
    ),
    _excludes(
        "input-in-request", "batch precompute hybrid",
        "the inputs come with the request, so nothing can be scored before it",
        input="request upload",
    ),
    _excludes(
        "input-stored", "realtime serverless async",
        "callers have a key: the inputs lie in the data platform, scores may be as old as a run, and an endpoint would "
        "have every caller fetch and send them",
        input="stored mostly-stored", freshness="hours days", unless="no-run-in-time",
    ),
    _excludes(
        "new-keys", "batch precompute",
        "some keys are new with the request, and a lookup answers 404 to keys that no run has seen",
        input="mostly-stored", consumption="waits",
    ),
    _excludes(
        "nobody-asks", "hybrid realtime serverless async streaming tiered",
        "programs read the whole set, and nobody asks for one prediction at a time",
        consumption="whole-set",
    ),
    _excludes(
        "files-answer-nobody", "batch",
        "someone asks for single predictions, and this mode writes files that no caller can ask",
        consumption="waits later",
    ),
    _excludes(
        "caller-stands-there", "streaming endpoint:async",
        "a caller waits for the answer, and here it would have to come back for it",
        consumption="waits",
    ),
    _excludes(
        "events-flow", "batch precompute hybrid tiered endpoint:async",
        "predictions flow on as events come, and this mode waits for a run, for a lookup or in a queue",
        consumption="stream",
    ),
    _excludes(
        "under-a-second", "batch streaming endpoint:async",
        "the answer is wanted in less than a second, and here it comes with the end of a run, a window or a queue",
        latency="instant",
    ),
    _excludes(
        "cold-start", "endpoint:serverless",
        "the answer is wanted sooner than an environment starts after a quiet while, for which ten seconds are taken",
        latency="instant seconds", facts="no-time-to-start", unless="kept-warm",
    ),
    _excludes(
        "a-run-takes-minutes", "batch",
        "the answer is wanted within minutes, and a run takes minutes to start",
        latency="seconds minutes",
    ),
    _excludes(
        "asleep", "endpoint:async",
        "the answer is wanted within a minute, and with so few requests one in twenty or more finds no instance and "
        "waits minutes for it",
        latency="seconds", facts="rests",
    ),
    _excludes(
        "model-too-slow", "realtime serverless async hybrid",
        "the model takes longer than callers may wait, so that only an answer made beforehand is in time",
        facts="model-too-slow",
    ),
    _excludes(
        "too-many-in-flight", "serverless",
        "more requests are in flight at the peak than the 200 that one serverless endpoint takes",
        facts="beyond-serverless",
    ),
    _excludes(
        "no-gpu", "endpoint:serverless",
        "the entry asks for a GPU, and serverless endpoints have none",
        facts="needs-gpu",
    ),
    _prefers(
        "made-before", "batch precompute hybrid",
        "what may be hours old need not be computed while a caller waits",
        freshness="hours days",
    ),
    _prefers(
        "known-beforehand", "batch precompute",
        "all inputs lie ready, so all scores can",
        input="stored",
    ),
    _prefers(
        "cold-keys-live", "hybrid",
        "most answers come from stored scores, and the model answers for new keys",
        input="mostly-stored",
    ),
    _prefers(
        "large-inputs", "async",
        "documents are taken as uploads of up to 1 GB, and wait in a queue",
        input="upload",
    ),
    _prefers(
        "events-come", "streaming",
        "inputs are events, which it reads in micro-batches as they come",
        input="stream",
    ),
    _prefers(
        "whole-set-in-files", "batch",
        "a whole set is read from files, and nothing is up between runs",
        consumption="whole-set",
    ),
    _prefers(
        "fetched-later", "async",
        "the caller comes back for the answer, so requests may queue and instances rest",
        consumption="later",
    ),
    _prefers(
        "flows-on", "streaming",
        "it writes predictions to the output stream itself",
        consumption="stream",
    ),
    _prefers(
        "slow-model", "async",
        "the model is slow: a queue keeps callers from holding connections",
        facts="slow-model", consumption="later",
    ),
    _prefers(
        "light-then-deep", "tiered",
        "a light model answers in time, and the slow one refines it later",
        facts="model-too-slow",
    ),
    _prefers(
        "always-up", "realtime",
        "an instance that is up answers in milliseconds",
        latency="instant",
    ),
    _prefers(
        "near-real-time", "streaming",
        "seconds to minutes leave time to collect a window of events and score them together",
        latency="seconds minutes",
    ),
    _prefers(
        "starts-in-time", "serverless",
        "seconds to minutes leave time to start an environment, so none has to be up",
        latency="seconds minutes", unless="no-time-to-start",
    ),
    _prefers(
        "queues-in-time", "async",
        "seconds to minutes leave time to queue",
        latency="seconds minutes", unless="rests",
    ),
    _prefers(
        "no-hurry", "batch",
        "nobody waits: a run is done in time, on instances that stop after it",
        latency="hours",
    ),
    _prefers(
        "bursts", "serverless",
        "it follows bursts by itself and costs nothing in the quiet between",
        traffic_shape="bursty",
    ),
    _prefers(
        "busy-instance", "realtime streaming",
        "requests come all the time, so what is up is never idle",
        traffic_shape="steady", unless="few-requests",
    ),
    _prefers(
        "known-times", "batch precompute",
        "the work comes at known times: a run meets them and stops",
        traffic_shape="periodic",
    ),
    _prefers(
        "two-kinds", "hybrid",
        "the known part is scored beforehand, the live rest is asked of the model",
        traffic_shape="mixed",
    ),
    _prefers(
        "keeps-old-scores", "batch precompute hybrid",
        "when a run fails, the scores of the one before stay",
        failure="last-answer",
    ),
    _prefers(
        "repeats", "batch async",
        "a run is repeated as a whole, and a queue tries its requests again",
        failure="retry",
    ),
    _prefers(
        "caller-copes", "serverless",
        "the caller copes with a refused request, so nothing must be kept up for it",
        failure="default",
    ),
    _prefers(
        "ready-at-any-time", "precompute hybrid endpoint:realtime",
        "capacity or scores stand ready: nothing has to start before the answer",
        failure="must-answer", settings={"realtime.instance_count": 2},
    ),
    _prefers(
        "speed-pays", "realtime",
        "speed is worth an instance that is up day and night",
        cost="low",
    ),
)  # fmt: skip


def excluding(serving: Serving, answers: Mapping[str, str], facts: Set[str]) -> Iterator[Rule]:
    """Yield the rules that forbid a way to serve."""
    yield from (rule for rule in _said("excludes", answers, facts) if rule.covers(serving))


def preferring(serving: Serving, answers: Mapping[str, str], facts: Set[str]) -> Iterator[Rule]:
    """Yield the rules that speak for a way to serve."""
    yield from (rule for rule in _said("prefers", answers, facts) if rule.covers(serving))


def _said(verdict: str, answers: Mapping[str, str], facts: Set[str]) -> Iterator[Rule]:
    return (rule for rule in RULES if rule.verdict == verdict and rule.holds(answers, facts))


def contradict(one: Rule, other: Rule, ways: Iterable[Serving]) -> bool:
    """Say whether two rules, of which one asks all that the other asks, forbid and speak for one way to serve at once.

    Rules about different questions may pull apart; that is what exclusion before preference settles.
    """
    nested = _conditions(one) <= _conditions(other) or _conditions(other) <= _conditions(one)
    asked = one.when.keys() & other.when.keys()
    together = all(one.when[question] & other.when[question] for question in asked)
    apart = one.unless & other.facts or other.unless & one.facts
    both = any(one.covers(way) and other.covers(way) for way in ways)
    return one.verdict != other.verdict and nested and together and not apart and both


def _conditions(rule: Rule) -> frozenset[str]:
    return frozenset(rule.when) | rule.facts
