"""Generations of a deployed model: in which state each is, which one is shown, and the end of those nobody needs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from handlers.adapters.score_table import WRITTEN
from handlers.contract.errors import TurnoutError
from handlers.contract.modes import ServingMode
from handlers.contract.records import BUCKET, NO_SORT, Generation, Pointer
from handlers.logic.moments import format_moment
from handlers.logic.profiles import Profile
from handlers.logic.rollback import require_showable, roll_back, show
from handlers.logic.scores import KEEPS_SCORES
from turnout.config.capabilities import SCORES_IN_BATCH
from turnout.deployed import Model
from turnout.errors import UserError

#: Quantiles that a list shows.
QUANTILES = (0.05, 0.5, 0.95)


def has_lookups(model: Model) -> bool:
    return KEEPS_SCORES[ServingMode(model.mode)]


def state(model: Model, generation: Generation, pointer: Pointer, now: datetime) -> str:
    """Return what a generation is just now: visible, previous, deleting, expired, refused or kept."""
    in_lookups = has_lookups(model)
    said = {
        "visible": generation.id == (pointer.scores if in_lookups else pointer.results),
        "previous": in_lookups and generation.id == pointer.previous_scores,
        "deleting": generation.deleting is not None,
        "expired": generation.expires_at <= now.timestamp(),
        "refused": generation.refused is not None,
        "kept": True,
    }
    return next(word for word, holds in said.items() if holds)


def described(model: Model, limit: int) -> list[dict[str, Any]]:
    """Return the newest generations as JSON takes them."""
    now, pointer = datetime.now(UTC), model.pointer()
    return [_described(entry, state(model, entry, pointer, now)) for entry in model.generations(limit)]


def _described(generation: Generation, word: str) -> dict[str, Any]:
    profile = Profile.from_body(generation.profile) if generation.profile else None
    return {
        "generation": generation.id,
        "state": word,
        "model_version": generation.model_version,
        "data_as_of": generation.data_as_of,
        "scored_at": generation.scored_at,
        "rows_scored": generation.rows_scored,
        "rows_published": generation.rows_published,
        "results_uri": generation.results_uri,
        "expires_at": format_moment(datetime.fromtimestamp(generation.expires_at, UTC)),
        "predictions": _predictions(profile) if profile else None,
        "compared": generation.compared,
        "refused": generation.refused,
        "miscounted": generation.miscounted,
    }


def _predictions(profile: Profile) -> dict[str, Any]:
    """Return a profile without the points that only machines read."""
    told: dict[str, Any] = {"types": profile.types, "nulls": profile.nulls}
    if numbers := profile.numbers:
        told |= {name: getattr(numbers, name) for name in ("mean", "deviation", "smallest", "largest")}
        told["quantiles"] = {f"{share:g}": numbers.quantile(share) for share in QUANTILES}
    if profile.labels:
        told["labels"] = profile.labels | ({"others": profile.other_labels} if profile.other_labels else {})
    return told | ({"only": profile.only} if profile.only is not None else {})


def show_previous(model: Model) -> tuple[str, str]:
    """Show lookups the generation before the visible one; return the two names, old and new. Raises UserError."""
    _require_generations(model)
    if not has_lookups(model):
        raise UserError(
            f"Model '{model.name}' is served in mode {model.mode}, and this mode has no lookups.",
            "`--to` chooses which results are the newest.",
        )
    pointer = model.pointer()
    with _told(model):
        moved = roll_back(pointer)
        name = str(moved.scores)
        require_showable(model.generation(name), name, datetime.now(UTC), accept_refused=False)
    model.move_pointer(pointer, moved)
    return str(pointer.scores), name


def make_visible(model: Model, name: str, *, accept_refused: bool) -> tuple[str | None, str]:
    """Show one generation; return the names of the one before, if any, and of this one. Raises UserError.

    One that is accepted is a generation like any other from then on; what it was refused for stays in the run ledger.
    """
    _require_generations(model)
    pointer, in_lookups = model.pointer(), has_lookups(model)
    with _told(model):
        found = model.generation(name)
        generation = require_showable(found, name, datetime.now(UTC), accept_refused=accept_refused)
        moved = show(pointer, generation, in_lookups=in_lookups)
    if generation.refused:
        model.put_generation(replace(generation, refused=None), instead_of=generation)
    model.move_pointer(pointer, moved)
    return pointer.scores if in_lookups else pointer.results, name


def _require_generations(model: Model) -> None:
    """Raise UserError in modes that answer by asking the model: no pointer changes what they say."""
    if not SCORES_IN_BATCH[ServingMode(model.mode)]:
        raise UserError(
            f"Model '{model.name}' is served in mode {model.mode}: there is nothing to roll back here.",
            "Put the old mode or model version back and deploy.",
        )


@contextmanager
def _told(model: Model) -> Iterator[None]:
    """Turn what the pointer's logic refuses into one line for people."""
    try:
        yield
    except TurnoutError as error:
        remedy = "Show it all the same with --accept-refused." if error.details.get("refused") else ""
        raise UserError(f"Model '{model.name}': {error.message}", remedy) from error


def delete(model: Model, generation_id: str, progress: Callable[[int], None]) -> int:
    """Delete a generation's scores and then its manifest; return how many items were asked to go. Raises UserError.

    Of a run that ended before it had a manifest whatever it left goes. Whoever is interrupted calls it again. Results
    in S3 stay. `progress` is told the items so far.
    """
    generation, run = model.generation(generation_id), model.run(generation_id)
    if generation is None and run is None:
        raise UserError(f"Model '{model.name}' has no generation {generation_id}.")
    if generation is not None:
        generation = _set_aside(model, generation)
    else:
        _require_unseen(model, generation_id, model.pointer())
    if run is not None and run.deleting is None:
        # Its execution may be redriven, long after the manifest is gone: the ledger remembers.
        model.put_run(replace(run, deleting=format_moment(datetime.now(UTC))), instead_of=run)
    deleted = model.delete_items(_names(model, generation_id, generation), progress)
    model.delete_generation(generation_id)
    return deleted


def _set_aside(model: Model, generation: Generation) -> Generation:
    """Mark a generation, so that nobody shows it any more. Raises UserError where somebody does or is about to."""
    _require_unseen(model, generation.id, model.pointer())
    marked = generation if generation.deleting else replace(generation, deleting=format_moment(datetime.now(UTC)))
    model.put_generation(marked, instead_of=generation)
    pointer = model.pointer()
    try:
        _require_unseen(model, generation.id, pointer)
        # Whoever read the generation before it was marked holds an old revision then, and cannot move the pointer to
        # it; where there was no pointer yet, there is one now.
        model.move_pointer(pointer, replace(pointer, revision=pointer.revision + 1))
    except UserError:
        model.put_generation(generation, instead_of=marked)
        raise
    return marked


def _require_unseen(model: Model, generation_id: str, pointer: Pointer) -> None:
    seen = {
        "visible": pointer.scores,
        "the one that a rollback would show": pointer.previous_scores,
        "the newest results": pointer.results,
    }
    run = model.run(generation_id)
    for word, name in seen.items():
        if name == generation_id:
            raise UserError(
                f"Generation {name} of model '{model.name}' is {word}; it stays.", "Show another one first."
            )
    if run is not None and run.status == "running":
        raise UserError(f"Run {run.id} of model '{model.name}' is still under way.", "Wait for its end.")


def _names(model: Model, generation_id: str, generation: Generation | None) -> Iterator[tuple[str, str]]:
    """Yield the keys of a generation's items: buckets by their numbers, scores that stand alone by looking for them.

    Where no manifest says what was written, or one whose counts are wrong, all are looked for.
    """
    if generation is None or generation.miscounted:
        yield from model.keys_beginning(f"{generation_id}#")
        return
    for partition, count in enumerate(generation.buckets or ()):
        yield f"{generation.id}#{partition}", WRITTEN
        for bucket in range(count):
            yield f"{generation.id}#{partition}.{bucket}", BUCKET
    if generation.singles != 0:
        yield from model.keys_beginning(f"{generation.id}#", NO_SORT)
