"""Custom resources that are answered after their function has returned, as the gate's and the drain's are."""

import json
import time
from collections.abc import Callable

import pytest

from tests.integration.local.actions import bucket, function, random_name, state_machine, wait_until

pytestmark = pytest.mark.local_only("it is about how the local cloud deploys")

#: Hands the request to a state machine, whose last step answers CloudFormation, and returns at once.
HAND_OVER = """
import boto3, json, os
def handler(event, context):
    boto3.client("stepfunctions").start_execution(stateMachineArn=os.environ["MACHINE"], input=json.dumps(event))
"""
ANSWER = """
import json, urllib.request
def handler(event, context):
    asked = event["ResourceProperties"]
    if event["RequestType"] == asked.get("SilentOn"):
        return
    failed = event["RequestType"] == asked.get("FailOn") and asked.get("Word") == asked.get("FailWord", asked["Word"])
    body = {
        "Status": "FAILED" if failed else "SUCCESS",
        "Reason": "sample 3: 0.1 is not 0.2",
        "PhysicalResourceId": "the-gate",
        "StackId": event["StackId"],
        "RequestId": event["RequestId"],
        "LogicalResourceId": event["LogicalResourceId"],
        "Data": {"Word": asked["Word"], "Asked": event["RequestType"]},
    }
    request = urllib.request.Request(event["ResponseURL"], json.dumps(body).encode(), method="PUT")
    request.add_header("Content-Type", "")
    urllib.request.urlopen(request, timeout=10).close()
"""
ANSWER_AFTER_SECONDS = 2


@pytest.fixture(scope="module")
def token(client) -> str:
    """The ARN of a function that has each request answered two seconds after it has returned."""
    answer = function(client, ANSWER)
    states = {
        "Later": {"Type": "Wait", "Seconds": ANSWER_AFTER_SECONDS, "Next": "Answer"},
        "Answer": {"Type": "Task", "Resource": answer, "End": True},
    }
    machine = state_machine(client, {"StartAt": "Later", "States": states})
    return function(client, HAND_OVER, Environment={"Variables": {"MACHINE": machine}})


@pytest.fixture
def stack(client) -> Callable:
    """A function that creates or updates one stack and returns its status at the end."""
    cloudformation, name = client("cloudformation"), random_name("gated")

    def deploy(**resources) -> str:
        exists = name in [s["StackName"] for s in cloudformation.describe_stacks()["Stacks"]]
        action = cloudformation.update_stack if exists else cloudformation.create_stack
        outputs = {"Asked": {"Value": {"Fn::GetAtt": ["Gate", "Asked"]}}} if "Gate" in resources else {}
        action(StackName=name, TemplateBody=json.dumps({"Resources": resources, "Outputs": outputs}))
        return deploy.end()

    def end() -> str:
        return wait_until(lambda: deploy.status() if not deploy.status().endswith("_IN_PROGRESS") else None)

    deploy.name, deploy.end = name, end
    deploy.status = lambda: cloudformation.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"]
    deploy.outputs = lambda: {
        o["OutputKey"]: o["OutputValue"]
        for o in cloudformation.describe_stacks(StackName=name)["Stacks"][0].get("Outputs", [])
    }
    deploy.events = lambda: cloudformation.describe_stack_events(StackName=name)["StackEvents"]
    yield deploy
    cloudformation.delete_stack(StackName=name)


def gate(token: str, word: str = "one", **properties) -> dict:
    return {"Type": "Custom::Gate", "Properties": {"ServiceToken": token, "Word": word, **properties}}


def parameter(value: str, **more) -> dict:
    return {"Type": "AWS::SSM::Parameter", "Properties": {"Type": "String", "Value": value}, **more}


def value_of(client, stack) -> str:
    found = client("cloudformation").describe_stack_resource(StackName=stack.name, LogicalResourceId="Door")
    name = found["StackResourceDetail"]["PhysicalResourceId"]
    return client("ssm").get_parameter(Name=name)["Parameter"]["Value"]


def test_creation_update_and_deletion_wait_for_the_late_answer(client, stack, token):
    started = time.monotonic()
    assert stack(Gate=gate(token)) == "CREATE_COMPLETE"
    assert time.monotonic() - started >= ANSWER_AFTER_SECONDS
    assert stack.outputs() == {"Asked": "Create"}
    started = time.monotonic()
    assert stack(Gate=gate(token, "two")) == "UPDATE_COMPLETE"
    assert time.monotonic() - started >= ANSWER_AFTER_SECONDS
    assert stack.outputs() == {"Asked": "Update"}
    started = time.monotonic()
    client("cloudformation").delete_stack(StackName=stack.name)
    wait_until(lambda: stack.name not in [s["StackName"] for s in client("cloudformation").describe_stacks()["Stacks"]])
    assert time.monotonic() - started >= ANSWER_AFTER_SECONDS


def test_the_cloud_answers_others_while_a_stack_waits(client, stack, token):
    cloudformation = client("cloudformation")
    body = json.dumps({"Resources": {"Gate": gate(token)}})
    cloudformation.create_stack(StackName=stack.name, TemplateBody=body)
    started = time.monotonic()
    client("s3").list_buckets()
    assert time.monotonic() - started < 1
    assert stack.status() == "CREATE_IN_PROGRESS"
    assert stack.end() == "CREATE_COMPLETE"


def test_a_refusal_at_creation_rolls_back_with_its_reason(client, stack, token):
    assert stack(Gate=gate(token, FailOn="Create")) == "ROLLBACK_COMPLETE"
    assert "sample 3: 0.1 is not 0.2" in reasons(stack)


def reasons(stack) -> str:
    return "\n".join(event.get("ResourceStatusReason", "") for event in stack.events())


def test_a_refusal_at_an_update_leaves_what_depends_on_the_gate_as_it_was(client, stack, token):
    stack(Gate=gate(token), Door=parameter("old", DependsOn="Gate"))
    refused = gate(token, "two", FailOn="Update", FailWord="two")
    assert stack(Gate=refused, Door=parameter("new", DependsOn="Gate")) == "UPDATE_ROLLBACK_COMPLETE"
    assert "sample 3: 0.1 is not 0.2" in reasons(stack)
    assert value_of(client, stack) == "old"
    updated = [e for e in stack.events() if e["LogicalResourceId"] == "Door" and "UPDATE" in e["ResourceStatus"]]
    assert updated == []
    assert stack(Gate=gate(token, "three"), Door=parameter("new", DependsOn="Gate")) == "UPDATE_COMPLETE"
    assert value_of(client, stack) == "new"


def test_silence_ends_at_the_service_timeout(client, stack, token):
    started = time.monotonic()
    assert stack(Gate=gate(token, SilentOn="Create", ServiceTimeout=3)) == "ROLLBACK_COMPLETE"
    assert 3 <= time.monotonic() - started < 15
    assert "timed out" in reasons(stack)


FAILS_ONCE = """
import boto3, json, os, urllib.request
def handler(event, context):
    s3, bucket = boto3.client("s3"), event["ResourceProperties"]["Bucket"]
    key = event["RequestId"]
    if not s3.list_objects_v2(Bucket=bucket, Prefix=key)["KeyCount"]:
        s3.put_object(Bucket=bucket, Key=key)
        os._exit(1)
    body = {"Status": "SUCCESS", "PhysicalResourceId": "x", "Data": {"Asked": event["RequestType"]}}
    body |= {name: event[name] for name in ("StackId", "RequestId", "LogicalResourceId")}
    request = urllib.request.Request(event["ResponseURL"], json.dumps(body).encode(), method="PUT")
    urllib.request.urlopen(request, timeout=10).close()
"""


def test_a_function_that_is_killed_is_called_again(client, stack):
    """CloudFormation invokes the function asynchronously, and Lambda tries an asynchronous invocation three times."""
    properties = {"ServiceToken": function(client, FAILS_ONCE), "Bucket": bucket(client)}
    assert stack(Gate={"Type": "Custom::Gate", "Properties": properties}) == "CREATE_COMPLETE"
    assert stack.outputs() == {"Asked": "Create"}
