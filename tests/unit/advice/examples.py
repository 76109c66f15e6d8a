"""Situations and the mode that must be advised for each; the tables of docs/advice.md are written from them.

`pytest tests/unit/advice --update-golden` after a change. `wanted` is what the answers want; where this release cannot
deploy that, `until_then` is what it must advise instead. A month's requests and the model's latency come with each.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from handlers.contract.modes import AVAILABLE
from turnout import prices
from turnout.advice.ranking import Advice, advise
from turnout.advice.rules import FACTS, RULES
from turnout.config import STAGES
from turnout.config.specs import ModelSpec

PAGE = Path(__file__).parents[3] / "docs/advice.md"
MILLION = 1_000_000
QUESTIONS = ("freshness", "input", "consumption", "cost", "failure", "traffic_shape", "latency")


@dataclass(frozen=True)
class Example:
    """One situation. `answers` are seven words in the order of the questions, `-` for one that is left open."""

    name: str
    answers: str
    wanted: str
    until_then: str | None = None
    requests: int | None = None
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def expected(self) -> str:
        """What this release must advise."""
        known = self.wanted.partition(" ")[0] in AVAILABLE
        return self.wanted if known or self.until_then is None else self.until_then

    @property
    def given(self) -> dict[str, str]:
        answers = zip(QUESTIONS, self.answers.split(), strict=True)
        return {question: answer for question, answer in answers if answer != "-"}

    def spec(self, **other: Any) -> ModelSpec:
        """Return an entry in this situation, in a mode that is never advised."""
        traffic = {} if self.requests is None else {"requests_per_month": self.requests}
        traffic |= self.settings.get("traffic", {})
        whole = {"name": "example", "mode": "batch", "schedule": "rate(1 day)", "key": "id", "features": ["x"]}
        return ModelSpec.model_validate(whole | self.settings | {"answers": self.given, "traffic": traffic} | other)

    def advice(self, **other: Any) -> Advice:
        return advise(self.spec(**other), STAGES["prod"], prices.load())


def _slow(latency: str) -> dict[str, Any]:
    return {"traffic": {"model_latency": latency}}


#: The decisions that the articles make.
DECISIONS = (
    Example("transaction fraud", "now request waits low must-answer steady 400ms", "realtime", requests=100 * MILLION),
    Example("search ranking", "now request waits medium default steady 300ms", "realtime", requests=50 * MILLION),
    Example("dynamic pricing", "now request waits low last-answer bursty 500ms", "realtime", requests=5 * MILLION),
    Example(
        "content moderation before publish", "now request waits medium must-answer bursty 900ms", "realtime",
        requests=2 * MILLION,
    ),
    Example(
        "product recommendation on click", "now request waits medium default steady 900ms", "realtime",
        requests=30 * MILLION,
    ),
    Example("instant credit scoring", "now request waits low must-answer bursty 800ms", "realtime", requests=200_000),
    Example("chatbots", "now request waits low default bursty 900ms", "realtime", requests=MILLION),
    Example("daily churn scores", "1d stored whole-set high retry periodic 6h", "batch"),
    Example("weekly credit scoring from nightly ETL", "7d stored whole-set high retry periodic 12h", "batch"),
    Example("six-hourly recommendations", "6h stored whole-set medium last-answer periodic 1h", "batch"),
    Example("... looked up by a page", "6h stored waits medium last-answer periodic 100ms", "precompute"),
    Example("batch fraud reports", "1d stored whole-set medium retry periodic 6h", "batch"),
    Example("daily risk scores", "1d stored whole-set medium last-answer periodic 6h", "batch"),
    Example("e-mail campaign personalisation", "7d stored whole-set high retry periodic 1d", "batch"),
    Example("lead ranking", "1d stored whole-set high last-answer periodic 1d", "batch"),
    Example(
        "IoT sensor stream classification", "5s stream stream medium default steady 1s", "streaming", "realtime",
        requests=26 * MILLION,
    ),
    Example(
        "live leaderboards", "10s stream stream medium last-answer steady 5s", "streaming", "realtime",
        requests=26 * MILLION,
    ),
    Example(
        "telemetry anomaly detection", "30s stream stream medium retry steady 5s", "streaming", "realtime",
        requests=50 * MILLION,
    ),
    Example(
        "slow models", "now request later medium retry bursty 5m", "async", requests=20_000, settings=_slow("40s")
    ),
    Example("documents to process", "now upload later medium retry bursty 5m", "async", requests=20_000),
    Example("callers who tolerate seconds to minutes", "now request later medium retry bursty 2m", "async"),
    Example("95 % from the cache, 5 % cold start live", "1d mostly-stored waits medium last-answer mixed 2s", "hybrid"),
    Example(
        "... each within a second", "1d mostly-stored waits medium last-answer mixed 300ms", "hybrid with realtime"
    ),
    Example(
        "batch candidate lists refined live", "1d mostly-stored waits low default mixed 500ms", "hybrid with realtime"
    ),
)  # fmt: skip

#: How long an answer may take decides among what serves live requests; the first three rows have nothing else to go by.
LATENCY = (
    Example("under 1 s", "- - - - - - 500ms", "realtime"),
    Example("1 s to minutes", "- - - - - - 30s", "serverless"),
    Example("minutes to hours", "- - - - - - 6h", "batch"),
    Example("under 1 s, a caller waits", "now request waits - - - 500ms", "realtime"),
    Example("1 s to minutes, a caller waits", "now request waits - - - 10s", "serverless"),
    Example("1 s to minutes, fetched later", "now request later - - - 5m", "async"),
    Example("1 s to minutes, a stream", "10s stream stream - - - 10s", "streaming", "serverless"),
    Example("under 1 s, scored beforehand", "1d stored waits - - - 100ms", "precompute"),
)

#: The shape of the traffic, with nothing else to go by, and where the bill decides by how much there is.
TRAFFIC = (
    Example("bursty", "- - - - - bursty -", "serverless"),
    Example("periodic", "- - - - - periodic -", "batch"),
    Example("mixed", "- - - - - mixed -", "hybrid"),
    Example("steady", "- - - - - steady -", "realtime"),
    Example("steady, little, live", "now request waits - - steady 10s", "serverless", requests=100_000),
    Example("steady, much, live", "now request waits - - steady 10s", "realtime", requests=100 * MILLION),
    Example("in bursts, under 1 s, live", "now request waits - - bursty 500ms", "realtime", requests=100_000),
)

#: What the bill decides, and never at the price of a promise.
MONEY = (
    Example("little traffic, speed unasked", "now request waits high - - 10s", "serverless", requests=10_000),
    Example("much traffic, speed unasked", "now request waits high - - 10s", "realtime", requests=100 * MILLION),
    Example("little traffic, under 1 s", "now request waits high - - 300ms", "realtime", requests=1000),
    Example("a model slower than callers wait", "1d mostly-stored waits high - - 300ms", "tiered", "none",
            settings=_slow("2s")),
    Example("... whose inputs are stored", "1d stored waits high - - 300ms", "precompute", settings=_slow("2s")),
    Example("a GPU", "now request waits high - bursty 10s", "realtime",
            settings={"realtime": {"instance_type": "ml.g4dn.xlarge"}}),
    Example("fetched within a minute, rarely", "now request later - - - 30s", "serverless", requests=500),
    Example("a thousand in flight", "now request waits high - - 10s", "realtime", requests=10 * MILLION,
            settings={"traffic": {"peak_per_second": 1000, "model_latency": "1s"},
                      "realtime": {"concurrent_requests_per_model": 40}}),
    Example("refreshed by events", "5m mostly-stored waits medium last-answer mixed 2s", "hybrid",
            settings={"refresh": {"on_event": True}}),
    Example("an hour's scores of a run that takes longer", "1h mostly-stored waits - - - -", "serverless",
            settings={"traffic": {"entities": 100 * MILLION}}),
)  # fmt: skip

TABLES = {"decisions": DECISIONS, "latency": LATENCY, "traffic": TRAFFIC, "money": MONEY}
ALL = tuple(example for table in TABLES.values() for example in table)


def said(example: Example) -> str:
    """Return what is advised, as the examples spell it."""
    best = example.advice().best
    if best is None:
        return "none"
    return str(best.serving) if " " in example.expected else str(best.mode)


def table(examples: Sequence[Example]) -> str:
    """Return the situations as Markdown with the advisor's own answer, its price and its reasons."""
    head = ["situation", *(question.replace("_", " ") for question in QUESTIONS), "advised", "USD a month", "because"]
    return _markdown([head, *(_row(example) for example in examples)])


def _row(example: Example) -> list[str]:
    advice = example.advice()
    best = advice.best
    name = example.name if example.requests is None else f"{example.name}, {example.requests:,} requests a month"
    if best is None:
        return [name, *example.answers.split(), "none that is available", "", _wish(advice)]
    reasons = [f"`{rule.id}`" for rule in best.preferred] or [f"`{advice.order}`"]
    return [name, *example.answers.split(), f"`{best.serving}`{_wish(advice)}", f"{best.bill.monthly:,.2f}",
            ", ".join(reasons)]  # fmt: skip


def _wish(advice: Advice) -> str:
    fits, best = advice.fits, advice.best
    return f" until there is `{fits.mode}`" if fits is not None and fits is not best else ""


def rules() -> str:
    """Return every rule as a row."""
    rows = [["rule", "when", "verdict", "because"]]
    for rule in RULES:
        when = [
            f"{question.replace('_', ' ')} is {' or '.join(sorted(words))}" for question, words in rule.when.items()
        ]
        when += [FACTS[fact] for fact in sorted(rule.facts)]
        when += [f"not that {FACTS[fact]}" for fact in sorted(rule.unless)]
        whom = [f"`{mode}`" for mode in sorted(rule.modes)] + [f"every `{each}` endpoint" for each in rule.endpoints]
        verb = {"excludes": "excludes", "prefers": "speaks for"}[rule.verdict]
        rows.append([f"`{rule.id}`", "; ".join(when), f"{verb} {', '.join(whom)}", rule.because])
    return _markdown(rows)


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    head, *rest = rows
    return "".join(f"| {' | '.join(row)} |\n" for row in [head, ["---"] * len(head), *rest])


def fill(page: str) -> str:
    """Return the page with the current tables between its marks."""
    for name, text in {**{name: table(each) for name, each in TABLES.items()}, "rules": rules()}.items():
        marks = rf"(<!-- {name} -->\n).*?(<!-- end of {name} -->)"
        page, count = re.subn(marks, lambda found, text=text: found[1] + text + found[2], page, flags=re.DOTALL)
        assert count == 1, f"{PAGE.name} has no marks for {name}"
    return page
