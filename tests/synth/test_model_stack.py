"""One model's stack: what each resource must be."""

import json

import pytest

from tests.synth.cloudformation import text_of, texts_of
from tests.synth.conftest import EVERY_MODE, Served, Synth, Template, entry


def test_the_model_is_isolated_unnamed_and_runs_the_code_in_its_archive(precompute: Template):
    model = precompute.only("AWS::SageMaker::Model")
    container = model["PrimaryContainer"]
    assert model["EnableNetworkIsolation"] is True
    assert "ModelName" not in model
    assert container["Environment"]["SAGEMAKER_SUBMIT_DIRECTORY"] == "/opt/ml/model/code"
    assert container["Environment"]["SAGEMAKER_PROGRAM"] == "inference.py"
    assert text_of(container["ModelDataUrl"]).endswith(".tar.gz")


def test_an_archive_in_s3_is_used_where_it_lies_and_may_be_read(synth: Synth):
    artifact = "    artifact: s3://models-of-mine/churn/model.tar.gz\n"
    template = synth(entry(more=artifact))["churn"]
    assert template.only("AWS::SageMaker::Model")["PrimaryContainer"]["ModelDataUrl"] == (
        "s3://models-of-mine/churn/model.tar.gz"
    )
    role = template.starting_with("ServingPipelineModelRole", "AWS::IAM::Role")
    read = role["Policies"][0]["PolicyDocument"]["Statement"][0]
    assert texts_of(read["Resource"]) == ["arn:<AWS::Partition>:s3:::models-of-mine/churn/model.tar.gz"]


def test_nothing_that_cloudformation_may_replace_has_a_name_of_ours(precompute: Template):
    named = {"FunctionName", "TableName", "RoleName", "StateMachineName", "ModelName", "QueueName", "LogGroupName"}
    creators = ("AWS::Lambda::Function", "AWS::DynamoDB::Table", "AWS::IAM::Role", "AWS::StepFunctions::StateMachine")
    creators += ("AWS::SageMaker::Model", "AWS::SQS::Queue", "AWS::Logs::LogGroup", "AWS::Scheduler::Schedule")
    for kind in creators:
        for properties in precompute.properties(kind):
            assert not named & set(properties), kind
            assert "Name" not in properties, kind


def test_the_table_is_paid_by_use_expires_items_and_is_encrypted(precompute: Template):
    table = precompute.only("AWS::DynamoDB::Table")
    assert table["BillingMode"] == "PAY_PER_REQUEST"
    assert table["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}
    assert table["SSESpecification"] == {"SSEEnabled": True}
    assert [key["AttributeName"] for key in table["KeySchema"]] == ["pk", "sk"]


STEPS, ALWAYS = {"start", "prepare", "publish", "conclude", "freshness"}, {"predict", "gate", "prove", "answer"}


@pytest.mark.parametrize(
    ("mode", "entries"), [("hybrid", STEPS | ALWAYS), ("precompute", STEPS | ALWAYS), ("async", ALWAYS)]
)
def test_every_function_runs_the_newest_python_on_arm_and_writes_to_a_log_group_of_ours(
    mode: str, entries: set[str], served: Served
):
    template = served(mode)
    functions = template.properties("AWS::Lambda::Function")
    assert {f["Handler"] for f in functions} == {f"handlers.{entry}.handler" for entry in entries}
    for function in functions:
        assert function["Runtime"] == "python3.14"
        assert function["Architectures"] == ["arm64"]
        assert function["Timeout"] <= 900
        assert function["LoggingConfig"]["LogGroup"]["Ref"] in template.of_type("AWS::Logs::LogGroup")


def test_only_the_steps_that_handle_parquet_carry_the_pyarrow_layer(precompute: Template):
    layered = {f["Handler"] for f in precompute.properties("AWS::Lambda::Function") if "Layers" in f}
    assert layered == {"handlers.prepare.handler", "handlers.publish.handler"}


@pytest.mark.parametrize(("wire", "memory"), [("csv", 1769), ("jsonlines", 3008)])
def test_a_packer_has_room_for_a_million_predictions_of_its_kind(wire: str, memory: int, served: Served):
    template = served("precompute", f"    transform: {{ wire_format: {wire} }}\n")
    [publish] = [
        function
        for function in template.properties("AWS::Lambda::Function")
        if function["Handler"] == "handlers.publish.handler"
    ]
    assert publish["MemorySize"] == memory


@pytest.mark.parametrize(("mode", "more"), EVERY_MODE)
def test_every_handler_finds_its_whole_environment(mode: str, more: str, served: Served):
    from handlers.contract.env import FreshnessEnv, GateEnv, PipelineEnv, PredictEnv, RefreshEnv

    kinds = {"predict": PredictEnv, "gate": GateEnv, "prove": GateEnv, "answer": GateEnv}
    kinds |= {"freshness": FreshnessEnv, "refresh": RefreshEnv}
    for function in served(mode, more).properties("AWS::Lambda::Function"):
        kind = kinds.get(function["Handler"].split(".")[1], PipelineEnv)
        variables = {name: text_of(value) for name, value in function["Environment"]["Variables"].items()}
        assert set(variables) == {f"TURNOUT_{name.upper()}" for name in kind.__dataclass_fields__}
        env = kind.from_environ(variables)
        assert (env.stage, env.model, getattr(env, "mode", mode)) == ("dev", "churn", mode)


def test_only_hybrid_remembers(served: Served):
    def remembered(mode: str) -> str:
        function = served(mode).starting_with("FrontDoorHandler", "AWS::Lambda::Function")
        return function["Environment"]["Variables"]["TURNOUT_REMEMBER_SECONDS"]

    assert remembered("hybrid") == "86400"
    assert remembered("async") == remembered("precompute") == "0"


def test_a_schedule_keeps_its_time_zone_retries_and_hands_its_slot_to_the_run(synth: Synth):
    daily = '{ cron: "0 6 * * ? *", timezone: Europe/Berlin }'
    template = synth(entry(schedule=daily))["churn"]
    schedule = template.starting_with("ServingTriggerSchedule", "AWS::Scheduler::Schedule")
    assert schedule["ScheduleExpression"] == "cron(0 6 * * ? *)"
    assert schedule["ScheduleExpressionTimezone"] == "Europe/Berlin"
    assert schedule["FlexibleTimeWindow"] == {"Mode": "OFF"}
    target = schedule["Target"]
    assert json.loads(target["Input"]) == {"trigger": "schedule", "slot": "<aws.scheduler.scheduled-time>"}
    assert target["RetryPolicy"]["MaximumEventAgeInSeconds"] == 3600
    assert target["DeadLetterConfig"]["Arn"]


@pytest.mark.parametrize("form", ["rate(6 hours)", "at(2030-12-01T06:00:00)"])
def test_rate_and_at_reach_the_scheduler_as_written(synth: Synth, form: str):
    template = synth(entry(schedule=form))["churn"]
    schedule = template.starting_with("ServingTriggerSchedule", "AWS::Scheduler::Schedule")
    assert schedule["ScheduleExpression"] == form


def test_new_data_starts_a_run_when_the_marker_arrives_under_the_input(synth: Synth):
    template = synth(entry(schedule="on-new-data"))["churn"]
    assert not [id for id in template.of_type("AWS::Scheduler::Schedule") if id.startswith("ServingTrigger")]
    rule = template.only("AWS::Events::Rule")
    assert rule["EventPattern"]["detail"]["object"]["key"] == [
        "input/churn/_SUCCESS",
        {"wildcard": "input/churn/*/_SUCCESS"},
    ]
    (target,) = rule["Targets"]
    sent = target["InputTransformer"]["InputTemplate"].replace("<time>", '"t"').replace("<sequencer>", '"0A"')
    assert json.loads(sent) == {"trigger": "new_data", "slot": "t", "id": "0A"}


def test_an_input_bucket_of_the_users_own_is_read_below_its_prefix_only(synth: Synth):
    template = synth(entry(more="    input: { location: s3://lake-of-mine/customers/daily/ }\n"))["churn"]
    role = template.starting_with("ServingPipelinePrepareRole", "AWS::IAM::Role")
    statements = role["Policies"][0]["PolicyDocument"]["Statement"]
    resources = [resource for statement in statements for resource in texts_of(statement["Resource"])]
    assert "arn:<AWS::Partition>:s3:::lake-of-mine/customers/daily/*" in resources
    assert not [resource for resource in resources if "/input/churn/" in resource]


def test_dead_letters_are_encrypted_and_refuse_callers_without_tls(precompute: Template):
    assert precompute.only("AWS::SQS::Queue")["SqsManagedSseEnabled"] is True
    (deny,) = precompute.only("AWS::SQS::QueuePolicy")["PolicyDocument"]["Statement"]
    assert deny["Effect"] == "Deny"
    assert deny["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_the_machine_logs_everything_but_data_and_is_traced(precompute: Template):
    machine = precompute.starting_with("ServingPipeline", "AWS::StepFunctions::StateMachine")
    assert machine["LoggingConfiguration"]["Level"] == "ALL"
    assert machine["LoggingConfiguration"]["IncludeExecutionData"] is False
    assert machine["TracingConfiguration"] == {"Enabled": True}


def test_the_machine_is_given_everything_that_its_definition_leaves_open(precompute: Template):
    from infra.constructs.pipeline_definition import SUBSTITUTIONS

    machine = precompute.starting_with("ServingPipeline", "AWS::StepFunctions::StateMachine")
    assert set(machine["DefinitionSubstitutions"]) == set(SUBSTITUTIONS)
    gate = precompute.starting_with("GatePassed", "Custom::TurnoutGate")
    assert machine["DefinitionSubstitutions"]["ModelVersion"] == gate["ModelVersion"]
    definition = machine["DefinitionString"]
    for name in SUBSTITUTIONS:
        assert f"${{{name}}}" in definition
        definition = definition.replace(f"${{{name}}}", "")
    assert "${" not in definition


@pytest.mark.parametrize(("mode", "more"), EVERY_MODE)
def test_five_signed_routes_lead_to_the_live_alias_in_every_mode(mode: str, more: str, served: Served):
    template = served(mode, more)
    routes = template.properties("AWS::ApiGatewayV2::Route")
    assert {route["RouteKey"] for route in routes} == {
        "POST /models/churn/predictions",
        "GET /models/churn/predictions/{key+}",
        "GET /models/churn",
        "GET /models/churn/predictions",
        "POST /models/churn/uploads",
    }
    assert {route["AuthorizationType"] for route in routes} == {"AWS_IAM"}
    alias = template.only("AWS::Lambda::Alias")
    assert alias["Name"] == "live"
    target = template.only("AWS::ApiGatewayV2::Integration")["IntegrationUri"]
    assert target["Ref"] in template.of_type("AWS::Lambda::Alias")


def test_a_changed_function_is_published_as_a_new_version_and_an_unchanged_one_is_not(synth: Synth):
    def version(**changes: str) -> str:
        (id,) = synth(entry(**changes))["churn"].of_type("AWS::Lambda::Version")
        return id

    assert version() == version(schedule="rate(2 days)")
    assert version() == version(more="    transform: { max_concurrent: 1 }\n")
    assert version() != version(mode="batch")
    assert version() != version(more="    max_staleness: 3d\n")


@pytest.mark.parametrize("mode", ["hybrid", "realtime", "serverless", "async"])
def test_every_resource_that_can_be_tagged_says_whose_it_is(mode: str, served: Served):
    template = served(mode, "    tags: { team: growth }\n    shift: canary\n")
    untaggable = {
        "AWS::ApiGatewayV2::Integration",
        "AWS::ApiGatewayV2::Route",
        "AWS::ApplicationAutoScaling::ScalableTarget",
        "AWS::ApplicationAutoScaling::ScalingPolicy",
        "AWS::Lambda::Alias",
        "AWS::Lambda::Permission",
        "AWS::Lambda::Version",
        "AWS::SNS::TopicPolicy",
        "AWS::SQS::QueuePolicy",
        "AWS::Scheduler::Schedule",
        "Custom::TurnoutDrain",
        "Custom::TurnoutGate",
    }
    for id, resource in template.resources.items():
        if resource["Type"] not in untaggable:
            tags = {tag["Key"]: tag["Value"] for tag in resource["Properties"]["Tags"]}
            assert {"team": "growth", "turnout:model": "churn", "turnout:stage": "dev"}.items() <= tags.items(), id


IN_EVERY_MODE = {"FrontDoorName", "Mode", "ModelVersion", "PredictUrl", "TableName"}


@pytest.mark.parametrize(
    ("mode", "beside"),
    [
        ("batch", {"StateMachineArn"}),
        ("precompute", {"StateMachineArn"}),
        ("hybrid", {"StateMachineArn", "EndpointName", "Fallback", "MemoryMb"}),
        ("realtime", {"EndpointName", "InstanceType", "InstanceCount"}),
        ("serverless", {"EndpointName", "MemoryMb"}),
        ("async", {"EndpointName", "InstanceType", "SuccessTopicArn", "ErrorTopicArn"}),
    ],
)
def test_outputs_are_those_that_the_command_line_reads(mode: str, beside: set[str], served: Served):
    outputs = served(mode).body["Outputs"]
    assert set(outputs) == IN_EVERY_MODE | beside
    assert outputs["Mode"]["Value"] == mode


def test_looks_at_the_data_s_age_may_start_runs_only_where_the_model_wants_that(synth: Synth):
    def may(more: str) -> set[str]:
        role = synth(entry(more=more))["churn"].starting_with("ServingFreshnessLookRole", "AWS::IAM::Role")
        statements = role["Policies"][0]["PolicyDocument"]["Statement"]
        return {action for s in statements for action in texts_of(s["Action"]) if not action.startswith("logs:")}

    looking = {"dynamodb:GetItem", "cloudwatch:PutMetricData", "states:DescribeStateMachine"}
    assert may("") == looking
    starting = {"dynamodb:Query", "states:ListExecutions", "states:StartExecution"}
    assert may("    refresh: { when_older_than: 1d }\n") == looking | starting
