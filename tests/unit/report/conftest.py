"""A fleet of three models, and JavaScript as node runs it."""

import json
import subprocess
from collections.abc import Callable
from datetime import date
from typing import Any

import pytest

from turnout import config, prices
from turnout.config import STAGES
from turnout.report import page

FLEET = """
models:
  churn:
    mode: realtime
    key: customer
    features: [x]
    code: code
    traffic: {requests_per_month: 9000, entities: 50000, model_latency: 40ms, covered: 1}
    answers: {freshness: 1d, input: stored, consumption: waits, cost: high, latency: 300ms}
  documents:
    mode: async
    key: id
    features: [x]
    code: code
    traffic: {requests_per_month: 20000, payload_kb: 800, model_latency: 45s}
  recommendations:
    mode: precompute
    schedule: rate(6 hours)
    key: user
    features: [x]
    code: code
    traffic: {requests_per_month: 3000000, entities: 2000000, covered: 0.9, model_latency: 80ms}
    answers: {freshness: 12h, input: mostly-stored, consumption: waits, cost: medium}
"""


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fleet")
    (folder / "code").mkdir()
    (folder / "code/inference.py").write_text("def model_fn(folder): ...\n")
    (folder / "models.yaml").write_text(FLEET)
    return config.load(folder / "models.yaml").models


@pytest.fixture(scope="session")
def report(models):
    return page.report(models, STAGES["dev"], prices.load(), date(2026, 11, 23))


@pytest.fixture(scope="session")
def html(report):
    return page.page(report)


@pytest.fixture(scope="session")
def node() -> Callable[[str, str], Any]:
    """What runs a programme and returns the value of an expression after it."""

    def run(program: str, shown: str) -> Any:
        whole = f"{program}\nconsole.log(JSON.stringify({shown}));"
        done = subprocess.run(["node", "-"], input=whole, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr[-2000:]
        return json.loads(done.stdout)

    return run
