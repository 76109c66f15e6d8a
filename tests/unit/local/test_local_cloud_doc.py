"""docs/local-cloud.md names tests, commands, options and variables that exist, and tells what became of each gap."""

import re
from pathlib import Path

import pytest
import typer

from turnout import cli
from turnout.local import doctor, emulator

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "local-cloud.md").read_text()
FOLDERS = [ROOT / "tests" / "unit" / "local", ROOT / "tests" / "integration" / "local"]
LOCAL = typer.main.get_command(cli.app).commands["local"].commands


def rows(heading: str) -> list[list[str]]:
    section = PAGE.partition(f"\n## {heading}")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


GAPS = rows("Where it differs")


@pytest.mark.parametrize("gap", GAPS, ids=[gap[0][:50] for gap in GAPS])
def test_each_gap_is_mended_as_a_test_shows_or_listed(gap):
    _, here = gap
    assert re.search(r"`test_\w+\.py::test_\w+`", here) or "listed" in here


def test_every_test_that_the_page_names_exists():
    for file, name in re.findall(r"`(test_\w+\.py)::(test_\w+)`", PAGE):
        (path,) = [folder / file for folder in FOLDERS if (folder / file).exists()]
        assert f"def {name}(" in path.read_text(), f"{file} has no {name}"


def test_the_page_says_something_of_every_part_that_matters():
    assert len(GAPS) > 45


def test_every_command_stands_on_the_page_and_exists():
    assert {row[0] for row in rows("Commands")} == {f"`turnout local {name}`" for name in LOCAL}


def test_the_options_of_up_stand_on_the_page():
    for parameter in LOCAL["up"].params:
        assert f"`{parameter.opts[0]}`" in PAGE


def test_the_doctors_words_are_explained():
    words = {row[0].strip("`"): row[2] == "yes" for row in rows("The doctor")}
    assert words == {word: word in doctor.STRICT for word in doctor.SEVERITIES}


def test_the_variables_are_read_by_the_code():
    code = "\n".join(path.read_text() for path in (ROOT / "turnout/local").rglob("*.py"))
    for variable, _ in rows("Environment variables"):
        assert variable.strip("`") in code


def test_what_the_page_lists_as_ignored_is_said_in_status():
    told = " ".join(emulator.ignored_here()).lower()
    for words in ("stack policies", "flexible time windows", "tumbling windows", "retention", "aligned to the clock"):
        assert words in told
