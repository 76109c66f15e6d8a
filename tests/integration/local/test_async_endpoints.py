"""Asynchronous endpoints and scaling: queue, results, failures, expiry, duplicates, notifications, to zero and back."""

import json
import re
import time

import pytest
from botocore.exceptions import ClientError

from tests.integration.local.actions import bucket, random_name, stand_in_model, wait_until
from tests.integration.local.endpoint_actions import asynchronous, endpoint, endpoint_config, settled
from turnout.local import control

pytestmark = [
    pytest.mark.local_only("it is about the local cloud's asynchronous endpoints"),
    pytest.mark.usefixtures("no_endpoints_left"),
]

DIMENSION = "sagemaker:variant:DesiredInstanceCount"


@pytest.fixture(scope="module")
def data(client) -> str:
    return bucket(client)


def queued_endpoint(client, data: str, count: int = 1, output: dict | None = None, **settings) -> str:
    model = stand_in_model(client, data, **settings)
    config = asynchronous(data, **(output or {}))
    return endpoint(client, endpoint_config(client, model, count=count, AsyncInferenceConfig=config))


def send(client, name: str, body: str | None = "1,2", **parameters) -> dict:
    inline = {} if body is None else {"Body": body.encode()}
    return client("sagemaker-runtime").invoke_endpoint_async(
        EndpointName=name, ContentType="text/csv", Accept="text/csv", **inline, **parameters
    )


def text_at(client, location: str) -> str | None:
    bucket_name, _, key = location.removeprefix("s3://").partition("/")
    try:
        return client("s3").get_object(Bucket=bucket_name, Key=key)["Body"].read().decode()
    except ClientError:
        return None


def result(client, location: str, seconds: float = 30) -> str:
    return wait_until(lambda: text_at(client, location), seconds)


def test_a_request_is_accepted_at_once_and_its_result_appears(client, data):
    name = queued_endpoint(client, data, slow=1)
    started = time.monotonic()
    accepted = send(client, name, InferenceId="my-request")
    assert time.monotonic() - started < 0.9
    assert accepted["ResponseMetadata"]["HTTPStatusCode"] == 202
    assert accepted["InferenceId"] == "my-request"
    assert accepted["OutputLocation"] == f"s3://{data}/out/my-request.out"
    assert accepted["FailureLocation"] == f"s3://{data}/failed/my-request-error.out"
    assert text_at(client, accepted["OutputLocation"]) is None
    assert result(client, accepted["OutputLocation"]) == "3.0"


def test_a_request_says_where_its_result_goes_and_how_long_it_may_take(client, data):
    name = queued_endpoint(client, data, echo_header="Accept", slow=1.5)
    accepted = send(client, name, S3OutputPathExtension="mine/today", Filename="scores.csv")
    assert accepted["OutputLocation"] == f"s3://{data}/out/mine/today/scores.csv"
    hurried = send(client, name, InvocationTimeoutSeconds=1)
    assert "no answer within 1 seconds" in result(client, hurried["FailureLocation"])
    assert result(client, accepted["OutputLocation"]) == "text/csv"


def test_a_large_payload_comes_from_s3(client, data):
    name = queued_endpoint(client, data)
    lines = 300_000
    client("s3").put_object(Bucket=data, Key="in/large.csv", Body=b"1,2,3\n" * lines)
    accepted = send(client, name, None, InputLocation=f"s3://{data}/in/large.csv")
    assert result(client, accepted["OutputLocation"]).split() == ["6.0"] * lines
    missing = send(client, name, None, InputLocation=f"s3://{data}/in/nowhere.csv")
    assert "Failed to download" in result(client, missing["FailureLocation"])


def test_what_the_model_refuses_lies_at_the_failure_location(client, data):
    name = queued_endpoint(client, data, reject_on="9", fail_on="8")
    refused, failed = send(client, name, "9"), send(client, name, "8")
    words = 'Received client error (400) from primary with message "cannot score 9"'
    assert result(client, refused["FailureLocation"]) == words
    assert "Received server error (500)" in result(client, failed["FailureLocation"])
    assert text_at(client, refused["OutputLocation"]) is None
    logs, group = client("logs"), f"/aws/sagemaker/Endpoints/{name}"

    def told() -> list[dict]:
        return logs.filter_log_events(logGroupName=group, filterPattern=refused["InferenceId"])["events"]

    (line,) = wait_until(told)
    assert re.fullmatch(r"AllTraffic/i-[0-9a-f]{17}/data-log", line["logStreamName"])
    assert line["message"].endswith(f"[{refused['InferenceId']}] {words}")


def test_topics_are_told_of_success_and_failure(client, data):
    sns, sqs = client("sns"), client("sqs")
    topic = sns.create_topic(Name=random_name("topic"))["TopicArn"]
    queue = sqs.create_queue(QueueName=random_name("queue"))["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes={"RawMessageDelivery": "true"})
    output = {"NotificationConfig": {"SuccessTopic": topic, "ErrorTopic": topic}}
    name = queued_endpoint(client, data, output=output, reject_on="9")
    good, bad = send(client, name), send(client, name, "9")
    messages = {}

    def both():
        for message in sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", []):
            body = json.loads(message["Body"])
            messages[body["inferenceId"]] = body
        return len(messages) == 2

    wait_until(both)
    success, failure = messages[good["InferenceId"]], messages[bad["InferenceId"]]
    assert (success["invocationStatus"], success["eventName"]) == ("Completed", "InferenceResult")
    assert success["responseParameters"]["outputLocation"] == good["OutputLocation"]
    assert success["requestParameters"] == {"endpointName": name, "contentType": "text/csv"}
    assert failure["invocationStatus"] == "Failed"
    assert "cannot score 9" in failure["failureReason"]


def test_every_request_may_arrive_twice_and_has_one_result(client, stand_in_cloud, data):
    name = queued_endpoint(client, data)
    control.set_faults(stand_in_cloud, async_deliveries=2)
    try:
        locations = [send(client, name, f"{number},0")["OutputLocation"] for number in range(20)]
    finally:
        control.set_faults(stand_in_cloud)
    assert [result(client, location) for location in locations] == [f"{number}.0" for number in range(20)]
    wait_until(lambda: metric(client, "InvocationsProcessed", "Sum", name, "AllTraffic") == 40)


def metric(client, name: str, statistic: str, endpoint_name: str, variant: str | None = None) -> float | None:
    dimensions = [{"Name": "EndpointName", "Value": endpoint_name}]
    dimensions += [{"Name": "VariantName", "Value": variant}] if variant else []
    now = time.time()
    points = client("cloudwatch").get_metric_statistics(
        Namespace="AWS/SageMaker",
        MetricName=name,
        Dimensions=dimensions,
        StartTime=now - 3600,
        EndTime=now + 60,
        Period=7200,
        Statistics=[statistic],
    )["Datapoints"]
    return points[0][statistic] if points else None


def test_a_request_that_waits_too_long_expires_with_a_reason(client, stand_in_cloud, data):
    name = queued_endpoint(client, data, slow=1)
    for _ in range(8):  # two rounds of work for four places
        send(client, name)
    control.set_faults(stand_in_cloud, async_ttl_seconds=0.2)
    try:
        late = send(client, name)
        assert "expired" in result(client, late["FailureLocation"])
    finally:
        control.set_faults(stand_in_cloud)
    assert metric(client, "ExpiredRequests", "Sum", name, "AllTraffic") >= 1


def test_an_update_loses_no_waiting_request(client, data):
    name = queued_endpoint(client, data, slow=0.3)
    locations = [send(client, name)["OutputLocation"] for _ in range(12)]
    model = stand_in_model(client, data, slow=0.3)
    config = endpoint_config(client, model, AsyncInferenceConfig=asynchronous(data))
    client("sagemaker").update_endpoint(EndpointName=name, EndpointConfigName=config)
    assert {result(client, location) for location in locations} == {"3.0"}
    assert settled(client, name)["EndpointConfigName"] == config


def test_an_asynchronous_endpoint_cannot_stop_being_one(client, data):
    name = queued_endpoint(client, data)
    config = endpoint_config(client, stand_in_model(client, data))
    with pytest.raises(ClientError, match="AsyncInferenceConfig parameter cannot be removed from this endpoint"):
        client("sagemaker").update_endpoint(EndpointName=name, EndpointConfigName=config)


def scalable(client, name: str, least: int, most: int) -> dict:
    resource = {
        "ServiceNamespace": "sagemaker",
        "ResourceId": f"endpoint/{name}/variant/AllTraffic",
        "ScalableDimension": DIMENSION,
    }
    client("application-autoscaling").register_scalable_target(**resource, MinCapacity=least, MaxCapacity=most)
    return resource


def count(client, name: str) -> int:
    return client("sagemaker").describe_endpoint(EndpointName=name)["ProductionVariants"][0]["CurrentInstanceCount"]


def test_a_queue_goes_to_zero_and_wakes_with_both_policies(client, data):
    name, autoscaling = queued_endpoint(client, data), client("application-autoscaling")
    resource = scalable(client, name, 0, 3)
    where = [{"Name": "EndpointName", "Value": name}]
    tracked = {"Namespace": "AWS/SageMaker", "MetricName": "ApproximateBacklogSizePerInstance", "Statistic": "Average"}
    autoscaling.put_scaling_policy(
        PolicyName="backlog",
        PolicyType="TargetTrackingScaling",
        **resource,
        TargetTrackingScalingPolicyConfiguration={
            "TargetValue": 5,
            "CustomizedMetricSpecification": {**tracked, "Dimensions": where},
        },
    )
    wake = autoscaling.put_scaling_policy(
        PolicyName="wake",
        PolicyType="StepScaling",
        **resource,
        StepScalingPolicyConfiguration={
            "AdjustmentType": "ChangeInCapacity",
            "StepAdjustments": [{"MetricIntervalLowerBound": 0, "ScalingAdjustment": 1}],
            "Cooldown": 300,
        },
    )["PolicyARN"]
    alarm = random_name("wake")
    client("cloudwatch").put_metric_alarm(
        AlarmName=alarm,
        Namespace="AWS/SageMaker",
        MetricName="HasBacklogWithoutCapacity",
        Dimensions=where,
        Statistic="Average",
        Period=60,
        EvaluationPeriods=2,
        DatapointsToAlarm=2,
        Threshold=1,
        ComparisonOperator="GreaterThanOrEqualToThreshold",
        TreatMissingData="missing",
        AlarmActions=[wake],
    )
    (described,) = autoscaling.describe_scaling_policies(
        ServiceNamespace="sagemaker", ResourceId=resource["ResourceId"], PolicyNames=["wake"]
    )["ScalingPolicies"]
    assert [each["AlarmName"] for each in described["Alarms"]] == [alarm]
    wait_until(lambda: count(client, name) == 0, 40)
    accepted = send(client, name)
    assert result(client, accepted["OutputLocation"]) == "3.0"
    assert count(client, name) == 1
    done = autoscaling.describe_scaling_activities(ServiceNamespace="sagemaker", ResourceId=resource["ResourceId"])
    assert [a["Description"] for a in done["ScalingActivities"]][:2] == [
        "Setting desired instance count to 1.",
        "Setting desired instance count to 0.",
    ]
    assert metric(client, "HasBacklogWithoutCapacity", "Maximum", name) == 1
    assert metric(client, "ApproximateAgeOfOldestRequest", "Maximum", name) > 0
    assert metric(client, "Invocations", "Sum", name, "AllTraffic") is None  # not published for asynchronous ones


def test_only_a_queue_may_go_to_zero(client, data):
    name = endpoint(client, endpoint_config(client, stand_in_model(client, data)))
    with pytest.raises(ClientError, match="cannot be less than 1"):
        scalable(client, name, 0, 1)
    with pytest.raises(ClientError, match="No scalable variant"):
        scalable(client, "nobody", 1, 2)
