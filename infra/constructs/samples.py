"""Sample payloads with the predictions that training made of them, which the gate compares an endpoint with."""

import hashlib
from pathlib import Path

from infra.constructs.file_asset import StagedFile
from infra.constructs.staging import Staging

NAME = "sample_payloads.json"


def stage_samples(folder: Path, staging: Staging) -> StagedFile | None:
    """Stage a code folder's samples; None where training kept none."""
    path = folder / "artifact" / NAME
    if not path.is_file():
        return None
    content = path.read_bytes()
    return staging.file(NAME, hashlib.sha256(content).hexdigest(), lambda: content)
