"""Names, units and values of an endpoint's metrics."""

import pytest

from turnout.local.sagemaker.hosting.metering import Call, backlog_values, call_values
from turnout.local.sagemaker.hosting.usage import Use, Utilization

#: Metric -> unit, as the pages monitoring-cloudwatch, serverless-endpoints-monitoring and async-inference-monitor of
#: AWS's developer guide have them. They name no unit for ConcurrentRequestsPerModel.
UNITS = {
    "ApproximateAgeOfOldestRequest": "Seconds",
    "ApproximateBacklogSize": "Count",
    "ApproximateBacklogSizePerInstance": "Count",
    "CPUUtilization": "Percent",
    "DiskUtilization": "Percent",
    "ExpiredRequests": "Count",
    "HasBacklogWithoutCapacity": "Count",
    "Invocation4XXErrors": "None",
    "Invocation5XXErrors": "None",
    "InvocationFailures": "Count",
    "InvocationModelErrors": "None",
    "Invocations": "None",
    "InvocationsPerInstance": "None",
    "InvocationsProcessed": "Count",
    "MemoryUtilization": "Percent",
    "ModelLatency": "Microseconds",
    "ModelSetupTime": "Microseconds",
    "NotificationFailures": "Count",
    "OverheadLatency": "Microseconds",
    "RequestDownloadFailures": "Count",
    "RequestDownloadLatency": "Microseconds",
    "ResponseUploadFailures": "Count",
    "ResponseUploadLatency": "Microseconds",
    "ServerlessConcurrentExecutionsUtilization": "None",
    "ServerlessProvisionedConcurrencyExecutions": "Count",
    "ServerlessProvisionedConcurrencyInvocations": "Count",
    "ServerlessProvisionedConcurrencySpilloverInvocations": "Count",
    "ServerlessProvisionedConcurrencyUtilization": "None",
    "TimeInBacklog": "Milliseconds",
    "TotalProcessingTime": "Milliseconds",
}
UNITS_UNKNOWN = {"ConcurrentRequestsPerModel"}


def values(found) -> dict[str, float]:
    return {value.name: value.value for value in found}


def units(found) -> dict[str, str]:
    return {value.name: value.unit for value in found}


CALL = Call(status=200, model_seconds=0.25, overhead_seconds=1.5, setup_seconds=1.2, concurrent=3, running=3)
INSTANCES = {"InstanceType": "ml.m5.large", "InitialInstanceCount": 2}
SERVERLESS = {"ServerlessConfig": {"MemorySizeInMB": 1024, "MaxConcurrency": 5}}


def test_every_metric_has_the_unit_that_awss_pages_give_it():
    provisioned = {"ServerlessConfig": {**SERVERLESS["ServerlessConfig"], "ProvisionedConcurrency": 2}}
    use = Utilization()
    list(use.values({"i": Use(1, 0.0, 1)}, 1, 1.0, 0.0))
    found = (
        units(call_values(CALL, INSTANCES, 2))
        | units(call_values(CALL, provisioned, 0))
        | units(backlog_values(6, 2.5, 2))
        | units(use.values({"i": Use(1, 1.0, 1)}, 1, 1.0, 1.0))
    )
    assert {name: unit for name, unit in found.items() if name not in UNITS_UNKNOWN} == {
        name: UNITS[name] for name in found.keys() - UNITS_UNKNOWN
    }


def test_latencies_are_microseconds():
    found = list(call_values(CALL, INSTANCES, 2))
    assert values(found)["ModelLatency"] == 250_000
    assert values(found)["OverheadLatency"] == 1_500_000
    assert units(found)["ModelLatency"] == units(found)["OverheadLatency"] == "Microseconds"


def test_each_kind_publishes_its_own_metrics():
    realtime = values(call_values(CALL, INSTANCES, 4))
    serverless = values(call_values(CALL, SERVERLESS, 0))
    assert realtime["InvocationsPerInstance"] == 0.25
    assert realtime["ConcurrentRequestsPerModel"] == 3
    assert serverless["ModelSetupTime"] == 1_200_000
    assert serverless["ServerlessConcurrentExecutionsUtilization"] == 0.6
    assert not {"ModelSetupTime", "ServerlessConcurrentExecutionsUtilization"} & set(realtime)
    assert not {"InvocationsPerInstance", "ConcurrentRequestsPerModel"} & set(serverless)


@pytest.mark.parametrize(("running", "handled"), [(2, True), (3, False)])
def test_provisioned_concurrency_spills_over(running, handled):
    settings = {**SERVERLESS["ServerlessConfig"], "ProvisionedConcurrency": 2}
    found = values(call_values(CALL._replace(running=running), {"ServerlessConfig": settings}, 0))
    prefix = "ServerlessProvisionedConcurrency"
    assert found[f"{prefix}Utilization"] == 1.0
    assert found[f"{prefix}Executions"] == 2
    assert (found[f"{prefix}Invocations"], found[f"{prefix}SpilloverInvocations"]) == (int(handled), int(not handled))


def test_serverless_publishes_what_aws_lists_and_nothing_else():
    settings = {**SERVERLESS["ServerlessConfig"], "ProvisionedConcurrency": 2}
    assert set(values(call_values(CALL, {"ServerlessConfig": settings}, 0))) == {
        "Invocations",
        "Invocation4XXErrors",
        "Invocation5XXErrors",
        "InvocationModelErrors",
        "ModelLatency",
        "OverheadLatency",
        "ModelSetupTime",
        "ServerlessConcurrentExecutionsUtilization",
        "ServerlessProvisionedConcurrencyExecutions",
        "ServerlessProvisionedConcurrencyUtilization",
        "ServerlessProvisionedConcurrencyInvocations",
        "ServerlessProvisionedConcurrencySpilloverInvocations",
    }


@pytest.mark.parametrize(
    ("status", "client", "server", "model"), [(200, 0, 0, 0), (400, 1, 0, 1), (500, 0, 1, 1), (0, 0, 1, 1)]
)
def test_errors_are_zero_or_one_so_that_their_average_is_a_rate(status, client, server, model):
    found = values(call_values(CALL._replace(status=status), INSTANCES, 1))
    kinds = ("Invocation4XXErrors", "Invocation5XXErrors", "InvocationModelErrors")
    assert tuple(found[name] for name in kinds) == (client, server, model)


def test_a_backlog_without_instances_says_so():
    awake, asleep = values(backlog_values(6, 2.5, 2)), values(backlog_values(6, 2.5, 0))
    assert (awake["ApproximateBacklogSizePerInstance"], awake["HasBacklogWithoutCapacity"]) == (3, 0)
    assert (asleep["ApproximateBacklogSizePerInstance"], asleep["HasBacklogWithoutCapacity"]) == (6, 1)
    assert "ApproximateAgeOfOldestRequest" not in values(backlog_values(0, None, 1))
