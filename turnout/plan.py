"""What a deploy would change, model by model: the entry in the file against what is deployed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from handlers.contract.answering import LOST_ANSWERS, refuse_loss, refuse_silence, takes_the_model_away
from handlers.contract.modes import ServingMode
from turnout import cost, prices
from turnout.config.capabilities import SCORES_IN_BATCH, FamilyName, endpoint_of, realtime_instances
from turnout.config.containers import endpoint_of_model
from turnout.config.samples import unproved
from turnout.config.specs import ModelSpec
from turnout.config.stages import Stage
from turnout.cost import Bill, Workload
from turnout.cost.differences import Difference
from turnout.prices import Prices
from turnout.switching.clients import CALLERS, Notice, Recent, notice, outcomes, percent
from turnout.switching.parts import MAKEUP
from turnout.switching.standing import as_deployed
from turnout.switching.transitions import Transition, transition


@dataclass(frozen=True)
class Situation:
    """What is known of a model as it is now. `mode` of None: it is not deployed. `recent` of None: nobody could look.

    `outputs` are those of its stack; `scores_version` and `scores_age` (seconds) belong to the generation that lookups
    read. `caveat` says what could not be looked up, and what stands for it.
    """

    mode: ServingMode | None = None
    deployed: bool = True  # False: `mode` is the file's word
    recent: Recent | None = None
    rows: int | None = None  # that the newest generation scored
    job_minutes: float | None = None  # for which each instance of the last run's transform job was paid
    outputs: Mapping[str, str] = field(default_factory=dict)
    scores_version: str | None = None
    scores_age: int | None = None
    caveat: str = ""

    @property
    def model_version(self) -> str | None:
        return self.outputs.get("ModelVersion")


@dataclass(frozen=True)
class Plan:
    """One model's plan. `action` is create, switch, update or remove; costs are of a month."""

    model: str
    action: str
    before: ServingMode | None
    after: ServingMode | None
    clients: str
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    transition: Transition | None = None
    notice: Notice | None = None
    cost_before: Bill | None = None
    cost_after: Bill | None = None
    workload: Workload | None = None
    region: str = prices.DEFAULT_REGION  # whose list prices the costs are
    refusal: str | None = None  # why `turnout switch` would not write this

    @property
    def difference(self) -> Difference | None:
        """What the plan does to the bill; None where there is nothing before to compare with."""
        if self.cost_before is None or self.cost_after is None:
            return None
        return Difference(self.model, self.cost_before, self.cost_after)

    def to_body(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "action": self.action,
            "before": self.before,
            "after": self.after,
            "clients": self.clients,
            "notes": list(self.notes),
            "warnings": list(self.warnings),
            "refusal": self.refusal,
            "transition": self.transition and self.transition.to_body(),
            "notice": self.notice and self.notice.to_body(),
            "cost": {
                "region": self.region,
                "before": self.cost_before and self.cost_before.to_body(),
                "after": self.cost_after and self.cost_after.to_body(),
                "difference": self.difference and self.difference.to_body(),
                "assumptions": list(self.workload.notes) if self.workload else [],
            },
        }


def plan_all(
    wanted: Mapping[str, ModelSpec],
    now: Mapping[str, Situation],
    stage: Stage,
    *,
    requests: int | None = None,
    versions: Mapping[str, str | None] | None = None,
    table: Prices | None = None,
) -> list[Plan]:
    """Return a plan for every model that is in the file or deployed, by name. `versions` are those of a deploy now."""
    names, known = sorted(wanted.keys() | now.keys()), versions or {}
    return [
        plan_model(
            wanted[name], now.get(name, Situation()), stage, requests=requests, version=known.get(name), table=table
        )
        if name in wanted
        else _removal(name, now[name])
        for name in names
    ]


def plan_model(
    spec: ModelSpec,
    now: Situation,
    stage: Stage,
    *,
    requests: int | None = None,
    version: str | None = None,
    table: Prices | None = None,
) -> Plan:
    """Return the plan of one entry. `requests` a month override what the front door counted; `version` is that of the
    model that a deploy would bring, None where it is not known; costs are by `table`, or else us-east-1's.
    """
    work, table = workload(spec, now, requests), table or prices.load()
    if now.mode is None:
        return _creation(spec, now, stage, work, table)
    change = _change(spec, now, stage, version)
    return Plan(
        model=spec.name,
        action="update" if now.mode is spec.mode else "switch",
        before=now.mode,
        after=spec.mode,
        clients=change.clients,
        notes=_notes(spec, now),
        warnings=_warnings(spec, stage),
        transition=change.transition,
        notice=change.notice(now.recent, cost.live_usd(spec.hybrid.fallback, spec, stage, work, table)),
        cost_before=cost.bill(now.mode, change.standing, stage, work, table),
        cost_after=cost.bill(spec.mode, spec, stage, work, table),
        workload=work,
        region=table.region,
        refusal=change.refusal(now.recent) if now.deployed else None,
    )


def _creation(spec: ModelSpec, now: Situation, stage: Stage, work: Workload, table: Prices) -> Plan:
    first = "Lookups answer 409 not_scored_yet until a run has published; start one with `turnout run`."
    notes = _notes(spec, now) + ((first,) if CALLERS[spec.mode].looks_up else ())
    clients = f"{CALLERS[spec.mode].sentence} {CALLERS[spec.mode].watch}".strip()
    after = cost.bill(spec.mode, spec, stage, work, table)
    return Plan(
        spec.name, "create", None, spec.mode, clients, notes, _warnings(spec, stage),
        cost_after=after, workload=work, region=table.region,
    )  # fmt: skip


@dataclass(frozen=True)
class _Change:
    """What stands, as an entry, against what is wanted. `renewed`: the endpoint of the family is another one then."""

    before: ServingMode
    standing: ModelSpec
    wanted: ModelSpec
    retrained: bool
    renewed: bool
    fresh: bool | None

    @property
    def is_one(self) -> bool:
        """Say whether anything is created, removed, warmed or answered otherwise."""
        old, new = self._parts(self.before, self.standing), self._parts(self.wanted.mode, self.wanted)
        scored_anew = self.retrained and MAKEUP[self.wanted.mode].scores
        return self.before is not self.wanted.mode or self.renewed or scored_anew or old != new

    @staticmethod
    def _parts(mode: ServingMode, spec: ModelSpec) -> tuple[Any, ...]:
        return MAKEUP[mode].parts(spec.hybrid.fallback)

    @property
    def transition(self) -> Transition | None:
        if not self.is_one:
            return None
        return transition(
            self.before,
            self.wanted.mode,
            fallback=self.wanted.hybrid.fallback,
            old_fallback=self.standing.hybrid.fallback,
            shift=self.wanted.shift,
            renewed=self.renewed,
            fresh=self.fresh,
        )

    @property
    def clients(self) -> str:
        said = self.transition.clients if self.transition else "Answers come as before."
        return f"{said} Predictions are those of the model that was trained since." if self.retrained else said

    @property
    def answers_differ(self) -> bool:
        now = outcomes(self.before, self.standing.hybrid.fallback)
        return now != outcomes(self.wanted.mode, self.wanted.hybrid.fallback)

    def notice(self, recent: Recent | None, live_usd: float) -> Notice | None:
        if self.before is self.wanted.mode and not self.answers_differ:
            return None
        return self._notice(recent, live_usd)

    def _notice(self, recent: Recent | None, live_usd: float | None = None) -> Notice:
        fallback, old = self.wanted.hybrid.fallback, self.standing.hybrid.fallback
        return notice(
            self.before, self.wanted.mode, fallback=fallback, old_fallback=old, recent=recent, live_usd=live_usd
        )

    def refusal(self, recent: Recent | None) -> str | None:
        """Return why a switch needs an acknowledgement that the entry does not hold; the gate asks for it too."""
        names = self.wanted.name, self.before, self.wanted.mode
        acknowledged = LOST_ANSWERS in self.wanted.acknowledge
        silenced = refuse_silence(*names, acknowledged=acknowledged)
        if silenced or acknowledged or not takes_the_model_away(self.before, self.wanted.mode):
            return silenced
        lost = self._notice(recent).lost
        if recent is not None and lost == 0:
            return refuse_loss(*names, recent.counts, acknowledged=False)
        which = "nobody can tell how many" if lost is None else percent(lost)
        return (
            f"model {self.wanted.name!r}: {which} of the requests that mode {self.before} answers would get no "
            f"prediction in mode {self.wanted.mode}: if that is meant, write `acknowledge: [{LOST_ANSWERS}]` into its "
            "entry in models.yaml"
        )


def _change(spec: ModelSpec, now: Situation, stage: Stage, version: str | None) -> _Change:
    fallback = now.outputs.get("Fallback", spec.hybrid.fallback)
    old, new = MAKEUP[now.mode].endpoint(fallback), MAKEUP[spec.mode].endpoint(spec.hybrid.fallback)
    retrained = None not in (version, now.model_version) and version != now.model_version
    return _Change(
        before=now.mode,
        standing=as_deployed(spec, old, now.outputs),
        wanted=spec,
        retrained=retrained,
        renewed=old is not None and old == new and _is_renewed(spec, now, stage, old, version),
        fresh=_is_fresh(spec, now, version),
    )


def _is_renewed(spec: ModelSpec, now: Situation, stage: Stage, family: FamilyName, version: str | None) -> bool:
    """Say whether a deploy brings another endpoint of the same family. An unknown version is taken for the same."""
    version, standing = version or now.model_version, now.outputs.get("EndpointName")
    if version is None or standing is None:
        return False
    return endpoint_of_model(spec, stage.name, family, version) != standing


def _is_fresh(spec: ModelSpec, now: Situation, version: str | None) -> bool | None:
    """Say whether the gate will be content with the generation that is visible; None where nobody could look."""
    wanted = version or now.model_version
    if now.scores_age is None or wanted is None:
        return None
    return now.scores_version == wanted and now.scores_age <= spec.max_staleness.total_seconds()


def workload(spec: ModelSpec, now: Situation, requests: int | None) -> Workload:
    """Return what costs rest on: measured where there is something to measure, and each figure says which it is."""
    figures: dict[str, Any] = {}
    origins: dict[str, str] = {}
    if requests is not None:
        figures["requests"], origins["requests"] = requests, "as given"
    elif now.recent is not None and now.recent.requests:
        figures["requests"], origins["requests"] = now.recent.a_month, f"counted over {now.recent.days} days"
    if now.recent is not None and now.mode is not None and (covered := now.recent.coverage(now.mode)) is not None:
        figures["covered"], origins["covered"] = covered, "measured"
    if now.rows is not None:
        figures["entities"], origins["entities"] = now.rows, "newest generation"
    if now.job_minutes is not None:
        figures["transform_minutes"] = round(now.job_minutes, 1)
        origins["transform_minutes"] = "as the last transform job took"
    return cost.measured(cost.workload_of(spec), origins, **figures)


def _notes(spec: ModelSpec, now: Situation) -> tuple[str, ...]:
    notes = [now.caveat] if now.caveat else []
    if spec.schedule is not None and not SCORES_IN_BATCH[spec.mode]:
        notes.append(f"The schedule stays in the file; mode {spec.mode} starts no runs by it.")
    if LOST_ANSWERS in spec.acknowledge:
        notes.append(
            f"`acknowledge: [{LOST_ANSWERS}]` is set: remove it after the deploy, or it speaks for later switches too."
        )
    return tuple(notes)


def _warnings(spec: ModelSpec, stage: Stage) -> tuple[str, ...]:
    family, count = endpoint_of(spec), realtime_instances(spec, stage)
    warnings = [f"{reason[:1].upper()}{reason[1:]}. {remedy}" for reason, remedy in unproved(spec)]
    if family is not None and family.least_instances and count < stage.min_instances:
        wanted = f"Stage {stage.name} wants {stage.min_instances} instances behind an endpoint; the entry says {count}"
        warnings.append(f"{wanted}: one failing instance is an outage, and Security Hub reports SageMaker.4.")
    return tuple(warnings)


def _removal(name: str, now: Situation) -> Plan:
    return Plan(
        name, "remove", now.mode, None, "Requests get 404 unknown_model.",
        notes=("`cdk deploy` leaves a removed model's stack alone; delete it with `cdk destroy` on its stack.",),
    )  # fmt: skip
