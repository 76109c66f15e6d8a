"""Events between the steps of the pipeline: what each handler receives and returns, as JSON objects.

    start     Trigger                                    -> Started
    prepare   Started                                    -> Prepared
    (Step Functions runs Batch Transform, then stamps `scored_at`)
    publish   PublishShard, once per shard               -> Published
    conclude  Conclude (outcome succeeded or failed)     -> Concluded

A step that fails is followed by conclude with outcome failed; then the machine fails with the step's error.
"""

from typing import NotRequired, TypedDict


class Trigger(TypedDict):
    """What starts a run. `slot` is ISO 8601; `id` tells apart triggers within one slot (absent for a schedule)."""

    trigger: str  # schedule, manual, new_data, gate
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


class PublishShard(TypedDict):
    run_id: str
    shard: Shard
    scored_at: str  # ISO 8601 UTC
    key_type: str


class Published(TypedDict):
    index: int
    rows_scored: int
    rows_published: int


class Conclude(TypedDict):
    outcome: str  # succeeded or failed
    run_id: NotRequired[str]
    execution: str
    started_at: NotRequired[str]
    scored_at: NotRequired[str]
    prepared: NotRequired[Prepared]
    published: NotRequired[list[Published]]
    error: NotRequired[str]
    cause: NotRequired[str]


class Concluded(TypedDict):
    run_id: str
    status: str
    visible: bool
