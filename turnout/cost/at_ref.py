"""`models.yaml` as it was at a commit, with the code folders and cards that it had then."""

import io
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path

from turnout.config import ConfigError, ModelSpec, load
from turnout.errors import UserError


def entries_at(config: Path, ref: str) -> Mapping[str, ModelSpec]:
    """Return the entries that a configuration had at a commit; none where the file was not there yet.

    Raises UserError where git knows no such commit, or where the file was not valid then.
    """
    config = config.resolve()
    top = Path(_git(config.parent, "rev-parse", "--show-toplevel").decode().strip())
    shown = config.relative_to(top)
    commit = _git(top, "rev-parse", "--verify", "--end-of-options", f"{ref}^{{commit}}").decode().strip()
    if not _git(top, "ls-tree", commit, "--", shown.as_posix()):
        return {}
    with tempfile.TemporaryDirectory(prefix="turnout-at-") as folder:
        with tarfile.open(fileobj=io.BytesIO(_git(top, "archive", "--format=tar", commit))) as tree:
            tree.extractall(folder, filter="data")
        try:
            return load(Path(folder, shown)).models
        except ConfigError as error:
            problems = str(error).replace(f"{Path(folder).resolve()}/", "").replace(f"{folder}/", "")
            raise UserError(f"{shown} was not valid at {ref}:\n{problems}") from error


def _git(folder: Path, *arguments: str) -> bytes:
    try:
        ended = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, stdin=subprocess.DEVNULL)
    except FileNotFoundError as error:
        raise UserError("There is no `git` on this machine.", "--diff reads the earlier file from it.") from error
    if ended.returncode:
        said = ended.stderr.decode(errors="replace").strip()
        raise UserError(f"git could not tell: {said}", "Give a commit, a branch or a tag of the repository.")
    return ended.stdout
