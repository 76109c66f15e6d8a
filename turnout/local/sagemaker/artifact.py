"""A model's artifact: model.tar.gz from S3 into a folder, without trusting the archive."""

import tarfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit


class BadArtifact(Exception):
    """The artifact is not there, or is no gzip tar that may be unpacked."""


def split_uri(uri: str) -> tuple[str, str]:
    """Return bucket and key of `s3://bucket/key`."""
    parts = urlsplit(uri)
    if parts.scheme != "s3" or not parts.netloc:
        raise BadArtifact(f"{uri!r} is not an s3:// URI")
    return parts.netloc, uri[len(f"s3://{parts.netloc}/") :]


def fetch(s3: Any, uri: str, folder: Path) -> None:
    """Unpack the archive at `uri` into `folder`. Members that lead outside are refused (tarfile's `data` filter)."""
    from botocore.exceptions import ClientError

    bucket, key = split_uri(uri)
    archive = folder.with_suffix(".tar.gz")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        s3.download_file(bucket, key, str(archive))
    except ClientError as error:
        raise BadArtifact(f"Could not access model data at {uri}: {error}") from error
    try:
        with tarfile.open(archive, "r:gz") as tar:
            tar.extractall(folder, filter="data")
    except (tarfile.TarError, OSError, EOFError) as error:
        raise BadArtifact(f"model data at {uri} could not be extracted: {error}") from error
    finally:
        archive.unlink(missing_ok=True)
