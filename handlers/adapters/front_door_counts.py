"""What a model's front door has counted, from CloudWatch: the gate's `Traffic`, and what plans rest on."""

from datetime import datetime, timedelta
from typing import Any

from handlers.contract import metrics
from handlers.contract.answering import RECENT_DAYS, Counts

#: Id of a query -> metric.
COUNTED = {
    "all": metrics.REQUESTS,
    "predictions": metrics.PREDICTION_REQUESTS,
    "hits": metrics.HITS,
    "misses": metrics.MISSES,
    "keyless": metrics.KEYLESS,
}
PERIOD_SECONDS = 3_600


class FrontDoorCounts:
    """`handlers.logic.gating_ports.Traffic` by GetMetricData."""

    def __init__(self, client: Any, *, stage: str, model: str) -> None:
        self._client, self._stage, self._model = client, stage, model

    def counts(self, now: datetime, days: int = RECENT_DAYS) -> Counts:
        """Return the sums of the last days. What was counted within the last minutes may not be there yet."""
        totals = dict.fromkeys(COUNTED, 0.0)
        pages = self._client.get_paginator("get_metric_data").paginate(
            MetricDataQueries=self._queries(), StartTime=now - timedelta(days=days), EndTime=now
        )
        for page in pages:
            for result in page["MetricDataResults"]:
                totals[result["Id"]] += sum(result["Values"])
        told_apart = totals["predictions"] > 0
        return Counts(
            requests=round(totals["predictions"] if told_apart else totals["all"]),
            hits=round(totals["hits"]),
            misses=round(totals["misses"]),
            keyless=round(totals["keyless"]) if told_apart else None,
        )

    def _queries(self) -> list[dict[str, Any]]:
        values = zip(metrics.DIMENSIONS, (self._stage, self._model), strict=True)
        dimensions = [{"Name": name, "Value": value} for name, value in values]
        return [
            {
                "Id": id,
                "MetricStat": {
                    "Metric": {"Namespace": metrics.NAMESPACE, "MetricName": metric, "Dimensions": dimensions},
                    "Period": PERIOD_SECONDS,
                    "Stat": "Sum",
                },
            }
            for id, metric in COUNTED.items()
        ]
