"""Reads what CloudWatch, SageMaker, the front door's log and the table know of deployed models; the other modules are
pure.

A model takes one GetMetricData of QUERIES metrics, which AWS bills at $0.01 for 1,000 of them. Of keys, the log knows
as much as it keeps: the stage's `log_retention_days`.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3

from handlers.contract import metrics
from handlers.contract.modes import ServingMode
from turnout import deployed, runs
from turnout.advice.keys import KeySample, sample_of
from turnout.advice.observed import HOUR, Seen, Spread
from turnout.config.capabilities import ENDPOINT
from turnout.config.specs import ModelSpec
from turnout.errors import UserError
from turnout.switching import traffic
from turnout.switching.standing import as_deployed

DAY = timedelta(days=1)
#: CloudWatch keeps values of a minute for 15 days, and those of five minutes for 63.
FINE, FINE_DAYS, COARSE, MOST_DAYS = timedelta(minutes=1), 14, timedelta(minutes=5), 60
RUNS = 100  # of the ledger, the newest
PERCENTILES = ("p50", "p95", "p99")
VARIANT = "AllTraffic"

#: Id of a query -> metric of the front door, summed by the hour.
SUMS = {
    "all": metrics.REQUESTS,
    "predictions": metrics.PREDICTION_REQUESTS,
    "hits": metrics.HITS,
    "misses": metrics.MISSES,
    "keyless": metrics.KEYLESS,
    "stale": metrics.STALE_ANSWERS,
    "refused": metrics.STALE_REFUSED,
    "errors": metrics.ERRORS,
}
#: What is read as a distribution by the day: id -> metric and how many of its units are a second.
SPREADS = {"door": (metrics.HANDLER_MILLISECONDS, 1e3), "age": (metrics.AGE_SECONDS, 1.0)}
MODEL_LATENCY, MICROSECONDS = "ModelLatency", 1e6
QUERIES = len(SUMS) + 1 + (2 + len(PERCENTILES)) * (len(SPREADS) + 1)

Series = dict[datetime, float]


@dataclass(frozen=True)
class _Source:
    """Whose metrics: a namespace and dimensions."""

    namespace: str
    dimensions: Mapping[str, str]

    def query(self, id: str, metric: str, stat: str, period: timedelta) -> dict[str, Any]:
        named = [{"Name": name, "Value": value} for name, value in self.dimensions.items()]
        return {
            "Id": id,
            "MetricStat": {
                "Metric": {"Namespace": self.namespace, "MetricName": metric, "Dimensions": named},
                "Period": int(period.total_seconds()),
                "Stat": stat,
            },
        }

    def spread(self, id: str, metric: str) -> list[dict[str, Any]]:
        """Return queries for a day's values: how many, their sum, and percentiles."""
        stats = {"count": "SampleCount", "sum": "Sum", **{each: each for each in PERCENTILES}}
        return [self.query(f"{id}_{name}", metric, stat, DAY) for name, stat in stats.items()]


def see(stage: str, spec: ModelSpec, days: int, now: datetime) -> Seen:
    """Return what was seen of a deployed model in the last days, or since its deployment. Raises UserError.

    Hours are whole ones of UTC, as CloudWatch counts them; the one that has begun counts as far as it is gone.
    """
    if not 1 <= days <= MOST_DAYS:
        raise UserError(f"{days} days cannot be looked at.", f"Give 1 to {MOST_DAYS}: CloudWatch keeps no more.")
    model = deployed.find_model(stage, spec.name)
    entry = _entry(spec, model)
    asked_from = (now - timedelta(days=days)).replace(minute=0, second=0, microsecond=0)
    fine = FINE if days <= FINE_DAYS else COARSE
    series = read(boto3.client("cloudwatch"), _queries(model, fine), asked_from, now)
    by_hour = series["predictions"] if sum(series["predictions"].values()) else series["all"]
    begin = _begin(asked_from, model, by_hour, now)
    totals = {id: sum(series[id].values()) for id in SUMS}
    requests = sum(by_hour.values())
    return Seen(
        entry=entry,
        begin=begin,
        end=now,
        by_hour={hour: count for hour, count in sorted(by_hour.items()) if count},
        peak=max(series["peak"].values(), default=0.0) / fine.total_seconds(),
        peak_of=fine,
        hits=totals["hits"],
        misses=totals["misses"],
        keyless=totals["keyless"] if totals["predictions"] else None,
        stale=totals["stale"] + totals["refused"],
        errors=totals["errors"],
        keys=_keys(model, spec, totals, begin, now) if requests else KeySample(),
        door=_spread(series, "door", SPREADS["door"][1]),
        model=_spread(series, "model", MICROSECONDS),
        age=_spread(series, "age", SPREADS["age"][1]),
        **_runs(model, begin),
    )


def _entry(spec: ModelSpec, model: deployed.Model) -> ModelSpec:
    """Return the entry as it is deployed, in the deployed mode."""
    entry = as_deployed(spec.model_copy(update={"mode": ServingMode(model.mode)}), None, model.outputs)
    return as_deployed(entry, ENDPOINT[entry.mode](entry), model.outputs)


def _queries(model: deployed.Model, fine: timedelta) -> list[dict[str, Any]]:
    door = _Source(metrics.NAMESPACE, dict(zip(metrics.DIMENSIONS, (model.stage, model.name), strict=True)))
    found = [door.query(id, metric, "Sum", HOUR) for id, metric in SUMS.items()]
    found.append(door.query("peak", metrics.PREDICTION_REQUESTS, "Sum", fine))
    for id, (metric, _) in SPREADS.items():
        found += door.spread(id, metric)
    if endpoint := model.outputs.get("EndpointName"):
        found += _Source("AWS/SageMaker", {"EndpointName": endpoint, "VariantName": VARIANT}).spread(
            "model", MODEL_LATENCY
        )
    return found


def read(client: Any, queries: list[dict[str, Any]], begin: datetime, end: datetime) -> dict[str, Series]:
    """Return id -> time -> value by GetMetricData, all pages. Raises UserError where CloudWatch gives no values."""
    found: dict[str, Series] = defaultdict(dict)
    pages = client.get_paginator("get_metric_data").paginate(MetricDataQueries=queries, StartTime=begin, EndTime=end)
    for page in pages:
        for result in page["MetricDataResults"]:
            if result.get("StatusCode") in ("InternalError", "Forbidden"):
                said = "; ".join(message.get("Value", "") for message in result.get("Messages", []))
                raise UserError(f"CloudWatch gives no values of {result['Id']}: {result['StatusCode']}. {said}".strip())
            found[result["Id"]].update(zip(result["Timestamps"], result["Values"], strict=True))
    return found


def _begin(asked_from: datetime, model: deployed.Model, by_hour: Series, now: datetime) -> datetime:
    """Return since when the model could be asked: what came before it was deployed is no quiet time."""
    described = boto3.client("cloudformation").describe_stacks(StackName=model.stack)["Stacks"][0]
    created = described["CreationTime"].astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    first = min([*(hour for hour, count in by_hour.items() if count), created])
    return min(max(asked_from, first), now - HOUR)


def _spread(series: Mapping[str, Series], id: str, units: float) -> Spread | None:
    """Return a distribution in seconds: of percentiles, the mean of the days', weighted by how much there was."""
    counts = series[f"{id}_count"]
    if not (total := sum(counts.values())):
        return None
    shares = {
        name: sum(value * counts[day] for day, value in series[f"{id}_{name}"].items() if day in counts) / total / units
        for name in PERCENTILES
    }
    return Spread(total, sum(series[f"{id}_sum"].values()) / total / units, **shares)


def _keys(model: deployed.Model, spec: ModelSpec, totals: Mapping[str, float], begin: datetime, now: datetime):
    """Return the sample of keys in the log, compared with the newest generation where nothing was looked up."""
    days = -(-(now - begin) // DAY)
    group = traffic.log_group(boto3.client("lambda"), model.front_door)
    hashes = list(traffic.logged(boto3.client("logs"), group, now - timedelta(days=days), days))
    if not hashes or totals["hits"] + totals["misses"]:
        return sample_of(hashes)
    pointer = model.pointer()
    generation = model.generation(pointer.scores or pointer.results)
    if generation is None or generation.rows_scored > traffic.MOST_KEYS:
        return sample_of(hashes)
    keys = traffic.keys(boto3.client("s3"), generation, spec.key.column)
    try:
        known = traffic.known_of(set(hashes), model.name, keys)
    except traffic.UnreadableGeneration as error:
        return sample_of(hashes, obstacle=str(error))
    return sample_of(hashes, known=sum(each in known for each in hashes))


def _runs(model: deployed.Model, begin: datetime) -> dict[str, Any]:
    """Return the runs since `begin`, how long the last took and was paid for, and the rows of the newest generation."""
    if model.state_machine is None:
        return {}
    since = [run for run in model.runs(RUNS) if datetime.fromisoformat(run.started_at) >= begin]
    done = [run for run in since if run.status == "succeeded" and run.ended_at]
    pointer = model.pointer()
    generation = model.generation(pointer.scores or pointer.results)
    took = [datetime.fromisoformat(run.ended_at) - datetime.fromisoformat(run.started_at) for run in done]
    return {
        "rows": generation.rows_scored if generation else None,
        "runs": len(done),
        "failed_runs": sum(run.status == "failed" for run in since),
        "run_minutes": took[0].total_seconds() / 60 if took else None,
        "job_minutes": runs.paid_minutes(model, done[0].id) if done else None,
    }
