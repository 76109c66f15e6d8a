"""The one Lambda asset that every function shares: a folder with `handlers/` in it and nothing else."""

from pathlib import Path

from infra.constructs.file_asset import StagedFile
from infra.constructs.staging import Staging, digest_of

HANDLERS = Path(__file__).resolve().parents[2] / "handlers"


def stage_handlers(staging: Staging, source: Path = HANDLERS) -> StagedFile:
    """Stage a copy of `handlers/`, Python files only.

    CDK uploads folders, not selections of files; an ignore list on the repository would walk virtual
    environments at every synth.
    """
    files = {f"handlers/{path.relative_to(source).as_posix()}": path.read_bytes() for path in source.rglob("*.py")}
    return staging.folder(digest_of(files), files)
