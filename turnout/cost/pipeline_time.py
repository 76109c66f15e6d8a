"""How long a run takes by the clock, and how many rows one run takes; what it costs is in `turnout.cost.pipeline`."""

import math
from datetime import timedelta

from turnout.config.specs import ModelSpec
from turnout.cost.pipeline import SHARD_ROWS, partitions_of, shards_of
from turnout.cost.workload import Workload, workload_of

#: Minutes until a transform job's instances are up, which nobody pays for: three to five, of which the longest counts.
PROVISIONING_MINUTES = 5.0
#: Shards published, then partitions packed, at the same time (infra.constructs.pipeline_definition).
AT_ONCE = 4
#: Seconds by the clock of a step, and for each thousand rows: of all rows, of one shard's, of one partition's
#: (docs/scores.md: four for 50,000 rows published, half a minute for a million packed).
START, CONCLUDE = (1.0, 0.0), (1.0, 0.0002)
PUBLISH, PACK = (1.0, 0.06), (1.0, 0.03)
#: The same of `prepare`, by the input's format (docs/performance.md).
PREPARE = {"parquet": (2.0, 0.015), "csv": (2.0, 0.06), "jsonlines": (2.0, 0.06)}

#: Shards that one execution carries (handlers.logic.sharding), and rows whose keys `prepare` holds (docs/scores.md).
MAX_SHARDS, PREPARE_ROWS = 3_100, 15_000_000


def run_time(spec: ModelSpec, work: Workload | None = None) -> timedelta:
    """Return the time from a run's start until its results are visible, rounded up to a minute.

    What a run is billed for is less: nobody pays for the time until instances are up, or while the steps around the
    job work.
    """
    work = work or workload_of(spec)
    paid = work.minutes_of_a_run(spec.transform.instance_count)
    return timedelta(minutes=math.ceil(PROVISIONING_MINUTES + paid + _steps_seconds(spec, work.entities) / 60))


def _steps_seconds(spec: ModelSpec, rows: int) -> float:
    """Return the seconds of the steps before and after the job; packing counts in every mode, for the switch to it."""
    whole = [_seconds(each, rows) for each in (START, PREPARE[spec.input.format], CONCLUDE)]
    published = _in_turns(PUBLISH, rows, shards_of(rows, spec.transform.instance_count))
    return sum(whole) + published + _in_turns(PACK, rows, partitions_of(rows))


def _in_turns(step: tuple[float, float], rows: int, parts: int) -> float:
    """Return the seconds of a step that takes parts of even size, AT_ONCE of them at a time."""
    return math.ceil(parts / AT_ONCE) * _seconds(step, rows / parts)


def _seconds(step: tuple[float, float], rows: float) -> float:
    fixed, each = step
    return fixed + each * rows / 1000


def most_rows(instances: int) -> int:
    """Return the rows that MAX_SHARDS hold, the most that one run takes."""
    low, high = 0, MAX_SHARDS * SHARD_ROWS
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if shards_of(middle, instances) <= MAX_SHARDS else (low, middle - 1)
    return low
