"""The model's own script: its hooks, checked and chained. Bytes and a content type in, bytes and a content type out.

    Refused                 a request that will not be answered with a prediction; `status` and `code` say why
    ScriptError             the script cannot serve at all; the container must not start

Hooks are those of AWS's prebuilt scikit-learn container: `model_fn(model_dir)`, which is required, then
`input_fn(body, content_type)`, `predict_fn(data, model)`, `output_fn(prediction, accept)`, or, instead of these
three, `transform_fn(model, body, content_type, accept)`. `model_warmup_fn(model_dir, model)` is a hook of AWS's
newer inference toolkit; containers that do not know it ignore it.

A script may say `ROW_BY_ROW = True`: what predict_fn returns for a row does not depend on the rows around it, to the
last bit. Then requests that wait share one call of predict_fn; input_fn and output_fn are called for each as ever.
"""

import importlib
import importlib.util
import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self

from serving_codecs import TEXT_TYPES, default_input_fn, default_output_fn, default_predict_fn
from serving_columns import Columns

logger = logging.getLogger("serving")

CODES = {400: "bad_body", 406: "unsupported_accept", 413: "too_large", 415: "unsupported_content_type"}


class Refused(Exception):
    """A request that gets an error instead of a prediction."""

    def __init__(self, status: int, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code or CODES.get(status, "refused")


class ScriptError(Exception):
    """The script or what it loads is unusable."""


@dataclass(frozen=True, slots=True)
class Request:
    """What a caller sent. A large body is a bytearray, so that it need not be copied."""

    body: bytes | bytearray
    content_type: str
    accept: str


@dataclass(frozen=True, slots=True)
class Answer:
    """A prediction as it goes over the wire."""

    body: bytes
    content_type: str


@dataclass(frozen=True)
class Hooks:
    """The script's hooks, defaults filled in."""

    input_fn: Callable[[Any, str], Any]
    predict_fn: Callable[[Any, Any], Any]
    output_fn: Callable[[Any, str], Any]
    takes_bytes: bool = False  # this input_fn wants text types as bytes too

    def transform(self, model: Any, body: str | bytes, content_type: str, accept: str) -> Any:
        return self.output_fn(self.predict_fn(_read(self.input_fn, body, content_type), model), accept)


@dataclass(frozen=True)
class ModelScript:
    """A loaded model and what answers requests with it: the script's transform_fn, or three hooks in a chain."""

    model: Any
    transform: Callable[[Any, str | bytes, str, str], Any]
    hooks: Hooks | None
    row_by_row: bool
    own_warm_up: Callable[[], Any] | None = None

    @classmethod
    def load(cls, model_dir: Path, module: str, columns: Columns | None = None) -> Self:
        """Import `<model_dir>/code/<module>.py` and load its model. With `columns`, missing hooks are its.

        Raises ScriptError when there is no usable script; whatever the script itself raises comes through.
        """
        script = _import_script(model_dir / "code", module)
        if not hasattr(script, "model_fn"):
            raise ScriptError(f"{module}.py has no model_fn(model_dir), and scikit-learn models have no default one")
        own = _own_hooks(script, module)
        hooks = None if hasattr(script, "transform_fn") else _hooks(own, columns)
        model = script.model_fn(str(model_dir))
        warm_up = getattr(script, "model_warmup_fn", None)
        own_warm_up = partial(warm_up, str(model_dir), model) if warm_up else None
        stacks = hooks is not None and importlib.util.find_spec("numpy") is not None
        row_by_row = stacks and getattr(script, "ROW_BY_ROW", False) is True
        return cls(model, hooks.transform if hooks else script.transform_fn, hooks, row_by_row, own_warm_up)

    def warm_up(self) -> None:
        """Predict once: as the script says, else a row of zeros if the model says how wide its rows are.

        scikit-learn's models do. The row is our guess, so that a script which cannot take it still serves; what the
        script's own model_warmup_fn raises comes through.
        """
        if self.own_warm_up is not None:
            self.own_warm_up()
            return
        width = getattr(self.model, "n_features_in_", None)
        if not isinstance(width, int):
            return
        failure = _attempt(self._predict_zeros, width)
        if isinstance(failure, Exception):
            told = "no warm-up: a row of %d zeros fails (%s); model_warmup_fn would do it right"
            logger.warning(told, width, failure)

    def invoke_all(self, requests: Sequence[Request]) -> list[Answer | Exception]:
        """Return each request's answer, or what went wrong with it: Refused, or a fault of the script."""
        together = self._invoke_together(requests) if len(requests) > 1 else None
        return together or [_attempt(self.invoke, request) for request in requests]

    def invoke(self, request: Request) -> Answer:
        """Return the answer to one request. Raises Refused; anything else is a fault of the script."""
        body = self._body(request)
        return _answer(_refusing(self.transform, self.model, body, request.content_type, request.accept), request)

    def _predict_zeros(self, width: int) -> None:
        """Ask predict_fn, or transform_fn with the row as CSV, which is what Batch Transform sends."""
        if self.hooks is None:
            self.invoke(Request(",".join(["0.0"] * width).encode() + b"\n", "text/csv", "text/csv"))
            return
        import numpy as np

        self.hooks.predict_fn(np.zeros((1, width)), self.model)

    def _body(self, request: Request) -> str | bytes | bytearray:
        if self.hooks is not None and self.hooks.takes_bytes:
            return request.body
        return _as_script_wants(request)

    def _invoke_together(self, requests: Sequence[Request]) -> list[Answer | Exception] | None:
        """Answer all with one prediction. Return None if that is impossible or fails: then each is on its own."""
        import numpy as np

        read = [_attempt(self._rows, request) for request in requests]
        good = [rows for rows in read if not isinstance(rows, Exception)]
        if not _stackable(good):
            return None
        predicted = _attempt(self.hooks.predict_fn, np.concatenate(good), self.model)
        if not isinstance(predicted, np.ndarray) or len(predicted) != sum(map(len, good)):
            return None
        parts = iter(np.split(predicted, np.cumsum([len(rows) for rows in good])[:-1]))
        return [
            rows if isinstance(rows, Exception) else _attempt(self._write, next(parts), request)
            for rows, request in zip(read, requests, strict=True)
        ]

    def _rows(self, request: Request) -> Any:
        return _refusing(_read, self.hooks.input_fn, self._body(request), request.content_type)

    def _write(self, prediction: Any, request: Request) -> Answer:
        return _answer(_refusing(self.hooks.output_fn, prediction, request.accept), request)


def _stackable(arrays: Sequence[Any]) -> bool:
    """Return whether these are tables of numbers with the same columns."""
    import numpy as np

    if not all(isinstance(array, np.ndarray) and array.ndim == 2 for array in arrays):
        return False
    return len({(array.dtype, array.shape[1]) for array in arrays}) == 1


def _attempt(function: Callable, *arguments: Any) -> Any:
    """Return the function's result or the exception that it raised: one request's fault must not touch another."""
    try:
        return function(*arguments)
    except Exception as error:  # noqa: BLE001 whoever called looks at it
        return error


def _refusing(function: Callable, *arguments: Any) -> Any:
    """Call a hook; an exception with an HTTP status of its own in the 400s becomes Refused."""
    try:
        return function(*arguments)
    except Exception as error:
        status = getattr(error, "status_code", None)
        if isinstance(status, int) and 400 <= status < 500:
            raise Refused(status, str(error)) from error
        raise


def _answer(result: Any, request: Request) -> Answer:
    """Return what the script wrote; it may name the type of it, otherwise it wrote what was asked for."""
    written, written_type = result if isinstance(result, tuple) else (result, request.accept)
    if isinstance(written, str):
        written = written.encode()
    if not isinstance(written, bytes | bytearray):
        raise TypeError(f"the script answered {type(written).__name__}; it has to return text or bytes")
    return Answer(bytes(written), written_type)


def _as_script_wants(request: Request) -> str | bytes:
    """Return text for the types that AWS's container decodes (compared whole, parameters included), else bytes."""
    if request.content_type not in TEXT_TYPES:
        return bytes(request.body)
    try:
        return request.body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Refused(400, f"the body is not UTF-8: {error}") from error


def _import_script(folder: Path, module: str) -> Any:
    if not (folder / f"{module}.py").is_file():
        raise ScriptError(f"{folder / module}.py does not exist; SAGEMAKER_PROGRAM names the script in the code folder")
    sys.path.insert(0, str(folder))  # so that the script can import its neighbours
    return importlib.import_module(module)


def _own_hooks(script: Any, module: str) -> dict[str, Callable]:
    own = {name: getattr(script, name) for name in ("input_fn", "predict_fn", "output_fn") if hasattr(script, name)}
    if own and hasattr(script, "transform_fn"):
        raise ScriptError(f"{module}.py has transform_fn and {', '.join(own)}; transform_fn replaces them all")
    return own


def _hooks(own: dict[str, Callable], columns: Columns | None) -> Hooks:
    return Hooks(
        own.get("input_fn", columns.input_fn if columns else default_input_fn),
        own.get("predict_fn", default_predict_fn),
        own.get("output_fn", columns.output_fn if columns else default_output_fn),
        takes_bytes=columns is not None and "input_fn" not in own,
    )


def _read(input_fn: Callable, body: str | bytes, content_type: str) -> Any:
    """Return what input_fn makes of the body. A ValueError without a status of its own means a bad body."""
    try:
        return input_fn(body, content_type)
    except ValueError as error:
        if hasattr(error, "status_code"):
            raise
        raise Refused(400, str(error)) from error
