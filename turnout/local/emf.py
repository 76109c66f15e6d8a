"""CloudWatch embedded metric format: metrics that a Lambda function writes as JSON lines to its log."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Datum:
    """One metric with one set of dimensions. `timestamp` is epoch seconds."""

    namespace: str
    name: str
    dimensions: dict[str, str]
    unit: str
    values: list[float]
    timestamp: float


def metrics_of(log_text: str) -> Iterator[Datum]:
    """Yield the metrics of every line that is an EMF document; other lines, and documents without sense, give none."""
    for line in log_text.splitlines():
        if '"_aws"' not in line:
            continue
        document = _document(line)
        if document is not None:
            yield from _data(document)


def _document(line: str) -> dict | None:
    start = line.find("{")
    try:
        document = json.loads(line[start:])
    except ValueError:
        return None
    known = isinstance(document, dict) and isinstance(document.get("_aws"), dict)
    return document if known else None


def _data(document: dict[str, Any]) -> Iterator[Datum]:
    timestamp = document["_aws"].get("Timestamp", 0) / 1000
    for directive in document["_aws"].get("CloudWatchMetrics", []):
        for names in directive.get("Dimensions") or [[]]:
            dimensions = {name: str(document[name]) for name in names if name in document}
            for metric in directive.get("Metrics", []):
                value = document.get(metric["Name"])
                values = value if isinstance(value, list) else [value]
                numbers = [float(v) for v in values if isinstance(v, (int, float))]
                if numbers:
                    unit = metric.get("Unit", "None")
                    yield Datum(directive["Namespace"], metric["Name"], dimensions, unit, numbers, timestamp)
