"""Export a scikit-learn model to ONNX beside it if both predict the same: for the build, not for the container.

    python model_code/server/export_onnx.py model_code/churn rows.npy [--tolerance 1e-5]

The folder holds `inference.py` and, below `artifact/`, what its model_fn loads. The rows (CSV without header, JSON
Lines or npy) are some that the model will meet, in its own order of features: there, and at the thresholds of forests,
the export is compared with the model. If predictions differ by more than the tolerance, nothing is exported, an earlier
export is removed and the exit status is 1: the model serves as it is.

Needs skl2onnx and onnxruntime here, and onnxruntime in the image. A script for training may call `export` itself.
"""

import argparse
import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
from serving_columns import Columns
from serving_forest import rows_at_splits
from serving_onnx import ONNX, RECEIPT, Receipt, answering, difference, session
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType

TOLERANCE = 1e-5
#: Rows that are compared, and those of them that the container compares again at each start.
MOST_ROWS = 2000
SAMPLE_ROWS = 50
#: The more exact kind first. Forests compare in float32, so that float64 fails their check; linear models like float64.
KINDS = {"float64": DoubleTensorType, "float32": FloatTensorType}
#: What onnxruntime's tree operators are known in, doubles included.
OPSETS = {"": 18, "ai.onnx.ml": 3}
TYPES = {".csv": "text/csv", ".jsonl": "application/jsonlines", ".npy": "application/x-npy"}


class NotExported(Exception):
    """The model cannot be exported, or its export does not predict what it does; the message says why for each kind."""


def export(model: Any, rows: np.ndarray, folder: Path, tolerance: float = TOLERANCE) -> Receipt:
    """Write the model as ONNX into the folder that holds it. Raises NotExported, leaving no export behind.

    `rows` of shape (n, features) are what predictions are compared at; see `difference` for what is compared.
    """
    for name in (ONNX, RECEIPT):
        (folder / name).unlink(missing_ok=True)
    rows = _compared(model, rows)
    expected = getattr(model, answering(model))(rows)
    reasons = []
    for dtype in KINDS:
        try:
            exported, together, alone = _asked(model, dtype, rows)
            found = _within(expected, together, tolerance)
        except NotExported as reason:
            reasons.append(f"{dtype}: {reason}")
            continue
        (folder / ONNX).write_bytes(exported)
        sample = rows[:: -(-len(rows) // SAMPLE_ROWS)].tolist()
        receipt = Receipt(dtype, tolerance, found, len(rows), together.tobytes() == alone.tobytes(), sample)
        receipt.write(folder)
        return receipt
    raise NotExported("; ".join(reasons))


def _compared(model: Any, rows: np.ndarray) -> np.ndarray:
    """Return the rows to compare at: those given and, where the model is made of trees, some on its own splits."""
    rows = np.asarray(rows, np.float64)[:MOST_ROWS]
    trees = np.ravel(getattr(model, "estimators_", []))
    return np.concatenate([rows, rows_at_splits(model)]) if len(trees) and hasattr(trees[0], "tree_") else rows


def _asked(model: Any, dtype: str, rows: np.ndarray) -> tuple[bytes, np.ndarray, np.ndarray]:
    """Return the export and its predictions for the rows together and one by one. Raises NotExported."""
    options = {id(model): {"zipmap": False}} if hasattr(model, "classes_") else None
    types = [("rows", KINDS[dtype]([None, rows.shape[1]]))]
    try:
        exported = convert_sklearn(model, initial_types=types, options=options, target_opset=OPSETS).SerializeToString()
        run = session(exported, dtype)
        return exported, run(rows), np.concatenate([run(rows[number : number + 1]) for number in range(len(rows))])
    except Exception as error:
        raise NotExported(f"{type(error).__name__}: {str(error).splitlines()[0]}") from error


def _within(expected: np.ndarray, found: np.ndarray, tolerance: float) -> float:
    """Return by how much predictions differ. Raises NotExported if that is too much."""
    apart = difference(expected, found)
    if not apart <= tolerance:
        raise NotExported(f"predictions differ by {apart:.2g}, more than {tolerance:.2g}")
    return apart


def _load(folder: Path) -> Any:
    sys.path.insert(0, str(folder))
    return importlib.import_module("inference").model_fn(str(folder / "artifact"))


def main() -> int:
    parser = argparse.ArgumentParser(description="Export a model to ONNX, if both give the same predictions.")
    parser.add_argument("folder", type=Path, help="the model's code folder, with artifact/ below it")
    parser.add_argument("rows", type=Path, help=f"rows to compare predictions at: {', '.join(TYPES)}")
    parser.add_argument("--tolerance", type=float, default=TOLERANCE, help="largest difference (default: %(default)s)")
    options = parser.parse_args()
    rows = Columns().input_fn(options.rows.read_bytes(), TYPES[options.rows.suffix])
    try:
        receipt = export(_load(options.folder), rows, options.folder / "artifact", options.tolerance)
    except NotExported as error:
        print(f"Not exported, the model serves as it is: {error}", file=sys.stderr)
        return 1
    print(
        f"Wrote {options.folder / 'artifact' / ONNX}: {receipt.dtype}, predictions within {receipt.difference:.2g} "
        f"of the model's at {receipt.rows:,} rows"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
