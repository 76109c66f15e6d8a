"""boto3 as anybody uses it against the local cloud: waiters, paginators, tags, Search, the model registry, errors."""

import json
from datetime import UTC, datetime

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, WaiterError

from tests.integration.local.actions import (
    ROLE,
    bucket,
    csv_job,
    finished,
    model_archive,
    objects,
    put,
    random_name,
    stand_in_model,
    wait_until,
)
from tests.integration.local.endpoint_actions import endpoint_config
from turnout.local import control

pytestmark = pytest.mark.local_only("it is about the local cloud's control plane")

SOON = {"Delay": 1, "MaxAttempts": 60}
ARN = "arn:aws:sagemaker:us-east-1:000000000000"


@pytest.fixture
def sagemaker(client):
    return client("sagemaker")


@pytest.fixture(scope="module")
def data(client) -> str:
    return bucket(client)


@pytest.fixture(scope="module")
def model(client, data) -> str:
    return stand_in_model(client, data)


@pytest.fixture(scope="module")
def unchecked(stand_in_cloud):
    """A client that sends whatever it is given."""
    return boto3.session.Session().client(
        "sagemaker",
        endpoint_url=stand_in_cloud.endpoint,
        region_name=control.REGION,
        aws_access_key_id=control.ACCOUNT,
        aws_secret_access_key="local",
        config=Config(parameter_validation=False, retries={"total_max_attempts": 1}),
    )


# Waiters


def test_the_waiters_of_transform_jobs_tell_success_from_failure(client, sagemaker, data, model):
    put(client, data, in__a_csv="1,2\n")
    good = csv_job(data, model)
    bad = csv_job(data, model)
    bad["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"] = f"s3://{data}/nothing-here/"
    for request in (good, bad):
        sagemaker.create_transform_job(**request)
    waiter = sagemaker.get_waiter("transform_job_completed_or_stopped")
    waiter.wait(TransformJobName=good["TransformJobName"], WaiterConfig=SOON)
    with pytest.raises(WaiterError, match='matched expected path: "Failed"'):
        waiter.wait(TransformJobName=bad["TransformJobName"], WaiterConfig=SOON)
    with pytest.raises(WaiterError, match="expected service error code: ValidationException"):
        waiter.wait(TransformJobName="nobody", WaiterConfig=SOON)
    summaries = sagemaker.list_transform_jobs(StatusEquals="Failed", NameContains=bad["TransformJobName"])
    (summary,) = summaries["TransformJobSummaries"]
    assert summary["LastModifiedTime"] == summary["TransformEndTime"] >= summary["CreationTime"]
    assert "No S3 objects found" in summary["FailureReason"]


@pytest.mark.usefixtures("no_endpoints_left")
def test_the_waiters_of_endpoints_see_them_come_and_go(client, sagemaker, model):
    name = random_name("waited")
    with pytest.raises(WaiterError, match="expected service error code: ValidationException"):
        sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=name, WaiterConfig=SOON)
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=endpoint_config(client, model))
    sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=name, WaiterConfig=SOON)
    (found,) = sagemaker.search(
        Resource="Endpoint",
        SearchExpression={"Filters": [{"Name": "EndpointName", "Operator": "Equals", "Value": name}]},
    )["Results"]
    assert found["Endpoint"]["EndpointStatus"] == "InService"
    assert found["Endpoint"]["ProductionVariants"][0]["CurrentInstanceCount"] == 1
    sagemaker.delete_endpoint(EndpointName=name)
    sagemaker.get_waiter("endpoint_deleted").wait(EndpointName=name, WaiterConfig=SOON)


# Paginators, tags, Search


def test_paginators_go_through_everything_once(sagemaker):
    names = [random_name("page") for _ in range(7)]
    prefix = random_name("p")
    container = {"Image": "example.com/any:1"}
    for name in names:
        sagemaker.create_model(ModelName=f"{prefix}-{name}", ExecutionRoleArn=ROLE, PrimaryContainer=container)
    pages = sagemaker.get_paginator("list_models").paginate(NameContains=prefix, PaginationConfig={"PageSize": 3})
    sizes, found = [], []
    for page in pages:
        sizes.append(len(page["Models"]))
        for summary in page["Models"]:
            found.append(summary["ModelName"])
            sagemaker.delete_model(ModelName=summary["ModelName"])  # which must not make the next page skip any
    assert sizes == [3, 3, 1]
    assert sorted(found) == sorted(f"{prefix}-{name}" for name in names)
    with pytest.raises(ClientError, match="NextToken") as raised:
        sagemaker.list_models(NextToken="nonsense")
    assert raised.value.response["Error"]["Code"] == "ValidationException"


def test_time_filters_take_datetimes(sagemaker, model):
    created = sagemaker.describe_model(ModelName=model)["CreationTime"]
    assert isinstance(created, datetime)
    assert abs(datetime.now(UTC) - created).total_seconds() < 3600
    assert sagemaker.list_models(NameContains=model, CreationTimeBefore=created)["Models"] == []
    (found,) = sagemaker.list_models(NameContains=model, CreationTimeAfter=created)["Models"]
    assert found["CreationTime"] == created


def test_tags_are_found_by_paginator_and_by_search(sagemaker, model):
    arn, team = sagemaker.describe_model(ModelName=model)["ModelArn"], random_name("team")
    sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "team", "Value": team}, {"Key": "stage", "Value": "dev"}])
    sagemaker.delete_tags(ResourceArn=arn, TagKeys=["stage"])
    tags = sagemaker.get_paginator("list_tags").paginate(ResourceArn=arn).build_full_result()["Tags"]
    assert {"Key": "team", "Value": team} in tags
    assert "stage" not in {tag["Key"] for tag in tags}
    results = sagemaker.get_paginator("search").paginate(
        Resource="Model", SearchExpression={"Filters": [{"Name": "Tags.team", "Value": team}]}
    )
    (found,) = results.build_full_result()["Results"]
    assert found["Model"]["Model"]["ModelName"] == model


# The model registry


@pytest.fixture
def group(sagemaker) -> str:
    name = random_name("Group")
    sagemaker.create_model_package_group(ModelPackageGroupName=name, ModelPackageGroupDescription="größer ≥ 1")
    return name


def test_an_approved_version_becomes_a_model_that_runs(client, sagemaker, data, group):
    """The whole way: register, approve, hear of it on EventBridge, make a model, transform with it."""
    sqs, events = client("sqs"), client("events")
    queue = sqs.create_queue(QueueName=random_name("approvals"))["QueueUrl"]
    queue_arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    rule = random_name("approved")
    pattern = {
        "source": ["aws.sagemaker"],
        "detail-type": ["SageMaker Model Package State Change"],
        "detail": {"ModelPackageGroupName": [group], "ModelApprovalStatus": ["Approved"]},
    }
    events.put_rule(Name=rule, EventPattern=json.dumps(pattern))
    events.put_targets(Rule=rule, Targets=[{"Id": "queue", "Arn": queue_arn}])
    client("s3").put_object(Bucket=data, Key=f"{group}/model.tar.gz", Body=model_archive())
    container = {
        "Image": "example.com/any:1",
        "ModelDataUrl": f"s3://{data}/{group}/model.tar.gz",
        "Environment": {"SAGEMAKER_PROGRAM": "score.py"},
    }
    specification = {"Containers": [container], "SupportedContentTypes": ["text/csv"]}
    arn = sagemaker.create_model_package(
        ModelPackageGroupName=group,
        InferenceSpecification={**specification, "SupportedResponseMIMETypes": ["text/csv"]},
        ModelApprovalStatus="PendingManualApproval",
    )["ModelPackageArn"]
    assert arn == f"{ARN}:model-package/{group.lower()}/1"
    name = random_name("registered")
    create = {"ModelName": name, "ExecutionRoleArn": ROLE, "PrimaryContainer": {"ModelPackageName": arn}}
    with pytest.raises(ClientError, match="approval status PendingManualApproval"):
        sagemaker.create_model(**create)
    sagemaker.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Approved")
    (message,) = wait_until(lambda: sqs.receive_message(QueueUrl=queue).get("Messages"))
    event = json.loads(message["Body"])
    assert (event["resources"], event["detail"]["ModelPackageVersion"]) == ([arn], 1)
    assert event["detail"]["UpdatedModelPackageFields"] == ["ModelApprovalStatus"]
    sagemaker.create_model(**create)
    put(client, data, registry__a_csv="1,2\n")
    request = csv_job(data, name)
    request["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"] = f"s3://{data}/registry/"
    request["TransformOutput"]["S3OutputPath"] = f"s3://{data}/registered/"
    sagemaker.create_transform_job(**request)
    assert finished(client, request["TransformJobName"])["TransformJobStatus"] == "Completed"
    assert objects(client, data, "registered/") == {"a.csv.out": "1,2.0\n"}
    listed = sagemaker.get_paginator("list_model_packages").paginate(ModelPackageGroupName=group).build_full_result()
    (summary,) = listed["ModelPackageSummaryList"]
    assert (summary["ModelApprovalStatus"], summary["ModelPackageStatus"]) == ("Approved", "Completed")


def test_a_group_goes_with_its_stack(client, sagemaker):
    cloudformation, stack, name = client("cloudformation"), random_name("stack"), random_name("group")
    properties = {"ModelPackageGroupName": name, "ModelPackageGroupDescription": "of a stack"}
    resources = {"Group": {"Type": "AWS::SageMaker::ModelPackageGroup", "Properties": properties}}
    outputs = {"Arn": {"Value": {"Ref": "Group"}}}
    cloudformation.create_stack(StackName=stack, TemplateBody=json.dumps({"Resources": resources, "Outputs": outputs}))
    cloudformation.get_waiter("stack_create_complete").wait(StackName=stack, WaiterConfig=SOON)
    (output,) = cloudformation.describe_stacks(StackName=stack)["Stacks"][0]["Outputs"]
    assert output["OutputValue"] == f"{ARN}:model-package-group/{name}"
    assert sagemaker.describe_model_package_group(ModelPackageGroupName=name)["ModelPackageGroupStatus"] == "Completed"
    cloudformation.delete_stack(StackName=stack)
    wait_until(lambda: not sagemaker.list_model_package_groups(NameContains=name)["ModelPackageGroupSummaryList"])


# Errors, as botocore reads them from the socket


def test_errors_are_the_exceptions_of_the_service_model(client, sagemaker, data, model, group):
    request = csv_job(data, model)
    sagemaker.create_transform_job(**request)
    with pytest.raises(sagemaker.exceptions.ResourceInUse, match="Job name must be unique"):
        sagemaker.create_transform_job(**request)
    with pytest.raises(sagemaker.exceptions.ResourceNotFound, match="Could not find requested job"):
        sagemaker.stop_transform_job(TransformJobName="nobody")
    sagemaker.create_model_package(ModelPackageGroupName=group)
    with pytest.raises(sagemaker.exceptions.ConflictException, match="contains Model Packages") as raised:
        sagemaker.delete_model_package_group(ModelPackageGroupName=group)
    assert raised.value.response["Message"] == raised.value.response["Error"]["Message"]
    finished(client, request["TransformJobName"])


@pytest.mark.parametrize(
    ("operation", "request_", "code", "words"),
    [
        ("describe_model", {}, "ValidationException", "Value null at 'modelName'"),
        ("describe_model", {"ModelName": "m" * 64}, "ValidationException", "length less than or equal to 63"),
        ("describe_model", {"ModelName": 7}, "SerializationException", "can not be converted to a String"),
        ("list_models", {"MaxResults": 101}, "ValidationException", "value less than or equal to 100"),
        ("list_models", {"SortBy": "Size"}, "ValidationException", "enum value set: [Name, CreationTime]"),
        ("create_endpoint", {"EndpointName": "a_b", "EndpointConfigName": "c"}, "ValidationException", "pattern"),
        (
            "describe_model",
            {"ModelName": "nobody"},
            "ValidationException",
            f'Could not find model "{ARN}:model/nobody"',
        ),
        ("list_training_jobs", {}, "NotEmulated", "ListTrainingJobs is not emulated by the local cloud"),
    ],
)
def test_what_is_refused_is_refused_over_the_wire(unchecked, operation, request_, code, words):
    with pytest.raises(ClientError) as raised:
        getattr(unchecked, operation)(**request_)
    error = raised.value.response["Error"]
    assert (error["Code"], words in error["Message"]) == (code, True), error
