"""Requests checked against botocore's own model of a service: types, required members, bounds, patterns, enums.

botocore checks the first three before sending; patterns and enums only the service checks, so this does.
"""

import re
from functools import cache
from typing import Any

from turnout.local.sagemaker.errors import Invalid


@cache
def _service(name: str = "sagemaker"):
    from botocore.loaders import Loader
    from botocore.model import ServiceModel

    return ServiceModel(Loader().load_service_model(name, "service-2"))


def knows_operation(operation: str, service: str = "sagemaker") -> bool:
    """Whether the service has this operation at all."""
    return operation in _service(service).operation_names


def typed(operation: str, value: Any, service: str = "sagemaker") -> Any:
    """Return a template's properties with the types of the operation's input: templates may spell numbers as text."""
    return _typed(_service(service).operation_model(operation).input_shape, value)


def _typed(shape, value: Any) -> Any:
    if shape is None:
        return value
    if isinstance(value, dict):
        members = shape.members if shape.type_name == "structure" else {}
        return {k: _typed(members.get(k) or getattr(shape, "value", None), v) for k, v in value.items()}
    if isinstance(value, list):
        return [_typed(getattr(shape, "member", None), item) for item in value]
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


def check(operation: str, request: dict, service: str = "sagemaker") -> None:
    """Raise Invalid with every way in which the request breaks the operation's input shape."""
    from botocore.validate import ParamValidator

    shape = _service(service).operation_model(operation).input_shape
    report = ParamValidator().validate(request, shape)
    if report.has_errors():
        raise Invalid(report.generate_report())
    problems = list(_constraints(shape, request, ""))
    if problems:
        plural = "errors" if len(problems) > 1 else "error"
        raise Invalid(f"{len(problems)} validation {plural} detected: {'; '.join(problems)}")


def _constraints(shape, value: Any, path: str):
    if shape.type_name == "structure":
        for name, member in shape.members.items():
            if value.get(name) is not None:
                yield from _constraints(member, value[name], f"{path}.{name}" if path else name)
    elif shape.type_name == "list":
        for index, item in enumerate(value):
            yield from _constraints(shape.member, item, f"{path}.{index + 1}.member")
    elif shape.type_name == "map":
        for key, item in value.items():
            yield from _constraints(shape.key, key, f"{path}.{key}.key")
            yield from _constraints(shape.value, item, f"{path}.{key}.member")
    elif shape.type_name == "string":
        yield from _string(shape, value, path)
    elif shape.type_name == "blob":
        if len(value) > shape.metadata.get("max", len(value)):
            yield f"{_failed('...', path)} have length less than or equal to {shape.metadata['max']}"
    elif shape.type_name in ("integer", "long") and value > (largest := shape.metadata.get("max", value)):
        yield f"{_failed(value, path)} have value less than or equal to {largest}"


def _failed(value: Any, path: str) -> str:
    where = ".".join(part[:1].lower() + part[1:] for part in path.split("."))
    return f"Value '{value}' at '{where}' failed to satisfy constraint: Member must"


def _string(shape, value: str, path: str):
    failed = f"{_failed(value, path)} satisfy"
    if shape.enum and value not in shape.enum:
        yield f"{failed} enum value set: [{', '.join(shape.enum)}]"
    if (longest := shape.metadata.get("max")) is not None and len(value) > longest:
        yield f"{failed.removesuffix(' satisfy')} have length less than or equal to {longest}"
    pattern = shape.metadata.get("pattern")
    if pattern and not _compiled(pattern).fullmatch(value):
        yield f"{failed} regular expression pattern: {pattern}"


#: Character classes of the service models' patterns, and what Python calls them.
JAVA_CLASSES = (
    (r"\p{L}", r"\w"),
    (r"\p{N}", r"\d"),
    (r"\p{Z}", r"\s"),
    (r"\p{ASCII}", r"[\x00-\x7f]"),
    (r"[\p{Print}]", r"\p{Print}"),
    (r"\p{Print}", r"[\x20-\x7e]"),
    (r"\uD800\uDC00-\uDBFF\uDFFF", r"\U00010000-\U0010ffff"),
)


@cache
def _compiled(pattern: str) -> re.Pattern:
    """Compile a pattern of the service model; Python spells its Unicode classes otherwise."""
    text = pattern.removeprefix("^").removesuffix("$").removeprefix(r"\A").removesuffix(r"\z")
    for java, python in JAVA_CLASSES:
        text = text.replace(java, python)
    return re.compile(text, 0 if "\\p{" in pattern else re.ASCII)
