"""Settings that AWS takes and the local cloud refuses by name: the services refuse by them, the doctor foretells it."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

NO_VALUE = {"Ref": "AWS::NoValue"}


@dataclass(frozen=True)
class Refusal:
    """`refuses(value)` judges what stands at `path`, None where nothing does; `{}` in `words` is the value.

    `of_use`: the resource itself is made, and whatever uses it is refused.
    """

    path: tuple[str, ...]
    refuses: Callable[[Any], bool]
    words: str
    of_use: bool = False

    def found(self, request: Any) -> str | None:
        """Return the words on a request or on a template's properties, None if nothing is refused."""
        return next((self.words.format(v) for v in standing_at(request, self.path) if self.refuses(v)), None)


def first(request: Mapping[str, Any], refusals: Iterable[Refusal]) -> str | None:
    """Return what is to say of the first setting that is refused, None where none is."""
    return next((words for refusal in refusals if (words := refusal.found(request))), None)


def is_given(value: Any) -> bool:
    return value is not None


def standing_at(value: Any, path: tuple[str, ...]) -> Iterator[Any]:
    """Yield what stands at a path, in each element of lists and on both sides of a template's conditions.

    None stands for what is left out; of what a template computes nothing is known, and nothing is yielded.
    """
    if isinstance(value, list):
        for element in value:
            yield from standing_at(element, path)
    elif isinstance(value, Mapping) and "Fn::If" in value:
        yield from standing_at(sides(value), path)
    elif value == NO_VALUE and not path:
        yield None
    elif isinstance(value, Mapping) and is_intrinsic(value):
        return
    elif not path:
        yield value
    elif isinstance(value, Mapping):
        yield from standing_at(value.get(path[0]), path[1:])


def sides(condition: Mapping[str, Any]) -> list[Any]:
    """Return what a condition (Fn::If) chooses between."""
    parts = condition["Fn::If"]
    return parts[1:] if isinstance(parts, list) else []


def is_intrinsic(value: Mapping[str, Any]) -> bool:
    """Whether a mapping is one of CloudFormation's functions, whose result is not known here."""
    return len(value) == 1 and (next(iter(value)) in ("Ref", "Condition") or str(next(iter(value))).startswith("Fn::"))
