"""Builds `model.tar.gz`, which SageMaker unpacks to `/opt/ml/model`; turnout.config.archive says what is in it."""

import gzip
import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

from infra.constructs.file_asset import StagedFile
from infra.constructs.staging import Staging
from turnout.config.archive import members, pack, version_of

NAME = "model.tar.gz"


@dataclass(frozen=True)
class Artifact:
    """A model's archive: a staged file to upload, or the URI of one that is already in S3."""

    version: str
    file: StagedFile | None = None
    uri: str | None = None


def build_artifact(folder: Path, staging: Staging) -> Artifact:
    """Return a code folder's archive, compressing it only when these contents were never staged."""
    tar = pack(members(folder))
    # The key in S3 is digest and last suffix; SageMaker wants to see `.tar.gz`.
    staged = staging.file(NAME, f"{hashlib.sha256(tar).hexdigest()}.tar", lambda: compress(tar))
    return Artifact(version=version_of(tar), file=staged)


def artifact_in_s3(uri: str) -> Artifact:
    return Artifact(version=version_of(uri.encode()), uri=uri)


def compress(tar: bytes) -> bytes:
    out = io.BytesIO()
    with gzip.GzipFile(filename="", fileobj=out, mode="wb", compresslevel=6, mtime=0) as stream:
        stream.write(tar)
    return out.getvalue()
