"""Requests and responses by botocore's own model of a service: types, required members, bounds, patterns, enums.

botocore checks little of this before sending (no patterns, no enums, no upper bounds); the service does, so this does.
Words of errors are AWS's own where they are known.
"""

import json
import logging
import re
import unicodedata
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from functools import cache, lru_cache
from typing import Any

from turnout.local.sagemaker.errors import Invalid, Malformed

logger = logging.getLogger("turnout.sagemaker")


@cache
def _service(name: str = "sagemaker"):
    from botocore.loaders import Loader
    from botocore.model import ServiceModel

    return ServiceModel(Loader().load_service_model(name, "service-2"))


def knows_operation(operation: str, service: str = "sagemaker") -> bool:
    """Whether the service has this operation at all."""
    return operation in _service(service).operation_names


def input_shape(operation: str, service: str = "sagemaker") -> Any:
    return _service(service).operation_model(operation).input_shape


def structure(name: str, service: str = "sagemaker") -> Any:
    """Return one shape of the service's model."""
    return _service(service).shape_for(name)


# Templates


def typed(operation: str, value: Any, service: str = "sagemaker") -> Any:
    """Return a template's properties with the types of the operation's input.

    CloudFormation takes numbers and booleans for text and the other way round, and no property that a type has not.
    Raises Invalid for such a one.
    """
    return _typed(input_shape(operation, service), value)


def _typed(shape, value: Any, path: str = "#") -> Any:
    if isinstance(value, dict) and shape.type_name == "structure":
        if unknown := [name for name in value if name not in shape.members]:
            raise Invalid(f"{path}: extraneous key [{unknown[0]}] is not permitted")
        return {name: _typed(shape.members[name], part, f"{path}/{name}") for name, part in value.items()}
    if isinstance(value, dict) and shape.type_name == "map":
        return {key: _typed(shape.value, part, f"{path}/{key}") for key, part in value.items()}
    if isinstance(value, list) and shape.type_name == "list":
        return [_typed(shape.member, item, f"{path}/{index}") for index, item in enumerate(value)]
    if isinstance(value, bool | int | float) and shape.type_name == "string":
        return json.dumps(value)
    if isinstance(value, str) and shape.type_name in FROM_TEXT:
        try:
            return FROM_TEXT[shape.type_name](value)
        except (ValueError, KeyError):
            return value  # the check that follows says what is wrong with it
    return value


#: How a template's text becomes a value of each type.
FROM_TEXT = {
    "boolean": {"true": True, "false": False}.__getitem__,
    "integer": int,
    "long": int,
    "float": float,
    "double": float,
}


# Requests


#: Levels of a request's JSON: those of every real request fit, and what walks through one needs no long stack.
DEEPEST = 100


def from_wire(body: bytes) -> dict:
    """Return a request's JSON. Raises Malformed, also for text that is no Unicode and so cannot be stored or sent."""
    try:
        request = json.loads(body or b"{}", parse_constant=_not_json)
    except RecursionError as error:
        raise Malformed(TOO_DEEP) from error
    except ValueError as error:
        raise Malformed(f"The request body is not JSON: {error}") from error
    if not isinstance(request, dict):
        raise Malformed("Start of structure or map expected.")
    if _is_deeper(request, DEEPEST):
        raise Malformed(TOO_DEEP)
    try:
        json.dumps(request, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise Malformed("The request body has half of a surrogate pair, which is no character.") from error
    return request


TOO_DEEP = f"The request body is nested deeper than {DEEPEST} levels."


def _is_deeper(value: Any, levels: int) -> bool:
    """Whether a JSON value has containers in more than so many levels."""
    level = [value]
    for _ in range(levels):
        level = [part for container in level if isinstance(container, dict | list) for part in _parts(container)]
    return any(isinstance(part, dict | list) for part in level)


def _parts(container: dict | list) -> Iterable[Any]:
    return container.values() if isinstance(container, dict) else container


def _not_json(constant: str) -> float:
    raise ValueError(f"{constant} is not a JSON value")


def check(operation: str, request: dict, service: str = "sagemaker") -> dict:
    """Return the request without nulls and unknown members, and with its timestamps in seconds since 1970.

    Raises Malformed for the first value of a wrong type, else Invalid with every constraint that is broken.
    """
    root = input_shape(operation, service)
    if root is None:
        return {}
    request = _read(root, request, "")
    problems = list(_problems(root, request, ""))
    if problems:
        plural = "errors" if len(problems) > 1 else "error"
        raise Invalid(f"{len(problems)} validation {plural} detected: {'; '.join(problems)}")
    return request


#: What a JSON value of each Python type is called in errors; all others are numbers.
TOKENS = {dict: "Start of structure or map", list: "Start of list", bool: "BOOLEAN_VALUE", str: "STRING_VALUE"}
CONTAINERS = {"structure": dict, "map": dict, "list": list}
SCALARS = {
    "string": (str,),
    "boolean": (bool,),
    "blob": (str, bytes),
    "timestamp": (int, float, str, datetime),
    "integer": (int,),
    "long": (int,),
    "float": (int, float),
    "double": (int, float),
}
BITS = {"integer": 32, "long": 64}


def _read(shape, value: Any, path: str) -> Any:
    kind = shape.type_name
    allowed = CONTAINERS.get(kind) or SCALARS[kind]
    if not isinstance(value, allowed) or (isinstance(value, bool) and kind != "boolean"):
        raise _wrong_type(kind, value, path)
    if kind == "structure":
        _note_unknown(shape, value, path)
        return {n: _read(shape.members[n], v, _join(path, n)) for n, v in value.items() if _is_given(shape, n, v)}
    if kind == "list":
        return [_read(shape.member, item, f"{path}.{index}.member") for index, item in enumerate(value, 1)]
    if kind == "map":
        return {k: _read(shape.value, item, f"{path}.{k}") for k, item in value.items() if item is not None}
    if kind == "timestamp":
        return _seconds(value, path)
    if kind in BITS and not -(2 ** (BITS[kind] - 1)) <= value < 2 ** (BITS[kind] - 1):
        raise Malformed(f"Number of {BITS[kind]} bits expected at '{path}'.")
    return value


def _is_given(shape, name: str, value: Any) -> bool:
    return value is not None and name in shape.members


def _note_unknown(shape, value: dict, path: str) -> None:
    """Log what a client sends that this service model has not: the next one may, and AWS's JSON services take it."""
    if unknown := sorted(name for name in value if name not in shape.members):
        logger.debug("%s: members that %s has not are ignored: %s", path or "input", shape.name, ", ".join(unknown))


def _wrong_type(kind: str, value: Any, path: str) -> Malformed:
    token = TOKENS.get(type(value), "NUMBER_VALUE")
    where = f"at '{path}'" if path else "as the request"
    if isinstance(value, dict | list):
        return Malformed(f"{token} found where not expected {where}.")
    if kind in CONTAINERS:
        return Malformed(f"Expected {kind} or null, found {token} {where}.")
    article = "an" if kind == "integer" else "a"
    return Malformed(f"{token} can not be converted to {article} {kind.capitalize()} {where}.")


def _seconds(value: Any, path: str) -> float:
    from botocore.utils import parse_timestamp

    try:
        parsed = value if isinstance(value, datetime) else parse_timestamp(value)
    except (ValueError, OverflowError, RuntimeError) as error:
        raise Malformed(f"'{value}' is not a timestamp (at '{path}').") from error
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()


def _join(path: str, member: str) -> str:
    """Return a path as AWS spells it: members begin with a small letter."""
    name = member[:1].lower() + member[1:]
    return f"{path}.{name}" if path else name


def _problems(shape, value: Any, path: str) -> Iterator[str]:
    """Yield every constraint that the value or a part of it breaks."""
    for rule in _broken(shape, value):
        yield f"Value '{_shown(value)}' at '{path}' failed to satisfy constraint: {rule}"
    if shape.type_name == "structure":
        yield from _structure_problems(shape, value, path)
    elif shape.type_name == "list":
        for index, item in enumerate(value, 1):
            yield from _problems(shape.member, item, f"{path}.{index}.member")
    elif shape.type_name == "map":
        for key, item in value.items():
            if rules := list(_broken(shape.key, key)):
                yield (
                    f"Value '{_shown(value)}' at '{path}' failed to satisfy constraint: "
                    f"Map keys must satisfy constraint: [{', '.join(rules)}]"
                )
            yield from _problems(shape.value, item, f"{path}.{key}.member")


def _structure_problems(shape, value: dict, path: str) -> Iterator[str]:
    for name in shape.required_members:
        if name not in value:
            yield f"Value null at '{_join(path, name)}' failed to satisfy constraint: Member must not be null"
    if shape.is_tagged_union and len(value) != 1:
        known = ", ".join(shape.members)
        yield f"Value at '{path}' must have exactly one member of the union, one of: {known}"
    for name, part in value.items():
        yield from _problems(shape.members[name], part, _join(path, name))


def _broken(shape, value: Any) -> Iterator[str]:
    kind, limits = shape.type_name, shape.metadata
    if kind in ("structure", "boolean", "timestamp"):
        return
    size, what = (value, "value") if kind in ("integer", "long", "float", "double") else (len(value), "length")
    if (least := limits.get("min")) is not None and size < least:
        yield f"Member must have {what} greater than or equal to {least}"
    if (most := limits.get("max")) is not None and size > most:
        yield f"Member must have {what} less than or equal to {most}"
    if kind == "string" and shape.enum and value not in shape.enum:
        yield f"Member must satisfy enum value set: [{', '.join(shape.enum)}]"
    if (pattern := limits.get("pattern")) and not matches(pattern, value):
        yield f"Member must satisfy regular expression pattern: {pattern}"


def _shown(value: Any) -> str:
    if isinstance(value, bytes):
        return "..."
    if isinstance(value, dict):
        return f"{{{', '.join(f'{k}={_shown(v)}' for k, v in value.items())}}}"
    return f"[{', '.join(map(_shown, value))}]" if isinstance(value, list) else str(value)


# Patterns

#: Character classes of the service models' patterns, and what Python calls them.
JAVA_CLASSES = (
    (r"\p{ASCII}", r"[\x00-\x7f]"),
    (r"[\p{Print}]", r"\p{Print}"),
    (r"\p{Print}", r"[\x20-\x7e]"),
    (r"\uD800\uDC00-\uDBFF\uDFFF", r"\U00010000-\U0010ffff"),
)
CATEGORY = re.compile(r"\\p\{([A-Z])\}")
REPEATED_END = re.compile(r"\$\{\d+,\d+\}")  # an anchor is there once or often: Java takes it, Python does not


def matches(pattern: str, value: str) -> bool:
    """Whether a value is what a pattern of the service model describes, as a whole.

    Python's `re` has no Unicode categories (`\\p{L}`): those characters of the value that are in one stand in for it.
    """
    present = frozenset(value) if CATEGORY.search(pattern) else frozenset()
    return _compiled(pattern, present).fullmatch(value) is not None


@lru_cache(maxsize=1000)
def _categories(present: frozenset[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for character in sorted(present):
        major = unicodedata.category(character)[0]
        found[major] = found.get(major, "") + re.escape(character)
    return found


@lru_cache(maxsize=1000)
def _compiled(pattern: str, present: frozenset[str] = frozenset()) -> re.Pattern:
    text = REPEATED_END.sub("$", pattern).removeprefix("^").removesuffix("$").removeprefix(r"\A").removesuffix(r"\z")
    for java, python in JAVA_CLASSES:
        text = text.replace(java, python)
    # U+FFFF is no character: it keeps a class from being empty
    text = CATEGORY.sub(lambda found: "\uffff" + _categories(present).get(found[1], ""), text)
    return re.compile(text, re.ASCII)


# Responses

MILLISECONDS = 3  # decimals of a time in seconds


def answer(operation: str, response: dict, service: str = "sagemaker") -> dict:
    """Return the members of a response that the operation's output has; times in whole milliseconds, as AWS's are."""
    root = _service(service).operation_model(operation).output_shape
    return {} if root is None else cut(root, response)


def cut(shape, value: Any) -> Any:
    """Return the part of a value that a shape describes."""
    if shape.type_name == "structure":
        return {n: cut(m, value[n]) for n, m in shape.members.items() if value.get(n) is not None}
    if shape.type_name == "list":
        return [cut(shape.member, item) for item in value]
    if shape.type_name == "map":
        return {k: cut(shape.value, item) for k, item in value.items()}
    return round(value, MILLISECONDS) if shape.type_name == "timestamp" else value
