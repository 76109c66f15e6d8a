"""What the constructs of one model share, handed on as resources rather than names."""

from dataclasses import dataclass

from handlers.contract.card import ModelCard
from infra.constructs.bucket_place import BucketPlace
from infra.constructs.file_asset import FileAsset
from infra.constructs.model import Model
from infra.constructs.score_store import ScoreStore
from turnout.config.specs import ModelSpec
from turnout.config.stages import Stage


@dataclass(frozen=True)
class Parts:
    """One model in one stage.

    `data` is the platform's bucket, `source` with `source_prefix` where the model's input lies. `tags` go on every
    resource, `job_tags` on what a run costs.
    """

    spec: ModelSpec
    stage: Stage
    card: ModelCard
    card_file: FileAsset
    code: FileAsset
    model: Model
    model_version: str
    scores: ScoreStore
    data: BucketPlace
    source: BucketPlace
    source_prefix: str
    arrow_layer: str
    tags: dict[str, str]
    job_tags: dict[str, str]
