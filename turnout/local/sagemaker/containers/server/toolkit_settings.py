"""What SageMaker tells an image through its environment, and how the images differ as servers."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

JSON = "application/json"
MEBIBYTE = 2**20
#: XGBoost's image caps MAX_CONTENT_LENGTH here, however large it is set.
XGBOOST_MOST_BYTES = 20 * MEBIBYTE
#: TorchServe's and Multi Model Server's own default.
MODEL_SERVER_BODY_BYTES = 6_553_500


class BadSetting(ValueError):
    """A variable of the environment does not say what it should."""


@dataclass(frozen=True)
class Settings:
    """One container's settings.

    `program` is None when SAGEMAKER_PROGRAM is not set. `largest_body` is in bytes, None for no limit of the image's
    own. `flask` tells the images that run Flask behind nginx from those that run TorchServe or Multi Model Server.
    """

    image: str
    code_dir: Path
    model_dir: Path
    program: str | None
    host: str
    port: int
    workers: int
    timeout_seconds: int
    default_accept: str | None
    largest_body: int | None
    batch: bool
    log_level: int

    @property
    def flask(self) -> bool:
        return self.image in ("scikit-learn", "xgboost")

    @property
    def algorithm_mode(self) -> bool:
        """Whether XGBoost's image serves a model file by itself, without a script."""
        return self.image == "xgboost" and self.program is None

    @property
    def module(self) -> str:
        """The name under which the script is imported; the inference toolkits have a default one."""
        return (self.program or "inference.py").removesuffix(".py")

    @classmethod
    def from_environ(cls, image: str, code_dir: str, environ: Mapping[str, str]) -> "Settings":
        """Return the settings. Raises BadSetting, naming the variable."""
        program = environ.get("SAGEMAKER_PROGRAM") or None
        return cls(
            image=image,
            code_dir=Path(code_dir),
            model_dir=Path(environ["SM_MODEL_DIR"]),
            program=program,
            host=environ.get("SAGEMAKER_BIND_TO_HOST", "0.0.0.0"),
            port=_whole(environ, "SAGEMAKER_BIND_TO_PORT", 8080),
            workers=_whole(environ, "SAGEMAKER_MODEL_SERVER_WORKERS", 1) or 1,
            timeout_seconds=_whole(environ, "SAGEMAKER_MODEL_SERVER_TIMEOUT", 60),
            default_accept=environ.get("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT") or None,
            largest_body=_largest_body(image, program, environ),
            batch=bool(environ.get("SAGEMAKER_BATCH")),
            log_level=_whole(environ, "SAGEMAKER_CONTAINER_LOG_LEVEL", 20),
        )


def _largest_body(image: str, program: str | None, environ: Mapping[str, str]) -> int | None:
    if image == "xgboost" and program is None:
        return min(_whole(environ, "MAX_CONTENT_LENGTH", 6 * MEBIBYTE), XGBOOST_MOST_BYTES)
    variable = {"pytorch": "TS_MAX_REQUEST_SIZE", "huggingface": "MMS_MAX_REQUEST_SIZE"}.get(image)
    return _whole(environ, variable, MODEL_SERVER_BODY_BYTES) if variable else None


def _whole(environ: Mapping[str, str], name: str, default: int) -> int:
    text = environ.get(name, "")
    if not text:
        return default
    if not text.isdigit():
        raise BadSetting(f"{name} is {text!r}, not a whole number")
    return int(text)


def own_settings(arguments: list[str]) -> Settings:
    """Return the settings of this process, whose arguments are the image's name and the script's folder."""
    return Settings.from_environ(arguments[0], arguments[1], os.environ)
