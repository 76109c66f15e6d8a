"""A short way through a model that was also exported to ONNX (export_onnx.py): small requests only, and only opted in.

Opted in is whoever puts `model.onnx` and what its check wrote, `model.onnx.json`, beside the model. When the model is
loaded, both are asked for the recorded rows; if they differ by more than the recorded tolerance, or onnxruntime is
missing, the log says so and the model answers by itself. onnxruntime is imported in no other case.
"""

import importlib.util
import json
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

ONNX = "model.onnx"
RECEIPT = "model.onnx.json"
#: Rows up to which ONNX answers. Beyond, scikit-learn takes large batches at the same price or less, to the last bit.
FEW_ROWS = 1024

logger = logging.getLogger("serving")


@dataclass(frozen=True)
class Receipt:
    """What the export found out: the kind of numbers that the ONNX model takes, and how far it may be trusted.

    Predictions differed from the model's by at most `difference` over `rows` rows, relative to values above 1; up to
    `tolerance` is accepted. `row_by_row` is whether each row alone got the same bits as among others. `sample` are some
    of the rows, which are asked again wherever the model is loaded.
    """

    dtype: str
    tolerance: float
    difference: float
    rows: int
    row_by_row: bool
    sample: list[list[float]] = field(repr=False)

    @classmethod
    def read(cls, folder: Path) -> Self:
        return cls(**json.loads((folder / RECEIPT).read_text()))

    def write(self, folder: Path) -> None:
        (folder / RECEIPT).write_text(json.dumps(asdict(self)) + "\n")


def quicken(model: Any, folder: Path, row_by_row: bool) -> bool:
    """Let ONNX answer small requests for the model, if the folder holds its export. Return whether that is so.

    `row_by_row` is what the script promises, and what the export has to keep then.
    """
    if not (folder / ONNX).is_file() or not (folder / RECEIPT).is_file():
        return False
    reason = _take(model, folder, row_by_row)
    if reason:
        logger.warning("%s is not used: %s", ONNX, reason)
    return not reason


def _take(model: Any, folder: Path, row_by_row: bool) -> str | None:
    """Give the model the short way. Return why not, if not."""
    import numpy as np

    if importlib.util.find_spec("onnxruntime") is None:
        return "there is no onnxruntime; it belongs into the image"
    receipt = Receipt.read(folder)
    if row_by_row and not receipt.row_by_row:
        return "the script says ROW_BY_ROW, but it answers a row alone with other bits than among others"
    name = answering(model)
    own = getattr(model, name)
    try:
        run = session((folder / ONNX).read_bytes(), receipt.dtype)
    except Exception as error:  # noqa: BLE001 its exceptions have no common class, and the model can answer by itself
        return f"onnxruntime cannot load it: {error}"
    sample = np.array(receipt.sample)
    found = difference(own(sample), run(sample))
    if not found <= receipt.tolerance:
        return f"predictions differ from the model's by {found:.2g}, more than {receipt.tolerance:.2g}; export it again"
    setattr(model, name, _short(own, run, sample.shape[1]))
    logger.info("%s of up to %d rows asks %s (within %.2g)", name, FEW_ROWS, ONNX, receipt.tolerance)
    return None


def answering(model: Any) -> str:
    """Return the method that ONNX stands in for: a classifier's predict_proba, a regressor's predict."""
    return "predict_proba" if hasattr(model, "predict_proba") else "predict"


def session(exported: bytes, dtype: str) -> Callable:
    """Return what answers rows of shape (n, features) as float64. It uses one thread, because requests share cores."""
    import numpy as np
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    loaded = onnxruntime.InferenceSession(exported, options, providers=["CPUExecutionProvider"])
    given, wanted = loaded.get_inputs()[0].name, [loaded.get_outputs()[-1].name]
    single = len(loaded.get_outputs()) == 1  # a regressor's answer is one column, a classifier's comes after its labels

    def run(rows: Any) -> Any:
        [answer] = loaded.run(wanted, {given: np.ascontiguousarray(rows, dtype)})
        return (answer[:, 0] if single and answer.shape[1] == 1 else answer).astype(np.float64)

    return run


def difference(expected: Any, found: Any) -> float:
    """Return the largest difference between predictions, relative to values above 1; infinite if shapes differ."""
    import numpy as np

    if np.shape(expected) != np.shape(found):
        return float("inf")
    return float(np.max(np.abs(expected - found) / np.maximum(1, np.abs(expected)), initial=0))


def _short(own: Callable, run: Callable, features: int) -> Callable:
    """Return what answers few plain rows with ONNX, and all else, refusals included, as the model does."""
    import numpy as np

    def predict(X: Any) -> Any:
        if not isinstance(X, np.ndarray) or X.dtype.kind not in "iuf" or X.ndim != 2 or X.shape[1] != features:
            return own(X)
        if not 0 < len(X) <= FEW_ROWS or not np.isfinite(X).all():
            return own(X)
        return run(X)

    return predict
