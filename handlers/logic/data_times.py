"""The data's own time: the newest value of the column that says of when each row is.

A time is a timestamp, a date, ISO 8601 text, or a number since 1970: seconds, or milli-, micro- or nanoseconds where
it would be seconds of beyond the year 5138. Without an offset it is UTC. Reasons of rows: `not_a_time`, and
`time_in_future` for what no clock can have said yet. Empty cells say nothing and refuse nothing.
"""

import math
import re
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from handlers.contract.errors import NoDataTime, WrongColumnType
from handlers.logic.columns import Column, Problem, shown
from handlers.logic.moments import format_moment, parse_moment

#: How far clocks may differ.
TOLERANCE = timedelta(minutes=5)
#: A date has no zone: where the day begins first it does so this long before it does in UTC.
EARLIEST_DAY = timedelta(hours=14)
#: Numbers from here on are of the next smaller unit.
LARGEST_SECONDS = 10**11

#: Types of Parquet columns whose distinct values are read one by one.
_READ_BY_VALUE = (
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_date,
    pa.types.is_integer,
    pa.types.is_floating,
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?")
_DAY = re.compile(r"\d{4}-?\d\d-?\d\d")


class DataTimes:
    """The times of one data set, batch by batch; `now` is the moment at which it is read."""

    def __init__(self, column: str, now: datetime) -> None:
        self._column, self._now = column, now
        self._newest: int | None = None

    def check(self, found: Column) -> tuple[pa.Array, list[Problem]]:
        """Return a batch's times in microseconds since 1970, null where there is none, and what is wrong with them.

        Raises WrongColumnType for a Parquet column of a type that holds no times.
        """
        times, unreadable = self._of_column(found) if isinstance(found, pa.Array) else self._of_cells(found)
        latest = pa.scalar(_microseconds(self._now + TOLERANCE), pa.int64())
        future = pc.fill_null(pc.greater(times, latest), False)
        now, column = format_moment(self._now), self._column
        return times, [
            Problem("not_a_time", column, unreadable, lambda value: f"{shown(value)} is no time that can be read"),
            Problem("time_in_future", column, future, lambda value: f"{shown(value)} is later than now ({now})"),
        ]

    def note(self, times: pa.Array) -> None:
        """Count in the times of rows that are scored."""
        newest = pc.max(times).as_py()
        if newest is not None and (self._newest is None or newest > self._newest):
            self._newest = newest

    def newest(self, where: str) -> datetime:
        """Return the newest time, at most now. Raises NoDataTime when no row had any."""
        if self._newest is None:
            raise NoDataTime(
                f"column {self._column!r} holds a time in none of the good rows under {where}, so nothing says how "
                "old the data are; with `input.data_time: last-modified` the files' own time would count",
                column=self._column,
            )
        return min(_EPOCH + timedelta(microseconds=self._newest), self._now)

    def _of_column(self, column: pa.Array) -> tuple[pa.Array, pa.BooleanArray]:
        """Return a Parquet column's times, and where there is one that cannot be read."""
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        kind, fine = column.type, pa.repeat(False, len(column))
        if pa.types.is_null(kind):
            return pa.nulls(len(column), pa.int64()), fine
        if pa.types.is_timestamp(kind):
            return pc.cast(pc.cast(column, pa.timestamp("us", kind.tz), safe=False), pa.int64()), fine
        if any(holds(kind) for holds in _READ_BY_VALUE):
            return self._of_distinct(column)
        raise WrongColumnType(
            f"column {self._column!r} is {kind}, which holds no times: a timestamp, a date, ISO 8601 text or a number "
            "since 1970 is wanted",
            column=self._column,
            wanted="time",
        )

    def _of_distinct(self, column: pa.Array) -> tuple[pa.Array, pa.BooleanArray]:
        """Read each distinct value once: the times of a data set are few more often than not."""
        encoded = column.dictionary_encode()
        times, unreadable = self._of_cells(encoded.dictionary.to_pylist())
        return times.take(encoded.indices), pc.fill_null(unreadable.take(encoded.indices), False)

    def _of_cells(self, cells: list[Any]) -> tuple[pa.Array, pa.BooleanArray]:
        times: list[int | None] = []
        unreadable = []
        for cell in cells:
            try:
                time, is_readable = self._microseconds(cell), True
            except (ValueError, OverflowError):
                time, is_readable = None, False
            times.append(time)
            unreadable.append(not is_readable)
        return pa.array(times, pa.int64()), pa.array(unreadable, pa.bool_())

    def _microseconds(self, cell: Any) -> int | None:
        """Return one cell's time, None for an empty one. Raises ValueError and OverflowError for what is no time."""
        if isinstance(cell, str):
            cell = _of_text(cell.strip())
        if cell is None:
            return None
        if isinstance(cell, datetime):
            return _microseconds(cell)
        if isinstance(cell, date):
            return self._start_of(cell)
        if isinstance(cell, bool) or not isinstance(cell, (int, float)) or not math.isfinite(cell):
            raise ValueError(cell)
        return _microseconds(_since_epoch(cell))

    def _start_of(self, day: date) -> int:
        start = datetime(day.year, day.month, day.day, tzinfo=UTC)
        has_begun_somewhere = self._now < start <= self._now + EARLIEST_DAY
        return _microseconds(self._now if has_begun_somewhere else start)


def _of_text(text: str) -> datetime | date | float | None:
    if not text:
        return None
    if _DAY.fullmatch(text):
        return date.fromisoformat(text)
    if _NUMBER.fullmatch(text):
        return float(text)
    return parse_moment(text)


def _since_epoch(number: float) -> datetime:
    for _ in ("milli", "micro", "nano"):
        if abs(number) >= LARGEST_SECONDS:
            number /= 1_000
    if abs(number) >= LARGEST_SECONDS:
        raise ValueError(number)
    return _EPOCH + timedelta(seconds=number)


def _microseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1)
