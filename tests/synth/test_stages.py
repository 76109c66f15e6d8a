"""What differs between stages, and nothing else: retention, protection, logs."""

from typing import Any

import pytest

from tests.synth.conftest import Synth, Template, entry
from turnout.config.stages import STAGES

STATEFUL = ("AWS::DynamoDB::Table", "AWS::S3::Bucket", "AWS::Logs::LogGroup")


def resources(synth: Synth, stage: str, kind: str) -> list[dict[str, Any]]:
    assembly = synth(entry(mode="hybrid"), stage_name=stage)
    return [r for template in assembly.templates.values() for r in template.of_type(kind).values()]


@pytest.mark.parametrize("stage", sorted(STAGES))
@pytest.mark.parametrize("kind", STATEFUL)
def test_what_holds_data_is_kept_or_deleted_as_the_stage_says(synth: Synth, stage: str, kind: str):
    policy = "Retain" if STAGES[stage].retain_data else "Delete"
    found = resources(synth, stage, kind)
    assert found
    for resource in found:
        assert (resource["DeletionPolicy"], resource["UpdateReplacePolicy"]) == (policy, policy)


@pytest.mark.parametrize("stage", sorted(STAGES))
def test_tables_are_protected_and_restorable_as_the_stage_says(synth: Synth, stage: str):
    (table,) = resources(synth, stage, "AWS::DynamoDB::Table")
    wanted = STAGES[stage]
    assert table["Properties"]["DeletionProtectionEnabled"] is wanted.deletion_protection
    recovery = table["Properties"]["PointInTimeRecoverySpecification"]
    assert recovery == {"PointInTimeRecoveryEnabled": wanted.point_in_time_recovery}


@pytest.mark.parametrize("stage", sorted(STAGES))
def test_every_log_group_forgets_when_the_stage_says(synth: Synth, stage: str):
    groups = resources(synth, stage, "AWS::Logs::LogGroup")
    assert {group["Properties"]["RetentionInDays"] for group in groups} == {STAGES[stage].log_retention_days}


@pytest.mark.parametrize("stage", sorted(STAGES))
def test_work_files_expire_and_results_only_where_the_stage_says_so(synth: Synth, stage: str):
    data = synth(entry(), stage_name=stage)["platform"].starting_with("DataBucket", "AWS::S3::Bucket")
    expiry = {
        rule["Prefix"]: rule["ExpirationInDays"] for rule in data["LifecycleConfiguration"]["Rules"] if "Prefix" in rule
    }
    wanted = STAGES[stage]
    expiry.pop("async/")
    assert expiry.pop("work/") == wanted.work_retention_days
    days = wanted.results_retention_days
    assert expiry == ({} if days is None else {"results/": days, "quarantine/": days})


def test_asynchronous_answers_outlive_the_records_that_lead_to_them(platform: Template):
    from handlers.logic.deferred import KEEP
    from turnout.config.capabilities import LIMITS

    longest_wait = LIMITS["async.expiry"].most + LIMITS["async.invocation_timeout"].most
    rules = platform.starting_with("DataBucket", "AWS::S3::Bucket")["LifecycleConfiguration"]["Rules"]
    (days,) = [rule["ExpirationInDays"] for rule in rules if rule.get("Prefix") == "async/"]
    assert days * 86400 > KEEP.total_seconds() + longest_wait


def test_stages_differ_in_names(synth: Synth):
    dev, prod = synth(entry()).templates, synth(entry(), stage_name="prod").templates
    assert set(dev) == {"turnout-dev-platform", "turnout-dev-churn"}
    assert set(prod) == {"turnout-prod-platform", "turnout-prod-churn"}
