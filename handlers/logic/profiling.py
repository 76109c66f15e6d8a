"""Predictions of one shard to their profile: whole columns with Arrow, one by one only what has a structure."""

import json
from collections import Counter
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import pyarrow.compute as pc

from handlers.logic.profiles import POINTS, Numbers, Profile, frequent, shortened
from handlers.logic.results import prediction_column

TYPES = {int: "number", float: "number", bool: "boolean", str: "text", list: "list", dict: "object", type(None): "null"}
LABELS, STRUCTURED = {str, bool}, {list, dict}
#: Characters of a prediction or a label that profiles keep.
SHOWN = 60


def profile_of(predictions: Sequence[Any]) -> Profile:
    """Return the profile of a shard's predictions."""
    kinds = Counter(map(type, predictions))
    numbers = _numbers(_of(predictions, kinds, {int, float}))
    labels = Counter(map(_label, _of(predictions, kinds, LABELS)))
    kept = frequent(labels)
    types = Counter()
    for kind, rows in kinds.items():
        types[TYPES[kind]] += rows
    return Profile(
        rows=len(predictions),
        nulls=sum(map(_holds_null, _of(predictions, kinds, {*STRUCTURED, type(None)}))),
        types=dict(sorted(types.items())),
        only=_only(predictions, numbers) if len(types) == 1 else None,
        numbers=numbers,
        labels=kept,
        other_labels=labels.total() - sum(kept.values()),
    )


def _of(predictions: Sequence[Any], kinds: Counter[type], wanted: set[type]) -> Sequence[Any]:
    """Return the predictions of some types; all of them as they are, where there are no others."""
    if kinds.keys() <= wanted:
        return predictions
    return [value for value in predictions if type(value) in wanted] if kinds.keys() & wanted else ()


def _numbers(values: Sequence[int | float]) -> Numbers | None:
    if not len(values):
        return None
    column = prediction_column(list(values))
    extremes = pc.min_max(column).as_py()
    scale = max(abs(extremes["min"]), abs(extremes["max"])) or 1.0  # sums of very large numbers would be infinite
    scaled = pc.divide(column, scale)
    ranks = [(number + 0.5) / POINTS for number in range(POINTS)]
    is_small = len(values) <= POINTS
    points = sorted(column.to_pylist()) if is_small else pc.quantile(column, ranks, interpolation="lower").to_pylist()
    return Numbers(
        rows=len(values),
        mean=pc.mean(scaled).as_py() * scale,
        deviation=pc.stddev(scaled).as_py() * scale,
        smallest=extremes["min"],
        largest=extremes["max"],
        whole=pc.all(pc.equal(pc.floor(column), column)).as_py(),
        points=list(map(shortened, points)),
    )


def _label(value: str | bool) -> str:
    return value[:SHOWN] if isinstance(value, str) else json.dumps(value)


def _only(predictions: Sequence[Any], numbers: Numbers | None) -> str | None:
    """Return the prediction as text, if all of one type are the same."""
    if numbers is not None:
        return repr(numbers.smallest + 0.0) if numbers.smallest == numbers.largest else None  # -0.0 is 0.0
    first = predictions[0]
    if any(value != first for value in predictions):
        return None
    text = json.dumps(first, sort_keys=True)
    # To Python [0] and [false] are the same.
    if isinstance(first, list | dict) and any(json.dumps(value, sort_keys=True) != text for value in predictions):
        return None
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}… {blake2b(text.encode(), digest_size=8).hexdigest()}"


def _holds_null(value: Any) -> bool:
    """Say whether a prediction is null or has one inside, however deep."""
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if value is None:
            return True
        if isinstance(value, list):
            waiting += value
        elif isinstance(value, dict):
            waiting += value.values()
    return False
