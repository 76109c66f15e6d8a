"""What Batch Transform wrote, back to the keys: every row answered exactly once, or IncompleteOutput.

Batch Transform's JoinSource puts the row number beside the prediction: `row,prediction` lines (csv) or
`{"row": n, "SageMakerOutput": ...}` objects (jsonlines). The sidecar knows which key a row number is.
Parquet it does not join: the container's answer has as many rows as the shard, in the same order, and may carry the
shard's column `row` as proof of it.
"""

import csv
import io
import json
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from handlers.contract.card import WireFormat
from handlers.contract.errors import IncompleteOutput
from handlers.logic.feature_checks import shown
from handlers.logic.rows import NoPrediction, parsed, scalar, usable
from handlers.logic.sharding import KEY, ROW

Answer = tuple[int, Any]


@dataclass(frozen=True)
class Lines:
    """How output of lines is cut into records and how a record is read."""

    records: Callable[[str], Iterable[Any]]
    answer: Callable[[Any], Answer]


def join(sidecar: pa.Table, output: bytes, wire: WireFormat, where: str) -> list[tuple[Any, Any]]:
    """Return (key, prediction) in the order of the sidecar.

    Raises IncompleteOutput, with counts and examples, for rows that are missing, doubled or unknown and for
    records without a prediction. NaN, infinities, null and empty are no predictions: JSON has no such numbers,
    and a caller could not tell an unanswered row from an answer. Nor are numbers that no double holds.
    """
    rows = sidecar[ROW].to_pylist()
    answers = ANSWERS[wire](output, rows, where)
    if [row for row, _ in answers] == rows:
        predictions = [prediction for _, prediction in answers]
    else:
        predictions = _reordered(rows, answers, where)
    return list(zip(sidecar[KEY].to_pylist(), predictions, strict=True))


def _from_lines(form: Lines, output: bytes, rows: list[int], where: str) -> list[Answer]:
    """Return the answers as they stand there. Raises IncompleteOutput for lines and bytes of no use."""
    try:
        records = list(form.records(output.decode("utf-8-sig")))
    except (UnicodeDecodeError, csv.Error) as error:
        raise IncompleteOutput(f"{where} cannot be read: {error}") from error
    answers: list[Answer] = []
    unusable: list[str] = []
    for number, record in enumerate(records, start=1):
        try:
            answers.append(form.answer(record))
        except (ValueError, LookupError, TypeError) as error:
            unusable.append(f"line {number}, {shown(record)}: {error}")
    if unusable:
        raise IncompleteOutput(f"{where}: {len(unusable):,} lines hold no prediction; first: {unusable[0]}")
    return answers


def _from_parquet(output: bytes, rows: list[int], where: str) -> list[Answer]:
    """Return the answers as they stand there, by their column `row` or, without one, as those of `rows`."""
    try:
        table = pq.ParquetFile(pa.BufferReader(output)).read()
    except (pa.ArrowException, OSError) as error:
        raise IncompleteOutput(f"{where} cannot be read as Parquet: {error}") from error
    names = table.column_names
    predicted = [name for name in names if name != ROW]
    numbered = predicted == _numbered(len(predicted))
    if len(names) != len(set(names)) or not predicted or not (numbered or len(predicted) == 1):
        listed = ", ".join(names) or "none"
        raise IncompleteOutput(
            f"{where}: one column of predictions was expected, beside it at most `row`; it has {listed}"
        )
    # One chunk each: without any, as of an empty file, Arrow 25's indices_nonzero brings the process down.
    columns = [_predictions(table[name].combine_chunks(), where) for name in predicted]
    predictions = list(map(list, zip(*columns, strict=True))) if numbered else columns[0]
    return list(zip(_row_numbers(table, rows, where), predictions, strict=True))


def _numbered(count: int) -> list[str]:
    """Return what our container's server calls the columns of a prediction of several numbers."""
    return [f"prediction_{number}" for number in range(count)]


def _row_numbers(table: pa.Table, rows: list[int], where: str) -> list[int]:
    if ROW in table.column_names:
        numbers = table[ROW]
        if not pa.types.is_integer(numbers.type) or numbers.null_count:
            raise IncompleteOutput(
                f"{where}: the column `row` has to carry the shard's row numbers; it is {numbers.type}"
            )
        return numbers.to_pylist()
    if len(table) != len(rows):
        counts = f"{len(rows):,} rows sent, {len(table):,} results"
        message = f"{where}: {counts}, and no column `row` says whose they are"
        raise IncompleteOutput(message, sent=len(rows), received=len(table))
    return rows


def _predictions(column: pa.Array, where: str) -> list[Any]:
    """Return a column's values. Raises IncompleteOutput for what is no prediction."""
    if not _is_json(column.type):
        raise IncompleteOutput(f"{where}: a column of {column.type} holds no predictions that JSON could carry")
    usable = pc.is_valid(column)
    if pa.types.is_floating(column.type):
        usable = pc.fill_null(pc.is_finite(column), False)
    values = column.to_pylist()
    if pa.types.is_nested(column.type):
        usable = pa.array(map(_is_carried, values), pa.bool_())
    unusable = pc.indices_nonzero(pc.invert(usable))
    if len(unusable):
        first = unusable[0].as_py()
        found = f"row {first + 1:,} of the file, {shown(values[first])}"
        raise IncompleteOutput(f"{where}: {len(unusable):,} rows hold no prediction; first: {found}")
    return values


def _is_json(kind: pa.DataType) -> bool:
    """Return whether values of the type are JSON: no moments, decimals or bytes."""
    if pa.types.is_struct(kind):
        return all(_is_json(field.type) for field in kind)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return _is_json(kind.value_type)
    if pa.types.is_dictionary(kind):
        return _is_json(kind.value_type)
    return any(check(kind) for check in _JSON_TYPES)


_JSON_TYPES = (
    pa.types.is_boolean,
    pa.types.is_integer,
    pa.types.is_floating,
    pa.types.is_string,
    pa.types.is_large_string,
)


def _is_carried(value: Any) -> bool:
    """Return whether JSON can carry a structured value: null is no prediction, NaN no number."""
    try:
        return json.dumps(value, allow_nan=False) != "null"
    except ValueError:
        return False


def _reordered(rows: list[int], answers: list[Answer], where: str) -> list[Any]:
    counts = Counter(row for row, _ in answers)
    by_row = dict(answers)
    missing = [row for row in rows if row not in by_row]
    doubled = sorted(row for row, count in counts.items() if count > 1)
    unknown = sorted(counts.keys() - set(rows))
    faults = [
        f"{len(found):,} {'row' if len(found) == 1 else 'rows'} {what} (first: row {found[0]:,})"
        for found, what in ((missing, "without a result"), (doubled, "with several"), (unknown, "never sent"))
        if found
    ]
    if faults:
        raise IncompleteOutput(
            f"{where}: {len(rows):,} rows sent, {len(answers):,} results: {'; '.join(faults)}",
            sent=len(rows),
            received=len(answers),
        )
    return [by_row[row] for row in rows]


def _csv_records(text: str) -> Iterable[list[str]]:
    return (record for record in csv.reader(io.StringIO(text, newline="")) if record)


def _csv_answer(record: list[str]) -> Answer:
    if len(record) != 2:
        raise NoPrediction(f"{len(record)} fields where `row,prediction` was expected")
    return int(record[0]), scalar(record[1].strip())


def _json_records(text: str) -> Iterable[str]:
    return (line for line in text.split("\n") if line.strip())


def _json_answer(line: str) -> Answer:
    record = parsed(line)
    row, prediction = record[ROW], record["SageMakerOutput"]
    if type(row) is not int:
        raise NoPrediction("it holds no prediction for a row")
    return row, usable(prediction, line)


#: Wire format -> what reads (row number, prediction) from output, given the rows that were sent and the output's place.
ANSWERS: dict[WireFormat, Callable[[bytes, list[int], str], list[Answer]]] = {
    "csv": partial(_from_lines, Lines(_csv_records, _csv_answer)),
    "jsonlines": partial(_from_lines, Lines(_json_records, _json_answer)),
    "parquet": _from_parquet,
}
