"""The place below the app's output folder where files wait for their upload, each under its digest."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from infra.constructs.file_asset import StagedFile


class Staging:
    """Files made once per content: a second synth, or a second model with the same content, finds them there."""

    def __init__(self, outdir: Path) -> None:
        self._outdir = outdir
        self._root = outdir / "staging"

    def file(self, name: str, digest: str, content: Callable[[], bytes]) -> StagedFile:
        """Stage one file; `content` is called only if it is not there yet."""
        path = self._root / digest[:32] / name
        if not path.exists():
            _write_whole(path, content())
        return StagedFile(path.relative_to(self._outdir), digest)

    def folder(self, digest: str, files: Callable[[], dict[str, bytes]]) -> StagedFile:
        """Stage a folder; `files` returns what it holds by relative name, and is called only if it is not there yet."""
        path = self._root / digest[:32]
        if not path.exists():
            _fill_whole(path, files())
        return StagedFile(path.relative_to(self._outdir), digest, folder=True)


def digest_of(files: dict[str, bytes]) -> str:
    """Return the SHA-256 of names and contents, in the order of the names."""
    digest = hashlib.sha256()
    for name, content in sorted(files.items()):
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def _write_whole(path: Path, data: bytes) -> None:
    """Write a file so that another synth never sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(handle, "wb") as stream:
        stream.write(data)
    Path(temporary).replace(path)


def _fill_whole(folder: Path, files: dict[str, bytes]) -> None:
    """Fill a temporary folder and rename it, for the same reason."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent))
    fill(temporary, files)
    temporary.chmod(0o755)
    try:
        temporary.rename(folder)
    except OSError:  # another synth was faster, and its copy is the same
        shutil.rmtree(temporary)


def fill(folder: Path, files: dict[str, bytes]) -> None:
    """Write files below a folder."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
