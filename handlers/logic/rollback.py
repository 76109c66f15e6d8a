"""Back to the previous generation: nothing is copied, the pointer moves."""

from dataclasses import replace

from handlers.contract.errors import TurnoutError
from handlers.contract.records import Pointer


class NothingToRollBack(TurnoutError):
    """There is no previous generation of scores."""

    code = "nothing_to_roll_back"


def roll_back(pointer: Pointer) -> Pointer:
    """Return the pointer with the two generations of scores swapped; rolling back twice changes nothing.

    The caller writes it under the condition that the stored revision is still `pointer.revision`.
    Raises NothingToRollBack.
    """
    if pointer.scores is None:
        raise NothingToRollBack("no generation of scores was ever published")
    if pointer.previous_scores is None:
        raise NothingToRollBack(f"generation {pointer.scores} is the only one; there is none before it")
    return replace(
        pointer, scores=pointer.previous_scores, previous_scores=pointer.scores, revision=pointer.revision + 1
    )
