"""Finding stacks and reading a model's table, against moto in process."""

import boto3
import pytest
from moto import mock_aws

from handlers.contract.records import PK, SK, Pointer, Run
from turnout import deployed
from turnout.errors import NotDeployed, UserError

TEMPLATE = """
Resources:
  Table:
    Type: AWS::DynamoDB::Table
    Properties:
      BillingMode: PAY_PER_REQUEST
      AttributeDefinitions: [{AttributeName: pk, AttributeType: S}, {AttributeName: sk, AttributeType: S}]
      KeySchema: [{AttributeName: pk, KeyType: HASH}, {AttributeName: sk, KeyType: RANGE}]
Outputs:
  Mode: {Value: precompute}
  ModelVersion: {Value: abc}
  StateMachineArn: {Value: arn:machine}
  TableName: {Value: !Ref Table}
  FrontDoorName: {Value: door}
"""


@pytest.fixture
def aws(monkeypatch):
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        yield


@pytest.fixture
def model(aws):
    boto3.client("cloudformation").create_stack(StackName="turnout-dev-churn", TemplateBody=TEMPLATE)
    return deployed.find_model("dev", "churn")


def put(model, item):
    boto3.resource("dynamodb").Table(model.table_name).put_item(Item=item)


def run(run_id, **more):
    values = {"execution": "e", "trigger": "manual", "slot": "s", "status": "running", "started_at": "t"}
    return Run(id=run_id, expires_at=1, **{**values, **more})


def test_a_model_is_found_by_its_stack(model):
    assert (model.mode, model.state_machine, model.front_door) == ("precompute", "arn:machine", "door")
    assert deployed.deployed_models("dev") == ["churn"]
    assert deployed.deployed_models("prod") == []


def test_a_missing_stack_says_what_to_run(aws):
    with pytest.raises(NotDeployed, match=r"turnout-dev-platform is not deployed here. Run `cdk deploy --all`"):
        deployed.find_platform("dev")


def test_runs_come_newest_first(model):
    for run_id in ("20261121T060000Z", "20261123T060000Z", "20261122T060000Z"):
        put(model, run(run_id, started_at=run_id).to_item())
    assert [entry.id for entry in model.runs(2)] == ["20261123T060000Z", "20261122T060000Z"]


def test_runs_are_as_many_as_asked_for_beyond_a_page_of_dynamodb(model):
    ids = [f"20261123T06{number:02}00Z" for number in range(30)]
    for run_id in ids:
        put(model, run(run_id, started_at=run_id, report={"prepared": "x" * 50_000}).to_item())
    assert [entry.id for entry in model.runs(30)] == ids[::-1]


def test_a_run_keeps_its_report(model):
    put(model, run("20261123T060000Z", report={"rows_in": 3}).to_item())
    assert model.run("20261123T060000Z").report == {"rows_in": 3}


def test_the_pointer_moves_only_from_where_it_was_seen(model):
    put(model, Pointer(scores="g2", previous_scores="g1", revision=4).to_item())
    seen = model.pointer()
    model.move_pointer(seen, Pointer(scores="g1", previous_scores="g2", revision=5))
    assert model.pointer() == Pointer(scores="g1", previous_scores="g2", revision=5)
    with pytest.raises(UserError, match="changed while it was being rolled back"):
        model.move_pointer(seen, Pointer(scores="g0", revision=5))
    assert model.pointer().scores == "g1"


def test_a_table_without_a_pointer_points_nowhere(model):
    assert model.pointer() == Pointer()
    assert model.generation(None) is None
    assert model._get("x", "y") is None
    put(model, {PK: "RUN", SK: "z", **{k: v for k, v in run("z").to_item().items() if k not in (PK, SK)}})
    assert model.run("z").status == "running"


@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [
        (None, "https://a1.execute-api.us-east-1.amazonaws.com"),
        ("http://127.0.0.1:4566", "http://127.0.0.1:4566/_aws/execute-api/a1/$default"),
        ("http://localhost:4566/", "http://localhost:4566/_aws/execute-api/a1/$default"),
        ("https://vpce.example", "https://a1.execute-api.us-east-1.amazonaws.com"),
    ],
)
def test_the_api_is_called_where_it_can_be_reached(monkeypatch, endpoint, expected):
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    if endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    assert deployed.reachable_url("https://a1.execute-api.us-east-1.amazonaws.com/", "a1") == expected
