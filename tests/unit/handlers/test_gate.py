"""The gate's entries and adapters against AWS in process, and a listener in the place of the response URL."""

import json
import threading
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from handlers import answer, gate, prove
from handlers.adapters.attributes import to_attributes
from handlers.adapters.clients import client
from handlers.adapters.cloudformation import deliver
from handlers.adapters.endpoints import SageMakerEndpoints
from handlers.adapters.executions import StateMachineExecutions
from handlers.adapters.front_door_counts import FrontDoorCounts
from handlers.adapters.requests_table import RequestsTable
from handlers.contract import metrics
from handlers.contract.answering import Counts
from handlers.contract.env import GateEnv
from handlers.contract.records import Pointer
from handlers.logic.gating import opened
from handlers.logic.gating_ports import ModelAnswered, NotReady
from handlers.logic.moments import utc_now
from tests.unit.handlers.conftest import BUCKET, TABLE
from tests.unit.handlers.fakes import event
from tests.unit.handlers.gates import CARD, World

MACHINE = "arn:aws:states:us-east-1:123456789012:stateMachine:gate"
ROLE = "arn:aws:iam::123456789012:role/r"


class Listener:
    """Takes what is PUT to it. `refusals`: so many first requests get a 503."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, dict, str | None]] = []
        self.refusals = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_PUT(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.taken.append((self.path, json.loads(body), self.headers["Content-Type"]))
                refused = outer.refusals >= len(outer.taken)
                self.send_response(503 if refused else 200)
                self.end_headers()

            def log_message(self, *args):
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/answer"

    def only(self) -> dict:
        ((_, body, _),) = self.taken
        return body


@pytest.fixture
def listener():
    found = Listener()
    yield found
    found.server.shutdown()
    found.server.server_close()


@pytest.fixture
def gated(aws, monkeypatch):
    """A model `m` with a gate whose machine and stack exist."""
    client("s3").put_object(Bucket=BUCKET, Key="card.json", Body=CARD.to_json().encode())
    client("stepfunctions").create_state_machine(
        name="gate",
        roleArn=ROLE,
        definition='{"StartAt": "A", "States": {"A": {"Type": "Wait", "Seconds": 60, "End": true}}}',
    )
    template = json.dumps({"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}})
    stack = client("cloudformation").create_stack(StackName="turnout-dev-m", TemplateBody=template)["StackId"]
    environment = GateEnv(
        stage="dev", model="m", mode="precompute", model_version="v7", table=TABLE, spec_bucket=BUCKET,
        spec_key="card.json", samples_bucket="", samples_key="", endpoint="", endpoint_config="", most_instances=0,
        fallback="", pipeline=MACHINE, gate_machine=MACHINE, data_bucket=BUCKET,
    )  # fmt: skip
    for name, value in environment.to_environ().items():
        monkeypatch.setenv(name, value)
    start_cold()
    yield stack
    start_cold()


def start_cold():
    for member in (gate.environment, prove.environment, prove.card, prove.samples, prove.looks):
        member.cache_clear()


def asked(url, stack, request_type="Update", **properties):
    wanted = event("cfn_gate_update", RequestType=request_type, ResponseURL=url, StackId=stack)
    wanted["ResourceProperties"] |= properties
    return wanted


def executions():
    return [e["name"] for e in client("stepfunctions").list_executions(stateMachineArn=MACHINE)["executions"]]


def test_a_request_goes_into_the_machine_and_is_not_answered_yet(gated, listener):
    gate.handler(asked(listener.url, gated), None)
    request = event("cfn_gate_update")["RequestId"]
    assert (executions(), listener.taken) == ([f"gate-{request}"], [])
    arn = f"{MACHINE.replace('stateMachine', 'execution')}:gate-{request}"
    proof = json.loads(client("stepfunctions").describe_execution(executionArn=arn)["input"])
    assert (proof["response_url"], proof["old_mode"], proof["physical_id"]) == (
        listener.url,
        "precompute",
        "dev-m-prove",
    )


def test_the_same_request_twice_is_one_execution(gated, listener):
    gate.handler(asked(listener.url, gated), None)
    gate.handler(asked(listener.url, gated), None)
    assert len(executions()) == 1
    assert listener.taken == []


def test_an_execution_of_that_name_that_has_other_input_is_the_one_that_is_meant(gated):
    machines = StateMachineExecutions(client("stepfunctions"))
    first = machines.start(MACHINE, "gate-1", {"a": 1})
    assert machines.start(MACHINE, "gate-1", {"a": 2}) == first
    assert machines.state(first).status == "RUNNING"


def test_a_deletion_is_answered_at_once(gated, listener):
    gate.handler(asked(listener.url, gated, "Delete"), None)
    assert (listener.only()["Status"], executions()) == ("SUCCESS", [])


def test_a_rollback_is_answered_at_once(gated, listener, monkeypatch):
    monkeypatch.setattr(gate.Stacks, "status", lambda self, stack: "UPDATE_ROLLBACK_IN_PROGRESS")
    gate.handler(asked(listener.url, gated), None)
    assert (listener.only()["Status"], executions()) == ("SUCCESS", [])


def test_a_gate_that_cannot_start_says_why(gated, listener):
    gate.environment.cache_clear()
    client("stepfunctions").delete_state_machine(stateMachineArn=MACHINE)
    gate.handler(asked(listener.url, gated), None)
    told = listener.only()
    assert told["Status"] == "FAILED"
    assert "the gate itself failed" in told["Reason"]
    assert "StateMachine" in told["Reason"]


def test_a_gate_without_its_environment_answers_too(gated, listener, monkeypatch):
    monkeypatch.delenv("TURNOUT_GATE_MACHINE")
    gate.handler(asked(listener.url, gated), None)
    assert "TURNOUT_GATE_MACHINE" in listener.only()["Reason"]


def test_properties_that_lack_something_are_answered_with_what_is_lacking(gated, listener):
    wanted = asked(listener.url, gated)
    del wanted["ResourceProperties"]["BoundSeconds"]
    gate.handler(wanted, None)
    assert (listener.only()["Status"], "BoundSeconds" in listener.only()["Reason"]) == ("FAILED", True)


def test_a_look_returns_what_the_machine_carries_on(gated, listener, capsys):
    proof = opened(asked(listener.url, gated, Mode="precompute", Endpoint=""), stage="dev", model="m", now=utc_now())
    seen = json.loads(json.dumps(prove.handler(proof, None)))
    assert (seen["state"], len(executions())) == ("proving", 1)
    assert json.loads(capsys.readouterr().out)["reason"] == seen["reason"]
    again = prove.handler(seen, None)
    assert (again["state"], len(executions())) == ("proving", 1)


def test_a_look_reads_the_visible_generation(gated, listener):
    world = World()
    world.clock.now = utc_now()
    world.show()
    dynamodb = client("dynamodb")
    for item in (Pointer("r", "20261123T060000Z", None, 1), world.records.generations["20261123T060000Z"]):
        dynamodb.put_item(TableName=TABLE, Item=to_attributes(item.to_item()))
    proof = opened(asked(listener.url, gated, Mode="precompute", Endpoint=""), stage="dev", model="m", now=utc_now())
    assert prove.handler(proof, None)["state"] == "proved"
    assert executions() == []


def test_the_drain_finds_who_waits_with_one_query(gated, listener):
    world = World()
    world.clock.now = utc_now() - timedelta(seconds=60)
    waiting, answered, dropped = world.request(0), world.request(1), world.request(2, waits=5)
    for request in (waiting, answered, dropped):
        client("dynamodb").put_item(TableName=TABLE, Item=to_attributes(request.to_item()))
    key = answered.output_uri.removeprefix(f"s3://{BUCKET}/")
    client("s3").put_object(Bucket=BUCKET, Key=key, Body=b"1\n")
    proof = opened(
        asked(listener.url, gated, Kind="drain", Mode="batch", Endpoint="", DrainSeconds="0"),
        stage="dev", model="m", now=utc_now(),
    )  # fmt: skip
    proof["old_endpoint"] = "dev-m-async-1a2b3c"
    seen = prove.handler(proof, None)
    assert (seen["state"], f"the oldest is {waiting.id}" in seen["reason"]) == ("proving", True)
    client("s3").put_object(Bucket=BUCKET, Key=waiting.failure_uri.removeprefix(f"s3://{BUCKET}/"), Body=b"no")
    assert prove.handler(proof, None)["state"] == "proved"


def test_requests_of_long_ago_are_not_read(gated):
    world = World()
    world.clock.now = utc_now() - timedelta(days=2)
    client("dynamodb").put_item(TableName=TABLE, Item=to_attributes(world.request(0, waits=10**6).to_item()))
    assert list(RequestsTable(client("dynamodb"), TABLE).waiting(utc_now())) == []


def test_the_answer_is_delivered_without_a_content_type(gated, listener):
    proof = opened(asked(listener.url, gated), stage="dev", model="m", now=utc_now())
    answer.handler({**proof, "state": "proved", "reason": "well"}, None)
    ((path, body, content_type),) = listener.taken
    assert (path, body["Status"], body["Reason"], content_type) == ("/answer", "SUCCESS", "well", "")


def test_an_answer_that_is_refused_is_delivered_again(listener):
    listener.refusals = 2
    pauses = []
    deliver(listener.url, b"{}", sleep=pauses.append)
    assert (len(listener.taken), pauses) == (3, [1, 2])


def test_an_answer_that_nobody_takes_is_an_error_that_the_machine_sees(listener):
    listener.refusals = 99
    with pytest.raises(OSError, match="503"):
        deliver(listener.url, b"{}", sleep=lambda seconds: None)


class Raising:
    """A client of SageMaker whose every call raises."""

    def __init__(self, error):
        self.error = error

    def __getattr__(self, name):
        def call(**arguments):
            raise self.error

        return call


def refused(code, message, **more):
    return ClientError({"Error": {"Code": code, "Message": message}, **more}, "Invoke")


@pytest.mark.parametrize(
    "error",
    [
        refused("ThrottlingException", "Rate exceeded"),
        refused("ModelNotReadyException", "loading"),
        ReadTimeoutError(endpoint_url="x"),
    ],
)
def test_what_may_pass_is_not_taken_for_the_models_fault(error):
    with pytest.raises(NotReady):
        SageMakerEndpoints(None, Raising(error)).invoke("e", b"", "text/csv")


def test_a_models_error_keeps_its_status_and_words():
    error = refused("ModelError", "Received client error", OriginalStatusCode=400, OriginalMessage="no rows")
    with pytest.raises(ModelAnswered, match="HTTP 400: no rows"):
        SageMakerEndpoints(None, Raising(error)).invoke("e", b"", "text/csv")


def test_an_error_that_the_gate_does_not_know_stays_what_it_is():
    error = refused("AccessDeniedException", "not you")
    with pytest.raises(ClientError, match="not you"):
        SageMakerEndpoints(None, Raising(error)).invoke_later("e", b"", "text/csv", "f")


def test_an_endpoint_that_is_not_there_has_no_state():
    error = refused("ValidationException", 'Could not find endpoint "arn:...:endpoint/e".')
    assert SageMakerEndpoints(Raising(error), None).state("e") is None
    with pytest.raises(ClientError, match="slow down"):
        SageMakerEndpoints(Raising(refused("ThrottlingException", "slow down")), None).state("e")


@pytest.fixture
def endpoint(aws):
    """An endpoint `e` with one instance."""
    sagemaker = client("sagemaker")
    sagemaker.create_model(ModelName="model", ExecutionRoleArn=ROLE)
    variant = {"VariantName": "A", "ModelName": "model", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    sagemaker.create_endpoint_config(EndpointConfigName="config", ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName="e", EndpointConfigName="config")
    return sagemaker


def test_an_endpoints_state_is_read_from_sagemaker(endpoint):
    found = SageMakerEndpoints(endpoint, None).state("e")
    assert (found.status, found.config, found.reason, found.instances) == ("InService", "config", "", 1)
    assert SageMakerEndpoints(endpoint, None).state("other") is None


def test_an_endpoint_is_asked_to_want_more_instances(endpoint):
    SageMakerEndpoints(endpoint, None).grow("e", 3)
    assert SageMakerEndpoints(endpoint, None).state("e").instances == 3


def test_an_endpoint_that_is_changing_already_can_be_asked_again_later(endpoint):
    class Busy:
        describe_endpoint = endpoint.describe_endpoint

        def update_endpoint_weights_and_capacities(self, **request):
            raise refused("ValidationException", 'Cannot update in-progress endpoint "arn:...:endpoint/e".')

    with pytest.raises(NotReady, match="in-progress"):
        SageMakerEndpoints(Busy(), None).grow("e", 3)


def put(hours_ago, stage="dev", **values):
    dimensions = [{"Name": "Stage", "Value": stage}, {"Name": "Model", "Value": "m"}]
    moment = utc_now() - timedelta(hours=hours_ago)
    data = [
        {"MetricName": name, "Dimensions": dimensions, "Timestamp": moment, "Value": value}
        for name, value in values.items()
    ]
    client("cloudwatch").put_metric_data(Namespace=metrics.NAMESPACE, MetricData=data)


def test_what_the_front_door_counted_in_a_week_is_summed(aws):
    put(2, Requests=9, PredictionRequests=7, Hits=4, Misses=2, Keyless=3)
    put(100, Requests=1, PredictionRequests=1, Hits=1, Misses=0, Keyless=0)
    put(24 * 8, Requests=50, PredictionRequests=50, Hits=50)
    put(2, stage="prod", PredictionRequests=100)
    found = FrontDoorCounts(client("cloudwatch"), stage="dev", model="m").counts(utc_now())
    assert found == Counts(requests=8, hits=5, misses=2, keyless=3)


def test_a_front_door_that_tells_no_predictions_apart_counts_every_request(aws):
    put(2, Requests=9, Hits=4, Misses=2)
    found = FrontDoorCounts(client("cloudwatch"), stage="dev", model="m").counts(utc_now())
    assert (found, found.without_key) == (Counts(requests=9, hits=4, misses=2, keyless=None), 3)


def test_the_gate_reads_the_counts_of_its_own_model(gated, listener):
    put(2, PredictionRequests=7, Keyless=7)
    asked_for = asked(listener.url, gated, Mode="precompute", Endpoint="")
    asked_for["OldResourceProperties"]["Mode"] = "realtime"
    seen = prove.handler(opened(asked_for, stage="dev", model="m", now=utc_now()), None)
    assert (seen["state"], "7 requests: mode realtime looks no key up" in seen["reason"]) == ("failed", True)
    assert executions() == []
