"""The model's card (handlers.contract.card) as a file to upload: a changed card is another key, never a stale one."""

import hashlib

from handlers.contract.card import ModelCard
from infra.constructs.file_asset import StagedFile
from infra.constructs.staging import Staging


def stage_card(card: ModelCard, staging: Staging) -> StagedFile:
    content = card.to_json().encode()
    return staging.file("card.json", hashlib.sha256(content).hexdigest(), lambda: content)
