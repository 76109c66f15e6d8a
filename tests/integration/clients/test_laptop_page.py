"""docs/sagemaker-on-your-laptop.md, followed to the letter in an empty folder, but for the installation."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from turnout.local import control

pytestmark = pytest.mark.local_only("the page is about the local cloud")

PAGE = Path(__file__).resolve().parents[3] / "docs/sagemaker-on-your-laptop.md"
BLOCK = re.compile(r"^```(\w+) ?([\w.]*)\n(.*?)^```$", re.M | re.S)
KEPT = ("PATH", "LANG", "LC_ALL", "TMPDIR")


@pytest.fixture
def folder(tmp_path) -> Path:
    """An empty folder, whose local cloud is gone after the test."""
    yield tmp_path
    control.down(tmp_path / ".turnout/local")


def test_the_page_does_what_it_says(folder):
    commands = ["set -euo pipefail"]
    expected = []
    for language, name, text in BLOCK.findall(PAGE.read_text()):
        if language == "python":
            (folder / name).write_text(text)
        elif language == "text":
            expected.append(text.strip())
        elif name != "install":
            commands.append(text)
    environment = {name: os.environ[name] for name in KEPT if name in os.environ}
    environment |= {"HOME": str(folder), "PATH": f"{Path(sys.prefix) / 'bin'}:{environment['PATH']}"}
    ran = subprocess.run(
        ["bash", "-c", "\n".join(commands)], cwd=folder, env=environment, capture_output=True, text=True, timeout=240
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert expected
    for text in expected:
        assert text in ran.stdout
    assert "POST /invocations 200" in ran.stdout
    assert ran.stdout.count("\nCompleted\n") == 2, "once by the AWS CLI and once by the SDK"
    assert control.status(folder / ".turnout/local") is None
