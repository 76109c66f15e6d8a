"""What every request costs before a model is asked: HTTP API, the front door's function, its log lines and metrics.

The alarms, the gate and the table's key are here too: they come with a model in every mode.
"""

import math
from collections.abc import Iterator

from turnout.cost.lines import Case, Line
from turnout.cost.workload import DAYS, HOURS

FRONT_DOOR_GB = 0.5
LOOKUP_SECONDS = 0.02  # that a request holds the front door's function, without waiting for a model
LOG_KB = 1.3  # of a request: its own line with metrics in it, Lambda's report, and the API's access log
LOG_RATIO = 0.15  # that log lines deflate to
HTTP_STEP_KB = 512  # the HTTP API counts a request once for each begun
READS_AN_HOUR = 3600 / 2  # of the pointer, at most, by an environment that is busy (POINTER_SECONDS)
FRONT_DOOR_ALARMS = 3
#: Requests, PredictionRequests, Keyless, Hits, Misses, StaleAnswers, Errors and HandlerMilliseconds.
FRONT_DOOR_METRICS = 8
RECORDS_GB = 0.001
REMEMBERED_KB = 0.3  # of one remembered answer
KMS_HOURLY = 12  # DynamoDB asks for its table's key every five minutes while there is traffic


def accepted(case: Case) -> Iterator[Line]:
    """Every request, in a mode that takes it in and has it answered later."""
    yield from _door(case, busy_hours(case.work.requests))


def asked_at_once(case: Case) -> Iterator[Line]:
    """Every request, in a mode in which the model answers while the caller waits."""
    yield from _door(case, busy_hours(case.work.requests))
    yield _of_answers(case, 2, "AgeSeconds, LiveCalls")


def _of_answers(case: Case, count: int, names: str) -> Line:
    return metrics(case, "front door: metrics of answers", count, busy_hours(case.work.requests), names)


def refused_lookups(case: Case) -> Iterator[Line]:
    """Every request, in a mode that answers none: it is told where the results lie."""
    yield from _door(case, HOURS)
    yield from _pointer(case)


def lookups(case: Case) -> Iterator[Line]:
    """Every request, answered from the table: half a read unit for the bucket that has the key, or would have it.

    Where events have keys scored again, half a unit more looks for an entry of the key's own.
    """
    yield from _door(case, HOURS)
    yield _of_answers(case, 1, "AgeSeconds")
    yield from _pointer(case)
    requests = case.work.requests
    halves = 1 + case.spec.refresh.on_event
    how = f"{requests:,.0f} lookups of {'a' if halves > 1 else 'half a'} unit"
    yield case.line("table: lookups", "dynamodb.read", requests * halves / 2, how)


def remembering(case: Case) -> Iterator[Line]:
    """What a miss reads and writes beside the model's answer: memory, flight, cap (handlers.logic.hybrid)."""
    misses = case.work.misses
    yield case.line("table: misses, reads", "dynamodb.read", 2 * misses, f"{misses:,.0f} misses, 2 looks at memory")
    how = f"{misses:,.0f} misses: flight, cap, memory, flight over"
    yield case.line("table: misses, writes", "dynamodb.write", 4 * misses, how)
    days = case.spec.hybrid.remember.total_seconds() / 86400
    size = misses * REMEMBERED_KB / 1e6 * days / DAYS
    yield from stored(case, "table: memory", size, f"{misses:,.0f} answers of {REMEMBERED_KB:g} KB for {days:g} days")
    yield metrics(case, "front door: metrics of misses", 2, busy_hours(misses), "Remembered, LiveCalls")


def door(case: Case, what: str, requests: float, seconds: float = LOOKUP_SECONDS) -> Iterator[Line]:
    """Requests through the front door; `seconds` that one holds its function."""
    size = math.ceil(max(case.work.payload_kb, case.work.answer_kb) / HTTP_STEP_KB) or 1
    yield case.line(f"{what}: HTTP API", "api_gateway.http_api", requests * size, f"{requests:,.0f} requests")
    yield case.line(f"{what}: Lambda calls", "lambda.requests", requests, f"{requests:,.0f} requests")
    how = f"{requests:,.0f} requests x {seconds * 1000:g} ms x {FRONT_DOOR_GB:g} GB"
    yield case.line(f"{what}: Lambda time", "lambda.duration_arm", requests * seconds * FRONT_DOOR_GB, how)
    yield logs(case, f"{what}: logs", requests * LOG_KB, f"{requests:,.0f} requests x {LOG_KB:g} KB")


def _door(case: Case, table_hours: float) -> Iterator[Line]:
    """Every request. The table is busy for `table_hours`: all month where somebody looks how old its data are."""
    requests = case.work.requests
    yield from door(case, "front door", requests)
    yield log_storage(case, requests * LOG_KB)
    yield metrics(case, "front door: metrics", FRONT_DOOR_METRICS, busy_hours(requests), "one value per request")
    yield alarms(case, "front door: alarms", FRONT_DOOR_ALARMS)
    yield from _table(case, table_hours)
    yield from _gate(case)


def _table(case: Case, hours: float) -> Iterator[Line]:
    """The table stands in every mode; scores, requests and what is remembered come with the modes that have them."""
    how = f"the table's key, every 5 min of {hours:,.0f} h"
    yield case.line("table: KMS", "kms.requests", hours * KMS_HOURLY, how)
    yield from stored(case, "table: records", RECORDS_GB, "pointer, manifests and ledger")


def stored(case: Case, what: str, gigabytes: float, how: str) -> Iterator[Line]:
    """What lies in the table, and its backup where the stage wants one."""
    yield case.line(f"{what}, storage", "dynamodb.storage", gigabytes, how)
    if case.stage.point_in_time_recovery:
        yield case.line(f"{what}, point-in-time recovery", "dynamodb.pitr", gigabytes, how)


def _pointer(case: Case) -> Iterator[Line]:
    """The pointer is read once in two seconds by each environment that is asked, or with each rare request."""
    reads = min(case.work.requests, HOURS * READS_AN_HOUR)
    yield case.line("table: pointer", "dynamodb.read", reads, f"{reads:,.0f} reads, one in 2 s at most")


GATE_LOOKS = 24  # of five seconds each, that a proof takes
GATE_SECONDS, GATE_GB = 1.0, 0.5
GATE_STATES = 3  # Prove, Decided, Wait, for each look


def _gate(case: Case) -> Iterator[Line]:
    """The gate proves the mode and the drain holds the clean-up back, once for each deployment."""
    states = 2 * (GATE_LOOKS * GATE_STATES + 1)
    yield case.line("gate: transitions", "step_functions.transition", states, f"{states} transitions", "once")
    seconds = 2 * GATE_LOOKS * GATE_SECONDS * GATE_GB
    how = f"2 x {GATE_LOOKS} looks of {GATE_SECONDS:g} s"
    yield case.line("gate: Lambda time", "lambda.duration_arm", seconds, how, "once")
    yield case.line("gate: Lambda calls", "lambda.requests", 2 * GATE_LOOKS + 4, how, "once")
    yield case.line("gate: table, reads", "dynamodb.read", 2 * GATE_LOOKS * 2, "pointer and manifest", "once")
    yield case.line("gate: traces", "xray.trace", 2, "2 executions", "once")


def busy_hours(events: float) -> float:
    """Return the hours of a month in which there is at least one event, if they come at random moments."""
    return HOURS * (1 - math.exp(-events / HOURS))


def metrics(case: Case, what: str, count: int, hours: float, how: str) -> Line:
    """CloudWatch bills a metric by the hours in which it gets values."""
    units = count * hours / HOURS
    return case.line(what, "cloudwatch.custom_metric", units, f"{count} metrics for {hours:,.0f} of {HOURS} h: {how}")


def alarms(case: Case, what: str, count: int, price: str = "cloudwatch.alarm") -> Line:
    return case.line(what, price, count, f"{count} alarm{'s' if count != 1 else ''}")


def logs(case: Case, what: str, kilobytes: float, how: str) -> Line:
    return case.line(what, "cloudwatch.logs_ingest", kilobytes / 1e6, how)


def log_storage(case: Case, kilobytes: float, what: str = "front door: kept logs") -> Line:
    """Lines are kept for as long as the stage says; CloudWatch stores them deflated."""
    days = case.stage.log_retention_days
    gigabytes = kilobytes / 1e6 * LOG_RATIO * days / DAYS
    return case.line(what, "cloudwatch.logs_store", gigabytes, f"{days} days, deflated to {LOG_RATIO:.0%}")
