"""Lambda's event sources in the local cloud: windows, poison records, where a mapping starts to read."""

import json
import time

import pytest

from tests.integration.local.actions import bucket, function, random_name, wait_until

pytestmark = pytest.mark.local_only("it is about how the local cloud feeds functions")

#: Writes what it was given to S3, one object per call, and then fails on any record whose data say "poison".
TAKER = """
import base64, json, os, time, boto3
def text(record):
    if "kinesis" in record:
        return base64.b64decode(record["kinesis"]["data"]).decode()
    return record["body"] if "body" in record else record["dynamodb"]["Keys"]["id"]["S"]
def handler(event, context):
    texts = [text(record) for record in event["Records"]]
    key = f"{time.time_ns()}.json"
    boto3.client("s3").put_object(Bucket=os.environ["BUCKET"], Key=key, Body=json.dumps(texts))
    poison = [record for record, said in zip(event["Records"], texts) if said.startswith("poison")]
    if poison and os.environ.get("REPORT"):
        number = poison[0]["kinesis"]["sequenceNumber"]
        return {"batchItemFailures": [{"itemIdentifier": number}]}
    if poison:
        raise ValueError(texts)
"""


class Taker:
    """A function that keeps what it is called with."""

    def __init__(self, client, **variables: str):
        self._client, self._bucket = client, bucket(client)
        self.arn = function(client, TAKER, Environment={"Variables": {"BUCKET": self._bucket, **variables}})

    def calls(self) -> list[list[str]]:
        s3 = self._client("s3")
        listed = s3.list_objects_v2(Bucket=self._bucket).get("Contents", [])
        return [json.load(s3.get_object(Bucket=self._bucket, Key=found["Key"])["Body"]) for found in listed]

    def reads(self, source: str, **settings) -> str:
        return self._client("lambda").create_event_source_mapping(
            FunctionName=self.arn, EventSourceArn=source, **settings
        )["UUID"]


@pytest.fixture
def stream(client):
    """The name and ARN of a stream with one shard."""
    kinesis, name = client("kinesis"), random_name("stream")
    kinesis.create_stream(StreamName=name, ShardCount=1)
    kinesis.get_waiter("stream_exists").wait(StreamName=name, WaiterConfig={"Delay": 1})
    return name, kinesis.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]["StreamARN"]


@pytest.fixture
def queue(client):
    """The URL and ARN of a queue."""
    sqs = client("sqs")
    url = sqs.create_queue(QueueName=random_name("queue"))["QueueUrl"]
    return url, sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]


def put(client, name: str, *texts: str) -> None:
    records = [{"Data": text.encode(), "PartitionKey": "one"} for text in texts]
    client("kinesis").put_records(StreamName=name, Records=records)


def received(client, url: str) -> list[dict]:
    return client("sqs").receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])


def test_a_poison_record_of_a_stream_is_isolated_and_goes_to_the_destination(client, stream, queue):
    taker = Taker(client)
    put(client, stream[0], "a", "b", "poison", "c", "d")
    taker.reads(
        stream[1],
        StartingPosition="TRIM_HORIZON",
        MaximumRetryAttempts=1,
        BisectBatchOnFunctionError=True,
        DestinationConfig={"OnFailure": {"Destination": queue[1]}},
    )
    (message,) = wait_until(lambda: received(client, queue[0]))
    told = json.loads(message["Body"])
    assert told["requestContext"]["condition"] == "RetryAttemptsExhausted"
    assert told["requestContext"]["approximateInvokeCount"] == 2
    info = told["KinesisBatchInfo"]
    assert (info["batchSize"], info["streamArn"], info["shardId"]) == (1, stream[1], "shardId-000000000000")
    calls = wait_until(lambda: [call for call in taker.calls() if "poison" not in call] == [["a", "b"], ["c", "d"]])
    assert calls
    assert taker.calls().count(["poison"]) == 2


def test_reported_failures_are_tried_again_and_given_up_with_their_records_in_a_bucket(client, stream):
    taker, kept = Taker(client, REPORT="1"), bucket(client)
    put(client, stream[0], "a", "poison", "b")
    taker.reads(
        stream[1],
        StartingPosition="TRIM_HORIZON",
        MaximumRetryAttempts=1,
        FunctionResponseTypes=["ReportBatchItemFailures"],
        DestinationConfig={"OnFailure": {"Destination": f"arn:aws:s3:::{kept}"}},
    )
    s3 = client("s3")
    (found,) = wait_until(lambda: s3.list_objects_v2(Bucket=kept).get("Contents"))
    told = json.load(s3.get_object(Bucket=kept, Key=found["Key"])["Body"])
    assert found["Key"].startswith("aws/lambda/")
    assert "functionError" not in told["responseContext"]
    assert len(json.loads(told["payload"])["Records"]) == 2
    assert taker.calls() == [["a", "poison", "b"], ["poison", "b"]]


def test_a_stream_mapping_gathers_for_its_window_and_starts_at_its_timestamp(client, stream):
    taker = Taker(client)
    put(client, stream[0], "before")
    moment = int(time.time()) + 1  # the API takes whole seconds
    wait_until(lambda: time.time() > moment)
    settings = {"StartingPosition": "AT_TIMESTAMP", "StartingPositionTimestamp": moment}
    taker.reads(stream[1], **settings, MaximumBatchingWindowInSeconds=2)
    put(client, stream[0], "a")
    put(client, stream[0], "b")
    assert wait_until(taker.calls) == [["a", "b"]]


def test_a_new_mapping_passes_over_what_was_there_when_it_was_made(client, stream):
    taker = Taker(client)
    put(client, stream[0], "before")
    taker.reads(stream[1], StartingPosition="LATEST")
    put(client, stream[0], "after")
    assert wait_until(taker.calls) == [["after"]]


def test_a_failing_function_holds_up_no_other_mapping_of_the_stream(client, stream):
    broken, well = Taker(client), Taker(client)
    put(client, stream[0], "poison")
    stuck = broken.reads(stream[1], StartingPosition="TRIM_HORIZON")
    well.reads(stream[1], StartingPosition="TRIM_HORIZON", MaximumRetryAttempts=0)
    wait_until(lambda: len(broken.calls()) > 3)
    assert [["poison"]] * len(broken.calls()) == broken.calls()
    put(client, stream[0], "a")
    wait_until(lambda: ["a"] in well.calls())
    client("lambda").delete_event_source_mapping(UUID=stuck)


def test_a_poison_item_of_a_tables_stream_is_given_up(client, queue):
    dynamodb, name, taker = client("dynamodb"), random_name("table"), Taker(client)
    table = dynamodb.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
    )["TableDescription"]
    for text in ("a", "poison", "b"):
        dynamodb.put_item(TableName=name, Item={"id": {"S": text}})
    taker.reads(
        table["LatestStreamArn"],
        StartingPosition="TRIM_HORIZON",
        MaximumRetryAttempts=0,
        BisectBatchOnFunctionError=True,
        DestinationConfig={"OnFailure": {"Destination": queue[1]}},
    )
    (message,) = wait_until(lambda: received(client, queue[0]))
    assert json.loads(message["Body"])["DDBStreamBatchInfo"]["batchSize"] == 1
    wait_until(lambda: ["b"] in taker.calls())


def test_messages_of_a_queue_wait_for_their_window(client, queue):
    taker = Taker(client)
    taker.reads(queue[1], BatchSize=20, MaximumBatchingWindowInSeconds=2)
    for number in range(15):
        client("sqs").send_message(QueueUrl=queue[0], MessageBody=str(number))
    assert sorted(wait_until(taker.calls)[0], key=int) == [str(number) for number in range(15)]


def test_a_template_says_how_a_stream_is_read(client, stream, queue):
    taker = Taker(client)
    properties = {
        "FunctionName": taker.arn,
        "EventSourceArn": stream[1],
        "StartingPosition": "TRIM_HORIZON",
        "MaximumRetryAttempts": 0,
        "DestinationConfig": {"OnFailure": {"Destination": queue[1]}},
    }
    put(client, stream[0], "a", "poison")
    cloudformation, name = client("cloudformation"), random_name("stack")
    resource = {"Type": "AWS::Lambda::EventSourceMapping", "Properties": properties}
    cloudformation.create_stack(StackName=name, TemplateBody=json.dumps({"Resources": {"Mapping": resource}}))
    (message,) = wait_until(lambda: received(client, queue[0]))
    assert json.loads(message["Body"])["KinesisBatchInfo"]["batchSize"] == 2
    (mapping,) = client("lambda").list_event_source_mappings(FunctionName=taker.arn)["EventSourceMappings"]
    assert (mapping["BatchSize"], mapping["MaximumRetryAttempts"]) == (100, 0)
    cloudformation.delete_stack(StackName=name)
