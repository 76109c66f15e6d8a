"""Requests checked against botocore's own model of SageMaker: types, required members, bounds, patterns, enums.

botocore checks the first three before sending; patterns and enums only the service checks, so this does.
"""

import re
from functools import cache
from typing import Any

from turnout.local.sagemaker.errors import Invalid


@cache
def _service():
    from botocore.loaders import Loader
    from botocore.model import ServiceModel

    return ServiceModel(Loader().load_service_model("sagemaker", "service-2"))


def knows_operation(operation: str) -> bool:
    """Whether SageMaker has this operation at all."""
    return operation in _service().operation_names


def check(operation: str, request: dict) -> None:
    """Raise Invalid with every way in which the request breaks the operation's input shape."""
    from botocore.validate import ParamValidator

    shape = _service().operation_model(operation).input_shape
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


def _string(shape, value: str, path: str):
    where = ".".join(part[:1].lower() + part[1:] for part in path.split("."))
    failed = f"Value '{value}' at '{where}' failed to satisfy constraint: Member must satisfy"
    if shape.enum and value not in shape.enum:
        yield f"{failed} enum value set: [{', '.join(shape.enum)}]"
    if (longest := shape.metadata.get("max")) is not None and len(value) > longest:
        yield f"{failed.removesuffix(' satisfy')} have length less than or equal to {longest}"
    pattern = shape.metadata.get("pattern")
    if pattern and not _compiled(pattern).fullmatch(value):
        yield f"{failed} regular expression pattern: {pattern}"


@cache
def _compiled(pattern: str) -> re.Pattern:
    """Compile a pattern of the service model; Python spells its Unicode classes otherwise."""
    text = pattern.removeprefix("^").removesuffix("$")
    for java, python in ((r"\p{L}", r"\w"), (r"\p{N}", r"\d"), (r"\p{Z}", r"\s")):
        text = text.replace(java, python)
    return re.compile(text, 0 if "\\p{" in pattern else re.ASCII)
