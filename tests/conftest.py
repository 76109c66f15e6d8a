"""What every test may use."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes says something of the machine and of what else runs on it.
settings.register_profile("any-machine", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any-machine")

HERE = Path(__file__).parent
#: Folders whose tests share what is dear to set up: a local cloud, and for the first all deployed stacks.
TOGETHER = (HERE / "integration" / "local", HERE / "integration" / "clients", HERE / "integration")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="rewrite golden files with what the code says now")
    parser.addoption("--endpoint", help="run the integration tests there: an emulator's URL, or `aws`")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Say which tests one worker of `pytest -n` runs: a folder's that share a cloud, else those of one file."""
    for item in items:
        together = next((folder for folder in TOGETHER if item.path.is_relative_to(folder)), item.path)
        item.add_marker(pytest.mark.xdist_group(str(together.relative_to(HERE))))


@pytest.fixture
def golden(request: pytest.FixtureRequest):
    """Compare a text with a golden file, or write the file under `--update-golden`."""

    def compare(text: str, path: Path) -> None:
        if request.config.getoption("--update-golden"):
            path.write_text(text)
        assert path.exists(), f"{path.name} is missing; write it with pytest --update-golden"
        assert text == path.read_text(), f"{path.name} differs; if that is meant, run pytest --update-golden"

    return compare
