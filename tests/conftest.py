"""What every test may use."""

from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="rewrite golden files with what the code says now")
    parser.addoption("--endpoint", help="run the integration tests there: an emulator's URL, or `aws`")


@pytest.fixture
def golden(request: pytest.FixtureRequest):
    """Compare a text with a golden file, or write the file under `--update-golden`."""

    def compare(text: str, path: Path) -> None:
        if request.config.getoption("--update-golden"):
            path.write_text(text)
        assert path.exists(), f"{path.name} is missing; write it with pytest --update-golden"
        assert text == path.read_text(), f"{path.name} differs; if that is meant, run pytest --update-golden"

    return compare
