"""Which modes keep scores for lookups: the pipeline's only mode switch. And how many functions pack them."""

from handlers.contract.modes import ServingMode

#: A run publishes scores into the model's table where this is true; results go to S3 in every mode.
KEEPS_SCORES: dict[ServingMode, bool] = {
    ServingMode.BATCH: False,
    ServingMode.PRECOMPUTE: True,
    ServingMode.HYBRID: True,
    ServingMode.REALTIME: False,
    ServingMode.SERVERLESS: False,
    ServingMode.ASYNC: False,
}

#: Scores that one function packs: half a gigabyte of the publishing function's memory, and some ten seconds.
PARTITION_ROWS = 1_000_000


def partitions(mode: ServingMode, rows: int) -> list[int]:
    """Return the numbers of the parts into which a run's keys are hashed, each packed by a function of its own."""
    return list(range(max(1, -(-rows // PARTITION_ROWS)))) if KEEPS_SCORES[mode] else []
