"""One instance's features against the model's card, as the pipeline checks a JSON Lines row. Standard library only.

Codes of reasons are those of `handlers.logic.validation`, and one more:

    unknown_feature     a member that is none of the model's features. In a file of thousands of rows a further column
                        harms nobody; in one request it is a typing error, and a feature that may be empty would be lost
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

from handlers.contract.card import Feature, ModelCard

MAX_INTEGER = 2**63 - 1

#: Type -> code and noun of a value that is not of it.
NOT_A = {
    "float": ("not_a_number", "a number"),
    "integer": ("not_an_integer", "a whole number of 64 bits"),
    "boolean": ("not_a_boolean", "a boolean"),
    "string": ("not_a_string", "text"),
}

Found = dict[str, Any]  # one reason: code, column, message


def shown(value: Any) -> str:
    """Return a value as an error message shows it, cut to 80 characters."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _is_float(value: Any) -> bool:
    """Tell whether a JSON value is a number that a double holds; NaN and infinities are found by validation."""
    if isinstance(value, int):
        return not isinstance(value, bool) and abs(value) < 2**1023
    return isinstance(value, float)


def _is_integer(value: Any) -> bool:
    whole = (isinstance(value, int) and not isinstance(value, bool)) or (
        isinstance(value, float) and value.is_integer()
    )
    return whole and abs(value) <= MAX_INTEGER


def _is_encodable(value: Any) -> bool:
    """Tell whether a value is text that UTF-8 can hold: JSON allows lone surrogates, nothing after us does."""
    return isinstance(value, str) and not any("\ud800" <= letter <= "\udfff" for letter in value)


#: Type -> whether a JSON value is of it, and what it becomes then.
FITS: dict[str, Callable[[Any], bool]] = {
    "float": _is_float,
    "integer": _is_integer,
    "boolean": lambda value: value is True or value is False or (type(value) is int and value in (0, 1)),
    "string": _is_encodable,
}
CONVERT: dict[str, Callable[[Any], Any]] = {"float": float, "integer": int, "boolean": bool, "string": str}


def reasons(card: ModelCard, features: Mapping[str, Any]) -> list[Found]:
    """Return everything that is wrong with one instance's features, in the schema's order; none: an empty list."""
    found = [reason for feature in card.features for reason in _of_feature(features.get(feature.name), feature, card)]
    known = set(card.feature_names)
    for name in features:
        if name not in known:
            found.append(_reason("unknown_feature", name, f"{shown(name)} is none of the model's features"))
    return found


def key_reasons(card: ModelCard, key: str | int | None) -> list[Found]:
    """Return what is wrong with a key that goes to the model with the features."""
    if not card.pass_key_to_model:
        return []
    if key is None:
        return [_reason("null_key", card.key, "this model is given the key, and the instance has none")]
    if not is_of_type(key, card.key_type):
        return [_reason("not_an_integer", card.key, f"{shown(key)} is not {NOT_A['integer'][1]}")]
    if card.wire_format == "csv" and isinstance(key, str):
        return list(_line_break(key, card.key))
    return []


def typed_key(key: str | int, key_type: str | None) -> str | int:
    """Return a key in the type that the data has; one that cannot be of it, or a type not known, leaves it as it is."""
    if key_type == "string":
        return str(key)
    if key_type == "integer" and isinstance(key, str) and re.fullmatch(r"0|-?[1-9][0-9]{0,17}", key):
        return int(key)
    return key


def is_of_type(key: str | int, key_type: str | None) -> bool:
    """Whether a key can be one of the data's: any text is, where keys are not whole numbers or not known to be."""
    if key_type != "integer":
        return True
    typed = typed_key(key, key_type)
    return isinstance(typed, int) and abs(typed) <= MAX_INTEGER


def _reason(code: str, column: str, message: str) -> Found:
    return {"code": code, "column": column, "message": message}


def _of_feature(value: Any, feature: Feature, card: ModelCard) -> Iterator[Found]:
    name = feature.name
    if value is None:
        if not feature.nullable:
            yield _reason("missing", name, f"{name} is missing and may not be empty")
        return
    if not FITS[feature.type](value):
        code, noun = NOT_A[feature.type]
        yield _reason(code, name, f"{shown(value)} is not {noun}")
        return
    typed = CONVERT[feature.type](value)
    if feature.type == "float" and not math.isfinite(typed):
        yield _reason("infinite", name, f"{name} is infinite ({shown(value)})")
        return
    yield from _out_of_bounds(typed, value, feature)
    if feature.values is not None and typed not in _allowed(feature.type, tuple(feature.values)):
        listed = ", ".join(map(repr, feature.values[:10])) + (", ..." if len(feature.values) > 10 else "")
        yield _reason("value_not_allowed", name, f"{shown(value)} is not one of {listed}")
    if feature.type == "string":
        if feature.pattern is not None and re.fullmatch(feature.pattern, typed) is None:
            yield _reason("pattern_mismatch", name, f"{shown(value)} does not match the pattern {feature.pattern}")
        if card.wire_format == "csv":
            yield from _line_break(typed, name)


def _out_of_bounds(typed: Any, value: Any, feature: Feature) -> Iterator[Found]:
    if feature.type not in ("float", "integer"):
        return
    if feature.minimum is not None and typed < feature.minimum:
        yield _reason("below_minimum", feature.name, f"{shown(value)} is below the minimum {feature.minimum:g}")
    if feature.maximum is not None and typed > feature.maximum:
        yield _reason("above_maximum", feature.name, f"{shown(value)} is above the maximum {feature.maximum:g}")


@cache
def _allowed(kind: str, values: tuple[Any, ...]) -> frozenset[Any]:
    return frozenset(CONVERT[kind](value) for value in values)


def _line_break(text: str, name: str) -> Iterator[Found]:
    if "\n" in text or "\r" in text:
        message = "contains a line break, which a CSV line cannot carry; use `wire_format: jsonlines`"
        yield _reason("line_break", name, f"{shown(text)} {message}")
