"""The model's own script: finding it, importing it, checking its hooks."""

import importlib
import importlib.util
import inspect
import logging
import os
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import toolkit_literals
from toolkit_settings import Settings

logger = logging.getLogger("toolkit")

STEPS = ("input_fn", "predict_fn", "output_fn")


class ScriptError(Exception):
    """The script or what it needs is unusable: the container must not start."""


def required_script(settings: Settings) -> ModuleType:
    """Import the script of an image that has no default one. Raises ScriptError.

    Without the two variables the image on AWS looks for no script, and in an empty folder; here code/inference.py
    serves all the same, with a warning.
    """
    unset = [name for name in ("SAGEMAKER_PROGRAM", "SAGEMAKER_SUBMIT_DIRECTORY") if not os.environ.get(name)]
    if unset:
        logger.warning("on AWS this image finds no script without %s", ", ".join(unset))
    if not (settings.code_dir / f"{settings.module}.py").is_file():
        raise ScriptError(
            f"No module named {settings.module!r}: {settings.code_dir} has no {settings.module}.py. SAGEMAKER_PROGRAM "
            "names the script, SAGEMAKER_SUBMIT_DIRECTORY its folder (/opt/ml/model/code inside model.tar.gz)."
        )
    return _import(settings)


def optional_script(settings: Settings) -> ModuleType | None:
    """Import the script, or return None when there is none: the inference toolkits then use their defaults."""
    return _import(settings) if (settings.code_dir / f"{settings.module}.py").is_file() else None


def _import(settings: Settings) -> ModuleType:
    toolkit_literals.replace_below(settings.code_dir, settings.model_dir)
    sys.path.insert(0, str(settings.code_dir))  # so that the script can import its neighbours
    return importlib.import_module(settings.module)


def refuse_mixed_hooks(script: ModuleType | None, message: str) -> None:
    """Raise ScriptError when a script has transform_fn beside what it replaces."""
    if getattr(script, "transform_fn", None) and any(getattr(script, name, None) for name in STEPS):
        raise ScriptError(message)


def hook(script: ModuleType | None, name: str, default: Callable) -> Callable:
    """Return the script's own function, or the image's."""
    return getattr(script, name, None) or default


def parameters_of(function: Callable) -> int:
    return len(inspect.signature(function).parameters)


def needed_package(name: str, image: str, what: str) -> Any:
    """Import a package that AWS's image has. Raises ScriptError, saying how to get it, when it is not installed."""
    if importlib.util.find_spec(name) is None:
        raise ScriptError(
            f"{what} of the {image} image needs {name}, which is not installed for {sys.executable}. Name it in "
            "code/requirements.txt, or have the model run by an interpreter that has it (TURNOUT_LOCAL_PYTHON)."
        )
    return importlib.import_module(name)
