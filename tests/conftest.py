"""What every test may use."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling

# How long an example takes says something of the machine and of what else runs on it. CI tries the same examples each
# time, so that it refuses nobody for what they did not change; everybody else's run looks for new ones.
settings.register_profile(
    "any-machine",
    settings(),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize="CI" in os.environ,
)
settings.load_profile("any-machine")

HERE = Path(__file__).parent
#: Folders whose tests share what is dear to set up: a local cloud, and for the first all deployed stacks.
TOGETHER = (HERE / "integration" / "local", HERE / "integration" / "clients", HERE / "integration")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="rewrite golden files with what the code says now")
    parser.addoption("--endpoint", help="run the integration tests there: an emulator's URL, or `aws`")


class TogetherScheduling(LoadScopeScheduling):
    """Gives one worker of `pytest -n` all tests of a folder that share a cloud, else those of one file."""

    def _split_scope(self, nodeid: str) -> str:
        return together(nodeid)


def together(nodeid: str) -> str:
    """Return what names the tests that one worker runs, one after another.

    Marks of `--dist loadgroup` would say it too, but pytest 9.2 ignores silently how pytest-xdist 3.8 passes them on.
    """
    path = HERE.parent / nodeid.partition("::")[0]
    return str(next((folder for folder in TOGETHER if path.is_relative_to(folder)), path))


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> TogetherScheduling:
    return TogetherScheduling(config, log)


@pytest.fixture
def golden(request: pytest.FixtureRequest):
    """Compare a text with a golden file, or write the file under `--update-golden`."""

    def compare(text: str, path: Path) -> None:
        if request.config.getoption("--update-golden"):
            path.write_text(text)
        assert path.exists(), f"{path.name} is missing; write it with pytest --update-golden"
        assert text == path.read_text(), f"{path.name} differs; if that is meant, run pytest --update-golden"

    return compare
