"""What keeping data young costs: the looks at their age, and single keys that events have scored again."""

from collections.abc import Iterator

from turnout.cost.lines import Case, Line
from turnout.cost.requests import REMEMBERED_KB, alarms, busy_hours, log_storage, logs, metrics, stored
from turnout.cost.workload import DAYS, HOURS

#: Minutes between two looks, and where ages are limited to less than an hour (infra.constructs.freshness).
USUAL_MINUTES, SHORT_MINUTES, SHORT_SECONDS = 5, 1, 3600
LOOK_SECONDS, LOOK_GB = 0.2, 0.25  # two reads and one value for CloudWatch
LOOK_READS = 2  # pointer and generation, both consistent
LOOK_LOG_KB = 0.7  # its own line and Lambda's report
#: Events for each request, as nothing in an entry says how many there are.
EVENTS_A_REQUEST = 0.1
EVENT_SECONDS, EVENT_GB = 0.05, 0.5  # without waiting for the model
EVENT_MESSAGES = 3  # sent, received, deleted
IDLE_POLLS_AN_HOUR = 15 * 60  # by which Lambda asks the queue, empty or not
EVENT_WRITES, EVENT_READS = 2, 1  # its entry and the minute's count; the entry before it
EVENT_METRICS = 4
EVENT_LOG_KB = 0.9


def watch(case: Case) -> Iterator[Line]:
    """A function on a schedule of its own that reports how old the data are; it looks whether anybody asks or not."""
    count = looks(case)
    how = f"{count:,.0f} looks"
    yield case.line("watch: schedule", "eventbridge.scheduler", count, how)
    yield case.line("watch: Lambda calls", "lambda.requests", count, how)
    seconds = f"{how} x {LOOK_SECONDS * 1000:g} ms x {LOOK_GB:g} GB"
    yield case.line("watch: Lambda time", "lambda.duration_arm", count * LOOK_SECONDS * LOOK_GB, seconds)
    yield case.line("watch: table, reads", "dynamodb.read", count * LOOK_READS, f"{how} at pointer and generation")
    yield metrics(case, "watch: metrics", 1, HOURS, "DataAgeSeconds")
    yield case.line("watch: PutMetricData", "cloudwatch.api_requests", count, "one a look")
    yield logs(case, "watch: logs", count * LOOK_LOG_KB, f"{how} x {LOOK_LOG_KB:g} KB")
    yield log_storage(case, count * LOOK_LOG_KB, "watch: kept logs")
    yield alarms(case, "watch: alarms", 1)


def looks(case: Case) -> float:
    """Return the looks a month; they are more where the data may be less than an hour old."""
    limit, older_than = case.spec.max_staleness.total_seconds(), case.spec.refresh.when_older_than
    if older_than is not None:
        limit = min(limit, older_than.total_seconds())
    return HOURS * 60 / (SHORT_MINUTES if limit < SHORT_SECONDS else USUAL_MINUTES)


def events(case: Case) -> float:
    """Return the events a month that have a key scored, each of which asks the model once."""
    return case.work.requests * EVENTS_A_REQUEST if case.spec.refresh.on_event else 0.0


def refresh(case: Case) -> Iterator[Line]:
    """What events pass through on their way to the model, whose own lines have them among its requests.

    An event is priced as a batch of its own, which it is where they are rare. Who sends events pays for sending them.
    """
    if not case.spec.refresh.on_event:
        return
    count = events(case)
    how = f"{count:,.0f} events, {EVENTS_A_REQUEST:g} for each request assumed"
    polls = HOURS * IDLE_POLLS_AN_HOUR
    yield case.line("refresh: queue", "sqs.standard", count * EVENT_MESSAGES, f"{how}, x {EVENT_MESSAGES}")
    yield case.line("refresh: queue, polls", "sqs.standard", polls, f"{HOURS} h x {IDLE_POLLS_AN_HOUR}")
    yield case.line("refresh: Lambda calls", "lambda.requests", count, how)
    seconds = f"{how}, x {EVENT_SECONDS * 1000:g} ms x {EVENT_GB:g} GB"
    yield case.line("refresh: Lambda time", "lambda.duration_arm", count * EVENT_SECONDS * EVENT_GB, seconds)
    yield case.line("refresh: table, writes", "dynamodb.write", count * EVENT_WRITES, f"{how}: entry, count")
    yield case.line("refresh: table, reads", "dynamodb.read", count * EVENT_READS, how)
    days = case.spec.keep_scores.total_seconds() / 86400
    size = count * days / DAYS * REMEMBERED_KB / 1e6
    yield from stored(case, "refresh: entries", size, f"entries of {REMEMBERED_KB:g} KB for {days:g} days")
    yield metrics(case, "refresh: metrics", EVENT_METRICS, busy_hours(count), "one value per event")
    yield logs(case, "refresh: logs", count * EVENT_LOG_KB, f"{how}, x {EVENT_LOG_KB:g} KB")
    yield log_storage(case, count * EVENT_LOG_KB, "refresh: kept logs")
    yield alarms(case, "refresh: alarms", 1)
