"""What runs cost: transform jobs, the steps around them, and scores as our publisher really writes them."""

import math
from collections.abc import Iterator

from handlers.logic.packing import DEVIATIONS, ROOM, WORTHWHILE
from handlers.logic.scores import PARTITION_ROWS
from turnout.cost.lines import Case, Line
from turnout.cost.requests import alarms, logs, metrics, stored
from turnout.cost.workload import DAYS, HOURS

#: A shard has so many rows at most, and so many wait before the first is cut (handlers.logic.sharding).
SHARD_ROWS, FIRST_ROWS, LEAST_ROWS = 50_000, 1_000_000, 1_000
STATES = 10  # that an execution enters besides one for each shard and each partition
#: Seconds of a step, and for each thousand rows, and its memory in GB (docs/performance.md, rounded up).
STEPS = {
    "start": (0.5, 0.0, 0.25),
    "prepare": (1.0, 0.015, 2.9375),
    "publish": (0.5, 0.01, 1.7275390625),
    "conclude": (0.5, 0.0002, 1.0),
}
PACKING = (0.5, 0.008)  # by the publishing function, which has more memory where predictions may be any JSON
PUBLISH_JSON_GB = 2.9375
ROW_BYTES = 60  # of one row in the results' Parquet, its shard and its key file, each
#: Of a shard: its rows, its keys, the job's output, results and receipt; and who reads them. The rest is of a run.
SHARD_PUTS, SHARD_GETS, RUN_PUTS, RUN_GETS = 5, 4, 10, 10
RUN_WRITES, RUN_READS = 8, 8  # of the ledger, the manifest and the pointer
RUN_METRICS = 6
RUN_ALARMS = 4
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


def shards(case: Case) -> int:
    return shards_of(case.work.entities, case.spec.transform.instance_count)


def shards_of(rows: int, instances: int) -> int:
    """Return the shards of a run: two for each instance first, of even size, then growing up to SHARD_ROWS rows."""
    least = 2 * instances
    full = max(LEAST_ROWS, min(SHARD_ROWS, FIRST_ROWS // least))
    if rows <= least * full:
        return max(min(least, rows // LEAST_ROWS), math.ceil(rows / full), 1)
    growing = least * math.log(min(rows, least * SHARD_ROWS) / (least * full))
    return math.ceil(least + growing + max(rows - least * SHARD_ROWS, 0) / SHARD_ROWS)


def partitions(case: Case) -> int:
    return partitions_of(case.work.entities)


def partitions_of(rows: int) -> int:
    return max(math.ceil(rows / PARTITION_ROWS), 1)


def _steps(case: Case) -> Iterator[Line]:
    work, count = case.work, shards(case)
    thousands = work.entities / 1000
    states = work.runs * (STATES + count)
    how = f"{work.runs:,.1f} runs x {STATES + count:,} transitions"
    yield case.line("runs: Step Functions", "step_functions.transition", states, how)
    calls = {"start": 1, "prepare": 1, "publish": count, "conclude": 1}
    seconds = {step: calls[step] * fixed + thousands * each for step, (fixed, each, _) in STEPS.items()}
    memory = sum(each * gigabytes_of(case, step) for step, each in seconds.items())
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


def gigabytes_of(case: Case, step: str) -> float:
    """Return the memory of a step's function."""
    if step == "publish" and case.spec.transform.wire_format == "jsonlines":
        return PUBLISH_JSON_GB
    return STEPS[step][2]


def _files(case: Case) -> Iterator[Line]:
    work, count = case.work, shards(case)
    puts, gets = SHARD_PUTS * count + RUN_PUTS, SHARD_GETS * count + RUN_GETS
    how = f"{puts:,} a run: {SHARD_PUTS} a shard and {RUN_PUTS}"
    yield case.line("runs: S3 PUT", "s3.put", work.runs * puts, how)
    how = f"{gets:,} a run: {SHARD_GETS} a shard and {RUN_GETS}"
    yield case.line("runs: S3 GET", "s3.get", work.runs * gets, how)
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
    yield alarms(case, "runs: alarms", RUN_ALARMS)


def scores(case: Case) -> Iterator[Line]:
    """Scores in the table: many share an item (docs/scores.md), and every generation is kept for a while."""
    work, spec = case.work, case.spec
    units, size = packed(work.entities, work.key_bytes, score_bytes(case))
    how = f"{work.entities:,} scores in {units:,.0f} units"
    yield case.line("table: scores, writes", "dynamodb.write", work.runs * units, f"{work.runs:,.1f} runs x {how}")
    kept = max(work.runs * spec.keep_scores.total_seconds() / (DAYS * 86400), 1)
    how = f"{kept:,.0f} generations x {size / 1e6:,.1f} MB"
    yield from stored(case, "table: scores", kept * size / 1e9, how)
    fixed, each = PACKING
    gigabytes = gigabytes_of(case, "publish")
    seconds = partitions(case) * fixed + work.entities / 1000 * each
    how = f"{work.runs:,.1f} runs x {seconds:,.1f} s"
    yield case.line("runs: packing", "lambda.duration_arm", work.runs * seconds * gigabytes, how)
    yield case.line(
        "runs: packing, calls", "lambda.requests", work.runs * partitions(case), f"{partitions(case)} a run"
    )
    yield case.line("runs: packing, transitions", "step_functions.transition", work.runs * partitions(case), how)
    puts, reads = shards(case) + partitions(case), (shards(case) + 1) * partitions(case)
    yield case.line("runs: packing, S3 PUT", "s3.put", work.runs * puts, f"{puts:,} score files and receipts a run")
    yield case.line("runs: packing, S3 GET", "s3.get", work.runs * reads, f"{reads:,} segments and receipts a run")
    how = f"{work.entities:,} scores"
    yield case.line("first scores, writes", "dynamodb.write", units, how, "once")


def score_bytes(case: Case) -> float:
    said = case.work.score_bytes
    return SCORE_BYTES[case.spec.score_precision] if said is None else said


def packed(entities: float, key_bytes: float, score_bytes: float) -> tuple[float, float]:
    """Return the write units and the stored bytes of one generation, by the packer's own arithmetic.

    A bucket holds as many scores that their mean size and DEVIATIONS standard deviations of it fit into ROOM. What it
    has in bytes is spread about its mean as a normal variable, and DynamoDB charges each kilobyte begun. Where fewer
    than WORTHWHILE fit, each score is an item of its own.
    """
    if not entities:
        return 0.0, 0.0
    mean = key_bytes + score_bytes
    root = (math.sqrt(DEVIATIONS**2 * mean**2 + 4 * mean * ROOM) - DEVIATIONS * mean) / (2 * mean)
    if root**2 < WORTHWHILE:
        size = mean + ITEM_BYTES
        return entities * math.ceil(size / 1024), entities * (size + OVERHEAD_BYTES)
    buckets = max(entities / root**2, 1.0)
    size = entities / buckets * mean + ITEM_BYTES
    spread = math.sqrt(entities / buckets) * mean
    units = 1 + sum(_above(1024 * step, size, spread) for step in range(1, 8))
    return buckets * units, buckets * (size + OVERHEAD_BYTES)


def _above(limit: float, mean: float, spread: float) -> float:
    """Return the chance that a normal variable exceeds a limit."""
    return 0.5 * math.erfc((limit - mean) / (spread * math.sqrt(2)))
