"""The state machine, read as data. That it runs is shown by the integration tests."""

import json
from typing import Any, get_type_hints

import pytest

from handlers.contract.card import Feature, ModelCard
from handlers.contract.env import PipelineEnv
from handlers.contract.errors import PERMANENT_RUN_ERRORS
from handlers.contract.modes import ServingMode
from handlers.contract.pipeline import Packed, PackPartition, Prepared, Published, PublishShard, Shard
from handlers.logic.preparing import MAX_REASONS
from handlers.logic.scores import PARTITION_ROWS, partitions
from handlers.logic.sharding import MAX_SHARD_ROWS, MAX_SHARDS
from infra.constructs.pipeline_definition import (
    MACHINE_TIMEOUT_SECONDS,
    SUBSTITUTIONS,
    TRANSFORM_TIMEOUT_SECONDS,
    WIRE,
    definition,
)
from turnout.config.specs import TransformSpec
from turnout.local.sagemaker.transform.checks import check_transform

HANDLER_STATES = ("Start", "Prepare", "Conclude", "RecordFailure", "RecordUnclaimed")


def machine(wire: str = "csv", **transform: Any) -> dict[str, Any]:
    card = ModelCard(model="churn", key="id", features=[Feature("recency")], input_uri="input/churn/", wire_format=wire)
    return definition(card=card, transform=TransformSpec(wire_format=wire, **transform), tags={"team": "growth"})


def states(**arguments: Any) -> dict[str, Any]:
    return machine(**arguments)["States"]


def test_every_transition_leads_to_a_state_and_every_state_is_reached():
    definition = machine()
    reached, todo = set(), [definition["StartAt"]]
    while todo:
        name = todo.pop()
        if name in reached:
            continue
        reached.add(name)
        state = definition["States"][name]
        todo += [state[key] for key in ("Next", "Default") if key in state]
        todo += [branch["Next"] for branch in state.get("Choices", []) + state.get("Catch", [])]
    assert reached == set(definition["States"])


def test_every_run_ends_in_success_in_failure_or_as_a_duplicate():
    ends = {name: state["Type"] for name, state in states().items() if "Next" not in state and "Default" not in state}
    assert ends == {"Succeeded": "Succeed", "Failed": "Fail", "Duplicate": "Succeed"}


def test_a_duplicate_touches_nothing():
    claimed = states()["Claimed"]
    assert claimed["Choices"] == [{"Variable": "$.started.duplicate", "BooleanEquals": True, "Next": "Duplicate"}]
    assert claimed["Default"] == "Prepare"


def test_every_step_that_can_fail_is_recorded_before_the_machine_fails():
    for name in ("Prepare", "Transform", "Publish", "Pack", "Conclude"):
        assert states()[name]["Catch"] == [
            {"ErrorEquals": ["States.ALL"], "ResultPath": "$.failure", "Next": "RecordFailure"}
        ], name
    assert states()["Start"]["Catch"][0]["Next"] == "RecordUnclaimed"
    assert states()["Failed"] == {"Type": "Fail", "ErrorPath": "$.failure.Error", "CausePath": "$.failure.Cause"}


def test_a_failure_that_cannot_be_recorded_still_fails_with_the_first_error():
    for name in ("RecordFailure", "RecordUnclaimed"):
        state = states()[name]
        assert (state["ResultPath"], state["Next"]) == (None, "Failed")
        assert state["Catch"][0]["ResultPath"] != "$.failure"


def test_a_failed_claim_is_recorded_without_a_run():
    assert "run_id.$" in states()["RecordFailure"]["Parameters"]
    assert "run_id.$" not in states()["RecordUnclaimed"]["Parameters"]


@pytest.mark.parametrize("name", HANDLER_STATES)
def test_permanent_errors_are_not_retried_and_others_four_times(name: str):
    first, *others = states()[name]["Retry"]
    assert first == {"ErrorEquals": list(PERMANENT_RUN_ERRORS), "MaxAttempts": 0}
    assert others[-1]["ErrorEquals"] == ["States.ALL"]
    assert others[-1]["MaxAttempts"] == 4


@pytest.mark.parametrize(("name", "step"), [("Publish", "PublishShard"), ("Pack", "PackPartition")])
def test_a_shard_and_a_partition_are_retried_like_every_handler(name: str, step: str):
    one = states()[name]["ItemProcessor"]["States"][step]
    assert one["Retry"] == states()["Prepare"]["Retry"]
    assert "Catch" not in one


def test_nothing_is_packed_before_every_shard_is_published():
    assert (states()["Publish"]["Next"], states()["Pack"]["Next"]) == ("Pack", "Conclude")


def test_the_steps_hand_each_other_what_their_events_say():
    selected = {
        name: {key.removesuffix(".$") for key in states()[name]["ItemSelector"]} for name in ("Publish", "Pack")
    }
    assert selected == {"Publish": set(get_type_hints(PublishShard)), "Pack": set(get_type_hints(PackPartition))}


def test_a_run_is_of_the_model_that_it_began_with_whatever_is_deployed_in_its_midst():
    found = states()
    assert found["Transform"]["Parameters"]["ModelName"] == "${ModelName}"
    assert found["Publish"]["ItemSelector"]["model_version"] == "${ModelVersion}"
    assert found["Conclude"]["Parameters"]["model_version"] == "${ModelVersion}"
    assert found["Pack"]["ItemSelector"]["retention_seconds"] == ModelCard("m", "id", [], "").retention_seconds
    assert found["Conclude"]["Parameters"]["retention_seconds"] == ModelCard("m", "id", [], "").retention_seconds
    assert "model_version" not in get_type_hints(PipelineEnv), "a deployment changes it while runs are under way"


#: AWS Step Functions Developer Guide, "Service quotas": events in one execution's history, bytes of a state's data.
MAX_EVENTS, MAX_STATE = 25_000, 256 * 1_024
#: What a state that succeeds adds to the history; a Map adds 4 and 2 for each item beside the item's own states.
EVENTS = {"Pass": 2, "Task": 6, "Choice": 2, "Succeed": 2, "Fail": 2, "Map": 4}
LAMBDA_TASK = 5  # entered, scheduled, started, succeeded, exited


def largest_run() -> dict[str, Any]:
    """Return the state's data at the end of the largest run that is allowed."""
    rows = MAX_SHARDS * MAX_SHARD_ROWS
    shards = [Shard(index=index, rows=MAX_SHARD_ROWS) for index in range(MAX_SHARDS)]
    parts = partitions(ServingMode.PRECOMPUTE, rows)
    prepared = Prepared(
        rows_in=rows,
        rows_valid=rows,
        rows_quarantined=0,
        key_type="string",
        quarantine_uri=f"s3://{'b' * 63}/quarantine/{'m' * 63}/run=20261123T060000Z-0a1b2c/rows.jsonl",
        reasons={f"{'reason' * 4}{number}": rows for number in range(MAX_REASONS)},
        shards=shards,
        partitions=parts,
        data_as_of="2026-11-23T06:00:00.123456Z",
    )
    published = [Published(index=index, rows_scored=MAX_SHARD_ROWS) for index in range(MAX_SHARDS)]
    most = dict.fromkeys(("rows_published", "buckets", "items", "singles"), PARTITION_ROWS)
    packed = [Packed(partition=part, **most) for part in parts]
    return {"prepared": prepared, "published": published, "packed": packed, "started": {"uri": "u" * 2_000}}


def test_the_largest_run_stays_below_what_one_execution_may_carry():
    # As Python's json.dumps writes it, with spaces that Step Functions may or may not count.
    assert len(json.dumps(largest_run())) < MAX_STATE
    assert MAX_SHARDS * MAX_SHARD_ROWS > 100_000_000


def test_the_largest_run_leaves_room_for_retries_in_the_history():
    run = largest_run()
    items = {"Publish": len(run["prepared"]["shards"]), "Pack": len(run["prepared"]["partitions"])}
    events = 2 + sum(EVENTS[state["Type"]] for state in states().values())
    events += sum((2 + LAMBDA_TASK) * count for count in items.values())
    assert events < 0.95 * MAX_EVENTS


def test_a_transform_job_that_ran_and_failed_is_not_retried():
    retried = [error for rule in states()["Transform"]["Retry"] for error in rule["ErrorEquals"]]
    assert "SageMaker.ResourceLimitExceededException" in retried
    assert not {"States.TaskFailed", "States.ALL", "States.Timeout"} & set(retried)


def test_a_busy_account_is_asked_again_after_a_minute_at_the_earliest():
    limits = states()["Transform"]["Retry"][0]
    assert limits["ErrorEquals"] == ["SageMaker.ResourceLimitExceededException"]
    assert limits["IntervalSeconds"] >= 60


def test_a_job_that_hangs_is_recorded_before_the_machine_gives_up():
    assert states()["Transform"]["TimeoutSeconds"] == TRANSFORM_TIMEOUT_SECONDS < MACHINE_TIMEOUT_SECONDS


def test_row_numbers_never_reach_the_model_but_come_back_with_its_answer():
    job = states(wire="csv")["Transform"]["Parameters"]
    assert job["DataProcessing"] == {"InputFilter": "$[1:]", "JoinSource": "Input", "OutputFilter": "$[0,-1]"}
    job = states(wire="jsonlines")["Transform"]["Parameters"]
    assert job["DataProcessing"] == {
        "InputFilter": "$.features",
        "JoinSource": "Input",
        "OutputFilter": "$['row','SageMakerOutput']",
    }


@pytest.mark.parametrize("wire", ["csv", "jsonlines"])
def test_input_and_output_have_one_type_and_are_lines(wire: str):
    job = states(wire=wire)["Transform"]["Parameters"]
    assert job["TransformInput"]["ContentType"] == job["TransformOutput"]["Accept"] == WIRE[wire]["content_type"]
    assert (job["TransformInput"]["SplitType"], job["TransformOutput"]["AssembleWith"]) == ("Line", "Line")
    assert all(len(job["DataProcessing"][name]) <= 63 for name in ("InputFilter", "OutputFilter"))


def test_a_parquet_file_goes_whole_and_is_neither_split_nor_filtered_nor_joined():
    job = states(wire="parquet", max_payload_mb=100, max_concurrent=1)["Transform"]["Parameters"]
    assert job["TransformInput"]["ContentType"] == job["TransformOutput"]["Accept"] == "application/x-parquet"
    assert (job["TransformInput"]["SplitType"], job["TransformOutput"]["AssembleWith"]) == ("None", "None")
    assert (job["BatchStrategy"], job["MaxPayloadInMB"], job["MaxConcurrentTransforms"]) == ("SingleRecord", 100, 1)
    assert "DataProcessing" not in job


def test_every_wire_format_of_a_card_is_known():
    from typing import get_args

    from handlers.contract.card import WireFormat

    assert set(WIRE) == set(get_args(WireFormat))


def test_the_transform_settings_reach_the_job():
    job = states(
        instance_type="ml.c5.xlarge", instance_count=3, strategy="SingleRecord", max_payload_mb=10, max_concurrent=4
    )["Transform"]["Parameters"]
    assert job["TransformResources"] == {"InstanceType": "ml.c5.xlarge", "InstanceCount": 3}
    assert (job["BatchStrategy"], job["MaxPayloadInMB"], job["MaxConcurrentTransforms"]) == ("SingleRecord", 10, 4)
    assert job["ModelClientConfig"] == {"InvocationsTimeoutInSeconds": 600, "InvocationsMaxRetries": 3}
    assert job["Tags"] == [{"Key": "team", "Value": "growth"}]


@pytest.mark.parametrize("wire", sorted(WIRE))
def test_botocore_and_the_local_cloud_accept_the_job(wire: str, monkeypatch: pytest.MonkeyPatch):
    from botocore import validate
    from botocore.session import Session

    job = states(wire=wire)["Transform"]["Parameters"]
    job |= {"TransformJobName": "dev-churn-20261123T060000Z", "ModelName": "churn"}
    job.pop("TransformJobName.$")
    job["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"] = "s3://b/p/"
    job["TransformInput"]["DataSource"]["S3DataSource"].pop("S3Uri.$")
    job["TransformOutput"]["S3OutputPath"] = "s3://b/o/"
    job["TransformOutput"].pop("S3OutputPath.$")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    shape = Session().get_service_model("sagemaker").operation_model("CreateTransformJob").input_shape
    report = validate.ParamValidator().validate(job, shape)
    assert not report.has_errors(), report.generate_report()
    check_transform(job)


def test_the_definition_leaves_open_what_it_says():
    text = json.dumps(machine())
    assert all(f"${{{name}}}" in text for name in SUBSTITUTIONS)
