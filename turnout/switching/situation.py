"""Looks up what `turnout.plan` needs to know of a deployed model."""

import sys
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

from botocore.exceptions import BotoCoreError, ClientError

from handlers.contract.modes import ServingMode
from handlers.contract.records import Generation
from handlers.logic.moments import seconds_between
from handlers.logic.proofs import proved_since
from turnout import deployed, runs
from turnout.config.specs import ModelSpec
from turnout.errors import NotDeployed, UserError
from turnout.plan import Situation
from turnout.switching import traffic
from turnout.switching.clients import Recent


def everything(stage: str, specs: Mapping[str, ModelSpec]) -> dict[str, Situation]:
    """Return the situation of every model that is deployed. Raises UserError where AWS does not answer."""
    return {name: look(stage, name, specs.get(name)) for name in deployed.deployed_models(stage)}


def look(stage: str, name: str, spec: ModelSpec | None, *, assumed: ServingMode | None = None) -> Situation:
    """Return a model's situation; one that is not deployed is empty, or else has the `assumed` mode.

    Raises UserError where AWS does not answer and there is nothing to assume.
    """
    try:
        model = deployed.find_model(stage, name)
    except NotDeployed as error:
        caveat = f"{error.message} Compared with the word in the file." if assumed else ""
        return Situation(assumed, deployed=False, recent=Recent(), caveat=caveat)
    except UserError as error:
        if assumed is None:
            raise
        return Situation(assumed, caveat=f"{error.message} Compared with the word in the file.")
    now = Situation(ServingMode(model.mode), outputs=model.outputs)
    if spec is None or not _answers_otherwise(now, spec):
        return now
    try:
        return _measured(model, now, spec)
    except (ClientError, BotoCoreError) as error:
        return replace(now, caveat=f"The recent past could not be read: {error}")


def _answers_otherwise(now: Situation, spec: ModelSpec) -> bool:
    """Say whether an entry may give callers something else; only then it matters what they ask for."""
    return now.mode is not spec.mode or now.outputs.get("Fallback", spec.hybrid.fallback) != spec.hybrid.fallback


def _measured(model: deployed.Model, now: Situation, spec: ModelSpec) -> Situation:
    moment, pointer = datetime.now(UTC), model.pointer()
    generation = model.generation(pointer.scores or pointer.results)
    scores = model.generation(pointer.scores)
    finished = [run for run in model.runs(20) if run.status == "succeeded" and run.ended_at]
    return replace(
        now,
        recent=traffic.recent(model, spec.key.column, now=moment),
        rows=generation.rows_scored if generation else None,
        scores_version=scores.model_version if scores else None,
        scores_age=_scores_age(scores, spec, moment) if scores else sys.maxsize,
        job_minutes=runs.paid_minutes(model, finished[0].id) if finished else None,
    )


def _scores_age(scores: Generation, spec: ModelSpec, moment: datetime) -> int:
    return seconds_between(proved_since(scores, refuses_stale=spec.on_stale == "refuse"), moment)
