"""Rolling back a generation of a million scores, and one of a thousand: seconds until lookups show the other one.

    python -m benchmarks.rollback [--rows 1000000] [--few 1000] [--rounds 15]

It starts a local cloud of its own and deploys two models in mode precompute. Two generations of each are packed and
written straight into its table. Then, in turn with each other, they are rolled back again and again, while a client
looks a key up over HTTP without a pause; what is measured runs from the call that moves the pointer to the first answer
from the other generation. A warm front door reads the pointer every two seconds, so that is the bound.
"""

import argparse
import random
import shutil
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.switch_drill import Drill
from handlers.adapters.clients import client
from handlers.adapters.score_table import ScoreTable
from handlers.contract.records import Generation, Pointer
from handlers.logic.lookup import POINTER_SECONDS
from handlers.logic.packing import pack
from turnout import deployed, generations
from turnout.front_door import FrontDoor

STAGE, OLD, NEW, EXPIRES = "dev", "20261122T060000Z", "20261123T060000Z", 4_000_000_000
KEY = "0000001"
PHASES = random.Random(7)
MANY, FEW = "churn", "bystander"
CONFIG = """\
models:
  churn:
    mode: precompute
    schedule: at(2099-01-01T00:00:00) # never while it is measured
    code: {code}
  bystander:
    mode: precompute
    schedule: at(2099-01-01T00:00:00)
    code: {code}
"""


class Stage(Drill):
    """The drill's cloud with two models, whose scores nobody computed."""

    def _write_files(self) -> None:
        super()._write_files()
        self.config.write_text(CONFIG.format(code=self.code.resolve()))

    def _put_input(self) -> None:
        """No run is made here."""


def publish(model: deployed.Model, rows: int) -> int:
    """Write two generations of scores and show the newer one; return the items of one."""
    table, keys, packed = ScoreTable(client("dynamodb"), model.table_name), [f"{n:07d}" for n in range(rows)], None
    for number, name in enumerate((OLD, NEW)):
        packed = pack(keys, [(row + number) / 7 for row in range(rows)])
        table.put(name, 0, packed, expires_at=EXPIRES)
        day = f"{name[:4]}-{name[4:6]}-{name[6:8]}T06:00:00Z"
        counts = {"rows_in": rows, "rows_scored": rows, "rows_quarantined": 0, "rows_published": rows}
        model.put_generation(
            Generation(
                name, "v1", day, day, **counts, key_type="string", results_uri="s3://none/", quarantine_uri=None,
                expires_at=EXPIRES, buckets=[packed.buckets], singles=0,
            )
        )  # fmt: skip
    model.move_pointer(model.pointer(), Pointer(results=NEW, scores=NEW, previous_scores=OLD, revision=1))
    return packed.items


def seconds_to_visible(door: FrontDoor, model: deployed.Model) -> float:
    """Roll back once, at any time between two looks of the warm front door, and return the seconds until it shows."""
    shown = door.lookup(model.name, KEY).body["generation"]  # which looks, if it is time
    time.sleep(PHASES.uniform(0, POINTER_SECONDS))
    began = time.perf_counter()
    _, other = generations.show_previous(model)
    while door.lookup(model.name, KEY).body["generation"] == shown:
        pass
    took = time.perf_counter() - began
    assert door.lookup(model.name, KEY).body["prediction"] == (1 + (other == NEW)) / 7
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--few", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="rollback-"))
    try:
        with Stage(folder).ready():
            door = FrontDoor(deployed.find_platform(STAGE).api_url)
            models = {name: deployed.find_model(STAGE, name) for name in (MANY, FEW)}
            rows = {MANY: options.rows, FEW: options.few}
            items = {name: publish(model, rows[name]) for name, model in models.items()}
            for model in models.values():
                seconds_to_visible(door, model)
            took = {name: [] for name in models}
            for _ in range(options.rounds):
                for name, model in models.items():
                    took[name].append(seconds_to_visible(door, model))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print("      scores   items   seconds to visible: median   least    most")
    for name, seconds in took.items():
        least, most = min(seconds), max(seconds)
        print(f"{rows[name]:12,} {items[name]:7,} {statistics.median(seconds):27.2f} {least:8.2f} {most:7.2f}")
    ratio = statistics.median(took[MANY]) / statistics.median(took[FEW])
    print(f"{rows[MANY]:,} scores take {ratio:.2f} times as long as {rows[FEW]:,}, over {options.rounds} rounds each")


if __name__ == "__main__":
    main()
