"""The bill's formulas as the page runs them, and the figures of an entry that they need."""

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from handlers.contract.modes import ServingMode
from turnout.config import legality
from turnout.config.specs import ModelSpec
from turnout.config.stages import Stage
from turnout.cost import Workload, billing, entry_for
from turnout.prices import Prices
from turnout.prices.table import INSTANCES
from turnout.report import curves, pictures
from turnout.report.javascript import RUNTIME, javascript, literal

#: No mode takes requests that last longer.
MOST_SECONDS = 7200
BILL = (Path(__file__).parent / "bill.js").read_text()
#: The parts of an entry that formulas read.
PARTS = (
    "transform",
    "realtime",
    "serverless",
    "async_",
    "hybrid",
    "schedule",
    "score_precision",
    "keep_scores",
    "max_staleness",
    "refresh",
)


@cache
def program() -> str:
    """Return JavaScript in which `monthly(mode, entry, stage, work, prices)` is the bill that `turnout cost` tells.

    It has what draws the pictures too.
    """
    drawing = [curves.curves, curves.requests_grid, curves.ages_grid, pictures.break_even, pictures.freshness]
    drawing += [pictures.requests_names, pictures.freshness_names]
    translated = javascript([(billing, "_MODES"), Workload, (curves, "MONTH"), *drawing])
    return "\n".join((RUNTIME, translated, BILL))


def entry(spec: ModelSpec, mode: ServingMode) -> str:
    """Return, as JavaScript, the entry with which a mode is priced."""
    priced, _ = entry_for(spec, mode)
    return written({part: plain(getattr(priced, part)) for part in PARTS})


def stage(stage: Stage) -> str:
    return written(vars(stage))


def work(work: Workload) -> str:
    return written({name: value for name, value in vars(work).items() if name != "notes"})


def prices(table: Prices, kinds: Iterable[str]) -> str:
    """Return USD for one unit by name; of the instance types only those that are asked for."""
    wanted = {f"{INSTANCES}.{kind}" for kind in kinds}
    shown = {
        key: price.each for key, price in table.entries.items() if not key.startswith(f"{INSTANCES}.") or key in wanted
    }
    return written(shown)


def longest(spec: ModelSpec, mode: ServingMode) -> int | None:
    """Return the most seconds that the model may take for a request in a mode; None where the mode is illegal anyway.

    Beyond MOST_SECONDS nothing is asked.
    """
    priced, _ = entry_for(spec, mode)

    def refused(seconds: int | None) -> bool:
        latency = None if seconds is None else timedelta(seconds=seconds)
        entry = priced.model_copy(update={"traffic": priced.traffic.model_copy(update={"model_latency": latency})})
        return any(finding.severity == "error" for finding in legality.check_mode(entry))

    return None if refused(None) else bisect_left(range(1, MOST_SECONDS + 1), True, key=refused)


def kinds(spec: ModelSpec) -> set[str]:
    return {section.instance_type for section in (spec.transform, spec.realtime, spec.async_)}


def plain(value: Any) -> Any:
    """Return a part of an entry as dictionaries, by the names that formulas call its settings."""
    if isinstance(value, BaseModel):
        return {name: plain(getattr(value, name)) for name in type(value).model_fields}
    return value if isinstance(value, timedelta | str | bool | int | float | None) else str(value)


def written(value: Mapping[str, Any]) -> str:
    shown = literal(value)
    if shown is None:
        raise TypeError(f"these figures are not plain: {value}")
    return shown
