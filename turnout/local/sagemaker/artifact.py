"""A model's artifacts: archives or plain objects from S3 into a folder, without trusting them."""

import os
import re
import shutil
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

S3_HOST = re.compile(r"(?:(?P<bucket>.+)\.)?s3(?:[.-][a-z0-9-]+){0,2}\.amazonaws\.com(?:\.cn)?")


class BadArtifact(Exception):
    """The artifact is not there, or is no gzip tar that may be unpacked; AWS's words, and what is behind them."""


def split_uri(uri: str) -> tuple[str, str]:
    """Return bucket and key of `s3://bucket/key`, or of an object's https URL, as CDK's SageMaker constructs write it.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/VirtualHosting.html: the bucket in the path or in the host.
    """
    parts = urlsplit(uri)
    if parts.scheme == "s3" and parts.netloc:
        return parts.netloc, uri[len(f"s3://{parts.netloc}/") :]
    host = S3_HOST.fullmatch(parts.netloc) if parts.scheme == "https" else None
    if host is None:
        raise BadArtifact(f"{uri!r} is not an s3:// URI")
    path = unquote(parts.path.removeprefix("/"))
    bucket, _, key = (host["bucket"], "", path) if host["bucket"] else path.partition("/")
    return bucket, key


def definitions(model: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Return a CreateModel record's container definitions: one, or a pipeline's."""
    return model.get("Containers") or [model["PrimaryContainer"]]


def folder_of(model_dir: Path, number: int, containers: int) -> Path:
    """Return where the model of one container lies: at the root unless there are several."""
    return model_dir if containers == 1 else model_dir / f"container-{number + 1}"


def fetch_model(s3: Any, model: Mapping[str, Any], model_dir: Path) -> None:
    """Fetch what every container of a CreateModel record serves, and make it read-only. Raises BadArtifact.

    `remove` takes it away again: a folder that is read-only cannot be removed as it is.
    """
    described = definitions(model)
    for number, definition in enumerate(described):
        folder = folder_of(model_dir, number, len(described))
        folder.mkdir(parents=True, exist_ok=True)
        _fetch_definition(s3, definition, folder, f"container_{number + 1}")
    protect(model_dir)


def _fetch_definition(s3: Any, definition: Mapping[str, Any], folder: Path, container: str) -> None:
    source = definition.get("ModelDataSource", {}).get("S3DataSource")
    if source is None:
        if url := definition.get("ModelDataUrl"):
            fetch(s3, url, folder, container)
    elif source["CompressionType"] == "Gzip":
        fetch(s3, source["S3Uri"], folder, container)
    else:
        copy(s3, source["S3Uri"], folder, container)


def fetch(s3: Any, uri: str, folder: Path, container: str = "container_1") -> None:
    """Unpack the archive at `uri` into `folder`. Members that lead outside are refused (tarfile's `data` filter)."""
    archive = folder.with_suffix(".tar.gz")
    folder.mkdir(parents=True, exist_ok=True)
    _download(s3, uri, archive, container)
    try:
        with tarfile.open(archive, "r:gz") as tar:
            tar.extractall(folder, filter="data")
    except (tarfile.TarError, OSError, EOFError) as error:
        raise BadArtifact(
            f'Failed to extract model data archive for container "{container}" from URL "{uri}". Please ensure that '
            f"the object located at the URL is a valid tar.gz archive. ({error})"
        ) from error
    finally:
        archive.unlink(missing_ok=True)


def copy(s3: Any, uri: str, folder: Path, container: str) -> None:
    """Copy the object at `uri`, or every object below it when it ends with a slash, into `folder`."""
    bucket, prefix = split_uri(uri)
    if not prefix.endswith("/"):
        _download(s3, uri, folder / prefix.rpartition("/")[2], container)
        return
    keys = list(_keys(s3, uri, container))
    if not keys:
        raise _not_there(uri, "no object has this prefix", container)
    for key in keys:
        target = folder / key[len(prefix) :]
        if not target.resolve().is_relative_to(folder.resolve()):
            raise BadArtifact(f"s3://{bucket}/{key} leads outside the model's folder")
        target.parent.mkdir(parents=True, exist_ok=True)
        _download(s3, f"s3://{bucket}/{key}", target, container)


def _keys(s3: Any, uri: str, container: str) -> Iterator[str]:
    from botocore.exceptions import ClientError

    bucket, prefix = split_uri(uri)
    try:
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            yield from (found["Key"] for found in page.get("Contents", []) if not found["Key"].endswith("/"))
    except ClientError as error:
        raise _not_there(uri, error, container) from error


def _download(s3: Any, uri: str, target: Path, container: str) -> None:
    from botocore.exceptions import ClientError

    bucket, key = split_uri(uri)
    try:
        s3.download_file(bucket, key, str(target))
    except ClientError as error:
        raise _not_there(uri, error, container) from error


def _not_there(uri: str, why: object, container: str) -> BadArtifact:
    return BadArtifact(
        f'Failed to download model data for container "{container}" from URL: "{uri}". Please ensure that there is an '
        f"object located at the URL and that the role passed to CreateModel has permissions to download the object. "
        f"({why})"
    )


def protect(folder: Path) -> None:
    """Make a folder and what lies in it read-only, as the model's folder is on AWS."""
    for path, folders, files in os.walk(folder):
        for name in (*folders, *files):
            member = Path(path, name)
            if not member.is_symlink():
                member.chmod(member.stat().st_mode & ~0o222)
    folder.chmod(folder.stat().st_mode & ~0o222)


def remove(folder: Path) -> None:
    """Remove a folder, also one that `protect` has closed; what cannot be removed stays."""
    for path, _, _ in os.walk(folder):
        os.chmod(path, 0o700)
    shutil.rmtree(folder, ignore_errors=True)
