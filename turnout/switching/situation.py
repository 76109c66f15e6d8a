"""Looks up what `turnout.plan` needs to know of a deployed model."""

from collections.abc import Mapping
from datetime import UTC, datetime

from botocore.exceptions import BotoCoreError, ClientError

from handlers.contract.modes import ServingMode
from turnout import deployed
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
    mode = ServingMode(model.mode)
    if spec is None or mode is spec.mode:
        return Situation(mode)
    try:
        return _measured(model, mode, spec)
    except (ClientError, BotoCoreError) as error:
        return Situation(mode, caveat=f"The recent past could not be read: {error}")


def _measured(model: deployed.Model, mode: ServingMode, spec: ModelSpec) -> Situation:
    pointer = model.pointer()
    generation = model.generation(pointer.scores or pointer.results)
    finished = [run for run in model.runs(20) if run.status == "succeeded" and run.ended_at]
    return Situation(
        mode=mode,
        recent=traffic.recent(model, spec.key.column, now=datetime.now(UTC)),
        rows=generation.rows_scored if generation else None,
        run_minutes=_minutes(finished[0].started_at, finished[0].ended_at) if finished else None,
    )


def _minutes(start: str, end: str) -> float:
    return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds() / 60
