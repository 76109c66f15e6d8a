"""What the constructs of one model share, handed on as resources rather than names."""

from dataclasses import dataclass

from handlers.contract.card import ModelCard
from infra.constructs.alarms import Alarms
from infra.constructs.bucket_place import BucketPlace
from infra.constructs.file_asset import FileAsset
from infra.constructs.published_by_aws import PublishedByAws
from infra.constructs.score_store import ScoreStore
from turnout.config.specs import ModelSpec
from turnout.config.stages import Stage


@dataclass(frozen=True)
class Parts:
    """One model in one stage.

    `data` is the platform's bucket, `source` with `source_prefix` where the model's input lies. `samples` are payloads
    with the predictions that training made of them, where training kept some. `alarms` takes everyone's alarms.
    `tags` go on every resource, `job_tags` on what a run costs.
    """

    spec: ModelSpec
    stage: Stage
    card: ModelCard
    card_file: FileAsset
    code: FileAsset
    archive_uri: str
    model_version: str
    samples: FileAsset | None
    scores: ScoreStore
    data: BucketPlace
    source: BucketPlace
    source_prefix: str
    published: PublishedByAws
    alarms: Alarms
    tags: dict[str, str]
    job_tags: dict[str, str]
