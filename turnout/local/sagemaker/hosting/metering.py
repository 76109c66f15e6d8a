"""CloudWatch metrics of endpoints, with AWS's namespaces, names, dimensions and units. Latencies are microseconds."""

from collections.abc import Iterable
from typing import NamedTuple

from turnout.local.sagemaker.hosting.kinds import Kind
from turnout.local.sagemaker.ports import Cloud, Scope

NAMESPACE = "AWS/SageMaker"


class Value(NamedTuple):
    name: str
    value: float
    unit: str


class Call(NamedTuple):
    """One synchronous request as it ended. `status` is what the model said; 0: no answer. Seconds."""

    status: int
    model_seconds: float
    overhead_seconds: float
    setup_seconds: float = 0.0
    concurrent: int = 1


def microseconds(seconds: float) -> float:
    return round(seconds * 1e6)


def call_values(call: Call, kind: Kind, instances: int, share_in_use: float) -> Iterable[Value]:
    """Yield what one synchronous request adds. `share_in_use`: running requests over MaxConcurrency (serverless)."""
    yield Value("Invocations", 1, "Count")
    yield from error_values(call.status)
    yield Value("ModelLatency", microseconds(call.model_seconds), "Microseconds")
    yield Value("OverheadLatency", microseconds(call.overhead_seconds), "Microseconds")
    if kind == Kind.SERVERLESS:
        if call.setup_seconds:
            yield Value("ModelSetupTime", microseconds(call.setup_seconds), "Microseconds")
        yield Value("ServerlessConcurrentExecutionsUtilization", share_in_use, "None")
    else:
        yield Value("InvocationsPerInstance", 1 / max(instances, 1), "None")
        yield Value("ConcurrentRequestsPerModel", call.concurrent, "Count")


def error_values(status: int) -> Iterable[Value]:
    """Yield 0 or 1 for each kind of error, so that their average is a rate."""
    server = status == 0 or status >= 500
    yield Value("Invocation4XXErrors", int(400 <= status < 500), "None")
    yield Value("Invocation5XXErrors", int(server), "None")
    yield Value("InvocationModelErrors", int(not 200 <= status < 300), "None")


def backlog_values(waiting: int, oldest_seconds: float | None, instances: int) -> Iterable[Value]:
    """Yield the gauges of an asynchronous endpoint's queue; their only dimension is EndpointName."""
    yield Value("ApproximateBacklogSize", waiting, "Count")
    yield Value("ApproximateBacklogSizePerInstance", waiting / max(instances, 1), "Count")
    yield Value("HasBacklogWithoutCapacity", int(waiting > 0 and instances == 0), "Count")
    if oldest_seconds is not None:
        yield Value("ApproximateAgeOfOldestRequest", oldest_seconds, "Seconds")


def record(cloud: Cloud, scope: Scope, values: Iterable[Value], endpoint: str, variant: str | None = None) -> None:
    """Publish values of an endpoint, or of one variant of it."""
    where = {"EndpointName": endpoint} | ({"VariantName": variant} if variant else {})
    for value in values:
        cloud.record_metric(scope, NAMESPACE, value.name, value.value, value.unit, where)
