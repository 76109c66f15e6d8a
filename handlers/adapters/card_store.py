"""The model's card from S3, where a deployment has put it under a name made of its content."""

from handlers.contract.card import ModelCard
from handlers.logic.ports import Objects


def load_card(objects: Objects, bucket: str, key: str) -> ModelCard:
    return ModelCard.from_json(objects.get(bucket, key))
