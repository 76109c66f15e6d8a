"""What the constructs of one model share, handed on as resources rather than names."""

from dataclasses import dataclass

from handlers.contract.card import ModelCard
from infra.constructs.bucket_place import BucketPlace
from infra.constructs.card_asset import CardAsset
from infra.constructs.handler_code import HandlerCode
from infra.constructs.model import Model
from infra.constructs.score_store import ScoreStore
from turnout.config.specs import ModelSpec
from turnout.config.stages import Stage


@dataclass(frozen=True)
class Parts:
    """One model in one stage. `data` is the platform's bucket, `input` the one that the model reads from."""

    spec: ModelSpec
    stage: Stage
    card: ModelCard
    card_asset: CardAsset
    code: HandlerCode
    model: Model
    store: ScoreStore
    data: BucketPlace
    input: BucketPlace
    input_prefix: str
    arrow_layer: str
    tags: dict[str, str]
