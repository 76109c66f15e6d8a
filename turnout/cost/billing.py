"""Bills: which lines make up a mode, and which modes an entry may have at all."""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

from handlers.contract.modes import ServingMode
from turnout.config import legality
from turnout.config.capabilities import SCORES_IN_BATCH, FamilyName
from turnout.config.specs import ModelSpec, ScheduleSpec
from turnout.config.stages import Stage
from turnout.cost import endpoints, freshness, pipeline, requests, shared
from turnout.cost.lines import Case, Line
from turnout.cost.workload import Workload
from turnout.prices import SURE, Prices

#: What an entry without a schedule gets to be priced in a mode that needs one.
SCHEDULE = "1 day"


@dataclass(frozen=True)
class Bill:
    """A mode's bill. `refused` is why the entry may not have the mode; there are no lines then.

    `needs` are settings that the entry would have to gain for the mode, with which it was priced.
    """

    mode: ServingMode | None  # None: what all models of a stage share
    lines: tuple[Line, ...] = ()
    refused: str | None = None
    needs: tuple[str, ...] = ()

    @property
    def monthly(self) -> float:
        """USD a month, without what has no known price."""
        return self._sum("monthly")

    @property
    def once(self) -> float:
        """USD of the first deployment in this mode, or of the switch to it."""
        return self._sum("once")

    @property
    def unsure(self) -> list[Line]:
        """Lines whose price was not read at a primary source, if they change the sum."""
        return [line for line in self.lines if line.confidence != SURE and (line.usd is None or line.usd >= 0.005)]

    @property
    def missing(self) -> list[Line]:
        return [line for line in self.lines if line.usd is None and line.units]

    @property
    def complete(self) -> bool:
        return not self.missing

    def _sum(self, kind: str) -> float:
        return sum(line.usd or 0 for line in self.lines if line.kind == kind)

    def to_body(self) -> dict[str, Any]:
        return {
            "mode": self.mode,
            "refused": self.refused,
            "needs": list(self.needs),
            "usd": round(self.monthly, 2),
            "once_usd": round(self.once, 2),
            "complete": self.complete,
            "lines": [asdict(line) for line in self.lines],
        }


def bill(mode: ServingMode, spec: ModelSpec, stage: Stage, work: Workload, prices: Prices) -> Bill:
    """Return what a mode costs with the entry's settings, whether the entry may have it or not."""
    case = Case(spec, stage, work, prices)
    return Bill(mode, tuple(line for part in _MODES[mode] for line in part(case)))


def bills(spec: ModelSpec, stage: Stage, work: Workload, prices: Prices) -> dict[ServingMode, Bill]:
    """Return the bill of every mode, in the order of the modes; an illegal one holds the reason instead of lines."""
    return {mode: _lawful(mode, spec, stage, work, prices) for mode in ServingMode}


def _lawful(mode: ServingMode, spec: ModelSpec, stage: Stage, work: Workload, prices: Prices) -> Bill:
    entry, needs = entry_for(spec, mode)
    wrong = [finding for finding in legality.check_mode(entry) if finding.severity == "error"]
    if wrong:
        return Bill(mode, refused="; ".join(_sentence(finding) for finding in wrong))
    return Bill(mode, bill(mode, entry, stage, work, prices).lines, needs=needs)


def _sentence(finding: legality.Finding) -> str:
    path = ".".join(map(str, finding.path))
    return finding.reason if path in ("mode", "") else f"{path}: {finding.reason}"


def entry_for(spec: ModelSpec, mode: ServingMode) -> tuple[ModelSpec, tuple[str, ...]]:
    """Return the entry with another mode, and the settings that it had to gain for it."""
    changes: dict[str, Any] = {"mode": mode}
    needs = ()
    if SCORES_IN_BATCH[mode] and spec.schedule is None:
        changes["schedule"] = ScheduleSpec(rate=SCHEDULE)
        needs = (f"schedule: rate({SCHEDULE})",)
    return spec.model_copy(update=changes), needs


def live_usd(family: FamilyName, spec: ModelSpec, stage: Stage, work: Workload, prices: Prices) -> float:
    """Return what answering the requests without a score costs a month in `hybrid`, without what comes anyway."""
    case = Case(spec, stage, work, prices)
    lines = [*endpoints.LIVE[family](case, work.misses), *requests.remembering(case)]
    return Bill(ServingMode.HYBRID, tuple(lines)).monthly


def shared_bill(stage: Stage, prices: Prices) -> Bill:
    """Return what all models of a stage share, whatever their number."""
    return Bill(None, tuple(shared.lines(stage, prices)))


Part = Callable[[Case], Iterable[Line]]

_BATCH: tuple[Part, ...] = (pipeline.runs, freshness.watch, requests.refused_lookups)
_PRECOMPUTE: tuple[Part, ...] = (pipeline.runs, pipeline.scores, freshness.watch, requests.lookups)


def _hybrid(case: Case) -> Iterable[Line]:
    """Return what the endpoint costs. The function that scores by event is of the front door's size, and waits too."""
    return endpoints.LIVE[case.spec.hybrid.fallback](case, case.work.misses + freshness.events(case))


def _live(family: FamilyName) -> Part:
    return lambda case: endpoints.LIVE[family](case, case.work.requests)


#: One line per mode that can be deployed: what makes up its bill.
_MODES: dict[ServingMode, tuple[Part, ...]] = {
    ServingMode.BATCH: _BATCH,
    ServingMode.PRECOMPUTE: _PRECOMPUTE,
    ServingMode.HYBRID: (*_PRECOMPUTE, _hybrid, requests.remembering, freshness.refresh),
    ServingMode.REALTIME: (requests.asked_at_once, _live("realtime")),
    ServingMode.SERVERLESS: (requests.asked_at_once, _live("serverless")),
    ServingMode.ASYNC: (requests.accepted, _live("async")),
}
