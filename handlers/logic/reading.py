"""Input files (Parquet, CSV, JSON Lines) to batches of columns, plus the lines that are no rows at all.

A file is read whole from the object store and given out in batches of at most 65,536 rows, so memory
holds one file and one batch. A line that cannot be parsed costs itself, never the file.
"""

import csv
import difflib
import gzip
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from handlers.contract.card import InputFormat, ModelCard
from handlers.contract.errors import MissingColumns, UnreadableInput
from handlers.logic.columns import Column, Typed, from_arrow, from_json, from_text
from handlers.logic.json_faults import in_words

BATCH_ROWS = 65_536


@dataclass(frozen=True)
class Unparsed:
    """A line that is no row. `offset` counts the file's rows from 0, `line` its lines from 1; `text` is cut."""

    offset: int
    line: int
    code: str
    message: str
    text: str


@dataclass(frozen=True)
class Batch:
    """Some rows of one file: the columns that the card names, where each row stood, and what was not a row.

    `offsets` are the rows' places in the file from 0; `lines` their first lines from 1 (None in Parquet).
    """

    columns: dict[str, Column]
    offsets: list[int] | range
    lines: list[int] | None = None
    unparsed: list[Unparsed] = field(default_factory=list)
    members: frozenset[str] = frozenset()  # JSON Lines: names in the batch's first row, for hints


@dataclass(frozen=True)
class Reader:
    """How one input format is read, and how its columns get the schema's types.

    `has_header` says that every file states its columns, so that a missing one is known before any row.
    """

    batches: Callable[[bytes, list[str], str], Iterator[Batch]]
    typed: Callable[[Any, str, str], Typed]
    has_header: bool


def read_batches(body: bytes, card: ModelCard, file: str) -> Iterator[Batch]:
    """Yield a file's batches. Raises UnreadableInput and MissingColumns, both naming the file."""
    if file.endswith(".gz"):
        body = _unzipped(body, file)
    wanted = dict.fromkeys([card.key, *card.feature_names, *([card.data_time] if card.data_time else [])])
    return READERS[card.input_format].batches(body, list(wanted), file)


def missing_columns(wanted: list[str], found: list[str], where: str) -> MissingColumns | None:
    """Return the error that names every missing column and what looks like it, or None."""
    missing = [name for name in wanted if name not in found]
    if not missing:
        return None
    hints = [f"{name!r}{_near_miss(name, found)}" for name in missing]
    listed = ", ".join(sorted(found)[:50]) or "none"
    return MissingColumns(
        f"{where} lacks {len(missing)} column{'s' if len(missing) > 1 else ''} of the schema: {', '.join(hints)}; "
        f"it has: {listed}",
        missing=missing,
    )


def _near_miss(name: str, found: list[str]) -> str:
    folded = {other.strip().casefold(): other for other in found}
    close = difflib.get_close_matches(name.strip().casefold(), folded, n=1, cutoff=0.75)
    return f" (did you mean {folded[close[0]]!r}?)" if close else ""


def _unzipped(body: bytes, file: str) -> bytes:
    try:
        return gzip.decompress(body)
    except (OSError, EOFError) as error:
        raise UnreadableInput(f"{file} is not gzip: {error}", file=file) from error


def _parquet_batches(body: bytes, wanted: list[str], file: str) -> Iterator[Batch]:
    try:
        parquet = pq.ParquetFile(pa.BufferReader(body))
    except (pa.ArrowException, OSError) as error:
        raise UnreadableInput(f"{file} is not Parquet: {error}", file=file) from error
    if lacking := missing_columns(wanted, parquet.schema_arrow.names, file):
        raise lacking
    offset = 0
    batches = parquet.iter_batches(batch_size=BATCH_ROWS, columns=wanted)
    while (batch := _next_parquet(batches, file)) is not None:
        yield Batch({name: batch.column(name) for name in wanted}, range(offset, offset + len(batch)))
        offset += len(batch)


def _next_parquet(batches: Iterator[pa.RecordBatch], file: str) -> pa.RecordBatch | None:
    try:
        return next(batches, None)
    except (pa.ArrowException, OSError) as error:
        raise UnreadableInput(f"{file} is damaged: {error}", file=file) from error


class _Lines:
    """Text lines that can be taken back, so that an unclosed quote costs one line and not the rest of the file."""

    def __init__(self, body: bytes) -> None:
        self._source = io.TextIOWrapper(io.BytesIO(body), encoding="utf-8-sig", errors="replace", newline="")
        self._returned: list[str] = []
        self.taken: list[str] = []
        self.number = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._returned.pop() if self._returned else next(self._source)
        self.taken.append(line)
        self.number += 1
        return line

    def give_back_all_but_first(self) -> None:
        self._returned.extend(reversed(self.taken[1:]))
        self.number -= len(self.taken) - 1
        del self.taken[1:]


def _csv_batches(body: bytes, wanted: list[str], file: str) -> Iterator[Batch]:
    lines = _Lines(body)
    # Strict, so that a quote that is opened and never closed is an error and not one huge field to the file's end.
    records = csv.reader(lines, strict=True)
    header = _csv_header(records, file)
    if lacking := missing_columns(wanted, header, file):
        raise lacking
    if repeated := [name for name in wanted if header.count(name) > 1]:
        raise UnreadableInput(f"{file} has more than one column named {', '.join(map(repr, repeated))}", file=file)
    places = {name: header.index(name) for name in wanted}
    pending = _Pending(places)
    offset = 0
    while (record := _next_record(records, lines)) is not None:
        if record == []:
            continue
        first_line = lines.number - len(lines.taken) + 1
        if isinstance(record, csv.Error) or len(record) != len(header):
            lines.give_back_all_but_first()
            pending.unparsed.append(_broken_record(record, lines.taken[0], len(header), offset, first_line))
        else:
            pending.add(record, offset, first_line)
        offset += 1
        if pending.is_full():
            yield pending.flush()
    yield pending.flush()


def _csv_header(records: Iterator[list[str]], file: str) -> list[str]:
    try:
        return next(records)
    except (StopIteration, csv.Error) as error:
        raise UnreadableInput(f"{file} has no header line with column names", file=file) from error


def _next_record(records: Iterator[list[str]], lines: _Lines) -> list[str] | csv.Error | None:
    """Return the next record, the error that it is, or None at the end."""
    lines.taken.clear()
    try:
        return next(records, None)
    except csv.Error as error:
        return error


def _broken_record(record: list[str] | csv.Error, text: str, expected: int, offset: int, line: int) -> Unparsed:
    text = text.rstrip("\r\n")
    if isinstance(record, csv.Error):
        return Unparsed(offset, line, "malformed_line", f"line {line} is not CSV: {record}", text[:1000])
    message = f"line {line} has {len(record)} field{'s' if len(record) != 1 else ''} where the header has {expected}"
    return Unparsed(offset, line, "wrong_field_count", message, text[:1000])


class _Pending:
    """Records that wait for their batch to fill, and their turning into columns."""

    def __init__(self, places: dict[str, Any]) -> None:
        self._places = places
        self._records: list[Any] = []
        self._offsets: list[int] = []
        self._lines: list[int] = []
        self.unparsed: list[Unparsed] = []
        self.members: frozenset[str] = frozenset()

    def add(self, record: Any, offset: int, line: int) -> None:
        self._records.append(record)
        self._offsets.append(offset)
        self._lines.append(line)

    def is_full(self) -> bool:
        return len(self._records) + len(self.unparsed) >= BATCH_ROWS

    def flush(self) -> Batch:
        columns = {name: [record[place] for record in self._records] for name, place in self._places.items()}
        batch = Batch(columns, self._offsets, self._lines, self.unparsed, self.members)
        self._records, self._offsets, self._lines, self.unparsed = [], [], [], []
        return batch


class _JsonPending(_Pending):
    def add(self, record: dict[str, Any], offset: int, line: int) -> None:
        self.members = self.members or frozenset(record)
        super().add([record.get(name) for name in self._places], offset, line)


def _jsonlines_batches(body: bytes, wanted: list[str], file: str) -> Iterator[Batch]:
    pending = _JsonPending({name: place for place, name in enumerate(wanted)})
    offset = 0
    for line, text in enumerate(io.BytesIO(body.removeprefix(b"\xef\xbb\xbf")), start=1):
        if not text.strip():
            continue
        record = _json_object(text)
        if isinstance(record, str):
            shown = text.decode("utf-8", "replace").rstrip("\r\n")[:1000]
            pending.unparsed.append(Unparsed(offset, line, "malformed_line", f"line {line} {record}", shown))
        else:
            pending.add(record, offset, line)
        offset += 1
        if pending.is_full():
            yield pending.flush()
    yield pending.flush()


def _json_object(text: bytes) -> dict[str, Any] | str:
    """Return the object on a line, or what the line is instead."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        return in_words(error)
    return value if isinstance(value, dict) else f"is JSON {type(value).__name__}, not an object"


READERS: dict[InputFormat, Reader] = {
    "parquet": Reader(_parquet_batches, from_arrow, has_header=True),
    "csv": Reader(_csv_batches, from_text, has_header=True),
    "jsonlines": Reader(_jsonlines_batches, from_json, has_header=False),
}
