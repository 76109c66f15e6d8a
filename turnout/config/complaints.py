"""pydantic's errors in the words of the file: what is wrong at which key, and what to write instead."""

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from turnout.config.capabilities import LIMITS
from turnout.config.problems import quote
from turnout.config.shape import homes, members, section_at

Step = str | int

#: pydantic's error type -> what was expected, and what usually helps.
_KINDS = {
    "string_type": ("text", "Put it in quotes."),
    "int_type": ("a whole number", "Write a whole number, without quotes."),
    "int_from_float": ("a whole number", "Write a whole number."),
    "float_type": ("a number", "Write a number, without quotes."),
    "finite_number": ("a number", "Write a number that is not infinite."),
    "bool_type": ("true or false", "Write true or false, without quotes."),
    "list_type": ("a list", "Write [a, b], or one `- item` per line."),
    "dict_type": ("a mapping", "Write `name: value` pairs below the key."),
    "model_type": ("a mapping of settings", "Write its settings below the key, one per line."),
    "model_attributes_type": ("a mapping of settings", "Write its settings below the key, one per line."),
    "path_type": ("a path", "Write a folder such as model_code/churn."),
}
_MISSING = {
    "mode": "Write `mode: batch`, or another mode.",
    "key": "Write `key: customer_id` here, or a `key:` in schema.yaml in the code folder.",
    "features": "Write `features:` with the columns here, or in schema.yaml in the code folder.",
    "column": "Write `column:` with the column's name.",
}


def closest(word: str, known: Sequence[str]) -> str:
    """Return a remedy that names the nearest known word, or else all of them."""
    near = difflib.get_close_matches(word[:60], known, 1, 0.6)
    return f"Did you mean {near[0]!r}?" if near else f"Known here: {', '.join(known)}."


@dataclass(frozen=True)
class Complaint:
    """What is wrong at a path, what to write instead, and AWS's page where the bound is AWS's."""

    path: tuple[Step, ...]
    reason: str
    remedy: str
    link: str | None = None


def complaint(section: type[BaseModel], error: Any) -> Complaint:
    """Return one of pydantic's errors in the words of the file."""
    path, kind, given, context = tuple(error["loc"]), error["type"], error["input"], error.get("ctx", {})
    if kind == "turnout":
        at = context.get("at")
        return Complaint(path if at is None else (*path, at), context["reason"], context["remedy"])
    if kind == "extra_forbidden":
        return Complaint(path, *_unknown(section, path))
    if kind == "missing":
        key = str(path[-1])
        return Complaint(path, f"{key} is not given", _MISSING.get(key, f"Write `{key}:`."))
    if given is None:
        return Complaint(path, "the key has no value", "Write a value, or remove the key.")
    if kind in ("literal_error", "enum"):
        return Complaint(path, *_not_among(given, context["expected"]))
    if kind in _KINDS:
        expected, remedy = _KINDS[kind]
        return Complaint(path, f"{quote(given)} is not {expected}", remedy)
    reason, remedy = _out_of_bounds(kind, given, context, error["msg"])
    limit = LIMITS.get(".".join(map(str, path)))
    if limit is None:
        return Complaint(path, reason, remedy)
    reason = f"{reason}: {limit.why}" if limit.why else reason
    return Complaint(path, reason, f"{remedy} {limit.instead}".strip(), limit.link)


def _unknown(section: type[BaseModel], path: tuple[Step, ...]) -> tuple[str, str]:
    key = str(path[-1])
    if key == "<<":
        return "merge keys are not understood", "Repeat a whole section with an alias, or write the settings out."
    here = section_at(section, path[:-1]) or section
    known = [name for name in members(here) if name != "name"]
    where = f" of {'.'.join(map(str, path[:-1]))}" if path[:-1] else ""
    elsewhere = homes(section, key) if here is section else []
    if key not in known and elsewhere and not difflib.get_close_matches(key, known, 1, 0.8):
        return f"{quote(key)} is not a setting{where}", f"It stands below {' or '.join(f'`{e}:`' for e in elsewhere)}."
    return f"{quote(key)} is not a setting{where}", closest(key, known)


def _not_among(given: Any, expected: str) -> tuple[str, str]:
    known = re.findall(r"'([^']*)'", expected) or re.findall(r"[0-9]+", expected)
    return f"{quote(given)} is not one of {', '.join(known)}", closest(str(given), known)


def _out_of_bounds(kind: str, given: Any, context: dict[str, Any], message: str) -> tuple[str, str]:
    if kind == "greater_than_equal":
        return f"{quote(given)} is below the least value, {context['ge']}", f"Use {context['ge']} or more."
    if kind == "less_than_equal":
        return f"{quote(given)} is above the greatest value, {context['le']}", f"Use {context['le']} or less."
    if kind == "string_too_long":
        longest = context["max_length"]
        return f"the text has {len(given)} characters", f"Use at most {longest}."
    if kind == "string_too_short":
        return "the text is empty", "Write something, or remove the key."
    return f"{quote(given)}: {message[:1].lower()}{message[1:]}", "Correct the value."
