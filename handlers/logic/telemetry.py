"""Metrics: CloudWatch units, and the one log line per request from which CloudWatch makes metrics by itself (EMF)."""

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from handlers.contract import metrics

#: Metric -> CloudWatch unit; every metric that is not listed is a Count.
UNITS = {
    metrics.RUN_SECONDS: "Seconds",
    metrics.AGE_SECONDS: "Seconds",
    metrics.DATA_AGE_SECONDS: "Seconds",
    metrics.HANDLER_MILLISECONDS: "Milliseconds",
}


def unit_of(metric: str) -> str:
    return UNITS.get(metric, "Count")


def emf_line(
    counts: Mapping[str, float], *, stage: str, model: str, milliseconds_since_epoch: int, fields: Mapping[str, Any]
) -> str:
    """Return one line of JSON in CloudWatch's embedded metric format; `fields` are searchable, not metrics."""
    values = json.dumps({"Stage": stage, "Model": model, **counts, **fields})
    timestamp = f'{{"_aws": {{"Timestamp": {milliseconds_since_epoch}'
    return f'{timestamp}, "CloudWatchMetrics": {_directives(tuple(counts))}}}, {values[1:]}'


@cache  # the same few sets of metrics again and again
def _directives(names: tuple[str, ...]) -> str:
    """Return JSON that says which members of a line are metrics."""
    return json.dumps(
        [
            {
                "Namespace": metrics.NAMESPACE,
                "Dimensions": [list(metrics.DIMENSIONS)],
                "Metrics": [{"Name": name, "Unit": unit_of(name)} for name in names],
            }
        ]
    )
