"""XGBoost's image: how its matrices are read, and algorithm mode, in which it serves a saved model by itself.

Follows algorithm_mode/serve.py and serve_utils.py of sagemaker-xgboost-container: 204 for an empty body, 415 for one
that cannot be read, 406 for a type that cannot be written, 400 when the prediction fails.
"""

import csv
import json
import logging
import os
import pickle
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from toolkit_answers import CSV, JSON, Answer, Request
from toolkit_codecs import UnsupportedFormatError
from toolkit_script import ScriptError, needed_package
from toolkit_settings import MEBIBYTE, Settings

LIBSVM_TYPES = ("libsvm", "text/libsvm", "text/x-libsvm")
RECORDIO_TYPES = ("recordio-protobuf", "application/x-recordio-protobuf")
PARQUET_TYPES = ("parquet", "application/x-parquet")
ACCEPTED_TYPES = (
    "csv", "libsvm", "parquet", "recordio-protobuf", CSV, "text/libsvm", "text/x-libsvm", "application/x-parquet",
    "application/x-recordio-protobuf",
)  # fmt: skip
WRITTEN_TYPES = (JSON, "application/jsonlines", "application/x-recordio-protobuf", CSV)
RECORDIO_MAGIC = 0xCED7230A
PICKLE = b"\x80"  # how every pickle of protocol 2 and later begins

logger = logging.getLogger("toolkit")


class Booster:
    """A model file of algorithm mode, or several whose predictions are averaged."""

    def __init__(self, settings: Settings) -> None:
        xgboost = needed_package("xgboost", "XGBoost", "Algorithm mode")
        files = sorted(path for path in settings.model_dir.iterdir() if path.is_file())
        if not files:
            raise ScriptError(f"{settings.model_dir} has no model file")
        if os.environ.get("SAGEMAKER_INFERENCE_ENSEMBLE", "true") != "true":
            files = files[:1]
        self._boosters = [_load(xgboost, path) for path in files]
        self._settings = settings

    def answer(self, request: Request) -> Answer:
        if not request.body:
            return Answer(204, b"")
        try:
            matrix = _read(request.body, request.content_type)
        except Exception as error:
            logger.exception("the body cannot be read")
            return _text(415, str(error))
        try:
            predictions = self._predict(matrix)
        except Exception as error:
            logger.exception("the prediction failed")
            return _text(400, f"Unable to evaluate payload provided: {error}")
        accept = request.accept(self._settings.default_accept or CSV).partition(";")[0].strip().lower()
        if accept not in WRITTEN_TYPES:
            return _text(
                406, f"Accept type {accept} is not supported. Please use supported accept types: {list(WRITTEN_TYPES)}."
            )
        return self._written(predictions, accept)

    def execution_parameters(self) -> Answer:
        limits = {
            "MaxConcurrentTransforms": self._settings.workers,
            "BatchStrategy": "MULTI_RECORD",
            "MaxPayloadInMB": self._settings.largest_body // MEBIBYTE,
        }
        return Answer(200, json.dumps(limits).encode(), JSON)

    def _predict(self, matrix: Any) -> list:
        results = []
        for booster, pickled in self._boosters:
            if pickled:
                _check_width(booster, matrix)
            best = getattr(booster, "best_iteration", None)
            rounds = (0, best + 1) if best is not None else (0, 0)
            results.append(booster.predict(matrix, iteration_range=rounds, validate_features=False))
        return (sum(results) / len(results)).tolist()

    def _written(self, predictions: list, accept: str) -> Answer:
        """Write the predictions. In a transform job they come one a line, whatever type is wanted."""
        if self._settings.batch:
            return Answer(200, ("\n".join(map(str, predictions)) + "\n").encode(), "text/csv; charset=utf-8")
        if accept == JSON:
            scores = {"predictions": [{"score": prediction} for prediction in predictions]}
            return Answer(200, json.dumps(scores).encode(), JSON)
        return Answer(200, ",".join(map(str, predictions)).encode(), "text/csv; charset=utf-8")


def _text(status: int, message: str) -> Answer:
    return Answer(status, message.encode(), "text/html; charset=utf-8")


def _load(xgboost: Any, path: Path) -> tuple[Any, bool]:
    """Return the booster and whether it was pickled. Raises what pickle or XGBoost says of a broken file."""
    data = path.read_bytes()
    pickled = data[:1] == PICKLE
    booster = pickle.loads(data) if pickled else xgboost.Booster(model_file=str(path))
    booster.set_param("nthread", 1)
    return booster, pickled


def _check_width(booster: Any, matrix: Any) -> None:
    trained, given = booster.num_features(), matrix.num_col()
    if given not in (trained, trained + 1):
        raise ValueError(
            f"Feature size of inference data {given} is not consistent with feature size of trained model {trained}."
        )


def _read(body: bytes, content_type: str | None) -> Any:
    """Return the body as a DMatrix. Without a type it is LIBSVM. Raises whatever is wrong with it."""
    wanted = (content_type or "libsvm").lower()
    media_type, _, parameters = wanted.partition(";")
    media_type = media_type.strip()
    if wanted in LIBSVM_TYPES:
        return libsvm_to_dmatrix(body.strip())
    if media_type in ("csv", CSV):
        if "label_size" in parameters and parameters.replace(" ", "") != "label_size=1":
            raise ValueError(
                f"{wanted} is not an accepted csv ContentType. Optional parameter label_size must be equal to 1"
            )
        return csv_to_dmatrix(body.strip().decode("utf-8"))
    if wanted in RECORDIO_TYPES:
        return recordio_protobuf_to_dmatrix(body)
    if wanted in PARQUET_TYPES:
        raise ValueError(f"Content-type {content_type} is not supported.")
    raise ValueError(f"{wanted} is not an accepted ContentType: {', '.join(ACCEPTED_TYPES)}.")


def decode_for_script(body: str | bytes, content_type: str) -> Any:
    """Return what script mode's default input_fn does: a DMatrix."""
    data = body.encode() if isinstance(body, str) else body
    media_type = content_type.partition(";")[0].strip()
    if media_type == CSV:
        return csv_to_dmatrix(data.decode())
    if media_type in LIBSVM_TYPES:
        return libsvm_to_dmatrix(data)
    if media_type in RECORDIO_TYPES:
        return recordio_protobuf_to_dmatrix(data)
    raise UnsupportedFormatError(media_type)


def csv_to_dmatrix(text: str | bytes, dtype: Any = None) -> Any:
    """Return CSV as a matrix; the delimiter is guessed from the first line, an empty field is missing."""
    import numpy as np
    import xgboost

    text = text.decode() if isinstance(text, bytes) else text
    lines = text.strip().split("\n")
    guessed = csv.Sniffer().sniff(lines[0][:512]).delimiter
    delimiter = "," if guessed.isalnum() else guessed
    rows = [[value or "nan" for value in line.split(delimiter)] for line in lines]
    return xgboost.DMatrix(np.array(rows).astype(dtype or float))


def libsvm_to_dmatrix(data: bytes | str) -> Any:
    """Return lines of `[label] index:value ...` as a matrix."""
    import numpy as np
    import xgboost
    from scipy.sparse import csr_matrix

    text = data.decode() if isinstance(data, bytes) else data
    rows, columns, values = [], [], []
    for number, line in enumerate(text.strip().split("\n")):
        for item in line.split():
            column, colon, value = item.partition(":")
            if colon:
                rows.append(number)
                columns.append(int(column))
                values.append(float(value))
    return xgboost.DMatrix(csr_matrix((np.array(values), (rows, columns))))


def recordio_protobuf_to_dmatrix(data: bytes) -> Any:
    """Return Amazon's RecordIO-Protobuf records as a matrix, dense or sparse as the first one is."""
    import numpy as np
    import xgboost
    from scipy.sparse import csr_matrix

    tensors = [_features(record) for record in _records(data)]
    if not any(keys for _, keys, _ in tensors):
        return xgboost.DMatrix(np.array([values for values, _, _ in tensors], dtype=float))
    width = max(shape[0] if shape else max(keys, default=-1) + 1 for _, keys, shape in tensors)
    rows = [number for number, (_, keys, _) in enumerate(tensors) for _ in keys]
    columns = [key for _, keys, _ in tensors for key in keys]
    flat = [value for values, _, _ in tensors for value in values]
    return xgboost.DMatrix(csr_matrix((flat, (rows, columns)), shape=(len(tensors), width)))


def _records(data: bytes) -> Iterator[bytes]:
    position = 0
    while position < len(data):
        magic, size = struct.unpack_from("<II", data, position)
        if magic != RECORDIO_MAGIC:
            raise ValueError("Loading recordio-protobuf data failed: a record does not begin with its magic number")
        yield data[position + 8 : position + 8 + size]
        position += 8 + size + -size % 4


def _features(record: bytes) -> tuple[list[float], list[int], list[int]]:
    """Return values, keys and shape of the record's feature `values`: Record.features["values"].*_tensor."""
    for number, entry in _fields(record):
        pair = dict(_fields(entry)) if number == 1 else {}
        if pair.get(1) == b"values":
            ((kind, tensor),) = _fields(pair[2])
            return _tensor(kind, tensor)
    raise ValueError("Loading recordio-protobuf data failed: a record has no feature 'values'")


def _tensor(kind: int, data: bytes) -> tuple[list[float], list[int], list[int]]:
    size = {2: 4, 3: 8}.get(kind)  # float32_tensor, float64_tensor; int32_tensor is 7
    parts: dict[int, list] = {1: [], 2: [], 3: []}
    for number, packed in _fields(data):
        if number != 1 or size is None:
            parts[number] += _varints(packed)
        else:
            parts[1] += struct.unpack(f"<{len(packed) // size}{'f' if size == 4 else 'd'}", packed)
    return parts[1], parts[2], parts[3]


def _fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """Yield number and content of each length-delimited field of a protobuf message, the only kind in a Record."""
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        if tag & 7 != 2:
            raise ValueError("Loading recordio-protobuf data failed: unpacked field")
        size, position = _varint(message, position)
        yield tag >> 3, message[position : position + size]
        position += size


def _varints(packed: bytes) -> Iterator[int]:
    position = 0
    while position < len(packed):
        value, position = _varint(packed, position)
        yield value - 2**64 if value >= 2**63 else value


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        value |= (byte & 127) << shift
        position, shift = position + 1, shift + 7
        if byte < 128:
            return value, position
