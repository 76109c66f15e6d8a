"""Schedule expressions as EventBridge Scheduler reads them, checked before AWS would refuse them.

Source: https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html. Every check returns None
when all is well, or a pair (reason, remedy).
"""

import calendar
import difflib
import functools
import itertools
import re
import zoneinfo
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from turnout.config.problems import quote

LINK = "https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html"

Verdict = tuple[str, str] | None

MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_LONGEST_MONTH = {2: 29, 4: 30, 6: 30, 9: 30, 11: 30}


@dataclass(frozen=True)
class _Field:
    """One cron field: its range, its names, the forms that only it knows, and whether it may be `?` or use steps."""

    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()
    special: str | None = None
    any_day: bool = False
    steps: bool = True


_FIELDS = (
    _Field("minutes", 0, 59),
    _Field("hours", 0, 23),
    _Field("day-of-month", 1, 31, special=r"L|([1-9]|[12][0-9]|3[01])W", any_day=True),
    _Field("month", 1, 12, MONTHS),
    _Field("day-of-week", 1, 7, DAYS, r"L|([1-7]|SUN|MON|TUE|WED|THU|FRI|SAT)(L|#[1-5])", any_day=True, steps=False),
    _Field("year", 1970, 2199),
)


def check_cron(text: str) -> Verdict:
    """Check the six fields of a cron expression."""
    parts = text.split()
    if len(parts) != len(_FIELDS):
        return _wrong_count(parts)
    for part, rule in zip(parts, _FIELDS, strict=True):
        if why := _wrong_field(part, rule):
            return f"{quote(part)} does not fit {rule.name}: {why}", f"Write {_allowed(rule)}."
    days = (parts[2], parts[4])
    if "?" not in days:
        return (
            "day-of-month and day-of-week cannot both be given",
            f"Write `?` in one of the two, such as {_suggest(parts)}.",
        )
    if days == ("?", "?"):
        return "day-of-month and day-of-week are both `?`", f"Write `*` for one of the two, such as {_suggest(parts)}."
    return _never(parts)


def _wrong_count(parts: list[str]) -> Verdict:
    reason = f"a cron expression has six fields, this one has {len(parts)}"
    remedy = "Write minutes, hours, day-of-month, month, day-of-week, year, such as cron(0 6 * * ? *)."
    if len(parts) == 5:
        remedy = f"It looks like Unix cron; EventBridge wants cron({_from_unix(parts)})."
    return reason, remedy


def _from_unix(parts: list[str]) -> str:
    """Return the EventBridge form of five Unix fields, where days of the week count from Sunday = 0."""
    minutes, hours, day, month, weekday = parts
    weekday = re.sub(r"[0-7]", lambda digit: str(int(digit[0]) % 7 + 1), weekday)
    day, weekday = (day, "?") if weekday == "*" else ("?", weekday)
    return f"{minutes} {hours} {day} {month} {weekday} *"


def _suggest(parts: list[str]) -> str:
    """Return the expression with a legal pair of days: the more particular of the two stays."""
    fixed = list(parts)
    if parts[4] in ("*", "?"):
        fixed[2], fixed[4] = ("*" if parts[2] == "?" else parts[2]), "?"
    else:
        fixed[2] = "?"
    return f"cron({' '.join(fixed)})"


def _wrong_field(part: str, rule: _Field) -> str | None:
    if part == "?":
        return None if rule.any_day else "`?` stands for a day only"
    for item in part.upper().split(","):
        if why := _wrong_item(item, rule):
            return why
    return None


def _wrong_item(item: str, rule: _Field) -> str | None:
    if rule.special and re.fullmatch(rule.special, item, re.ASCII):
        return None
    base, slash, step = item.partition("/")
    if slash and not rule.steps:
        return "steps with `/` are not known here"
    if slash and not (step.isascii() and step.isdigit() and len(step) <= 4 and int(step) > 0):
        return "after `/` comes a whole number above 0"
    if base == "*":
        return None
    ends = base.split("-")
    values = [_number(end, rule) for end in ends]
    if len(values) > 2 or None in values:
        numeric = re.fullmatch("[0-9]+(-[0-9]+)?", base, re.ASCII)
        return f"values run from {rule.low} to {rule.high}" if numeric else "it is not understood"
    return "the range runs backwards" if values[0] > values[-1] else None


def _number(text: str, rule: _Field) -> int | None:
    """Return a value's number, or None where the field has no such value."""
    if text in rule.names:
        return rule.low + rule.names.index(text)
    if not re.fullmatch("[0-9]{1,4}", text, re.ASCII):
        return None
    return int(text) if rule.low <= int(text) <= rule.high else None


def _allowed(rule: _Field) -> str:
    names = f" or {rule.names[0]}-{rule.names[-1]}" if rule.names else ""
    also = {"day-of-month": ", `?`, `L`, `15W`", "day-of-week": ", `?`, `L`, `6L`, `2#1`"}.get(rule.name, "")
    steps = ", steps such as `*/2`" if rule.steps else ""
    return f"{rule.low}-{rule.high}{names}, `*`, lists `1,3`, ranges `1-3`{steps}{also}"


def _never(parts: list[str]) -> Verdict:
    """Find a day that no month of the expression has, such as 31 February."""
    day, months = parts[2], parts[3].upper().split(",")
    numbers = [_number(month, _FIELDS[3]) for month in months]
    if not day.isdigit() or None in numbers:
        return None
    longest = max(_LONGEST_MONTH.get(month, 31) for month in numbers)
    if int(day) <= longest:
        return None
    return f"no month {parts[3]} has a day {day}: it would never run", f"Write {longest}, or `L` for the last day."


def check_rate(text: str) -> Verdict:
    """Check `value unit`: a whole number above 0, the unit singular for 1 and plural otherwise."""
    match = re.fullmatch(r"([0-9]{1,9}) +(minute|hour|day)(s?)", text, re.ASCII)
    if not match or int(match[1]) == 0:
        remedy = "Write a whole number above 0 and minutes, hours or days, such as rate(6 hours)."
        return f"{quote(text)} is not a rate", remedy
    value, unit = int(match[1]), match[2]
    right = unit if value == 1 else f"{unit}s"
    if match[2] + match[3] == right:
        return None
    return f"{quote(text)}: AWS wants the singular for 1 and the plural otherwise", f"Write rate({value} {right})."


def rate_interval(text: str) -> timedelta:
    """Return the time between two runs of a rate that `check_rate` accepts."""
    value, unit = text.split()
    return timedelta(**{unit.rstrip("s") + "s": int(value)})


def check_at(text: str) -> Verdict:
    """Check `yyyy-mm-ddThh:mm:ss`, without zone."""
    remedy = "Write yyyy-mm-ddThh:mm:ss, such as at(2026-12-01T06:00:00); the zone goes into `timezone`."
    if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", text, re.ASCII):
        return f"{quote(text)} is not a moment", remedy
    try:
        datetime.fromisoformat(text)
    except ValueError as error:
        return f"{quote(text)} is not a moment: {error}", remedy
    return None


def check_timezone(name: str) -> Verdict:
    """Check that a time zone exists."""
    if name == "UTC":
        return None
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return f"{quote(name)} is not a time zone", _nearest_zone(name, _zones())
    if name.startswith(("posix/", "right/")) or name in ("localtime", "posixrules", "Factory"):
        return f"{quote(name)} is a file of this machine, no IANA time zone", "Write Europe/Berlin, UTC or the like."
    return None


@functools.cache
def _zones() -> set[str]:
    """Return every time zone's name; it takes a walk over hundreds of files."""
    return zoneinfo.available_timezones()


def _nearest_zone(name: str, known: set[str]) -> str:
    if not known:
        return "This machine has no time zone database: run `pip install tzdata`, or write UTC."
    cities = {zone.rpartition("/")[2].casefold(): zone for zone in sorted(known)}
    wanted = name.rpartition("/")[2].casefold().replace(" ", "_")
    close = difflib.get_close_matches(wanted, cities, 1) if wanted else []
    return f"Did you mean {cities[close[0]]}?" if close else "Write an IANA name such as Europe/Berlin or UTC."


def runs_a_month(schedule: Any) -> float | None:
    """Return how many runs of a legal schedule to expect in 30.4 days; None where data decides, not time."""
    if schedule.rate is not None:
        return timedelta(days=30.4) / rate_interval(schedule.rate)
    if schedule.at is not None:
        return 1.0
    if schedule.cron is None:
        return None
    minutes, hours, month_days, months, week_days, _ = (
        _how_many(part, rule) for part, rule in zip(schedule.cron.split(), _FIELDS, strict=True)
    )
    days = month_days if month_days is not None else 30.4 if week_days is None else week_days * 30.4 / 7
    return (minutes or 60) * (hours or 24) * days * (months or 12) / 12


def _how_many(part: str, rule: _Field) -> float | None:
    """Return how many values a legal cron field names; None for all of them. `L`, `15W` and `2#1` name one day."""
    if part in ("*", "?"):
        return None
    count = 0.0
    for item in part.upper().split(","):
        if _special(item, rule):
            count += 7 / 30.4 if rule.names == DAYS and item != "L" else 1
        else:
            count += len(_range(item, rule))
    return count


def _special(item: str, rule: _Field) -> bool:
    return re.fullmatch(rule.special or "(?!)", item) is not None


def _range(item: str, rule: _Field) -> range:
    """Return the values of one item of a legal cron field that is no special form."""
    span, _, step = item.partition("/")
    first, _, last = span.partition("-")
    low = rule.low if first in ("*", "?") else _number(first, rule)
    high = rule.high if step or first in ("*", "?") else low
    high = _number(last, rule) if last else high
    return range(low, high + 1, int(step or 1))


#: Days that are looked at for the longest gap: they hold every weekday, and two 29 February.
_FROM, _LOOKED_AT = date(2024, 1, 1), 5 * 366


@functools.cache
def longest_gap(cron: str) -> timedelta:
    """Return the longest time between two runs of a legal cron expression, by the clock of its zone.

    Years are not looked at, nor the hour that clocks are changed by; what runs once in five years or less gets these.
    """
    minutes, hours, month_day, month, week_day, _ = cron.upper().split()
    times = sorted(hour * 60 + minute for hour in _values(hours, 1) for minute in _values(minutes, 0))
    months = _values(month, 3)
    days = [
        day
        for day in range(_LOOKED_AT)
        if (at := _FROM + timedelta(days=day)).month in months and _on_day(at, month_day, week_day)
    ]
    over_night = 24 * 60 - times[-1] + times[0]
    gaps = [(after - before - 1) * 24 * 60 + over_night for before, after in itertools.pairwise(days)]
    if not gaps:
        return timedelta(days=_LOOKED_AT)
    return timedelta(minutes=max(*gaps, 0, *(after - before for before, after in itertools.pairwise(times))))


def _values(part: str, field: int) -> set[int]:
    return {value for item in part.split(",") for value in _range(item, _FIELDS[field])}


def _on_day(day: date, month_days: str, week_days: str) -> bool:
    """Say whether both fields of a cron expression that name days name this one."""
    of_month = any(_is_month_day(day, item) for item in month_days.split(","))
    return of_month and any(_is_week_day(day, item) for item in week_days.split(","))


def _is_month_day(day: date, item: str) -> bool:
    last = calendar.monthrange(day.year, day.month)[1]
    if item == "L":
        return day.day == last
    if item.endswith("W"):
        return day == _nearest_weekday(day.replace(day=min(int(item[:-1]), last)), last)
    return day.day in _range(item, _FIELDS[2])


def _nearest_weekday(day: date, last: int) -> date:
    """Return the day from Monday to Friday that is nearest to one, in the same month."""
    away = {5: -1 if day.day > 1 else 2, 6: 1 if day.day < last else -2}.get(day.weekday(), 0)
    return day + timedelta(days=away)


def _is_week_day(day: date, item: str) -> bool:
    number = day.isoweekday() % 7 + 1
    if item == "L":
        return number == 7
    if not _special(item, _FIELDS[4]):
        return number in _range(item, _FIELDS[4])
    name, _, which = item.removesuffix("L").partition("#")
    in_turn = (day.day - 1) // 7 + 1
    is_last = day.day + 7 > calendar.monthrange(day.year, day.month)[1]
    return number == _number(name, _FIELDS[4]) and (in_turn == int(which) if which else is_last)
