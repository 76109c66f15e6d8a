"""The JSONPath subset that Batch Transform's DataProcessing knows.

`$`, `$.a.b`, `$['a','b']`, `$.a.['b']`, `$.*`, `$[3]`, `$[-1]`, `$[1,3]`, `$[1:]`, `$[:-1]`, `$[0,5:]`, `$[*]`. CSV
rows are arrays, so only index forms reach their fields. A path of names and single indexes selects one value; every
other path keeps the container: several names keep an object, several indexes or a slice keep an array. The end of a
slice is not part of it.
"""

import re
from dataclasses import dataclass
from typing import Any

from turnout.local.sagemaker.transform.errors import BadData

NAME_STEP = re.compile(r"\.([A-Za-z_][A-Za-z0-9_-]*)")
WILD_STEP = re.compile(r"\.\*|\[\*\]")
NAMES_STEP = re.compile(r"\.?\[\s*('[^']*'|\"[^\"]*\")(\s*,\s*('[^']*'|\"[^\"]*\"))*\s*\]")
INDEX = r"(?:-?\d+(?:\s*:\s*(?:-?\d+)?)?|:\s*(?:-?\d+)?)"
INDEXES_STEP = re.compile(rf"\.?\[\s*({INDEX}(?:\s*,\s*{INDEX})*)\s*\]")
QUOTED = re.compile(r"'([^']*)'|\"([^\"]*)\"")


class BadPath(ValueError):
    """A JSONPath that DataProcessing does not accept."""


@dataclass(frozen=True)
class Names:
    names: tuple[str, ...]


@dataclass(frozen=True)
class Indexes:
    """Positions and slices, as they stand between the brackets."""

    indexes: tuple[int | slice, ...]


@dataclass(frozen=True)
class Everything:
    """`*`: all members."""


Step = Names | Indexes | Everything


def parse(path: str) -> tuple[Step, ...]:
    """Return the path's steps. Raises BadPath that quotes the part which is not understood."""
    if not path.startswith("$"):
        raise BadPath(f"JSONPath {path!r} must start with $")
    steps: list[Step] = []
    position = 1
    while position < len(path):
        step, position = _step(path, position)
        steps.append(step)
    return tuple(steps)


def _step(path: str, position: int) -> tuple[Step, int]:
    if match := WILD_STEP.match(path, position):
        return Everything(), match.end()
    if match := NAME_STEP.match(path, position):
        return Names((match[1],)), match.end()
    if match := NAMES_STEP.match(path, position):
        return Names(tuple(a or b for a, b in QUOTED.findall(match[0]))), match.end()
    if match := INDEXES_STEP.match(path, position):
        return Indexes(tuple(_index(part) for part in match[1].split(","))), match.end()
    raise BadPath(f"JSONPath {path!r}: {path[position:]!r} is not supported by DataProcessing")


def _index(text: str) -> int | slice:
    start, colon, end = (part.strip() for part in text.partition(":"))
    if not colon:
        return int(start)
    return slice(int(start) if start else None, int(end) if end else None)


def select(value: Any, steps: tuple[Step, ...]) -> Any:
    """Return what the path selects from a JSON value. Raises BadData when a name or index does not exist."""
    for step in steps:
        value = _apply(value, step)
    return value


def _apply(value: Any, step: Step) -> Any:
    if isinstance(step, Names):
        return _named(value, step.names)
    if isinstance(step, Everything):
        return list(value.values()) if isinstance(value, dict) else _array(value)
    return _indexed(_array(value), step.indexes)


def _indexed(values: list, indexes: tuple[int | slice, ...]) -> Any:
    if len(indexes) == 1 and isinstance(indexes[0], int):
        return _at(values, indexes[0])
    picked = []
    for index in indexes:
        picked += values[index] if isinstance(index, slice) else [_at(values, index)]
    return picked


def _named(value: Any, names: tuple[str, ...]) -> Any:
    if not isinstance(value, dict):
        raise BadData(f"filter asks for {', '.join(names)} of something that is no JSON object")
    missing = [name for name in names if name not in value]
    if missing:
        raise BadData(f"filter asks for {', '.join(missing)}, which the record does not have")
    return value[names[0]] if len(names) == 1 else {name: value[name] for name in names}


def _array(value: Any) -> list:
    if not isinstance(value, list):
        raise BadData("filter uses an index on something that is no array")
    return value


def _at(values: list, index: int) -> Any:
    try:
        return values[index]
    except IndexError:
        raise BadData(f"filter asks for index {index} of a record with {len(values)} fields") from None


def select_fields(fields: list[str], steps: tuple[Step, ...]) -> list[str]:
    """Return the selected fields of one CSV row: always a row, also when one field is selected."""
    selected = select(fields, steps)
    return selected if isinstance(selected, list) else [selected]


def positions(steps: tuple[Step, ...]) -> tuple[int, ...] | None:
    """Return the positions when the path is `$[a,b,...]` with two or more and no slice."""
    match steps:
        case (Indexes(indexes=indexes),) if len(indexes) > 1 and all(isinstance(index, int) for index in indexes):
            return indexes
    return None


def tail_start(steps: tuple[Step, ...]) -> int | None:
    """Return n when the path is `$[n:]` with a positive n: what it selects is the rest of the text."""
    match steps:
        case (Indexes(indexes=(slice(start=int() as start, stop=None),)),) if start > 0:
            return start
    return None
