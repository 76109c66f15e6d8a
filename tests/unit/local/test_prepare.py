"""A model's own packages: installed once, on top of the interpreter's, in an environment that its contents name."""

import base64
import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from turnout.local.sagemaker.containers import PREPARE

SHOW = "import sys, json\ntry:\n    import own_package as own\nexcept ImportError:\n    own = None\nimport numpy\n"
SHOW += "print(json.dumps({'own': own and own.ANSWER, 'prefix': sys.prefix}), flush=True)\n"


@pytest.fixture
def code(tmp_path) -> Path:
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "show.py").write_text(SHOW)
    return folder


def prepared(code: Path, isolated: bool = False, interpreter: str = sys.executable) -> subprocess.CompletedProcess:
    """Run a script of the code folder after its requirements."""
    scratch = code.parent / "scratch"
    scratch.mkdir(exist_ok=True)
    command = [sys.executable, str(PREPARE), interpreter, str(code), str(int(isolated)), str(code / "show.py")]
    environment = {"PATH": "/usr/bin:/bin", "XDG_CACHE_HOME": str(code.parent / "cache"), "TMPDIR": str(scratch)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


def put_wheel(folder: Path, answer: str, version: str = "1.0") -> str:
    """Write a wheel of one module, so that no package index is asked; return its requirement."""
    files = {
        "own_package.py": f"ANSWER = {answer!r}\n",
        f"own_package-{version}.dist-info/METADATA": f"Metadata-Version: 2.1\nName: own-package\nVersion: {version}\n",
        f"own_package-{version}.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = f"own_package-{version}.dist-info/RECORD"
    lines = [f"{name},sha256={digest(text)},{len(text)}\n" for name, text in files.items()]
    name = f"own_package-{version}-py3-none-any.whl"
    with zipfile.ZipFile(folder / name, "w") as wheel:
        for path, text in {**files, record: "".join(lines) + f"{record},,\n"}.items():
            wheel.writestr(path, text)
    return f"./{name}"


def digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


def test_an_interpreter_that_has_everything_is_used_as_it_is(code):
    (code / "requirements.txt").write_text("# for the model\nnumpy>=2  # any\n\ntzdata; python_version < '3'\n")
    done = prepared(code)
    assert f'"prefix": "{sys.prefix}"' in done.stdout
    assert not (code.parent / "cache").exists()


def test_what_is_missing_is_installed_once_and_again_when_it_changes(code):
    (code / "requirements.txt").write_text(put_wheel(code, "first") + "\n")
    done = prepared(code)
    assert '"own": "first"' in done.stdout, done.stderr  # and numpy came from the interpreter
    assert "installing packages from requirements.txt" in done.stderr
    again = prepared(code)
    assert again.stdout == done.stdout
    assert again.stderr == ""
    put_wheel(code, "second")
    assert '"own": "second"' in prepared(code).stdout


def test_a_failure_is_told_in_pips_words_and_leaves_no_environment(code):
    (code / "requirements.txt").write_text("./absent-1.0-py3-none-any.whl\n")
    done = prepared(code)
    assert done.returncode == 1
    assert "absent-1.0-py3-none-any.whl" in done.stderr
    assert done.stderr.strip().endswith("ERROR: failed to install required packages")
    assert [path.suffix for path in (code.parent / "cache/turnout/environments").iterdir()] == [".lock"]


def test_a_cache_that_cannot_be_written_is_done_without(code):
    (code.parent / "cache").write_text("a file, where a folder should be")
    (code / "requirements.txt").write_text(put_wheel(code, "first") + "\n")
    done = prepared(code)
    assert f'"prefix": "{code.parent / "scratch"}/turnout/environments/' in done.stdout, done.stderr


def test_an_isolated_model_gets_nothing_installed(code):
    (code / "requirements.txt").write_text(f"numpy>=2\n{put_wheel(code, 'x')}\n")
    done = prepared(code, isolated=True)
    assert done.returncode == 1
    assert "asks for what is not installed: ./own_package-1.0-py3-none-any.whl" in done.stderr
    assert not (code.parent / "cache").exists()


def test_requirements_that_are_satisfied_need_no_network(code):
    (code / "requirements.txt").write_text("numpy\n")
    assert prepared(code, isolated=True).returncode == 0
