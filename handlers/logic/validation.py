"""Every row against the model's card: whole columns at a time, reasons row by row.

Codes of reasons, as they stand in the quarantine file and in `Prepared.reasons`:

    malformed_line wrong_field_count                     the line is no row (handlers.logic.reading)
    null_key empty_key duplicate_key key_too_long        key; also not_an_integer, not_a_string
    missing nan infinite                                 a value is not there, or is no finite number
    not_a_number not_an_integer not_a_boolean not_a_string not_utf8
    below_minimum above_maximum value_not_allowed pattern_mismatch
    line_break                                           text that a CSV line cannot carry to the container
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from handlers.contract.card import Feature, KeyType, ModelCard
from handlers.contract.predictions import MAX_KEY_BYTES
from handlers.logic.columns import ARROW_TYPES, Column, Problem, Typed, from_arrow, shown
from handlers.logic.reading import READERS, Batch


@dataclass(frozen=True)
class Reason:
    """Why a row was refused. `column` is None when the whole line is at fault."""

    code: str
    column: str | None
    message: str

    def to_json(self) -> dict[str, Any]:
        return {"code": self.code, "column": self.column, "message": self.message}


@dataclass(frozen=True)
class Checked:
    """A batch in the schema's types with everything found wrong. Arrays are as long as the batch."""

    key: pa.Array
    features: dict[str, pa.Array]
    problems: list[Problem]
    unreadable: dict[str, tuple[int, int]]  # column -> cells present, cells of them that are not of its type

    def bad_rows(self) -> pa.BooleanArray:
        nothing = pa.repeat(False, len(self.key))
        return reduce(pc.or_, (problem.mask for problem in self.problems), nothing)

    def reasons(self, index: int, columns: dict[str, Column]) -> list[Reason]:
        """Return the reasons of one row; `columns` are those of the batch, for the values as found."""
        return [
            Reason(problem.code, problem.column, problem.message(as_found(columns[problem.column], index)))
            for problem in self.problems
            if problem.mask[index].as_py()
        ]


def as_found(column: Column, index: int) -> Any:
    """Return one cell as a Python value, as the file held it."""
    return column[index] if isinstance(column, list) else column[index].as_py()


def resolve_key_type(card: ModelCard, batch: Batch) -> KeyType | None:
    """Return the type of the data set's keys: what the card says, else what its first batch with a key shows.

    CSV keys are text unless the card says otherwise. None: this batch has no key to tell from.
    """
    if card.key_type is not None:
        return card.key_type
    column = batch.columns[card.key]
    if card.input_format == "csv":
        return "string"
    if isinstance(column, list):
        first = next((value for value in column if value is not None), None)
        return None if first is None else "integer" if type(first) is int else "string"
    if pa.types.is_null(column.type):
        return None
    return "integer" if pa.types.is_integer(column.type) else "string"


def check(batch: Batch, card: ModelCard, key_type: KeyType) -> Checked:
    """Return the batch in the schema's types and all problems of its rows (duplicates of keys apart).

    Raises WrongColumnType when a column of a Parquet file cannot hold its schema's type.
    """
    typed = READERS[card.input_format].typed
    key = _typed_key(batch.columns[card.key], card, key_type)
    problems = _key_problems(key, card)
    unreadable = {}
    features = {}
    for feature in card.features:
        column = typed(batch.columns[feature.name], feature.name, feature.type)
        unreadable[feature.name] = _count_unreadable(column)
        features[feature.name] = _without_nan(column.array, feature)
        problems += _feature_problems(column, features[feature.name], feature, card)
    return Checked(key.array, features, [p for p in problems if pc.any(p.mask).as_py()], unreadable)


def _count_unreadable(column: Typed) -> tuple[int, int]:
    present = len(column.missing) - (pc.sum(column.missing).as_py() or 0)
    return present, sum(pc.sum(problem.mask).as_py() or 0 for problem in column.problems)


def _typed_key(column: Column, card: ModelCard, key_type: KeyType) -> Typed:
    """Return the key column as text or int64. An integer column becomes text where the card says `string`."""
    as_text = key_type == "string"
    if isinstance(column, pa.Array):
        if as_text and card.key_type == "string" and pa.types.is_integer(column.type):
            column = column.cast(pa.string())
        return from_arrow(column, card.key, key_type)
    if card.input_format == "csv":
        return _csv_key(column, card.key, key_type)
    if as_text and card.key_type == "string":
        column = [str(value) if type(value) is int else value for value in column]
    return READERS["jsonlines"].typed(column, card.key, key_type)


def _csv_key(column: list[str], name: str, key_type: KeyType) -> Typed:
    """Return CSV keys exactly as they stand; as integers only where writing them again gives the same text."""
    raw = pa.array(column, pa.string())
    missing = pa.repeat(False, len(raw))
    if key_type == "string":
        lossy = pc.match_substring(raw, "\ufffd")
        return Typed(raw, missing, [Problem("not_utf8", name, lossy, lambda value: f"{shown(value)} is not UTF-8")])
    missing = pc.equal(raw, "")
    canonical = pc.match_substring_regex(raw, r"^(0|-?[1-9][0-9]{0,17})$")
    bad = pc.and_not(pc.invert(canonical), missing)
    array = pc.if_else(canonical, raw, pa.scalar(None, pa.string())).cast(pa.int64())
    message = "is not a whole number in plain form; with `type: string` the key is kept exactly as it stands"
    return Typed(array, missing, [Problem("not_an_integer", name, bad, lambda value: f"{shown(value)} {message}")])


def _key_problems(key: Typed, card: ModelCard) -> list[Problem]:
    problems = [*key.problems, Problem("null_key", card.key, key.missing, lambda _: "the key is missing")]
    if pa.types.is_integer(key.array.type):
        return problems
    length = pc.fill_null(pc.binary_length(key.array), 1)
    too_long = f"bytes in UTF-8; a key may have {MAX_KEY_BYTES:,}"
    problems += [
        Problem("empty_key", card.key, pc.equal(length, 0), lambda _: "the key is the empty text"),
        Problem(
            "key_too_long",
            card.key,
            pc.greater(length, MAX_KEY_BYTES),
            lambda value: f"the key has {len(str(value).encode()):,} {too_long}",
        ),
    ]
    if card.pass_key_to_model and card.wire_format == "csv":
        problems.append(_line_break(key.array, card.key))
    return problems


def _without_nan(array: pa.Array, feature: Feature) -> pa.Array:
    """Return the array with NaN as null where the feature may be empty: there NaN means exactly that."""
    if not (feature.nullable and feature.type == "float"):
        return array
    return pc.if_else(pc.fill_null(pc.is_nan(array), False), pa.scalar(None, pa.float64()), array)


def _feature_problems(column: Typed, array: pa.Array, feature: Feature, card: ModelCard) -> Iterable[Problem]:
    """Yield what is wrong with a feature. Null cells (missing or unreadable) meet no bound, pattern or list."""
    name = feature.name
    yield from column.problems
    if not feature.nullable:
        yield Problem("missing", name, column.missing, lambda _: f"{name} is missing and may not be empty")
    if feature.type == "float":
        yield Problem("nan", name, _true(pc.is_nan(array)), lambda _: f"{name} is NaN")
        yield Problem("infinite", name, _true(pc.is_inf(array)), lambda value: f"{name} is infinite ({shown(value)})")
    if feature.type in ("float", "integer"):
        yield from _bounds(array, feature)
    if feature.values is not None:
        yield _allowed(array, feature)
    if feature.type == "string" and feature.pattern is not None:
        yield _pattern(array, feature)
    if feature.type == "string" and card.wire_format == "csv":
        yield _line_break(array, name)


def _bounds(array: pa.Array, feature: Feature) -> Iterable[Problem]:
    if feature.minimum is not None:
        below = f"is below the minimum {feature.minimum:g}"
        mask = _finite(array, pc.less(*_comparable(array, feature.minimum)))
        yield Problem("below_minimum", feature.name, mask, lambda value: f"{shown(value)} {below}")
    if feature.maximum is not None:
        above = f"is above the maximum {feature.maximum:g}"
        mask = _finite(array, pc.greater(*_comparable(array, feature.maximum)))
        yield Problem("above_maximum", feature.name, mask, lambda value: f"{shown(value)} {above}")


def _comparable(array: pa.Array, bound: float) -> tuple[pa.Array, pa.Scalar]:
    """Return a column and a bound in one type: whole bounds of integer columns compare exactly, others as doubles."""
    if pa.types.is_integer(array.type) and float(bound).is_integer() and abs(bound) < 2**63:
        return array, pa.scalar(int(bound), pa.int64())
    return pc.cast(array, pa.float64(), safe=False), pa.scalar(float(bound), pa.float64())


def _finite(array: pa.Array, mask: pa.BooleanArray) -> pa.BooleanArray:
    """Return the mask without infinities, which have their own reason."""
    return _true(mask) if pa.types.is_integer(array.type) else pc.and_(_true(mask), _true(pc.is_finite(array)))


def _allowed(array: pa.Array, feature: Feature) -> Problem:
    allowed = pa.array(feature.values, ARROW_TYPES[feature.type])
    mask = pc.and_(pc.is_valid(array), pc.invert(pc.is_in(array, value_set=allowed)))
    listed = ", ".join(map(repr, feature.values[:10])) + (", ..." if len(feature.values) > 10 else "")
    return Problem("value_not_allowed", feature.name, mask, lambda value: f"{shown(value)} is not one of {listed}")


def _pattern(array: pa.Array, feature: Feature) -> Problem:
    """Match each distinct text once, with Python's own regular expressions (Arrow's have no look-around)."""
    expression = re.compile(feature.pattern)
    encoded = array.dictionary_encode()
    wrong = pa.array([expression.fullmatch(text) is None for text in encoded.dictionary.to_pylist()], pa.bool_())
    mask = _true(wrong.take(encoded.indices)) if len(wrong) else pa.repeat(False, len(array))
    message = f"does not match the pattern {feature.pattern}"
    return Problem("pattern_mismatch", feature.name, mask, lambda value: f"{shown(value)} {message}")


def _line_break(array: pa.Array, name: str) -> Problem:
    mask = _true(pc.match_substring_regex(array, "[\r\n]"))
    message = "contains a line break, which a CSV line cannot carry; use `wire_format: jsonlines`"
    return Problem("line_break", name, mask, lambda value: f"{shown(value)} {message}")


def _true(mask: pa.BooleanArray) -> pa.BooleanArray:
    return pc.fill_null(mask, False)
