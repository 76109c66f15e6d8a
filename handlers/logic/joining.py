"""What Batch Transform wrote, back to the keys: every row answered exactly once, or IncompleteOutput.

Batch Transform's JoinSource puts the row number beside the prediction: `row,prediction` lines (csv) or
`{"row": n, "SageMakerOutput": ...}` objects (jsonlines). The sidecar knows which key a row number is.
"""

import csv
import io
import json
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from handlers.contract.card import WireFormat
from handlers.contract.errors import IncompleteOutput
from handlers.logic.feature_checks import shown
from handlers.logic.rows import NoPrediction, refuse_constant, scalar
from handlers.logic.sharding import KEY, ROW

Answer = tuple[int, Any]


@dataclass(frozen=True)
class Output:
    """How one wire format's output is cut into records and how a record is read."""

    records: Callable[[str], Iterable[Any]]
    answer: Callable[[Any], Answer]


def join(sidecar: pa.Table, output: bytes, wire: WireFormat, where: str) -> list[tuple[Any, Any]]:
    """Return (key, prediction) in the order of the sidecar.

    Raises IncompleteOutput, with counts and examples, for rows that are missing, doubled or unknown and for
    lines without a prediction. NaN, infinities, null and empty are no predictions: JSON has no such numbers,
    and a caller could not tell an unanswered row from an answer.
    """
    answers, unusable = _answers(output, OUTPUTS[wire], where)
    if unusable:
        raise IncompleteOutput(f"{where}: {len(unusable):,} lines hold no prediction; first: {unusable[0]}")
    rows = sidecar[ROW].to_pylist()
    if [row for row, _ in answers] == rows:
        predictions = [prediction for _, prediction in answers]
    else:
        predictions = _reordered(rows, answers, where)
    return list(zip(sidecar[KEY].to_pylist(), predictions, strict=True))


def _answers(output: bytes, form: Output, where: str) -> tuple[list[Answer], list[str]]:
    """Return the answers, and what the unusable lines are. Raises IncompleteOutput for bytes that are no text."""
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
    return answers, unusable


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
    record = json.loads(line, parse_constant=refuse_constant)
    row, prediction = record[ROW], record["SageMakerOutput"]
    if type(row) is not int or prediction is None:
        raise NoPrediction("it holds no prediction for a row")
    return row, prediction


OUTPUTS: dict[WireFormat, Output] = {
    "csv": Output(_csv_records, _csv_answer),
    "jsonlines": Output(_json_records, _json_answer),
}
