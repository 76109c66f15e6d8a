"""What a mode costs a month: pure functions over list prices and a stated workload.

Prices are those of us-east-1 in `prices_us_east_1.json`, each with its source and how sure it is. What is not counted:
storage of results in S3, logs, alarms, data transfer, free tiers, and the deploy itself.
"""

import functools
import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from handlers.contract.modes import ServingMode
from turnout.config.capabilities import FamilyName, realtime_instances
from turnout.config.schedules import runs_a_month
from turnout.config.specs import ModelSpec
from turnout.config.stages import Stage

PRICES = Path(__file__).with_name("prices_us_east_1.json")
SURE = "verified"

HOURS, DAYS, MILLION = 730, 30.4, 1_000_000
FRONT_DOOR_GB = 0.5  # memory of the front door's function
LOOKUP_SECONDS = 0.02  # that one lookup holds it
SCORE_KB = 0.02  # stored size of one score among others (docs/scores.md)
WRITE_UNITS = 0.02  # of writing one score: 0.014 with short keys, 0.028 with UUIDs
AWAKE_MINUTES = 20  # that an asynchronous endpoint stays up after its last request: cool-down and its alarm
POLLS = 2  # that fetch one asynchronous answer


@dataclass(frozen=True)
class Price:
    """One list price in USD; None where no source gives one."""

    usd: float | None
    confidence: str


@dataclass(frozen=True)
class Workload:
    """What the estimate rests on. `notes` says of each figure whether it was measured or assumed."""

    requests: int = 100_000  # a month
    covered: float = 0.95  # share of requests whose key has a score
    rows: int = 100_000  # that one run scores
    runs: float = DAYS  # a month
    transform_minutes: float = 5.0  # that one run pays for, per instance
    model_seconds: float = 0.1  # that the model takes for one request
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Line:
    """One item of the bill: USD a month, None where no price is known."""

    what: str
    usd: float | None
    how: str
    confidence: str = SURE


@dataclass(frozen=True)
class Cost:
    """A mode's bill of one month."""

    mode: ServingMode
    lines: tuple[Line, ...] = field(default=())

    @property
    def usd(self) -> float:
        return sum(line.usd or 0 for line in self.lines)

    @property
    def unsure(self) -> list[Line]:
        return [line for line in self.lines if line.confidence != SURE]

    @property
    def complete(self) -> bool:
        return all(line.usd is not None for line in self.lines)

    def to_body(self) -> dict[str, Any]:
        return {"usd": round(self.usd, 2), "complete": self.complete, "lines": [asdict(line) for line in self.lines]}


def estimate(mode: ServingMode, spec: ModelSpec, stage: Stage, work: Workload) -> Cost:
    """Return what a month of `mode` costs with the entry's settings."""
    return Cost(mode, tuple(_ESTIMATES[mode](spec, stage, work)))


def live_usd(family: FamilyName, spec: ModelSpec, stage: Stage, work: Workload) -> float:
    """Return what answering the requests without a score costs a month in `hybrid`, without what comes anyway."""
    return sum(line.usd or 0 for line in _LIVE[family](spec, stage, work, _misses(work)))


def workload_of(spec: ModelSpec) -> Workload:
    """Return the assumptions that an entry alone allows."""
    runs = runs_a_month(spec.schedule) if spec.schedule else None
    return Workload(runs=DAYS if runs is None else runs)


def batch(spec: ModelSpec, stage: Stage, work: Workload) -> list[Line]:
    transform, hours = spec.transform, work.transform_minutes / 60
    price = _instance(transform.instance_type)
    how = (
        f"{work.runs:,.1f} runs x {work.transform_minutes:g} min x {transform.instance_count} {transform.instance_type}"
    )
    return [
        _line("transform jobs", price, work.runs * hours * transform.instance_count, how),
        front_door(work.requests, LOOKUP_SECONDS),
    ]


def precompute(spec: ModelSpec, stage: Stage, work: Workload) -> list[Line]:
    return [*batch(spec, stage, work), *scores(spec, work), lookups(work)]


def hybrid(spec: ModelSpec, stage: Stage, work: Workload) -> list[Line]:
    return [*precompute(spec, stage, work), *_LIVE[spec.hybrid.fallback](spec, stage, work, _misses(work))]


def live(family: FamilyName) -> Callable[[ModelSpec, Stage, Workload], list[Line]]:
    """Return the estimate of a mode in which every request goes to an endpoint."""

    def bill(spec: ModelSpec, stage: Stage, work: Workload) -> list[Line]:
        return [front_door(work.requests, LOOKUP_SECONDS), *_LIVE[family](spec, stage, work, work.requests)]

    return bill


def front_door(requests: float, seconds: float) -> Line:
    """HTTP API and Lambda, for requests that hold the function for `seconds`."""
    api, calls, time = _price("api_gateway", "http_api_first_300M"), _price("lambda", "requests"), _lambda_gb_second()
    each = (api.usd + calls.usd) / MILLION + seconds * FRONT_DOOR_GB * time.usd
    return Line("front door", requests * each, f"{requests:,.0f} requests x {seconds * 1000:g} ms")


def lookups(work: Workload) -> Line:
    """DynamoDB reads: half a unit for the item that has the key, or would have it."""
    units = work.requests * 0.5
    return _line("table, reads", _price("dynamodb", "on_demand_read"), units / MILLION, f"{work.requests:,} lookups")


def scores(spec: ModelSpec, work: Workload) -> list[Line]:
    """DynamoDB writes, many scores in an item, and the storage of every generation that is kept."""
    written = work.rows * work.runs
    units = written * WRITE_UNITS
    per_unit = f"{written:,.0f} scores, {1 / WRITE_UNITS:.0f} in a unit"
    kept = max(work.runs * spec.keep_scores.total_seconds() / (DAYS * 86400), 1)
    gigabytes = work.rows * kept * SCORE_KB / MILLION
    return [
        _line("table, writes", _price("dynamodb", "on_demand_write"), units / MILLION, per_unit),
        _line(
            "table, storage",
            _price("dynamodb", "storage_standard"),
            gigabytes,
            f"{kept:,.0f} generations x {work.rows:,} scores x {SCORE_KB * 1000:g} B",
        ),
    ]


def _realtime(spec: ModelSpec, stage: Stage, work: Workload, requests: float) -> list[Line]:
    count, kind = realtime_instances(spec, stage), spec.realtime.instance_type
    how = f"{count} {kind} x {HOURS} h, without scaling out"
    return [_line("endpoint", _instance(kind), count * HOURS, how), _waiting(requests, work)]


def _serverless(spec: ModelSpec, stage: Stage, work: Workload, requests: float) -> list[Line]:
    memory, kept = spec.serverless.memory_mb, spec.serverless.provisioned_concurrency
    how = f"{requests:,.0f} requests x {work.model_seconds:g} s x {memory} MB"
    lines = [_line("endpoint", _price("sagemaker_serverless", str(memory)), requests * work.model_seconds, how)]
    if kept:
        price = _price("serverless_provisioned", "serverless_provisioned_concurrency")
        lines.append(_line("endpoint, kept warm", price, kept * HOURS * 3600 * memory / 1024, f"{kept} environments"))
    return [*lines, _waiting(requests, work)]


def _asynchronous(spec: ModelSpec, stage: Stage, work: Workload, requests: float) -> list[Line]:
    kind = spec.async_.instance_type
    hours = HOURS * awake(requests)
    put, get = _price("s3", "put"), _price("s3", "get")
    return [
        _line("endpoint", _instance(kind), hours, f"1 {kind} x {hours:,.0f} h, up {AWAKE_MINUTES} min per quiet spell"),
        Line("results in S3", requests * (put.usd + POLLS * get.usd) / 1000, f"{requests:,.0f} results"),
        Line("polls", front_door(requests * POLLS, LOOKUP_SECONDS).usd, f"{POLLS} a request"),
    ]


def awake(requests: float) -> float:
    """Return the share of a month in which an endpoint is up that rests AWAKE_MINUTES after each request, if requests
    come at random moments.
    """
    per_stretch = requests * AWAKE_MINUTES / (HOURS * 60)
    return 1 - math.exp(-per_stretch)


def _waiting(requests: float, work: Workload) -> Line:
    """Lambda bills the front door while it waits for the model."""
    price = _lambda_gb_second()
    how = f"{requests:,.0f} requests x {work.model_seconds:g} s"
    return _line("front door, waiting", price, requests * work.model_seconds * FRONT_DOOR_GB, how)


def _misses(work: Workload) -> float:
    return work.requests * (1 - work.covered)


_LIVE: dict[FamilyName, Callable[[ModelSpec, Stage, Workload, float], list[Line]]] = {
    "realtime": _realtime,
    "serverless": _serverless,
    "async": _asynchronous,
}

#: One line per mode that can be deployed.
_ESTIMATES: dict[ServingMode, Callable[[ModelSpec, Stage, Workload], list[Line]]] = {
    ServingMode.BATCH: batch,
    ServingMode.PRECOMPUTE: precompute,
    ServingMode.HYBRID: hybrid,
    ServingMode.REALTIME: live("realtime"),
    ServingMode.SERVERLESS: live("serverless"),
    ServingMode.ASYNC: live("async"),
}


def _line(what: str, price: Price, units: float, how: str) -> Line:
    return Line(what, None if price.usd is None else price.usd * units, how, price.confidence)


def _instance(kind: str) -> Price:
    known = _table()["sagemaker_instance"]
    return _price("sagemaker_instance", kind) if kind in known else Price(None, "unknown")


def _lambda_gb_second() -> Price:
    return _price("lambda", "duration_arm_first_7_5B")


def _price(section: str, name: str) -> Price:
    entry = _table()[section][name]
    return Price(entry["usd"], entry["confidence"])


@functools.cache
def _table() -> dict[str, Any]:
    return json.loads(PRICES.read_text())
