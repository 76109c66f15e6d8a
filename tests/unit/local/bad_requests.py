"""Requests that break exactly one constraint of the service model, generated from it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from turnout.local.sagemaker.validation import matches

DEPTH = 6
STRANGE = "a b!\x07\n"  # matches no pattern but those that take anything
ANYTHING = r"[\S\s]+"
ANY_TEXT = (ANYTHING, r"[\s\S]+", r"[\S\s]*")
WRONG_TYPE, CONSTRAINT = "SerializationException", "ValidationException"
#: Strings of which one or the other satisfies every pattern.
EXAMPLES = (
    "a",
    "1.0",
    "1.1.1",
    "us-east-1",
    "s3://bucket/key",
    "s3://b",
    "arn:aws:iam::000000000000:role/any",
    "arn:aws:iam::000000000000:user/any",
    "arn:aws:sagemaker:us-east-1:000000000000:model/m",
    "arn:aws:sagemaker:us-east-1:000000000000:model-package/m",
    "arn:aws:sagemaker:us-east-1:000000000000:model-package-group/m",
    "arn:aws:sagemaker:us-east-1:000000000000:app/d-1/u/t/default",
    "arn:aws:sagemaker:us-east-1:000000000000:hub-content/hub/Model/name/1.1.1",
    "arn:aws:sagemaker:us-east-1:000000000000:inference-component/c",
    "arn:aws:sagemaker:us-east-1:000000000000:cluster/abcdefghijkl",
    "arn:aws:sagemaker:us-east-1:000000000000:training-plan/p",
    "arn:aws:sagemaker:us-east-1:000000000000:ml-reservation/r",
    "arn:aws:sns:us-east-1:000000000000:topic",
    "arn:aws:lambda:us-east-1:000000000000:function:f",
    "sha256:" + "0" * 64,
    "text/csv",
    "sg-1",
    "/metrics",
    "1Y",
    "aaaaaaaaaaaaaaaaaaaa",
)


@dataclass(frozen=True)
class Bad:
    """A value that breaks one constraint: the member at `path` (as AWS spells it), and words of the error."""

    code: str
    path: str
    words: str
    value: Any


def example(shape: Any) -> Any:
    """Return the smallest value that satisfies a shape."""
    kind, limits = shape.type_name, shape.metadata
    if kind == "structure":
        wanted = list(shape.members)[:1] if shape.is_tagged_union else shape.required_members
        return {name: example(shape.members[name]) for name in wanted}
    if kind == "list":
        return [example(shape.member) for _ in range(limits.get("min", 0))]
    if kind == "map":
        return {example(shape.key): example(shape.value)} if limits.get("min") else {}
    if kind == "string":
        return _text(shape)
    return {"boolean": True, "timestamp": 1_000_000_000}.get(kind, limits.get("min", 1))


def _text(shape: Any) -> str:
    if shape.enum:
        return shape.enum[0]
    least, most = shape.metadata.get("min", 0), shape.metadata.get("max", 10**6)
    pattern = shape.metadata.get("pattern", ANYTHING)
    fitting = (text for text in EXAMPLES if least <= len(text) <= most and matches(pattern, text))
    found = next(fitting, None)
    assert found is not None, f"no example of {shape.name}: {pattern}, {least} to {most} characters"
    return found


def broken(shape: Any, path: str = "", depth: int = DEPTH, seen: tuple[str, ...] = ()) -> Iterator[Bad]:
    """Yield a value for every constraint of a shape and of its parts, each broken alone."""
    wrong = 7 if shape.type_name not in ("integer", "long", "float", "double", "timestamp") else "seven"
    if path:
        yield Bad(WRONG_TYPE, path, "not" if shape.type_name == "timestamp" else "", wrong)
    if shape.name in seen or depth == 0:
        return
    inner = (depth - 1, (*seen, shape.name))
    yield from SHAPES.get(shape.type_name, _number)(shape, path, inner)


def _structure(shape: Any, path: str, inner: tuple) -> Iterator[Bad]:
    whole = example(shape)
    for name in shape.required_members:
        rest = {n: v for n, v in whole.items() if n != name}
        yield Bad(CONSTRAINT, _join(path, name), "Member must not be null", rest)
    if shape.is_tagged_union:
        both = {name: example(member) for name, member in list(shape.members.items())[:2]}
        yield Bad(CONSTRAINT, path, "exactly one member of the union", {})
        if len(both) > 1:
            yield Bad(CONSTRAINT, path, "exactly one member of the union", both)
    for name, member in shape.members.items():
        for bad in broken(member, _join(path, name), *inner):
            others = {} if shape.is_tagged_union else whole
            yield Bad(bad.code, bad.path, bad.words, {**others, name: bad.value})


def _list(shape: Any, path: str, inner: tuple) -> Iterator[Bad]:
    least, most = shape.metadata.get("min", 0), shape.metadata.get("max", 1000)
    if least > 0:
        yield Bad(CONSTRAINT, path, f"length greater than or equal to {least}", [])
    if most < 1000:
        yield Bad(CONSTRAINT, path, f"length less than or equal to {most}", [example(shape.member)] * (most + 1))
    for bad in broken(shape.member, f"{path}.1.member", *inner):
        yield Bad(bad.code, bad.path, bad.words, [bad.value])


def _map(shape: Any, path: str, inner: tuple) -> Iterator[Bad]:
    most = shape.metadata.get("max", 1000)
    if most < 1000:
        many = {f"{example(shape.key)}{n}": example(shape.value) for n in range(most + 1)}
        yield Bad(CONSTRAINT, path, f"length less than or equal to {most}", many)
    if "max" in shape.key.metadata:
        key = "a" * (shape.key.metadata["max"] + 1)
        yield Bad(CONSTRAINT, path, "Map keys must satisfy constraint", {key: example(shape.value)})
    for bad in broken(shape.value, f"{path}.a", *inner):
        where = bad.path if bad.code == WRONG_TYPE else bad.path.replace(f"{path}.a", f"{path}.a.member", 1)
        yield Bad(bad.code, where, bad.words, {"a": bad.value})


def _string(shape: Any, path: str, inner: tuple) -> Iterator[Bad]:
    limits = shape.metadata
    if limits.get("min", 0) > 0 and not shape.enum:
        yield Bad(CONSTRAINT, path, f"length greater than or equal to {limits['min']}", "")
    if "max" in limits and not shape.enum:
        yield Bad(CONSTRAINT, path, f"length less than or equal to {limits['max']}", "a" * (limits["max"] + 1))
    if shape.enum:
        yield Bad(CONSTRAINT, path, f"Member must satisfy enum value set: [{shape.enum[0]}", "Nonsense")
    elif limits.get("pattern", ANYTHING) not in ANY_TEXT:
        yield Bad(CONSTRAINT, path, "Member must satisfy regular expression pattern", STRANGE)


def _number(shape: Any, path: str, inner: tuple) -> Iterator[Bad]:
    limits = shape.metadata
    if "min" in limits:
        yield Bad(CONSTRAINT, path, f"value greater than or equal to {limits['min']}", limits["min"] - 1)
    if "max" in limits:
        yield Bad(CONSTRAINT, path, f"value less than or equal to {limits['max']}", limits["max"] + 1)
    yield Bad(WRONG_TYPE, path, "BOOLEAN_VALUE", True)
    if shape.type_name == "integer":
        yield Bad(WRONG_TYPE, path, "Integer", 1.5)
        yield Bad(WRONG_TYPE, path, "32 bits", 2**31)


def _nothing(shape: Any, path: str, inner: tuple) -> Iterator[Bad]:
    yield Bad(WRONG_TYPE, path, "", "true")


SHAPES = {
    "structure": _structure,
    "list": _list,
    "map": _map,
    "string": _string,
    "boolean": _nothing,
    "timestamp": _nothing,
}


def _join(path: str, member: str) -> str:
    name = member[:1].lower() + member[1:]
    return f"{path}.{name}" if path else name
