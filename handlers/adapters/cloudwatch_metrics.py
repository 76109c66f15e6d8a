"""`handlers.logic.ports.MetricSink` by PutMetricData: pipeline steps send a handful of values per run."""

from collections.abc import Mapping
from typing import Any

from handlers.contract import metrics
from handlers.logic.telemetry import unit_of


class CloudWatchMetrics:
    def __init__(self, client: Any, *, stage: str, model: str) -> None:
        self._client = client
        self._dimensions = [
            {"Name": name, "Value": value} for name, value in zip(metrics.DIMENSIONS, (stage, model), strict=True)
        ]

    def put(self, metrics_by_name: Mapping[str, float]) -> None:
        data = [
            {"MetricName": name, "Value": float(value), "Unit": unit_of(name), "Dimensions": self._dimensions}
            for name, value in metrics_by_name.items()
        ]
        self._client.put_metric_data(Namespace=metrics.NAMESPACE, MetricData=data)
