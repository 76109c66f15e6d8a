"""What the doctor says of templates: of our own, where every line is known and justified, and of others."""

import json
from pathlib import Path

import pytest

from turnout.local import doctor, emulator
from turnout.local.doctor import (
    IGNORED,
    KEPT_ONLY,
    MISSING,
    UNCHECKED,
    Finding,
    NoTemplate,
    areas,
    examine,
    parse,
    read,
    strictly,
)

GOLDEN = Path(__file__).parents[2] / "synth/golden"


def template(kind: str, **properties) -> dict:
    return {"Resources": {"It": {"Type": kind, "Properties": properties}}}


def told(kind: str, **properties) -> dict[str, str]:
    """Return severity by property of one resource."""
    return {finding.property: finding.severity for finding in examine(template(kind, **properties))}


def test_a_type_that_is_not_there_is_missing():
    (finding,) = examine(template("AWS::Redshift::Cluster", NodeType="x"))
    assert finding == Finding(
        "It", "AWS::Redshift::Cluster", "", MISSING, "there is no such type here; the deployment fails"
    )
    assert not strictly([finding])


def test_a_property_that_nothing_reads_is_named_with_its_path():
    rules = {"CorsRules": [{"AllowedMethods": ["GET"]}, {"Cached": True}]}
    assert told("AWS::S3::Bucket", AccessControl="Private", CorsConfiguration=rules) == {
        "AccessControl": IGNORED,
        "CorsConfiguration.CorsRules.Cached": IGNORED,
    }


def test_a_property_that_does_not_exist_is_one_that_nothing_reads():
    assert told("AWS::SQS::Queue", QueueNam="x") == {"QueueNam": IGNORED}


def test_what_is_kept_and_changes_nothing_is_no_reason_to_fail():
    findings = examine(template("AWS::Lambda::Function", MemorySize=1024, Timeout=3))
    assert [(f.property, f.severity, f.meaning) for f in findings] == [
        ("MemorySize", KEPT_ONLY, "memory is not limited")
    ]
    assert strictly(findings)


def test_what_is_mended_here_is_not_told():
    expiry = {"Enabled": True, "AttributeName": "x"}
    assert told("AWS::DynamoDB::Table", TableName="t", TimeToLiveSpecification=expiry) == {}
    assert told("AWS::Scheduler::Schedule", ScheduleExpressionTimezone="Asia/Tokyo", StartDate="x") == {}
    assert told("AWS::Lambda::Function", ReservedConcurrentExecutions=1, DeadLetterConfig={"TargetArn": "x"}) == {}


def test_both_sides_of_a_condition_are_looked_at_and_no_value_is_none():
    either = {"Fn::If": ["C", {"Rules": [{"Inner": 1}]}, {"Ref": "AWS::NoValue"}]}
    assert told("AWS::S3::Bucket", CorsConfiguration=either, AccessControl={"Ref": "AWS::NoValue"}) == {
        "CorsConfiguration.Rules": IGNORED
    }


def test_members_that_a_sagemaker_request_has_not_fail_and_those_that_no_code_names_have_no_effect():
    container = {
        "Image": "x",
        "Environment": {"ANY_NAME": "1"},
        "ImageConfig": {"RepositoryAccessMode": "Vpc"},
        "No": 1,
    }
    assert told("AWS::SageMaker::Model", PrimaryContainer=container, VpcConfig={"Subnets": []}) == {
        "PrimaryContainer.ImageConfig": KEPT_ONLY,
        "PrimaryContainer.No": MISSING,
        "VpcConfig": KEPT_ONLY,
    }


def test_every_own_type_is_held_against_its_request_or_what_has_an_effect():
    assert {*doctor.REQUESTS, *doctor.HEEDED} == emulator.own_types()


def test_what_a_deployment_group_does_not_heed_is_told():
    group = template("AWS::CodeDeploy::DeploymentGroup", ApplicationName="a", TriggerConfigurations=[], Tags=[])
    assert {(f.property, f.severity) for f in examine(group)} == {("TriggerConfigurations", IGNORED), ("Tags", IGNORED)}


def test_attributes_of_resources_that_nothing_acts_on_are_told():
    resource = {"Type": "AWS::SQS::Queue", "UpdatePolicy": {}, "DeletionPolicy": "Retain", "Metadata": {}}
    findings = examine({"Resources": {"It": resource}})
    assert [(f.property, f.severity) for f in findings] == [("UpdatePolicy", IGNORED)]


def test_macros_and_what_they_make_are_not_passed_over():
    made = {
        "Transform": ["Own::Macro", "AWS::Serverless-2016-10-31"],
        **template("AWS::Serverless::Function", Handler="x"),
    }
    assert [(f.type, f.severity) for f in examine(made)] == [
        ("Own::Macro", MISSING),
        ("AWS::Serverless::Function", UNCHECKED),
    ]


def test_custom_resources_are_their_functions_business():
    assert told("Custom::Anything", ServiceToken="arn", Whatever=1) == {}
    assert told("AWS::CloudFormation::CustomResource", ServiceToken="arn", Whatever=1) == {}


def test_a_type_that_cannot_be_followed_is_said_to_be_unchecked():
    assert told("AWS::Glue::Job", Name="x") == {"": UNCHECKED}


def test_yaml_with_short_forms_is_read():
    text = "Resources:\n  It:\n    Type: AWS::SQS::Queue\n    Properties:\n      Nonsense: !Sub '${A}'\n"
    assert [f.property for f in examine(parse(text))] == ["Nonsense"]


@pytest.mark.parametrize("text", ["", "[]", "{", "a: b", '{"Resources": []}'])
def test_what_is_no_template_is_said(text):
    with pytest.raises(NoTemplate, match="no CloudFormation template"):
        parse(text)


def test_a_folder_gives_all_its_templates(tmp_path):
    (tmp_path / "assembly-Stage").mkdir()
    for name in ("One.template.json", "assembly-Stage/Two.template.json", "manifest.json"):
        (tmp_path / name).write_text(json.dumps(template("AWS::SQS::Queue")))
    assert set(read(str(tmp_path), list)) == {"One.template.json", "assembly-Stage/Two.template.json"}


def test_a_folder_without_templates_says_how_to_make_them(tmp_path):
    with pytest.raises(NoTemplate, match="cdk synth"):
        read(str(tmp_path), list)


def test_a_file_that_is_not_there_is_no_stack():
    with pytest.raises(NoTemplate, match=r"cdk\.out/missing\.json cannot be read"):
        read("cdk.out/missing.json", list)


#: All that is said of our own stacks, and why it may stand.
JUSTIFIED = {
    ("AWS::ApplicationAutoScaling::ScalingPolicy", "StepScalingPolicyConfiguration.MetricAggregationType"): "one value",
    ("AWS::DynamoDB::Table", "DeletionProtectionEnabled"): "prod only; local stacks are thrown away",
    ("AWS::DynamoDB::Table", "SSESpecification"): "nothing to protect",
    ("AWS::KMS::Key", "EnableKeyRotation"): "takes a year",
    ("AWS::KMS::Key", "PendingWindowInDays"): "takes days",
    ("AWS::Lambda::Function", "Architectures"): "no compiled code in our functions",
    ("AWS::Lambda::Function", "MemorySize"): "benchmarks say what is needed",
    ("AWS::Lambda::Function", "Runtime"): "the tests run on the Python of the functions",
    ("AWS::Logs::LogGroup", "RetentionInDays"): "takes weeks",
    ("AWS::S3::Bucket", "BucketEncryption"): "nothing to protect",
    ("AWS::S3::Bucket", "LifecycleConfiguration"): "takes days",
    ("AWS::S3::Bucket", "LoggingConfiguration"): "read by auditors",
    ("AWS::SNS::Topic", "KmsMasterKeyId"): "nothing to protect",
    ("AWS::SQS::Queue", "SqsManagedSseEnabled"): "nothing to protect",
    ("AWS::SageMaker::EndpointConfig", "ProductionVariants.InstanceType"): "there is one machine",
    ("AWS::SageMaker::Model", "EnableNetworkIsolation"): "our containers ask nobody",
    ("AWS::Scheduler::Schedule", "FlexibleTimeWindow"): "our schedules have none",
    ("AWS::StepFunctions::StateMachine", "TracingConfiguration"): "read by people",
}


def test_what_is_said_of_our_own_stacks_is_short_and_justified():
    findings = [finding for file in sorted(GOLDEN.glob("*.json")) for finding in examine(parse(file.read_text()))]
    assert {(finding.type, finding.property) for finding in findings} == set(JUSTIFIED)
    assert {finding.severity for finding in findings} == {IGNORED, KEPT_ONLY}


def test_the_table_of_what_is_kept_names_types_and_properties_that_are_read():
    for kind, kept in doctor.KEPT.items():
        for path in kept:
            if kind not in emulator.own_types():
                assert emulator.reads_of_type(kind).reads(tuple(path.split("."))), (
                    f"{kind} {path} is ignored altogether"
                )


def test_the_parts_of_the_cloud_that_matter_are_named():
    assert areas(template("AWS::Kinesis::Stream")) == ["Kinesis"]
    assert areas(template("AWS::SageMaker::EndpointConfig")) == ["SageMaker", "endpoints", "time"]
