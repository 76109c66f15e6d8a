"""Which run a trigger means, and who may carry it out: one slot, one run, whatever the number of triggers."""

import re
from datetime import UTC, datetime
from hashlib import sha256

from handlers.contract import layout, metrics
from handlers.contract.errors import BadTrigger
from handlers.contract.pipeline import Started, Trigger
from handlers.contract.records import Run
from handlers.logic.moments import format_moment, parse_moment
from handlers.logic.ports import Clock, MetricSink, Records

TRIGGERS = ("schedule", "manual", "new_data", "gate", "age")

#: How long the ledger remembers a run. A trigger that arrives later than this would run again.
LEDGER_SECONDS = 90 * 86400

_SHORT_ID = re.compile(r"[0-9a-z]{6}")


def checked_trigger(event: object) -> Trigger:
    """Return the event as a trigger. Raises BadTrigger that lists everything wrong with it."""
    if not isinstance(event, dict):
        raise BadTrigger(f"a trigger is a JSON object, not {type(event).__name__}")
    problems = [
        f"{name!r} must be a non-empty string"
        for name in ("trigger", "slot", "execution")
        if not (isinstance(event.get(name), str) and event[name])
    ]
    if not problems and event["trigger"] not in TRIGGERS:
        problems.append(f"'trigger' is {event['trigger']!r}; known are {', '.join(TRIGGERS)}")
    if "id" in event and not (isinstance(event["id"], str) and event["id"]):
        problems.append("'id' must be a non-empty string where it is given")
    if problems:
        raise BadTrigger("this is not a trigger: " + "; ".join(problems))
    return event


def run_id_of(trigger: Trigger) -> str:
    """Return `YYYYMMDDTHHMMSSZ`, with `-id` where the trigger has one. Raises BadTrigger for a slot that is no time.

    An id that is not six of [0-9a-z] (an S3 sequencer, say) is hashed down to six.
    """
    try:
        slot = parse_moment(trigger["slot"])
    except ValueError as error:
        raise BadTrigger(f"'slot' is {trigger['slot']!r}, which is not an ISO 8601 time") from error
    run_id = slot.strftime("%Y%m%dT%H%M%SZ")
    if "id" not in trigger:
        return run_id
    given = trigger["id"]
    return f"{run_id}-{given if _SHORT_ID.fullmatch(given) else sha256(given.encode()).hexdigest()[:6]}"


def slot_of(run_id: str) -> datetime:
    """Return the moment of a run's slot, which its id begins with."""
    return datetime.strptime(run_id.partition("-")[0], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)


def start_run(
    event: object, *, stage: str, model: str, data_bucket: str, records: Records, metric_sink: MetricSink, clock: Clock
) -> Started:
    """Claim the trigger's slot for its execution and return where the run's files go.

    The execution that already holds the slot gets its own claim again (Step Functions retries and redrives);
    any other one is told that it is a duplicate.
    """
    trigger = checked_trigger(event)
    run_id = run_id_of(trigger)
    now = clock()
    holder = records.claim(
        Run(
            id=run_id,
            execution=trigger["execution"],
            trigger=trigger["trigger"],
            slot=trigger["slot"],
            status="running",
            started_at=format_moment(now),
            expires_at=int(now.timestamp()) + LEDGER_SECONDS,
        )
    )
    duplicate = holder.execution != trigger["execution"]
    if duplicate:
        metric_sink.put({metrics.RUN_DUPLICATE: 1})
    return Started(
        run_id=run_id,
        duplicate=duplicate,
        job_name=layout.job_name(stage, model, run_id),
        started_at=holder.started_at,
        shards_uri=f"s3://{data_bucket}/{layout.shards_prefix(model, run_id)}",
        transform_uri=f"s3://{data_bucket}/{layout.transform_prefix(model, run_id)}",
    )
