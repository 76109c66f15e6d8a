"""CSV and JSON Lines records: what the filters and the join do to each line of text.

A codec is made once per job from its DataProcessing settings and then turns lists of lines into lists of
lines. CSV without a quote character is cut at commas; only rows with quotes pay for a CSV parser.
"""

import csv
import io
import json
from dataclasses import dataclass
from typing import Any, Protocol

from turnout.local.sagemaker.transform import filters
from turnout.local.sagemaker.transform.errors import BadData

CSV = "text/csv"
JSON_TYPES = ("application/json", "application/jsonlines")


class Codec(Protocol):
    """How one content type is filtered and joined. Lines carry no newline."""

    def to_model(self, lines: list[str]) -> list[str]:
        """Return what InputFilter leaves of each record."""

    def to_output(self, lines: list[str], predictions: list[str]) -> list[str]:
        """Return each record of the result: joined with its input when asked for, then OutputFilter."""


def media_type(content_type: str | None) -> str:
    """Return a content type without its parameters, in lower case."""
    return (content_type or "").split(";")[0].strip().lower()


def _steps(path: str | None) -> tuple[filters.Step, ...]:
    return filters.parse(path) if path else ()


@dataclass(frozen=True)
class CsvCodec:
    input_filter: str | None
    output_filter: str | None
    join: bool

    def to_model(self, lines: list[str]) -> list[str]:
        return self._filtered(lines, _steps(self.input_filter))

    def to_output(self, lines: list[str], predictions: list[str]) -> list[str]:
        rows = [f"{line},{out}" for line, out in zip(lines, predictions, strict=True)] if self.join else predictions
        return self._filtered(rows, _steps(self.output_filter))

    @staticmethod
    def _filtered(rows: list[str], steps: tuple[filters.Step, ...]) -> list[str]:
        if not steps:
            return rows
        return [format_row(filters.select_fields(parse_row(row), steps)) for row in rows]


def parse_row(row: str) -> list[str]:
    """Return a CSV row's fields."""
    if '"' not in row:
        return row.split(",")
    return next(csv.reader([row]))


def format_row(fields: list[str]) -> str:
    """Return fields as one CSV row, with quotes only where a field needs them."""
    row = ",".join(fields)
    if '"' not in row and row.count(",") == len(fields) - 1:
        return row
    out = io.StringIO()
    csv.writer(out, lineterminator="").writerow(fields)
    return out.getvalue()


@dataclass(frozen=True)
class JsonCodec:
    input_filter: str | None
    output_filter: str | None
    join: bool

    def to_model(self, lines: list[str]) -> list[str]:
        steps = _steps(self.input_filter)
        if not steps:
            return lines
        return [_dumps(filters.select(_loads(line, "input record"), steps)) for line in lines]

    def to_output(self, lines: list[str], predictions: list[str]) -> list[str]:
        steps = _steps(self.output_filter)
        if not self.join and not steps:
            return predictions
        values = [_loads(line, "prediction") for line in predictions]
        if self.join:
            values = [_join(_loads(line, "input record"), out) for line, out in zip(lines, values, strict=True)]
        return [_dumps(filters.select(value, steps)) for value in values]


def _join(record: Any, prediction: Any) -> dict:
    """Put the prediction under the reserved name `SageMakerOutput`, as DataProcessing does."""
    if isinstance(record, dict):
        return {**record, "SageMakerOutput": prediction}
    return {"SageMakerInput": record, "SageMakerOutput": prediction}


def _loads(line: str, what: str) -> Any:
    try:
        return json.loads(line)
    except ValueError as error:
        raise BadData(f"{what} is not JSON ({error}): {line[:80]}") from None


def _dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def codec_for(content_type: str | None, processing: dict) -> Codec | None:
    """Return the codec that a job's DataProcessing asks for, or None when bytes pass through untouched."""
    wanted = (processing.get("InputFilter"), processing.get("OutputFilter"), processing.get("JoinSource") == "Input")
    if all(path in (None, "$") for path in wanted[:2]) and not wanted[2]:
        return None
    return (CsvCodec if media_type(content_type) == CSV else JsonCodec)(*wanted)
