"""The one Lambda asset that every function shares: a folder with `handlers/` in it and nothing else."""

import hashlib
import shutil
import tempfile
from pathlib import Path

from aws_cdk import aws_s3_assets as assets
from constructs import Construct

HANDLERS = Path(__file__).resolve().parents[2] / "handlers"


def stage_handlers(staging: Path, source: Path = HANDLERS) -> Path:
    """Return a folder that holds a copy of `handlers/`, Python files only, made once per content.

    CDK uploads folders, not selections; pointing it at the repository with an ignore list would walk
    virtual environments at every synth.
    """
    files = {path.relative_to(source).as_posix(): path.read_bytes() for path in sorted(source.rglob("*.py"))}
    folder = staging / f"handlers-{_digest(files)}"
    if not folder.exists():
        _copy(files, folder)
    return folder


def _digest(files: dict[str, bytes]) -> str:
    digest = hashlib.sha256()
    for name, content in files.items():
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:16]


def _copy(files: dict[str, bytes], folder: Path) -> None:
    """Fill a temporary folder and rename it, so that another synth never sees half of it."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent))
    for name, content in files.items():
        path = temporary / "handlers" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    temporary.chmod(0o755)
    try:
        temporary.rename(folder)
    except OSError:  # another synth was faster; its copy is the same
        shutil.rmtree(temporary)


class HandlerCode(Construct):
    """Where a stack's functions find their code."""

    def __init__(self, scope: Construct, id: str, *, folder: Path) -> None:
        super().__init__(scope, id)
        asset = assets.Asset(self, "Asset", path=str(folder))
        self.asset_hash = asset.asset_hash
        self.location = {"s3Bucket": asset.s3_bucket_name, "s3Key": asset.s3_object_key}
