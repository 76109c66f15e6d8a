"""What a mode costs over requests a month and over freshness, and where two modes cost the same.

`meeting` and `grid` are run by the page too (turnout.report.formulas), in the language that turnout.report.javascript
translates.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from handlers.contract.modes import AVAILABLE, ServingMode
from turnout.config.capabilities import SCORES_IN_BATCH
from turnout.config.specs import ModelSpec
from turnout.config.stages import Stage
from turnout.cost import DAYS, ModelBills, Workload, bill, entry_for
from turnout.prices import Prices

#: Factors of an entry's requests between which the curves run, and points for each tenfold.
LESS, MORE, POINTS = 1e-3, 1e3, 8
#: Seconds between runs, at least and at most: a transform job alone takes about ten minutes.
FRESHEST, OLDEST = 600, 30 * 86400
#: Halvings of an interval between two points: a crossing is known to a ten-thousandth then.
HALVINGS = 14
MONTH = DAYS * 86400


@dataclass(frozen=True)
class Crossing:
    """Where two modes cost the same: `x` in the plot's unit, and the mode that is cheaper below and above it."""

    x: float
    usd: float
    below: ServingMode
    above: ServingMode


@dataclass(frozen=True)
class Curves:
    """USD a month of each mode over `xs`; `here` is where the entry stands, None if nowhere."""

    xs: tuple[float, ...]
    usd: Mapping[ServingMode, tuple[float, ...]]
    crossings: tuple[Crossing, ...]
    here: float | None
    own: ServingMode


def over_requests(model: ModelBills, spec: ModelSpec, stage: Stage, prices: Prices) -> Curves:
    """Return bills over requests a month, a thousandth to the thousandfold of the entry's; all else stays."""
    least = 10 ** math.floor(math.log10(max(model.work.requests, 1e4) * LESS))
    xs = grid(least, least * MORE / LESS)
    costs = {mode: _cost(mode, spec, stage, prices, model.work, with_requests) for mode in drawn(model)}
    return _curves(xs, costs, model.work.requests or None, model.mode)


def over_freshness(model: ModelBills, spec: ModelSpec, stage: Stage, prices: Prices) -> Curves:
    """Return bills over the age that a prediction may have: runs come so often. Modes without runs do not mind."""
    work = model.work
    xs = grid(max(FRESHEST, 60 * work.minutes_of_a_run(spec.transform.instance_count)), OLDEST)
    costs = {mode: _cost(mode, spec, stage, prices, work, with_age) for mode in drawn(model)}
    here = MONTH / work.runs if SCORES_IN_BATCH[model.mode] and work.runs else None
    return _curves(xs, costs, here, model.mode)


def drawn(model: ModelBills) -> list[ServingMode]:
    """Return the modes that the entry may have and whose prices are all known."""
    return [mode for mode, each in model.lawful.items() if mode in AVAILABLE and each.complete]


def with_requests(work: Workload, x: float) -> Workload:
    return replace(work, requests=x)


def with_age(work: Workload, x: float) -> Workload:
    return replace(work, runs=MONTH / x)


Cost = Callable[[float], float]


def _cost(
    mode: ServingMode, spec: ModelSpec, stage: Stage, prices: Prices, work: Workload, at: Callable[..., Workload]
) -> Cost:
    entry, _ = entry_for(spec, mode)
    return lambda x: bill(mode, entry, stage, at(work, x), prices).monthly


def _curves(xs: list[float], costs: dict[ServingMode, Cost], here: float | None, own: ServingMode) -> Curves:
    usd = {mode: tuple(cost(x) for x in xs) for mode, cost in costs.items()}
    pairs = [(one, other) for one in costs for other in costs if one < other]
    found = [crossing for one, other in pairs for crossing in _crossings(xs, usd, costs, one, other)]
    return Curves(tuple(xs), usd, tuple(sorted(found, key=lambda each: each.x)), here, own)


def _crossings(
    xs: list[float],
    usd: Mapping[ServingMode, tuple[float, ...]],
    costs: Mapping[ServingMode, Cost],
    one: ServingMode,
    other: ServingMode,
) -> list[Crossing]:
    found = []
    for x in meetings(xs, usd[one], usd[other], costs[one], costs[other]):
        cheaper = costs[one](x * 0.999) < costs[other](x * 0.999)
        found.append(Crossing(x, costs[one](x), *((one, other) if cheaper else (other, one))))
    return found


def grid(least: float, most: float) -> list[float]:
    """Return points evenly apart in logarithms, both ends among them."""
    count = math.ceil(POINTS * math.log(most / least) / math.log(10) - 1e-9)
    return [least * (most / least) ** (step / count) for step in range(count + 1)]


def meetings(xs: list[float], left: list[float], right: list[float], one: Cost, other: Cost) -> list[float]:
    """Return the points at which two curves cross. `left` and `right` are what `one` and `other` are at `xs`."""
    found = []
    for step in range(1, len(xs)):
        was, now = left[step - 1] - right[step - 1], left[step] - right[step]
        if was * now < 0:
            found.append(meeting(one, other, xs[step - 1], xs[step]))
    return found


def meeting(one: Cost, other: Cost, low: float, high: float) -> float:
    """Return the point between two others at which two curves change places."""
    cheaper = one(low) < other(low)
    for _ in range(HALVINGS):
        middle = math.sqrt(low * high)
        if (one(middle) < other(middle)) == cheaper:
            low = middle
        else:
            high = middle
    return math.sqrt(low * high)
