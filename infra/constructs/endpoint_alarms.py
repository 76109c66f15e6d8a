"""Alarms on endpoints: for each family only metrics that SageMaker publishes for it.

SageMaker developer guide, "Metrics for monitoring", "Monitor a serverless endpoint", "Monitor asynchronous endpoint":
an alarm on a metric that a family lacks would stay silent for ever.
"""

from datetime import timedelta

from handlers.contract import metrics
from infra.constructs.alarms import TOO_MANY_ERRORS, AlarmSpec, of_model
from infra.constructs.endpoint import VARIANT

NAMESPACE = "AWS/SageMaker"
#: Milliseconds in which a model must answer 99 of 100 requests.
SLOW_MODEL_MILLISECONDS = 1000
#: Share of a serverless endpoint's concurrency that is nearly all.
NEARLY_FULL = 0.9
#: Live calls refused within five minutes that are more than a short peak.
TOO_MANY_REFUSED = 20
#: Share of the time that a request may wait after which someone should look.
LONG_WAIT = 0.5


def _id(word: str, endpoint: str) -> str:
    """Return an alarm's id with the endpoint's identity: the old endpoint keeps its alarms for as long as it serves."""
    return f"{word}{endpoint.rpartition('-')[2]}"


def _of_variant(endpoint: str) -> dict[str, str]:
    """Return the dimensions of most metrics: both, as either alone finds nothing."""
    return {"EndpointName": endpoint, "VariantName": VARIANT}


def error_alarms(endpoint: str) -> list[AlarmSpec]:
    """Return the alarm that takes an update of an endpoint back (real-time and serverless)."""
    return [
        AlarmSpec(
            id=_id("EndpointErrors", endpoint),
            summary="the endpoint answers with 5xx.",
            anchor="the-endpoint-answers-with-errors",
            namespace=NAMESPACE,
            metric="Invocation5XXErrors",
            dimensions=_of_variant(endpoint),
            threshold=TOO_MANY_ERRORS,
            period_seconds=60,
            judges_release=True,
        )
    ]


def latency_alarms(endpoint: str) -> list[AlarmSpec]:
    """Return the alarm on a slow model (real-time and serverless). SageMaker counts in microseconds."""
    return [
        AlarmSpec(
            id=_id("EndpointSlow", endpoint),
            summary=f"the model takes more than {SLOW_MODEL_MILLISECONDS:,} ms for one request in a hundred.",
            anchor="the-endpoint-is-slow",
            namespace=NAMESPACE,
            metric="ModelLatency",
            dimensions=_of_variant(endpoint),
            statistic="p99",
            comparison="GreaterThanThreshold",
            threshold=SLOW_MODEL_MILLISECONDS * 1000,
            periods=3,
        )
    ]


def concurrency_alarms(endpoint: str) -> list[AlarmSpec]:
    """Return the alarm on a serverless endpoint that is nearly at its concurrency."""
    return [
        AlarmSpec(
            id=_id("EndpointFull", endpoint),
            summary=f"the endpoint has used {NEARLY_FULL:.0%} of its concurrency for three minutes.",
            anchor="the-endpoint-is-at-its-concurrency",
            namespace=NAMESPACE,
            metric="ServerlessConcurrentExecutionsUtilization",
            dimensions=_of_variant(endpoint),
            statistic="Maximum",
            threshold=NEARLY_FULL,
            period_seconds=60,
            periods=3,
        )
    ]


def refusal_alarms(*, stage: str, model: str) -> list[AlarmSpec]:
    """Return the alarm on callers who were told to come back later."""
    return [
        AlarmSpec(
            id="LiveRefused",
            summary="callers get 429: the endpoint is at its concurrency or the model at its cap on live calls.",
            anchor="live-calls-are-refused",
            namespace=metrics.NAMESPACE,
            metric=metrics.LIVE_REFUSED,
            dimensions=of_model(stage, model),
            threshold=TOO_MANY_REFUSED,
        )
    ]


def queue_alarms(endpoint: str, *, expiry: timedelta) -> list[AlarmSpec]:
    """Return the alarms on asynchronous requests that fail, expire or wait long."""
    return [
        AlarmSpec(
            id=_id("RequestsFailed", endpoint),
            summary="asynchronous requests fail.",
            anchor="asynchronous-requests-fail",
            namespace=NAMESPACE,
            metric="InvocationFailures",
            dimensions=_of_variant(endpoint),
            threshold=TOO_MANY_ERRORS,
        ),
        AlarmSpec(
            id=_id("RequestsExpired", endpoint),
            summary="asynchronous requests expired before an instance took them.",
            anchor="asynchronous-requests-wait-too-long",
            namespace=NAMESPACE,
            metric="ExpiredRequests",
            dimensions=_of_variant(endpoint),
        ),
        AlarmSpec(
            id=_id("RequestsWaiting", endpoint),
            summary=f"the oldest asynchronous request has waited for {LONG_WAIT:.0%} of the time that it may.",
            anchor="asynchronous-requests-wait-too-long",
            namespace=NAMESPACE,
            metric="ApproximateAgeOfOldestRequest",
            dimensions={"EndpointName": endpoint},
            statistic="Maximum",
            comparison="GreaterThanThreshold",
            threshold=expiry.total_seconds() * LONG_WAIT,
            period_seconds=60,
        ),
    ]


def wake_alarm(endpoint: str) -> AlarmSpec:
    """Return the alarm that starts the first instance: requests wait and nothing runs, for two minutes."""
    return AlarmSpec(
        id="NothingRuns",
        summary="requests wait and no instance runs; this alarm starts one.",
        anchor="requests-wait-and-no-instance-runs",
        namespace=NAMESPACE,
        metric="HasBacklogWithoutCapacity",
        dimensions={"EndpointName": endpoint},
        statistic="Average",
        period_seconds=60,
        periods=2,
        missing="missing",
    )
