"""YAML text as a tree in which every value knows its file and line.

Scalars are read as YAML 1.2 does, like editors do: `yes`, `12:30`, `0042` and dates stay text. Keys are always text.
Refused, each with its line: a key that stands twice, tags, recursive aliases, keys that are not plain text.

The tree is built from PyYAML's events, because its composers recurse: a hundred thousand brackets end the process.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from turnout.config.problems import Problem, quote

#: Beyond this a file is no configuration; the bound keeps aliases from multiplying without end.
MAX_VALUES = 200_000
#: Nesting that no configuration needs.
MAX_DEPTH = 30

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # PyYAML is also installed without its C half


@dataclass
class Node:
    """A value with its place. `value` is a scalar, a list of Nodes or a dict of text to Node; `line` counts from 1."""

    value: Any
    file: str
    line: int
    key_lines: dict[str, int] = field(default_factory=dict)
    size: int = 1
    height: int = 1

    def plain(self) -> Any:
        """Return the value as plain Python objects, new ones on every call."""
        if isinstance(self.value, dict):
            return {key: child.plain() for key, child in self.value.items()}
        if isinstance(self.value, list):
            return [child.plain() for child in self.value]
        return self.value

    def place(self, path: Iterable[str | int]) -> tuple[str, int]:
        """Return file and line of the key at `path`, or of the deepest part of it that exists."""
        node, place = self, (self.file, self.line)
        for step in path:
            if isinstance(node.value, dict) and step in node.value:
                child = node.value[step]
                place = (child.file, node.key_lines.get(step, child.line))
            elif isinstance(node.value, list) and isinstance(step, int) and step < len(node.value):
                child = node.value[step]
                place = (child.file, child.line)
            else:
                break
            node = child
        return place

    def get(self, key: str) -> "Node | None":
        """Return a member of a mapping; None where there is none or this is no mapping."""
        return self.value.get(key) if isinstance(self.value, dict) else None


def read(path: Path, shown: str) -> tuple[Node | None, list[Problem]]:
    """Read a YAML file. Returns no tree where the text is not YAML at all; `shown` is the name that problems carry."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        reason = error.strerror or str(error)
        return None, [Problem(shown, 1, None, None, f"cannot be read: {reason}", "Check the path.")]
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        return None, [Problem(shown, line, None, None, "is not UTF-8 text", "Save the file as UTF-8.")]
    return parse(text, shown)


def parse(text: str, shown: str) -> tuple[Node | None, list[Problem]]:
    """Turn YAML text into a tree. Returns every problem found; no tree where the text is not YAML at all."""
    builder = _Builder(shown)
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            builder.feed(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = ", ".join(part for part in (error.context, error.problem) if part)
        return None, [_problem(shown, mark.line + 1 if mark else 1, f"not valid YAML: {what}", "Mend the syntax here.")]
    except yaml.YAMLError as error:
        what = str(error).splitlines()[0]
        return None, [_problem(shown, 1, f"not valid YAML: {what}", "Remove what is not printable text.")]
    except _TooLarge as error:
        remedy = "Write it out, without aliases."
        return None, [_problem(shown, error.line, "too much is nested or repeated here", remedy)]
    return builder.root or Node(None, shown, 1), builder.problems


def _problem(shown: str, line: int, reason: str, remedy: str) -> Problem:
    return Problem(shown, line, None, None, reason, remedy)


class _TooLarge(Exception):
    """The text holds more values, or deeper ones, than any configuration."""

    def __init__(self, line: int) -> None:
        super().__init__(line)
        self.line = line


@dataclass
class _Open:
    """A mapping or list whose end has not come yet. `key` is the text and line of the key that awaits its value."""

    node: Node
    anchor: str | None
    key: tuple[str | None, int] | None = None


class _Builder:
    """Puts events together to Nodes, without recursion, and gathers what is wrong with them."""

    def __init__(self, shown: str) -> None:
        self.shown = shown
        self.problems: list[Problem] = []
        self.root: Node | None = None
        self.stack: list[_Open] = []
        self.anchors: dict[str, Node] = {}
        self.total = 0

    def feed(self, event: yaml.Event) -> None:
        """Take the next event. Raises _TooLarge."""
        line = event.start_mark.line + 1
        if isinstance(event, yaml.CollectionStartEvent):
            self._start(event, line)
        elif isinstance(event, yaml.CollectionEndEvent):
            closed = self.stack.pop()
            self._add(closed.node, closed.anchor, line)
        elif isinstance(event, yaml.ScalarEvent):
            self._scalar(event, line)
        elif isinstance(event, yaml.AliasEvent):
            self._alias(event, line)

    def _start(self, event: yaml.CollectionStartEvent, line: int) -> None:
        if event.tag:
            self._refuse(line, f"tag {event.tag!r} is not understood", "Remove the tag.")
        if len(self.stack) >= MAX_DEPTH:
            raise _TooLarge(line)
        value: Any = {} if isinstance(event, yaml.MappingStartEvent) else []
        self.stack.append(_Open(Node(value, self.shown, line), event.anchor))

    def _scalar(self, event: yaml.ScalarEvent, line: int) -> None:
        top = self.stack[-1] if self.stack else None
        if top and isinstance(top.node.value, dict) and top.key is None:
            top.key = (event.value, line)
            if event.anchor:
                self.anchors[event.anchor] = Node(event.value, self.shown, line)
            return
        if event.tag:
            self._refuse(line, f"tag {event.tag!r} is not understood", "Remove the tag; quote what must be text.")
        value = plain_scalar(event.value) if event.implicit[0] else event.value
        self._add(Node(value, self.shown, line), event.anchor, line)

    def _alias(self, event: yaml.AliasEvent, line: int) -> None:
        if any(opened.anchor == event.anchor for opened in self.stack):
            self._refuse(line, f"alias *{event.anchor} stands inside what it repeats", "Write the value out.")
        elif event.anchor not in self.anchors:
            self._refuse(line, f"alias *{event.anchor} has no anchor &{event.anchor} above it", "Write the value out.")
        self._add(self.anchors.get(event.anchor, Node(None, self.shown, line)), None, line)

    def _add(self, node: Node, anchor: str | None, line: int) -> None:
        """Put a complete value where it belongs: into the innermost open mapping or list, or at the root."""
        self._measure(node, line)
        if anchor:
            self.anchors[anchor] = node
        if not self.stack:
            self._root(node)
        elif isinstance(self.stack[-1].node.value, list):
            self.stack[-1].node.value.append(node)
        else:
            self._member(self.stack[-1], node, line)

    def _root(self, node: Node) -> None:
        if self.root is None:
            self.root = node
        else:
            self._refuse(node.line, "a second YAML document starts here", "Keep one document in the file.")

    def _member(self, mapping: _Open, node: Node, line: int) -> None:
        if mapping.key is None:
            self._refuse(line, "a key is not plain text", "Write keys as plain words.")
            mapping.key = (None, line)
            return
        (key, key_line), mapping.key = mapping.key, None
        lines = mapping.node.key_lines
        if key in lines:
            reason = f"key {quote(key)} stands twice, first in line {lines[key]}"
            self._refuse(key_line, reason, "Remove one of the two.")
        elif key is not None:
            lines[key] = key_line
            mapping.node.value[key] = node

    def _measure(self, node: Node, line: int) -> None:
        children = node.value.values() if isinstance(node.value, dict) else node.value
        children = children if isinstance(node.value, dict | list) else ()
        node.size = 1 + sum(child.size for child in children)
        node.height = 1 + max((child.height for child in children), default=0)
        self.total += 1
        if max(self.total, node.size) > MAX_VALUES or len(self.stack) + node.height > MAX_DEPTH + 1:
            raise _TooLarge(line)

    def _refuse(self, line: int, reason: str, remedy: str) -> None:
        self.problems.append(_problem(self.shown, line, reason, remedy))


_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,17})", re.ASCII)
_FLOAT = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?", re.ASCII)
_WORDS = {"": None, "~": None, "null": None, "Null": None, "NULL": None}
_WORDS |= {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}


def plain_scalar(text: str) -> Any:
    """Return what an unquoted scalar means: null, true, false, a number, or its own text."""
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text
