"""CloudFormation in the local cloud: SageMaker's types, and properties that the plain emulator drops."""

import json

import pytest
from botocore.exceptions import ClientError, WaiterError

from tests.integration.local.actions import ROLE, bucket, model_archive, random_name, wait_until

pytestmark = pytest.mark.local_only("it is about how the local cloud deploys")


@pytest.fixture
def stack(client):
    """A function that creates or updates one stack from resources; the stack is deleted at the end."""
    cloudformation, name = client("cloudformation"), random_name("stack")

    def deploy(resources, outputs=None) -> dict[str, str]:
        body = json.dumps({"Resources": resources, "Outputs": {k: {"Value": v} for k, v in (outputs or {}).items()}})
        exists = name in [s["StackName"] for s in cloudformation.describe_stacks()["Stacks"]]
        action = cloudformation.update_stack if exists else cloudformation.create_stack
        action(StackName=name, TemplateBody=body, Capabilities=["CAPABILITY_NAMED_IAM"])
        waiter = cloudformation.get_waiter(f"stack_{'update' if exists else 'create'}_complete")
        waiter.wait(StackName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 30})
        found = cloudformation.describe_stacks(StackName=name)["Stacks"][0].get("Outputs", [])
        return {output["OutputKey"]: output["OutputValue"] for output in found}

    deploy.name = name
    yield deploy
    cloudformation.delete_stack(StackName=name)


def model(url: str, **properties) -> dict:
    container = {
        "Image": "example.com/any:1",
        "ModelDataUrl": url,
        "Environment": {"SAGEMAKER_PROGRAM": "inference.py"},
    }
    return {
        "Type": "AWS::SageMaker::Model",
        "Properties": {"ExecutionRoleArn": ROLE, "PrimaryContainer": container, **properties},
    }


MODEL_NAME = {"Name": {"Fn::GetAtt": ["Model", "ModelName"]}, "Arn": {"Ref": "Model"}}


def test_a_model_is_created_replaced_and_deleted_with_its_stack(client, stack):
    sagemaker = client("sagemaker")
    first = stack({"Model": model("s3://somewhere/one.tar.gz", EnableNetworkIsolation="true")}, MODEL_NAME)
    described = sagemaker.describe_model(ModelName=first["Name"])
    assert described["ModelArn"] == first["Arn"]
    assert described["EnableNetworkIsolation"] is True
    second = stack({"Model": model("s3://somewhere/two.tar.gz")}, MODEL_NAME)
    assert second["Name"] != first["Name"]
    url = sagemaker.describe_model(ModelName=second["Name"])["PrimaryContainer"]["ModelDataUrl"]
    assert url == "s3://somewhere/two.tar.gz"
    with pytest.raises(ClientError, match="Could not find model"):
        sagemaker.describe_model(ModelName=first["Name"])
    client("cloudformation").delete_stack(StackName=stack.name)
    wait_until(lambda: not sagemaker.list_models(NameContains=stack.name)["Models"])


def test_new_tags_keep_the_model(client, stack):
    url, tags = "s3://somewhere/one.tar.gz", [{"Key": "team", "Value": "growth"}]
    first = stack({"Model": model(url)}, MODEL_NAME)
    second = stack({"Model": model(url, Tags=tags)}, MODEL_NAME)
    assert second == first
    assert tags[0] in client("sagemaker").list_tags(ResourceArn=first["Arn"])["Tags"]


def test_a_custom_named_model_is_not_replaced(client, stack):
    name = random_name("named")
    stack({"Model": model("s3://somewhere/one.tar.gz", ModelName=name)})
    with pytest.raises(WaiterError):
        stack({"Model": model("s3://somewhere/two.tar.gz", ModelName=name)})
    events = client("cloudformation").describe_stack_events(StackName=stack.name)["StackEvents"]
    assert any("custom-named resource" in event.get("ResourceStatusReason", "") for event in events)


def test_a_table_keeps_its_time_to_live_and_backups(client, stack):
    properties = {
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
        "TimeToLiveSpecification": {"Enabled": True, "AttributeName": "expires_at"},
        "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": True},
    }
    name = stack({"Table": {"Type": "AWS::DynamoDB::Table", "Properties": properties}}, {"Name": {"Ref": "Table"}})[
        "Name"
    ]
    dynamodb = client("dynamodb")
    ttl = dynamodb.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
    assert ttl == {"TimeToLiveStatus": "ENABLED", "AttributeName": "expires_at"}
    backups = dynamodb.describe_continuous_backups(TableName=name)["ContinuousBackupsDescription"]
    assert backups["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"] == "ENABLED"


def test_a_schedule_keeps_its_time_zone_over_an_update(client, stack):
    def deploy(expression, zone):
        properties = {
            "ScheduleExpression": expression,
            "ScheduleExpressionTimezone": zone,
            "FlexibleTimeWindow": {"Mode": "OFF"},
            "Target": {"Arn": "arn:aws:states:us-east-1:000000000000:stateMachine:none", "RoleArn": ROLE},
            "State": "DISABLED",
        }
        return stack({"It": {"Type": "AWS::Scheduler::Schedule", "Properties": properties}}, {"Name": {"Ref": "It"}})

    deploy("cron(0 6 * * ? *)", "Europe/Paris")
    name = deploy("cron(0 7 * * ? *)", "Asia/Tokyo")["Name"]
    described = client("scheduler").get_schedule(Name=name)
    assert (described["ScheduleExpression"], described["ScheduleExpressionTimezone"]) == (
        "cron(0 7 * * ? *)",
        "Asia/Tokyo",
    )


def test_a_bucket_keeps_lifecycle_encryption_and_tags(client, stack):
    rule = {
        "Id": "abort",
        "Status": "Enabled",
        "Prefix": "work/",
        "ExpirationInDays": 30,
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
    }
    encryption = {"ServerSideEncryptionConfiguration": [{"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]}
    properties = {
        "LifecycleConfiguration": {"Rules": [rule]},
        "BucketEncryption": encryption,
        "Tags": [{"Key": "team", "Value": "growth"}],
    }
    name = stack({"It": {"Type": "AWS::S3::Bucket", "Properties": properties}}, {"Name": {"Ref": "It"}})["Name"]
    s3 = client("s3")
    (stored,) = s3.get_bucket_lifecycle_configuration(Bucket=name)["Rules"]
    assert stored["Filter"]["Prefix"] == "work/"
    assert stored["Expiration"]["Days"] == 30
    assert stored["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 7}
    (default,) = s3.get_bucket_encryption(Bucket=name)["ServerSideEncryptionConfiguration"]["Rules"]
    assert default["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    assert {"Key": "team", "Value": "growth"} in s3.get_bucket_tagging(Bucket=name)["TagSet"]


def test_a_function_with_awss_public_layer_runs_on_this_pythons_packages(client, stack):
    code = "import pyarrow\ndef handler(event, context): return pyarrow.__version__"
    properties = {
        "Runtime": "python3.13",
        "Handler": "index.handler",
        "Role": ROLE,
        "Code": {"ZipFile": code},
        "Layers": ["arn:aws:lambda:us-east-1:336392948345:layer:AWSSDKPandas-Python313:1"],
        "ReservedConcurrentExecutions": 3,
    }
    name = stack({"It": {"Type": "AWS::Lambda::Function", "Properties": properties}}, {"Name": {"Ref": "It"}})["Name"]
    answer = client("lambda").invoke(FunctionName=name)
    assert "FunctionError" not in answer, answer["Payload"].read()
    assert json.load(answer["Payload"])[0].isdigit()
    assert client("lambda").get_function_concurrency(FunctionName=name)["ReservedConcurrentExecutions"] == 3


def test_the_artifact_of_a_stack_model_is_what_runs(client, stack):
    data = bucket(client)
    client("s3").put_object(Bucket=data, Key="m.tar.gz", Body=model_archive(plus=100))
    name = stack({"Model": model(f"s3://{data}/m.tar.gz")}, MODEL_NAME)["Name"]
    from tests.integration.local.actions import csv_job, finished, objects, put

    put(client, data, in__a_csv="1,1,1\n")
    request = csv_job(data, name)
    client("sagemaker").create_transform_job(**request)
    assert finished(client, request["TransformJobName"])["TransformJobStatus"] == "Completed"
    assert objects(client, data) == {"a.csv.out": "1,102.0\n"}


def resource(kind: str, **properties) -> dict:
    return {"It": {"Type": f"AWS::{kind}", "Properties": properties}}


NAME = {"Name": {"Ref": "It"}}


def test_a_table_keeps_its_class_and_its_encryption(client, stack):
    properties = {
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
        "TableClass": "STANDARD_INFREQUENT_ACCESS",
        "SSESpecification": {"SSEEnabled": True},
    }
    name = stack(resource("DynamoDB::Table", **properties), NAME)["Name"]
    table = client("dynamodb").describe_table(TableName=name)["Table"]
    assert table["TableClassSummary"]["TableClass"] == "STANDARD_INFREQUENT_ACCESS"
    assert table["SSEDescription"]["Status"] == "ENABLED"


def test_a_table_with_another_key_is_another_table(client, stack):
    def deploy(key):
        properties = {
            "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [{"AttributeName": key, "AttributeType": "S"}],
            "KeySchema": [{"AttributeName": key, "KeyType": "HASH"}],
        }
        return stack(resource("DynamoDB::Table", **properties), NAME)["Name"]

    first, dynamodb = deploy("pk"), client("dynamodb")
    second = deploy("id")
    assert second != first
    assert dynamodb.describe_table(TableName=second)["Table"]["KeySchema"][0]["AttributeName"] == "id"
    wait_until(lambda: first not in dynamodb.list_tables()["TableNames"])


def test_a_full_bucket_fails_to_be_deleted(client, stack):
    name = stack(resource("S3::Bucket"), NAME)["Name"]
    client("s3").put_object(Bucket=name, Key="a", Body=b"x")
    cloudformation = client("cloudformation")
    cloudformation.delete_stack(StackName=stack.name)

    def status():
        return cloudformation.describe_stacks(StackName=stack.name)["Stacks"][0]["StackStatus"]

    wait_until(lambda: status() == "DELETE_FAILED")
    events = cloudformation.describe_stack_events(StackName=stack.name)["StackEvents"]
    assert any("is not empty" in event.get("ResourceStatusReason", "") for event in events)
    assert client("s3").head_object(Bucket=name, Key="a")
    client("s3").delete_object(Bucket=name, Key="a")
    cloudformation.delete_stack(StackName=stack.name)
    wait_until(lambda: name not in [b["Name"] for b in client("s3").list_buckets()["Buckets"]])


def test_a_functions_failed_events_go_to_its_dead_letter_queue(client, stack):
    sqs = client("sqs")
    url = sqs.create_queue(QueueName=random_name("letters"))["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    function = {
        "Runtime": "python3.12",
        "Handler": "index.handler",
        "Role": ROLE,
        "Code": {"ZipFile": "def handler(event, context): raise ValueError(event)"},
        "DeadLetterConfig": {"TargetArn": arn},
    }
    attempts = {"FunctionName": {"Ref": "It"}, "Qualifier": "$LATEST", "MaximumRetryAttempts": 0}
    resources = resource("Lambda::Function", **function)
    resources["Attempts"] = {"Type": "AWS::Lambda::EventInvokeConfig", "Properties": attempts}
    name = stack(resources, NAME)["Name"]
    client("lambda").invoke(FunctionName=name, InvocationType="Event", Payload=b'{"a": 1}')
    (letter,) = wait_until(lambda: sqs.receive_message(QueueUrl=url).get("Messages"))
    assert json.loads(letter["Body"])["requestPayload"] == {"a": 1}


def test_a_role_keeps_its_permissions_boundary_and_a_stream_its_encryption(client, stack):
    boundary = "arn:aws:iam::aws:policy/ReadOnlyAccess"
    resources = {
        "Role": {
            "Type": "AWS::IAM::Role",
            "Properties": {"AssumeRolePolicyDocument": {"Statement": []}, "PermissionsBoundary": boundary},
        },
        "Stream": {
            "Type": "AWS::Kinesis::Stream",
            "Properties": {"ShardCount": 1, "StreamEncryption": {"EncryptionType": "KMS", "KeyId": "alias/any"}},
        },
    }
    made = stack(resources, {"Role": {"Ref": "Role"}, "Stream": {"Ref": "Stream"}})
    role = client("iam").get_role(RoleName=made["Role"])["Role"]
    assert role["PermissionsBoundary"]["PermissionsBoundaryArn"] == boundary
    stream = client("kinesis").describe_stream_summary(StreamName=made["Stream"])["StreamDescriptionSummary"]
    assert (stream["EncryptionType"], stream["KeyId"]) == ("KMS", "alias/any")


def test_a_version_keeps_its_provisioned_concurrency(client, stack):
    function = {
        "Runtime": "python3.12",
        "Handler": "index.handler",
        "Role": ROLE,
        "Code": {"ZipFile": "def handler(event, context): return 1"},
    }
    version = {"FunctionName": {"Ref": "It"}, "ProvisionedConcurrencyConfig": {"ProvisionedConcurrentExecutions": 2}}
    resources = resource("Lambda::Function", **function)
    resources["Version"] = {"Type": "AWS::Lambda::Version", "Properties": version}
    name = stack(resources, NAME)["Name"]
    asked = client("lambda").get_provisioned_concurrency_config(FunctionName=name, Qualifier="1")
    assert asked["RequestedProvisionedConcurrentExecutions"] == 2
