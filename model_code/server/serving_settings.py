"""What SageMaker tells a container through its environment."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


class BadSetting(ValueError):
    """A variable of the environment does not say what it should."""


@dataclass(frozen=True)
class Settings:
    """The container's settings; names of variables are SageMaker's, except TURNOUT_MODEL_DIR.

    `threads` predictions run at once; further requests wait, up to `timeout_seconds`, and then get 503.
    `max_payload_mb` is what /execution-parameters tells Batch Transform, in units of 1,048,576 bytes.
    """

    model_dir: Path
    program: str
    host: str
    port: int
    threads: int
    batch_strategy: str
    max_payload_mb: int
    timeout_seconds: float
    default_accept: str
    log_level: int

    @property
    def module(self) -> str:
        """The name under which the model's script is imported."""
        return self.program.removesuffix(".py")

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> "Settings":
        """Return the settings. Raises BadSetting, naming the variable."""
        return cls(
            model_dir=Path(environ.get("TURNOUT_MODEL_DIR", "/opt/ml/model")),
            program=environ.get("SAGEMAKER_PROGRAM", "inference.py"),
            host=environ.get("SAGEMAKER_BIND_TO_HOST", "0.0.0.0"),
            port=_whole(environ, "SAGEMAKER_BIND_TO_PORT", 8080),
            threads=_threads(environ),
            batch_strategy=_strategy(environ),
            max_payload_mb=_whole(environ, "SAGEMAKER_MAX_PAYLOAD_IN_MB", 6) or 6,
            timeout_seconds=_whole(environ, "SAGEMAKER_MODEL_SERVER_TIMEOUT", 60),
            default_accept=environ.get("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", "application/json"),
            log_level=_whole(environ, "SAGEMAKER_CONTAINER_LOG_LEVEL", 20),
        )


def _threads(environ: Mapping[str, str]) -> int:
    """Return SAGEMAKER_MODEL_SERVER_WORKERS; without it one per core, but no more than Batch Transform will use."""
    cores = os.cpu_count() or 1
    sent_at_once = _whole(environ, "SAGEMAKER_MAX_CONCURRENT_TRANSFORMS", 0) or cores
    return _whole(environ, "SAGEMAKER_MODEL_SERVER_WORKERS", 0) or min(cores, sent_at_once)


def _strategy(environ: Mapping[str, str]) -> str:
    strategy = environ.get("SAGEMAKER_BATCH_STRATEGY", "MULTI_RECORD")
    if strategy not in ("MULTI_RECORD", "SINGLE_RECORD"):
        raise BadSetting(f"SAGEMAKER_BATCH_STRATEGY is {strategy!r}, not MULTI_RECORD or SINGLE_RECORD")
    return strategy


def _whole(environ: Mapping[str, str], name: str, default: int) -> int:
    text = environ.get(name, "")
    if not text:
        return default
    if not text.isdigit():
        raise BadSetting(f"{name} is {text!r}, not a whole number")
    return int(text)
