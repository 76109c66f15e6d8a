"""What a deploy would change, model by model: the entry in the file against what is deployed."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from handlers.contract.answering import LOST_ANSWERS, refuse_silence
from handlers.contract.modes import ServingMode
from turnout import cost
from turnout.config.capabilities import SCORES_IN_BATCH, endpoint_of, realtime_instances
from turnout.config.specs import ModelSpec
from turnout.config.stages import Stage
from turnout.cost import Cost, Workload
from turnout.switching.clients import CALLERS, Notice, Recent, notice, percent
from turnout.switching.transitions import Transition, transition


@dataclass(frozen=True)
class Situation:
    """What is known of a model as it is now. `mode` of None: it is not deployed. `recent` of None: nobody could look.

    `caveat` says what could not be looked up, and what stands for it.
    """

    mode: ServingMode | None = None
    deployed: bool = True  # False: `mode` is the file's word
    recent: Recent | None = None
    rows: int | None = None  # that the newest generation scored
    run_minutes: float | None = None  # that the last run took
    caveat: str = ""


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
    cost_before: Cost | None = None
    cost_after: Cost | None = None
    workload: Workload | None = None
    refusal: str | None = None  # why `turnout switch` would not write this

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
                "before": self.cost_before and self.cost_before.to_body(),
                "after": self.cost_after and self.cost_after.to_body(),
                "assumptions": list(self.workload.notes) if self.workload else [],
            },
        }


def plan_all(
    wanted: Mapping[str, ModelSpec], now: Mapping[str, Situation], stage: Stage, *, requests: int | None = None
) -> list[Plan]:
    """Return a plan for every model that is in the file or deployed, by name."""
    names = sorted(wanted.keys() | now.keys())
    return [
        plan_model(wanted[name], now.get(name, Situation()), stage, requests=requests)
        if name in wanted
        else _removal(name, now[name])
        for name in names
    ]


def plan_model(spec: ModelSpec, now: Situation, stage: Stage, *, requests: int | None = None) -> Plan:
    """Return the plan of one entry. `requests` a month override what the front door counted."""
    work = workload(spec, now, requests)
    warnings = _warnings(spec, stage)
    after = cost.estimate(spec.mode, spec, stage, work)
    if now.mode is None:
        first = "Lookups answer 409 not_scored_yet until a run has published; start one with `turnout run`."
        notes = _notes(spec, now) + ((first,) if CALLERS[spec.mode].looks_up else ())
        clients = f"{CALLERS[spec.mode].sentence} {CALLERS[spec.mode].watch}".strip()
        return Plan(spec.name, "create", None, spec.mode, clients, notes, warnings, cost_after=after, workload=work)
    if now.mode is spec.mode:
        return Plan(
            spec.name, "update", now.mode, spec.mode, "Answers come as before.", _notes(spec, now), warnings,
            cost_before=after, cost_after=after, workload=work,
        )  # fmt: skip
    fallback = spec.hybrid.fallback
    live = cost.live_usd(fallback, spec, stage, work)
    seen = notice(now.mode, spec.mode, fallback=fallback, recent=now.recent, live_usd=live)
    switch = transition(now.mode, spec.mode, fallback=fallback, shift=spec.shift)
    return Plan(
        model=spec.name,
        action="switch",
        before=now.mode,
        after=spec.mode,
        clients=switch.clients,
        notes=_notes(spec, now),
        warnings=warnings,
        transition=switch,
        notice=seen,
        cost_before=cost.estimate(now.mode, spec, stage, work),
        cost_after=after,
        workload=work,
        refusal=_refusal(spec, now.mode, seen) if now.deployed else None,
    )


def workload(spec: ModelSpec, now: Situation, requests: int | None) -> Workload:
    """Return what costs rest on: measured where there is something to measure, and each figure says which it is."""
    work = cost.workload_of(spec)
    notes = []
    if requests is not None:
        work = replace(work, requests=requests)
        notes.append(f"{requests:,} requests a month (as given)")
    elif now.recent is not None and now.recent.requests:
        work = replace(work, requests=now.recent.a_month)
        notes.append(f"{work.requests:,} requests a month (counted over {now.recent.days} days)")
    else:
        notes.append(f"{work.requests:,} requests a month (assumed; --traffic says otherwise)")
    coverage = now.recent.coverage if now.recent else None
    if coverage is not None:
        work = replace(work, covered=coverage)
    notes.append(f"{work.covered:.1%} of them have a score ({'measured' if coverage is not None else 'assumed'})")
    if now.rows is not None:
        work = replace(work, rows=now.rows)
    notes.append(f"{work.rows:,} rows a run ({'newest generation' if now.rows is not None else 'assumed'})")
    if now.run_minutes is not None:
        work = replace(work, transform_minutes=round(now.run_minutes, 1))
    measured = "as long as the last run took" if now.run_minutes is not None else "assumed"
    notes.append(f"{work.transform_minutes:g} paid minutes a run ({measured})")
    notes.append(f"{work.model_seconds:g} s of the model a request (assumed)")
    return replace(work, notes=tuple(notes))


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
    if family is None or not family.least_instances or count >= stage.min_instances:
        return ()
    wanted = f"Stage {stage.name} wants {stage.min_instances} instances behind an endpoint; the entry says {count}"
    return (f"{wanted}: one failing instance is an outage, and Security Hub reports SageMaker.4.",)


def _refusal(spec: ModelSpec, before: ServingMode, seen: Notice) -> str | None:
    """Return why a switch needs an acknowledgement that the entry does not hold."""
    acknowledged = LOST_ANSWERS in spec.acknowledge
    silenced = refuse_silence(spec.name, before, spec.mode, acknowledged=acknowledged)
    if silenced or acknowledged or seen.lost == 0:
        return silenced
    which = "nobody can tell how many" if seen.lost is None else percent(seen.lost)
    return (
        f"model {spec.name!r}: {which} of the requests that mode {before} answers would get no prediction in mode "
        f"{spec.mode}: if that is meant, write `acknowledge: [{LOST_ANSWERS}]` into its entry in models.yaml"
    )


def _removal(name: str, now: Situation) -> Plan:
    return Plan(
        name, "remove", now.mode, None, "Requests get 404 unknown_model.",
        notes=("`cdk deploy` leaves a removed model's stack alone; delete it with `cdk destroy` on its stack.",),
    )  # fmt: skip
