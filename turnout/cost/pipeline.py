"""What runs cost: transform jobs, the steps around them, and scores as our publisher really writes them."""

import math
from collections.abc import Iterator

from handlers.logic.packing import DEVIATIONS, ROOM
from turnout.cost.lines import Case, Line
from turnout.cost.requests import alarms, logs, metrics
from turnout.cost.workload import DAYS, HOURS

SHARD_ROWS, PARTITION_ROWS = 50_000, 1_000_000
STATES = 10  # that an execution enters besides one for each shard and each partition
#: Seconds of a step, and for each thousand rows, and its memory in GB (docs/performance.md, rounded up).
STEPS = {
    "start": (0.5, 0.0, 0.25),
    "prepare": (1.0, 0.015, 2.9375),
    "publish": (0.5, 0.01, 1.0),
    "conclude": (0.5, 0.0, 0.25),
}
PACKING = (0.5, 0.008, 1.0)
ROW_BYTES = 60  # of one row in the results' Parquet, its shard and its key file, each
RUN_WRITES, RUN_READS = 8, 8  # of the ledger, the manifest and the pointer
RUN_METRICS = 6
RUN_LOG_KB = 40
ITEM_BYTES, OVERHEAD_BYTES = 80, 100  # beside the scores: names, key, expiry; and what DynamoDB adds for storage
SCORE_BYTES = {"float64": 7.8, "float32": 4.0}  # of one random score, deflated
LOST_TRIGGERS = 0.01  # share of runs whose trigger goes to the dead-letter queue


def runs(case: Case) -> Iterator[Line]:
    """What every run costs, with and without scores in the table."""
    yield from _transform(case)
    yield from _steps(case)
    yield from _files(case)
    yield from _records(case)


def _transform(case: Case) -> Iterator[Line]:
    work, transform = case.work, case.spec.transform
    kind, count = transform.instance_type, transform.instance_count
    minutes = work.minutes_of_a_run(count)
    each = minutes / 60 * count
    how = f"{minutes:,.3g} min x {count} {kind}"
    yield case.hours("transform jobs", kind, work.runs * each, f"{work.runs:,.1f} runs x {how}")
    yield case.hours("first run", kind, each, how, "once")


def shards(case: Case) -> float:
    """Return the shards of a run: at least two for each instance, of at most SHARD_ROWS rows."""
    return max(math.ceil(case.work.entities / SHARD_ROWS), 2 * case.spec.transform.instance_count)


def partitions(case: Case) -> int:
    return max(math.ceil(case.work.entities / PARTITION_ROWS), 1)


def _steps(case: Case) -> Iterator[Line]:
    work, count = case.work, shards(case)
    thousands = work.entities / 1000
    states = work.runs * (STATES + count + partitions(case))
    how = f"{work.runs:,.1f} runs x {STATES + count + partitions(case):,} transitions"
    yield case.line("runs: Step Functions", "step_functions.transition", states, how)
    calls = {"start": 1, "prepare": 1, "publish": count, "conclude": 1}
    seconds = {step: calls[step] * fixed + thousands * each for step, (fixed, each, _) in STEPS.items()}
    memory = sum(seconds[step] * gigabytes for step, (_, _, gigabytes) in STEPS.items())
    how = f"{work.runs:,.1f} runs x {sum(seconds.values()):,.1f} s of four steps"
    yield case.line("runs: Lambda time", "lambda.duration_arm", work.runs * memory, how)
    yield case.line(
        "runs: Lambda calls", "lambda.requests", work.runs * sum(calls.values()), f"{sum(calls.values())} a run"
    )
    if case.spec.schedule is not None and case.spec.schedule.on_new_data:
        yield case.line("runs: trigger", "eventbridge.aws_service_events", work.runs, "events of S3 are free")
    else:
        yield case.line("runs: trigger", "eventbridge.scheduler", work.runs, f"{work.runs:,.1f} runs")
    lost = work.runs * LOST_TRIGGERS
    yield case.line("runs: dead letters", "sqs.standard", lost, f"{LOST_TRIGGERS:.0%} of the triggers")
    yield case.line("runs: traces", "xray.trace", work.runs, f"{work.runs:,.1f} runs")


def _files(case: Case) -> Iterator[Line]:
    work, count = case.work, shards(case)
    puts, gets = 6 * count + 10, 4 * count + 10
    yield case.line("runs: S3 PUT", "s3.put", work.runs * puts, f"{puts:,} a run: 6 a shard and 10")
    yield case.line("runs: S3 GET", "s3.get", work.runs * gets, f"{gets:,} a run: 4 a shard and 10")
    stage = case.stage
    results = min(stage.results_retention_days or 365, 365)
    days = results + 3 * stage.work_retention_days
    gigabytes = work.entities * ROW_BYTES / 1e9 * work.runs * days / DAYS
    forever = "; kept for ever, a year counted" if stage.results_retention_days is None else ""
    how = f"results {results} days, working files {stage.work_retention_days}{forever}"
    yield case.line("runs: S3 storage", "s3.storage", gigabytes, how)


def _records(case: Case) -> Iterator[Line]:
    work = case.work
    writes, reads = work.runs * RUN_WRITES, work.runs * RUN_READS
    yield case.line("runs: table, writes", "dynamodb.write", writes, f"{RUN_WRITES} a run: claim, manifest, pointer")
    yield case.line("runs: table, reads", "dynamodb.read", reads, f"{RUN_READS} a run")
    hours = min(work.runs, HOURS)
    yield metrics(case, "runs: metrics", RUN_METRICS, hours, "one value per run")
    yield case.line("runs: PutMetricData", "cloudwatch.api_requests", work.runs, "one a run")
    yield logs(case, "runs: logs", work.runs * RUN_LOG_KB, f"{work.runs:,.1f} runs x {RUN_LOG_KB} KB")
    yield alarms(
        case,
        "runs: alarms",
        4 + (case.spec.max_staleness.days < 7 or case.spec.max_staleness.total_seconds() == 7 * 86400),
    )


def scores(case: Case) -> Iterator[Line]:
    """Scores in the table: many share an item (docs/scores.md), and every generation is kept for a while."""
    work, spec = case.work, case.spec
    units, size = packed(work.entities, work.key_bytes, spec.score_precision)
    how = f"{work.entities:,} scores in {units:,.0f} units"
    yield case.line("table: scores, writes", "dynamodb.write", work.runs * units, f"{work.runs:,.1f} runs x {how}")
    kept = max(work.runs * spec.keep_scores.total_seconds() / (DAYS * 86400), 1)
    how = f"{kept:,.0f} generations x {size / 1e6:,.1f} MB"
    yield case.line("table: scores, storage", "dynamodb.storage", kept * size / 1e9, how)
    if case.stage.point_in_time_recovery:
        yield case.line("table: point-in-time recovery", "dynamodb.pitr", kept * size / 1e9, how)
    fixed, each, gigabytes = PACKING
    seconds = partitions(case) * fixed + work.entities / 1000 * each
    how = f"{work.runs:,.1f} runs x {seconds:,.1f} s"
    yield case.line("runs: packing", "lambda.duration_arm", work.runs * seconds * gigabytes, how)
    yield case.line(
        "runs: packing, calls", "lambda.requests", work.runs * partitions(case), f"{partitions(case)} a run"
    )
    reads = shards(case) * (partitions(case) + 1)
    yield case.line("runs: packing, S3 GET", "s3.get", work.runs * reads, f"{reads:,} segments a run")
    yield case.line("first scores, writes", "dynamodb.write", units, how, "once")


def packed(entities: float, key_bytes: float, precision: str) -> tuple[float, float]:
    """Return the write units and the stored bytes of one generation, by the packer's own arithmetic.

    A bucket holds as many scores that their mean size and DEVIATIONS standard deviations of it fit into ROOM. What it
    has in bytes is spread about its mean as a normal variable, and DynamoDB charges each kilobyte begun.
    """
    if not entities:
        return 0.0, 0.0
    mean = key_bytes + SCORE_BYTES[precision]
    root = (math.sqrt(DEVIATIONS**2 * mean**2 + 4 * mean * ROOM) - DEVIATIONS * mean) / (2 * mean)
    buckets = max(entities / root**2, 1.0)
    size = entities / buckets * mean + ITEM_BYTES
    spread = math.sqrt(entities / buckets) * mean
    units = 1 + sum(_above(1024 * step, size, spread) for step in range(1, 8))
    return buckets * units, buckets * (size + OVERHEAD_BYTES)


def _above(limit: float, mean: float, spread: float) -> float:
    """Return the chance that a normal variable exceeds a limit."""
    return 0.5 * math.erfc((limit - mean) / (spread * math.sqrt(2)))
