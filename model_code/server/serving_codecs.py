"""What the prebuilt scikit-learn container does for a script that brings no input_fn, predict_fn or output_fn.

Oddities are kept on purpose: what fails on AWS has to fail here. Text is turned into float32, and CSV of one
row (or one column) becomes a one-dimensional array. Where pyarrow is installed, large CSV and long predictions take a
faster way to the same bits and the same text.

numpy is imported in the functions, because a script with hooks of its own may run without it.
"""

import csv
import io
import json
from typing import Any

from serving_columns import LARGE_TEXT, NotColumnar, csv_matrix, numbers_as_text

JSON = "application/json"
CSV = "text/csv"
NPY = "application/x-npy"
#: Types whose bodies reach the script as text; all others arrive as bytes, JSON Lines included.
TEXT_TYPES = (JSON, CSV)


class UnsupportedContentType(ValueError):
    """The default input_fn cannot read the request's type."""

    status_code = 415


class UnsupportedAccept(ValueError):
    """The default output_fn cannot write the asked-for type."""

    status_code = 406


def default_input_fn(body: str | bytes, content_type: str) -> Any:
    """Return an array read from JSON, CSV (both as float32) or npy. Raises UnsupportedContentType or ValueError."""
    decode = {JSON: _from_json, CSV: _from_csv, NPY: _from_npy}.get(content_type)
    if decode is None:
        raise UnsupportedContentType(f"{content_type} is not among {JSON}, {CSV}, {NPY}")
    return decode(body)


def default_predict_fn(data: Any, model: Any) -> Any:
    """Return `model.predict(data)`."""
    return model.predict(data)


def default_output_fn(prediction: Any, accept: str) -> tuple[str | bytes, str]:
    """Return the prediction as JSON, CSV or npy. Raises UnsupportedAccept."""
    encode = {JSON: _to_json, CSV: _to_csv, NPY: _to_npy}.get(accept)
    if encode is None:
        raise UnsupportedAccept(f"{accept} is not among {JSON}, {CSV}, {NPY}")
    return encode(prediction), accept


def _from_json(text: str) -> Any:
    import numpy as np

    try:
        document = json.loads(text)
    except RecursionError as error:
        raise ValueError("the JSON is nested too deeply") from error
    return np.array(document).astype(np.float32)


def _from_csv(text: str) -> Any:
    import numpy as np

    if len(text) >= LARGE_TEXT:
        try:
            return csv_matrix(text.encode(), np.float32).squeeze()
        except NotColumnar:
            pass  # what follows reads it, or says what is wrong
    try:
        rows = list(csv.reader(io.StringIO(text), strict=True))
    except csv.Error as error:
        raise ValueError(f"not CSV: {error}") from error
    return np.array(rows).squeeze().astype(np.float32)


def _from_npy(body: bytes) -> Any:
    import numpy as np

    return np.load(io.BytesIO(body), allow_pickle=False)


def _to_json(prediction: Any) -> str:
    import numpy as np

    if _is_long(prediction) and np.isfinite(prediction).all():
        return f"[{numbers_as_text(prediction, '', ', ')}]"
    return json.dumps(prediction, default=lambda value: value.tolist())


def _to_csv(prediction: Any) -> str:
    import numpy as np

    if _is_long(prediction):
        return numbers_as_text(prediction, "", "\n") + "\n"
    array = np.array(prediction)
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows(array.reshape(-1, 1) if array.ndim == 1 else array)
    return stream.getvalue()


def _is_long(prediction: Any) -> bool:
    """Return whether this is a list of numbers that the fast way writes exactly as the plain way does."""
    import numpy as np

    return (
        isinstance(prediction, np.ndarray)
        and prediction.ndim == 1
        and len(prediction) > 0
        and prediction.dtype in (np.float64, np.int64)
    )


def _to_npy(prediction: Any) -> bytes:
    import numpy as np

    stream = io.BytesIO()
    np.save(stream, prediction, allow_pickle=False)
    return stream.getvalue()
