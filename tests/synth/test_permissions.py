"""Least privilege: every `*` is listed with its reason, and nobody may do another's work."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.synth.accepted import WILDCARDS
from tests.synth.cloudformation import statements_of, texts_of
from tests.synth.conftest import Synth, Template, entry

EVERYTHING = (
    entry("churn", schedule="rate(1 day)"),
    entry("risk", mode="batch", schedule="on-new-data"),
)


def wildcards(template: Template) -> Iterator[tuple[str, list[str], str]]:
    """Yield logical id, actions and resource of every Allow statement with a `*` in it."""
    for id, resource in template.resources.items():
        for statement in statements_of(resource):
            actions = texts_of(statement["Action"])
            for place in texts_of(statement["Resource"]):
                if statement["Effect"] == "Allow" and "*" in f"{actions}{place}":
                    yield id, actions, place


def listed(actions: list[str], place: str) -> set[int]:
    """Return which entries of the table cover a statement whole."""
    return {
        index
        for index, known in enumerate(WILDCARDS)
        if re.fullmatch(known.resource, place) and all(re.fullmatch(known.actions, action) for action in actions)
    }


@pytest.mark.parametrize("stage", ["dev", "prod"])
def test_every_wildcard_is_listed_with_its_reason_and_every_entry_is_needed(synth: Synth, stage: str):
    used: set[int] = set()
    for name, template in synth(*EVERYTHING, stage_name=stage).templates.items():
        for id, actions, place in wildcards(template):
            covered = listed(actions, place)
            assert covered, f"{name} {id}: {actions} on {place} is not in tests/synth/accepted.py"
            used |= covered
    assert used == set(range(len(WILDCARDS)))


def test_every_reason_is_a_sentence():
    assert all(len(known.reason) > 30 and known.reason.endswith(".") for known in WILDCARDS)


def test_no_role_takes_a_policy_that_aws_manages(synth: Synth):
    for template in synth(*EVERYTHING).templates.values():
        assert not template.of_type("AWS::IAM::Policy")
        for role in template.properties("AWS::IAM::Role"):
            assert "ManagedPolicyArns" not in role


def test_services_act_for_this_account_only(precompute: Template):
    for role in precompute.properties("AWS::IAM::Role"):
        (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
        if trust["Principal"] != {"Service": "lambda.amazonaws.com"}:  # Lambda passes no source account
            assert trust["Condition"]["StringEquals"]["aws:SourceAccount"] == {"Ref": "AWS::AccountId"}


def actions_of(template: Template, role: str, service: str) -> set[str]:
    properties = template.starting_with(role, "AWS::IAM::Role")
    actions = {a for s in properties["Policies"][0]["PolicyDocument"]["Statement"] for a in texts_of(s["Action"])}
    return {action for action in actions if action.startswith(f"{service}:")}


def keys_of(template: Template, role: str) -> set[str]:
    """Return the partition keys, as patterns, that a role may touch in the table."""
    properties = template.starting_with(role, "AWS::IAM::Role")
    return {
        key
        for statement in properties["Policies"][0]["PolicyDocument"]["Statement"]
        if any(action.startswith("dynamodb:") for action in texts_of(statement["Action"]))
        for key in statement["Condition"]["ForAllValues:StringLike"]["dynamodb:LeadingKeys"]
    }


def test_the_front_door_reads_and_never_writes(batch: Template, precompute: Template):
    assert actions_of(batch, "FrontDoorHandlerRole", "dynamodb") == {"dynamodb:GetItem"}
    assert actions_of(precompute, "FrontDoorHandlerRole", "dynamodb") == {"dynamodb:GetItem", "dynamodb:BatchGetItem"}
    assert actions_of(precompute, "FrontDoorHandlerRole", "s3") == {"s3:GetObject"}


def test_scores_are_read_and_written_only_in_the_mode_that_keeps_them(batch: Template, precompute: Template):
    assert keys_of(batch, "FrontDoorHandlerRole") == {"POINTER", "GENERATION"}
    assert keys_of(precompute, "FrontDoorHandlerRole") == {"POINTER", "GENERATION", "*#*"}
    assert keys_of(batch, "ServingPipelinePublishRole") == set()
    assert keys_of(precompute, "ServingPipelinePublishRole") == {"*#*"}


def test_who_writes_scores_cannot_make_them_visible_and_the_other_way_round(precompute: Template):
    assert keys_of(precompute, "ServingPipelinePublishRole").isdisjoint({"POINTER", "GENERATION", "RUN"})
    assert keys_of(precompute, "ServingPipelineConcludeRole") == {"POINTER", "GENERATION", "RUN"}
    assert keys_of(precompute, "ServingPipelineStartRole") == {"RUN"}


def test_the_machine_passes_no_role_and_calls_its_four_functions(precompute: Template):
    role = precompute.starting_with("ServingPipelineRole", "AWS::IAM::Role")
    statements = role["Policies"][0]["PolicyDocument"]["Statement"]
    assert not [s for s in statements if "iam:PassRole" in texts_of(s["Action"])]
    (invoke,) = [s for s in statements if texts_of(s["Action"]) == ["lambda:InvokeFunction"]]
    assert len(texts_of(invoke["Resource"])) == 4


def test_the_scheduler_may_start_this_machine_and_leave_letters_and_nothing_else(precompute: Template):
    role: dict[str, Any] = precompute.starting_with("ServingTriggerRole", "AWS::IAM::Role")
    allowed = {
        (*texts_of(s["Action"]), *texts_of(s["Resource"])) for s in role["Policies"][0]["PolicyDocument"]["Statement"]
    }
    (machine,), (queue,) = precompute.of_type("AWS::StepFunctions::StateMachine"), precompute.of_type("AWS::SQS::Queue")
    assert allowed == {("states:StartExecution", f"<{machine}.Arn>"), ("sqs:SendMessage", f"<{queue}.Arn>")}


@pytest.mark.parametrize("actions", [["s3:*"], ["s3:GetObject", "s3:PutBucketPolicy"]])
def test_the_table_covers_a_statement_whole_or_not_at_all(actions: list[str]):
    assert not listed(actions, "<DataBucket.Arn>/input/churn/*")
