"""The model's card (handlers.contract.card), uploaded as a content-addressed file."""

from pathlib import Path

from aws_cdk import Aws, aws_s3_assets as assets
from constructs import Construct

from handlers.contract.card import ModelCard
from infra.constructs.permissions import Statement, allow


class CardAsset(Construct):
    """One JSON file in the bootstrap bucket; a changed card is another key, so functions never read a stale one."""

    def __init__(self, scope: Construct, id: str, *, card: ModelCard, staging: Path) -> None:
        super().__init__(scope, id)
        path = staging / "cards" / f"{card.model}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(card.to_json())
        asset = assets.Asset(self, "Asset", path=str(path))
        self.bucket = asset.s3_bucket_name
        self.key = asset.s3_object_key

    @property
    def read(self) -> Statement:
        return allow(["s3:GetObject"], [f"arn:{Aws.PARTITION}:s3:::{self.bucket}/{self.key}"])
