"""Moments in time: aware datetimes in UTC inside, ISO 8601 text with `Z` outside."""

from datetime import UTC, datetime


def utc_now() -> datetime:
    return datetime.now(UTC)


def parse_moment(text: str) -> datetime:
    """Return ISO 8601 text as UTC; without an offset it is taken as UTC. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def format_moment(moment: datetime) -> str:
    """Return `2026-11-23T06:00:00Z`, with milliseconds if there are any."""
    precision = "milliseconds" if moment.microsecond // 1000 else "seconds"
    return moment.astimezone(UTC).isoformat(timespec=precision).replace("+00:00", "Z")


def seconds_between(earlier: str, later: datetime) -> int:
    """Return whole seconds from ISO text to a moment, never negative (clocks of two services may differ)."""
    return max(0, int((later - parse_moment(earlier)).total_seconds()))


def milliseconds(moment: datetime) -> int:
    """Return whole milliseconds since the epoch."""
    return int(moment.timestamp() * 1000)
