"""Builds `model.tar.gz`, the archive that SageMaker unpacks to `/opt/ml/model`, the same bytes every time.

model.joblib, ...           everything under the code folder's `artifact/`
code/inference.py           the hooks that the container calls
code/requirements.txt       when the code folder has one
code/<module>.py            its other modules; `train.py` stays at home
"""

import gzip
import hashlib
import io
import os
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

#: Only used on the engineer's machine.
NOT_SHIPPED = {"train.py"}


@dataclass(frozen=True)
class Artifact:
    """A model's archive: a local file to upload, or an object that is already in S3."""

    version: str
    path: Path | None = None
    digest: str | None = None
    uri: str | None = None


def build_artifact(folder: Path, cache: Path) -> Artifact:
    """Return the archive of a code folder, compressing it only when `cache` does not hold these contents yet.

    The digest is taken before compression, because gzip's output differs between zlib builds: the same
    model gets the same version on every machine.
    """
    tar = _tar(members(folder))
    digest = hashlib.sha256(tar).hexdigest()
    path = cache / digest[:32] / "model.tar.gz"
    if not path.exists():
        _write_whole(path, _gzip(tar))
    return Artifact(version=digest[:12], path=path, digest=digest)


def artifact_in_s3(uri: str) -> Artifact:
    """Return an archive that already lies in S3; its version says which URI, not which bytes."""
    return Artifact(version=hashlib.sha256(uri.encode()).hexdigest()[:12], uri=uri)


def members(folder: Path) -> dict[str, Path]:
    """Return name inside the archive -> file, sorted by name."""
    found = {path.relative_to(folder / "artifact").as_posix(): path for path in _files(folder / "artifact")}
    for path in _files(folder):
        name = path.relative_to(folder)
        if name.parts[0] == "artifact" or name.as_posix() in NOT_SHIPPED:
            continue
        if path.suffix == ".py" or name.as_posix() == "requirements.txt":
            found[f"code/{name.as_posix()}"] = path
    return dict(sorted(found.items()))


def _files(folder: Path) -> list[Path]:
    """Return every file below a folder, except hidden ones and byte code."""
    return [path for path in folder.rglob("*") if path.is_file() and not _hidden(path.relative_to(folder))]


def _hidden(name: Path) -> bool:
    return any(part.startswith(".") or part == "__pycache__" for part in name.parts)


def _tar(files: dict[str, Path]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, path in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = path.stat().st_size, 0o644
            with path.open("rb") as stream:
                tar.addfile(info, stream)
    return out.getvalue()


def _gzip(data: bytes) -> bytes:
    out = io.BytesIO()
    with gzip.GzipFile(filename="", fileobj=out, mode="wb", compresslevel=6, mtime=0) as stream:
        stream.write(data)
    return out.getvalue()


def _write_whole(path: Path, data: bytes) -> None:
    """Write a file so that another synth never sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(handle, "wb") as stream:
        stream.write(data)
    Path(temporary).replace(path)
