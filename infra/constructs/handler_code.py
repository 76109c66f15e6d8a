"""The one Lambda asset that every function shares: a folder with `handlers/` in it and nothing else.

Where Python of the functions' own version is at hand, the asset also holds the bytecode: a function cannot keep any,
its code lies on a disk that it must not write to, and compiling takes longer than all else at a cold start. Where it
is not, the asset is the source alone, under another digest: functions then start slower and do the same.
"""

import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

from infra.constructs.file_asset import StagedFile
from infra.constructs.function import RUNTIME
from infra.constructs.staging import Staging, digest_of, fill

HANDLERS = Path(__file__).resolve().parents[2] / "handlers"
#: Where Lambda unpacks an asset; bytecode that named the folder it was made in would be another one each time.
TASK = "/var/task"
#: Seconds that asking a Python for its version may take, and compiling; they take a fiftieth and one.
ASK_SECONDS, COMPILE_SECONDS = 10, 120

_VERSION = "import sys, importlib.util; print(sys.implementation.cache_tag, importlib.util.MAGIC_NUMBER.hex())"
#: Unchecked: zipping gives all files one date, and the sources cannot change under their bytecode.
_COMPILE = """
import compileall, py_compile, sys
unchecked = py_compile.PycInvalidationMode.UNCHECKED_HASH
sys.exit(not compileall.compile_dir(sys.argv[1], quiet=1, ddir=sys.argv[2], invalidation_mode=unchecked))
"""


def stage_handlers(staging: Staging, source: Path = HANDLERS, runtime: str = RUNTIME) -> StagedFile:
    """Stage a copy of `handlers/`, Python files only, and their bytecode if a Python of `runtime` can be had.

    CDK uploads folders, not selections of files; an ignore list on the repository would walk virtual
    environments at every synth. The digest is that of the sources and of the version that compiles them: two
    compilations of one source may differ in bytes that mean the same.
    """
    files = {f"handlers/{path.relative_to(source).as_posix()}": path.read_bytes() for path in source.rglob("*.py")}
    found = python_of(runtime)
    if found is None:
        return staging.folder(digest_of(files), lambda: files)
    interpreter, version = found
    digest = digest_of({**files, "bytecode": version.encode()})
    return staging.folder(digest, lambda: files | compiled(files, interpreter))


@cache
def python_of(runtime: str) -> tuple[str, str] | None:
    """Return a Python of the runtime's minor version (`python3.14`) and the version of its bytecode, or None.

    It is this one, or one on the path; a command of that name which does not run (pyenv has such) is none.
    """
    own = f"python{sys.version_info.major}.{sys.version_info.minor}"
    interpreter = sys.executable if runtime == own else shutil.which(runtime)
    if interpreter is None:
        return None
    command = [interpreter, "-I", "-c", _VERSION]
    asked = subprocess.run(command, capture_output=True, text=True, timeout=ASK_SECONDS, check=False)
    return None if asked.returncode else (interpreter, asked.stdout.strip())


def compiled(files: dict[str, bytes], interpreter: str) -> dict[str, bytes]:
    """Return the bytecode of files by name (`handlers/__pycache__/...`). Raises CalledProcessError."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fill(folder, files)
        subprocess.run([interpreter, "-I", "-c", _COMPILE, name, TASK], timeout=COMPILE_SECONDS, check=True)
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.pyc")}
