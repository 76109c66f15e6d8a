"""Script mode of the scikit-learn and XGBoost images: sagemaker-containers' transformer in a Flask application.

Whatever a hook raises becomes Flask's page for 500, an unsupported type too: the toolkit wraps every hook, also its
own defaults, in an error of its own before it looks for UnsupportedFormatError (_functions.py and _transformer.py of
sagemaker-containers 2.8.6). The traceback is in the log.
"""

import json
import logging
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

from toolkit_answers import JSON, UTF8_TYPES, Answer, Request, flask_page
from toolkit_codecs import containers_decode, containers_encode
from toolkit_script import hook, needed_package, refuse_mixed_hooks, required_script
from toolkit_settings import Settings
from toolkit_xgboost import decode_for_script

HTML = "text/html"
#: Types that werkzeug takes for text beside text/*.
TEXTS = ("application/ecmascript", "application/javascript", "application/sql", "application/xml")
MIXED = "Cannot use transform_fn implementation with input_fn, predict_fn, and/or output_fn"
NO_MODEL_FN = (
    "Please provide a model_fn implementation. See documentation for model_fn at "
    "https://github.com/aws/sagemaker-python-sdk"
)

logger = logging.getLogger("toolkit")


class Response:
    """What sagemaker-containers' `worker.Response` is to a script: a body with a type and a status."""

    def __init__(
        self,
        response: Any = None,
        accept: str | None = None,
        status: int = 200,
        headers: Any = None,
        mimetype: str | None = None,
        direct_passthrough: bool = False,
    ) -> None:
        self.response, self.status_code = response, int(status)
        self.headers, self.mimetype = dict(headers or {}), mimetype or JSON


class FlaskApplication:
    """A loaded script."""

    def __init__(self, settings: Settings) -> None:
        script = required_script(settings)
        refuse_mixed_hooks(script, MIXED)
        defaults = XGBOOST if settings.image == "xgboost" else SCIKIT_LEARN
        if settings.image == "xgboost":
            needed_package("xgboost", "XGBoost", "Script mode")
        self._default_accept = settings.default_accept or JSON
        self._transform = getattr(script, "transform_fn", None) or _chain(script, defaults)
        self._parameters = getattr(script, "execution_parameters_fn", None)
        self._model = hook(script, "model_fn", _no_model_fn)(str(settings.model_dir))

    def answer(self, request: Request) -> Answer:
        content_type = request.content_type or JSON
        body = request.body.decode("utf-8", "replace") if content_type in UTF8_TYPES else request.body
        accept = request.accept(self._default_accept)
        return self._guarded(lambda: self._transform(self._model, body, content_type, accept))

    def execution_parameters(self) -> Answer:
        """Answer with the script's `execution_parameters_fn`, if it has one."""
        return self._guarded(self._parameters) if self._parameters else flask_page(404)

    @staticmethod
    def _guarded(work: Callable[[], Any]) -> Answer:
        try:
            return _answer(work())
        except Exception:
            logger.exception("Exception on /invocations [POST]")
            return flask_page(500)


def _chain(script: ModuleType, defaults: tuple[Callable, Callable, Callable]) -> Callable:
    names = ("input_fn", "predict_fn", "output_fn")
    input_fn, predict_fn, output_fn = (hook(script, *pair) for pair in zip(names, defaults, strict=True))

    def transform(model: Any, body: str | bytes, content_type: str, accept: str) -> Any:
        return output_fn(predict_fn(input_fn(body, content_type), model), accept)

    return transform


def _no_model_fn(model_dir: str) -> Any:
    raise NotImplementedError(NO_MODEL_FN)


def _float_input(body: str | bytes, content_type: str) -> Any:
    array = containers_decode(body, content_type)
    return array.astype("float32") if content_type in UTF8_TYPES else array


def _predict(data: Any, model: Any) -> Any:
    return model.predict(data)


def _predict_matrix(data: Any, model: Any) -> Any:
    return model.predict(data, validate_features=False)


def _encoded(prediction: Any, accept: str) -> Response:
    return Response(containers_encode(prediction, accept), mimetype=accept)


SCIKIT_LEARN = (_float_input, _predict, _encoded)
XGBOOST = (decode_for_script, _predict_matrix, _encoded)


def _answer(result: Any) -> Answer:
    """Return what Flask makes of a view's result. Raises TypeError for what it cannot send."""
    if isinstance(result, tuple):  # the toolkit's own form: body and type
        return Answer(200, _body(result[0]), _with_charset(result[1]))
    if isinstance(result, Response):
        return Answer(result.status_code, _body(result.response), _with_charset(result.mimetype), result.headers)
    if hasattr(result, "get_data") and hasattr(result, "status_code"):  # a Response of the real Flask
        return Answer(result.status_code, result.get_data(), result.headers.get("Content-Type"))
    if isinstance(result, dict | list):
        return Answer(200, (json.dumps(result, sort_keys=True, separators=(",", ":")) + "\n").encode(), JSON)
    if isinstance(result, str | bytes | bytearray | Iterator):
        return Answer(200, _body(result), _with_charset(HTML))
    raise TypeError(
        "The view function did not return a valid response. The return type must be a string, dict, list, tuple with "
        f"headers or status, Response instance, or WSGI callable, but it was a {type(result).__name__}."
    )


def _body(value: Any) -> bytes | Iterator[bytes]:
    if value is None:
        return b""
    if isinstance(value, str | bytes | bytearray):
        return _bytes(value)
    if isinstance(value, Iterator):
        return map(_bytes, value)
    return b"".join(map(_bytes, value))


def _bytes(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, bytes | bytearray):
        return bytes(value)
    raise TypeError(f"a response consists of text or bytes, not of {type(value).__name__}")


def _with_charset(mimetype: str | None) -> str:
    """Return the Content-Type that Flask writes: text gets a charset, on which the next container may stumble."""
    mimetype = mimetype or JSON
    is_text = mimetype.startswith("text/") or mimetype.endswith("+xml") or mimetype in TEXTS
    return f"{mimetype}; charset=utf-8" if is_text else mimetype
