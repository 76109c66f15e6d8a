"""What was seen of deployed models and what it speaks for, as a person reads it, with the lines to change."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from turnout.advice.observed import Seen, inferred, workload
from turnout.advice.proposals import Proposal, plain
from turnout.config import document
from turnout.cost.fleets import NOT_COUNTED
from turnout.cost.text import wrapped
from turnout.prices import Prices


@dataclass(frozen=True)
class Edit:
    """One line of the file: what it says now and what it should say. `line` of None: it is to be added."""

    path: str
    becomes: Any
    file: str
    line: int | None
    now: str = ""

    def to_body(self) -> dict[str, Any]:
        return {
            "file": self.file,
            "line": self.line,
            "now": self.now or None,
            "path": self.path,
            "becomes": self.becomes,
        }

    def __str__(self) -> str:
        key = self.path.rpartition(".")[2]
        if self.line is None:
            return f"add to the entry in {self.file}: {self.path}: {self.becomes}"
        becomes = f"{key}: {self.becomes}" if self.now.startswith(f"{key}:") else f"{self.path}: {self.becomes}"
        return f"change {self.file}:{self.line}: `{self.now}` to `{becomes}`"


def edits(config: Path, model: str, settings: Mapping[str, Any]) -> list[Edit]:
    """Return where the settings of a model stand in the file, and what to write there."""
    tree, _ = document.read(config, str(config))
    found = []
    for path, value in settings.items():
        steps = ["models", model, *path.split(".")]
        node = tree
        for step in steps:
            node = node.get(step) if node else None
        if node is None:
            found.append(Edit(path, plain(value), str(config), None))
        else:
            file, line = tree.place(steps)
            found.append(Edit(path, plain(value), file, line, _source(Path(file), line)))
    return found


def _source(file: Path, line: int) -> str:
    return file.read_text(encoding="utf-8-sig").splitlines()[line - 1].partition(" #")[0].strip()


def body(seen: Seen, proposals: Iterable[Proposal], config: Path) -> dict[str, Any]:
    """Return what was seen and proposed, for scripts."""
    name, spreads = seen.entry.name, {"door": seen.door, "model": seen.model, "age": seen.age}
    return {
        "model": name,
        "mode": seen.entry.mode,
        "seen": {
            "begin": seen.begin.isoformat(),
            "end": seen.end.isoformat(),
            "requests": round(seen.requests),
            "requests_a_month": round(seen.a_month),
            "by_hour": {hour.isoformat(): round(count) for hour, count in seen.by_hour.items()},
            "peak_per_second": round(seen.peak, 4),
            "shape": seen.shape,
            "keys": seen.distinct,
            "covered": seen.covered,
            "hits": round(seen.hits),
            "misses": round(seen.misses),
            "stale": round(seen.stale),
            "errors": round(seen.errors),
            "max_staleness_seconds": seen.entry.max_staleness.total_seconds(),
            "seconds": {each: spread and spread.to_body() for each, spread in spreads.items()},
        },
        "inferred": {question: vars(each) for question, each in inferred(seen).items()},
        "rests_on": list(workload(seen).notes),
        "proposals": [
            {**each.to_body(), "edits": [edit.to_body() for edit in edits(config, name, each.settings)]}
            for each in proposals
        ],
    }


def lines(found: Iterable[tuple[Seen, list[Proposal]]], config: Path, prices: Prices) -> Iterator[str]:
    """Yield each model with what was seen of it, and the changes that it speaks for."""
    yield f"List prices of {prices.region} as of {prices.compiled}."
    saved = 0.0
    for seen, proposals in found:
        yield ""
        yield from wrapped(_seen(seen), f"{seen.entry.name} ({seen.entry.mode}): ")
        if not proposals:
            yield from wrapped(
                "nothing to change: no mode that keeps what is asked of it is cheaper by much", "  = ", 4
            )
        for number, each in enumerate(proposals):
            yield from _proposal(each, config, "or " if number else "")
        saved += max((each.saves for each in proposals[:1]), default=0.0)
    yield ""
    words = f"saves ${saved:,.2f}" if saved >= 0 else f"costs ${-saved:,.2f} more"
    yield f"The first proposal of each model together {words} a month."
    yield "`turnout switch MODEL MODE --dry-run` shows what callers would notice."
    yield NOT_COUNTED


def _seen(seen: Seen) -> str:
    parts = [f"{seen.requests:,.0f} requests in {seen.days:.3g} days"]
    if seen.shape:
        parts.append(seen.shape)
    if seen.requests:
        parts.append(f"{seen.peak:.2g} a second in the busiest {seen.peak_of.seconds // 60} min")
    if seen.distinct is not None:
        parts.append(f"{'about ' if seen.distinct != seen.keys.distinct else ''}{seen.distinct:,} keys")
    if seen.looks_up:
        parts.append(f"{seen.hits / (seen.hits + seen.misses):.1%} of the lookups hit")
    if seen.door:
        parts.append(f"front door {_milliseconds(seen.door.p50)} (p95 {_milliseconds(seen.door.p95)})")
    if seen.model:
        parts.append(f"model {_milliseconds(seen.model.p50)} (p95 {_milliseconds(seen.model.p95)})")
    if seen.age and seen.looks_up:
        asked = seen.entry.max_staleness.total_seconds() / 3600
        parts.append(f"scores {seen.age.p95 / 3600:.3g} h old (p95), {asked:g} h allowed, {seen.stale:,.0f} too old")
    if seen.keys.obstacle:
        parts.append(seen.keys.obstacle)
    return ", ".join(parts)


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.3g} ms"


def _proposal(proposal: Proposal, config: Path, alternative: str) -> Iterator[str]:
    saves = proposal.saves
    verb = f"saves ${saves:,.2f}" if saves >= 0 else f"costs ${-saves:,.2f} more"
    amounts = f"${proposal.then.monthly:,.2f} instead of ${proposal.now.monthly:,.2f}"
    if proposal.range and round(proposal.range[1] - proposal.range[0], 2):
        amounts += (
            f"; {_signed(proposal.range[0])} to {_signed(proposal.range[1])} on days like the quietest and busiest"
        )
    text = f"{proposal.because}: {proposal.what} {verb} a month ({amounts})"
    yield from wrapped(text, f"  > {alternative}", 4)
    reasons = "; ".join(each.because for each in proposal.trust)
    yield from wrapped(f"confidence {proposal.confidence}: {reasons}", "    ", 6)
    for condition in proposal.conditions:
        yield from wrapped(f"holds only if {condition}", "    ", 6)
    for remark in proposal.remarks:
        yield from wrapped(remark, "    ", 6)
    for edit in edits(config, proposal.model, proposal.settings):
        yield f"    {edit}"


def _signed(usd: float) -> str:
    return f"-${-usd:,.2f}" if usd < 0 else f"${usd:,.2f}"
