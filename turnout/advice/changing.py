"""What would change the decision: other answers, and other figures of the traffic, tried one at a time."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from turnout import cost
from turnout.advice.questions import QUESTIONS
from turnout.advice.ranking import Advice, Option, advise
from turnout.config.specs import ModelSpec
from turnout.config.stages import Stage
from turnout.prices import Prices

#: Figures of `traffic:` that are tried, with how they are written; the entry's own, or what is assumed of it.
FIGURES = {"requests_per_month": ("requests", "requests a month"), "entities": ("entities", "rows a run")}
FACTORS = (0.01, 0.1, 10, 100)


@dataclass(frozen=True)
class Change:
    """What else would be advised if one answer or figure were another. `open`: the question is not answered yet."""

    what: str
    becomes: str
    instead: Option | None
    open: bool = False

    def to_body(self) -> dict[str, Any]:
        instead = self.instead
        usd = None if instead is None else round(instead.bill.monthly, 2)
        return {
            "what": self.what,
            "becomes": self.becomes,
            "mode": instead and instead.mode,
            "usd": usd,
            "unanswered": self.open,
        }


def changes(advice: Advice, spec: ModelSpec, stage: Stage, prices: Prices) -> Iterator[Change]:
    """Yield each other answer, and the nearest tenth, tenfold or further of a figure, that leads to another mode."""
    written = advice.mode is not None
    for name, question in QUESTIONS.items():
        for choice in question.choices:
            if choice == advice.answers.get(name):
                continue
            entry = _with(spec, "answers", name, question.answer(choice))
            other = advise(entry, stage, prices, written=written).best
            if _differs(advice.best, other):
                yield Change(name, choice, other, name not in advice.answers)
    for setting, (figure, word) in FIGURES.items():
        yield from _figures(advice, spec, stage, prices, setting, figure, word)


def _figures(
    advice: Advice, spec: ModelSpec, stage: Stage, prices: Prices, setting: str, figure: str, word: str
) -> Iterator[Change]:
    before = getattr(cost.workload_of(spec), figure)
    for smaller in (True, False):
        for factor in sorted((each for each in FACTORS if (each < 1) is smaller), reverse=smaller):
            value = round(before * factor)
            entry = _with(spec, "traffic", setting, value)
            other = advise(entry, stage, prices, written=advice.mode is not None).best
            if _differs(advice.best, other):
                yield Change(word, f"{value:,}", other)
                break


def _differs(one: Option | None, other: Option | None) -> bool:
    return (one and one.serving) != (other and other.serving)


def _with(spec: ModelSpec, section: str, name: str, value: Any) -> ModelSpec:
    return spec.model_copy(update={section: getattr(spec, section).model_copy(update={name: value})})
