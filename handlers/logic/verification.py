"""Do a run's counts add up? Asked before anything of the run becomes visible."""

from handlers.contract.errors import VerificationFailed
from handlers.contract.modes import ServingMode
from handlers.contract.pipeline import Packed, Prepared, Published
from handlers.logic.scores import KEEPS_SCORES


def verify(
    prepared: Prepared,
    published: list[Published],
    packed: list[Packed],
    receipts: list[Published | Packed],
    mode: ServingMode,
) -> None:
    """Compare what came in, what was scored, what was packed for lookups and what the receipts say, in rows.

    Raises VerificationFailed that states every equation that does not hold.
    """
    scored = sum(shard["rows_scored"] for shard in published)
    visible = sum(partition["rows_published"] for partition in packed)
    expected = [shard["index"] for shard in prepared["shards"]]
    equations = [
        ("rows in", prepared["rows_in"], "scored + quarantined", scored + prepared["rows_quarantined"]),
        ("rows valid", prepared["rows_valid"], "scored", scored),
        ("rows to look up", scored if KEEPS_SCORES[mode] else 0, "published", visible),
        ("shards prepared", expected, "shards published", sorted(shard["index"] for shard in published)),
        ("partitions planned", prepared["partitions"], "packed", sorted(part["partition"] for part in packed)),
        ("receipts", _in_order(receipts), "what was published", _in_order([*published, *packed])),
    ]
    wrong = [f"{left} {a} is not {right} {b}" for left, a, right, b in equations if a != b]
    if wrong:
        raise VerificationFailed("; ".join(wrong))


def _in_order(receipts: list[Published | Packed]) -> list[list[tuple[str, int]]]:
    return sorted(sorted(receipt.items()) for receipt in receipts)
