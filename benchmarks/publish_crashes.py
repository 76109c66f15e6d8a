"""Publishers killed with SIGKILL, two generations at once, while readers read: what is seen, and what it costs.

    python -m benchmarks.publish_crashes [--kills 200] [--rows 200000] [--seed 7]

In DynamoDB and S3 of the local cloud. Two runs at a time, an older and a newer one, each driven step by step as Step
Functions does: a step whose process dies is done again by a new one. Half of the kills hit a call of AWS, before it is
sent or after its answer came (the process kills itself at the n-th); the other half come after a random time from
outside. Two readers, processes of their own, look up random keys all the while with the front door's client: one as an
environment that has just started, which must never see anything but the newest visible generation, one that keeps the
pointer for two seconds, as warm ones do. Write units are counted before they are sent, so the sum is an upper bound.
"""

import argparse
import io
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.write_units import write_units
from handlers.adapters.clients import client
from handlers.adapters.s3_objects import S3Objects
from handlers.contract import layout
from handlers.contract.card import Feature, ModelCard
from handlers.contract.env import PipelineEnv
from handlers.contract.pipeline import Prepared, Shard
from handlers.contract.records import PK, SK

MODEL, BUCKET, TABLE, SHARD_ROWS, PARTITIONS = "m", "crashes", "crashes", 50_000, [0, 1]
FIRST = datetime(2026, 11, 23, 6, tzinfo=UTC)
#: Of the attempts of a step, the share that is to be killed.
KILLED = 0.6
#: A process kills itself at one of its first so many calls; a step has fewer, so some live.
CALLS = 40
#: Seconds for which a warm front door may keep the pointer (handlers.logic.lookup), and what a check may take here.
WARM_SECONDS, SLACK = 2.0, 1.0
READ_KEYS = 20

# What both sides know of a generation


def run_id(number: int) -> str:
    return f"{FIRST + timedelta(minutes=number):%Y%m%dT%H%M%SZ}"


def number_of(generation_id: str) -> int:
    moment = datetime.strptime(generation_id, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    return round((moment - FIRST).total_seconds() / 60)


def key_of(place: int) -> str:
    return f"user#{place:08d}"


def score_of(place: int, generation: int, rows: int) -> float:
    """Return another score for the same key in each generation, and the same distribution in all of them."""
    return ((place * 7_919 + generation * 104_729) % rows) / rows


# The publishing process


def work() -> None:
    """Do the steps that come as JSON lines and answer each with its result: the Lambda functions of the pipeline."""
    from handlers import conclude, publish

    units = os.open(os.environ["CRASHES_UNITS"], os.O_WRONLY | os.O_APPEND)
    fuse = Fuse()
    for service in ("s3", "dynamodb", "cloudwatch"):
        events = client(service).meta.events
        events.register("before-send", fuse.burn)
        events.register("after-call", fuse.burn)
    client("dynamodb").meta.events.register(
        "provide-client-params.dynamodb.BatchWriteItem", lambda params, **_: note_units(units, params)
    )
    handlers = {"publish": publish.handler, "conclude": conclude.handler}
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        fuse.left = order["kill_at"]
        answer = handlers[order["handler"]](order["event"], None)
        fuse.left = None
        print(json.dumps(answer), flush=True)


class Fuse:
    """Kills this process, for real, when so many calls of AWS have been sent or answered."""

    left: int | None = None

    def burn(self, **_: Any) -> None:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                os.kill(os.getpid(), signal.SIGKILL)


def note_units(file: int, params: dict[str, Any]) -> None:
    requests = [request for table in params["RequestItems"].values() for request in table]
    units = sum(write_units(request["PutRequest"]["Item"]) for request in requests)
    os.write(file, f"{units}\n".encode())


# Readers


def read(kind: str, rows: int) -> None:
    """Look up random keys until standard input ends; print counts and the first wrong answers."""
    from handlers.adapters.dynamodb_http import reader
    from handlers.adapters.records_table import RecordsTable
    from handlers.adapters.score_table import ScoreTable
    from handlers.logic.lookup import Visible

    store, dice = reader(), random.Random(kind)
    records, scores = RecordsTable(store, TABLE), ScoreTable(store, TABLE)
    visible = Visible(records, time.monotonic)
    known = open(os.environ["CRASHES_VISIBLE"])  # noqa: SIM115
    history: deque[tuple[float, int]] = deque()
    reads, wrong, seen = 0, [], 0
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    while not ended.is_set():
        history.append((time.monotonic(), int(os.pread(known.fileno(), 20, 0))))
        least = newest_known(history, WARM_SECONDS + SLACK if kind == "warm" else 0)
        if kind == "cold":
            visible = Visible(records, time.monotonic)
        generation = visible.generation(visible.pointer().scores)
        number = number_of(generation.id)
        places = dice.sample(range(rows), READ_KEYS if reads % 2 else 1)
        found = (
            scores.get_many(generation, [key_of(place) for place in places])
            if len(places) > 1
            else {key_of(places[0]): scores.get(generation, key_of(places[0]))}
        )
        reads += len(places)
        if number < max(least, seen):
            wrong.append(f"generation {number} after {max(least, seen)} was visible")
        for place in places:
            score = found.get(key_of(place))
            if score is None or score.prediction != score_of(place, number, rows):
                wrong.append(f"{key_of(place)} in generation {number}: {score}")
        seen = max(seen, number)
        time.sleep(0.005)  # two cores carry the cloud, two publishers and two readers
    print(json.dumps({"reads": reads, "wrong": len(wrong), "first": wrong[:5], "last_generation": seen}))


def newest_known(history: deque[tuple[float, int]], age: float) -> int:
    """Return the newest generation that was known to be visible at least `age` seconds ago."""
    now = time.monotonic()
    while len(history) > 1 and history[1][0] <= now - age:
        history.popleft()
    return history[0][1] if history[0][0] <= now - age else 0


# The driver


class Process:
    """A publishing process, started again when it was killed."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._environment = environment
        self._process: subprocess.Popen | None = None

    def do(self, order: dict[str, Any], *, kill_after: float | None) -> Any:
        """Return the step's result, or None when the process died of it."""
        process = self._running()
        process.stdin.write(json.dumps(order) + "\n")
        process.stdin.flush()
        timer = threading.Timer(kill_after or 0, process.kill)
        if kill_after is not None:
            timer.start()
        answer = process.stdout.readline()
        timer.cancel()
        if answer:
            if kill_after is not None:
                self.close()  # whether the timer has hit it after the answer or not
            return json.loads(answer)
        if process.wait() != -signal.SIGKILL:
            raise RuntimeError(f"the publisher ended with {process.returncode}; its traceback is above")
        self._process = None
        return None

    def _running(self) -> subprocess.Popen:
        if self._process is None or self._process.poll() is not None:
            command = [sys.executable, "-m", "benchmarks.publish_crashes", "--as", "worker"]
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
            self._process = subprocess.Popen(command, env=self._environment, **pipes)
            if self._process.stdout.readline().strip() != '"ready"':
                raise RuntimeError("the publisher did not start; its traceback is above")
        return self._process

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


class Runs:
    """Carries out runs, two at a time, and kills their processes until `kills` are done."""

    def __init__(self, environment: dict[str, str], rows: int, kills: int, seed: int) -> None:
        self.environment, self.rows, self.kills = environment, rows, kills
        self.dice, self.lock = random.Random(seed), threading.Lock()
        self.killed: Counter[str] = Counter()
        self.shards = [
            Shard(index=index, rows=min(SHARD_ROWS, rows - start))
            for index, start in enumerate(range(0, rows, SHARD_ROWS))
        ]
        self.seconds: dict[str, float] = {}  # of each kind of step, undisturbed

    @property
    def done(self) -> int:
        return self.killed.total()

    def run(self, number: int, *, disturb: bool) -> int:
        """Carry out one run from Batch Transform's output to its conclusion, delete its files, return its number."""
        process = Process(self.environment)
        try:
            self._run(process, number, disturb)
        finally:
            process.close()
        objects = S3Objects(client("s3"))
        for prefix in (layout.run_prefix(MODEL, run_id(number)), layout.results_root(MODEL)):
            stored = [one.key for one in objects.list(BUCKET, prefix) if run_id(number) in one.key]
            objects.delete(BUCKET, stored)
        return number

    def _run(self, process: Process, number: int, disturb: bool) -> None:
        self._transform(number)
        moments = {"scored_at": f"{FIRST + timedelta(minutes=number, seconds=50):%Y-%m-%dT%H:%M:%SZ}"}
        kept = {"model_version": "v1", "retention_seconds": 30 * 86_400}
        common = {"run_id": run_id(number), "partitions": PARTITIONS, **moments, **kept}
        published = [
            self._step(process, "publish", {**common, "shard": shard, "key_type": "string"}, "publish", disturb)
            for shard in self.shards
        ]
        packed = [
            self._step(process, "publish", {**common, "partition": part, "shards": self.shards}, "pack", disturb)
            for part in PARTITIONS
        ]
        prepared = Prepared(
            rows_in=self.rows,
            rows_valid=self.rows,
            rows_quarantined=0,
            key_type="string",
            quarantine_uri=None,
            reasons={},
            shards=self.shards,
            data_as_of=f"{FIRST + timedelta(minutes=number):%Y-%m-%dT%H:%M:%SZ}",
            partitions=PARTITIONS,
        )
        conclusion = {"outcome": "succeeded", "execution": run_id(number), "started_at": prepared["data_as_of"]}
        conclusion |= {"run_id": run_id(number), **moments, **kept}
        conclusion |= {"prepared": prepared, "published": published, "packed": packed}
        self._step(process, "conclude", conclusion, "conclude", disturb)

    def _step(self, process: Process, handler: str, event: dict[str, Any], kind: str, disturb: bool) -> Any:
        while True:
            order = {"handler": handler, "event": event, "kill_at": None}
            kill_after = None
            with self.lock:
                if disturb and self.done < self.kills and self.dice.random() < KILLED:
                    if self.dice.random() < 0.5:
                        order["kill_at"] = self.dice.randrange(CALLS)
                    else:
                        kill_after = self.dice.uniform(0, 1.5 * self.seconds[kind])
            began = time.perf_counter()
            answer = process.do(order, kill_after=kill_after)
            if answer is not None:
                self.seconds.setdefault(kind, time.perf_counter() - began)
                return answer
            with self.lock:
                self.killed[f"{kind}, {'at a call' if order['kill_at'] is not None else 'at a random moment'}"] += 1

    def _transform(self, number: int) -> None:
        """Leave what Batch Transform and the step before it leave."""
        for shard in self.shards:
            places = range(shard["index"] * SHARD_ROWS, shard["index"] * SHARD_ROWS + shard["rows"])
            sidecar = io.BytesIO()
            pq.write_table(pa.table({"row": list(places), "key": [key_of(place) for place in places]}), sidecar)
            lines = "".join(f"{place},{score_of(place, number, self.rows)!r}\n" for place in places)
            for key, body in (
                (layout.keys_key(MODEL, run_id(number), shard["index"]), sidecar.getvalue()),
                (layout.transform_output_key(MODEL, run_id(number), shard["index"], "csv"), lines.encode()),
            ):
                client("s3").put_object(Bucket=BUCKET, Key=key, Body=body)


def create_places() -> None:
    client("s3").create_bucket(Bucket=BUCKET)
    card = ModelCard(MODEL, "id", [Feature("x")], f"input/{MODEL}/")
    client("s3").put_object(Bucket=BUCKET, Key="card.json", Body=card.to_json().encode())
    client("dynamodb").create_table(
        TableName=TABLE,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": PK, "KeyType": "HASH"}, {"AttributeName": SK, "KeyType": "RANGE"}],
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in (PK, SK)],
    )


@contextmanager
def cloud(folder: Path) -> Iterator[dict[str, str]]:
    """A local cloud of its own; yields the environment of publishers and readers, which this process gets too."""
    from turnout.local import control

    started = control.up(folder / "cloud")
    try:
        pipeline = PipelineEnv("dev", MODEL, "precompute", TABLE, BUCKET, BUCKET, "card.json")
        files = {"CRASHES_UNITS": str(folder / "units"), "CRASHES_VISIBLE": str(folder / "visible")}
        os.environ |= control.environ(started) | pipeline.to_environ() | files
        yield dict(os.environ)
    finally:
        control.down(folder / "cloud")


def spent(folder: Path) -> int:
    return sum(map(int, (folder / "units").read_text().split()))


def show_visible(folder: Path, number: int) -> None:
    """Tell readers that a conclusion has said that this generation is visible; in one write of fixed width."""
    known = folder / "visible"
    with open(known, "r+") as file:
        file.write(f"{max(number, int(known.read_text())):020d}")


def drive(folder: Path, environment: dict[str, str], rows: int, kills: int, seed: int) -> None:
    create_places()
    (folder / "units").touch()
    (folder / "visible").write_text(f"{0:020d}")
    runs = Runs(environment, rows, kills, seed)
    runs.run(0, disturb=False)
    undisturbed = spent(folder)
    command = [sys.executable, "-m", "benchmarks.publish_crashes", "--rows", str(rows), "--as"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    readers = {kind: subprocess.Popen([*command, kind], env=environment, **pipes) for kind in ("cold", "warm")}
    began, number = time.perf_counter(), 1
    while runs.done < kills:
        with ThreadPoolExecutor(2) as pool:
            for ended in as_completed([pool.submit(runs.run, one, disturb=True) for one in (number, number + 1)]):
                show_visible(folder, ended.result())
        number += 2
        print(f"{number - 1} runs, {runs.done} kills, {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
    time.sleep(WARM_SECONDS + SLACK)
    told = {kind: json.loads(process.communicate()[0]) for kind, process in readers.items()}
    report(runs, told, number - 1, undisturbed, spent(folder) - undisturbed)


def report(runs: Runs, told: dict[str, Any], disturbed: int, undisturbed: int, units: int) -> None:
    print(f"{runs.done} processes killed in {disturbed} runs of {runs.rows:,} scores, two at a time:")
    for kind, count in sorted(runs.killed.items()):
        print(f"  {count:4} in {kind}")
    for kind, said in told.items():
        print(f"{kind} reader: {said['reads']:,} keys read, {said['wrong']} wrong answers {said['first'] or ''}")
    print(
        f"write units: {units / disturbed:,.0f} a run at most; {undisturbed:,} undisturbed, "
        f"{units / disturbed / undisturbed:.2f} times; {(units - disturbed * undisturbed) / runs.done:,.0f} a kill"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--as", dest="role", choices=["driver", "worker", "cold", "warm"], default="driver")
    asked = parser.parse_args()
    if asked.role == "worker":
        work()
    elif asked.role in ("cold", "warm"):
        read(asked.role, asked.rows)
    else:
        with tempfile.TemporaryDirectory(prefix="publish-crashes-") as folder, cloud(Path(folder)) as environment:
            drive(Path(folder), environment, asked.rows, asked.kills, asked.seed)


if __name__ == "__main__":
    main()
