"""docs/batch-transform.md names a source or a decision for each rule, and tests that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "batch-transform.md").read_text()
FOLDERS = [ROOT / "tests" / "unit" / "local", ROOT / "tests" / "integration" / "local"]
RULES = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.splitlines()
    if line.startswith("|") and not line.startswith(("|---", "| Rule |"))
]


def source_of(file: str) -> str:
    (path,) = [folder / file for folder in FOLDERS if (folder / file).exists()]
    return path.read_text()


def test_the_page_has_every_part_of_the_job():
    assert len(RULES) > 60
    assert all(len(cells) == 4 for cells in RULES)


@pytest.mark.parametrize("rule", RULES, ids=[rule[0][:40] for rule in RULES])
def test_each_rule_has_tests_that_exist(rule):
    tests = re.findall(r"`(test_\w+\.py)::(test_\w+)`", rule[2])
    assert tests, "names no test"
    for file, name in tests:
        assert f"def {name}(" in source_of(file), f"{file} has no {name}"


@pytest.mark.parametrize("rule", RULES, ids=[rule[0][:40] for rule in RULES])
def test_each_rule_has_a_source_or_is_ours(rule):
    ours = (
        "Each instance",
        "Concatenation law",
        "A file that is cut off",
        "An object of 100 MB",
        "Without OutputFilter",
    )
    if not rule[1] and not rule[0].startswith(ours):
        assert "decided" in rule[3] or "from memory" in rule[3]
