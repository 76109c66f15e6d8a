"""What a change does to the bill: one mode against another, or a whole `models.yaml` against an earlier one."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from turnout.cost.billing import Bill
from turnout.cost.fleets import Fleet, ModelBills
from turnout.cost.lines import UNKNOWN
from turnout.cost.pages import basis, doubts
from turnout.cost.text import by_part, dollars, total
from turnout.documents import Block, Folded, Heading, Strong, Table, Text

CENT = 0.005
#: By which a CI job finds its own comment again, to change it and not to add another.
MARKER = "<!-- turnout cost --diff -->"


@dataclass(frozen=True)
class Difference:
    """One model's bill before and after; None where there is no such model. `after.once` is what the change costs."""

    model: str
    before: Bill | None
    after: Bill | None

    @property
    def usd(self) -> float | None:
        """USD a month more than before; None where what has no known price has changed too."""
        if _missed(self.before) != _missed(self.after):
            return None
        return _monthly(self.after) - _monthly(self.before)

    @property
    def once(self) -> float:
        """USD that the change costs once: a first deployment or a switch; an update of the same mode costs nothing."""
        new = self.after is not None and (self.before is None or self.before.mode is not self.after.mode)
        return self.after.once if new else 0.0

    @property
    def action(self) -> str:
        if self.before is None or self.after is None:
            return "new" if self.before is None else "removed"
        if self.before.mode is not self.after.mode:
            return "switched"
        return "unchanged" if self.before.lines == self.after.lines else "changed"

    @property
    def complete(self) -> bool:
        return all(bill is None or bill.complete for bill in (self.before, self.after))

    @property
    def percent(self) -> str:
        """The difference in percent of what was, or how many times as much it is; empty where nothing was."""
        was = _monthly(self.before)
        if was < CENT or not self.complete:
            return ""
        times = _monthly(self.after) / was
        return f"{times:,.0f} times" if times >= 10 else f"{times - 1:+.1%}".replace("-", "−")

    def parts(self) -> list[tuple[str, float, float]]:
        """Return the parts of the bill that differ by a cent, the largest difference first: before and after."""
        before, after = (by_part(bill.lines) if bill else {} for bill in (self.before, self.after))
        both = [(part, before.get(part, 0.0), after.get(part, 0.0)) for part in {**before, **after}]
        moved = [each for each in both if abs(each[2] - each[1]) >= CENT]
        return sorted(moved, key=lambda each: -abs(each[2] - each[1]))

    def to_body(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "action": self.action,
            "before": self.before and {"mode": self.before.mode, "usd": round(self.before.monthly, 2)},
            "after": self.after and {"mode": self.after.mode, "usd": round(self.after.monthly, 2)},
            "usd": self.usd if self.usd is None else round(self.usd, 2),
            "once_usd": round(self.once, 2),
            "complete": self.complete,
            "parts": [
                {"part": part, "before": round(old, 2), "after": round(new, 2)} for part, old, new in self.parts()
            ],
        }


@dataclass(frozen=True)
class Comparison:
    """Two fleets, priced alike. `ref` names the earlier one; `absent`: there was no file then, and nothing to share."""

    ref: str
    before: Fleet
    after: Fleet
    models: tuple[Difference, ...]
    absent: bool = False

    @property
    def usd_before(self) -> float:
        return 0.0 if self.absent else self.before.monthly

    @property
    def usd(self) -> float:
        """USD a month more than before, with what the models share and without `unknown` ones."""
        shared = self.after.shared.monthly - (0.0 if self.absent else self.before.shared.monthly)
        return sum(each.usd or 0.0 for each in self.models) + shared

    @property
    def unknown(self) -> list[str]:
        """The models whose difference has no known price."""
        return [each.model for each in self.models if each.usd is None]

    @property
    def moved(self) -> list[Difference]:
        return [each for each in self.models if each.action != "unchanged"]

    def to_body(self) -> dict[str, Any]:
        head = ("stage", "region", "currency", "prices_of", "prices_age_days", "stale", "not_counted", "missing")
        whole = self.after.to_body()
        return {
            **{name: whole[name] for name in head},
            "against": self.ref,
            "usd_before": round(self.usd_before, 2),
            "usd_after": round(self.after.monthly, 2),
            "usd": round(self.usd, 2),
            "usd_is_without": self.unknown,
            "models": [each.to_body() for each in self.models],
        }


def compare(ref: str, before: Fleet, after: Fleet, *, absent: bool = False) -> Comparison:
    """Return how the declared modes of two fleets differ, by model. `absent`: there was no file at `ref`."""
    old, new = ({model.name: model for model in fleet.models} for fleet in (before, after))
    names = sorted({**old, **new})
    each = tuple(Difference(name, _own(old.get(name)), _own(new.get(name))) for name in names)
    return Comparison(ref, before, after, each, absent)


def comment(found: Comparison) -> Iterator[Block]:
    """Yield the comparison as a comment on a pull request."""
    yield Heading(f"Cost of the models: {signed(found.usd)} a month against `{found.ref}`", 2)
    if found.unknown:
        yield Text(f"That is without what is unknown, as prices are missing: {', '.join(found.unknown)}.")
    before = dollars(found.usd_before, not found.before.missing)
    after = dollars(found.after.monthly, not found.after.missing)
    new = f" (${found.after.shared.monthly:,.2f}, new as well)" if found.absent else ""
    yield Text(f"{before} a month before, {after} after, with what the models share{new}.")
    if not found.moved:
        yield Text("No model's bill changes.")
    else:
        head = ("model", "change", "before", "after", "a month", "%", "once")
        yield Table(head, tuple(_row(each) for each in found.moved), words=2)
    if same := len(found.models) - len(found.moved):
        yield Text(f"{same} {'model costs' if same == 1 else 'models cost'} what {'it' if same == 1 else 'they'} did.")
    for each in found.moved:
        if parts := each.parts():
            rows = tuple((part, f"{old:,.2f}", f"{new:,.2f}", signed(new - old)) for part, old, new in parts)
            summary = f"{each.model}: which parts of the bill"
            yield Folded(summary, (Table(("USD a month", "before", "after", "difference"), rows),))
    yield from basis(found.after)
    yield from doubts(found.after)


def _row(each: Difference) -> tuple[str, ...]:
    return (
        each.model,
        spelt(each),
        "" if each.before is None else total(each.before),
        "" if each.after is None else total(each.after),
        Strong(UNKNOWN if each.usd is None else signed(each.usd)),
        each.percent,
        f"{each.once:,.2f}" if each.once else "",
    )


def spelt(each: Difference) -> str:
    """Return what became of a model's mode."""
    if each.action == "switched":
        return f"{each.before.mode} → {each.after.mode}"
    mode = (each.after or each.before).mode
    return f"{mode} ({each.action})"


def signed(usd: float) -> str:
    """Return an amount with its sign."""
    if abs(usd) < CENT:
        return "±$0.00"
    return f"{'+' if usd > 0 else '−'}${abs(usd):,.2f}"


def _missed(bill: Bill | None) -> set[tuple[str, str, float]]:
    """Return what a bill has no price of, and how much."""
    return set() if bill is None else {(line.what, line.price, line.units) for line in bill.missing}


def _own(model: ModelBills | None) -> Bill | None:
    return None if model is None else model.own


def _monthly(bill: Bill | None) -> float:
    return 0.0 if bill is None else bill.monthly
