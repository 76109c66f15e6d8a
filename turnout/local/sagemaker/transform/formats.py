"""CSV and JSON Lines records: what the filters and the join do to each line of text.

A codec is made once per job from its DataProcessing settings and then turns lists of lines into lists of
lines. CSV without a quote character is cut at commas; only rows with quotes pay for a CSV parser.
"""

import contextlib
import json
import operator
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NoReturn, Protocol

from turnout.local.sagemaker.transform import filters
from turnout.local.sagemaker.transform.errors import BadData

CSV = "text/csv"
JSON_TYPES = ("application/json", "application/jsonlines")
#: The names under which DataProcessing puts a record's prediction and a record that is no object.
OUTPUT, INPUT = "SageMakerOutput", "SageMakerInput"
#: One field of RFC 4180 and what follows it: a comma or the end of the row.
FIELD = re.compile(r'(?:"([^"]*(?:""[^"]*)*)"|([^",]*))(,|\Z)')
SURROGATE = re.compile("[\ud800-\udfff]")


class Codec(Protocol):
    """How one content type is filtered and joined. Lines carry no newline."""

    join: bool
    #: Whether the answers are looked into; otherwise their bytes pass untouched.
    reads_answers: bool

    def to_model(self, lines: list[str]) -> list[str]:
        """Return what InputFilter leaves of each record."""

    def predictions(self, answer: bytes, one: bool) -> list[str]:
        """Return the records of an answer. `one`: a single record was sent."""

    def to_output(self, lines: list[str], predictions: list[str]) -> list[str]:
        """Return each record of the result: joined with its input when asked for, then OutputFilter."""


def media_type(content_type: str | None) -> str:
    """Return a content type without its parameters, in lower case."""
    return (content_type or "").split(";")[0].strip().lower()


def decoded(data: bytes) -> str:
    """Return UTF-8 text. Raises BadData for anything else."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise BadData("the data is not UTF-8, which filters and joins need") from None


def text_lines(data: bytes) -> list[str]:
    """Return the lines of UTF-8 text without `\\n` or `\\r\\n`; a last newline starts no further line."""
    lines = decoded(data).split("\n")
    if not lines[-1]:
        lines.pop()
    return [line.removesuffix("\r") for line in lines] if b"\r" in data else lines


def _steps(path: str | None) -> tuple[filters.Step, ...]:
    return filters.parse(path) if path else ()


@dataclass(frozen=True)
class CsvCodec:
    input_filter: str | None
    output_filter: str | None
    join: bool

    @cached_property
    def reads_answers(self) -> bool:
        return self.join or bool(_steps(self.output_filter))

    def to_model(self, lines: list[str]) -> list[str]:
        return _filtered(lines, _steps(self.input_filter))

    def predictions(self, answer: bytes, one: bool) -> list[str]:
        return text_lines(answer)

    def to_output(self, lines: list[str], predictions: list[str]) -> list[str]:
        return _filtered(self._joined(lines, predictions) if self.join else predictions, _steps(self.output_filter))

    @staticmethod
    def _joined(lines: list[str], predictions: list[str]) -> list[str]:
        rows = [f"{line},{prediction}" for line, prediction in zip(lines, predictions, strict=True)]
        for row, line in zip(rows, lines, strict=True) if _quotes_in(rows) else ():
            parse_row(line), parse_row(row)  # the same quotes may be right together and wrong apart
        return rows


def _quotes_in(rows: list[str]) -> bool:
    return any('"' in row for row in rows)


def _filtered(rows: list[str], steps: tuple[filters.Step, ...]) -> list[str]:
    if not steps:
        return rows
    if _quotes_in(rows):
        return [format_row(filters.select_fields(parse_row(row), steps)) for row in rows]
    return _plainly_filtered(rows, steps)


def _plainly_filtered(rows: list[str], steps: tuple[filters.Step, ...]) -> list[str]:
    """Filter rows without quotes; the usual paths, `[n:]` and `[a,b]`, take a shorter way."""
    if start := filters.tail_start(steps):
        return [fields[start] if len(fields := row.split(",", start)) > start else "" for row in rows]
    if positions := filters.positions(steps):
        pick = operator.itemgetter(*positions)
        with contextlib.suppress(IndexError):  # the long way says what is missing
            return [",".join(pick(row.split(","))) for row in rows]
    return [",".join(filters.select_fields(row.split(","), steps)) for row in rows]


def parse_row(row: str) -> list[str]:
    """Return a CSV row's fields. Raises BadData where RFC 4180 is broken, as by a newline within quotes."""
    if '"' not in row:
        return row.split(",")
    fields, position = [], 0
    while True:
        match = FIELD.match(row, position)
        if match is None:
            raise BadData(f"Failed to parse line as CSV: {row[:80]!r}")
        fields.append(match[2] if match[1] is None else match[1].replace('""', '"'))
        if not match[3]:
            return fields
        position = match.end()


def format_row(fields: list[str]) -> str:
    """Return fields as one CSV row, with quotes only where a field needs them."""
    return ",".join(_quoted(field) if '"' in field or "," in field else field for field in fields)


def _quoted(field: str) -> str:
    return '"' + field.replace('"', '""') + '"'


@dataclass(frozen=True)
class JsonCodec:
    input_filter: str | None
    output_filter: str | None
    join: bool

    @cached_property
    def reads_answers(self) -> bool:
        return self.join or bool(_steps(self.output_filter))

    def to_model(self, lines: list[str]) -> list[str]:
        steps = _steps(self.input_filter)
        if not steps:
            return lines
        return [dumps(filters.select(loads(line, "input record"), steps)) for line in lines]

    def predictions(self, answer: bytes, one: bool) -> list[str]:
        return [decoded(answer)] if one else text_lines(answer)

    def to_output(self, lines: list[str], predictions: list[str]) -> list[str]:
        if not self.reads_answers:
            return predictions
        steps = _steps(self.output_filter)
        values = [loads(line, "prediction") for line in predictions]
        if self.join:
            values = [_join(loads(line, "input record"), out) for line, out in zip(lines, values, strict=True)]
        return [dumps(filters.select(value, steps)) for value in values]


def _join(record: Any, prediction: Any) -> dict:
    """Put the prediction under the reserved name `SageMakerOutput`, as DataProcessing does."""
    return {**(record if isinstance(record, dict) else {INPUT: record}), OUTPUT: prediction}


def loads(line: str, what: str) -> Any:
    """Return a line's JSON value. Raises BadData, also for the NaN and Infinity that Python would take."""
    try:
        return json.loads(line, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise BadData(f"{what} is not JSON ({error}): {line[:80]}") from None


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def dumps(value: Any) -> str:
    """Return JSON on one line, as short as it can be."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except ValueError:
        raise BadData("a number is too large for JSON") from None
    return json.dumps(value, separators=(",", ":")) if SURROGATE.search(text) else text


def codec_for(content_type: str | None, processing: dict) -> Codec | None:
    """Return the codec that a job's DataProcessing asks for, or None when bytes pass through untouched."""
    wanted = (processing.get("InputFilter"), processing.get("OutputFilter"), processing.get("JoinSource") == "Input")
    if all(path in (None, "$") for path in wanted[:2]) and not wanted[2]:
        return None
    return (CsvCodec if media_type(content_type) == CSV else JsonCodec)(*wanted)
