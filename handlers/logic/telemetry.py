"""Metrics: CloudWatch units, and the one log line per request from which CloudWatch makes metrics by itself (EMF)."""

import json
from collections.abc import Mapping
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
    line = {
        "_aws": {
            "Timestamp": milliseconds_since_epoch,
            "CloudWatchMetrics": [
                {
                    "Namespace": metrics.NAMESPACE,
                    "Dimensions": [list(metrics.DIMENSIONS)],
                    "Metrics": [{"Name": name, "Unit": unit_of(name)} for name in counts],
                }
            ],
        },
        "Stage": stage,
        "Model": model,
        **counts,
        **fields,
    }
    return json.dumps(line)
