"""Traffic of five shapes on five deployed models, and what `turnout advise --observed` makes of it.

    python -m benchmarks.observed_shapes [--seed N] [--json FILE] [--keep]

It starts a local cloud of its own, deploys five models with the real CDK CLI and asks each of them REAL requests over
HTTP. The week before is written as the front doors would have left it: metric values at their minutes, and log lines
with hashed keys (CloudWatch takes both up to two weeks late). Then the real command line is asked. Exit code 1 where a
proposal is not the one that the shape was made for.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3

from handlers.contract import metrics
from handlers.contract.key_hash import key_hash
from handlers.contract.layout import input_prefix
from handlers.logic.telemetry import emf_line, unit_of
from handlers.predict import KEY_SAMPLE
from turnout import deployed, runs
from turnout.front_door import FrontDoor
from turnout.local import control
from turnout.switching.traffic import LINES_A_DAY, log_group

ROOT = Path(__file__).resolve().parents[1]
STAGE, DAYS, REAL = "dev", 7, 40
MINUTES = DAYS * 24 * 60
VALUES_A_CALL, LINES_A_CALL = 1000, 5000  # PutMetricData takes 1,000 metrics, PutLogEvents 10,000 lines

CONFIG = """\
# Five models, each in the mode that somebody chose before anybody asked it anything.
models:
  few-keys:
    mode: realtime
    code: {code}
  bursts:
    mode: realtime
    code: {code}
  steady:
    mode: serverless
    code: {slow}
    serverless: {{ memory_mb: 2048, max_concurrency: 20 }}
    realtime: {{ max_instances: 4 }}
  nightly:
    mode: realtime
    code: {code}
  mixed:
    mode: hybrid
    schedule: rate(1 hour)
    code: {code}
    hybrid: {{ fallback: realtime }}
"""


@dataclass(frozen=True)
class Asked:
    """Requests of one minute of the week. Keys are those of all of them, in order."""

    minute: int
    keys: list[str]
    hits: int = 0
    misses: int = 0


#: Features of the model that takes as long as it is asked to: a fifth of a second.
SLOW = {"x": 2.0, "seconds": 0.2}

Week = Callable[[random.Random], Iterator[Asked]]


def few_keys(chance: random.Random) -> Iterator[Asked]:
    """300 requests a day for 40 customers, at any time."""
    for minute in range(MINUTES):
        count = sum(chance.random() < 300 / 1440 / 4 for _ in range(4))
        if count:
            yield Asked(minute, [f"{chance.randrange(40):05}" for _ in range(count)])


def bursts(chance: random.Random) -> Iterator[Asked]:
    """Twice a day, at an hour that nobody foresees, 20 minutes of two requests a second, each with a key of its own."""
    for day in range(DAYS):
        for hour in chance.sample(range(24), 2):
            start = day * 1440 + hour * 60
            yield from (Asked(start + each, [f"b{chance.getrandbits(60)}" for _ in range(120)]) for each in range(20))


def steady(chance: random.Random) -> Iterator[Asked]:
    """Twenty requests a second, day and night, each with a key of its own."""
    for minute in range(MINUTES):
        yield Asked(minute, [f"s{chance.getrandbits(60)}" for _ in range(1200)])


def nightly(chance: random.Random) -> Iterator[Asked]:
    """Each of 200 customers 15 times a night, from two o'clock on (UTC), by 15 reports one after the other."""
    for day in range(DAYS):
        for report in range(15):
            order = chance.sample(range(200), 200)
            keys = [f"{number:05}" for number in order]
            yield from (
                Asked(day * 1440 + 120 + report * 4 + part, keys[part * 50 : part * 50 + 50]) for part in range(4)
            )


def mixed(chance: random.Random) -> Iterator[Asked]:
    """Six requests an hour, 95 of 100 for one of 500 customers with a score and the others for a newcomer."""
    for minute in range(0, MINUTES, 10):
        known = chance.random() < 0.95
        key = f"{chance.randrange(500):05}" if known else f"n{chance.getrandbits(60)}"
        yield Asked(minute, [key], hits=int(known), misses=int(not known))


#: Model -> its week, and the words that its proposals have to begin with.
SHAPES: dict[str, tuple[Week, list[str]]] = {
    "few-keys": (few_keys, ["precompute"]),
    "bursts": (bursts, ["serverless"]),
    "steady": (steady, ["realtime"]),
    "nightly": (nightly, ["precompute"]),
    "mixed": (mixed, ["hybrid with serverless", "schedule: rate(1 day)"]),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="Write what was seen and proposed.")
    parser.add_argument("--keep", action="store_true", help="Leave the local cloud running.")
    options = parser.parse_args()
    work, saved = Path(tempfile.mkdtemp(prefix="turnout-shapes-")), dict(os.environ)
    config = work / "models.yaml"
    config.write_text(CONFIG.format(code=ROOT / "model_code/churn", slow=ROOT / "tests/integration/models/patient"))
    cloud = control.up(work / "cloud")
    os.environ.update(control.environ(cloud))
    try:
        found, seconds = observe(config, work, options.seed)
    finally:
        if not options.keep:
            control.down(work / "cloud")
        os.environ.clear()
        os.environ.update(saved)
    wrong = {body["model"]: what for body in found if (what := complaint(body))}
    print(f"\n`turnout advise --observed {DAYS}` took {seconds:.1f} s for {len(found)} models.")
    print(f"Proposed otherwise than made for: {wrong or 'none'}.")
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")
    sys.exit(bool(wrong))


def observe(config: Path, work: Path, seed: int) -> tuple[list[dict[str, Any]], float]:
    """Deploy, ask, write the week, and return what the command line says of it and how long it took."""
    say("deploying five models")
    cdk(config, work, "bootstrap", "aws://000000000000/us-east-1")
    cdk(config, work, "deploy", "--all", "--require-approval", "never", "--concurrency", "6")
    score("mixed", work)
    ask()
    end = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    for name, (week, _) in SHAPES.items():
        wrote = write_week(name, week(random.Random(seed)), end - timedelta(days=DAYS))
        say(f"{name}: {wrote}")
    begun = time.perf_counter()
    text = turnout("advise", "--observed", str(DAYS), "--config", str(config))
    seconds = time.perf_counter() - begun
    print(text)
    return json.loads(turnout("advise", "--observed", str(DAYS), "--config", str(config), "--json")), seconds


def complaint(body: dict[str, Any]) -> str | None:
    """Return what is wrong with a model's proposals: others than expected, or one that saves nothing."""
    proposed, expected = [each["what"] for each in body["proposals"]], SHAPES[body["model"]][1]
    if proposed != expected:
        return f"{proposed} instead of {expected}"
    costly = [each["what"] for each in body["proposals"] if each["saves_usd"] <= 0]
    return f"{costly} save nothing" if costly else None


def ask() -> None:
    """Ask every model over HTTP, with keys that are among those of the week where these come back."""
    platform, samples = deployed.find_platform(STAGE), payloads()
    door = FrontDoor(platform.api_url)
    for name in SHAPES:
        statuses = Counter()
        for number in range(REAL):
            features = SLOW if name == "steady" else samples[number % len(samples)]["features"]
            body = {"key": f"{number:05}", "features": features}
            statuses[door.predict(name, body).status] += 1
        say(f"{name}: {REAL} requests over HTTP: {dict(statuses)}")


def payloads() -> list[dict[str, Any]]:
    return json.loads((ROOT / "model_code/churn/artifact/sample_payloads.json").read_text())["rows"]


def score(name: str, work: Path) -> None:
    """Run a model's pipeline once, on the sample's customers."""
    folder = work / "input"
    command = [sys.executable, "model_code/churn/make_input.py", "--out", str(folder), "--files", "1"]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    platform, model = deployed.find_platform(STAGE), deployed.find_model(STAGE, name)
    for file in folder.glob("*.parquet"):
        key = input_prefix(name) + file.name
        boto3.client("s3").put_object(Bucket=platform.data_bucket, Key=key, Body=file.read_bytes())
    *_, ended = runs.follow(model, platform, runs.start(model))
    runs.require_success(ended)
    say(f"{name}: a run scored {ended.run.report['rows_scored']:,} rows")


def write_week(name: str, week: Iterator[Asked], begin: datetime) -> str:
    """Write a week of metric values and of sampled log lines; return how much that was."""
    chance, data, lines, logged = random.Random(name), [], [], Counter()
    total = 0
    for asked in week:
        moment, count = begin + timedelta(minutes=asked.minute), len(asked.keys)
        total += count
        counts = {metrics.REQUESTS: count, metrics.PREDICTION_REQUESTS: count}
        counts |= {metrics.HITS: asked.hits, metrics.MISSES: asked.misses}
        data += [datum(name, metric, moment, 1.0, number) for metric, number in counts.items() if number]
        if asked.hits:  # a run an hour: scores are up to an hour old, and as long as the run takes
            data.append(datum(name, metrics.AGE_SECONDS, moment, float(240 + asked.minute % 60 * 60), asked.hits))
        day = asked.minute // 1440
        for key in asked.keys:
            if logged[day] < LINES_A_DAY and chance.random() < 1 / KEY_SAMPLE:
                logged[day] += 1
                lines.append((moment, log_line(name, key, moment)))
    cloudwatch = boto3.client("cloudwatch")
    for start in range(0, len(data), VALUES_A_CALL):
        cloudwatch.put_metric_data(Namespace=metrics.NAMESPACE, MetricData=data[start : start + VALUES_A_CALL])
    write_lines(name, lines)
    return f"{total:,} requests in a week, {len(lines):,} of them with their key's hash in the log"


def datum(name: str, metric: str, moment: datetime, value: float, count: int) -> dict[str, Any]:
    dimensions = zip(metrics.DIMENSIONS, (STAGE, name), strict=True)
    return {
        "MetricName": metric,
        "Dimensions": [{"Name": dimension, "Value": each} for dimension, each in dimensions],
        "Timestamp": moment,
        "Values": [value],
        "Counts": [float(count)],
        "Unit": unit_of(metric),
    }


def log_line(name: str, key: str, moment: datetime) -> str:
    """Return the front door's line of a request that is in the sample."""
    milliseconds = int(moment.timestamp() * 1000)
    fields = {"level": "INFO", "status": 200, "key_hash": key_hash(name, key)}
    return emf_line({}, stage=STAGE, model=name, milliseconds_since_epoch=milliseconds, fields=fields)


def write_lines(name: str, lines: list[tuple[datetime, str]]) -> None:
    """Put lines into a stream of the front door's own log group; a call may span a day at most."""
    logs, stream = boto3.client("logs"), "the-week-before"
    group = log_group(boto3.client("lambda"), deployed.find_model(STAGE, name).front_door)
    logs.create_log_stream(logGroupName=group, logStreamName=stream)
    days: dict[Any, list[dict[str, Any]]] = {}
    for moment, line in lines:
        event = {"timestamp": int(moment.timestamp() * 1000), "message": line}
        days.setdefault(moment.date(), []).append(event)
    for events in days.values():
        for start in range(0, len(events), LINES_A_CALL):
            part = events[start : start + LINES_A_CALL]
            logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=part)


def cdk(config: Path, work: Path, *arguments: str) -> None:
    context = {"config": config, "stage": STAGE, "drain": 1, "gate_poll": 1}
    pairs = [word for name, value in context.items() for word in ("-c", f"{name}={value}")]
    # cdk.json takes the app's Python from VIRTUAL_ENV.
    environment = {**os.environ, "CDK_VALIDATION": "false", "VIRTUAL_ENV": sys.prefix}
    command = [str(ROOT / "node_modules/.bin/cdk"), *arguments, *pairs, "--output", str(work / "cdk.out")]
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    if ended.returncode:
        raise SystemExit(f"cdk ended with {ended.returncode}:\n{ended.stdout[-2000:]}{ended.stderr[-2000:]}")


def turnout(*arguments: str) -> str:
    ended = subprocess.run([sys.executable, "-m", "turnout", *arguments], cwd=ROOT, capture_output=True, text=True)
    if ended.returncode:
        raise SystemExit(f"turnout {' '.join(arguments)} ended with {ended.returncode}: {ended.stderr}")
    return ended.stdout


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr)


if __name__ == "__main__":
    main()
