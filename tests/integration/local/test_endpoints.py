"""Endpoints of the local cloud: real processes, states, refusals, blue/green updates that lose no request."""

import json
import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.exceptions import ClientError

from tests.integration.local.actions import bucket, objects, random_name, stand_in_model, wait_until
from tests.integration.local.endpoint_actions import (
    CSV,
    SERVERLESS,
    ask,
    asynchronous,
    endpoint,
    endpoint_config,
    impatient_runtime,
    instances,
    servers,
    settled,
)
from turnout.local import control

pytestmark = [
    pytest.mark.local_only("it is about the local cloud's endpoints"),
    pytest.mark.usefixtures("no_endpoints_left"),
]


@pytest.fixture(scope="module")
def data(client) -> str:
    return bucket(client)


@pytest.fixture
def sagemaker(client):
    return client("sagemaker")


def test_an_endpoint_comes_up_answers_and_goes(client, sagemaker, data):
    config = endpoint_config(client, stand_in_model(client, data))
    name = random_name("endpoint")
    arn = sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=config)["EndpointArn"]
    assert arn == f"arn:aws:sagemaker:us-east-1:000000000000:endpoint/{name}"
    assert sagemaker.describe_endpoint(EndpointName=name)["EndpointStatus"] == "Creating"
    sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    (variant,) = sagemaker.describe_endpoint(EndpointName=name)["ProductionVariants"]
    assert (variant["CurrentInstanceCount"], variant["CurrentWeight"]) == (1, 1.0)
    runtime = client("sagemaker-runtime")
    answer = runtime.invoke_endpoint(EndpointName=name, Body=b"1,2\n3,4", **CSV)
    assert answer["Body"].read() == b"3.0\n7.0"
    assert answer["InvokedProductionVariant"] == "AllTraffic"
    sagemaker.delete_endpoint(EndpointName=name)
    sagemaker.get_waiter("endpoint_deleted").wait(EndpointName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    with pytest.raises(ClientError, match=f"Endpoint {name} of account 000000000000 not found"):
        runtime.invoke_endpoint(EndpointName=name, Body=b"1", **CSV)


def test_a_model_that_does_not_start_fails_the_endpoint_with_a_reason(client, sagemaker, data):
    config = endpoint_config(client, stand_in_model(client, data, crash="no estimator in here"))
    name = random_name("endpoint")
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=config)
    described = settled(client, name)
    assert described["EndpointStatus"] == "Failed"
    assert "AllTraffic did not pass the ping health check" in described["FailureReason"]
    assert "no estimator in here" in described["FailureReason"]
    with pytest.raises(ClientError, match="it can only be deleted"):
        sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=config)
    sagemaker.delete_endpoint(EndpointName=name)


def test_updates_under_load_lose_no_request(client, sagemaker, data):
    model = [stand_in_model(client, data, plus=plus, slow=0.3) for plus in (0, 100)]  # one is always under way
    name = endpoint(client, endpoint_config(client, model[0]))
    seen, stop = [], threading.Event()

    def call_until_stopped():
        while not stop.is_set():
            seen.append(ask(client, name))
            time.sleep(0.05)

    callers = [threading.Thread(target=call_until_stopped) for _ in range(3)]
    for caller in callers:
        caller.start()
    for plus in (1, 0, 1):
        sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=endpoint_config(client, model[plus]))
        assert settled(client, name)["EndpointStatus"] == "InService"
        seen_after = len(seen)
        wait_until(lambda after=seen_after: len(seen) > after + 5)
        assert set(seen[seen_after + 3 :]) == {("3.0", "103.0")[plus]}
    stop.set()
    for caller in callers:
        caller.join()
    assert set(seen) == {"3.0", "103.0"}


def test_a_failed_update_rolls_back_silently(client, sagemaker, data):
    good = endpoint_config(client, stand_in_model(client, data))
    name = endpoint(client, good)
    bad = endpoint_config(client, stand_in_model(client, data, crash="broken"))
    sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=bad)
    assert sagemaker.describe_endpoint(EndpointName=name)["EndpointStatus"] == "Updating"
    with pytest.raises(ClientError, match="Cannot update in-progress endpoint"):
        sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=bad)
    wait_until(lambda: sagemaker.describe_endpoint(EndpointName=name)["EndpointStatus"] == "RollingBack")
    described = settled(client, name)
    assert (described["EndpointStatus"], described["EndpointConfigName"]) == ("InService", good)
    assert "broken" in described["FailureReason"]
    assert ask(client, name) == "3.0"


def test_a_serverless_endpoint_starts_cold_and_refuses_what_exceeds_its_concurrency(client, stand_in_cloud, data):
    model = stand_in_model(client, data, slow=0.5)
    name = endpoint(client, endpoint_config(client, model, serverless={"MemorySizeInMB": 1024, "MaxConcurrency": 1}))
    runtime, errors = impatient_runtime(stand_in_cloud), []

    def call():
        try:
            ask(lambda service: runtime, name)
        except ClientError as error:
            errors.append(error.response)

    callers = [threading.Thread(target=call) for _ in range(3)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert errors
    assert {e["Error"]["Code"] for e in errors} == {"ThrottlingException"}
    assert {e["ResponseMetadata"]["HTTPStatusCode"] for e in errors} == {429}
    control.set_faults(stand_in_cloud, time_scale=3600)
    try:
        wait_until(lambda: not servers(name))
    finally:
        control.set_faults(stand_in_cloud, time_scale=60)
    assert ask(client, name) == "3.0"
    assert len(servers(name)) == 1


def test_what_the_model_refuses_is_a_model_error(client, data):
    model = stand_in_model(client, data, reject_on="9", fail_on="8")
    name = endpoint(client, endpoint_config(client, model))
    for body, status in (("9", 400), ("8", 500)):
        with pytest.raises(ClientError) as caught:
            ask(client, name, body)
        answer = caught.value.response
        assert (answer["Error"]["Code"], answer["OriginalStatusCode"]) == ("ModelError", status)
        assert answer["OriginalMessage"] == f"cannot score {body}"
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 424


def test_what_is_not_for_the_model_stays_outside_and_its_own_words_come_back(client, data):
    own = {"Content-Type": "application/json", "X-Amzn-SageMaker-Custom-Attributes": "out", "X-Other": "no"}
    header = "X-Amzn-SageMaker-Custom-Attributes"
    name = endpoint(client, endpoint_config(client, stand_in_model(client, data, echo_header=header, headers=own)))
    answer = client("sagemaker-runtime").invoke_endpoint(
        EndpointName=name, Body=b"1", CustomAttributes="in", InferenceId="i", SessionId="NEW_SESSION"
    )
    assert answer["Body"].read() == b"in"
    assert (answer["CustomAttributes"], answer["ContentType"]) == ("out", "application/json")
    assert "x-other" not in answer["ResponseMetadata"]["HTTPHeaders"]


def test_a_session_stays_with_the_process_that_opened_it(client, data):
    opened = {"X-Amzn-SageMaker-New-Session-Id": "mine; Expires=2030-01-01T00:00:00Z"}
    model = stand_in_model(client, data, echo_header="Host", headers=opened)  # the host has the process's port
    name = endpoint(client, endpoint_config(client, model, count=2))
    first = client("sagemaker-runtime").invoke_endpoint(EndpointName=name, Body=b"1", SessionId="NEW_SESSION")
    assert first["NewSessionId"].startswith("mine;")
    place = first["Body"].read().decode()
    with ThreadPoolExecutor(4) as callers:  # at once, so that the other process would get some of them
        places = list(callers.map(lambda _: ask(client, name, SessionId="mine"), range(12)))
    assert set(places) == {place}


def test_weights_share_the_traffic_and_zero_gets_none(client, sagemaker, data):
    models = [stand_in_model(client, data, plus=plus) for plus in (0, 100, 200)]
    variants = [
        {"VariantName": f"v{number}", "ModelName": model, "InitialVariantWeight": weight, **instances()}
        for number, (model, weight) in enumerate(zip(models, (3.0, 1.0, 0.0), strict=True))
    ]
    config = random_name("config")
    sagemaker.create_endpoint_config(EndpointConfigName=config, ProductionVariants=variants)
    name = endpoint(client, config)
    answers = [ask(client, name) for _ in range(200)]
    assert set(answers) == {"3.0", "103.0"}
    assert 20 < answers.count("103.0") < 80  # five standard deviations around 50 are 31
    assert ask(client, name, TargetVariant="v2") == "203.0"
    sagemaker.update_endpoint_weights_and_capacities(
        EndpointName=name, DesiredWeightsAndCapacities=[{"VariantName": "v0", "DesiredWeight": 0}]
    )
    settled(client, name)
    assert {ask(client, name) for _ in range(20)} == {"103.0"}


def test_what_is_captured_lies_in_s3(client, sagemaker, data):
    capture = {
        "EnableCapture": True,
        "InitialSamplingPercentage": 100,
        "DestinationS3Uri": f"s3://{data}/captured",
        "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
        "CaptureContentTypeHeader": {"CsvContentTypes": ["text/csv"]},
    }
    name = endpoint(client, endpoint_config(client, stand_in_model(client, data), DataCaptureConfig=capture))
    assert sagemaker.describe_endpoint(EndpointName=name)["DataCaptureConfig"]["CaptureStatus"] == "Started"
    ask(client, name, InferenceId="mine")
    prefix = f"captured/{name}/AllTraffic/"
    lines = wait_until(lambda: list(objects(client, data, prefix).values()))
    (line,) = map(json.loads, lines)
    assert line["captureData"]["endpointInput"]["data"] == "1,2"
    assert line["eventMetadata"]["inferenceId"] == "mine"


def test_limits_and_wrong_kinds_of_call_are_refused(client, data):
    model = stand_in_model(client, data)
    runtime = client("sagemaker-runtime")
    serverless = endpoint(client, endpoint_config(client, model, serverless=SERVERLESS))
    queued = endpoint(client, endpoint_config(client, model, AsyncInferenceConfig=asynchronous(data)))
    with pytest.raises(ClientError) as caught:
        ask(client, serverless, "1" * (4 * 2**20 + 1))
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 413
    for call, words in (
        (lambda: ask(client, queued), "asynchronous inference endpoint"),
        (lambda: runtime.invoke_endpoint_async(EndpointName=serverless, Body=b"1"), "not an asynchronous"),
        (lambda: runtime.invoke_endpoint_async(EndpointName=queued), "Exactly one of Body and InputLocation"),
        (lambda: runtime.invoke_endpoint_async(EndpointName=queued, Body=b"1" * 128_001), "128000"),
        (lambda: ask(client, serverless, TargetVariant="other"), "Variant other not found"),
        (lambda: ask(client, serverless, TargetModel="m.tar.gz"), "is not a multi-model endpoint"),
        (lambda: ask(client, serverless, TargetContainerHostname="h"), "is not a multi-container endpoint"),
        (lambda: ask(client, serverless, InferenceComponentName="c"), "does not deploy inference components"),
        (lambda: ask(client, serverless, EnableExplanations="`true`"), "has no ExplainerConfig"),
        (lambda: ask(client, serverless, CustomAttributes="x" * 1025), "less than or equal to 1024"),
    ):
        with pytest.raises(ClientError, match=words) as caught:
            call()
        assert caught.value.response["Error"]["Code"] == "ValidationError"


def test_an_endpoint_stays_what_it_is(client, sagemaker, data):
    model = stand_in_model(client, data)
    realtime = endpoint(client, endpoint_config(client, model))
    serverless = endpoint(client, endpoint_config(client, model, serverless=SERVERLESS))
    for name, config, words in (
        (realtime, endpoint_config(client, model, serverless=SERVERLESS), "to a serverless endpoint"),
        (realtime, endpoint_config(client, model, AsyncInferenceConfig=asynchronous(data)), "cannot be added"),
    ):
        with pytest.raises(ClientError, match=words) as caught:
            sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=config)
        assert caught.value.response["Error"]["Code"] == "ValidationException"
    sagemaker.update_endpoint(EndpointName=serverless, EndpointConfigName=endpoint_config(client, model))
    assert settled(client, serverless)["ProductionVariants"][0]["CurrentInstanceCount"] == 1
    assert ask(client, serverless) == "3.0"


def test_an_endpoint_lives_on_without_its_configuration(client, sagemaker, data):
    model = stand_in_model(client, data)
    config = endpoint_config(client, model)
    name = endpoint(client, config)
    sagemaker.delete_endpoint_config(EndpointConfigName=config)
    with pytest.raises(ClientError, match="Could not find endpoint configuration"):
        sagemaker.describe_endpoint_config(EndpointConfigName=config)
    two = [{"VariantName": "AllTraffic", "DesiredInstanceCount": 2}]
    sagemaker.update_endpoint_weights_and_capacities(EndpointName=name, DesiredWeightsAndCapacities=two)
    assert settled(client, name)["ProductionVariants"][0]["CurrentInstanceCount"] == 2
    successor = endpoint_config(client, model)
    sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=successor)
    assert settled(client, name)["EndpointConfigName"] == successor
    sagemaker.delete_endpoint_config(EndpointConfigName=successor)
    assert ask(client, name) == "3.0"
    sagemaker.delete_endpoint(EndpointName=name)
    sagemaker.get_waiter("endpoint_deleted").wait(EndpointName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60})


def test_deleting_an_endpoint_lets_requests_finish_and_leaves_no_process(client, sagemaker, data):
    name = endpoint(client, endpoint_config(client, stand_in_model(client, data, slow=2)))
    answers = []
    caller = threading.Thread(target=lambda: answers.append(ask(client, name)))
    caller.start()
    time.sleep(0.5)
    sagemaker.delete_endpoint(EndpointName=name)
    caller.join()
    assert answers == ["3.0"]
    wait_until(lambda: not servers(name))


def test_metrics_and_logs_carry_awss_names(client, data):
    name = endpoint(client, endpoint_config(client, stand_in_model(client, data, slow=0.1, reject_on="9")))
    ask(client, name)
    with pytest.raises(ClientError):
        ask(client, name, "9")
    where = [{"Name": "EndpointName", "Value": name}, {"Name": "VariantName", "Value": "AllTraffic"}]

    def statistic(metric: str, which: str) -> tuple[float, str]:
        now = time.time()
        (point,) = client("cloudwatch").get_metric_statistics(
            Namespace="AWS/SageMaker",
            MetricName=metric,
            Dimensions=where,
            StartTime=now - 3600,
            EndTime=now + 60,
            Period=7200,
            Statistics=[which],
        )["Datapoints"]
        return point[which], point["Unit"]

    assert statistic("Invocations", "Sum") == (2, "None")
    assert statistic("Invocation4XXErrors", "Average") == (0.5, "None")
    assert statistic("Invocation5XXErrors", "Sum")[0] == 0
    latency, unit = statistic("ModelLatency", "Minimum")
    assert unit == "Microseconds"
    assert latency >= 100_000
    logs = client("logs")
    group = f"/aws/sagemaker/Endpoints/{name}"
    wait_until(lambda: logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"])
    events = wait_until(lambda: logs.filter_log_events(logGroupName=group)["events"])
    assert any("environment" in event["message"] for event in events)
    assert re.fullmatch(r"AllTraffic/i-[0-9a-f]{17}", events[0]["logStreamName"])


def test_a_crashed_process_is_replaced(client, data):
    name = endpoint(client, endpoint_config(client, stand_in_model(client, data)))
    (crashed,) = servers(name)
    crashed.kill()
    wait_until(lambda: answers(client, name))
    (server,) = servers(name)
    assert server != crashed


def answers(client, name: str) -> bool:
    try:
        return ask(client, name) == "3.0"
    except ClientError:
        return False


def test_a_process_that_does_not_answer_pings_is_replaced(client, data):
    name = endpoint(client, endpoint_config(client, stand_in_model(client, data)))
    (hung,) = servers(name)
    hung.suspend()
    wait_until(lambda: [server for server in servers(name) if server != hung])
    wait_until(lambda: answers(client, name))
    wait_until(lambda: hung not in servers(name))


def test_what_the_processes_use_is_published(client, data):
    name = endpoint(client, endpoint_config(client, stand_in_model(client, data)))
    where = [{"Name": "EndpointName", "Value": name}, {"Name": "VariantName", "Value": "AllTraffic"}]

    def statistics(metric: str) -> list[dict]:
        now = time.time()
        return client("cloudwatch").get_metric_statistics(
            Namespace="/aws/sagemaker/Endpoints",
            MetricName=metric,
            Dimensions=where,
            StartTime=now - 600,
            EndTime=now + 60,
            Period=3600,
            Statistics=["Maximum"],
        )["Datapoints"]

    for metric, least in (("MemoryUtilization", 0.001), ("CPUUtilization", 0.0), ("DiskUtilization", 0.0)):
        (point,) = wait_until(lambda metric=metric: statistics(metric), 20)
        assert point["Unit"] == "Percent"
        assert least <= point["Maximum"] < 400


@pytest.mark.parametrize("word", ["fail", "never"])
def test_instances_that_cannot_be_had(client, sagemaker, stand_in_cloud, data, word):
    config = endpoint_config(client, stand_in_model(client, data))
    control.set_faults(stand_in_cloud, endpoint_starts=word)
    name = random_name("endpoint")
    try:
        sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=config)
        if word == "fail":
            assert "InsufficientInstanceCapacity" in settled(client, name)["FailureReason"]
            return
        time.sleep(1)
        assert sagemaker.describe_endpoint(EndpointName=name)["EndpointStatus"] == "Creating"
    finally:
        control.set_faults(stand_in_cloud)
    assert settled(client, name)["EndpointStatus"] == "InService"


def test_an_alarm_turns_a_canary_back(client, sagemaker, data):
    model, alarm = stand_in_model(client, data), random_name("alarm")
    name = endpoint(client, endpoint_config(client, model, count=2))
    old = sagemaker.describe_endpoint(EndpointName=name)["EndpointConfigName"]
    client("cloudwatch").put_metric_alarm(
        AlarmName=alarm,
        Namespace="Test",
        MetricName=alarm,
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=0,
        ComparisonOperator="GreaterThanThreshold",
        TreatMissingData="ignore",  # the state that is set stays until the deployment has seen it
    )
    traffic = {
        "Type": "CANARY",
        "CanarySize": {"Type": "INSTANCE_COUNT", "Value": 1},
        "WaitIntervalInSeconds": 3600,  # a minute here
    }
    deployment = {
        "BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": traffic},
        "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": alarm}]},
    }
    plus = endpoint_config(client, stand_in_model(client, data, plus=100), count=2)
    sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=plus, DeploymentConfig=deployment)
    wait_until(lambda: {ask(client, name) for _ in range(10)} == {"3.0", "103.0"}, 90)
    client("cloudwatch").set_alarm_state(AlarmName=alarm, StateValue="ALARM", StateReason="drill")
    described = settled(client, name, 90)
    assert described["EndpointConfigName"] == old
    assert alarm in described["FailureReason"]
    assert {ask(client, name) for _ in range(10)} == {"3.0"}


def heard(client, detail_type: str) -> Callable[[str], list[dict]]:
    """Listen to events of a type; the function that is returned gives what was heard of an endpoint so far."""
    queue = client("sqs").create_queue(QueueName=random_name("states"))["QueueUrl"]
    attributes = client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]
    rule, events = random_name("rule"), []
    pattern = {"source": ["aws.sagemaker"], "detail-type": [detail_type]}
    client("events").put_rule(Name=rule, EventPattern=json.dumps(pattern))
    client("events").put_targets(Rule=rule, Targets=[{"Id": "queue", "Arn": attributes["QueueArn"]}])

    def so_far(name: str) -> list[dict]:
        messages = client("sqs").receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", [])
        for message in messages:
            client("sqs").delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
        events.extend(json.loads(message["Body"]) for message in messages)
        return [event for event in events if event["detail"]["EndpointName"] == name]

    return so_far


def test_a_deployment_says_how_far_it_is(client, sagemaker, data):
    events = heard(client, "SageMaker Endpoint Deployment State Change")
    config = endpoint_config(client, stand_in_model(client, data), count=2)
    name = endpoint(client, config)
    slow = endpoint_config(client, stand_in_model(client, data, plus=1), count=2)
    traffic = {
        "Type": "CANARY",
        "CanarySize": {"Type": "INSTANCE_COUNT", "Value": 1},
        "WaitIntervalInSeconds": 120,  # two seconds here
    }
    deployment = {"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": traffic, "TerminationWaitInSeconds": 60}}
    sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=slow, DeploymentConfig=deployment)
    seen: dict[str, str] = {}

    def baking() -> bool:
        described = sagemaker.describe_endpoint(EndpointName=name)
        for variant in described.get("PendingDeploymentSummary", {}).get("ProductionVariants", []):
            for status in variant["VariantStatus"]:
                seen[status["Status"]] = status["StatusMessage"]
        return described["EndpointStatus"] == "InService"

    wait_until(baking)
    assert seen["Baking"].startswith("Baking for ")
    described = sagemaker.describe_endpoint(EndpointName=name)
    assert described["LastDeploymentConfig"] == deployment
    assert "PendingDeploymentSummary" not in described
    (image,) = described["ProductionVariants"][0]["DeployedImages"]
    assert image["SpecifiedImage"] == "example.com/any:1"
    wait_until(lambda: stages(events(name))[-1:] == ["Deleting"])
    assert [s for s in ORDER if s in stages(events(name))] == ORDER
    pending = next(e["detail"] for e in events(name) if stages([e]) == ["Baking"])["PendingDeploymentSummary"]
    assert (pending["EndpointConfigName"], pending["ProductionVariants"][0]["DesiredInstanceCount"]) == (slow, 2)


ORDER = ["Creating", "ActivatingTraffic", "Baking", "Deleting"]


def stages(events: list[dict]) -> list[str]:
    """Return the stages of deployments that events tell of, in the order of their times."""
    variants = [event["detail"]["PendingDeploymentSummary"]["ProductionVariants"][0] for event in events]
    found = sorted((v["VariantStatus"][0] for v in variants), key=lambda status: status["StartTime"])
    return [status["Status"] for status in found]


def test_eventbridge_hears_of_every_state(client, data):
    events = heard(client, "SageMaker Endpoint State Change")
    name = endpoint(client, endpoint_config(client, stand_in_model(client, data)))
    wait_until(lambda: len(events(name)) >= 2)
    arn = f"arn:aws:sagemaker:us-east-1:000000000000:endpoint/{name}"
    seen = [(event["detail"]["EndpointStatus"], event["resources"]) for event in events(name)]
    assert sorted(seen) == [("CREATING", [arn]), ("IN_SERVICE", [arn])]
