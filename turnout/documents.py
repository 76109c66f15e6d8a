"""Small documents, written once and shown as Markdown, as one HTML page, or as plain text.

Text may hold `code` between backticks; everything else in it is shown as it stands.
"""

import html
import re
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

WIDTH = 100


class Strong(str):
    """A cell that stands out."""


@dataclass(frozen=True)
class Heading:
    text: str
    level: int = 1


@dataclass(frozen=True)
class Text:
    text: str


@dataclass(frozen=True)
class Items:
    items: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """Columns of which the first `words` hold words, to the left; the others hold amounts, to the right."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: int = 1


@dataclass(frozen=True)
class Folded:
    """What is shown only when somebody opens it."""

    summary: str
    blocks: tuple["Block", ...]


Block = Heading | Text | Items | Table | Folded


def markdown(blocks: Sequence[Block]) -> str:
    """Return GitHub's Markdown."""
    return "\n\n".join(_MARKDOWN[type(block)](block) for block in blocks) + "\n"


def _md_table(table: Table) -> str:
    rule = [":--" if column < table.words else "--:" for column in range(len(table.head))]
    rows = [[_md(cell) for cell in row] for row in (table.head, *table.rows)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (rows[0], rule, *rows[1:]))


def _md_folded(folded: Folded) -> str:
    return f"<details><summary>{_html(folded.summary)}</summary>\n\n{markdown(folded.blocks)}\n</details>"


def _md(text: str) -> str:
    shown = _around_code(text, lambda plain: re.sub(r"([\\*_\[\]<>|~#])", r"\\\1", plain), lambda code: f"`{code}`")
    return f"**{shown}**" if isinstance(text, Strong) else shown


_MARKDOWN: dict[type, Callable[..., str]] = {
    Heading: lambda block: f"{'#' * (block.level + 1)} {_md(block.text)}",
    Text: lambda block: _md(block.text),
    Items: lambda block: "\n".join(f"- {_md(item)}" for item in block.items),
    Table: _md_table,
    Folded: _md_folded,
}


def page(title: str, blocks: Sequence[Block]) -> str:
    """Return one HTML page that needs no network, in light and dark, that reads on a phone and prints."""
    return _PAGE.replace("TITLE", html.escape(title)).replace("BODY", fragment(blocks))


def fragment(blocks: Sequence[Block]) -> str:
    """Return blocks as a part of an HTML page."""
    return "\n".join(_HTML[type(block)](block) for block in blocks)


def _html_table(table: Table) -> str:
    def row(cells: Sequence[str], tag: str) -> str:
        kinds = (' class="n"' if column >= table.words else "" for column in range(len(cells)))
        return "".join(f"<{tag}{kind}>{_html(cell)}</{tag}>" for kind, cell in zip(kinds, cells, strict=True))

    rows = "\n".join(f"<tr>{row(each, 'td')}</tr>" for each in table.rows)
    head = f"<thead><tr>{row(table.head, 'th')}</tr></thead>"
    return f'<div class="wide"><table>{head}<tbody>\n{rows}\n</tbody></table></div>'


def _html_folded(folded: Folded) -> str:
    return f"<details><summary>{_html(folded.summary)}</summary>\n{fragment(folded.blocks)}\n</details>"


def _html(text: str) -> str:
    shown = _around_code(text, html.escape, lambda code: f"<code>{html.escape(code)}</code>")
    return f"<strong>{shown}</strong>" if isinstance(text, Strong) else shown


_HTML: dict[type, Callable[..., str]] = {
    Heading: lambda block: f"<h{block.level}>{_html(block.text)}</h{block.level}>",
    Text: lambda block: f"<p>{_html(block.text)}</p>",
    Items: lambda block: "<ul>" + "".join(f"<li>{_html(item)}</li>" for item in block.items) + "</ul>",
    Table: _html_table,
    Folded: _html_folded,
}
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>TITLE</title>
<style>
:root { color-scheme: light dark; --line: color-mix(in srgb, currentColor 18%, transparent) }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.6rem } h2 { font-size: 1.25rem }
.wide { overflow-x: auto; margin: 1rem 0 }
table { border-collapse: collapse; font-size: .9rem }
th, td { text-align: left; vertical-align: top; padding: .25rem .75rem .25rem 0; border-bottom: 1px solid var(--line) }
.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
summary { cursor: pointer; font-weight: 600; padding: .4rem 0 }
code { font-size: .9em }
@media print {
  body { margin: 0; max-width: none }
  .wide { overflow: visible }
  details::details-content { content-visibility: visible; height: auto }
}
</style>
</head>
<body>
BODY
</body>
</html>
"""


def plain(blocks: Sequence[Block]) -> str:
    """Return lines for a terminal."""
    return "\n\n".join("\n".join(_PLAIN[type(block)](block)) for block in blocks) + "\n"


def _plain_table(table: Table) -> Iterator[str]:
    rows = [table.head, *table.rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(table.head))]
    for row in rows:
        cells = (
            f"{cell:<{width}}" if column < table.words else f"{cell:>{width}}"
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        yield "  ".join(cells).rstrip()


def _plain_folded(folded: Folded) -> Iterator[str]:
    yield folded.summary
    for block in folded.blocks:
        yield from (f"  {line}".rstrip() for line in _PLAIN[type(block)](block))


def _wrapped(text: str, start: str = "") -> list[str]:
    hang = " " * len(start)
    return textwrap.wrap(text, WIDTH, initial_indent=start, subsequent_indent=hang, break_long_words=False)


_PLAIN: dict[type, Callable[..., Iterator[str] | list[str]]] = {
    Heading: lambda block: [block.text],
    Text: lambda block: _wrapped(block.text),
    Items: lambda block: [line for item in block.items for line in _wrapped(item, "- ")],
    Table: _plain_table,
    Folded: _plain_folded,
}


def _around_code(text: str, outside: Callable[[str], str], inside: Callable[[str], str]) -> str:
    """Return a text with what stands between backticks treated apart. An unpaired backtick is a character."""
    parts = re.split(r"`([^`]+)`", text)
    return "".join(inside(part) if number % 2 else outside(part) for number, part in enumerate(parts))
