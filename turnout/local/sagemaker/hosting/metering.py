"""CloudWatch metrics of endpoints, with AWS's namespaces, names, dimensions and units. Latencies are microseconds."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from turnout.local.sagemaker.ports import Cloud, Scope

NAMESPACE = "AWS/SageMaker"
USAGE_NAMESPACE = "/aws/sagemaker/Endpoints"
#: Seconds between two values of what the processes use: each is kept, so not as often as time is hurried.
USAGE_SECONDS = 5.0


class Value(NamedTuple):
    name: str
    value: float
    unit: str


class Call(NamedTuple):
    """One synchronous request as it ended. `status` is what the model said; 0: no answer. Seconds.

    `concurrent` counts the requests in its process, `running` those in its variant, itself among them.
    """

    status: int
    model_seconds: float
    overhead_seconds: float
    setup_seconds: float = 0.0
    concurrent: int = 1
    running: int = 1


def microseconds(seconds: float) -> float:
    return round(seconds * 1e6)


def call_values(call: Call, variant: Mapping[str, Any], instances: int) -> Iterable[Value]:
    """Yield what one synchronous request adds. `variant`: its part of the endpoint configuration."""
    yield Value("Invocations", 1, "None")
    yield from error_values(call.status)
    yield Value("ModelLatency", microseconds(call.model_seconds), "Microseconds")
    yield Value("OverheadLatency", microseconds(call.overhead_seconds), "Microseconds")
    if settings := variant.get("ServerlessConfig"):
        yield from _serverless_values(call, settings["MaxConcurrency"], settings.get("ProvisionedConcurrency", 0))
    else:
        yield Value("InvocationsPerInstance", 1 / max(instances, 1), "None")
        yield Value("ConcurrentRequestsPerModel", call.concurrent, "Count")


def _serverless_values(call: Call, most: int, provisioned: int) -> Iterable[Value]:
    """Yield the metrics that only serverless endpoints have: all of them stand here."""
    if call.setup_seconds:
        yield Value("ModelSetupTime", microseconds(call.setup_seconds), "Microseconds")
    yield Value("ServerlessConcurrentExecutionsUtilization", call.running / most, "None")
    if provisioned:
        spilled = call.running > provisioned
        yield Value("ServerlessProvisionedConcurrencyExecutions", min(call.running, provisioned), "Count")
        yield Value("ServerlessProvisionedConcurrencyUtilization", min(call.running / provisioned, 1.0), "None")
        yield Value("ServerlessProvisionedConcurrencyInvocations", int(not spilled), "Count")
        yield Value("ServerlessProvisionedConcurrencySpilloverInvocations", int(spilled), "Count")


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


def record(
    cloud: Cloud,
    scope: Scope,
    values: Iterable[Value],
    endpoint: str,
    variant: str | None = None,
    namespace: str = NAMESPACE,
) -> None:
    """Publish values of an endpoint, or of one variant of it."""
    where = {"EndpointName": endpoint} | ({"VariantName": variant} if variant else {})
    cloud.record_metrics(scope, namespace, values, where)
