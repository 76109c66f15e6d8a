"""The report as one HTML file: it needs no network, works from disk, prints, and follows light and dark."""

import html
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from handlers.contract.modes import AVAILABLE, ServingMode
from turnout.advice import changing, ranking, text
from turnout.advice.questions import QUESTIONS
from turnout.config.capabilities import SCORES_IN_BATCH
from turnout.config.specs import ModelSpec
from turnout.config.stages import Stage
from turnout.cost import Fleet, ModelBills, fleet, pages
from turnout.cost.lines import UNKNOWN
from turnout.cost.text import STRUCK, dollars, struck, total
from turnout.documents import Block, Folded, Heading, Items, Strong, Table, Text, fragment
from turnout.prices import Prices
from turnout.report import curves, formulas, pictures

FOLDER = Path(__file__).parent
STYLE = (FOLDER / "page.css").read_text()
SCRIPT = (FOLDER / "page.js").read_text()
#: How a model counts of which nobody knows what its advice saves.
COUNTED = "They count as they are declared."
#: What sliders move: the figure of a workload, its name, its unit, and how many of that are one of the figure's.
SLIDERS = (
    ("requests", "Requests a month", "", 1),
    ("entities", "Rows a run (entities)", "", 1),
    ("model_seconds", "Model latency", "ms", 1000),
)


@dataclass(frozen=True)
class Part:
    """What the report says of one model."""

    model: ModelBills
    spec: ModelSpec
    advice: ranking.Advice
    changes: tuple[changing.Change, ...]
    requests: curves.Curves
    ages: curves.Curves

    @property
    def advised(self) -> ranking.Option | None:
        """What is advised and can be compared: its prices are all known."""
        best = self.advice.best
        return best if best is not None and best.bill.complete else None

    @property
    def then(self) -> float:
        """USD a month if the advice is followed; as it is now where what that saves is unknown."""
        return self.model.own.monthly - (self.saved or 0.0)

    @property
    def saved(self) -> float | None:
        """USD a month that the advice saves; None where a price of what is, or of what is advised, is missing."""
        if self.advice.best is None:
            return 0.0
        if self.advised is None or not self.model.own.complete:
            return None
        return self.model.own.monthly - self.advised.bill.monthly

    @property
    def age(self) -> float | None:
        """Seconds between the entry's runs; None in a mode without."""
        runs = self.model.work.runs
        return curves.MONTH / runs if SCORES_IN_BATCH[self.model.mode] and runs else None


@dataclass(frozen=True)
class Report:
    fleet: Fleet
    stage: Stage
    prices: Prices
    parts: tuple[Part, ...]

    @property
    def then(self) -> float:
        """USD a month of the fleet as it is advised."""
        return sum(part.then for part in self.parts) + self.fleet.shared.monthly

    @property
    def unknown(self) -> str:
        """The models of which nobody knows what the advice saves."""
        return ", ".join(part.model.name for part in self.parts if part.saved is None)

    @property
    def bars(self) -> list[pictures.Bar]:
        return [_bars(part) for part in self.parts]


def _bars(part: Part) -> pictures.Bar:
    own, best = part.model.own, part.advice.best
    then = own if best is None else best.bill
    mode = part.model.mode if best is None else best.mode
    return pictures.Bar(
        part.model.name, own.monthly, then.monthly, part.model.mode, mode, (own.complete, then.complete)
    )


def report(
    models: Mapping[str, ModelSpec], stage: Stage, prices: Prices, today: date, *, requests: int | None = None
) -> Report:
    """Return all that the page tells. `requests` a month go before what the entries say."""
    specs = {name: _asked(spec, requests) for name, spec in models.items()}
    whole = fleet(specs, stage, prices, today)
    return Report(whole, stage, prices, tuple(_part(each, specs[each.name], stage, prices) for each in whole.models))


def _asked(spec: ModelSpec, requests: int | None) -> ModelSpec:
    if requests is None:
        return spec
    return spec.model_copy(update={"traffic": spec.traffic.model_copy(update={"requests_per_month": requests})})


def _part(model: ModelBills, spec: ModelSpec, stage: Stage, prices: Prices) -> Part:
    advice = ranking.advise(spec, stage, prices)
    changes = tuple(changing.changes(advice, spec, stage, prices)) if advice.best else ()
    over = (curves.over_requests, curves.over_freshness)
    return Part(model, spec, advice, changes, *(each(model, spec, stage, prices) for each in over))


def files(report: Report) -> dict[str, str]:
    """Return every picture as an SVG file by name."""
    found = {"fleet.svg": pictures.alone(pictures.fleet(report.bars))}
    for part in report.parts:
        name, own = part.model.name, part.model.mode
        over, named = part.requests, pictures.requests_names(part.requests["crossings"])
        found[f"break-even-{name}.svg"] = pictures.alone(
            pictures.break_even(over, own, part.model.work.requests), named
        )
        over, named = part.ages, pictures.freshness_names(part.ages["crossings"])
        found[f"freshness-{name}.svg"] = pictures.alone(pictures.freshness(over, own, part.age), named)
    return found


def page(report: Report) -> str:
    """Return the page."""
    body = "\n".join([*_head(report), *(piece for part in report.parts for piece in _model(part)), *_foot(report)])
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:">
<link rel="icon" href="data:,">
<title>What the models cost</title>
<style>
{pictures.STYLE}{STYLE}</style>
</head>
<body>
{body}
<script>
{script(report)}
</script>
</body>
</html>
"""


def script(report: Report) -> str:
    """Return what the page runs: the formulas, the figures of every model, and the sliders."""
    kinds = set().union(*(formulas.kinds(part.spec) for part in report.parts)) if report.parts else set()
    figures = "\n".join(
        (
            f"const stage = {formulas.stage(report.stage)};",
            f"const prices = {formulas.prices(report.prices, kinds)};",
            f"const models = {{{', '.join(_figures(part) for part in report.parts)}}};",
        )
    )
    return "\n".join((formulas.program(), figures.replace("</", "<\\/"), SCRIPT))


def _figures(part: Part) -> str:
    """Return what the page has to know of a model. It leaves out modes that are illegal whatever the sliders say."""
    limits = {mode: formulas.longest(part.spec, mode) for mode in ServingMode if mode in AVAILABLE}
    entries = ", ".join(
        f'"{mode}": {{longest: {seconds}, entry: {formulas.entry(part.spec, mode)}}}'
        for mode, seconds in limits.items()
        if seconds is not None
    )
    own, work = part.model.mode, formulas.work(part.model.work)
    batch = json.dumps(bool(SCORES_IN_BATCH[own]))
    return f'{json.dumps(part.model.name)}: {{own: "{own}", runs: {batch}, work: {work}, modes: {{{entries}}}}}'


def _head(report: Report) -> Iterator[str]:
    saved, whole = report.fleet.monthly - report.then, not report.fleet.missing
    yield "<header>"
    yield fragment([Heading("What the models cost"), *pages.basis(report.fleet)])
    less = "less" if saved >= 0 else "more"
    known = any(part.saved is not None for part in report.parts) or not report.parts
    yield _tiles(
        {
            "a month as declared": dollars(report.fleet.monthly, whole),
            "a month as advised": dollars(report.then, whole) if known else UNKNOWN,
            f"a year {less}": dollars(abs(saved) * 12) if known else UNKNOWN,
        }
    )
    if report.unknown:
        yield fragment([Text(f"What advice saves is unknown, as prices are missing, of: {report.unknown}. {COUNTED}")])
    yield "</header>"
    yield fragment([Heading("The fleet, now and as advised", 2)])
    yield f'<div class="figures"><figure>{pictures.fleet(report.bars)}</figure></div>'
    yield fragment([_advised(report.parts), *_every_mode(report)])


def _tiles(amounts: Mapping[str, str]) -> str:
    each = (f"<p><b>{html.escape(amount)}</b> {html.escape(what)}</p>" for what, amount in amounts.items())
    return f'<div class="tiles">{"".join(each)}</div>'


def _advised(parts: Iterable[Part]) -> Table:
    rows = []
    for part in parts:
        to = str(part.advice.best.serving) if part.advice.best else STRUCK
        own = part.model.own
        then = total(part.advice.best.bill) if part.advice.best else total(own)
        saved = UNKNOWN if part.saved is None else f"{part.saved:,.2f}"
        rows.append((part.model.name, str(part.model.mode), to, total(own), then, saved))
    return Table(("model", "declared", "advised", "USD a month", "as advised", "saves"), tuple(rows), words=3)


def _every_mode(report: Report) -> Iterator[Block]:
    modes = [mode for mode in ServingMode if mode in AVAILABLE]
    yield Heading("Every mode of every model", 2)
    rows = tuple((part.model.name, *(_cell(part.model, mode) for mode in modes)) for part in report.parts)
    yield Table(("USD a month", *map(str, modes)), rows)
    yield Text(pages.LEGEND)
    shared = report.fleet.shared.monthly
    yield Text(f"${shared:,.2f} a month of the fleet's bill is shared by all models, and is in the sums above.")
    if reasons := tuple(f"{part.model.name}: {each}" for part in report.parts for each in struck(part.model)):
        yield Folded("Modes that are struck out, and what others would need", (Items(reasons),))


def _cell(model: ModelBills, mode: ServingMode) -> str:
    bill = model.bills[mode]
    if bill.refused is not None:
        return STRUCK
    return Strong(total(bill)) if mode is model.mode else total(bill)


def _model(part: Part) -> Iterator[str]:
    model, name = part.model, html.escape(part.model.name)
    yield f'<section id="{name}" data-model="{name}">'
    own = dollars(model.own.monthly, model.own.complete)
    yield fragment([Heading(f"{model.name}: {model.mode}, {own} a month", 2), *_decision(part)])
    yield from _what_if(part)
    named = pictures.requests_names(part.requests["crossings"])
    drawn = pictures.break_even(part.requests, model.mode, model.work.requests)
    yield f'<div class="figures">{_figure("requests", "Break-even", drawn, named)}'
    named = pictures.freshness_names(part.ages["crossings"])
    drawn = pictures.freshness(part.ages, model.mode, part.age)
    yield f"{_figure('ages', 'Cost against freshness', drawn, named)}</div>"
    yield from _details(part)
    yield "</section>"


def _figure(over: str, title: str, drawn: str, named: Sequence[str]) -> str:
    items = "".join(f"<li>{html.escape(each)}</li>" for each in named)
    head = f"<figcaption>{title}</figcaption>"
    return f'<figure data-over="{over}">{head}<div class="drawn">{drawn}</div><ol>{items}</ol></figure>'


def _what_if(part: Part) -> Iterator[str]:
    yield '<div class="whatif"><div class="sliders" hidden>'
    for figure, words, unit, times in SLIDERS:
        label = f"{words}{f', {unit}' if unit else ''}"
        yield (
            f'<label><span>{label}</span><input type="number" min="0" step="any" data-figure="{figure}" '
            f'data-times="{times}"><input type="range" min="-60" max="60" value="0" data-figure="{figure}" '
            f'data-times="{times}" aria-label="{label}"></label>'
        )
    yield '<button type="button">As declared</button></div><div class="wide"><table class="bars"><tbody>'
    most = max((each.monthly for each in part.model.lawful.values()), default=0) or 1
    yield from (_bar(part.model, mode, most) for mode in ServingMode if mode in AVAILABLE)
    yield "</tbody></table></div></div>"


def _bar(model: ModelBills, mode: ServingMode, most: float) -> str:
    bill = model.bills[mode]
    own = ' class="own"' if mode is model.mode else ""
    refused = "" if bill.refused is None else html.escape(bill.refused)
    bar = f'{"hidden " if refused else ""}style="width:{100 * bill.monthly / most:.2f}%"'
    shown = STRUCK if refused else dollars(bill.monthly, bill.complete)
    return (
        f'<tr data-mode="{mode}"{own}><th>{mode}</th><td><i class="{mode}" {bar}></i>'
        f'<small>{refused}</small></td><td class="n">{shown}</td></tr>'
    )


def _decision(part: Part) -> Iterator[Block]:
    advice = part.advice
    yield Text(f"Advice: {text.verdict(advice)}")
    saved, best = part.saved, advice.best
    if saved is None:
        costs = dollars(best.bill.monthly, best.bill.complete)
        yield Text(f"{best.serving} costs {costs} a month; what that saves is unknown, as a price is missing.")
    elif abs(saved) >= 0.005:
        less = "less" if saved > 0 else "more"
        yield Text(f"{best.serving} costs ${part.then:,.2f} a month, ${abs(saved):,.2f} {less} than now.")


def _details(part: Part) -> Iterator[str]:
    advice = part.advice
    if advice.answers:
        yield fragment([Folded("Why: the reasons, mode by mode", tuple(_reasons(part)))])
    if part.changes:
        yield fragment([Folded("What would change the advice", (Items(tuple(map(_change, part.changes))),))])
    if advice.best and advice.best.settings:
        lines = html.escape("\n".join(ranking.lines(part.spec, advice.best)))
        yield f"<details><summary>Lines to paste into models.yaml</summary><pre>{lines}</pre></details>"
    own = part.model.own
    yield fragment([Folded(f"The bill of {own.mode}, line by line", (pages.lines(own),))])
    yield fragment([Folded("What the figures rest on", (Items(part.model.work.notes),))])


def _reasons(part: Part) -> Iterator[Block]:
    answered = (f"{QUESTIONS[name].asks} `{word}`: {QUESTIONS[name].choices[word]}" for name, word in _said(part))
    yield Items(tuple(answered))
    for option in part.advice.options:
        if option.mode not in AVAILABLE:
            continue
        reasons = [*(rule.because for rule in option.excluded), *([option.refused] if option.refused else [])]
        price = "" if option.refused else f", {dollars(option.bill.monthly, option.bill.complete)} a month"
        if option.open:
            reasons = [rule.because for rule in option.preferred]
        yield Text(f"{option.serving} ({'keeps every promise' if option.open else 'is out'}{price})")
        yield Items(tuple(reasons))
    yield Text(f"The order: {ranking.ORDER_WORDS[part.advice.order]}.")


def _said(part: Part) -> list[tuple[str, str]]:
    return [(name, part.advice.answers[name]) for name in QUESTIONS if name in part.advice.answers]


def _change(change: changing.Change) -> str:
    instead = "no mode" if change.instead is None else str(change.instead.serving)
    question = QUESTIONS.get(change.what)
    meaning = f" ({question.choices[change.becomes]})" if question else ""
    return f"{change.what}: {change.becomes}{meaning} leads to {instead}"


def _foot(report: Report) -> Iterator[str]:
    yield "<footer>"
    yield fragment(list(pages.doubts(report.fleet)))
    yield fragment([Text("Sliders reckon in this page, by the formulas of `turnout cost`; nothing is sent anywhere.")])
    yield "</footer>"
