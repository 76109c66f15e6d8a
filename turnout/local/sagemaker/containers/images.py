"""What an image URI stands for, since no image is ever pulled: a prebuilt image of AWS, or somebody's own command."""

import fnmatch
import json
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from turnout.local.sagemaker.container import ContainerFailed

#: AWS's inference images by repository, whatever account, Region or tag.
PREBUILT = {
    "sagemaker-scikit-learn": "scikit-learn",
    "sagemaker-xgboost": "xgboost",
    "pytorch-inference": "pytorch",
    "pytorch-inference-arm64": "pytorch",
    "huggingface-pytorch-inference": "huggingface",
}
COMMAND_VARIABLE = "TURNOUT_LOCAL_COMMAND"
TABLE_VARIABLE = "TURNOUT_LOCAL_IMAGES"


def repository(image: str) -> str:
    """Return the repository of `registry/repository:tag` or `registry/repository@digest`."""
    return image.partition("/")[2].partition("@")[0].partition(":")[0]


def prebuilt(image: str, environment: Mapping[str, str]) -> str | None:
    """Return which of AWS's images this is, by its URI or because the table says that it is served like one."""
    entry = _entry(image)
    if COMMAND_VARIABLE in environment:
        return None
    if isinstance(entry, str) and entry in PREBUILT.values():
        return entry
    return None if entry else PREBUILT.get(repository(image))


def own_command(image: str, environment: Mapping[str, str]) -> Sequence[str] | None:
    """Return the command that the model or the table names for this image, with its placeholders, or None."""
    entry = environment.get(COMMAND_VARIABLE) or _entry(image)
    if not entry or entry in PREBUILT.values():
        return None
    return shlex.split(entry) if isinstance(entry, str) else entry


def filled_in(command: Sequence[str], model_dir: Path, port: int) -> list[str]:
    """Put the values into `{model_dir}`, `{port}` and `{python}`."""
    values = {"{model_dir}": str(model_dir), "{port}": str(port), "{python}": sys.executable}
    filled = []
    for word in command:
        for placeholder, value in values.items():
            word = word.replace(placeholder, value)
        filled.append(word)
    return filled


def _entry(image: str) -> str | list[str] | None:
    """Return what the table has for the image: the first pattern that matches the URI, `*` and `?` being wild."""
    path = os.environ.get(TABLE_VARIABLE)
    if not path or not Path(path).exists():
        return None
    try:
        table = json.loads(Path(path).read_text())
    except ValueError as error:
        raise ContainerFailed(f"{path} is no JSON object of image patterns and commands: {error}") from error
    return next((entry for pattern, entry in table.items() if fnmatch.fnmatchcase(image, pattern)), None)
