"""Installs a model's requirements.txt into an environment of its own, then becomes the command that serves it.

Started as a script inside the container's process group, so that pip ends with the container and writes to its log:
`python prepare.py <interpreter> <code folder> <0 or 1: network isolation> <script> <arguments>...`.

An environment is a virtual one on top of the interpreter's own packages. It is kept under the user's cache and
belongs to the contents of requirements.txt (and of the code folder, when a requirement is a path) and to the
interpreter, so that the next start takes no time. Nothing is made when the interpreter satisfies every requirement.
"""

import contextlib
import fcntl
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

DONE = "installed"
FIND_PACKAGES = (
    "import json, sys; print(json.dumps([p for p in sys.path if p.endswith(('site-packages', 'dist-packages'))]))"
)


def main() -> int:
    interpreter, code, isolated, *command = sys.argv[1:]
    lines = requirements(Path(code) / "requirements.txt")
    missing = lines if interpreter != sys.executable else [line for line in lines if not satisfied(line)]
    if missing and isolated == "1":
        return _failed(
            f"requirements.txt asks for what is not installed: {', '.join(missing)}. The model has network isolation, "
            "in which pip reaches no package index; on AWS the container fails as well"
        )
    python = environment(interpreter, Path(code), lines) if missing else interpreter
    if python is None:
        return _failed("failed to install required packages")
    return os.execv(python, [python, *command])


def _failed(message: str) -> int:
    print(f"ERROR: {message}", file=sys.stderr)
    return 1


def requirements(path: Path) -> list[str]:
    """Return the lines that say something."""
    if not path.exists():
        return []
    stripped = (line.partition(" #")[0].strip() for line in path.read_text().splitlines())
    return [line for line in stripped if line and not line.startswith("#")]


def satisfied(line: str) -> bool:
    """Whether this interpreter has what a requirement asks for. False also when only pip can tell."""
    if importlib.util.find_spec("packaging") is None:
        return False
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        wanted = Requirement(line)
    except InvalidRequirement:
        return False
    if wanted.marker and not wanted.marker.evaluate():
        return True
    if wanted.url or wanted.extras:
        return False
    try:
        return wanted.specifier.contains(importlib.metadata.version(wanted.name), prereleases=True)
    except importlib.metadata.PackageNotFoundError:
        return False


def environment(interpreter: str, code: Path, lines: list[str]) -> str | None:
    """Return the interpreter of the environment, which is made if it is not there; None when pip failed."""
    folder = cache() / digest(interpreter, code, lines)
    python = folder / "bin" / "python"
    with Path(f"{folder}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (folder / DONE).exists():
            return str(python)
        shutil.rmtree(folder, ignore_errors=True)
        if not _install(interpreter, folder, code):
            shutil.rmtree(folder, ignore_errors=True)
            return None
        (folder / DONE).touch()
    return str(python)


def cache() -> Path:
    """Return the folder of all environments: below the user's cache or, where that cannot be written, scratch space."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))
    for place in (base, Path(tempfile.gettempdir())):
        folder = place / "turnout" / "environments"
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            if os.access(folder, os.W_OK):
                break
    return folder


def digest(interpreter: str, code: Path, lines: list[str]) -> str:
    """Return the environment's name: the same for the same requirements, interpreter and local packages."""
    content = hashlib.sha256(f"{interpreter}\n{os.stat(interpreter).st_mtime_ns}\n".encode())
    content.update("\n".join(lines).encode())
    if any(line.startswith(("-", ".", "/")) or "/" in line or line.endswith(".whl") for line in lines):
        for path in sorted(path for path in code.rglob("*") if path.is_file()):
            content.update(f"\n{path.relative_to(code)}\n".encode() + path.read_bytes())
    return content.hexdigest()[:20]


def _install(interpreter: str, folder: Path, code: Path) -> bool:
    has_pip = importlib.util.find_spec("pip") is not None
    python = str(folder / "bin" / "python")
    subprocess.run([interpreter, "-m", "venv", *(["--without-pip"] if has_pip else []), str(folder)], check=True)
    _see_packages_of(interpreter, python)
    pip = [sys.executable, "-m", "pip", "--python", python] if has_pip else [python, "-m", "pip"]
    options = ["--disable-pip-version-check", "--no-input", "--progress-bar", "off"]
    print("installing packages from requirements.txt...", file=sys.stderr, flush=True)
    command = [*pip, "install", *options, "-r", str(code / "requirements.txt")]
    return subprocess.run(command, cwd=code, stdout=sys.stderr, check=False).returncode == 0


def _see_packages_of(interpreter: str, python: str) -> None:
    """Let the environment see the interpreter's own packages, as a container's pip sees those of its image.

    `--system-site-packages` would not do: on top of a virtual environment it leads to the packages below that one.
    """
    ask = {"capture_output": True, "text": True, "check": True}
    seen = json.loads(subprocess.run([interpreter, "-c", FIND_PACKAGES], **ask).stdout)
    (own, *_) = json.loads(subprocess.run([python, "-c", FIND_PACKAGES], **ask).stdout)
    (Path(own) / "image.pth").write_text("\n".join(seen) + "\n")


if __name__ == "__main__":
    sys.exit(main())
