"""When an EventBridge schedule is due: pure functions over the schedule's own words.

A schedule is a dict as the Scheduler API has it: ScheduleExpression, ScheduleExpressionTimezone, StartDate,
EndDate, State, CreationDate. Instants are datetimes in UTC.
"""

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

#: `cron(fields text, instant in local time)` -> next local instant after it, both without a zone.
NextCron = Callable[[str, datetime], datetime | None]

RATE = re.compile(r"rate\(\s*(\d+)\s+(minute|hour|day)s?\s*\)")
AT = re.compile(r"at\(\s*(\S+)\s*\)")
UNIT_SECONDS = {"minute": 60, "hour": 3600, "day": 86400}
#: A target that is any operation of any service; the input is the operation's request.
UNIVERSAL = re.compile(r"arn:aws:scheduler:::aws-sdk:(?P<service>[a-z0-9-]+):(?P<operation>\w+)")
#: Services whose name in such a target is not botocore's.
CLIENTS = {
    "sfn": "stepfunctions",
    "eventbridge": "events",
    "cloudwatchlogs": "logs",
    "sagemakerruntime": "sagemaker-runtime",
    "applicationautoscaling": "application-autoscaling",
}
CONTEXT = re.compile(r"<aws\.scheduler\.([a-z-]+)>")


def instant(value: Any) -> datetime | None:
    """Return epoch seconds or ISO text as UTC, None for nothing."""
    if value is None:
        return None
    if isinstance(value, (int, float)):
        return datetime.fromtimestamp(value, UTC)
    parsed = datetime.fromisoformat(str(value).replace("Z", "+00:00"))
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def next_fire(schedule: Mapping[str, Any], after: datetime, next_cron: NextCron) -> datetime | None:
    """Return the first occurrence later than `after`, or None when there is none (or the schedule is off)."""
    if schedule.get("State", "ENABLED") != "ENABLED":
        return None
    expression = schedule["ScheduleExpression"]
    if match := AT.fullmatch(expression):
        moment = _to_utc(datetime.fromisoformat(match[1]), _zone(schedule))
        return moment if moment > after else None
    start, end = instant(schedule.get("StartDate")), instant(schedule.get("EndDate"))
    if match := RATE.fullmatch(expression):
        due = _next_rate(int(match[1]) * UNIT_SECONDS[match[2]], start or instant(schedule["CreationDate"]), after)
    else:
        floor = after if start is None or start <= after else start - timedelta(seconds=1)
        due = _next_cron(expression, floor, _zone(schedule), next_cron)
    return None if due is None or (end is not None and due > end) else due


def latest_due(schedule: Mapping[str, Any], after: datetime, now: datetime, next_cron: NextCron) -> datetime | None:
    """Return the last occurrence in `(after, now]`: a clock that jumps over several fires the schedule once."""
    if match := RATE.fullmatch(schedule["ScheduleExpression"]):
        interval = timedelta(seconds=int(match[1]) * UNIT_SECONDS[match[2]])
        after = max(after, now - interval) if next_fire(schedule, after, next_cron) is not None else after
    due = None
    while (occurrence := next_fire(schedule, due or after, next_cron)) is not None and occurrence <= now:
        due = occurrence
    return due


def _next_rate(interval: int, anchor: datetime, after: datetime) -> datetime:
    """The first occurrence is the anchor itself: without a StartDate a rate schedule starts at once."""
    if after < anchor:
        return anchor
    elapsed = int((after - anchor).total_seconds() // interval) + 1
    return anchor + timedelta(seconds=elapsed * interval)


def _next_cron(expression: str, after: datetime, zone: ZoneInfo, next_cron: NextCron) -> datetime | None:
    local = after.astimezone(zone).replace(tzinfo=None)
    while (local := next_cron(expression, local)) is not None:
        moment = _to_utc(local, zone)
        skipped = moment.astimezone(zone).replace(tzinfo=None) != local  # the hour that spring leaves out
        if not skipped and moment > after:
            return moment
    return None


def _zone(schedule: Mapping[str, Any]) -> ZoneInfo:
    return ZoneInfo(schedule.get("ScheduleExpressionTimezone") or "UTC")


def _to_utc(local: datetime, zone: ZoneInfo) -> datetime:
    return local.replace(tzinfo=zone).astimezone(UTC)


def target_input(text: str, arn: str, scheduled: datetime, execution_id: str, attempt: int) -> str:
    """Return a target's Input with the scheduler's context attributes filled in."""
    values = {
        "schedule-arn": arn,
        "scheduled-time": iso(scheduled),
        "execution-id": execution_id,
        "attempt-number": str(attempt),
    }
    return CONTEXT.sub(lambda match: values.get(match[1], match[0]), text)


def iso(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def matches(schedule: Mapping[str, Any], wanted: str, logical: tuple[str, str] | None) -> bool:
    """Whether `wanted` means this schedule: its name, ARN, target's ARN, stack, or `stack/logical id` prefix.

    `logical` is the stack and logical id that own the schedule, when CloudFormation made it.
    """
    target = (schedule.get("Target") or {}).get("Arn")
    if wanted in (schedule["Name"], schedule["Arn"], target):
        return True
    stack, _, prefix = wanted.partition("/")
    return logical is not None and logical[0] == stack and logical[1].startswith(prefix)


def dead_letter(schedule: Mapping[str, Any], payload: str, error: str, attempts: int) -> tuple[str, dict[str, str]]:
    """Return body and attributes of the message that goes to a schedule's dead-letter queue."""
    return payload or json.dumps({}), {
        "ERROR_CODE": "InvalidRequest",
        "ERROR_MESSAGE": error,
        "SCHEDULE_ARN": schedule["Arn"],
        "TARGET_ARN": (schedule.get("Target") or {}).get("Arn", ""),
        "RETRY_ATTEMPTS": str(attempts - 1),
    }
