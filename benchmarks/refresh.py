"""One key scored by event on the local cloud: seconds from the event to the first lookup that shows it, and a storm.

    python -m benchmarks.refresh [--events 40] [--storm 1000]

It starts a local cloud of its own and deploys the sample model in mode hybrid with events. Events come one after the
other, each for a new key; a client then looks the key up again and again, without a pause. In turn with them the same
rows are sent to the model through the front door, which is the floor: a request that is answered live, by one function
and one call to the endpoint, and waits for no queue.

The storm is that many events at once for a single key, then as many for keys of their own; what reaches the model is
counted by SageMaker.
"""

import argparse
import json
import shutil
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3

from benchmarks.switch_drill import ROOT, Drill
from handlers.contract.events import DETAIL_TYPE
from turnout import deployed
from turnout.front_door import FrontDoor

MODEL, STAGE = "churn", "dev"
#: Entries of one PutEvents.
ENTRIES = 10
#: Seconds after which a key that does not show is called lost.
LONGEST = 120.0
CONFIG = """\
models:
  churn:
    mode: hybrid
    schedule: at(2099-01-01T00:00:00) # never while it is measured
    code: %s
    hybrid: { fallback: realtime, max_live_per_minute: 1000000 }
    refresh: { on_event: true, window: %s, min_interval: %s, max_per_minute: 1000000 }
"""


class Bench(Drill):
    """The drill's cloud with one model, and no load."""

    window, min_interval = "0s", "2s"

    def _write_files(self) -> None:
        super()._write_files()
        self.config.write_text(CONFIG % (self.code.resolve(), self.window, self.min_interval))

    def _put_input(self) -> None:
        """Nothing is scored in batch: an event's key needs no generation."""


def put(details: list[dict[str, Any]]) -> None:
    events = boto3.client("events")
    for start in range(0, len(details), ENTRIES):
        entries = [
            {"Source": "bench", "DetailType": DETAIL_TYPE, "Detail": json.dumps({"model": MODEL, **detail})}
            for detail in details[start : start + ENTRIES]
        ]
        if events.put_events(Entries=entries)["FailedEntryCount"]:
            raise RuntimeError("EventBridge refused events")


def seconds_until(probe: Callable[[], bool]) -> float:
    began = time.monotonic()
    while not probe():
        if time.monotonic() - began > LONGEST:
            raise RuntimeError(f"nothing to be seen within {LONGEST} s")
    return time.monotonic() - began


def one_event(door: FrontDoor, row: dict[str, Any]) -> float:
    key = str(uuid.uuid4())
    began = time.monotonic()
    put([{"key": key, "features": row["features"]}])
    seconds_until(lambda: door.lookup(MODEL, key).body.get("source") == "refreshed")
    return time.monotonic() - began


def one_request(door: FrontDoor, row: dict[str, Any]) -> float:
    began = time.monotonic()
    answer = door.predict(MODEL, {"key": str(uuid.uuid4()), "features": row["features"]})
    assert answer.body["source"] == "live", answer
    return time.monotonic() - began


def invocations(endpoint: str) -> int:
    """Count the calls that SageMaker has handed to the model."""
    now = datetime.now(UTC)
    points = boto3.client("cloudwatch").get_metric_statistics(
        Namespace="AWS/SageMaker",
        MetricName="Invocations",
        Dimensions=[{"Name": "EndpointName", "Value": endpoint}, {"Name": "VariantName", "Value": "AllTraffic"}],
        StartTime=now - timedelta(hours=1),
        EndTime=now + timedelta(hours=1),
        Period=60,
        Statistics=["Sum"],
    )["Datapoints"]
    return int(sum(point["Sum"] for point in points))


def storm(door: FrontDoor, endpoint: str, details: list[dict[str, Any]], last: dict[str, Any], what: str) -> None:
    """Put events, and wait until keys show the last prediction that was asked for."""
    calls, began = invocations(endpoint), time.monotonic()
    put(details)
    sent = time.monotonic() - began
    keys = list(last)
    for start in range(0, len(keys), 100):
        wanted = {key: last[key] for key in keys[start : start + 100]}
        instances = [{"key": key} for key in wanted]
        seconds_until(lambda: shown(door, instances) == wanted)  # noqa: B023 called before the loop goes on
    took = time.monotonic() - began
    print(f"{what}: put in {sent:.1f} s, all newest answers after {took:.1f} s, calls: {invocations(endpoint) - calls}")


def shown(door: FrontDoor, instances: list[dict[str, Any]]) -> dict[str, Any]:
    found = door.predict(MODEL, {"instances": instances}).body["predictions"]
    return {body["key"]: body["prediction"] for body in found if "key" in body}


def measure(events: int, many: int) -> None:
    model = deployed.find_model(STAGE, MODEL)
    door, endpoint = FrontDoor(deployed.find_platform(STAGE).api_url), model.outputs["EndpointName"]
    rows = json.loads((ROOT / "model_code/churn/artifact/sample_payloads.json").read_text())["rows"]
    print(f"first event, everything cold: {one_event(door, rows[0]):.2f} s")
    one_request(door, rows[0])
    by_event, by_request = [], []
    for number in range(events):
        by_event.append(one_event(door, rows[number % len(rows)]))
        by_request.append(one_request(door, rows[number % len(rows)]))
    slowest = statistics.quantiles(by_event, n=20)[-1]
    median, floor = statistics.median(by_event), statistics.median(by_request)
    print(f"{events} events: median {median:.3f} s, p95 {slowest:.3f} s, slowest {max(by_event):.3f} s")
    print(f"a live request: median {floor:.3f} s; an event takes {median / floor:.1f} times as long")
    moment = datetime.now(UTC)
    chosen = [rows[number % len(rows)] for number in range(many)]
    for keys, what in ((["hot"] * many, "one key"), ([f"k{n}" for n in range(many)], f"{many:,} keys")):
        details = [
            {"key": key, "features": row["features"], "data_as_of": (moment + timedelta(milliseconds=n)).isoformat()}
            for n, (key, row) in enumerate(zip(keys, chosen, strict=True))
        ]
        last = {key: row["churn_probability"] for key, row in zip(keys, chosen, strict=True)}
        storm(door, endpoint, details, last, f"{many:,} events for {what}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=40)
    parser.add_argument("--storm", type=int, default=1000)
    parser.add_argument("--window", default="0s", help="refresh.window of the model")
    arguments = parser.parse_args()
    work = Path(tempfile.mkdtemp(prefix="turnout-refresh-"))
    bench = Bench(work)
    bench.window = arguments.window
    try:
        with bench.ready():
            measure(arguments.events, arguments.storm)
    finally:
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
