"""The command line as an engineer uses it: a process of its own, against what is really deployed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import boto3
import pytest

from tests.integration.conftest import CONFIG, ROOT
from tests.integration.pipeline_runs import put_input
from turnout.local import control


def turnout(*arguments: str, status: int = 0, **environment: str) -> subprocess.CompletedProcess:
    ended = subprocess.run(
        [sys.executable, "-m", "turnout", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert ended.returncode == status, ended.stdout + ended.stderr
    return ended


@pytest.fixture(scope="module")
def scored(client, platform):
    """The model `odd`, run once from the command line."""
    put_input(client, platform, "odd", {"rows.jsonl": b'{"name": "50% off?", "x": 21}\n{"name": "b", "x": 2}\n'})
    return json.loads(turnout("run", "odd", "--json").stdout)


def test_a_run_is_started_followed_and_reported(scored):
    assert scored["status"] == "SUCCEEDED"
    assert scored["run"]["report"]["rows_scored"] == 2
    assert {"Start", "Prepare", "Transform", "Publish", "Conclude"} <= scored["seconds"].keys()


def test_the_ledger_and_the_status_show_the_run(scored):
    (newest, *_) = json.loads(turnout("runs", "odd", "--json").stdout)
    assert (newest["id"], newest["status"]) == (scored["run"]["id"], "succeeded")
    rows = {row["model"]: row for row in json.loads(turnout("status", "--json").stdout)}
    assert rows["odd"]["generation"] == scored["run"]["id"]
    assert rows["odd"]["mode"] == "precompute"
    assert {"churn", "weekly", "odd", "fragile"} <= rows.keys()


def test_any_key_can_be_looked_up(scored):
    answer = json.loads(turnout("predict", "odd", "--key", "50% off?").stdout)
    assert (answer["key"], answer["prediction"]) == ("50% off?", 42.0)
    missing = turnout("predict", "odd", "--key", "nobody", status=1)
    assert json.loads(missing.stdout)["error"]["code"] == "unknown_key"


def test_a_failed_run_exits_with_3_and_says_why(client, platform, model):
    put_input(client, platform, "fragile", {"rows.csv": b"name,y\nk,1\n"})
    ended = turnout("run", "fragile", status=3)
    assert "MissingColumns" in ended.stderr
    assert ended.stderr.count("\n") == 1, "one line"
    assert "Start" in ended.stdout, "progress of a run that is not on a terminal is one line per step"


def test_the_plan_compares_the_file_with_what_is_deployed(platform):
    steps = {step["model"]: step for step in json.loads(turnout("plan", "--config", CONFIG, "--json").stdout)}
    assert {step["action"] for step in steps.values()} == {"update"}
    steps = {step["model"]: step for step in json.loads(turnout("plan", "--json").stdout)}
    assert (steps["churn"]["action"], steps["churn"]["before"]) == ("switch", "precompute")
    assert steps["odd"]["action"] == "remove"


def test_a_local_cloud_is_started_used_emptied_and_stopped(tmp_path: Path):
    state = ("--state-dir", str(tmp_path / "cloud"))
    assert "http://127.0.0.1:" in turnout("local", "up", *state).stdout
    try:
        told = turnout("local", "status", *state).stdout
        assert "Ignored here" in told
        assert "In it: 0 stacks" in told
        assert control.describe(control.require(tmp_path / "cloud"))["time_scale"] == 1  # as on AWS
        lines = turnout("local", "env", *state).stdout.splitlines()
        environment = dict(line.removeprefix("export ").split("=", 1) for line in lines)
        s3 = boto3.client(
            "s3",
            endpoint_url=environment["AWS_ENDPOINT_URL"],
            aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
            region_name=environment["AWS_REGION"],
        )
        s3.create_bucket(Bucket="mine")
        turnout("local", "reset", *state)
        assert s3.list_buckets()["Buckets"] == []
    finally:
        assert "Stopped" in turnout("local", "down", *state).stdout
    assert "Not running" in turnout("local", "status", *state).stdout
    refused = turnout("local", "env", *state, status=1)
    assert "turnout local up" in refused.stderr


#: Somebody else's template: a table with a stream, a consumer, and what the local cloud has not.
FOREIGN = """
Resources:
  Orders:
    Type: AWS::DynamoDB::Table
    Properties:
      KeySchema: [{AttributeName: id, KeyType: HASH}]
      AttributeDefinitions: [{AttributeName: id, AttributeType: S}]
      StreamSpecification: {StreamViewType: NEW_IMAGE}
      ContributorInsightsSpecification: {Enabled: true}
  Consumer:
    Type: AWS::Lambda::EventSourceMapping
    Properties:
      EventSourceArn: !GetAtt Orders.StreamArn
      FunctionName: !Sub '${AWS::StackName}-consumer'
      TumblingWindowInSeconds: 30
      BisectBatchOnFunctionError: true
  Warehouse:
    Type: AWS::Redshift::Cluster
    Properties: {NodeType: ra3.large}
"""


def test_the_doctor_says_of_anyones_template_what_the_local_cloud_will_not_do(tmp_path):
    (tmp_path / "theirs.yaml").write_text(FOREIGN)
    told = json.loads(turnout("local", "doctor", str(tmp_path / "theirs.yaml"), "--json").stdout)["theirs.yaml"]
    assert {(each["resource"], each["property"], each["severity"]) for each in told} == {
        ("Orders", "ContributorInsightsSpecification", "ignored"),
        ("Consumer", "TumblingWindowInSeconds", "ignored"),
        ("Warehouse", "", "missing"),
    }
    strict = turnout("local", "doctor", str(tmp_path / "theirs.yaml"), "--strict", status=1)
    assert "missing   AWS::Redshift::Cluster: there is no such type here" in strict.stdout
    assert "cannot be read" in turnout("local", "doctor", "none.json", status=1).stderr


def test_the_doctor_knows_a_deployed_stack(cloud, platform):
    if cloud is None:
        pytest.skip("only Turnout's local cloud has a doctor")
    state = ("--state-dir", str(cloud.state_dir))
    told = json.loads(turnout("local", "doctor", platform.stack, "--json", *state).stdout)[platform.stack]
    assert {each["severity"] for each in told} == {"ignored", "kept"}
    assert len(told) < 20
    assert "neither a file, nor a folder, nor a stack" in turnout("local", "doctor", "none", *state, status=1).stderr
