"""`handlers.logic.ports.MetricSink` by PutMetricData: pipeline steps send a handful of values per run.

What CloudWatch does not take is written into the function's log as one line of its embedded metric format, from which
CloudWatch makes the same values later: a run whose scores are visible does not fail for want of a number. A put whose
answer was lost counts twice then.
"""

import time
from collections.abc import Mapping
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from handlers.contract import metrics
from handlers.logic.telemetry import emf_line, unit_of


class CloudWatchMetrics:
    def __init__(self, client: Any, *, stage: str, model: str) -> None:
        self._client, self._stage, self._model = client, stage, model

    def put(self, metrics_by_name: Mapping[str, float]) -> None:
        dimensions = zip(metrics.DIMENSIONS, (self._stage, self._model), strict=True)
        told = [{"Name": name, "Value": value} for name, value in dimensions]
        data = [
            {"MetricName": name, "Value": float(value), "Unit": unit_of(name), "Dimensions": told}
            for name, value in metrics_by_name.items()
        ]
        try:
            self._client.put_metric_data(Namespace=metrics.NAMESPACE, MetricData=data)
        except (BotoCoreError, ClientError) as error:
            print(self._log_line(metrics_by_name, error), flush=True)

    def _log_line(self, counts: Mapping[str, float], error: Exception) -> str:
        fields = {"level": "WARNING", "cause": f"PutMetricData failed, this line counts instead: {error!r}"}
        moment = int(time.time() * 1000)
        return emf_line(counts, stage=self._stage, model=self._model, milliseconds_since_epoch=moment, fields=fields)
