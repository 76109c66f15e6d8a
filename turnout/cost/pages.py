"""A fleet's bills as a document: what every mode of every model costs, and each declared mode line by line."""

from collections.abc import Iterable, Iterator

from turnout.cost.billing import Bill
from turnout.cost.fleets import NOT_COUNTED, Fleet, ModelBills
from turnout.cost.text import MODES, STRUCK, assumptions, by_part, dollars, flagged, struck, total
from turnout.documents import Block, Folded, Heading, Items, Strong, Table, Text
from turnout.prices import SURE

LEGEND = "Bold is the declared mode; ~ holds a price that was not read at a primary source, > lacks a price."


def bills(fleet: Fleet, changes: Iterable[str] = ()) -> Iterator[Block]:
    """Yield the document of a fleet. `changes` are sentences about its one model, if it has only one."""
    yield Heading("What the models cost a month")
    yield from basis(fleet)
    yield Table(("USD a month", *map(str, MODES)), tuple(_row(model) for model in fleet.models))
    yield Text(LEGEND)
    yield Text(
        f"The fleet as it is declared: {dollars(fleet.monthly, not fleet.missing)} a month, "
        f"${fleet.shared.monthly:,.2f} of it shared."
    )
    if reasons := tuple(f"{model.name}: {sentence}" for model in fleet.models for sentence in struck(model)):
        yield Items(reasons)
    for model in fleet.models:
        own = dollars(model.own.monthly, model.own.complete)
        yield Folded(f"{model.name}: {model.mode}, {own} a month", tuple(_details(model)))
    if sentences := tuple(changes):
        yield Heading("What changes the answer", 2)
        yield Items(sentences)
    yield from doubts(fleet)
    yield Text(f"Assumed where an entry's `traffic:` says nothing: {', '.join(assumptions())}.")


def basis(fleet: Fleet) -> Iterator[Block]:
    yield Text(
        f"Stage {fleet.stage}, list prices of {fleet.region} as of {fleet.compiled} ({fleet.age_days} days old)."
    )
    if fleet.stale:
        yield Text(f"STALE: {fleet.stale}")
    if fleet.missing:
        yield Text(f"Prices are missing: {' '.join(fleet.missing)}")


def doubts(fleet: Fleet) -> Iterator[Block]:
    yield Text(NOT_COUNTED)
    if prices := flagged(model.own for model in fleet.models):
        yield Text(f"Not read at a primary source (~): {prices}.")


def _row(model: ModelBills) -> tuple[str, ...]:
    return (model.name, *(_cell(model, mode) for mode in MODES))


def _cell(model: ModelBills, mode: str) -> str:
    bill = model.bills[mode]
    if bill.refused is not None:
        return STRUCK
    return Strong(total(bill)) if mode is model.mode else total(bill)


def _details(model: ModelBills) -> Iterator[Block]:
    lawful = {mode: by_part(bill.lines) for mode, bill in model.lawful.items() if mode in MODES}
    parts = dict.fromkeys(part for sums in lawful.values() for part in sums)
    rows = [(part, *(f"{sums[part]:,.2f}" if part in sums else "" for sums in lawful.values())) for part in parts]
    rows.append(("a month", *(Strong(total(model.bills[mode])) for mode in lawful)))
    rows.append(("once", *(f"{model.bills[mode].once:,.2f}" for mode in lawful)))
    yield Table(("USD", *map(str, lawful)), tuple(rows))
    yield Text(f"Mode {model.mode}, line by line:")
    yield lines(model.own)
    yield Items(model.work.notes)


def lines(bill: Bill) -> Table:
    """Return every line of a bill, the dearest first, one-off ones last."""
    ordered = sorted(bill.lines, key=lambda line: (line.kind == "once", -(line.usd or 0)))
    rows = (
        (
            line.what + (" (once)" if line.kind == "once" else ""),
            line.how,
            f"`{line.price}`" + ("" if line.confidence == SURE else f" ({line.confidence})"),
            f"{line.units:,.6g}",
            "unknown" if line.usd is None else f"{line.usd:,.4f}",
        )
        for line in ordered
    )
    return Table(("line", "units", "price", "count", "USD"), tuple(rows), words=3)
