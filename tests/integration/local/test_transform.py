"""Batch Transform in the local cloud, from boto3 and from Step Functions, with a model server that really runs."""

import gzip
import json
import re
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import psutil
import pytest
from botocore.exceptions import ClientError

from tests.integration.local.actions import (
    ROLE,
    bucket,
    csv_job,
    executed,
    finished,
    objects,
    put,
    random_name,
    stand_in_model,
    state_machine,
    wait_until,
)
from tests.unit.local.framed import recordio_record, tfrecord

pytestmark = pytest.mark.local_only("it is about the local cloud itself")


@pytest.fixture
def data(client):
    name = bucket(client)
    put(client, name, in__a_csv="1,10,1\n2,20,2\n", in__sub__b_csv="3,30,3\n")
    return name


def run(client, request) -> dict:
    client("sagemaker").create_transform_job(**request)
    return finished(client, request["TransformJobName"])


def logged(client, job: str, data_log: bool = False) -> dict[str, list[str]]:
    """Return the lines of a job's container logs, or of its data logs, by stream."""
    logs, group = client("logs"), "/aws/sagemaker/TransformJobs"
    streams = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=f"{job}/")["logStreams"]
    names = [s["logStreamName"] for s in streams if s["logStreamName"].endswith("/data-log") == data_log]
    return {
        name: [e["message"] for e in logs.get_log_events(logGroupName=group, logStreamName=name)["events"]]
        for name in names
    }


def data_log(client, job: dict) -> str:
    return "\n".join(
        line for lines in logged(client, job["TransformJobName"], data_log=True).values() for line in lines
    )


def requests_of(client, job: str, at_least: int = 0) -> list[str]:
    """Return what the stand-in servers of a job said of each request, once `at_least` lines are in the log."""

    def said() -> list[str]:
        return [line for lines in logged(client, job).values() for line in lines if line.startswith("POST ")]

    deadline = time.monotonic() + 10  # a log may lag behind the job, as on AWS
    while len(said()) < at_least and time.monotonic() < deadline:
        time.sleep(0.1)
    return said()


def servers_of(job: str) -> list[int]:
    """Return the processes that serve a job's model: those that know its scratch folder and start no others."""

    def serves(process: psutil.Process) -> bool:
        try:
            return any(f"-{job}/" in value for value in process.environ().values()) and not process.children()
        except psutil.Error:
            return False

    return [process.pid for process in psutil.process_iter() if serves(process)]


@pytest.fixture
def events(client):
    """A function that waits for a number of a job's state changes and returns them."""
    sqs, bus = client("sqs"), client("events")
    queue = sqs.create_queue(QueueName=random_name("queue"))["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    rule = random_name("rule")
    pattern = {"source": ["aws.sagemaker"], "detail-type": ["SageMaker Transform Job State Change"]}
    bus.put_rule(Name=rule, EventPattern=json.dumps(pattern))
    bus.put_targets(Rule=rule, Targets=[{"Id": "queue", "Arn": arn}])
    found = []

    def received(job: str, count: int) -> list[dict]:
        def enough():
            messages = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", [])
            bodies = [json.loads(message["Body"]) for message in messages]
            found.extend(body for body in bodies if body["detail"]["TransformJobName"] == job)
            return len(found) >= count

        wait_until(enough)
        return found

    yield received
    bus.remove_targets(Rule=rule, Ids=["queue"])
    bus.delete_rule(Name=rule)


def test_each_object_gets_an_out_file_with_row_and_prediction_in_order(client, data):
    job = run(client, csv_job(data, stand_in_model(client, data)))
    assert job["TransformJobStatus"] == "Completed", job
    assert objects(client, data) == {"a.csv.out": "1,11.0\n2,22.0\n", "sub/b.csv.out": "3,33.0\n"}
    assert job["TransformEndTime"] > job["TransformStartTime"] > job["CreationTime"]


def test_json_lines_join_puts_the_prediction_beside_the_row(client):
    data = bucket(client)
    lines = [{"row": 1, "features": {"a": 1, "b": 2}}, {"row": 2, "features": {"a": 5, "b": 5}}]
    client("s3").put_object(Bucket=data, Key="in/x.jsonl", Body="\n".join(map(json.dumps, lines)).encode())
    request = csv_job(data, stand_in_model(client, data))
    request["TransformInput"]["ContentType"] = request["TransformOutput"]["Accept"] = "application/jsonlines"
    request["DataProcessing"] = {
        "InputFilter": "$.features",
        "JoinSource": "Input",
        "OutputFilter": "$['row','SageMakerOutput']",
    }
    assert run(client, request)["TransformJobStatus"] == "Completed"
    out = [json.loads(line) for line in objects(client, data)["x.jsonl.out"].splitlines()]
    assert out == [{"row": 1, "SageMakerOutput": {"total": 3}}, {"row": 2, "SageMakerOutput": {"total": 10}}]


def test_a_shard_that_the_model_cannot_score_has_no_output_and_the_others_keep_theirs(client, data):
    put(client, data, in__bad_csv="9,666,1\n")
    request = csv_job(data, stand_in_model(client, data, fail_on="666"), ModelClientConfig={"InvocationsMaxRetries": 0})
    job = run(client, request)
    assert job["TransformJobStatus"] == "Failed"
    assert job["FailureReason"] == "AlgorithmError: See job logs for more information"
    assert f"{data}/in/bad.csv: cannot score 666" in data_log(client, job)
    assert set(objects(client, data)) == {"a.csv.out", "sub/b.csv.out"}


def test_a_rejected_record_is_a_client_error(client, data):
    job = run(client, csv_job(data, stand_in_model(client, data, reject_on="30,3")))
    assert job["FailureReason"] == "ClientError: See job logs for more information"


def test_answers_of_503_are_retried(client, data):
    request = csv_job(data, stand_in_model(client, data, flaky=2))
    job = run(client, request)
    assert job["TransformJobStatus"] == "Completed", job.get("FailureReason")
    assert len(requests_of(client, request["TransformJobName"], 2 + 2)) == 2 + 2


def test_the_data_log_has_all_that_the_container_said_of_a_failed_object(client, data):
    client("s3").delete_object(Bucket=data, Key="in/a.csv")
    request = csv_job(data, stand_in_model(client, data, fail_on="30,3"))
    run(client, request)
    (lines,) = logged(client, request["TransformJobName"], data_log=True).values()
    moments, said = zip(*(line.split(":[sagemaker logs]: ") for line in lines), strict=True)
    name = f"{data}/in/sub/b.csv: "
    assert said == (
        "MaxConcurrentTransforms=2, MaxPayloadInMB=6, BatchStrategy=MULTI_RECORD",
        f"{name}Bad HTTP status received from algorithm: 500",
        name,
        f"{name}Message:",
        f"{name}cannot score 30,3",
    )
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}", moment) for moment in moments)


def test_a_swallowed_record_fails_the_join(client, data):
    job = run(client, csv_job(data, stand_in_model(client, data, swallow_on="20,2")))
    assert job["TransformJobStatus"] == "Failed"
    assert "Fail to join" in data_log(client, job)
    assert set(objects(client, data)) == {"sub/b.csv.out"}


def test_a_prefix_without_objects_fails_in_awss_words(client):
    empty = bucket(client)
    job = run(client, csv_job(empty, stand_in_model(client, empty)))
    assert job["FailureReason"].startswith(f'ClientError: No S3 objects found under S3 URL "s3://{empty}/in/"')


def test_an_output_bucket_that_does_not_exist_is_named(client, data):
    request = csv_job(data, stand_in_model(client, data))
    request["TransformOutput"]["S3OutputPath"] = "s3://nobodys-bucket/out/"
    assert run(client, request)["FailureReason"].startswith("ClientError: Failed to upload to s3://nobodys-bucket/out/")


def test_a_server_that_does_not_start_is_quoted_in_the_data_log(client, data):
    job = run(client, csv_job(data, stand_in_model(client, data, crash="no such estimator")))
    assert job["FailureReason"].startswith("AlgorithmError: Model container failed to respond to ping.")
    assert "no such estimator" in data_log(client, job)


def test_a_missing_artifact_is_named(client, data):
    model = stand_in_model(client, data)
    client("s3").delete_object(Bucket=data, Key=f"{model}/model.tar.gz")
    job = run(client, csv_job(data, model))
    assert f"s3://{data}/{model}/model.tar.gz" in job["FailureReason"]


def test_several_instances_share_the_objects_each_in_a_process_of_its_own(client, data):
    put(client, data, **{f"in__s{i}_csv": f"{i},1,1\n" for i in range(4)})
    request = csv_job(data, stand_in_model(client, data, slow=0.5))
    request["TransformResources"]["InstanceCount"] = 3
    client("sagemaker").create_transform_job(**request)
    wait_until(lambda: len(servers_of(request["TransformJobName"])) == 3)
    assert finished(client, request["TransformJobName"])["TransformJobStatus"] == "Completed"
    assert servers_of(request["TransformJobName"]) == []
    assert len(objects(client, data)) == 6
    streams = logged(client, request["TransformJobName"])
    assert [sum(line.startswith("POST ") for line in lines) for lines in streams.values()] == [2, 2, 2]
    names = [re.fullmatch(r"(.*)/(i-[0-9a-f]{17})-(\d{10})", name) for name in streams]
    assert len({name[2] for name in names}) == 3


def test_an_instance_without_an_object_starts_no_process(client, data):
    request = csv_job(data, stand_in_model(client, data))
    request["TransformResources"]["InstanceCount"] = 5
    run(client, request)
    assert len(logged(client, request["TransformJobName"])) == 2


def environment(client, job: str) -> dict[str, str]:
    (lines,) = logged(client, job).values()
    return json.loads(next(line for line in lines if line.startswith("environment ")).removeprefix("environment "))


def test_the_container_sees_what_sagemaker_sets(client, data):
    request = csv_job(data, stand_in_model(client, data), Environment={"SAGEMAKER_EXTRA": "yes"})
    run(client, request)
    expected = {
        "SAGEMAKER_BATCH": "true",
        "SAGEMAKER_BATCH_STRATEGY": "MULTI_RECORD",
        "SAGEMAKER_MAX_PAYLOAD_IN_MB": "6",
        "SAGEMAKER_MAX_CONCURRENT_TRANSFORMS": "2",
        "SAGEMAKER_PROGRAM": "score.py",
        "SAGEMAKER_EXTRA": "yes",
    }
    assert expected.items() <= environment(client, request["TransformJobName"]).items()
    assert all("text/csv to text/csv, whole" in line for line in requests_of(client, request["TransformJobName"]))


def test_the_containers_own_parameters_hold_where_the_job_says_nothing(client, data):
    offered = {"MaxConcurrentTransforms": 4, "BatchStrategy": "SINGLE_RECORD", "MaxPayloadInMB": 1}
    request = csv_job(data, stand_in_model(client, data, execution_parameters=offered))
    request["MaxConcurrentTransforms"] = 0
    del request["BatchStrategy"], request["MaxPayloadInMB"]
    assert run(client, request)["TransformJobStatus"] == "Completed"
    job = request["TransformJobName"]
    unset = {"SAGEMAKER_BATCH_STRATEGY", "SAGEMAKER_MAX_PAYLOAD_IN_MB", "SAGEMAKER_MAX_CONCURRENT_TRANSFORMS"}
    assert not unset & environment(client, job).keys()
    assert len(requests_of(client, job, 3)) == 3
    (lines,) = logged(client, job, data_log=True).values()
    assert lines[0].endswith(
        ":[sagemaker logs]: MaxConcurrentTransforms=4, MaxPayloadInMB=1, BatchStrategy=SINGLE_RECORD"
    )


def test_a_stopped_job_ends_its_processes_and_keeps_what_was_written(client, data, events):
    client("s3").delete_object(Bucket=data, Key="in/sub/b.csv")
    put(client, data, in__z_csv="".join(f"{i},1,1\n" for i in range(500)))
    changes = {"BatchStrategy": "SingleRecord", "MaxConcurrentTransforms": 1, "Tags": [{"Key": "team", "Value": "a"}]}
    request = csv_job(data, stand_in_model(client, data, slow=0.1), **changes)
    sagemaker, job = client("sagemaker"), request["TransformJobName"]
    sagemaker.create_transform_job(**request)
    wait_until(lambda: objects(client, data))
    assert len(servers_of(job)) == 1
    sagemaker.stop_transform_job(TransformJobName=job)
    assert finished(client, job)["TransformJobStatus"] == "Stopped"
    assert objects(client, data).keys() == {"a.csv.out"}
    assert servers_of(job) == []
    states = {event["detail"]["TransformJobStatus"]: event["detail"] for event in events(job, 3)}
    assert states.keys() == {"InProgress", "Stopping", "Stopped"}
    assert all(state["Tags"] == {"team": "a"} for state in states.values())
    with pytest.raises(ClientError, match="in status Stopped"):
        sagemaker.stop_transform_job(TransformJobName=job)


def test_a_job_name_is_used_once(client, data):
    request = csv_job(data, stand_in_model(client, data))
    run(client, request)
    with pytest.raises(ClientError, match=r"ResourceInUse.*Job name must be unique"):
        client("sagemaker").create_transform_job(**request)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"TransformJobName": "not_a_name"}, "regular expression pattern"),
        ({"ModelName": "nobody"}, "Could not find model"),
        ({"MaxPayloadInMB": 60}, "must not exceed 100 MB"),
        ({"DataProcessing": {"InputFilter": "$..x"}}, "not supported by DataProcessing"),
    ],
)
def test_what_aws_refuses_is_refused(client, data, change, message):
    request = {**csv_job(data, stand_in_model(client, data)), **change}
    with pytest.raises(ClientError, match=message) as caught:
        client("sagemaker").create_transform_job(**request)
    assert caught.value.response["Error"]["Code"] == "ValidationException"


def test_operations_that_are_not_emulated_say_so(client):
    with pytest.raises(ClientError, match="ListTrainingJobs is not emulated by the local cloud"):
        client("sagemaker").list_training_jobs()


def test_jobs_and_models_are_listed_with_tags(client, data):
    model = stand_in_model(client, data)
    request = csv_job(data, model, Tags=[{"Key": "team", "Value": "growth"}])
    job = run(client, request)
    sagemaker = client("sagemaker")
    listed = sagemaker.list_transform_jobs(NameContains=request["TransformJobName"])["TransformJobSummaries"]
    assert [(j["TransformJobName"], j["TransformJobStatus"]) for j in listed] == [
        (request["TransformJobName"], "Completed")
    ]
    assert sagemaker.list_tags(ResourceArn=job["TransformJobArn"])["Tags"] == [{"Key": "team", "Value": "growth"}]
    assert [m["ModelName"] for m in sagemaker.list_models(NameContains=model)["Models"]] == [model]


def machine_of(client, request, **task) -> str:
    states = {
        "Transform": {
            "Type": "Task",
            "Resource": "arn:aws:states:::sagemaker:createTransformJob.sync",
            "Parameters": request,
            "End": True,
            **task,
        }
    }
    return state_machine(client, {"StartAt": "Transform", "States": states})


def test_step_functions_waits_for_the_job_and_returns_its_description(client, data):
    request = csv_job(data, stand_in_model(client, data))
    execution = executed(client, machine_of(client, request))
    assert execution["status"] == "SUCCEEDED", execution
    output = json.loads(execution["output"])
    assert output["TransformJobStatus"] == "Completed"
    assert output["TransformEndTime"] > 1_600_000_000_000
    assert (output["TransformInput"]["CompressionType"], output["TransformOutput"]["KmsKeyId"]) == ("None", "")
    assert "a.csv.out" in objects(client, data)


def test_a_state_machine_makes_an_endpoint_and_asks_it(client, data):
    name, model = random_name("chain"), stand_in_model(client, data)
    ready = {"Variable": "$.found.EndpointStatus", "StringEquals": "InService", "Next": "Ask"}
    variant = {"VariantName": "v", "ModelName": model, "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    named = {"EndpointName": name, "EndpointConfigName": name}

    def task(resource: str, parameters: dict, **more: Any) -> dict:
        return {"Type": "Task", "Resource": f"arn:aws:states:::{resource}", "Parameters": parameters, **more}

    states = {
        "Config": task(
            "sagemaker:createEndpointConfig",
            {"EndpointConfigName": name, "ProductionVariants": [variant]},
            Next="Create",
        ),
        "Create": task("sagemaker:createEndpoint", named, Next="Look"),
        "Look": task("aws-sdk:sagemaker:describeEndpoint", {"EndpointName": name}, ResultPath="$.found", Next="Ready"),
        "Ready": {"Type": "Choice", "Choices": [ready], "Default": "Wait"},
        "Wait": {"Type": "Wait", "Seconds": 1, "Next": "Look"},
        "Ask": task(
            "aws-sdk:sagemakerruntime:invokeEndpoint",
            {"EndpointName": name, "Body": "1,2", "ContentType": "text/csv", "Accept": "text/csv"},
            End=True,
        ),
    }
    execution = executed(client, state_machine(client, {"StartAt": "Config", "States": states}))
    assert execution["status"] == "SUCCEEDED", execution
    answer = json.loads(execution["output"])
    assert (answer["Body"], answer["InvokedProductionVariant"]) == ("3.0", "v")
    client("sagemaker").delete_endpoint(EndpointName=name)


def test_an_express_state_machine_cannot_wait_for_a_job(client, data):
    task = {"Type": "Task", "Resource": "arn:aws:states:::sagemaker:createTransformJob.sync", "End": True}
    definition = json.dumps({"StartAt": "T", "States": {"T": task}})
    with pytest.raises(ClientError, match=r"does not support '\.sync' service integration") as caught:
        client("stepfunctions").create_state_machine(
            name=random_name("express"), definition=definition, roleArn=ROLE, type="EXPRESS"
        )
    assert caught.value.response["Error"]["Code"] == "InvalidDefinition"


def test_resources_are_found_by_their_tags_and_tagged_from_outside(client, data):
    team, tagging = random_name("team"), client("resourcegroupstaggingapi")
    request = csv_job(data, stand_in_model(client, data), Tags=[{"Key": "team", "Value": team}])
    arn = run(client, request)["TransformJobArn"]
    wanted = [{"Key": "team", "Values": [team]}]
    found = tagging.get_resources(TagFilters=wanted, ResourceTypeFilters=["sagemaker"])["ResourceTagMappingList"]
    assert found == [{"ResourceARN": arn, "Tags": [{"Key": "team", "Value": team}]}]
    tagging.tag_resources(ResourceARNList=[arn], Tags={"stage": "dev"})
    tagging.untag_resources(ResourceARNList=[arn], TagKeys=["team"])
    assert client("sagemaker").list_tags(ResourceArn=arn)["Tags"] == [{"Key": "stage", "Value": "dev"}]
    gone = tagging.tag_resources(ResourceARNList=[f"{arn}-x"], Tags={"a": "b"})["FailedResourcesMap"]
    assert gone[f"{arn}-x"]["ErrorCode"] == "InvalidParameterException"


def test_the_input_can_be_filtered_without_assembling_lines(client, data):
    request = csv_job(data, stand_in_model(client, data), DataProcessing={"InputFilter": "$[1:]"})
    del request["TransformOutput"]["AssembleWith"]
    assert run(client, request)["TransformJobStatus"] == "Completed"
    assert objects(client, data)["a.csv.out"].split() == ["11.0", "22.0"]


def test_step_functions_sees_a_failed_job_as_task_failed_with_the_job_as_cause(client, data):
    request = csv_job(data, stand_in_model(client, data, reject_on="30,3"))
    execution = executed(client, machine_of(client, request))
    assert (execution["status"], execution["error"]) == ("FAILED", "States.TaskFailed")
    assert json.loads(execution["cause"])["FailureReason"].startswith("ClientError")


def test_an_aborted_execution_stops_its_job(client, data):
    request = csv_job(data, stand_in_model(client, data, slow=60))
    sfn, sagemaker = client("stepfunctions"), client("sagemaker")
    execution = sfn.start_execution(stateMachineArn=machine_of(client, request))["executionArn"]
    wait_until(lambda: sagemaker.list_transform_jobs(NameContains=request["TransformJobName"])["TransformJobSummaries"])
    sfn.stop_execution(executionArn=execution)
    assert finished(client, request["TransformJobName"], seconds=15)["TransformJobStatus"] == "Stopped"
    assert sfn.describe_execution(executionArn=execution)["status"] == "ABORTED"


def test_step_functions_names_api_errors_as_aws_does(client, data):
    request = csv_job(data, stand_in_model(client, data))
    run(client, request)
    assert executed(client, machine_of(client, request))["error"] == "SageMaker.ResourceInUseException"
    unknown = csv_job(data, "nobody")
    assert executed(client, machine_of(client, unknown))["error"] == "SageMaker.AmazonSageMakerException"


def test_the_states_of_a_job_are_events(client, data, events):
    request = csv_job(data, stand_in_model(client, data))
    job = run(client, request)
    started, ended = sorted(events(request["TransformJobName"], 2), key=lambda event: len(event["detail"]))
    assert started["detail"]["TransformJobStatus"] == "InProgress"
    detail = ended["detail"]
    assert (ended["source"], ended["resources"]) == ("aws.sagemaker", [job["TransformJobArn"]])
    for name in ("CreationTime", "TransformStartTime", "TransformEndTime"):
        assert detail[name] == round(job[name].timestamp() * 1000)
    assert detail == {
        **request,
        "TransformInput": {**request["TransformInput"], "CompressionType": "None"},
        "TransformOutput": {**request["TransformOutput"], "KmsKeyId": ""},
        **{name: detail[name] for name in ("CreationTime", "TransformStartTime", "TransformEndTime")},
        "TransformJobArn": job["TransformJobArn"],
        "TransformJobStatus": "Completed",
        "Tags": {},
    }


def test_cpu_and_memory_are_measured_per_host(client, data):
    request = csv_job(data, stand_in_model(client, data))
    run(client, request)
    cloudwatch, job = client("cloudwatch"), request["TransformJobName"]
    (stream,) = logged(client, job)
    host = {"Name": "Host", "Value": stream.rpartition("-")[0]}
    now = datetime.now(UTC)
    for name in ("CPUUtilization", "MemoryUtilization"):
        (point,) = cloudwatch.get_metric_statistics(
            Namespace="/aws/sagemaker/TransformJobs",
            MetricName=name,
            Dimensions=[host],
            StartTime=now - timedelta(minutes=5),
            EndTime=now + timedelta(minutes=5),
            Period=3600,
            Statistics=["Maximum"],
            Unit="Percent",
        )["Datapoints"]
        assert 0 <= point["Maximum"] <= 100 * psutil.cpu_count()
    assert point["Maximum"] > 0


def test_a_manifest_names_the_objects_in_another_bucket(client, data):
    lists = bucket(client)
    manifest = [{"prefix": f"s3://{data}/in/"}, "sub/b.csv", "a.csv"]
    client("s3").put_object(Bucket=lists, Key="today.manifest", Body=json.dumps(manifest))
    put(client, data, in__c_csv="not listed")
    request = csv_job(data, stand_in_model(client, data))
    source = request["TransformInput"]["DataSource"]["S3DataSource"]
    source.update(S3DataType="ManifestFile", S3Uri=f"s3://{lists}/today.manifest")
    assert run(client, request)["TransformJobStatus"] == "Completed"
    assert objects(client, data) == {"a.csv.out": "1,11.0\n2,22.0\n", "sub/b.csv.out": "3,33.0\n"}


def test_an_object_that_the_manifest_names_in_vain_fails_and_the_others_are_kept(client, data):
    manifest = [{"prefix": f"s3://{data}/in/"}, "a.csv", "nobody.csv"]
    client("s3").put_object(Bucket=data, Key="list", Body=json.dumps(manifest))
    request = csv_job(data, stand_in_model(client, data))
    source = request["TransformInput"]["DataSource"]["S3DataSource"]
    source.update(S3DataType="ManifestFile", S3Uri=f"s3://{data}/list")
    job = run(client, request)
    assert job["FailureReason"] == "ClientError: See job logs for more information"
    assert re.search(r"in/nobody.csv: Failed to read the object: .*NoSuchKey", data_log(client, job))
    assert objects(client, data).keys() == {"a.csv.out"}


def test_a_prefix_without_a_slash_also_takes_its_neighbours(client, data):
    put(client, data, input_old__c_csv="4,40,4\n")
    request = csv_job(data, stand_in_model(client, data))
    request["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"] = f"s3://{data}/in"
    assert run(client, request)["TransformJobStatus"] == "Completed"
    assert objects(client, data).keys() == {"a.csv.out", "sub/b.csv.out", "input_old/c.csv.out"}


def bytes_job(bucket_name: str, model: str, split: str, **changes) -> dict:
    """Return a job whose bytes the stand-in echoes."""
    request = csv_job(bucket_name, model, **changes)
    del request["DataProcessing"]
    request["TransformInput"].update(SplitType=split, ContentType="application/octet-stream")
    request["TransformOutput"].update(AssembleWith="None", Accept="application/octet-stream")
    return request


def out_bytes(client, bucket_name: str, name: str) -> bytes:
    return client("s3").get_object(Bucket=bucket_name, Key=f"out/{name}.out")["Body"].read()


@pytest.mark.parametrize(("split", "write"), [("RecordIO", recordio_record), ("TFRecord", tfrecord)])
def test_binary_records_arrive_framed_together_and_bare_alone(client, split, write):
    data = bucket(client)
    records = [b"one", b"\x0a\x23\xd7\xcetwo!", b"", b"\xff\n\r\n" * 3]
    framed = b"".join(map(write, records))
    client("s3").put_object(Bucket=data, Key="in/r", Body=framed)
    model = stand_in_model(client, data, echo=True)
    together = bytes_job(data, model, split, BatchStrategy="MultiRecord")
    run(client, together)
    assert out_bytes(client, data, "r") == framed
    alone = bytes_job(data, model, split, BatchStrategy="SingleRecord")
    run(client, alone)
    assert out_bytes(client, data, "r") == b"".join(records)
    for request, count in ((together, 1), (alone, 4)):
        assert len(requests_of(client, request["TransformJobName"], count)) == count


def test_gzip_is_unpacked_on_the_way_in_and_keeps_its_name(client):
    data = bucket(client)
    client("s3").put_object(Bucket=data, Key="in/a.csv.gz", Body=gzip.compress(b"1,10,1\r\n2,20,2\r\n"))
    request = csv_job(data, stand_in_model(client, data))
    request["TransformInput"]["CompressionType"] = "Gzip"
    assert run(client, request)["TransformJobStatus"] == "Completed"
    assert objects(client, data) == {"a.csv.gz.out": "1,11.0\n2,22.0\n"}


def test_folder_markers_are_no_objects_and_an_empty_object_gives_an_empty_result(client, data):
    client("s3").put_object(Bucket=data, Key="in/sub/")
    client("s3").put_object(Bucket=data, Key="in/empty.csv")
    request = csv_job(data, stand_in_model(client, data))
    assert run(client, request)["TransformJobStatus"] == "Completed"
    assert objects(client, data)["empty.csv.out"] == ""
    assert len(objects(client, data)) == 3
    assert len(requests_of(client, request["TransformJobName"], 2)) == 2


def test_payload_0_sends_the_whole_object_in_chunks(client, data):
    request = bytes_job(data, stand_in_model(client, data, echo=True), "None", MaxPayloadInMB=0)
    del request["BatchStrategy"]
    assert run(client, request)["TransformJobStatus"] == "Completed"
    assert out_bytes(client, data, "a.csv") == b"1,10,1\n2,20,2\n"
    assert all(line.endswith(", chunked") for line in requests_of(client, request["TransformJobName"]))


LARGE, MEGABYTE = 100 * 1024 * 1024, 1024 * 1024


def test_an_object_of_100_mb_goes_through_in_bodies_of_the_payload(client):
    data = bucket(client)
    line = b"0123456789abcdef" * 64 + b"\n"
    body = line * (LARGE // len(line))
    client("s3").put_object(Bucket=data, Key="in/large", Body=body)
    request = bytes_job(data, stand_in_model(client, data, echo=True), "Line")
    assert run(client, request)["TransformJobStatus"] == "Completed"
    assert out_bytes(client, data, "large") == body
    # Two bodies are under way at a time: the log has them in the order in which they arrived.
    last, *full = sorted(int(line.split()[1]) for line in requests_of(client, request["TransformJobName"]))
    assert max(full) <= 6 * MEGABYTE < min(full) + len(line)
    assert (len(full), last + sum(full)) == (16, len(body))


def test_the_output_is_encrypted_with_the_jobs_key(client, data):
    key = client("kms").create_key()["KeyMetadata"]["Arn"]
    request = csv_job(data, stand_in_model(client, data))
    request["TransformOutput"]["KmsKeyId"] = request["TransformResources"]["VolumeKmsKeyId"] = key
    assert run(client, request)["TransformJobStatus"] == "Completed"
    head = client("s3").head_object(Bucket=data, Key="out/a.csv.out")
    assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", key)


def test_captured_data_are_manifests_and_each_record_gets_an_id(client, data):
    capture = {"DestinationS3Uri": f"s3://{data}/captured", "GenerateInferenceId": True}
    request = csv_job(data, stand_in_model(client, data), DataCaptureConfig=capture)
    job = run(client, request)
    assert job["TransformJobStatus"] == "Completed"
    hour = job["TransformStartTime"].astimezone(UTC).strftime("%Y/%m/%d/%H")
    manifests = objects(client, data, "captured/")
    written = {name.removesuffix(name.rpartition("/")[2]): json.loads(text) for name, text in manifests.items()}
    assert written == {
        f"input/{hour}/": [{"prefix": f"s3://{data}/in/"}, "a.csv", "sub/b.csv"],
        f"output/{hour}/": [{"prefix": f"s3://{data}/out/"}, "a.csv.out", "sub/b.csv.out"],
    }
    started = job["TransformStartTime"].astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert re.fullmatch(rf"3,33.0,[0-9a-f-]{{36}},{started}\n", objects(client, data)["sub/b.csv.out"])


def test_a_request_without_an_answer_in_time_is_named_in_awss_words(client, data):
    limits = {"InvocationsTimeoutInSeconds": 1, "InvocationsMaxRetries": 0}
    job = run(client, csv_job(data, stand_in_model(client, data, slow=20), ModelClientConfig=limits))
    assert "Model server did not respond to /invocations request within 1 seconds" in data_log(client, job)


def test_a_server_that_ends_meanwhile_fails_the_job_and_written_objects_stay(client, data):
    request = csv_job(data, stand_in_model(client, data, exit_on="30,3"), MaxConcurrentTransforms=1)
    job = run(client, request)
    assert job["FailureReason"] == "AlgorithmError: See job logs for more information"
    assert "The model server has exited" in data_log(client, job)
    assert objects(client, data).keys() == {"a.csv.out"}
