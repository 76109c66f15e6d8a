"""Hugging Face's image: its inference toolkit's handler, behind Multi Model Server.

Whatever goes wrong with a request is answered 400 in Multi Model Server's JSON, also a fault of the model
(handler_service.py of sagemaker-huggingface-inference-toolkit 2.6).
"""

import csv
import io
import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from toolkit_answers import CSV, JSON, NPY, UTF8_TYPES, Answer, Request, model_server_error
from toolkit_codecs import UnsupportedFormatError, array_to_npy, npy_to_numpy
from toolkit_inference import Context, _model_server_answer
from toolkit_script import ScriptError, needed_package, optional_script, parameters_of, refuse_mixed_hooks
from toolkit_settings import Settings

MIXED = (
    "Cannot use transform_fn implementation in conjunction with input_fn, predict_fn, and/or output_fn implementation"
)
IMAGE_TYPES = tuple(f"image/{kind}" for kind in ("jpeg", "png", "tiff", "bmp", "gif", "webp", "x-image"))
AUDIO_TYPES = ("audio/x-flac", "audio/mpeg", "audio/wave", "audio/ogg", "audio/x-audio")
FEATURE_EXTRACTING = (
    "automatic-speech-recognition", "image-segmentation", "image-classification", "audio-classification",
    "object-detection", "zero-shot-image-classification",
)  # fmt: skip
NO_CSV = ("zero-shot-classification", "table-question-answering")

logger = logging.getLogger("toolkit")


class HuggingFaceHandler:
    """A loaded pipeline or the script's own model, and its hooks."""

    def __init__(self, settings: Settings) -> None:
        script = optional_script(settings)
        refuse_mixed_hooks(script, MIXED)
        self._context = Context(settings.model_dir)
        self._input = self._hook(script, "input_fn", decoded, 2)
        self._predict = self._hook(script, "predict_fn", _piped, 2)
        self._output = self._hook(script, "output_fn", encode, 2)
        self._transform = self._hook(script, "transform_fn", self._chained, 4)
        self._model = self._hook(script, "model_fn", _pipeline, 1)(str(settings.model_dir))

    def answer(self, request: Request) -> Answer:
        self._context._begin(dict(request.headers))
        accept = request.accept(JSON)
        try:
            text = request.content_type in UTF8_TYPES
            body = request.body.decode("utf-8") if text else request.body
            result = self._transform(self._model, body, request.content_type, accept)
        except Exception as error:
            logger.exception("Prediction error")
            return model_server_error(400, str(error))
        return _model_server_answer(self._context.status, result, accept, self._context.response_headers)

    def execution_parameters(self) -> Answer:
        return model_server_error(404, "Requested resource is not found, please refer to API document.")

    def _hook(self, script: ModuleType | None, name: str, default: Callable, arguments: int) -> Callable:
        """Return the script's function, with the context bound to a last parameter of its own, or the default."""
        own = getattr(script, name, None)
        if own is None:
            return default
        count = parameters_of(own)
        if count == arguments:
            return own
        if count == arguments + 1:
            return lambda *given: own(*given, self._context)
        raise ScriptError(f"{name} definition takes {arguments} or {arguments + 1} arguments but {count} were given.")

    def _chained(self, model: Any, body: str | bytes, content_type: str, accept: str) -> Any:
        return self._output(self._predict(self._input(body, content_type), model), accept)


def _pipeline(model_dir: str) -> Any:
    """Load a pipeline for HF_TASK from the model's folder, or from the hub by HF_MODEL_ID. Raises ScriptError."""
    transformers = needed_package("transformers", "Hugging Face", "The default model_fn")
    source = os.environ.get("HF_MODEL_ID") or model_dir
    task = os.environ.get("HF_TASK") or _task_of(Path(model_dir))
    if task is None:
        raise ScriptError(
            "You need to define one of the following "
            f"{list(transformers.pipelines.SUPPORTED_TASKS)} or text-to-image as env 'HF_TASK'."
        )
    part = "feature_extractor" if task in FEATURE_EXTRACTING else "tokenizer"
    options: dict[str, Any] = {part: source}
    for option, variable in (("revision", "HF_MODEL_REVISION"), ("token", "HF_API_TOKEN")):
        if os.environ.get(variable):
            options[option] = os.environ[variable]
    trusted = os.environ.get("HF_TRUST_REMOTE_CODE", "").lower() in ("1", "true", "yes", "on")
    return transformers.pipeline(task=task, model=source, trust_remote_code=trusted, device=-1, **options)


def _task_of(model_dir: Path) -> str | None:
    """Return the task that the architecture in config.json stands for: `BertForSequenceClassification` and the like."""
    config = model_dir / "config.json"
    if not config.exists():
        return None
    known = {
        "ForSequenceClassification": "text-classification",
        "ForTokenClassification": "token-classification",
        "ForQuestionAnswering": "question-answering",
        "ForMaskedLM": "fill-mask",
        "ForCausalLM": "text-generation",
        "LMHeadModel": "text-generation",
        "ForConditionalGeneration": "text2text-generation",
        "ForImageClassification": "image-classification",
    }
    (architecture, *_) = json.loads(config.read_text()).get("architectures") or [""]
    return next((task for ending, task in known.items() if architecture.endswith(ending)), None)


def decoded(body: str | bytes, content_type: str | None) -> Any:
    task = os.environ.get("HF_TASK")
    if task in NO_CSV and content_type == CSV:
        raise ValueError(f"content type {content_type} not support with {task}, use different content_type")
    return decode(body, content_type)


def decode(body: str | bytes, content_type: str | None = JSON) -> Any:
    """Return what a pipeline takes: JSON as it is, CSV by its header, an image or a sound under `inputs`."""
    if content_type == JSON:
        return json.loads(body)
    if content_type == CSV:
        return _from_csv(body)
    if content_type == NPY:
        return npy_to_numpy(body)
    if content_type in IMAGE_TYPES:
        return {
            "inputs": needed_package("PIL.Image", "Hugging Face", "Reading an image")
            .open(io.BytesIO(body))
            .convert("RGB")
        }
    if content_type in AUDIO_TYPES:
        return {"inputs": bytes(body)}
    raise UnsupportedFormatError(content_type)


def _from_csv(text: str) -> dict[str, Any]:
    first = text.splitlines()[0].lower()
    if not any(header in first for header in ("question", "context", "inputs")):
        raise ValueError(
            "You need to provide the correct CSV with Header columns to use it with the inference toolkit default "
            "handler."
        )
    rows = list(csv.DictReader(io.StringIO(text)))
    return {"inputs": [row["inputs"] for row in rows] if "inputs" in rows[0] else rows}


def _piped(data: Any, model: Any) -> Any:
    inputs = data.pop("inputs", data)
    parameters = data.pop("parameters", None) or {}
    return model(inputs, **parameters)


def encode(content: Any, accept: str = JSON) -> str | bytes:
    """Write a pipeline's result."""
    if accept == JSON:
        return json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain)
    if accept == CSV:
        return _to_csv(content)
    if accept == NPY:
        return array_to_npy(content)
    if accept in IMAGE_TYPES:
        stream = io.BytesIO()
        content.save(stream, format="PNG" if accept == "image/x-image" else accept.partition("/")[2].upper())
        return stream.getvalue()
    raise UnsupportedFormatError(accept)


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    if hasattr(value, "isoformat"):
        return str(value)
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


def _to_csv(content: Any) -> str:
    rows = content if isinstance(content, list) else list(content)
    stream = io.StringIO()
    writer = csv.DictWriter(stream, rows[0].keys())
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()
