"""An alias with an UpdatePolicy moves step by step, and goes back when an alarm rings."""

import json
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count

import pytest
from botocore.exceptions import ClientError

from tests.integration.local.actions import ROLE, random_name, wait_until
from turnout.local import control

pytestmark = pytest.mark.local_only("it is about how the local cloud deploys")

CODE = """
import os
def handler(event, context):
    return {"statusCode": 200, "body": os.environ["WORD"]}
"""
CANARY, LINEAR = "LambdaCanary10Percent5Minutes", "LambdaLinear10PercentEvery1Minute"
WORDS = map("word{}".format, count())


class Stack:
    """A function, its version and its alias, shifted by CodeDeploy under the eyes of one alarm."""

    def __init__(self, client) -> None:
        self.client, self.name, self.alarm = client, random_name("shifted"), random_name("alarm")
        self.word, self.configuration = next(WORDS), CANARY
        self.cloudformation, self.codedeploy = client("cloudformation"), client("codedeploy")
        body = json.dumps(self.template())
        self.cloudformation.create_stack(StackName=self.name, TemplateBody=body)
        assert self.ended() == "CREATE_COMPLETE"
        outputs = self.cloudformation.describe_stacks(StackName=self.name)["Stacks"][0]["Outputs"]
        (self.alias, self.application) = (
            next(o["OutputValue"] for o in outputs if o["OutputKey"] == key) for key in ("Alias", "Shift")
        )

    def template(self) -> dict:
        group = {
            "ApplicationName": {"Ref": "Shift"},
            "ServiceRoleArn": ROLE,
            "DeploymentConfigName": f"CodeDeployDefault.{self.configuration}",
            "DeploymentStyle": {"DeploymentType": "BLUE_GREEN", "DeploymentOption": "WITH_TRAFFIC_CONTROL"},
            "AutoRollbackConfiguration": {
                "Enabled": True,
                "Events": ["DEPLOYMENT_FAILURE", "DEPLOYMENT_STOP_ON_ALARM", "DEPLOYMENT_STOP_ON_REQUEST"],
            },
            "AlarmConfiguration": {"Enabled": True, "Alarms": [{"Name": {"Ref": "Alarm"}}]},
        }
        alarm = {
            "AlarmName": self.alarm,
            "Namespace": "None",
            "MetricName": "None",
            "Statistic": "Sum",
            "Period": 60,
            "EvaluationPeriods": 1,
            "Threshold": 1,
            "ComparisonOperator": "GreaterThanOrEqualToThreshold",
            "TreatMissingData": "ignore",
        }
        version, name = f"Version{self.word}", {"Ref": "Function"}
        move = {"ApplicationName": {"Ref": "Shift"}, "DeploymentGroupName": {"Ref": "Group"}}
        code = {"Code": {"ZipFile": CODE}, "Handler": "index.handler", "Runtime": "python3.12", "Role": ROLE}
        resources = {
            "Alias": resource(
                "Lambda::Alias", FunctionName=name, Name="live", FunctionVersion={"Fn::GetAtt": [version, "Version"]}
            )
            | {"UpdatePolicy": {"CodeDeployLambdaAliasUpdate": move}},
            "Function": resource("Lambda::Function", **code, Environment={"Variables": {"WORD": self.word}}),
            version: resource("Lambda::Version", FunctionName=name),
            "Alarm": resource("CloudWatch::Alarm", **alarm),
            # The group's turn comes as late as that: only the alias's UpdatePolicy says that it must come before.
            "Shift": resource("CodeDeploy::Application", ComputePlatform="Lambda") | {"DependsOn": version},
            "Group": resource("CodeDeploy::DeploymentGroup", **group),
        }
        outputs = {"Alias": {"Value": {"Ref": "Alias"}}, "Shift": {"Value": {"Ref": "Shift"}}}
        return {"Resources": resources, "Outputs": outputs}

    def update(self) -> tuple[str, str]:
        """Begin to deploy a new word; return the old and the new one."""
        old, self.word = self.ask(), next(WORDS)
        self.cloudformation.update_stack(StackName=self.name, TemplateBody=json.dumps(self.template()))
        return old, self.word

    def status(self) -> str:
        return self.cloudformation.describe_stacks(StackName=self.name)["Stacks"][0]["StackStatus"]

    def ended(self) -> str:
        return wait_until(lambda: status if not (status := self.status()).endswith("_IN_PROGRESS") else None)

    def ask(self) -> str:
        answer = self.client("lambda").invoke(FunctionName=self.alias)
        return json.load(answer["Payload"])["body"]

    def ask_until(self, over: Callable[[Counter], bool], ask: Callable[[], str] | None = None) -> Counter:
        """Ask again and again until `over` says so of the answers; return how often each word was answered."""
        answers: Counter = Counter()

        def more() -> bool:
            answers[(ask or self.ask)()] += 1
            return over(answers)

        while not more():
            assert sum(answers.values()) < 20_000
        return answers

    def weights(self) -> dict:
        name = self.alias.rpartition(":")[0]
        alias = self.client("lambda").get_alias(FunctionName=name, Name="live")
        return alias.get("RoutingConfig", {}).get("AdditionalVersionWeights", {})

    def ring(self, state: str = "ALARM") -> None:
        self.client("cloudwatch").set_alarm_state(AlarmName=self.alarm, StateValue=state, StateReason="a test")

    def deployments(self) -> list[str]:
        return self.codedeploy.list_deployments(applicationName=self.application)["deployments"]

    def newest(self) -> dict:
        return self.codedeploy.get_deployment(deploymentId=self.deployments()[0])["deploymentInfo"]

    def failure(self) -> str:
        """Return what the last failed update says of the alias."""
        events = self.cloudformation.describe_stack_events(StackName=self.name)["StackEvents"]
        failed = [e for e in events if (e["LogicalResourceId"], e["ResourceStatus"]) == ("Alias", "UPDATE_FAILED")]
        return failed[0]["ResourceStatusReason"]


def resource(kind: str, **properties) -> dict:
    return {"Type": f"AWS::{kind}", "Properties": properties}


@pytest.fixture(scope="module")
def stack(client) -> Iterator[Stack]:
    stack = Stack(client)
    yield stack
    stack.ended()
    client("cloudformation").delete_stack(StackName=stack.name)
    wait_until(lambda: stack.name not in [s["StackName"] for s in stack.cloudformation.describe_stacks()["Stacks"]])
    with pytest.raises(ClientError, match="ResourceNotFound"):
        client("lambda").get_alias(FunctionName=stack.alias.rpartition(":")[0], Name="live")


@pytest.fixture
def quiet(stack) -> Iterator[None]:
    stack.ring("OK")
    yield
    stack.ring("OK")


@contextmanager
def time_passes(cloud, scale: float) -> Iterator[None]:
    control.set_faults(cloud, time_scale=scale)
    try:
        yield
    finally:
        control.set_faults(cloud, time_scale=60)


def test_the_creation_of_a_stack_shifts_nothing(stack):
    assert stack.ask() == stack.word
    assert (stack.deployments(), stack.weights()) == ([], {})


def test_a_canary_gives_the_new_version_a_tenth_and_then_everything(stack, quiet, stand_in_cloud):
    with time_passes(stand_in_cloud, 150):
        old, new = stack.update()
        wait_until(stack.weights)
        answers = stack.ask_until(lambda seen: not stack.weights())
        assert stack.ended() == "UPDATE_COMPLETE"
    assert set(answers) == {old, new}
    assert 1 < answers[new] < answers[old]  # the very last answer may have come after the shift
    assert {stack.ask() for _ in range(20)} == {new}
    assert stack.weights() == {}
    newest = stack.newest()
    assert (newest["status"], newest["deploymentConfigName"]) == ("Succeeded", f"CodeDeployDefault.{CANARY}")
    assert (newest["completeTime"] - newest["startTime"]).total_seconds() >= 2


def test_the_api_s_requests_are_shifted_too(client, stack, quiet, stand_in_cloud):
    gateway = client("apigatewayv2")
    api = gateway.create_api(Name=random_name("api"), ProtocolType="HTTP")["ApiId"]
    integration = gateway.create_integration(
        ApiId=api, IntegrationType="AWS_PROXY", IntegrationUri=stack.alias, PayloadFormatVersion="2.0"
    )["IntegrationId"]
    gateway.create_route(ApiId=api, RouteKey="$default", Target=f"integrations/{integration}")
    gateway.create_stage(ApiId=api, StageName="$default", AutoDeploy=True)
    url = control.api_url(stand_in_cloud, f"https://{api}.execute-api.us-east-1.amazonaws.com")

    def ask() -> str:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return answer.read().decode()

    old, new = stack.update()
    wait_until(stack.weights)
    answers = stack.ask_until(lambda seen: len(seen) == 2, ask)
    assert (set(answers), stack.weights() != {}) == ({old, new}, True)
    stack.ring()
    assert stack.ended() == "UPDATE_ROLLBACK_COMPLETE"
    assert {ask() for _ in range(20)} == {old}


def test_a_linear_shift_grows_by_tenths(stack, quiet, stand_in_cloud):
    stack.configuration = LINEAR
    seen: list[float] = []
    try:
        with time_passes(stand_in_cloud, 240):
            _, new = stack.update()
            while not stack.status().endswith("_COMPLETE"):
                seen += stack.weights().values()
    finally:
        stack.configuration = CANARY
    assert seen == sorted(seen)
    assert 5 <= len(set(seen)) <= 9
    assert set(seen) <= {tenths / 10 for tenths in range(1, 10)}
    assert {stack.ask() for _ in range(20)} == {new}


def test_an_alarm_takes_everything_back_at_once_and_the_stack_with_it(stack, quiet):
    old, new = stack.update()
    assert stack.ask_until(lambda seen: len(seen) == 2).keys() == {old, new}
    stack.ring()
    wait_until(lambda: not stack.weights())
    assert {stack.ask() for _ in range(50)} == {old}
    assert stack.ended() == "UPDATE_ROLLBACK_COMPLETE"
    newest = stack.newest()
    assert (newest["status"], newest["errorInformation"]["code"]) == ("Stopped", "ALARM_ACTIVE")
    assert f"{newest['deploymentId']} failed. One or more alarms have been activated" in stack.failure()
    assert f"Activated alarms: <{stack.alarm}>" in stack.failure()


def test_an_alarm_that_rings_already_lets_nothing_move(stack, quiet):
    stack.ring()
    old, _ = stack.update()
    answers = stack.ask_until(lambda _: stack.status() == "UPDATE_ROLLBACK_COMPLETE")
    assert set(answers) == {old}
    assert stack.newest()["errorInformation"]["code"] == "ALARM_ACTIVE"


def test_a_stopped_deployment_goes_back(stack, quiet):
    old, _ = stack.update()
    wait_until(stack.weights)
    stack.codedeploy.stop_deployment(deploymentId=stack.newest()["deploymentId"])
    assert stack.ended() == "UPDATE_ROLLBACK_COMPLETE"
    assert stack.newest()["errorInformation"]["code"] == "MANUAL_STOP"
    assert ({stack.ask() for _ in range(20)}, stack.weights()) == ({old}, {})
    with pytest.raises(ClientError, match="DeploymentAlreadyCompleted"):
        stack.codedeploy.stop_deployment(deploymentId=stack.newest()["deploymentId"])


def test_a_cancelled_update_goes_back(stack, quiet):
    old, _ = stack.update()
    wait_until(stack.weights)
    stack.cloudformation.cancel_update_stack(StackName=stack.name)
    assert stack.ended() == "UPDATE_ROLLBACK_COMPLETE"
    assert "cancelled" in stack.failure()
    assert ({stack.ask() for _ in range(20)}, stack.weights()) == ({old}, {})


def test_others_are_answered_and_the_stack_is_guarded_while_requests_shift(client, stack, quiet):
    stack.update()
    wait_until(stack.weights)
    with pytest.raises(ClientError, match="UPDATE_IN_PROGRESS"):
        stack.cloudformation.delete_stack(StackName=stack.name)
    assert client("s3").list_buckets()["Buckets"] is not None
    stack.ring()
    stack.ended()
