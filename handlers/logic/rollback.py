"""Another generation before everybody's eyes: nothing is copied, the pointer moves."""

from dataclasses import replace
from datetime import datetime

from handlers.contract.errors import TurnoutError
from handlers.contract.records import Generation, Pointer


class NothingToRollBack(TurnoutError):
    """There is no previous generation of scores."""

    code = "nothing_to_roll_back"


class CannotBeShown(TurnoutError):
    """That generation cannot be made visible; the message says why."""

    code = "cannot_be_shown"


def roll_back(pointer: Pointer) -> Pointer:
    """Return the pointer with the two generations of scores swapped; rolling back twice shows what was shown before.

    The caller writes it under the condition that the stored revision is still `pointer.revision`.
    Raises NothingToRollBack.
    """
    if pointer.scores is None:
        raise NothingToRollBack("no generation of scores was ever published")
    if pointer.previous_scores is None:
        raise NothingToRollBack(f"generation {pointer.scores} is the only one; there is none before it")
    return _held(
        replace(pointer, scores=pointer.previous_scores, previous_scores=pointer.scores, revision=pointer.revision + 1)
    )


def show(pointer: Pointer, generation: Generation, *, in_lookups: bool) -> Pointer:
    """Return the pointer with that generation visible: to lookups, and elsewhere as the newest results.

    One that was refused has never been the newest results; now it is, if it is the newest. Raises CannotBeShown.
    """
    visible = pointer.scores if in_lookups else pointer.results
    if visible == generation.id:
        raise CannotBeShown(f"generation {generation.id} is visible already")
    if in_lookups and not generation.rows_published:
        raise CannotBeShown(f"generation {generation.id} has no scores to look up; only its results in S3 are there")
    is_newest = generation.refused is not None and generation.id > (pointer.results or "")
    moved = replace(pointer, revision=pointer.revision + 1)
    if is_newest or not in_lookups:
        moved = replace(moved, results=generation.id)
    if in_lookups:
        return _held(replace(moved, scores=generation.id, previous_scores=pointer.scores))
    return replace(moved, held=None if is_newest else generation.id)


def _held(pointer: Pointer) -> Pointer:
    """Return the pointer with its scores held, unless they are of the newest results: then nobody went back."""
    return replace(pointer, held=pointer.scores if pointer.scores != pointer.results else None)


def require_showable(generation: Generation | None, name: str, now: datetime, *, accept_refused: bool) -> Generation:
    """Return a generation that readers can be given. Raises CannotBeShown."""
    if generation is None:
        raise CannotBeShown(f"there is no generation {name}, or none any more")
    if generation.deleting:
        raise CannotBeShown(f"generation {name} is being deleted since {generation.deleting}")
    if generation.expires_at <= now.timestamp():
        raise CannotBeShown(f"generation {name} has expired, and its scores with it")
    if generation.miscounted:
        raise CannotBeShown(f"generation {name} cannot be accepted, its counts do not add up: {generation.refused}")
    if generation.refused and not accept_refused:
        raise CannotBeShown(f"generation {name} was refused: {generation.refused}", refused=True)
    return generation
