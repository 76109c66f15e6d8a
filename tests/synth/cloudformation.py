"""Reading values of templates: intrinsic functions as text, so that tests can compare them."""

import re
from collections.abc import Iterator
from typing import Any

#: The platform's exports, by the resource they stand for.
_IMPORT = re.compile(
    r".*:ExportsOutput(?:Ref|FnGetAtt)(?P<what>DataBucket|HttpApi|AlarmTopic).*?(?P<attribute>Arn)?[0-9A-F]{8}$"
)


def text_of(value: Any) -> str:
    """Return a value as text, with `<X>` for what CloudFormation fills in."""
    if not isinstance(value, dict):
        return str(value)
    ((function, argument),) = value.items()
    return _FUNCTIONS[function](argument)


def _import(name: str) -> str:
    found = _IMPORT.match(name)
    assert found, name
    return f"<{found['what']}{'.Arn' if found['attribute'] else ''}>"


_FUNCTIONS = {
    "Ref": lambda id: f"<{id}>",
    "Fn::GetAtt": lambda path: f"<{'.'.join(path)}>",
    "Fn::Join": lambda pair: pair[0].join(text_of(part) for part in pair[1]),
    "Fn::Sub": str,
    "Fn::ImportValue": _import,
    "Fn::FindInMap": lambda path: f"<{path[0]}.{text_of(path[2])}>",
}


def statements_of(resource: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the statements of every policy in a resource, but not of trust policies."""
    properties = resource.get("Properties", {})
    documents = [policy["PolicyDocument"] for policy in properties.get("Policies", [])]
    documents += [properties[name] for name in ("PolicyDocument", "KeyPolicy") if name in properties]
    for document in documents:
        yield from document["Statement"]


def waits_for(template: Any, id: str) -> set[str]:
    """Return every resource that must be there before a resource is made or updated, directly or through others."""
    found: set[str] = set()
    todo = [id]
    while todo:
        for other in _named_by(template.resources[todo.pop()]):
            if other in template.resources and other not in found:
                found.add(other)
                todo.append(other)
    return found


def _named_by(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "Ref":
                yield inner
            elif key == "Fn::GetAtt":
                yield inner[0]
            elif key == "DependsOn":
                yield from [inner] if isinstance(inner, str) else inner
            else:
                yield from _named_by(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _named_by(inner)


def texts_of(value: Any) -> list[str]:
    """Return one value or a list of them as a list of texts."""
    return [text_of(item) for item in (value if isinstance(value, list) else [value])]
