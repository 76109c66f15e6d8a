"""Pictures as SVG. They take their colours from the page, so that they are right in light and in dark.

The page draws `break_even` and `freshness` anew when a slider moves, in the language that turnout.report.javascript
translates; `fleet` and `alone` are Python's alone.
"""

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from turnout.cost.text import dollars
from turnout.report.curves import Crossing, Curves

STYLE = (Path(__file__).parent / "pictures.css").read_text()
WIDTH, HEIGHT = 460, 300
LEFT, RIGHT, TOP, BOTTOM = 44, 374, 20, 262
LABEL_HEIGHT = 13
AGES = [(600, "10 min"), (3600, "1 h"), (21600, "6 h"), (86400, "1 day"), (604800, "1 week"), (2592000, "30 d")]


def break_even(curves: Curves, own: str, here: float | None) -> str:
    """Draw USD a month over requests a month."""
    xs = curves["xs"]
    ticks = [(x, short(x)) for x in decades(xs[0], xs[len(xs) - 1])]
    return plot(curves, own, here, ticks, "requests a month", "Monthly cost against requests a month, by mode")


def freshness(curves: Curves, own: str, here: float | None) -> str:
    """Draw USD a month over the age that a score may have."""
    xs = curves["xs"]
    ticks = [(x, name) for x, name in AGES if xs[0] <= x * 1.001 and x <= xs[len(xs) - 1] * 1.001]
    return plot(curves, own, here, ticks, "a score is this old at most", "Monthly cost against freshness, by mode")


def requests_names(crossings: list[Crossing]) -> list[str]:
    """Name the crossings of `break_even`, in the order of their numbers."""
    return [
        f"{each['below']} = {each['above']} at {rounded(each['x']):,.0f} requests a month (${each['usd']:,.2f}): "
        f"with fewer, {each['below']} is cheaper; with more, {each['above']}"
        for each in crossings
    ]


def freshness_names(crossings: list[Crossing]) -> list[str]:
    """Name the crossings of `freshness`, in the order of their numbers."""
    return [
        f"{each['below']} = {each['above']} at {age(each['x'])} (${each['usd']:,.2f}): if fresher, "
        f"{each['below']} is cheaper; if older, {each['above']}"
        for each in crossings
    ]


def plot(curves: Curves, own: str, here: float | None, ticks: list[tuple[float, str]], axis: str, title: str) -> str:
    """Draw every mode's curve with its name, both axes in logarithms, and a numbered mark at each crossing."""
    wide, high = [curves["xs"][0], curves["xs"][len(curves["xs"]) - 1]], amounts(curves)
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img"><title>{title}</title>',
        axes(wide, high, ticks, axis),
        standing(here, wide),
        lines(curves, own, wide, high),
        marks(curves["crossings"], wide, high),
        names(curves, own, high),
        "</svg>",
    ]
    return "".join(parts)


def axes(wide: list[float], high: list[float], ticks: list[tuple[float, str]], axis: str) -> str:
    parts = [f'<text x="2" y="11">USD a month</text><text class="mid" x="209" y="{HEIGHT - 5}">{axis}</text>']
    for usd in decades(high[0], high[1]):
        y = place(usd, high, BOTTOM, TOP)
        parts.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{RIGHT}"/>')
        parts.append(f'<text class="end" x="{LEFT - 5}" y="{y + 4:.1f}">${short(usd)}</text>')
    for x, name in ticks:
        at = place(x, wide, LEFT, RIGHT)
        parts.append(f'<path class="grid" d="M{at:.1f} {TOP}V{BOTTOM}"/>')
        parts.append(f'<text class="mid" x="{at:.1f}" y="{BOTTOM + 15}">{name}</text>')
    return "".join(parts)


def standing(here: float | None, wide: list[float]) -> str:
    """Mark where the entry stands."""
    if here is None or here < wide[0] or here > wide[1]:
        return ""
    at = place(here, wide, LEFT, RIGHT)
    return f'<path class="here" d="M{at:.1f} {TOP}V{BOTTOM}"/><text class="mid" x="{at:.1f}" y="{TOP - 7}">now</text>'


def lines(curves: Curves, own: str, wide: list[float], high: list[float]) -> str:
    parts = []
    for name, usd in curves["usd"].items():
        points = []
        for step in range(len(usd)):
            x, y = place(curves["xs"][step], wide, LEFT, RIGHT), place(usd[step], high, BOTTOM, TOP)
            points.append(f"{x:.1f} {y:.1f}")
        drawn = "curve own" if name == own else "curve"
        parts.append(f'<path class="{drawn} {name}" d="M{"L".join(points)}"/>')
    return "".join(parts)


def marks(crossings: list[Crossing], wide: list[float], high: list[float]) -> str:
    """Number the crossings; a mark that would lie on another stands above it."""
    parts, before = [], [[-99.0, -99.0]]
    for step in range(len(crossings)):
        x, y = place(crossings[step]["x"], wide, LEFT, RIGHT), place(crossings[step]["usd"], high, BOTTOM, TOP)
        parts.append(f'<circle class="point" cx="{x:.1f}" cy="{y:.1f}" r="2.5"/>')
        top = y - 10
        for _ in range(3 * len(crossings)):
            if sum(abs(x - each[0]) < 14 and abs(top - each[1]) < 14 for each in before):
                top = top - 5
        before.append([x, top])
        parts.append(f'<circle class="mark" cx="{x:.1f}" cy="{top:.1f}" r="6.5"/>')
        parts.append(f'<text class="mid number" x="{x:.1f}" y="{top + 3.5:.1f}">{step + 1}</text>')
    return "".join(parts)


def names(curves: Curves, own: str, high: list[float]) -> str:
    """Write each mode's name at the end of its curve, apart from the others'."""
    ends = [[mode, place(usd[len(usd) - 1], high, BOTTOM, TOP)] for mode, usd in curves["usd"].items()]
    ends = sorted(ends, key=lambda each: each[1])
    parts, y = [], 0.0
    for step in range(len(ends)):
        name, wanted = ends[step]
        room = BOTTOM - LABEL_HEIGHT * (len(ends) - 1 - step)
        y = min(max(wanted, y + LABEL_HEIGHT), room) if step else min(wanted, room)
        drawn = "name own" if name == own else "name"
        parts.append(f'<text class="{drawn} {name}" x="{RIGHT + 5}" y="{y + 4:.1f}">{name}</text>')
    return "".join(parts)


def amounts(curves: Curves) -> list[float]:
    """Return the least and the most of an axis on which all amounts have room: whole powers of ten."""
    least, most = 1e9, 0.02
    for usd in curves["usd"].values():
        for each in usd:
            least, most = min(least, each), max(most, each)
    first, last = math.floor(math.log10(max(least, 0.01))), math.ceil(math.log10(most))
    return [10.0**first, 10.0 ** max(last, first + 1)]


def place(value: float, ends: list[float], start: float, end: float) -> float:
    """Return where a value lies on an axis in logarithms, and at its end what lies beyond."""
    share = math.log10(max(value, ends[0]) / ends[0]) / math.log10(ends[1] / ends[0])
    return start + (end - start) * min(share, 1)


def decades(least: float, most: float) -> list[float]:
    first, last = math.ceil(math.log10(least) - 1e-9), math.floor(math.log10(most) + 1e-9)
    return [10.0**power for power in range(first, last + 1)]


def short(value: float) -> str:
    if value >= 1e9:
        return f"{value / 1e9:.3g}bn"
    if value >= 1e6:
        return f"{value / 1e6:.3g}M"
    return f"{value / 1e3:.3g}k" if value >= 1e3 else f"{value:.3g}"


def age(seconds: float) -> str:
    if seconds >= 86400:
        return f"{seconds / 86400:.3g} days"
    return f"{seconds / 3600:.3g} h" if seconds >= 3600 else f"{seconds / 60:.3g} min"


def rounded(value: float) -> float:
    """Return a value to three digits."""
    step = 10.0 ** (math.floor(math.log10(value)) - 2)
    return math.floor(value / step + 0.5) * step


@dataclass(frozen=True)
class Bar:
    """One model: USD a month now and as advised, each with the words that stand beside its bar, and whether all prices
    of it are known.
    """

    name: str
    now: float
    advised: float
    mode: str
    other: str
    complete: tuple[bool, bool] = (True, True)

    @property
    def change(self) -> float:
        """USD a month between the two; nothing is known of it where a price is missing."""
        return abs(self.now - self.advised) if all(self.complete) else 0.0


#: Models that get bars of their own; the others are one bar together.
BARS = 12
BAR_HEIGHT, BAR_LEFT, BAR_RIGHT = 12, 126, 265


def fleet(bars: Sequence[Bar]) -> str:
    """Draw the fleet as it is against the fleet as it is advised, where most changes first."""
    shown = sorted(bars, key=lambda bar: (-bar.change, -bar.now))
    if len(shown) > BARS:
        rest = shown[BARS - 1 :]
        now, advised = (sum(each) for each in zip(*((bar.now, bar.advised) for bar in rest), strict=True))
        complete = tuple(all(each) for each in zip(*(bar.complete for bar in rest), strict=True))
        others = Bar(f"{len(rest)} others", now, advised, "", "", complete)
        shown = [*shown[: BARS - 1], others]
    most = max((max(bar.now, bar.advised) for bar in shown), default=0) or 1
    height = len(shown) * 38 + 4
    rows = "".join(_row(bar, number * 38 + 4, most) for number, bar in enumerate(shown))
    title = "Monthly cost of each model, now and as advised"
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="img"><title>{title}</title>{rows}</svg>'


def _row(bar: Bar, top: int, most: float) -> str:
    name = bar.name if len(bar.name) <= 16 else f"{bar.name[:15]}…"
    label = f'<text class="end" x="{BAR_LEFT - 6}" y="{top + 17}"><title>{html.escape(bar.name)}</title>'
    parts = [f"{label}{html.escape(name)}</text>"]
    for number, (usd, mode) in enumerate(((bar.now, bar.mode), (bar.advised, bar.other))):
        y = top + number * (BAR_HEIGHT + 2)
        wide = max((BAR_RIGHT - BAR_LEFT) * usd / most, 1)
        drawn = "bar now" if number == 0 else "bar"
        parts.append(f'<rect class="{drawn} {mode}" x="{BAR_LEFT}" y="{y}" width="{wide:.1f}" height="{BAR_HEIGHT}"/>')
        amount = dollars(usd, bar.complete[number])
        words = f"{amount} {mode}" if number == 0 else f"{amount} {mode}, advised"
        parts.append(f'<text x="{BAR_LEFT + wide + 5:.1f}" y="{y + 10}">{html.escape(words)}</text>')
    return "".join(parts)


def alone(picture: str, named: Sequence[str] = ()) -> str:
    """Return a picture as a file of its own, with its colours and, beneath it, the names of its crossings."""
    head, _, rest = picture.partition(">")
    width, height = map(float, head.split('"')[1].split()[2:])
    texts = [line for number, name in enumerate(named, 1) for line in _split(f"{number}  {name}")]
    below = "".join(
        f'<text x="8" y="{height + 16 + 15 * row}">{html.escape(line)}</text>' for row, line in enumerate(texts)
    )
    tall = height + 15 * len(texts) + (12 if texts else 0)
    start = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {tall:g}" role="img">'
    return f'{start}<style>{STYLE}</style><rect class="paper" width="100%" height="100%"/>{rest[:-6]}{below}</svg>\n'


def _split(text: str) -> list[str]:
    """Return a sentence in two lines that fit under a plot."""
    first, _, second = text.partition(": ")
    return [f"{first}:", f"    {second}"] if second else [first]
