"""Events between the steps of the pipeline: what each handler receives and returns, as JSON objects.

    start     Trigger                                    -> Started
    prepare   Started                                    -> Prepared
    (Step Functions runs Batch Transform, then stamps `scored_at`)
    publish   PublishShard, once per shard               -> Published
    publish   PackPartition, then once per partition     -> Packed
    conclude  Conclude (outcome succeeded or failed)     -> Concluded

`model_version` and `retention_seconds` are in the machine's definition, as the transform's model is: an execution
keeps the definition that it began with, whereas a deployment in its midst changes the functions.

A step that fails is followed by conclude with outcome failed; then the machine fails with the step's error.
"""

from typing import NotRequired, TypedDict


class Trigger(TypedDict):
    """What starts a run. `slot` is ISO 8601; `id` tells apart triggers within one slot (absent for a schedule)."""

    trigger: str  # schedule, manual, new_data, gate, age
    slot: str
    id: NotRequired[str]
    execution: str  # ARN of this execution, added by the state machine


class Started(TypedDict):
    run_id: str
    duplicate: bool  # true: another execution owns this slot; the machine stops here, quietly
    job_name: str
    started_at: str
    shards_uri: str  # s3://..., ends with a slash: Batch Transform's input
    transform_uri: str  # s3://..., ends with a slash: Batch Transform's output


class Shard(TypedDict):
    index: int
    rows: int


class Prepared(TypedDict):
    rows_in: int
    rows_valid: int
    rows_quarantined: int
    key_type: str
    quarantine_uri: str | None
    reasons: dict[str, int]  # reason code -> rows, at most 50 codes
    shards: list[Shard]
    data_as_of: str  # ISO 8601 UTC: the input's own time, from which ages count
    partitions: list[int]  # parts into which keys are hashed, each packed on its own; none where no scores are kept


class PublishShard(TypedDict):
    run_id: str
    shard: Shard
    scored_at: str  # ISO 8601 UTC
    model_version: str
    key_type: str
    partitions: list[int]


class Published(TypedDict):
    index: int
    rows_scored: int


class PackPartition(TypedDict):
    run_id: str
    partition: int
    partitions: list[int]
    shards: list[Shard]
    scored_at: str
    retention_seconds: int


class Packed(TypedDict):
    """`buckets` is what a reader must know (handlers.logic.buckets), `items` what was written, buckets and singles."""

    partition: int
    rows_published: int
    buckets: int
    items: int
    singles: int  # scores that are items of their own


class Conclude(TypedDict):
    outcome: str  # succeeded or failed
    run_id: NotRequired[str]
    execution: str
    started_at: NotRequired[str]
    scored_at: NotRequired[str]
    model_version: NotRequired[str]
    retention_seconds: NotRequired[int]
    prepared: NotRequired[Prepared]
    published: NotRequired[list[Published]]
    packed: NotRequired[list[Packed]]
    error: NotRequired[str]
    cause: NotRequired[str]


class Concluded(TypedDict):
    run_id: str
    status: str
    visible: bool
