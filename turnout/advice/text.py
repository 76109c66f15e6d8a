"""Advice as text: a fleet as one row for each model, a model with its reasons."""

from collections.abc import Iterable, Iterator

from turnout.advice.changing import Change
from turnout.advice.questions import QUESTIONS, Question
from turnout.advice.ranking import ORDER_WORDS, Advice, Option, lines
from turnout.config.specs import ModelSpec, format_wait
from turnout.cost.fleets import NOT_COUNTED
from turnout.cost.text import table, wrapped
from turnout.cost.workload import Workload
from turnout.prices import Prices

UNDECIDED = "-"


def fleet_lines(fleet: Iterable[Advice], prices: Prices) -> Iterator[str]:
    """Yield one row for each model, and the sum of what following the advice saves."""
    advices = list(fleet)
    rows = []
    for advice in advices:
        own, best = advice.own, advice.best
        now = _usd(own) if own else UNDECIDED
        to, then = (str(best.serving), _usd(best)) if best else (UNDECIDED, UNDECIDED)
        rows.append([advice.name, str(advice.mode), now, to, then])
    yield _heading(prices)
    yield ""
    yield from table(["model", "mode", "USD a month", "advised", "USD a month"], rows)
    yield ""
    for advice in advices:
        yield from wrapped(f"{advice.name}: {verdict(advice)}")
    yield ""
    yield from wrapped(_what_following_changes(advices))
    yield from wrapped("`turnout advise MODEL` gives the reasons and the lines to paste.")
    yield NOT_COUNTED


def _what_following_changes(fleet: Iterable[Advice]) -> str:
    advised = [advice for advice in fleet if advice.best is not None]
    saved = [advice.saved for advice in advised if advice.saved is not None]
    unknown = ", ".join(advice.name for advice in advised if advice.saved is None)
    if unknown and not saved:
        return f"What following the advice does to the bill is unknown, as prices are missing: {unknown}."
    usd = f"${-sum(saved):+,.2f}".replace("$+", "+$").replace("$-", "-$")
    beside = f", without models of which that is unknown, as prices are missing: {unknown}" if unknown else ""
    return f"Following the advice changes the bill by {usd} a month{beside}."


def verdict(advice: Advice) -> str:
    """Return the decision and its first reason in one sentence."""
    best, own = advice.best, advice.own
    if not advice.answers:
        return f"no question is answered; `turnout advise {advice.name} --ask` asks them."
    if best is None:
        return "no mode meets all answers."
    if own is not None and own.mode is best.mode:
        changed = ", with other settings" if best.settings else ""
        return f"{best.mode} is right{changed}."
    why = _against(own) if own is not None and not own.open else _for(best, advice)
    return f"use {best.serving}: {why}."


def _against(option: Option) -> str:
    if option.excluded:
        rule = option.excluded[0]
        return f"{option.mode} is out, because {rule.because} ({rule.id})"
    return f"{option.mode} is refused, because {option.refused}"


def _for(option: Option, advice: Advice) -> str:
    if option.preferred:
        rule = option.preferred[0]
        return f"{rule.because} ({rule.id})"
    return f"{ORDER_WORDS[advice.order]} ({advice.order})"


def model_lines(
    advice: Advice, spec: ModelSpec, work: Workload, changes: Iterable[Change], prices: Prices
) -> Iterator[str]:
    """Yield the decision, the modes in order with their bills, the reasons, what would change it, and what to paste."""
    yield from wrapped(f"{advice.name}: {verdict(advice)}")
    yield from _better(advice)
    yield ""
    yield _heading(prices)
    yield ""
    open_ = [option for option in advice.options if option.open]
    out = [option for option in advice.options if not option.open]
    if open_:
        rows = [[_name(option, advice), _usd(option), str(option.points)] for option in open_]
        yield from table(["keeps every promise", "USD a month", "points"], rows)
        yield ""
        for option in open_:
            for rule in option.preferred:
                yield from wrapped(f"{rule.because} ({rule.id})", f"  + {option.mode}: ", 6)
        yield from wrapped(f"{ORDER_WORDS[advice.order]} ({advice.order})", "  = ", 6)
        yield ""
    if out:
        yield "Out:"
        for option in out:
            why = [f"{rule.because} ({rule.id})" for rule in option.excluded]
            why += [option.refused] if option.refused else []
            price = "" if option.refused else f", {_usd(option)} USD"
            yield from wrapped("; ".join(why), f"  {_name(option, advice)}{price}: ", 6)
        yield ""
    yield from _what_changes(advice, changes)
    if advice.best is not None:
        yield "Paste into models.yaml:"
        yield from (f"  {line}" for line in lines(spec, advice.best))
        yield ""
    yield from wrapped(f"Rests on {', '.join(work.notes)}.")
    yield from _doubts(advice)
    yield NOT_COUNTED


def _better(advice: Advice) -> Iterator[str]:
    """Say so where the answers want a mode that the entry cannot have."""
    fits, best = advice.fits, advice.best
    if fits is not None and fits is not best:
        instead = f"Until then {best.mode} is what comes nearest." if best else ""
        yield from wrapped(f"{fits.mode} would fit best, but: {fits.refused}. {instead}".rstrip())


def _what_changes(advice: Advice, changes: Iterable[Change]) -> Iterator[str]:
    found = list(changes)
    for label, some in {
        "What would change it:": [change for change in found if not change.open],
        "Not answered, and would decide otherwise:": [change for change in found if change.open],
    }.items():
        if some:
            yield label
            for change in some:
                instead = f"{change.instead.serving} ({_usd(change.instead)} USD)" if change.instead else "no mode"
                yield from wrapped(f"{change.what} {change.becomes}{_meaning(change)} -> {instead}", "  ", 6)
            yield ""
    idle = [name for name in advice.unanswered if name not in {change.what for change in found}]
    if idle:
        yield from wrapped(f"Not answered, and would change nothing: {', '.join(idle)}.")
        yield ""


def _meaning(change: Change) -> str:
    question = QUESTIONS.get(change.what)
    return f" ({question.choices[change.becomes]})" if question else ""


def _doubts(advice: Advice) -> Iterator[str]:
    unsure = {line.price for option in advice.options if option.open for line in option.bill.unsure}
    if unsure:
        yield from wrapped(f"Not read at a primary source: {', '.join(sorted(unsure))}.")
    if not all(option.bill.complete for option in advice.options):
        yield "> lacks a price: the bill is higher, and takes no part in an order by price."


def _heading(prices: Prices) -> str:
    return f"List prices of {prices.region} as of {prices.compiled}."


def _name(option: Option, advice: Advice) -> str:
    return f"{option.serving}{' *' if option.mode is advice.mode else ''}"


def _usd(option: Option) -> str:
    if option.refused:
        return UNDECIDED
    return f"{'' if option.bill.complete else '>'}{option.bill.monthly:,.2f}"


def asking(question: Question) -> Iterator[str]:
    """Yield a question with its choices, as a person is asked."""
    yield question.asks
    for choice, meaning in question.choices.items():
        word = format_wait(sample) if (sample := _sample(question, choice)) is not None else choice
        yield f"  {word:<15}{meaning}"


def _sample(question: Question, choice: str):
    answer = question.answer(choice)
    return None if isinstance(answer, str) else answer
