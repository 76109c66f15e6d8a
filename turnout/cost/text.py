"""Bills as text: a fleet as one row for each model, a model as one column for each mode."""

import textwrap
from collections.abc import Iterable, Iterator, Sequence

from handlers.contract.modes import AVAILABLE, ServingMode
from turnout.cost.billing import Bill
from turnout.cost.fleets import NOT_COUNTED, Fleet, ModelBills
from turnout.cost.lines import Line
from turnout.cost.workload import Workload, noted
from turnout.prices import SURE

WIDTH = 100
MODES = [mode for mode in ServingMode if mode in AVAILABLE]
STRUCK = "—"


def fleet_lines(fleet: Fleet) -> Iterator[str]:
    """Yield the table of all models; `*` marks the mode in the entry."""
    yield from heading(fleet)
    rows = [[model.name, *(cell(model, mode) for mode in MODES)] for model in fleet.models]
    yield from table(["USD a month", *map(str, MODES)], rows)
    yield ""
    whole = dollars(fleet.monthly, not fleet.missing)
    yield f"The fleet as it is declared (*): {whole} a month, ${fleet.shared.monthly:,.2f} of it shared."
    for model in fleet.models:
        for sentence in struck(model):
            yield from wrapped(f"{model.name}: {sentence}")
    yield from footing(fleet)
    yield from wrapped(f"Assumed where an entry's `traffic:` says nothing: {', '.join(assumptions())}.")


def model_lines(fleet: Fleet, changes: Iterable[str]) -> Iterator[str]:
    """Yield the bills of the fleet's one model side by side, then the lines of its own mode."""
    (model,) = fleet.models
    yield from heading(fleet)
    yield from side_by_side(model)
    yield ""
    for sentence in struck(model):
        yield from wrapped(sentence)
    yield f"Mode {model.mode}, line by line:"
    yield from details(model.own)
    for label, sentences in {"Rests on": model.work.notes, "What changes the answer": list(changes)}.items():
        if sentences:
            yield ""
            yield f"{label}:"
            yield from (f"  {sentence}" for sentence in sentences)
    yield from footing(fleet)


def heading(fleet: Fleet) -> Iterator[str]:
    yield f"Stage {fleet.stage}, list prices of {fleet.region} as of {fleet.compiled} ({fleet.age_days} days old)."
    if fleet.stale:
        yield f"STALE: {fleet.stale}"
    yield ""


def footing(fleet: Fleet) -> Iterator[str]:
    yield ""
    yield NOT_COUNTED
    if prices := flagged(model.own for model in fleet.models):
        yield from wrapped(f"Not read at a primary source (~): {prices}.")


def flagged(bills: Iterable[Bill]) -> str:
    """Return the prices in bills that were not read at a primary source, each with how sure it is."""
    unsure = {line.price: line.confidence for bill in bills for line in bill.unsure if line.usd is not None}
    return ", ".join(f"{price} ({confidence})" for price, confidence in sorted(unsure.items()))


def assumptions() -> list[str]:
    """Return what is taken of an entry that says nothing."""
    return [note.removesuffix(" (assumed)") for note in noted(Workload(), {}).notes]


def cell(model: ModelBills, mode: ServingMode) -> str:
    """Return a bill's sum: `*` the declared mode, `~` an unsure price in it, `>` a price that is missing."""
    bill = model.bills[mode]
    if bill.refused is not None:
        return STRUCK
    return f"{'*' if mode is model.mode else ''}{total(bill)}"


def dollars(usd: float, complete: bool = True) -> str:
    """Return an amount, marked where it lacks a price."""
    return f"{'' if complete else '> '}${usd:,.2f}"


def total(bill: Bill) -> str:
    mark = ">" if not bill.complete else "~" if bill.unsure else ""
    return f"{mark}{bill.monthly:,.2f}"


def struck(model: ModelBills) -> Iterator[str]:
    """Yield why modes are struck out, and what others would need."""
    for mode, bill in model.bills.items():
        if bill.refused is not None and mode in AVAILABLE:
            yield f"{mode} {STRUCK} {bill.refused}"
        elif bill.needs:
            yield f"{mode}: priced with `{', '.join(bill.needs)}`, which the entry would need"


def side_by_side(model: ModelBills) -> Iterator[str]:
    """Yield what the modes cost by the part that charges for it, then the sums of a month and once."""
    lawful = [mode for mode in MODES if model.bills[mode].refused is None]
    sums = {mode: by_part(model.bills[mode].lines) for mode in lawful}
    parts = list(dict.fromkeys(part for each in sums.values() for part in each))
    rows = [[part, *(_amount(sums[mode].get(part)) for mode in lawful)] for part in parts]
    rows.append(["a month", *(cell(model, mode) for mode in lawful)])
    rows.append(["once", *(f"{model.bills[mode].once:,.2f}" for mode in lawful)])
    yield from table([f"{model.name}, USD", *map(str, lawful)], rows)


def by_part(lines: Iterable[Line]) -> dict[str, float]:
    """Return the monthly USD of each part, which a line names before its colon."""
    sums: dict[str, float] = {}
    for line in lines:
        if line.kind == "monthly":
            part = line.what.partition(":")[0]
            sums[part] = sums.get(part, 0) + (line.usd or 0)
    return sums


def _amount(usd: float | None) -> str:
    return "" if usd is None else f"{usd:,.2f}"


def details(bill: Bill) -> Iterator[str]:
    """Yield every line with its units, price and the reason of its units, monthly ones first."""
    for kind, label in (("monthly", ""), ("once", " once")):
        for line in sorted((line for line in bill.lines if line.kind == kind), key=lambda line: -(line.usd or 0)):
            amount = "unknown" if line.usd is None else f"{line.usd:,.4f}"
            doubt = "" if line.confidence == SURE else f" [{line.confidence}]"
            text = f"{line.what}: {line.how}; {line.units:,.6g} x {line.price}{doubt}"
            yield from wrapped(text, f"{amount:>12}{label}  ", 16)


def wrapped(text: str, start: str = "", hang: int = 2) -> Iterator[str]:
    """Yield a text in lines of WIDTH; names and paths are not cut."""
    yield from textwrap.wrap(
        text,
        WIDTH,
        initial_indent=start,
        subsequent_indent=" " * hang,
        break_long_words=False,
        break_on_hyphens=False,
    )


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield aligned columns, the first to the left and amounts to the right."""
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    for row in [head, *rows]:
        first, *amounts = (
            f"{text:<{width}}" if not i else f"{text:>{width}}"
            for i, (text, width) in enumerate(zip(row, widths, strict=True))
        )
        yield "  ".join([first, *amounts]).rstrip()
