"""PyTorch's image: sagemaker-inference's transformer and the PyTorch toolkit's default hooks, behind TorchServe.

Hooks may take the server's context as one more argument. What a hook raises is answered with status 500, or that of
a BaseInferenceToolkitError, and a body of message and traceback (transformer.py of sagemaker-inference 1.10).
"""

import json
import logging
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from toolkit_answers import CSV, JSON, UTF8_TYPES, Answer, Request, model_server_error
from toolkit_codecs import UnsupportedFormatError, inference_decode, inference_encode
from toolkit_script import hook, needed_package, optional_script, parameters_of, refuse_mixed_hooks
from toolkit_settings import Settings

MIXED = (
    "Cannot use transform_fn implementation in conjunction with input_fn, predict_fn, and/or output_fn implementation"
)
WRITTEN_TYPES = ("application/x-npy", CSV, JSON)

logger = logging.getLogger("toolkit")


class Context:
    """What the model server tells a hook that asks for it: the model's folder, the request's headers."""

    def __init__(self, model_dir: Path) -> None:
        self.model_name = "model"
        self.manifest: dict[str, Any] = {}
        self.system_properties = {"model_dir": str(model_dir), "gpu_id": None, "batch_size": 1}
        self._begin({})

    def _begin(self, headers: dict[str, str]) -> None:
        self._headers = headers
        self.status, self.content_type, self.response_headers = 200, None, {}
        self.request_processor = [self]

    def get_request_properties(self) -> dict[str, str]:
        return self._headers

    def get_all_request_header(self, idx: int = 0) -> dict[str, str]:
        return self._headers

    def get_request_header(self, idx: int = 0, key: str = "") -> str | None:
        return self._headers.get(key) or self._headers.get(key.lower())

    def set_response_content_type(self, idx: int, value: str) -> None:
        self.content_type = value

    def set_response_status(self, code: int = 200, phrase: str = "", idx: int = 0) -> None:
        self.status = code

    def set_response_header(self, idx: int, key: str, value: str) -> None:
        self.response_headers[key] = value


class InferenceToolkit:
    """A loaded model and its hooks, the image's own where the script has none."""

    def __init__(self, settings: Settings) -> None:
        script = optional_script(settings)
        refuse_mixed_hooks(script, MIXED)
        self._default_accept = settings.default_accept or JSON
        self._context = Context(settings.model_dir)
        self._script = script
        self._transform = getattr(script, "transform_fn", None) or self._chain(script)
        model_dir = str(settings.model_dir)
        if before := getattr(script, "pre_model_fn", None):
            self._call(before, model_dir)
        self._model = self._call(hook(script, "model_fn", _torchscript), model_dir)
        if warm_up := getattr(script, "model_warmup_fn", None):
            self._call(warm_up, model_dir, self._model)

    def answer(self, request: Request) -> Answer:
        self._context._begin(dict(request.headers))
        try:
            body, content_type = self._answered(request)
        except Exception as error:
            logger.exception("the model failed on this request")
            return _failed(error)
        status = self._context.status
        return _model_server_answer(status, body, content_type, self._context.response_headers)

    def execution_parameters(self) -> Answer:
        return model_server_error(404, "Requested resource is not found, please refer to API document.")

    def _answered(self, request: Request) -> tuple[Any, str]:
        content_type, accept = request.content_type, request.accept(self._default_accept)
        body = request.body.decode("utf-8") if content_type in UTF8_TYPES else request.body
        result = self._call(self._transform, self._model, body, content_type, accept)
        if isinstance(result, tuple):
            return result[0], result[1]
        return result, accept

    def _chain(self, script: ModuleType | None) -> Callable:
        input_fn = hook(script, "input_fn", _tensor_input)
        predict_fn = hook(script, "predict_fn", _tensor_predict)
        output_fn = hook(script, "output_fn", _tensor_output)
        for step in (input_fn, predict_fn):
            if step in (_tensor_input, _tensor_predict):
                needed_package("torch", "PyTorch", f"The default {step.__name__.removeprefix('_tensor_')}_fn")

        def transform(model: Any, body: str | bytes, content_type: str, accept: str) -> Any:
            data = self._call(input_fn, body, content_type)
            return self._call(output_fn, self._call(predict_fn, data, model), accept)

        return transform

    def _call(self, function: Callable, *arguments: Any) -> Any:
        """Call a hook, with the context if it has one parameter more."""
        count = parameters_of(function)
        if count == len(arguments):
            return function(*arguments)
        if count == len(arguments) + 1:
            return function(*arguments, self._context)
        raise TypeError(f"{function.__name__} takes {count} arguments but {len(arguments)} were given.")


def _failed(error: Exception) -> Answer:
    chosen = any(kind.__name__ == "BaseInferenceToolkitError" for kind in type(error).__mro__)
    status, message = (error.status_code, error.message) if chosen else (500, str(error) or "Invalid Request")
    return Answer(status, f"{message}\n{traceback.format_exc()}".encode())


def _model_server_answer(status: int, body: Any, content_type: str, headers: dict[str, str]) -> Answer:
    """Return what TorchServe and Multi Model Server make of a result: anything but text and bytes becomes JSON."""
    if isinstance(body, str):
        body = body.encode()
    if not isinstance(body, bytes | bytearray):
        try:
            body = json.dumps(body, indent=2).encode()
        except TypeError:
            logger.exception("Unable to serialize model output.")
            return model_server_error(503, "Unsupported model output data type.")
    return Answer(status, bytes(body), content_type, headers)


def _torch(what: str) -> Any:
    return needed_package("torch", "PyTorch", what)


def _torchscript(model_dir: str) -> Any:
    torch = _torch("The default model_fn")
    path = Path(model_dir) / "model.pt"
    if not path.exists():
        files = [file.name for file in sorted(Path(model_dir).iterdir()) if file.suffix in (".pt", ".pth")]
        if len(files) != 1:
            raise ValueError(f"Exactly one .pth or .pt file is required for PyTorch models: {files}")
        path = Path(model_dir) / files[0]
    try:
        return torch.jit.load(str(path), map_location=_device(torch))
    except RuntimeError as error:
        raise RuntimeError(f"Failed to load {path}. Please ensure model is saved using torchscript.") from error


def _device(torch: Any) -> Any:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _tensor_input(body: str | bytes, content_type: str) -> Any:
    torch = _torch("The default input_fn")
    array = inference_decode(body, content_type)
    tensor = torch.FloatTensor(array) if content_type in UTF8_TYPES else torch.from_numpy(array)
    return tensor.to(_device(torch))


def _tensor_predict(data: Any, model: Any) -> Any:
    torch = _torch("The default predict_fn")
    with torch.no_grad():
        model = model.to(_device(torch))
        model.eval()
        return model(data.to(_device(torch)))


def _tensor_output(prediction: Any, accept: str) -> str | bytes:
    """Write the first type of a list that can be written."""
    if hasattr(prediction, "detach"):
        prediction = prediction.detach().cpu().numpy().tolist()
    for wanted in accept.replace(" ", "").split(","):
        if wanted in WRITTEN_TYPES:
            return inference_encode(prediction, wanted)
    raise UnsupportedFormatError(accept)
