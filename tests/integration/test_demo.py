"""`make demo` is the first thing a newcomer runs; the suite runs it too."""

import os
import re
import subprocess
import sys

import pytest

from handlers.contract.modes import AVAILABLE, ServingMode
from tests.integration.conftest import ROOT
from turnout.local import control


@pytest.mark.local_only("the demo brings its own local cloud")
def test_the_demo_verifies_every_step_and_leaves_nothing_running():
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    ended = subprocess.run(
        # A foreign virtual environment that is active must not choose the app's Python.
        [sys.executable, "-m", "turnout", "demo"],
        cwd=ROOT,
        env={**environment, "VIRTUAL_ENV": "/nonexistent"},
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert ended.returncode == 0, ended.stdout[-4000:] + ended.stderr[-2000:]
    for claim in ("→ 409", "mode: batch   becomes   mode: precompute", "rows quarantined", '"source": "precomputed"'):
        assert claim in ended.stdout, claim
    assert "nothing is left running" in ended.stdout
    *_, bill = ended.stdout.partition("What a month of this would cost in AWS")
    amounts = re.search(r"^a month +(.+)$", bill, re.M)[1].split()
    assert len(amounts) == len(AVAILABLE)
    assert amounts[list(ServingMode).index(ServingMode.PRECOMPUTE)].startswith("*")  # what the demo switched to
    assert control.processes(ROOT / ".turnout/demo/cloud") == []
