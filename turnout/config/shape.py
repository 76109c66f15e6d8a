"""What pydantic knows of the specs: which keys a section has, and of which section a key's value is."""

import types
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo


def members(section: type[BaseModel]) -> dict[str, FieldInfo]:
    """Return the keys of a section as the file spells them."""
    return {field.alias or name: field for name, field in section.model_fields.items()}


def inner(annotation: Any) -> Any:
    """Return what stands inside Annotated and Optional."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return inner(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        return inner(next(arg for arg in get_args(annotation) if arg is not type(None)))
    return annotation


def section_at(section: type[BaseModel], path: tuple[str | int, ...]) -> type[BaseModel] | None:
    """Return the section that a path leads to, through mappings; None where there is no section."""
    here: Any = section
    for step in path:
        if isinstance(here, type) and issubclass(here, BaseModel):
            field = members(here).get(str(step))
            here = inner(field.annotation) if field else None
        elif get_origin(here) is dict:
            here = inner(get_args(here)[1])
        else:
            return None
    return here if isinstance(here, type) and issubclass(here, BaseModel) else None


def homes(section: type[BaseModel], key: str) -> list[str]:
    """Return the sections directly below `section` that know `key`."""
    found = []
    for name, field in members(section).items():
        below = inner(field.annotation)
        if isinstance(below, type) and issubclass(below, BaseModel) and key in members(below):
            found.append(name)
    return found
