"""A folder like a user's: `models.yaml` beside `model_code/`."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from turnout.config import Config, ConfigError, load

HERE = Path(__file__).parent


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a working directory with `model_code/` in it: churn and typed are whole, broken and bare are not."""
    shutil.copytree(HERE / "workspace", tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def read(workspace: Path) -> Callable[[str], Config]:
    """Load a text as the workspace's models.yaml."""

    def read(text: str) -> Config:
        path = workspace / "models.yaml"
        path.write_text(text)
        return load(path)

    return read


@pytest.fixture
def refused(read: Callable[[str], Config]) -> Callable[[str], ConfigError]:
    """Load a text that must be refused and return the error."""

    def refused(text: str) -> ConfigError:
        with pytest.raises(ConfigError) as caught:
            read(text)
        return caught.value

    return refused
