"""Least privilege: every `*` is listed with its reason, and nobody may do another's work."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.synth.accepted import WILDCARDS
from tests.synth.cloudformation import statements_of, texts_of
from tests.synth.conftest import EVERY_MODE, Served, Synth, Template, entry

EVERYTHING = (
    entry("risk", mode="batch", schedule="on-new-data"),
    *(
        entry(f"m{number}", mode=mode, more=f"{more}    shift: canary\n")
        for number, (mode, more) in enumerate(EVERY_MODE)
    ),
)


def wildcards(template: Template) -> Iterator[tuple[str, list[str], str]]:
    """Yield logical id, actions and resource of every Allow statement with a `*` or a `?` in it."""
    for id, resource in template.resources.items():
        for statement in statements_of(resource):
            actions = texts_of(statement["Action"])
            for place in texts_of(statement["Resource"]):
                if statement["Effect"] == "Allow" and re.search("[*?]", f"{actions}{place}"):
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


def touched(template: Template, role: str) -> dict[str, set[str]]:
    """Return what a role may touch in the table: partition key, as a pattern, and how."""
    properties = template.starting_with(role, "AWS::IAM::Role")
    found: dict[str, set[str]] = {}
    for statement in properties["Policies"][0]["PolicyDocument"]["Statement"]:
        actions = {a.removeprefix("dynamodb:") for a in texts_of(statement["Action"]) if a.startswith("dynamodb:")}
        for key in statement["Condition"]["ForAllValues:StringLike"]["dynamodb:LeadingKeys"] if actions else []:
            found.setdefault(key, set()).update(actions)
    return found


SCORE = "????????T??????Z*#*"
#: What the front door may touch of the table in each mode: partition key, and how.
READ, FIND, END = {"GetItem"}, {"GetItem"}, {"DeleteItem"}
IN_EVERY_MODE = {"POINTER": READ, "GENERATION": READ, "REQUEST": FIND, "FLIGHT#*": END}
LOOKED_UP = IN_EVERY_MODE | {SCORE: {"GetItem", "BatchGetItem"}}
REMEMBERED = {
    "LIVE#*": {"BatchGetItem", "PutItem"},
    "FLIGHT#*": {"GetItem", "BatchGetItem", "PutItem", "DeleteItem"},
    "MINUTE#*": {"UpdateItem"},
}
ACCEPTED = {"REQUEST": {"GetItem", "PutItem", "DeleteItem"}}
TOUCHED = {
    ("batch", ""): IN_EVERY_MODE,
    ("precompute", ""): LOOKED_UP,
    ("realtime", ""): IN_EVERY_MODE,
    ("serverless", ""): IN_EVERY_MODE,
    ("async", ""): IN_EVERY_MODE | ACCEPTED,
    ("hybrid", ""): LOOKED_UP | REMEMBERED,
    ("hybrid", "realtime"): LOOKED_UP | REMEMBERED,
    ("hybrid", "async"): LOOKED_UP | REMEMBERED | ACCEPTED,
}


@pytest.mark.parametrize(("mode", "fallback"), TOUCHED)
def test_the_front_door_touches_only_what_its_mode_needs_of_the_table(mode: str, fallback: str, served: Served):
    more = f"    hybrid: {{ fallback: {fallback} }}\n" if fallback else ""
    assert touched(served(mode, more), "FrontDoorHandlerRole") == TOUCHED[mode, fallback]


def test_the_pattern_of_scores_covers_every_generation_and_nothing_else():
    from fnmatch import fnmatchcase

    from handlers.contract.records import FLIGHT, LIVE, MINUTE

    assert fnmatchcase("20261123T060000Z#K1", SCORE)
    assert fnmatchcase("20261123T060000Z-0a1b2c#K1#2", SCORE)
    for prefix in (LIVE, FLIGHT, MINUTE):
        assert not fnmatchcase(f"{prefix}K1", SCORE)
        assert not fnmatchcase(f"{prefix}20261123T0600", SCORE)


@pytest.mark.parametrize(
    ("mode", "calls"),
    [
        ("batch", set()),
        ("precompute", set()),
        ("hybrid", {"InvokeEndpoint"}),
        ("realtime", {"InvokeEndpoint"}),
        ("serverless", {"InvokeEndpoint"}),
        ("async", {"InvokeEndpointAsync"}),
    ],
)
def test_the_front_door_calls_its_own_endpoint_in_the_way_of_its_family(mode: str, calls: set[str], served: Served):
    template = served(mode)
    assert actions_of(template, "FrontDoorHandlerRole", "sagemaker") == {f"sagemaker:{call}" for call in calls}
    role = template.starting_with("FrontDoorHandlerRole", "AWS::IAM::Role")
    places = [
        place
        for statement in role["Policies"][0]["PolicyDocument"]["Statement"]
        if any(action.startswith("sagemaker:") for action in texts_of(statement["Action"]))
        for place in texts_of(statement["Resource"])
    ]
    names = [p["EndpointName"].lower() for p in template.properties("AWS::SageMaker::Endpoint")]
    assert [place.partition(":endpoint/")[2] for place in places] == names


@pytest.mark.parametrize(("mode", "more"), EVERY_MODE)
def test_only_asynchronous_payloads_are_written_to_s3_by_the_front_door(mode: str, more: str, served: Served):
    role = served(mode, more).starting_with("FrontDoorHandlerRole", "AWS::IAM::Role")
    written = {
        place
        for statement in role["Policies"][0]["PolicyDocument"]["Statement"]
        if "s3:PutObject" in texts_of(statement["Action"])
        for place in texts_of(statement["Resource"])
    }
    expected = {"<DataBucket.Arn>/async/churn/input/*"} if "async" in mode + more else set()
    assert written == expected


#: Exactly the calls that `RecordsTable` and `ScoreTable` make. Who writes scores cannot make them visible.
RECORDED = {"GetItem", "PutItem"}
STEPS = {
    "Start": {"RUN": RECORDED},
    "Prepare": {},
    "Publish": {SCORE: {"BatchWriteItem", "GetItem"}},
    "Conclude": dict.fromkeys(("RUN", "GENERATION", "POINTER"), RECORDED),
}


@pytest.mark.parametrize("mode", ["batch", "precompute", "hybrid"])
def test_each_step_of_a_run_touches_only_what_it_calls_of_the_table(mode: str, served: Served):
    template = served(mode)
    found = {step: touched(template, f"ServingPipeline{step}Role") for step in STEPS}
    assert found == (STEPS | {"Publish": {}} if mode == "batch" else STEPS)


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
    (queue,) = precompute.of_type("AWS::SQS::Queue")
    (machine,) = [id for id in precompute.of_type("AWS::StepFunctions::StateMachine") if id.startswith("Serving")]
    assert allowed == {("states:StartExecution", f"<{machine}.Arn>"), ("sqs:SendMessage", f"<{queue}.Arn>")}


@pytest.mark.parametrize("actions", [["s3:*"], ["s3:GetObject", "s3:PutBucketPolicy"]])
def test_the_table_covers_a_statement_whole_or_not_at_all(actions: list[str]):
    assert not listed(actions, "<DataBucket.Arn>/input/churn/*")
