"""Sample payloads with the predictions that training made of them, which the gate compares an endpoint with."""

import hashlib

from infra.constructs.file_asset import StagedFile
from infra.constructs.staging import Staging
from turnout.config.archive import SAMPLES
from turnout.config.samples import samples_of
from turnout.config.specs import ModelSpec


def stage_samples(spec: ModelSpec, staging: Staging) -> StagedFile | None:
    """Stage an entry's samples; None where there are none."""
    path = samples_of(spec)
    if path is None:
        return None
    content = path.read_bytes()
    return staging.file(SAMPLES, hashlib.sha256(content).hexdigest(), lambda: content)
