"""A plan as text for people: lines of at most 80 columns."""

import textwrap
from collections.abc import Iterable, Iterator

from turnout.cost import Bill, Line
from turnout.cost.differences import CENT, Difference, signed
from turnout.plan import Plan
from turnout.switching.parts import EXPERIENCE
from turnout.switching.transitions import Transition, spell

WIDTH = 80
_LABEL = 11


def lines(plan: Plan, *, whole: bool) -> Iterator[str]:
    """Yield a plan's lines. `whole` adds steps, resources, the bill and what it rests on."""
    change = f"{plan.before} → {plan.after}" if plan.action == "switch" else str(plan.after or plan.before)
    yield f"{plan.model}: {plan.action} ({change})"
    yield from _labelled("clients", plan.clients)
    if plan.notice is not None:
        basis = f" (From {plan.notice.basis}.)" if plan.notice.basis else ""
        yield from _labelled("last week", f"{plan.notice.sentence}{basis}")
    if plan.transition is not None:
        yield from _transition(plan.transition, whole=whole)
    if plan.cost_after is not None:
        yield from _costs(plan, whole=whole)
    for note in plan.notes:
        yield from _labelled("note", note)
    for warning in plan.warnings:
        yield from _labelled("warning", warning)
    if plan.refusal is not None:
        yield from _labelled("needs", f"{plan.refusal}.")


def _transition(switch: Transition, *, whole: bool) -> Iterator[str]:
    yield from _labelled("ready in", f"{spell(switch.seconds)} from the start of `cdk deploy`")
    if whole:
        for number, step in enumerate(switch.steps, 1):
            took = f" ({spell(step.seconds)})" if step.seconds.most else ""
            yield from _labelled("steps" if number == 1 else "", f"{number}. {step.name}: {step.what}{took}", hang=3)
        sources = [f"{s.name}: {s.seconds.source}" for s in switch.steps if s.seconds.source not in ("", EXPERIENCE)]
        yield from _labelled("times", "; ".join([EXPERIENCE, *sources]))
        for label, names in (
            ("created", switch.created),
            ("kept", switch.kept),
            ("removed", switch.removed),
            ("left", switch.left),
        ):
            if names:
                yield from _labelled(label, ", ".join(names))
    yield from _labelled("way back", f"{'instant: ' if switch.instant else ''}{switch.way_back}")


def _costs(plan: Plan, *, whole: bool) -> Iterator[str]:
    after, before = plan.cost_after, plan.cost_before
    changed = before is not None and (plan.transition is not None or before.lines != after.lines)
    was = f"{total(before)} before, " if changed else ""
    yield from _labelled("a month", f"{was}{total(after)}{' after' if was else ''} ({plan.region} list prices)")
    if was:
        yield from _labelled("changes", _difference(plan.difference))
    if not whole:
        return
    for each in ([before] if was else []) + [after]:
        yield from _labelled("", f"{each.mode}:")
        shown, rest = of_weight(each.lines)
        for line in shown:
            yield from _bill(line)
        if rest:
            small = sum(line.usd for line in rest)
            yield from _labelled("", f"{small:>10,.2f}  {len(rest)} lines of less than a cent", hang=12)
    if plan.workload is not None:
        yield from _labelled("rests on", "; ".join(plan.workload.notes))


def _difference(found: Difference) -> str:
    """Return what a plan does to the bill: by how much, by which parts, and what it costs once."""
    percent = f" ({found.percent})" if found.percent else ""
    parts = ", ".join(f"{part} {signed(after - before)}" for part, before, after in found.parts())
    once = f"; {'' if found.once >= CENT else 'less than '}${max(found.once, 0.01):,.2f} once" if found.once else ""
    if found.usd is None:
        return f"by an unknown amount, as a price is missing{': ' if parts else ''}{parts}{once}"
    return f"{signed(found.usd)} a month{percent}{': ' if parts else ''}{parts}{once}"


def of_weight(lines: Iterable[Line]) -> tuple[list[Line], list[Line]]:
    """Return the monthly lines that are worth a cent or of unknown price, and the others."""
    monthly = [line for line in lines if line.kind == "monthly"]
    shown = [line for line in monthly if line.usd is None or line.usd >= 0.01]
    return shown, [line for line in monthly if line not in shown]


def _bill(line: Line) -> Iterator[str]:
    amount = "unknown" if line.usd is None else f"{line.usd:,.2f}"
    doubt = "" if line.confidence == "verified" else f" [price: {line.confidence}]"
    yield from _labelled("", f"{amount:>10}  {line.what}: {line.how}{doubt}", hang=12)


def total(bill: Bill) -> str:
    """Return a bill's sum as text that says when a part of it has no known price."""
    at_least = "" if bill.complete else "at least "
    about = "about " if bill.complete and bill.unsure else ""
    return f"{at_least}{about}${bill.monthly:,.2f}"


def _labelled(label: str, text: str, *, hang: int = 0) -> Iterator[str]:
    head = f"  {label + ':' if label else '':<{_LABEL}}"
    yield from textwrap.wrap(
        text,
        WIDTH,
        initial_indent=head,
        subsequent_indent=" " * (len(head) + hang),
        break_long_words=False,
        break_on_hyphens=False,
        drop_whitespace=True,
    ) or [head.rstrip()]
