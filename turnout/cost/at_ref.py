"""`models.yaml` as it was at a commit, with the code folders and cards that it had then."""

import os
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from turnout.config import ConfigError, ModelSpec, load
from turnout.errors import UserError


class GitFailed(UserError):
    """git ended with an error; the message is what it said."""


def entries_at(config: Path, ref: str) -> Mapping[str, ModelSpec] | None:
    """Return the entries that a configuration had at a commit; None where the file was not there yet.

    Raises UserError where git knows no such commit, or where the file was not valid then.
    """
    config = config.resolve()
    top = Path(_git(config.parent, "rev-parse", "--show-toplevel").decode().strip())
    shown = config.relative_to(top)
    commit = _commit(top, ref)
    if not _git(top, "ls-tree", commit, "--", shown.as_posix()):
        return None
    with tempfile.TemporaryDirectory(prefix="turnout-at-") as folder:
        tree = Path(folder, "tree")
        _write(top, commit, tree, Path(folder, "index"))
        try:
            return load(tree / shown).models
        except ConfigError as error:
            problems = str(error).replace(f"{tree.resolve()}/", "").replace(f"{tree}/", "")
            raise UserError(f"{shown} was not valid at {ref}:\n{problems}") from error


def _commit(top: Path, ref: str) -> str:
    try:
        return _git(top, "rev-parse", "--verify", "--end-of-options", f"{ref}^{{commit}}").decode().strip()
    except GitFailed as error:
        remedy = "Give a commit, a branch or a tag of the repository; fetch it first (`fetch-depth: 0` in CI)."
        raise UserError(f"There is no commit {ref!r} here.", remedy) from error


def _write(top: Path, commit: str, to: Path, index: Path) -> None:
    """Write a commit's files by an index of their own. `git archive` would leave out what `export-ignore` names."""
    _git(top, "read-tree", commit, index=index)
    _git(top, "checkout-index", "--all", f"--prefix={to}/", index=index)


def _git(folder: Path, *arguments: str, index: Path | None = None) -> bytes:
    own = {} if index is None else {"env": {**os.environ, "GIT_INDEX_FILE": str(index)}}
    try:
        ended = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, stdin=subprocess.DEVNULL, **own)
    except FileNotFoundError as error:
        raise UserError("There is no `git` on this machine.", "--diff reads the earlier file from it.") from error
    if ended.returncode:
        said = ended.stderr.decode(errors="replace").strip()
        raise GitFailed(f"git could not tell: {said}.", "--diff reads the earlier file from it.")
    return ended.stdout
