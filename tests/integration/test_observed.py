"""What a deployed model was asked comes back as advice: from the front door, CloudWatch and the log, by the command."""

import json
import subprocess
import sys

from tests.integration.conftest import CONFIG, ROOT
from tests.integration.pipeline_runs import wait_for

ASKED = 30


def advised(model: str) -> dict:
    command = [sys.executable, "-m", "turnout", "advise", model, "--observed", "1", "--config", CONFIG, "--json"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    (found,) = json.loads(ended.stdout)
    return found


def test_requests_to_a_realtime_model_are_counted_timed_and_priced(door, samples):
    before = advised("live")["seen"]["requests"]
    for row in samples[:ASKED]:
        body = {"key": row["customer_id"], "features": row["features"]}
        assert door.predict("live", body).status == 200

    def counted():
        found = advised("live")
        return found if found["seen"]["requests"] == before + len(samples[:ASKED]) else None

    found = wait_for(counted, "the requests to be counted")
    assert (found["mode"], found["inferred"]["consumption"]["choice"]) == ("realtime", "waits")
    assert found["seen"]["seconds"]["model"]["p95"] <= found["seen"]["seconds"]["door"]["p99"]
    assert found["proposals"][0]["saves_usd"] > 50
    assert found["proposals"][0]["edits"][0]["now"] == "mode: realtime"
