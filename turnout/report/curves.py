"""What a mode costs over requests a month and over freshness, and where two modes cost the same.

The page runs `grid`, `curves` and what they call too, in the language that turnout.report.javascript translates.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypedDict

from handlers.contract.modes import AVAILABLE
from turnout.config.specs import ModelSpec
from turnout.config.stages import Stage
from turnout.cost import DAYS, ModelBills, Workload, bill, entry_for
from turnout.prices import Prices

#: Factors of an entry's requests between which curves run, and points for each tenfold.
LESS, MORE, POINTS = 1e-3, 1e3, 8
#: Seconds between runs, at least and at most: a transform job alone takes about ten minutes.
FRESHEST, OLDEST = 600, 30 * 86400
#: Halvings of an interval between two points: a crossing is known to a ten-thousandth then.
HALVINGS = 14
MONTH = DAYS * 86400

#: From a point to USD a month.
Cost = Callable[[float], float]


class Crossing(TypedDict):
    """A point at which two modes cost the same; which one is cheaper `below` it, and which `above`."""

    x: float
    usd: float
    below: str
    above: str


class Curves(TypedDict):
    """USD a month of each mode at each of `xs`."""

    xs: list[float]
    usd: dict[str, list[float]]
    crossings: list[Crossing]


def over_requests(model: ModelBills, spec: ModelSpec, stage: Stage, prices: Prices) -> Curves:
    """Return bills over requests a month, about a thousandth to the thousandfold of the entry's; all else stays."""
    return curves(requests_grid(model.work.requests), _costs(model, spec, stage, prices, with_requests))


def over_freshness(model: ModelBills, spec: ModelSpec, stage: Stage, prices: Prices) -> Curves:
    """Return bills over the seconds that a score may be old: runs come so often. Modes without runs do not mind."""
    xs = ages_grid(model.work.minutes_of_a_run(spec.transform.instance_count))
    return curves(xs, _costs(model, spec, stage, prices, with_age))


def with_requests(work: Workload, x: float) -> Workload:
    return replace(work, requests=x)


def with_age(work: Workload, x: float) -> Workload:
    return replace(work, runs=MONTH / x)


def _costs(
    model: ModelBills, spec: ModelSpec, stage: Stage, prices: Prices, at: Callable[[Workload, float], Workload]
) -> dict[str, Cost]:
    """Return what each mode costs at a point: modes that the entry may have and whose prices are all known."""
    drawn = [mode for mode, each in model.lawful.items() if mode in AVAILABLE and each.complete]
    entries = {mode: entry_for(spec, mode)[0] for mode in drawn}
    return {
        mode: lambda x, mode=mode: bill(mode, entries[mode], stage, at(model.work, x), prices).monthly for mode in drawn
    }


def requests_grid(requests: float) -> list[float]:
    least = 10 ** math.floor(math.log10(max(requests, 1e4) * LESS))
    return grid(least, least * MORE / LESS)


def ages_grid(minutes_of_a_run: float) -> list[float]:
    """Return seconds between runs; a run is over before the next begins."""
    return grid(min(max(FRESHEST, 60 * minutes_of_a_run), OLDEST / 2), OLDEST)


def grid(least: float, most: float) -> list[float]:
    """Return points evenly apart in logarithms, both ends among them."""
    count = math.ceil(POINTS * math.log10(most / least) - 1e-9)
    return [least * (most / least) ** (step / count) for step in range(count + 1)]


def curves(xs: list[float], costs: Mapping[str, Cost]) -> Curves:
    usd = {mode: [cost(x) for x in xs] for mode, cost in costs.items()}
    found = []
    for one, left in usd.items():
        for other, right in usd.items():
            if one < other:
                for x in meetings(xs, left, right, costs[one], costs[other]):
                    found.append(crossing(x, one, other, costs[one], costs[other]))
    return {"xs": xs, "usd": usd, "crossings": sorted(found, key=lambda each: each["x"])}


def meetings(xs: list[float], left: list[float], right: list[float], one: Cost, other: Cost) -> list[float]:
    """Return the points at which two curves cross. `left` and `right` are what `one` and `other` are at `xs`."""
    found = []
    for step in range(1, len(xs)):
        was, now = left[step - 1] - right[step - 1], left[step] - right[step]
        if was * now < 0:
            found.append(meeting(xs[step - 1], xs[step], one, other))
    return found


def meeting(low: float, high: float, one: Cost, other: Cost) -> float:
    """Return the point between two others at which two curves change places."""
    cheaper = one(low) < other(low)
    for _ in range(HALVINGS):
        middle = math.sqrt(low * high)
        if (one(middle) < other(middle)) == cheaper:
            low = middle
        else:
            high = middle
    return math.sqrt(low * high)


def crossing(x: float, one: str, other: str, cost: Cost, rival: Cost) -> Crossing:
    if cost(x * 0.999) < rival(x * 0.999):
        return {"x": x, "usd": cost(x), "below": one, "above": other}
    return {"x": x, "usd": cost(x), "below": other, "above": one}
