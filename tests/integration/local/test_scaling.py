"""Application Auto Scaling that starts and ends real processes: by load, by schedule, by provisioned concurrency."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.integration.local.actions import bucket, stand_in_model, wait_until
from tests.integration.local.endpoint_actions import ask, endpoint, endpoint_config, servers, settled

pytestmark = [
    pytest.mark.local_only("it is about the local cloud's scaling"),
    pytest.mark.usefixtures("no_endpoints_left"),
]

COUNT, CONCURRENCY = (f"sagemaker:variant:{name}" for name in ("DesiredInstanceCount", "DesiredProvisionedConcurrency"))


@pytest.fixture(scope="module")
def data(client) -> str:
    return bucket(client)


@pytest.fixture
def autoscaling(client):
    return client("application-autoscaling")


def target_of(name: str, dimension: str = COUNT) -> dict[str, Any]:
    where = f"endpoint/{name}/variant/AllTraffic"
    return {"ServiceNamespace": "sagemaker", "ResourceId": where, "ScalableDimension": dimension}


def at_once(autoscaling, target: dict, name: str, **bounds: int) -> None:
    """Put a scheduled action that is due in a second or two."""
    soon = datetime.now(UTC) + timedelta(seconds=2)
    schedule = f"at({soon:%Y-%m-%dT%H:%M:%S})"
    autoscaling.put_scheduled_action(**target, ScheduledActionName=name, Schedule=schedule, ScalableTargetAction=bounds)


def descriptions(autoscaling, target: dict) -> list[str]:
    """Return what was done, oldest first."""
    pages = autoscaling.get_paginator("describe_scaling_activities").paginate(
        **target, PaginationConfig={"PageSize": 1}
    )
    return [activity["Description"] for page in pages for activity in page["ScalingActivities"]][::-1]


def test_load_and_schedules_change_how_many_processes_run(client, autoscaling, data):
    name = endpoint(client, endpoint_config(client, stand_in_model(client, data)))
    target = target_of(name)
    autoscaling.register_scalable_target(**target, MinCapacity=1, MaxCapacity=3)
    kind = {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"}
    policy = autoscaling.put_scaling_policy(
        PolicyName="invocations",
        PolicyType="TargetTrackingScaling",
        **target,
        TargetTrackingScalingPolicyConfiguration={"TargetValue": 60, "PredefinedMetricSpecification": kind},
    )

    def busy() -> bool:
        for _ in range(10):
            ask(client, name)
        return len(servers(name)) == 3

    assert len(servers(name)) == 1
    wait_until(busy)
    described = settled(client, name)["ProductionVariants"][0]
    assert (described["CurrentInstanceCount"], described["DesiredInstanceCount"]) == (3, 3)
    at_once(autoscaling, target, "evening", MinCapacity=2, MaxCapacity=2)
    wait_until(lambda: len(servers(name)) == 2)
    assert descriptions(autoscaling, target) == [
        "Setting desired instance count to 3.",
        "Setting min capacity to 2 and max capacity to 2.",
        "Setting desired instance count to 2.",
    ]
    causes = autoscaling.describe_scaling_activities(**target)["ScalingActivities"]
    high, low = (alarm["AlarmName"] for alarm in policy["Alarms"])
    assert causes[-1]["Cause"] == f"monitor alarm {high} in state ALARM triggered policy invocations"
    alarms = client("cloudwatch").describe_alarms(AlarmNamePrefix=f"TargetTracking-endpoint/{name}/")["MetricAlarms"]
    assert {alarm["AlarmName"]: alarm["Threshold"] for alarm in alarms} == {high: 60.0, low: 54.0}
    (found,) = autoscaling.describe_scaling_policies(ServiceNamespace="sagemaker", ResourceId=target["ResourceId"])[
        "ScalingPolicies"
    ]
    assert (found["PolicyARN"], found["PolicyName"]) == (policy["PolicyARN"], "invocations")


def test_a_schedule_provides_concurrency_before_it_is_asked_for(client, autoscaling, data):
    serverless = {"MemorySizeInMB": 1024, "MaxConcurrency": 5, "ProvisionedConcurrency": 1}
    name = endpoint(client, endpoint_config(client, stand_in_model(client, data), serverless=serverless))
    target = target_of(name, CONCURRENCY)
    with pytest.raises(ClientError, match="No scalable variant"):
        autoscaling.register_scalable_target(**target_of(name), MinCapacity=1, MaxCapacity=3)
    autoscaling.register_scalable_target(**target, MinCapacity=1, MaxCapacity=3)
    at_once(autoscaling, target, "morning", MinCapacity=3)
    wait_until(lambda: len(servers(name)) == 3)
    settings = settled(client, name)["ProductionVariants"][0]["CurrentServerlessConfig"]
    assert settings == {**serverless, "ProvisionedConcurrency": 3}
    assert descriptions(autoscaling, target)[-1] == "Setting desired provisioned concurrency to 3."


def test_errors_are_those_of_the_service(client, autoscaling, data):
    target = target_of("nobody")
    for call, error, words in (
        (lambda: autoscaling.deregister_scalable_target(**target), "ObjectNotFoundException", "No scalable target"),
        (
            lambda: autoscaling.delete_scheduled_action(**target, ScheduledActionName="a"),
            "ObjectNotFoundException",
            "No scheduled action",
        ),
        (
            lambda: autoscaling.put_scheduled_action(**target, ScheduledActionName="a", Schedule="rate(1 day)"),
            "ObjectNotFoundException",
            "No scalable target",
        ),
        (
            lambda: autoscaling.register_scalable_target(**target, MinCapacity=1, MaxCapacity=2),
            "ValidationException",
            "No scalable variant",
        ),
        (
            lambda: autoscaling.describe_scalable_targets(ServiceNamespace="sagemaker", NextToken="x"),
            "InvalidNextTokenException",
            "NextToken",
        ),
        (
            lambda: autoscaling.list_tags_for_resource(
                ResourceARN="arn:aws:application-autoscaling:us-east-1:000000000000:scalable-target/x"
            ),
            "ResourceNotFoundException",
            "doesn't exist",
        ),
    ):
        with pytest.raises(getattr(autoscaling.exceptions, error), match=words):
            call()
