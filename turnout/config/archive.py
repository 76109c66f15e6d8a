"""What a model's archive `model.tar.gz` holds, and the version that follows from it, the same on every machine.

model.joblib, ...           everything under the code folder's `artifact/`
code/inference.py           the hooks that the container calls
code/<module>.py, ...       what it imports from the code folder, and what that imports in turn
code/requirements.txt       when the code folder has one

What training uses and inference does not stays at home, so that changing it makes no new model version.
"""

import ast
import hashlib
import io
import tarfile
from pathlib import Path

from turnout.config.specs import ModelSpec

ENTRY = "inference.py"
#: Payloads with the predictions that training made of them, in the artifact folder: what the gate asks an endpoint.
SAMPLES = "sample_payloads.json"
VERSION_DIGITS = 12


def version_of(contents: bytes) -> str:
    """Return the version of a model: of the uncompressed archive, or of the URI of one that is in S3 already.

    Before compression, because gzip's output differs between zlib builds. A URI says which file, not which bytes.
    """
    return hashlib.sha256(contents).hexdigest()[:VERSION_DIGITS]


def model_version(spec: ModelSpec) -> str | None:
    """Return the version that a deploy of an entry gives its model; None for one that is not trained yet."""
    if spec.artifact is not None:
        return version_of(spec.artifact.encode())
    if spec.code is None or not (spec.code / "artifact").is_dir():
        return None
    return version_of(pack(members(spec.code)))


def members(folder: Path) -> dict[str, Path]:
    """Return name inside the archive -> file, sorted by name."""
    found = {path.relative_to(folder / "artifact").as_posix(): path for path in _files(folder / "artifact")}
    shipped = imported(folder, ENTRY) | {"requirements.txt"}
    found |= {f"code/{name}": folder / name for name in shipped if (folder / name).is_file()}
    return dict(sorted(found.items()))


def pack(files: dict[str, Path]) -> bytes:
    """Return a tar that depends on names and contents only: no times, owners or modes of this machine."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, path in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = path.stat().st_size, 0o644
            with path.open("rb") as stream:
                tar.addfile(info, stream)
    return out.getvalue()


def imported(folder: Path, entry: str) -> set[str]:
    """Return the entry module and every module of the code folder that it reaches by import statements.

    A package that is imported comes whole. Imports that are computed at run time are not seen.
    """
    found: set[str] = set()
    waiting = [entry]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += [module for top in _top_level_imports(folder / name) for module in _modules(folder, top)]
    return found


def _modules(folder: Path, name: str) -> list[str]:
    """Return the files of the folder that `import name` means: a module, or all of a package."""
    if (folder / f"{name}.py").is_file():
        return [f"{name}.py"]
    return [path.relative_to(folder).as_posix() for path in _files(folder / name) if path.suffix == ".py"]


def _top_level_imports(path: Path) -> set[str]:
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError):  # the container says it better
        return set()
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and not node.level}
    return {name.split(".")[0] for name in names if name}


def _files(folder: Path) -> list[Path]:
    """Return every file below a folder, except hidden ones and byte code."""
    return [path for path in folder.rglob("*") if path.is_file() and not _hidden(path.relative_to(folder))]


def _hidden(name: Path) -> bool:
    return any(part.startswith(".") or part == "__pycache__" for part in name.parts)
