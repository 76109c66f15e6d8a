"""Every invalid models.yaml in `invalid/`, with the message that a user sees beside it."""

from pathlib import Path

import pytest

HERE = Path(__file__).parent
INVALID = sorted((HERE / "invalid").glob("*.yaml"))


@pytest.mark.parametrize("path", INVALID, ids=lambda path: path.stem)
def test_the_message_is_the_golden_one(path, refused, golden):
    golden(str(refused(path.read_text())) + "\n", path.with_suffix(".txt"))


def test_there_are_at_least_twenty_invalid_files_and_each_has_its_message():
    assert len(INVALID) >= 20
    assert {path.stem for path in INVALID} == {path.stem for path in (HERE / "invalid").glob("*.txt")}


@pytest.mark.parametrize("path", INVALID, ids=lambda path: path.stem)
def test_every_problem_names_file_line_reason_and_remedy(path, refused):
    text = path.read_text()
    problems = refused(text).problems
    assert problems
    for problem in problems:
        assert problem.file in ("models.yaml", "model_code/broken/schema.yaml")
        assert 1 <= problem.line <= max(len(text.splitlines()), 5)
        assert problem.reason
        assert not problem.reason.endswith(".")
        assert problem.remedy.endswith((".", "?"))
