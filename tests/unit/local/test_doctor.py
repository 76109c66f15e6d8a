"""What the doctor says of templates: of our own, where every line is known and justified, and of others."""

import ast
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

LOCAL = Path(doctor.__file__).parent
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


VARIANT = {"VariantName": "v", "ModelName": "m", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
TARGET = {
    "ServiceNamespace": "sagemaker",
    "ResourceId": "endpoint/e/variant/v",
    "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
}
GROUP = {
    "ApplicationName": "a",
    "DeploymentConfigName": "CodeDeployDefault.LambdaAllAtOnce",
    "DeploymentStyle": {"DeploymentType": "BLUE_GREEN", "DeploymentOption": "WITH_TRAFFIC_CONTROL"},
    "AutoRollbackConfiguration": {
        "Enabled": True,
        "Events": ["DEPLOYMENT_FAILURE", "DEPLOYMENT_STOP_ON_ALARM", "DEPLOYMENT_STOP_ON_REQUEST"],
    },
}
MORE_DATA = [{"ChannelName": "c", "S3DataSource": {"S3Uri": "s3://b/k"}}]
TRACKED = {"TargetValue": 1, "CustomizedMetricSpecification": {"Metrics": [{"Id": "m", "Expression": "1"}]}}
SAGEMAKER, SCALING, CODEDEPLOY = "AWS::SageMaker::", "AWS::ApplicationAutoScaling::", "AWS::CodeDeploy::"
#: Type, properties that are refused, and where.
REFUSED = [
    (SAGEMAKER + "EndpointConfig", {"ShadowProductionVariants": [VARIANT]}, "ShadowProductionVariants"),
    (SAGEMAKER + "EndpointConfig", {"ExplainerConfig": {"ClarifyExplainerConfig": {}}}, "ExplainerConfig"),
    (SAGEMAKER + "EndpointConfig", {"ProductionVariants": [{"VariantName": "v"}]}, "ProductionVariants.ModelName"),
    (
        SAGEMAKER + "EndpointConfig",
        {"ProductionVariants": [{**VARIANT, "InstancePools": [{"InstanceType": "ml.m5.large", "Priority": 1}]}]},
        "ProductionVariants.InstancePools",
    ),
    (SAGEMAKER + "Model", {"PrimaryContainer": {"Mode": "MultiModel"}}, "PrimaryContainer.Mode"),
    (SAGEMAKER + "Model", {"Containers": [{}, {"Mode": "MultiModel"}]}, "Containers.Mode"),
    (
        SAGEMAKER + "Model",
        {"PrimaryContainer": {"AdditionalModelDataSources": MORE_DATA}},
        "PrimaryContainer.AdditionalModelDataSources",
    ),
    (
        SAGEMAKER + "Model",
        {"Containers": [{"AdditionalModelDataSources": MORE_DATA}]},
        "Containers.AdditionalModelDataSources",
    ),
    (
        SAGEMAKER + "Model",
        {"PrimaryContainer": {}, "InferenceExecutionConfig": {"Mode": "Direct"}},
        "InferenceExecutionConfig.Mode",
    ),
    (
        SAGEMAKER + "ModelPackage",
        {
            "InferenceSpecification": {"Containers": []},
            "ValidationSpecification": {"ValidationProfiles": [{"ProfileName": "p"}]},
        },
        "ValidationSpecification.ValidationProfiles",
    ),
    (SAGEMAKER + "ModelPackage", {"SourceUri": "s3://b/k"}, "InferenceSpecification"),
    (
        SAGEMAKER + "ModelPackage",
        {"InferenceSpecification": {"Containers": [{"AdditionalModelDataSources": MORE_DATA}]}},
        "InferenceSpecification.Containers.AdditionalModelDataSources",
    ),
    (
        SAGEMAKER + "ModelPackage",
        {"InferenceSpecification": {"Containers": [{"Mode": "MultiModel"}]}},
        "InferenceSpecification.Containers.Mode",
    ),
    (SCALING + "ScalableTarget", {**TARGET, "ServiceNamespace": "ecs"}, "ServiceNamespace"),
    (
        SCALING + "ScalableTarget",
        {**TARGET, "ScalableDimension": "sagemaker:inference-component:DesiredCopyCount"},
        "ScalableDimension",
    ),
    (SCALING + "ScalingPolicy", {**TARGET, "ServiceNamespace": "ecs"}, "ServiceNamespace"),
    (SCALING + "ScalingPolicy", {**TARGET, "ScalableDimension": "ecs:service:DesiredCount"}, "ScalableDimension"),
    (SCALING + "ScalingPolicy", {"ScalingTargetId": "t", "PolicyType": "PredictiveScaling"}, "PolicyType"),
    (
        SCALING + "ScalingPolicy",
        {"PolicyType": "TargetTrackingScaling", "TargetTrackingScalingPolicyConfiguration": TRACKED},
        "TargetTrackingScalingPolicyConfiguration.CustomizedMetricSpecification.Metrics",
    ),
    (CODEDEPLOY + "Application", {"ComputePlatform": "ECS"}, "ComputePlatform"),
    (CODEDEPLOY + "DeploymentGroup", {**GROUP, "DeploymentConfigName": "Mine"}, "DeploymentConfigName"),
    (
        CODEDEPLOY + "DeploymentGroup",
        {**GROUP, "AutoRollbackConfiguration": {"Enabled": True, "Events": ["DEPLOYMENT_FAILURE"]}},
        "AutoRollbackConfiguration",
    ),
]


@pytest.mark.parametrize(("kind", "properties", "path"), REFUSED)
def test_what_the_services_refuse_by_name_is_missing(kind, properties, path):
    findings = examine(template(kind, **properties))
    (missing,) = [finding for finding in findings if finding.severity == MISSING]
    assert missing.property == path
    assert "; the deployment fails" in missing.meaning or "; what uses it fails" in missing.meaning
    assert not strictly(findings)
    assert not any(finding.property.startswith(f"{path}.") for finding in findings)


def test_every_refusal_of_a_service_has_such_a_template():
    assert {(kind, path) for kind, _, path in REFUSED} == {
        (kind, ".".join(refusal.path)) for kind, table in doctor.REFUSED.items() for refusal in table
    }


#: Where else NotEmulated is raised, and why no template gets there.
NOT_FROM_TEMPLATES = {
    ("autoscaling/api.py", "call"): "an operation",
    ("emulator.py", "handle_request"): "an operation",
    ("sagemaker/api.py", "_absent"): "an operation",
    ("sagemaker/search.py", "search"): "Search",
    ("sagemaker/transform/checks.py", "_check_source"): "transform jobs",
    ("shifting.py", "call"): "an operation",
}


def refusals_outside_the_tables() -> set[tuple[str, str]]:
    """Return file and function of every NotEmulated that is made of other words than a table's."""
    found = set()
    for file in (file for file in LOCAL.rglob("*.py") if "NotEmulated(" in file.read_text()):
        nodes = ast.walk(ast.parse(file.read_text()))
        for function in (node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)):
            calls = [n for n in ast.walk(function) if isinstance(n, ast.Call) and ast.unparse(n.func) == "NotEmulated"]
            if any("{words}" not in ast.unparse(call) for call in calls):
                found.add((str(file.relative_to(LOCAL)), function.name))
    return found


def test_no_other_refusal_can_be_reached_from_a_template():
    assert refusals_outside_the_tables() == set(NOT_FROM_TEMPLATES)


def test_hooks_of_a_shift_are_missing():
    policy = {"ApplicationName": {"Ref": "A"}, "DeploymentGroupName": "g"}
    alias = {"Type": "AWS::Lambda::Alias", "UpdatePolicy": {"CodeDeployLambdaAliasUpdate": policy}}
    assert examine({"Resources": {"It": alias}}) == []
    policy["BeforeAllowTrafficHook"] = "f"
    (finding,) = examine({"Resources": {"It": alias}})
    assert (finding.property, finding.severity) == ("UpdatePolicy.CodeDeployLambdaAliasUpdate", MISSING)


def test_what_a_template_computes_is_not_called_refused():
    mode = {"Fn::If": ["C", "SingleModel", {"Ref": "AWS::NoValue"}]}
    assert told(SAGEMAKER + "Model", PrimaryContainer={"Image": "i", "Mode": mode}) == {}
    assert told(SAGEMAKER + "Model", PrimaryContainer={"Image": "i", "Mode": {"Ref": "Mode"}}) == {}
    variants = {"Fn::If": ["C", [VARIANT], {"Ref": "AWS::NoValue"}]}
    config = {"ProductionVariants": [VARIANT], "ShadowProductionVariants": variants}
    assert told(SAGEMAKER + "EndpointConfig", **config)["ShadowProductionVariants"] == MISSING


def test_settings_of_a_configuration_that_only_its_models_heed_are_kept():
    config = {"ProductionVariants": [VARIANT], "EnableNetworkIsolation": True, "ExecutionRoleArn": "r", "VpcConfig": {}}
    assert told(SAGEMAKER + "EndpointConfig", **config) == dict.fromkeys(
        ("EnableNetworkIsolation", "ExecutionRoleArn", "VpcConfig", "ProductionVariants.InstanceType"), KEPT_ONLY
    )


def test_every_own_type_is_held_against_its_request_or_what_has_an_effect():
    assert {*doctor.REQUESTS, *doctor.HEEDED} == emulator.own_types()


def test_what_a_deployment_group_does_not_heed_is_told():
    group = template("AWS::CodeDeploy::DeploymentGroup", **GROUP, TriggerConfigurations=[], Tags=[])
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


@pytest.mark.parametrize("text", ["", "[]", "{", "5", "null", "a: b", '{"Resources": []}'])
def test_what_is_no_template_is_said(text):
    with pytest.raises(NoTemplate, match="no CloudFormation template"):
        parse(text)


@pytest.mark.parametrize(
    ("resource", "words"),
    [
        ({"Type": 5}, "of the resource A, its Type is no text"),
        ({"Properties": {}}, "of the resource A, it has no Type"),
        ({"Type": "AWS::SQS::Queue", "Properties": [1]}, "of the resource A, its Properties are no mapping"),
        ([1], "of the resource A, it is no mapping"),
        (None, "of the resource A, it is no mapping"),
    ],
)
def test_a_resource_that_cannot_be_is_named(tmp_path, resource, words):
    (tmp_path / "t.json").write_text(json.dumps({"Resources": {"A": resource}}))
    with pytest.raises(NoTemplate, match=rf"t\.json is no CloudFormation template: {words}\.$"):
        read(str(tmp_path / "t.json"), list)


def test_a_name_that_is_a_number_is_said():
    with pytest.raises(NoTemplate, match="of the resource 5, its name is no text"):
        parse("Resources:\n  5:\n    Type: AWS::SQS::Queue\n")


@pytest.mark.parametrize("odd", [None, 5, "x", [1], [None], {"a": 1}, {5: 1}, {"Fn::If": 5}, {"Ref": "A"}])
def test_odd_values_of_properties_are_no_reason_to_give_up(odd):
    for kind in {*doctor.REFUSED, *doctor.HEEDED, *doctor.REQUESTS, "AWS::S3::Bucket", "AWS::Lambda::Alias"}:
        whole = [refusal.path for refusal in doctor.REFUSED.get(kind, ())] or [("Tags",)]
        for path in {part[: depth + 1] for part in whole for depth in range(len(part))}:
            properties = odd
            for member in reversed(path):
                properties = {member: properties}
            attributes = {"UpdatePolicy": {"CodeDeployLambdaAliasUpdate": odd}}
            resource = {"Type": kind, "Properties": properties, **attributes}
            found = examine({"Resources": {"It": resource}, "Transform": odd})
            assert {finding.type for finding in found if finding.resource == "It"} <= {kind}


def test_resources_of_a_loop_are_unchecked():
    looped = {"Fn::ForEach::Queues": ["Name", ["A", "B"], {"Queue${Name}": {"Type": "AWS::SQS::Queue"}}]}
    (finding,) = examine(parse(json.dumps({"Transform": "AWS::LanguageExtensions", "Resources": looped})))
    assert (finding.resource, finding.severity) == ("Fn::ForEach::Queues", UNCHECKED)


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
