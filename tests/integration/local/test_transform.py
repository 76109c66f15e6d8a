"""Batch Transform in the local cloud, from boto3 and from Step Functions, with a model server that really runs."""

import json

import pytest
from botocore.exceptions import ClientError

from tests.integration.local.actions import (
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

pytestmark = pytest.mark.local_only("it is about the local cloud itself")


@pytest.fixture
def data(client):
    name = bucket(client)
    put(client, name, in__a_csv="1,10,1\n2,20,2\n", in__sub__b_csv="3,30,3\n")
    return name


def run(client, request) -> dict:
    client("sagemaker").create_transform_job(**request)
    return finished(client, request["TransformJobName"])


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
    assert job["FailureReason"].startswith("AlgorithmError: See job logs for more information")
    assert "in/bad.csv" in job["FailureReason"]
    assert "cannot score 666" in job["FailureReason"]
    assert set(objects(client, data)) == {"a.csv.out", "sub/b.csv.out"}


def test_a_rejected_record_is_a_client_error(client, data):
    job = run(client, csv_job(data, stand_in_model(client, data, reject_on="30,3")))
    assert job["FailureReason"].startswith("ClientError: See job logs for more information")


def test_answers_of_503_are_retried(client, data):
    job = run(client, csv_job(data, stand_in_model(client, data, flaky=2)))
    assert job["TransformJobStatus"] == "Completed", job.get("FailureReason")


def test_a_swallowed_record_fails_the_join(client, data):
    job = run(client, csv_job(data, stand_in_model(client, data, swallow_on="20,2")))
    assert job["TransformJobStatus"] == "Failed"
    assert "Fail to join" in job["FailureReason"]
    assert set(objects(client, data)) == {"sub/b.csv.out"}


def test_a_prefix_without_objects_fails_in_awss_words(client):
    empty = bucket(client)
    job = run(client, csv_job(empty, stand_in_model(client, empty)))
    assert job["FailureReason"].startswith(f'ClientError: No S3 objects found under S3 URL "s3://{empty}/in/"')


def test_an_output_bucket_that_does_not_exist_is_named(client, data):
    request = csv_job(data, stand_in_model(client, data))
    request["TransformOutput"]["S3OutputPath"] = "s3://nobodys-bucket/out/"
    assert run(client, request)["FailureReason"].startswith("ClientError: Failed to upload to s3://nobodys-bucket/out/")


def test_a_server_that_does_not_start_is_quoted_in_the_failure(client, data):
    job = run(client, csv_job(data, stand_in_model(client, data, crash="no such estimator")))
    assert job["FailureReason"].startswith("AlgorithmError")
    assert "no such estimator" in job["FailureReason"]


def test_a_missing_artifact_is_named(client, data):
    model = stand_in_model(client, data)
    client("s3").delete_object(Bucket=data, Key=f"{model}/model.tar.gz")
    job = run(client, csv_job(data, model))
    assert f"Could not access model data at s3://{data}/{model}/model.tar.gz" in job["FailureReason"]


def test_several_instances_share_the_objects(client, data):
    put(client, data, **{f"in__s{i}_csv": f"{i},1,1\n" for i in range(4)})
    request = csv_job(data, stand_in_model(client, data))
    request["TransformResources"]["InstanceCount"] = 3
    assert run(client, request)["TransformJobStatus"] == "Completed"
    assert len(objects(client, data)) == 6
    streams = client("logs").describe_log_streams(
        logGroupName="/aws/sagemaker/TransformJobs", logStreamNamePrefix=request["TransformJobName"]
    )["logStreams"]
    assert len(streams) == 3


def test_the_container_sees_what_sagemaker_sets(client, data):
    request = csv_job(data, stand_in_model(client, data), Environment={"SAGEMAKER_EXTRA": "yes"})
    run(client, request)
    events = client("logs").get_log_events(
        logGroupName="/aws/sagemaker/TransformJobs", logStreamName=f"{request['TransformJobName']}/local-0"
    )["events"]
    line = next(e["message"] for e in events if e["message"].startswith("environment "))
    seen = json.loads(line.removeprefix("environment "))
    expected = {
        "SAGEMAKER_BATCH": "true",
        "SAGEMAKER_BATCH_STRATEGY": "MULTI_RECORD",
        "SAGEMAKER_MAX_PAYLOAD_IN_MB": "6",
        "SAGEMAKER_MAX_CONCURRENT_TRANSFORMS": "2",
        "SAGEMAKER_PROGRAM": "score.py",
        "SAGEMAKER_EXTRA": "yes",
    }
    assert expected.items() <= seen.items()


def test_a_stopped_job_ends_stopped(client, data):
    request = csv_job(data, stand_in_model(client, data, slow=2))
    sagemaker = client("sagemaker")
    sagemaker.create_transform_job(**request)
    sagemaker.stop_transform_job(TransformJobName=request["TransformJobName"])
    assert finished(client, request["TransformJobName"])["TransformJobStatus"] == "Stopped"
    with pytest.raises(ClientError, match="in status Stopped"):
        sagemaker.stop_transform_job(TransformJobName=request["TransformJobName"])


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
    assert "a.csv.out" in objects(client, data)


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


def test_the_end_of_a_job_is_an_event(client, data):
    sqs, events = client("sqs"), client("events")
    queue = sqs.create_queue(QueueName=random_name("queue"))["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    rule = random_name("rule")
    pattern = {"source": ["aws.sagemaker"], "detail": {"TransformJobStatus": ["Completed"]}}
    events.put_rule(Name=rule, EventPattern=json.dumps(pattern))
    events.put_targets(Rule=rule, Targets=[{"Id": "queue", "Arn": arn}])
    request = csv_job(data, stand_in_model(client, data))
    run(client, request)

    def received():
        messages = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", [])
        bodies = [json.loads(m["Body"]) for m in messages]
        return [b for b in bodies if b["detail"]["TransformJobName"] == request["TransformJobName"]]

    (event,) = wait_until(received)
    assert event["detail-type"] == "SageMaker Transform Job State Change"
