"""Columns as a file holds them to columns of the schema's types; one unreadable cell costs no other row.

Three kinds of file, three ways in: Parquet columns have types, CSV columns are text, JSON Lines columns are
Python values. Each way turns a cell that cannot be read into null and a `Problem`; what a whole column
cannot hold is a WrongColumnType.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from handlers.contract.errors import WrongColumnType
from handlers.logic.feature_checks import CONVERT, FITS, MAX_INTEGER, NOT_A, shown

Column = pa.Array | list[Any]

ARROW_TYPES = {"float": pa.float64(), "integer": pa.int64(), "boolean": pa.bool_(), "string": pa.string()}


@dataclass(frozen=True)
class Problem:
    """Something wrong with the cells of one column where `mask` is true; `message` explains one cell's value."""

    code: str
    column: str
    mask: pa.BooleanArray
    message: Callable[[Any], str]


@dataclass(frozen=True)
class Typed:
    """A column in its schema's type. `missing` marks cells that were empty as found (unreadable ones are not)."""

    array: pa.Array
    missing: pa.BooleanArray
    problems: list[Problem] = field(default_factory=list)


def from_arrow(column: pa.Array, name: str, wanted: str) -> Typed:
    """Convert a Parquet column. Raises WrongColumnType when no cell of its type could be what the schema wants."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    missing = pc.is_null(column)
    found = column.type
    if pa.types.is_null(found):
        return Typed(pa.nulls(len(column), ARROW_TYPES[wanted]), missing)
    number = pa.types.is_floating(found) or pa.types.is_decimal(found)
    if wanted == "string" and _is_text(found):
        return Typed(column.cast(pa.string()), missing)
    if wanted == "float" and (number or pa.types.is_integer(found)):
        return Typed(pc.cast(column, pa.float64(), safe=False), missing)
    if wanted == "integer" and pa.types.is_integer(found):
        fits = pc.less_equal(column, pa.scalar(MAX_INTEGER, pa.uint64())) if pa.types.is_uint64(found) else None
        return _kept(column, fits, missing, name, wanted)
    if wanted == "integer" and number:
        floats = pc.cast(column, pa.float64(), safe=False)
        whole = pc.and_(pc.equal(pc.floor(floats), floats), pc.less(pc.abs(floats), float(2**63)))
        return _kept(floats, whole, missing, name, wanted)
    if wanted == "boolean" and pa.types.is_boolean(found):
        return Typed(column, missing)
    if wanted == "boolean" and pa.types.is_integer(found):
        return _kept(column, pc.is_in(column, value_set=pa.array([0, 1], found)), missing, name, wanted)
    raise WrongColumnType(
        f"column {name!r} holds {found} where the schema wants {wanted}", column=name, found=str(found), wanted=wanted
    )


def from_text(column: list[str], name: str, wanted: str) -> Typed:
    """Convert a CSV column; the empty field is missing. Numbers may have blanks around them, and a plus sign."""
    raw = pa.array(column, pa.string())
    if wanted == "string":
        missing = pc.equal(raw, "")
        return Typed(pc.if_else(missing, None, raw), missing, [_lossy_text(raw, name)])
    text = pc.utf8_lower(pc.utf8_trim_whitespace(raw))
    missing = pc.equal(text, "")
    text = pc.replace_substring_regex(text, r"^\+", "")
    if wanted == "boolean":
        true = pc.is_in(text, value_set=pa.array(["true", "1"]))
        known = pc.or_(true, pc.is_in(text, value_set=pa.array(["false", "0"])))
        return _kept(true, known, missing, name, wanted)
    if wanted == "integer":
        text = pc.replace_substring_regex(text, r"\.0*$", "")
        return _kept(text, pc.match_substring_regex(text, r"^-?[0-9]{1,18}$"), missing, name, wanted)
    pattern = r"^-?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?$|^-?(inf|infinity|nan)$"
    return _kept(text, pc.match_substring_regex(text, pattern), missing, name, wanted)


def from_json(column: list[Any], name: str, wanted: str) -> Typed:
    """Convert a JSON Lines column; null and an absent member are missing."""
    missing = pa.array([value is None for value in column], pa.bool_())
    fits = FITS[wanted]
    kinds = {type(value) for value in column} - {type(None)}
    if kinds <= _JSON_EXACT[wanted] and (array := _quick_array(column, wanted)) is not None:
        return Typed(array, missing)
    kept = [value if value is not None and fits(value) else None for value in column]
    mask = pa.array([value is None and not absent for value, absent in zip(kept, missing.to_pylist(), strict=True)])
    convert = CONVERT[wanted]
    array = pa.array([None if value is None else convert(value) for value in kept], ARROW_TYPES[wanted])
    return Typed(array, missing, [_unreadable(mask, name, wanted)])


def _quick_array(column: list[Any], wanted: str) -> pa.Array | None:
    """Return the whole column at once, or None when a cell is out of the type's range or not encodable."""
    try:
        return pa.array(column, ARROW_TYPES[wanted])
    except (pa.ArrowInvalid, OverflowError, UnicodeEncodeError):
        return None


_JSON_EXACT = {"float": {float, int}, "integer": {int}, "boolean": {bool}, "string": {str}}


def _kept(column: pa.Array, fits: pa.Array | None, missing: pa.BooleanArray, name: str, wanted: str) -> Typed:
    """Cast the cells that fit; the others that were there become null and a problem."""
    if fits is None:
        return Typed(column.cast(ARROW_TYPES[wanted]), missing)
    fits = pc.and_(pc.fill_null(fits, False), pc.invert(missing))
    array = pc.if_else(fits, column, pa.scalar(None, column.type)).cast(ARROW_TYPES[wanted])
    return Typed(array, missing, [_unreadable(pc.invert(pc.or_(fits, missing)), name, wanted)])


def _unreadable(mask: pa.BooleanArray, name: str, wanted: str) -> Problem:
    code, noun = NOT_A[wanted]
    return Problem(code, name, mask, lambda value: f"{shown(value)} is not {noun}")


def _lossy_text(column: pa.Array, name: str) -> Problem:
    """Mark text that was not UTF-8 in the file: reading has put U+FFFD where bytes could not be decoded."""
    mask = pc.fill_null(pc.match_substring(column, "\ufffd"), False)
    return Problem("not_utf8", name, mask, lambda value: f"{shown(value)} holds bytes that are not UTF-8")


def _is_text(found: pa.DataType) -> bool:
    return pa.types.is_string(found) or pa.types.is_large_string(found) or pa.types.is_string_view(found)
