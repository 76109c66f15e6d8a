"""Changing the word and deploying again, with the real CDK CLI."""

import shutil

from tests.integration.conftest import CONFIG, ROOT
from tests.integration.pipeline_runs import put_input, run
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
