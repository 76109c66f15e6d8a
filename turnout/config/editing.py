"""Changes to the text of `models.yaml` that leave everything else in it as it stands."""

import difflib
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import yaml

from handlers.contract.modes import ServingMode
from turnout.config import document
from turnout.config.problems import ConfigError, Problem


def edit_mode(text: str, model: str, mode: str) -> str:
    """Return the text with one word changed: the mode of one model. Comments, order and quotes stay.

    Raises ConfigError if there is no such mode, no such model or no `mode:` of its own in its entry, and where the word
    is also somebody else's.
    """
    if mode not in [known.value for known in ServingMode]:
        raise _cannot(1, model, f"{mode!r} is no mode", f"Write one of {', '.join(m.value for m in ServingMode)}.")
    word = _find_mode(text, model)
    before, written, after = text[: word.start], text[word.start : word.end], text[word.end :]
    head, old, tail = written.rpartition(word.value)
    if not old:
        raise _cannot(word.line, model, "the mode is written with escapes", "Write it as a plain word.")
    edited = f"{before}{head}{mode}{tail}{after}"
    if moved := _moved(text, edited, model):
        reason = f"the word stands under an anchor: with it would change {', '.join(moved)}"
        raise _cannot(word.line, model, reason, "Write the values out instead of `&` and `*`.")
    return edited


def write_whole(path: Path, text: str) -> None:
    """Put a text in a file's place in one go: readers see the old file or the new one, never a part."""
    original = path.resolve()
    handle, name = tempfile.mkstemp(prefix=f".{original.name}.", dir=original.parent)
    try:
        with os.fdopen(handle, "wb") as draft:
            draft.write(text.encode("utf-8"))
            draft.flush()
            os.fsync(draft.fileno())
        shutil.copymode(original, name)
        os.replace(name, original)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise


def _moved(before: str, after: str, model: str) -> list[str]:
    """Return the keys whose values a change of one model's mode would change too, through YAML's anchors."""
    old, new = (document.parse(text, "models.yaml")[0] for text in (before, after))
    if old is None or new is None:
        return []
    was, would_be = (_values(tree.plain(), ()) for tree in (old, new))
    meant = ("models", model, "mode")
    different = {path for path in was.keys() | would_be.keys() if was.get(path) != would_be.get(path)} - {meant}
    return sorted(".".join(map(str, path)) for path in different)


def _values(value: Any, path: tuple[str | int, ...]) -> dict[tuple[str | int, ...], Any]:
    """Return every scalar below a value, by the path that leads to it."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if inside is None:
        return {path: value}
    return {where: found for key, child in inside for where, found in _values(child, (*path, key)).items()}


class _Word:
    """Where the value of a `mode:` stands; start and end count characters."""

    def __init__(self, node: yaml.ScalarNode) -> None:
        self.start, self.end = node.start_mark.index, node.end_mark.index
        self.line, self.value = node.start_mark.line + 1, node.value


def _find_mode(text: str, model: str) -> _Word:
    try:
        tree = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError) as error:
        raise _cannot(1, model, "the file is not valid YAML", "Run `turnout validate`.") from error
    entries = _members(_members(tree).get("models", (None, None))[1])
    if model not in entries:
        near = difflib.get_close_matches(model, entries, 1)
        remedy = f"Did you mean {near[0]!r}?" if near else f"Models here: {', '.join(entries) or 'none'}."
        raise _cannot(1, model, "there is no such model", remedy)
    name, entry = entries[model]
    line = name.start_mark.line + 1
    if "mode" not in _members(entry):
        raise _cannot(line, model, "the entry has no mode", "Write `mode: batch` below the name.")
    key, value = _members(entry)["mode"]
    # An alias composes to the node of its anchor, which stands further up and belongs to somebody else.
    if not isinstance(value, yaml.ScalarNode) or value.start_mark.index < name.start_mark.index:
        raise _cannot(key.start_mark.line + 1, model, "the mode is not a word of its own", "Write it out.")
    return _Word(value)


def _members(node: yaml.Node | None) -> dict[str, tuple[yaml.Node, yaml.Node]]:
    if not isinstance(node, yaml.MappingNode):
        return {}
    return {key.value: (key, value) for key, value in node.value if isinstance(key, yaml.ScalarNode)}


def _cannot(line: int, model: str, reason: str, remedy: str) -> ConfigError:
    return ConfigError([Problem("models.yaml", line, model, "mode", reason, remedy)])
