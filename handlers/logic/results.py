"""Results of one shard as Parquet: key under its own name and type, prediction, `scored_at`, `model_version`."""

import io
import json
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from handlers.contract.card import KeyType, ModelCard
from handlers.logic.moments import parse_moment

KEY_TYPES: dict[KeyType, pa.DataType] = {"string": pa.string(), "integer": pa.int64()}


def results_table(
    card: ModelCard, rows: list[tuple[Any, Any]], *, key_type: KeyType, scored_at: str, model_version: str
) -> pa.Table:
    """Return a table of (key, prediction) rows.

    `scored_at` is timestamp[us, UTC], the same in every row of a run. The prediction column is double when
    every prediction is a number, boolean or string when every one is that, and JSON text otherwise.
    """
    count = len(rows)
    moment = pa.scalar(parse_moment(scored_at), pa.timestamp("us", tz="UTC"))
    columns = {
        card.key: pa.array([key for key, _ in rows], KEY_TYPES[key_type]),
        card.prediction: prediction_column([prediction for _, prediction in rows]),
        "scored_at": pa.repeat(moment, count),
        "model_version": pa.repeat(model_version, count),
    }
    return pa.Table.from_arrays(list(columns.values()), names=list(columns))


def prediction_column(predictions: list[Any]) -> pa.Array:
    kinds = set(map(type, predictions))
    if kinds == {float}:
        return pa.array(predictions, pa.float64())
    if kinds <= {int, float}:
        return pa.array([float(prediction) for prediction in predictions], pa.float64())
    if kinds == {bool}:
        return pa.array(predictions, pa.bool_())
    if kinds == {str}:
        return pa.array(predictions, pa.string())
    return pa.array([json.dumps(prediction) for prediction in predictions], pa.string())


def to_parquet(table: pa.Table) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out)
    return out.getvalue()
