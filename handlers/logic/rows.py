"""Rows on their way to a container and predictions on their way back, as Batch Transform carries them.

What a live endpoint gets is, byte for byte, what Batch Transform hands over for the same features, so that a model
says the same in every mode. Standard library only: the pipeline writes whole columns with Arrow
(`handlers.logic.sharding`), and a test holds both to the same bytes. Where Batch Transform carries Parquet, which takes
Arrow to write, a live endpoint gets JSON Lines: names, types and nulls as the Parquet columns have them.
"""

import csv
import io
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from handlers.contract.card import ModelCard, WireFormat
from handlers.logic.feature_checks import CONVERT, typed_key
from handlers.logic.json_faults import in_words

#: A number as JSON, Python or numpy write it. Digits after a leading zero make a label: `007` stays text.
_NUMBER = re.compile(r"[+-]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,17})")
_NOT_FINITE = {"nan", "inf", "infinity"}
_TOO_DEEP = "an answer is nested too deeply"

Key = str | int | None


class NoPrediction(ValueError):
    """An output line does not hold a prediction that JSON could carry."""


def encode_rows(card: ModelCard, keys: Sequence[Key], rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Return one line per row; each row holds features by name, and a feature that is not there is null.

    Values must be of their schema's types (handlers.logic.feature_checks). `keys` go along where the card says so.
    """
    line = WIRES[card.wire_format].line
    return "".join(f"{line(card, key, row)}\n" for key, row in zip(keys, rows, strict=True)).encode()


def decode_answer(card: ModelCard, body: bytes, count: int | None) -> list[Any]:
    """Return the predictions for `count` rows, in order; None: for as many as there are.

    Raises NoPrediction (a ValueError) that says what is wrong.
    """
    try:
        predictions = WIRES[card.wire_format].predictions(body.decode("utf-8-sig"), count)
    except (UnicodeDecodeError, csv.Error) as error:
        raise NoPrediction(f"the answer cannot be read: {error}") from error
    if count is not None and len(predictions) != count:
        raise NoPrediction(f"the model answered {len(predictions):,} predictions for {count:,} rows")
    return predictions


def content_type(card: ModelCard) -> str:
    return WIRES[card.wire_format].content_type


def named_features(card: ModelCard, key: Key, features: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a JSON line tells the model about one row."""
    return {"key": key, **features} if card.pass_key_to_model else dict(features)


def scalar(text: str) -> Any:
    """Return the number that a CSV field writes (int or float), else its text: a label. Raises NoPrediction."""
    if _INTEGER.fullmatch(text):
        return int(text)
    number = float(text) if _NUMBER.fullmatch(text) else None
    if not text or text.lstrip("+-").lower() in _NOT_FINITE or (number is not None and not math.isfinite(number)):
        raise NoPrediction(f"{text!r} is not a prediction")
    return text if number is None else number


def _typed(card: ModelCard, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the features in the schema's order and types; a number of a float feature becomes a float."""
    values = {feature.name: row.get(feature.name) for feature in card.features}
    return {f.name: None if values[f.name] is None else CONVERT[f.type](values[f.name]) for f in card.features}


def _csv_line(card: ModelCard, key: Key, row: Mapping[str, Any]) -> str:
    values = list(_typed(card, row).values())
    if card.pass_key_to_model:
        values.insert(0, None if key is None else typed_key(key, _wire_key_type(card)))
    return ",".join(map(_csv_field, values))


def _json_line(card: ModelCard, key: Key, row: Mapping[str, Any]) -> str:
    typed = None if key is None else typed_key(key, _wire_key_type(card))
    return json.dumps(named_features(card, typed, _typed(card, row)), allow_nan=False)


def _wire_key_type(card: ModelCard) -> str | None:
    """Return the keys' type where it is known without looking at data: CSV files hold text."""
    return card.key_type or ("string" if card.input_format == "csv" else None)


def _csv_field(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return '"' + value.replace('"', '""') + '"'
    return shortest(value) if isinstance(value, float) else str(int(value))


def shortest(value: float) -> str:
    """Return the shortest text that reads back as the same double, in Arrow's form: `546`, `1e+10`, `1.5e-9`."""
    mantissa, _, exponent = repr(abs(value)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    point = len(whole) + int(exponent or 0) - (len(whole + fraction) - len(digits))
    digits = digits.rstrip("0")
    sign = "-" if math.copysign(1.0, value) < 0 else ""
    if not digits:
        return f"{sign}0"
    if not -6 <= point - 1 < 10:
        tail = f".{digits[1:]}" if len(digits) > 1 else ""
        return f"{sign}{digits[0]}{tail}e{point - 1:+d}"
    if point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    if point >= len(digits):
        return f"{sign}{digits}{'0' * (point - len(digits))}"
    return f"{sign}{digits[:point]}.{digits[point:]}"


def _csv_predictions(text: str, count: int | None) -> list[Any]:
    """Return one prediction per line: its last field, which is what Batch Transform's filter keeps.

    Some of AWS's own containers (XGBoost) write the predictions of several rows into one line.
    """
    records = [record for record in csv.reader(io.StringIO(text, newline="")) if record]
    if len(records) == 1 and len(records[0]) == (count or 1) > 1:
        records = [[field] for field in records[0]]
    return [scalar(record[-1].strip()) for record in records]


def _json_predictions(text: str, count: int | None) -> list[Any]:
    return [_json_prediction(line) for line in text.split("\n") if line.strip()]


def _json_prediction(line: str) -> Any:
    return usable(parsed(line), line)


def parsed(line: str) -> Any:
    """Return the JSON in a line of an answer. Raises NoPrediction."""
    try:
        return _DECODER.decode(line)
    except NoPrediction:
        raise
    except RecursionError as error:
        raise NoPrediction(_TOO_DEEP) from error
    except ValueError as error:
        raise NoPrediction(f"an answer {in_words(error)}") from error


def usable(prediction: Any, line: str) -> Any:
    """Return a prediction that was parsed from a line. Raises NoPrediction for what readers could not be given.

    null is no answer, a number beyond every double would be infinite, and half of a surrogate pair is in no UTF-8.
    """
    if prediction is None:
        raise NoPrediction("null is not a prediction")
    try:
        is_finite = _is_finite(prediction)
        if "\\u" in line:
            json.dumps(prediction, ensure_ascii=False).encode()
    except RecursionError as error:
        raise NoPrediction(_TOO_DEEP) from error
    except UnicodeEncodeError as error:
        raise NoPrediction("it has half of a surrogate pair, which is no text") from error
    if not is_finite:
        raise NoPrediction("it has a number that is larger than any double")
    return prediction


def _is_finite(value: Any) -> bool:
    """Return whether doubles hold all numbers of a JSON value, however deep they are. It was parsed: it is no cycle."""
    if type(value) is float:
        return math.isfinite(value)
    if isinstance(value, dict):
        return all(map(_is_finite, value.values()))
    try:
        return all(map(math.isfinite, value)) if isinstance(value, list) else math.isfinite(value)
    except OverflowError:
        return False
    except TypeError:  # a text, or a list that holds more than numbers
        return not isinstance(value, list) or all(map(_is_finite, value))


def _refuse_constant(name: str) -> Any:
    raise NoPrediction(f"{name} is not JSON")


#: Made once: `json.loads` with an argument makes one for each line, which takes longer than reading it.
_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


@dataclass(frozen=True)
class Wire:
    """One wire format: its media type, a row's line, and the predictions in an answer."""

    content_type: str
    line: Callable[[ModelCard, Key, Mapping[str, Any]], str]
    predictions: Callable[[str, int | None], list[Any]]


_JSON_LINES = Wire("application/jsonlines", _json_line, _json_predictions)

WIRES: dict[WireFormat, Wire] = {
    "csv": Wire("text/csv", _csv_line, _csv_predictions),
    "jsonlines": _JSON_LINES,
    "parquet": _JSON_LINES,
}
