"""A short way through scikit-learn's forests for a few rows: the same trees in the same order, to the same bits.

`predict_proba` of a forest hands every tree to joblib, which for one row costs many times what the trees need. Here
the trees are asked in a plain loop and their answers added in scikit-learn's order. Whether this scikit-learn still
adds them so is checked when the model is loaded; if a single bit differs, the forest stays as it is.
"""

import logging
from collections.abc import Callable
from typing import Any

#: Rows up to which the loop is taken. Beyond, scikit-learn's own way costs the same.
FEW_ROWS = 1024
CHECKED_ROWS = 200

logger = logging.getLogger("serving")


def quicken(model: Any) -> bool:
    """Give a forest, or the one at the end of a pipeline, the short way. Return whether it was taken.

    A forest that was trained to use several threads adds in the order in which they end, and stays as it is.
    """
    forest = model.steps[-1][1] if hasattr(model, "steps") else model
    if not _is_forest(forest) or forest.n_jobs not in (None, 1) or forest.n_outputs_ != 1:
        return False
    name = "predict_proba" if hasattr(forest, "classes_") else "predict"
    own = getattr(forest, name)
    short = _loop(forest, own)
    if not _agree(forest, own, short):
        logger.warning("%s keeps its own %s: the loop over its trees differs", type(forest).__name__, name)
        return False
    setattr(forest, name, short)
    logger.info("%s.%s of up to %d rows loops over its trees", type(forest).__name__, name, FEW_ROWS)
    return True


def _is_forest(model: Any) -> bool:
    """Return whether this is a fitted forest of exactly one of scikit-learn's classes; a subclass may do anything."""
    kind = type(model)
    names = ("RandomForestClassifier", "RandomForestRegressor", "ExtraTreesClassifier", "ExtraTreesRegressor")
    return kind.__module__.startswith("sklearn.ensemble.") and kind.__name__ in names and hasattr(model, "estimators_")


def _loop(forest: Any, own: Callable) -> Callable:
    """Return what answers for few plain rows with a loop, and for all else, refusals included, as the forest does."""
    import numpy as np

    trees = [estimator.tree_ for estimator in forest.estimators_]
    columns = getattr(forest, "n_classes_", 1)
    classifies = hasattr(forest, "classes_")

    def predict(X: Any) -> Any:
        if not isinstance(X, np.ndarray) or X.ndim != 2 or not 0 < len(X) <= FEW_ROWS or X.dtype.kind not in "iuf":
            return own(X)
        with np.errstate(over="ignore"):
            rows = np.ascontiguousarray(X, dtype=np.float32)
        if rows.shape[1] != forest.n_features_in_ or not np.isfinite(rows).all():
            return own(X)
        total = np.zeros((len(rows), columns))
        for tree in trees:
            total += tree.predict(rows)
        total /= len(trees)
        return total if classifies else total[:, 0]

    return predict


def _agree(forest: Any, own: Callable, short: Callable) -> bool:
    """Return whether both ways give the same bits, for rows one by one and together, on both sides of many splits."""
    import numpy as np

    rows = rows_at_splits(forest)
    together = short(rows)
    singly = [short(rows[number : number + 1])[0] for number in range(len(rows))]
    return np.array_equal(own(rows), together) and np.array_equal(together, singly)


def rows_at_splits(forest: Any) -> Any:
    """Return rows whose values are thresholds of the forest's own trees (boosted ones too), or just above them."""
    import numpy as np

    random = np.random.default_rng(0)
    rows = np.zeros((CHECKED_ROWS, forest.n_features_in_))
    trees = [estimator.tree_ for estimator in np.ravel(forest.estimators_)]
    feature = np.concatenate([tree.feature for tree in trees])
    threshold = np.concatenate([tree.threshold for tree in trees])
    for column in range(rows.shape[1]):
        splits = threshold[feature == column]
        if len(splits):
            rows[:, column] = random.choice(splits, CHECKED_ROWS)
    above = random.random(rows.shape) < 0.5
    return np.where(above, np.nextafter(rows.astype(np.float32), np.float32(np.inf)), rows)
