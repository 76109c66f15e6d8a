"""An asynchronous endpoint's queue with real fleets and leases; its containers, S3, SNS and the logs are stand-ins."""

import io
import queue as threads
import re
import time
from collections import defaultdict
from types import SimpleNamespace

import pytest
from botocore.exceptions import ClientError

from tests.unit.local.control_plane import HERE, FakeCloud
from tests.unit.local.test_metering import UNITS
from turnout.local.faults import Faults
from turnout.local.sagemaker.container import Answer
from turnout.local.sagemaker.hosting import fleet as fleets
from turnout.local.sagemaker.hosting.endpoints import Live
from turnout.local.sagemaker.hosting.fleet import Fleet
from turnout.local.sagemaker.hosting.queueing import Queue, Request

TOPIC = "arn:aws:sns:us-east-1:000000000000:topic"
CONFIG = {
    "ProductionVariants": [{"VariantName": "All", "ModelName": "m", "InitialInstanceCount": 1}],
    "AsyncInferenceConfig": {
        "OutputConfig": {
            "S3OutputPath": "s3://b/out",
            "NotificationConfig": {"SuccessTopic": TOPIC, "ErrorTopic": TOPIC},
        }
    },
}
MODEL = {"ModelName": "m", "PrimaryContainer": {"Image": "image"}}


class Neighbours(FakeCloud):
    """S3 by location, published messages, log lines by stream, and every value of every metric."""

    def __init__(self, folder) -> None:
        super().__init__()
        self.work_dir = self.log_dir = folder
        self.objects, self.told, self.lines, self.values = {}, [], defaultdict(list), []
        self.ended = threads.Queue()  # has one entry for each request that is through

    def endpoint_url(self) -> str:
        return "http://nowhere"

    def client(self, service, scope):
        return self

    def record_metrics(self, scope, namespace, values, dimensions) -> None:
        self.values += values
        if any(value.name == "InvocationsProcessed" for value in values):
            self.ended.put(None)

    def put_object(self, Bucket, Key, Body, **_) -> None:
        self.objects[f"s3://{Bucket}/{Key}"] = Body

    def get_object(self, Bucket, Key) -> dict:
        if (location := f"s3://{Bucket}/{Key}") not in self.objects:
            raise ClientError({"Error": {"Code": "NoSuchKey"}}, "GetObject")
        return {"Body": io.BytesIO(self.objects[location])}

    def publish(self, TopicArn, Message) -> None:
        self.told.append(Message)

    def create_log_group(self, **_) -> None: ...

    create_log_stream = create_log_group

    def put_log_events(self, logGroupName, logStreamName, logEvents) -> None:
        self.lines[logGroupName, logStreamName] += [event["message"] for event in logEvents]


class Echo:
    """A container that gives a request back, and refuses `bad`."""

    pid = 0

    def __enter__(self) -> "Echo":
        return self

    def alive(self) -> bool:
        return True

    def stop(self) -> None: ...

    def send(self, body, headers, timeout) -> Answer:
        return Answer(400, b"bad row\nsecond line", {}) if body == b"bad" else Answer(200, body, {})


@pytest.fixture
def endpoint(tmp_path, monkeypatch):
    """An endpoint with one instance: `cloud`, `fleet`, and `handle(*requests)`, which waits until they are through."""
    monkeypatch.setattr(fleets, "open_container", lambda *_, **__: Echo())
    cloud = Neighbours(tmp_path)
    fleet = Fleet(cloud, HERE, Faults(), "e", CONFIG, {"m": MODEL})
    fleet.start({"All": 1}, {"All": 1.0})
    queue = Queue(cloud, HERE, Faults(), Live(HERE, {"EndpointName": "e"}, [(fleet, 1.0)]))
    queue.start()

    def handle(*requests: Request) -> None:
        for request in requests:
            queue.put(request)
        for _ in requests:
            cloud.ended.get(timeout=30)

    yield SimpleNamespace(cloud=cloud, fleet=fleet, handle=handle)
    queue.stop()
    fleet.stop()


def values(cloud: Neighbours, name: str) -> list[float]:
    return [value.value for value in list(cloud.values) if value.name == name]


def request(identity: str, body: bytes | None = b"1,2", ttl: float = 60, **more) -> Request:
    return Request(identity, "e", {}, f"s3://b/out/{identity}.out", f"s3://b/no/{identity}.out", ttl, 60, body, **more)


def data_log(endpoint) -> list[str]:
    """Return the messages of the data log without their times, once the instance has ended and shipped them all."""
    endpoint.fleet.stop()
    streams = [stream for stream in endpoint.cloud.lines if stream[1].endswith("/data-log")]
    assert [group for group, _ in streams] == ["/aws/sagemaker/Endpoints/e"] * len(streams)
    assert all(re.fullmatch(r"All/i-[0-9a-f]{17}/data-log", stream) for _, stream in streams)
    lines = [line for stream in streams for line in endpoint.cloud.lines[stream]]
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}:\[sagemaker logs\] ", line) for line in lines)
    return sorted(line.partition("[sagemaker logs] ")[2] for line in lines)


def test_the_data_log_has_each_requests_id_and_what_came_of_it(endpoint):
    endpoint.handle(
        request("good"),
        request("refused", b"bad"),
        request("lost", None, input_location="s3://b/nowhere"),
        request("late", received=time.time() - 61),
    )
    success, late, lost, first, second = data_log(endpoint)
    assert re.fullmatch(
        r"\[good\] Inference request succeeded\. ModelLatency: \d+ us, ResponseUploadLatency: \d+ us, "
        r"TimeInBacklog: \d+ ms, TotalProcessingTime: \d+ ms",
        success,
    )
    assert late == "[late] The request expired: it waited longer than 60 seconds in the queue."
    assert lost.startswith("[lost] Failed to download the request from s3://b/nowhere: ")
    assert first == '[refused] Received client error (400) from primary with message "bad row'
    assert second == '[refused] second line"'


def test_total_processing_time_counts_from_when_the_request_was_received(endpoint):
    endpoint.handle(request("waited", received=time.time() - 50))
    (backlog,), (total,) = (values(endpoint.cloud, name) for name in ("TimeInBacklog", "TotalProcessingTime"))
    assert 50_000 <= backlog <= total


def test_every_metric_of_a_queue_has_the_unit_that_awss_pages_give_it(endpoint):
    endpoint.cloud.put_object("b", "in", b"1")
    endpoint.handle(request("good", None, input_location="s3://b/in"), request("refused", b"bad"))
    assert "NotificationFailures" in {value.name for value in endpoint.cloud.values}
    assert {(value.name, value.unit) for value in endpoint.cloud.values} == {
        (value.name, UNITS[value.name]) for value in endpoint.cloud.values
    }
