"""Encoders and decoders of the images' default hooks. Each set keeps the oddities of its toolkit.

`containers_*` are those of sagemaker-containers (scikit-learn and XGBoost scripts), `inference_*` those of
sagemaker-inference (PyTorch). numpy is imported in the functions: a model whose hooks are all its own may run
without. Unlike the toolkits' own, none of them reads pickled arrays.
"""

import csv
import io
import json
from typing import Any

from toolkit_answers import CSV, JSON, NPY


class UnsupportedFormatError(Exception):
    """A type that the default hooks neither read nor write."""

    def __init__(self, content_type: str | None) -> None:
        self.message = (
            f"Content type {content_type} is not supported by this framework.\n\n"
            "Please implement input_fn to to deserialize the request data or an output_fn to\n"
            "serialize the response. For more information, see the SageMaker Python SDK README."
        )
        super().__init__(self.message)


def containers_decode(data: Any, content_type: str | None) -> Any:
    """Return an array. CSV of one row or column has one dimension, and is text when it is not all numbers."""
    return _choose({JSON: json_to_numpy, CSV: csv_to_numpy, NPY: npy_to_numpy}, content_type)(data)


def containers_encode(value: Any, accept: str | None) -> str | bytes:
    return _choose({JSON: array_to_json, CSV: array_to_csv, NPY: array_to_npy}, accept)(value)


def inference_decode(data: Any, content_type: str | None) -> Any:
    """Return an array. What is no number in CSV becomes NaN."""
    return _choose({JSON: json_to_numpy, CSV: _csv_by_genfromtxt, NPY: npy_to_numpy}, content_type)(data)


def inference_encode(value: Any, accept: str | None) -> str | bytes:
    return _choose({JSON: array_to_json, CSV: _csv_by_savetxt, NPY: array_to_npy}, accept)(value)


def _choose(codecs: dict[str, Any], content_type: str | None) -> Any:
    if content_type not in codecs:
        raise UnsupportedFormatError(content_type)
    return codecs[content_type]


def json_to_numpy(text: str | bytes, dtype: Any = None) -> Any:
    import numpy as np

    return np.array(json.loads(text), dtype=dtype)


def csv_to_numpy(text: str, dtype: Any = None) -> Any:
    """Return the rows as numbers; without a dtype, as text when some value is no number. Raises ValueError."""
    import numpy as np

    try:
        rows = list(csv.reader(io.StringIO(text), strict=True))
    except csv.Error as error:
        raise ValueError(f"Error while decoding csv: {error}") from error
    array = np.array(rows).squeeze()
    try:
        return array.astype(dtype)
    except ValueError as error:
        if dtype is None:
            return array
        raise ValueError(f"Error while writing numpy array: {error}. dtype is: {dtype}") from error


def npy_to_numpy(data: bytes) -> Any:
    import numpy as np

    return np.load(io.BytesIO(data), allow_pickle=False)


def array_to_npy(value: Any) -> bytes:
    import numpy as np

    stream = io.BytesIO()
    np.save(stream, value)
    return stream.getvalue()


def array_to_json(value: Any) -> str:
    return json.dumps(value, default=_listed)


def _listed(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    return json.JSONEncoder().default(value)


def array_to_csv(value: Any) -> str:
    import numpy as np

    array = np.array(value)
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n", strict=True).writerows(array.reshape(-1, 1) if array.ndim == 1 else array)
    return stream.getvalue()


def _csv_by_genfromtxt(text: str) -> Any:
    import numpy as np

    return np.genfromtxt(io.StringIO(text), delimiter=",", dtype=None)


def _csv_by_savetxt(value: Any) -> str:
    import numpy as np

    stream = io.StringIO()
    np.savetxt(stream, value, delimiter=",", fmt="%s")
    return stream.getvalue()
