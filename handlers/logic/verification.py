"""Do a run's counts add up? Asked before anything of the run becomes visible."""

from handlers.contract.errors import VerificationFailed
from handlers.contract.modes import ServingMode
from handlers.contract.pipeline import Prepared, Published
from handlers.logic.scores import KEEPS_SCORES


def verify(prepared: Prepared, published: list[Published], receipts: list[Published], mode: ServingMode) -> None:
    """Compare what came in, what was scored, what was published and what the receipts say.

    Raises VerificationFailed that states every equation that does not hold.
    """
    scored = sum(shard["rows_scored"] for shard in published)
    visible = sum(shard["rows_published"] for shard in published)
    expected = [shard["index"] for shard in prepared["shards"]]
    equations = [
        ("rows in", prepared["rows_in"], "scored + quarantined", scored + prepared["rows_quarantined"]),
        ("rows valid", prepared["rows_valid"], "scored", scored),
        ("rows to look up", scored if KEEPS_SCORES[mode] else 0, "published", visible),
        ("shards prepared", expected, "shards published", sorted(shard["index"] for shard in published)),
        ("receipts", _by_index(receipts), "shards published", _by_index(published)),
    ]
    wrong = [f"{left} {a} is not {right} {b}" for left, a, right, b in equations if a != b]
    if wrong:
        raise VerificationFailed("; ".join(wrong))


def _by_index(shards: list[Published]) -> list[tuple[int, int, int]]:
    return sorted((shard["index"], shard["rows_scored"], shard["rows_published"]) for shard in shards)
