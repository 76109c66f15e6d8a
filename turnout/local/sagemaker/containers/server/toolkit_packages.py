"""The toolkits' own packages, as far as scripts import them, for interpreters in which they are not installed.

A script may say `from sagemaker_containers.beta.framework import encoders, worker`. What is not here fails with
Python's own ImportError or AttributeError. An installed package wins.
"""

import importlib.util
import sys
from types import ModuleType

import toolkit_answers
import toolkit_codecs
import toolkit_flask
import toolkit_huggingface
import toolkit_xgboost


class BaseInferenceToolkitError(Exception):
    """A script's way of choosing the status of an answer, in the PyTorch image."""

    def __init__(self, status_code: int, message: str, phrase: str) -> None:
        self.status_code, self.message, self.phrase = status_code, message, phrase
        super().__init__(status_code, message, phrase)


class GenericInferenceToolkitError(BaseInferenceToolkitError):
    def __init__(self, status_code: int, message: str | None = None, phrase: str | None = None) -> None:
        message = message or "Invalid Request"
        super().__init__(status_code, message, phrase or message)


TYPES = {
    "JSON": toolkit_answers.JSON,
    "CSV": toolkit_answers.CSV,
    "NPY": toolkit_answers.NPY,
    "ANY": toolkit_answers.ANY,
    "OCTET_STREAM": "application/octet-stream",
    "UTF8_TYPES": list(toolkit_answers.UTF8_TYPES),
}
CODECS = {
    name: getattr(toolkit_codecs, name)
    for name in ("array_to_npy", "npy_to_numpy", "array_to_json", "json_to_numpy", "array_to_csv", "csv_to_numpy")
}
MATRICES = {
    name: getattr(toolkit_xgboost, name)
    for name in ("csv_to_dmatrix", "libsvm_to_dmatrix", "recordio_protobuf_to_dmatrix")
}
#: Modules by their dotted names; each name's parents come into being with it.
MODULES = {
    "sagemaker_containers.beta.framework.content_types": TYPES,
    "sagemaker_containers.beta.framework.encoders": {
        **CODECS,
        "decode": toolkit_codecs.containers_decode,
        "encode": toolkit_codecs.containers_encode,
    },
    "sagemaker_containers.beta.framework.errors": {"UnsupportedFormatError": toolkit_codecs.UnsupportedFormatError},
    "sagemaker_containers.beta.framework.worker": {"Response": toolkit_flask.Response},
    "sagemaker_containers.beta.framework.env": {},
    "sagemaker_containers.beta.framework.modules": {},
    "sagemaker_containers.beta.framework.transformer": {},
    "sagemaker_inference.content_types": TYPES,
    "sagemaker_inference.decoder": {"decode": toolkit_codecs.inference_decode},
    "sagemaker_inference.encoder": {"encode": toolkit_codecs.inference_encode},
    "sagemaker_inference.errors": {
        "UnsupportedFormatError": toolkit_codecs.UnsupportedFormatError,
        "BaseInferenceToolkitError": BaseInferenceToolkitError,
        "GenericInferenceToolkitError": GenericInferenceToolkitError,
    },
    "sagemaker_xgboost_container.encoder": {**MATRICES, "decode": toolkit_xgboost.decode_for_script},
    "sagemaker_huggingface_inference_toolkit.content_types": TYPES,
    "sagemaker_huggingface_inference_toolkit.decoder_encoder": {
        "decode": toolkit_huggingface.decode,
        "encode": toolkit_huggingface.encode,
    },
}


def offer() -> None:
    """Make the modules importable. Call before the script is imported."""
    absent = {
        name for name in {dotted.partition(".")[0] for dotted in MODULES} if importlib.util.find_spec(name) is None
    }
    for dotted, contents in MODULES.items():
        if dotted.partition(".")[0] in absent:
            vars(_module(dotted)).update(contents)


def _module(dotted: str) -> ModuleType:
    if dotted not in sys.modules:
        module = sys.modules[dotted] = ModuleType(dotted)
        module.__path__ = []
        parent, _, name = dotted.rpartition(".")
        if parent:
            setattr(_module(parent), name, module)
    return sys.modules[dotted]
