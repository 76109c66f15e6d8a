"""The model's own script: its hooks, checked and chained. Bytes and a content type in, bytes and a content type out.

    Refused                 a request that will not be answered with a prediction; `status` and `code` say why
    ScriptError             the script cannot serve at all; the container must not start

Hooks are those of AWS's prebuilt scikit-learn container: `model_fn(model_dir)`, which is required, then
`input_fn(body, content_type)`, `predict_fn(data, model)`, `output_fn(prediction, accept)`, or, instead of these
three, `transform_fn(model, body, content_type, accept)`. `model_warmup_fn(model_dir, model)` is a hook of AWS's
newer inference toolkit; containers that do not know it ignore it.
"""

import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from serving_codecs import TEXT_TYPES, default_input_fn, default_output_fn, default_predict_fn

CODES = {400: "bad_body", 406: "unsupported_accept", 413: "too_large", 415: "unsupported_content_type"}


class Refused(Exception):
    """A request that gets an error instead of a prediction."""

    def __init__(self, status: int, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code or CODES.get(status, "refused")


class ScriptError(Exception):
    """The script or what it loads is unusable."""


@dataclass(frozen=True)
class Answer:
    """A prediction as it goes over the wire."""

    body: bytes
    content_type: str


Transform = Callable[[Any, str | bytes, str, str], Any]


@dataclass(frozen=True)
class ModelScript:
    """A loaded model and the one function that answers a request with it."""

    model: Any
    transform: Transform

    @classmethod
    def load(cls, model_dir: Path, module: str) -> Self:
        """Import `<model_dir>/code/<module>.py`, load its model and warm it up.

        Raises ScriptError when there is no usable script; whatever the script itself raises comes through.
        """
        script = _import_script(model_dir / "code", module)
        if not hasattr(script, "model_fn"):
            raise ScriptError(f"{module}.py has no model_fn(model_dir), and scikit-learn models have no default one")
        transform = _transform_of(script, module)
        model = script.model_fn(str(model_dir))
        if hasattr(script, "model_warmup_fn"):
            script.model_warmup_fn(str(model_dir), model)
        return cls(model, transform)

    def invoke(self, body: bytes, content_type: str, accept: str) -> Answer:
        """Return the answer to one request. Raises Refused; anything else is a fault of the script."""
        try:
            result = self.transform(self.model, _as_script_wants(body, content_type), content_type, accept)
        except Exception as error:
            status = getattr(error, "status_code", None)
            if isinstance(status, int) and 400 <= status < 500:
                raise Refused(status, str(error)) from error
            raise
        # The script may name the type that it wrote; otherwise it wrote what was asked for.
        written, written_type = result if isinstance(result, tuple) else (result, accept)
        if isinstance(written, str):
            written = written.encode()
        if not isinstance(written, bytes | bytearray):
            raise TypeError(f"the script answered {type(written).__name__}; it has to return text or bytes")
        return Answer(bytes(written), written_type)


def _as_script_wants(body: bytes, content_type: str) -> str | bytes:
    """Return text for the types that AWS's container decodes (compared whole, parameters included), else bytes."""
    if content_type not in TEXT_TYPES:
        return body
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Refused(400, f"the body is not UTF-8: {error}") from error


def _import_script(folder: Path, module: str) -> Any:
    if not (folder / f"{module}.py").is_file():
        raise ScriptError(f"{folder / module}.py does not exist; SAGEMAKER_PROGRAM names the script in the code folder")
    sys.path.insert(0, str(folder))  # so that the script can import its neighbours
    return importlib.import_module(module)


def _transform_of(script: Any, module: str) -> Transform:
    own = {name: getattr(script, name) for name in ("input_fn", "predict_fn", "output_fn") if hasattr(script, name)}
    if not hasattr(script, "transform_fn"):
        return _chain(
            own.get("input_fn", default_input_fn),
            own.get("predict_fn", default_predict_fn),
            own.get("output_fn", default_output_fn),
        )
    if own:
        raise ScriptError(f"{module}.py has transform_fn and {', '.join(own)}; transform_fn replaces them all")
    return script.transform_fn


def _chain(input_fn: Callable, predict_fn: Callable, output_fn: Callable) -> Transform:
    def transform(model: Any, body: str | bytes, content_type: str, accept: str) -> Any:
        return output_fn(predict_fn(_read(input_fn, body, content_type), model), accept)

    return transform


def _read(input_fn: Callable, body: str | bytes, content_type: str) -> Any:
    """Return what input_fn makes of the body. A ValueError without a status of its own means a bad body."""
    try:
        return input_fn(body, content_type)
    except ValueError as error:
        if hasattr(error, "status_code"):
            raise
        raise Refused(400, str(error)) from error
