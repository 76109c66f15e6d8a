"""Do a run's counts add up? Asked before anything of the run becomes visible."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from handlers.contract.errors import VerificationFailed
from handlers.contract.modes import ServingMode
from handlers.contract.pipeline import Packed, Prepared, Published
from handlers.logic.scores import KEEPS_SCORES


def verify(
    prepared: Prepared,
    published: list[Published],
    packed: list[Packed],
    receipts: Sequence[dict[str, Any]],
    mode: ServingMode,
) -> None:
    """Compare what came in, what was scored, what was packed for lookups and what the receipts say, in rows.

    Keys are unique because `prepare` refuses those that come again, row by row, and no row may be in two shards: each
    receipt says which rows its shard spans. Scores for lookups are counted once more by key, in packing.

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
    wrong += _overlaps(receipts)
    if wrong:
        raise VerificationFailed("; ".join(wrong))


#: What receipts hold beyond what the state machine carries.
ONLY_IN_RECEIPTS = frozenset({"span", "profile"})


def _in_order(receipts: Sequence[dict[str, Any] | Published | Packed]) -> list[list[tuple[str, int]]]:
    counted = ({k: v for k, v in receipt.items() if k not in ONLY_IN_RECEIPTS} for receipt in receipts)
    return sorted(sorted(receipt.items()) for receipt in counted)


def _overlaps(receipts: Sequence[dict[str, Any]]) -> list[str]:
    spans = sorted((receipt["span"], receipt["index"]) for receipt in receipts if "span" in receipt)
    return [
        f"shards {one} and {other} both have row {after[0]:,}"
        for (before, one), (after, other) in pairwise(spans)
        if after[0] <= before[1]
    ]
