"""What SageMaker tells a container through its environment."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import serving_machine

MB = 2**20
#: Batch Transform refuses MaxConcurrentTransforms * MaxPayloadInMB above this (CreateTransformJob).
MOST_MB_AT_ONCE = 100
#: What Batch Transform sends at most unless told otherwise.
USUAL_PAYLOAD_MB = 6
#: Bytes of memory that one byte of a body may need while its request is answered: CSV as a list of lists of text.
MEMORY_PER_BODY_BYTE = 20
HOOKS = ("sagemaker", "columnar")
HIGHEST_PORT = 65_535
#: Nothing that is counted here, threads, megabytes or seconds, makes sense above it.
LARGEST_SETTING = 1_000_000


class BadSetting(ValueError):
    """A variable of the environment does not say what it should."""


@dataclass(frozen=True)
class Settings:
    """The container's settings; names of variables are SageMaker's, except those that begin with TURNOUT_.

    `threads` predictions run at once, with one copy of the model; up to `waiting` further requests wait, each up to
    `timeout_seconds`, and all others get 503. `body_bytes` bounds what bodies hold together, one excepted.
    `max_payload_mb` is what /execution-parameters tells Batch Transform, in units of 1,048,576 bytes.
    `hooks` says which hooks a script without its own gets: those of AWS's container, or columnar ones, which read
    `features` by name, in this order, where the body has names. `forest_loop` and `onnx` allow short ways through the
    model: the first to the same bits, the second where an export lies beside it.
    """

    model_dir: Path
    program: str
    host: str
    port: int
    threads: int
    waiting: int
    body_bytes: int
    batch_strategy: str
    max_payload_mb: int
    timeout_seconds: float
    default_accept: str
    hooks: str
    features: tuple[str, ...]
    forest_loop: bool
    onnx: bool
    log_level: int

    @property
    def module(self) -> str:
        """The name under which the model's script is imported."""
        return self.program.removesuffix(".py")

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> "Settings":
        """Return the settings. Raises BadSetting, naming the variable."""
        threads = _threads(environ)
        memory = serving_machine.memory_bytes()
        return cls(
            model_dir=Path(environ.get("TURNOUT_MODEL_DIR", "/opt/ml/model")),
            program=environ.get("SAGEMAKER_PROGRAM", "inference.py"),
            host=environ.get("SAGEMAKER_BIND_TO_HOST", "0.0.0.0"),
            port=_whole(environ, "SAGEMAKER_BIND_TO_PORT", 8080, most=HIGHEST_PORT),
            threads=threads,
            waiting=_whole(environ, "TURNOUT_MAX_WAITING", 256),
            body_bytes=memory // 4 if memory else 2**30,
            batch_strategy=_choice(environ, "SAGEMAKER_BATCH_STRATEGY", ("MULTI_RECORD", "SINGLE_RECORD")),
            max_payload_mb=_whole(environ, "SAGEMAKER_MAX_PAYLOAD_IN_MB", 0) or payload_mb(threads, memory),
            timeout_seconds=_whole(environ, "SAGEMAKER_MODEL_SERVER_TIMEOUT", 60),
            default_accept=environ.get("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", "application/json"),
            hooks=_choice(environ, "TURNOUT_HOOKS", HOOKS),
            features=tuple(name for name in environ.get("TURNOUT_FEATURES", "").split(",") if name),
            forest_loop=_choice(environ, "TURNOUT_FOREST_LOOP", ("on", "off")) == "on",
            onnx=_choice(environ, "TURNOUT_ONNX", ("on", "off")) == "on",
            log_level=_whole(environ, "SAGEMAKER_CONTAINER_LOG_LEVEL", 20),
        )


def payload_mb(threads: int, memory: int | None) -> int:
    """Return the largest payload to ask Batch Transform for.

    All threads together stay within what Batch Transform allows and, if memory is known (bytes), within half of it.
    """
    most = min(USUAL_PAYLOAD_MB, MOST_MB_AT_ONCE // threads)
    if memory is not None:
        most = min(most, memory // 2 // MEMORY_PER_BODY_BYTE // threads // MB)
    return max(1, most)


def _threads(environ: Mapping[str, str]) -> int:
    """Return SAGEMAKER_MODEL_SERVER_WORKERS; without it one per core, but no more than Batch Transform will use."""
    cores = serving_machine.cores()
    sent_at_once = _whole(environ, "SAGEMAKER_MAX_CONCURRENT_TRANSFORMS", 0) or cores
    return _whole(environ, "SAGEMAKER_MODEL_SERVER_WORKERS", 0) or min(cores, sent_at_once)


def _choice(environ: Mapping[str, str], name: str, allowed: tuple[str, ...]) -> str:
    """Return the variable's value; unset, the first that is allowed."""
    value = environ.get(name, allowed[0])
    if value not in allowed:
        raise BadSetting(f"{name} is {value!r}, not {' or '.join(allowed)}")
    return value


def _whole(environ: Mapping[str, str], name: str, default: int, most: int = LARGEST_SETTING) -> int:
    text = environ.get(name, "")
    if not text:
        return default
    if not re.fullmatch("[0-9]{1,18}", text) or int(text) > most:
        raise BadSetting(f"{name} is {text!r}, not a whole number of at most {most:,}")
    return int(text)
