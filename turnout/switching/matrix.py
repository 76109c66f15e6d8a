"""The table of all switches in docs/switching.md, written from the transition table.

`python -m turnout.switching.matrix` after a change to it.
"""

import re
from pathlib import Path

from handlers.contract.modes import AVAILABLE, ServingMode
from turnout.switching.transitions import Transition, spell, transition

PAGE = Path(__file__).parents[2] / "docs/switching.md"
BEGIN, END = "<!-- matrix: written by `python -m turnout.switching.matrix` -->\n", "<!-- end of matrix -->"


def table() -> str:
    """Return six rows of six as Markdown, for hybrid's default fallback."""
    modes = [mode for mode in ServingMode if mode in AVAILABLE]
    rows = [["from ↓ to →", *(f"`{mode}`" for mode in modes)], ["---"] * (len(modes) + 1)]
    for before in modes:
        cells = ["" if before is after else cell(transition(before, after)) for after in modes]
        rows.append([f"**`{before}`**", *cells])
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def cell(switch: Transition) -> str:
    """Return what comes, what goes, how soon clients are served, and whether the way back is instant."""
    parts = [f"+ {name}" for name in switch.created] + [f"− {name}" for name in switch.removed]
    parts.append(spell(switch.seconds))
    parts.append("back: instant" if switch.instant else "back: anew")
    return "<br>".join(parts)


def fill(page: str) -> str:
    """Return the page with the current table between its marks."""
    return re.sub(f"{re.escape(BEGIN)}.*?{re.escape(END)}", lambda _: f"{BEGIN}{table()}{END}", page, flags=re.DOTALL)


if __name__ == "__main__":
    PAGE.write_text(fill(PAGE.read_text()))
