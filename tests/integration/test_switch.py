"""Changing the word, or the model behind it, and deploying again, with the real CDK CLI."""

import json
import re
import shutil
import threading
from contextlib import contextmanager

import pytest

from tests.integration.conftest import CONFIG, ROOT, STAGE
from tests.integration.pipeline_runs import put_input, run, wait_for
from turnout.config import edit_mode


def logical_ids(client, stack: str) -> dict[str, tuple[str, str]]:
    pages = client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=stack)
    return {
        resource["LogicalResourceId"]: (resource["ResourceType"], resource["PhysicalResourceId"])
        for page in pages
        for resource in page["StackResourceSummaries"]
    }


def last_update(client, stack: str):
    described = client("cloudformation").describe_stacks(StackName=stack)["Stacks"][0]
    return described.get("LastUpdatedTime", described["CreationTime"])


def test_one_word_turns_409_into_scores_at_the_same_url(client, cdk, model, platform, door, tmp_path):
    fragile = model("fragile")
    put_input(client, platform, "fragile", {"rows.csv": b"name,x\nk1,1\nk2,2\n"})
    config = tmp_path / "models.yaml"
    shutil.copy(ROOT / CONFIG, config)
    others = ["turnout-dev-platform", "turnout-dev-churn", "turnout-dev-weekly", "turnout-dev-odd"]
    untouched = {stack: last_update(client, stack) for stack in others}
    try:
        config.write_text(edit_mode(config.read_text(), "fragile", "batch"))
        cdk("deploy", "--all", "--require-approval", "never", config=config)
        in_batch = logical_ids(client, fragile.stack)
        assert run(model("fragile"), platform).status == "SUCCEEDED"
        refused = door.lookup("fragile", "k1")
        assert (refused.status, refused.body["error"]["code"]) == (409, "not_servable_live")

        config.write_text(edit_mode(config.read_text(), "fragile", "precompute"))
        cdk("deploy", "--all", "--require-approval", "never", config=config)
        in_precompute = logical_ids(client, fragile.stack)
        # The gate had a run made before the front door moved: the first request after the deploy is answered.
        answer = door.lookup("fragile", "k1")
        assert (answer.status, answer.body["prediction"]) == (200, 2.0)
        made = model("fragile").run(answer.body["generation"])
        assert (made.trigger, made.status) == ("gate", "succeeded")
    finally:
        cdk("deploy", "--all", "--require-approval", "never")
    client_facing = ("AWS::ApiGatewayV2::", "AWS::DynamoDB::", "AWS::Lambda::Function", "AWS::Lambda::Alias")
    assert {k: v for k, v in in_batch.items() if v[0].startswith(client_facing)} == {
        k: v for k, v in in_precompute.items() if v[0].startswith(client_facing)
    }
    assert {stack: last_update(client, stack) for stack in others} == untouched


@contextmanager
def asked_all_along(door, model, features):
    """Ask without a pause; yield the list of (status, version, prediction) that grows meanwhile."""
    answers, over = [], threading.Event()

    def ask():
        while not over.is_set():
            answer = door.predict(model, {"features": features})
            answers.append((answer.status, answer.body.get("model_version"), answer.body.get("prediction")))

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield answers
    finally:
        over.set()
        asking.join()


def endpoints_of(client, name: str) -> list[str]:
    found = client("sagemaker").list_endpoints(NameContains=f"-{name}-")["Endpoints"]
    return [entry["EndpointName"] for entry in found]


@contextmanager
def at_two_instances(client, endpoint: str):
    """Have scaling keep a second instance meanwhile, as load would."""
    scaling, variant = client("application-autoscaling"), f"endpoint/{endpoint}/variant/AllTraffic"
    dimension = {"ServiceNamespace": "sagemaker", "ScalableDimension": "sagemaker:variant:DesiredInstanceCount"}
    scaling.register_scalable_target(ResourceId=variant, MinCapacity=2, MaxCapacity=4, **dimension)

    def is_larger() -> bool:
        (described,) = client("sagemaker").describe_endpoint(EndpointName=endpoint)["ProductionVariants"]
        return described["DesiredInstanceCount"] == 2

    wait_for(is_larger, "a second instance", 30)
    yield
    scaling.register_scalable_target(ResourceId=variant, MinCapacity=1, MaxCapacity=4, **dimension)


def looks(client, stack: str) -> list[str]:
    """Return what the looks of a stack's gate came to."""
    resources = client("cloudformation").list_stack_resources(StackName=stack)["StackResourceSummaries"]
    (machine,) = [r["PhysicalResourceId"] for r in resources if r["LogicalResourceId"].startswith("GateMachine")]
    steps = client("stepfunctions")
    histories = [
        steps.get_execution_history(executionArn=each["executionArn"], maxResults=1000)["events"]
        for each in steps.list_executions(stateMachineArn=machine)["executions"]
    ]
    left = [event.get("stateExitedEventDetails", {"name": ""}) for history in histories for event in history]
    return [json.loads(each["output"])["reason"] for each in left if each["name"] == "Prove"]


@pytest.mark.local_only("it reads how a rollback ended from events that are there at once")
def test_a_model_that_was_trained_again_is_proved_before_anybody_meets_it(client, cdk, model, door, trained, tmp_path):
    """In the same mode: it stands beside the old one, as large as that, and goes when its predictions differ."""
    stack, code = f"turnout-{STAGE}-live", tmp_path / "churn"
    shutil.copytree(trained.parent, code)
    config, kept = tmp_path / "models.yaml", "live:\n    mode: realtime\n    code: "
    config.write_text((ROOT / CONFIG).read_text().replace(f"{kept}model_code/churn", f"{kept}{code}"))
    version, (endpoint,) = model("live").model_version, endpoints_of(client, "live")
    samples = code / "artifact/sample_payloads.json"
    trained_again = json.loads(samples.read_text())
    first = trained_again["rows"][0]
    trained_again["rows"][3]["churn_probability"] += 2**-40
    samples.write_text(json.dumps(trained_again))

    with (
        at_two_instances(client, endpoint),
        asked_all_along(door, "live", first["features"]) as answers,
        pytest.raises(AssertionError) as refused,
    ):
        cdk("deploy", stack, "--exclusively", "--require-approval", "never", config=config)
    said = " ".join(str(refused.value).split())
    assert "does not predict what training predicted" in said
    assert "Clients have noticed nothing: mode realtime still answers them." in said
    grown = rf"endpoint dev-live-realtime-[0-9a-f]{{6}} grows to 2 instances, as many as {endpoint} has"
    assert any(re.fullmatch(grown, look) for look in looks(client, stack))
    assert len(answers) > 20
    assert set(answers) == {(200, version, first["churn_probability"])}
    assert endpoints_of(client, "live") == [endpoint], "of the new one nothing remains"
