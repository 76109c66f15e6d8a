"""No mode is cheap because a line is missing: whatever a template makes AWS charge for has its line in the bill."""

import json
import re
from collections.abc import Iterator

import pytest
import yaml

from tests.synth.conftest import EVERY_MODE, Synth, Template, entry
from turnout import cost, prices
from turnout.config import STAGES
from turnout.config.specs import ModelSpec
from turnout.cost import endpoints, freshness, pipeline, requests
from turnout.cost.billing import Bill
from turnout.cost.lines import Case

#: Type -> sections of the price table that a resource of it is charged by; each needs a line with units in the bill.
CHARGED: dict[str, tuple[str, ...]] = {
    "AWS::ApiGatewayV2::Route": ("api_gateway.",),
    "AWS::CloudWatch::Alarm": ("cloudwatch.alarm",),
    "AWS::DynamoDB::Table": ("dynamodb.storage", "dynamodb.read", "kms.requests"),
    "AWS::KMS::Key": ("kms.key",),
    "AWS::Lambda::Function": ("lambda.requests", "lambda.duration_arm", "cloudwatch.logs_ingest"),
    "AWS::Logs::LogGroup": ("cloudwatch.logs_ingest",),
    "AWS::S3::Bucket": ("s3.storage",),
    "AWS::SNS::Subscription": ("sns.email",),
    "AWS::SNS::Topic": ("sns.publish",),
    "AWS::SQS::Queue": ("sqs.standard",),
    "AWS::SageMaker::Endpoint": ("sagemaker",),
    "AWS::Scheduler::Schedule": ("eventbridge.scheduler",),
    "AWS::StepFunctions::StateMachine": ("step_functions.transition", "xray.trace"),
}
#: Types for which AWS charges nothing, whatever happens with them.
FREE = {
    "AWS::ApiGatewayV2::Api",
    "AWS::ApiGatewayV2::Integration",
    "AWS::ApiGatewayV2::Stage",
    "AWS::ApplicationAutoScaling::ScalableTarget",
    "AWS::ApplicationAutoScaling::ScalingPolicy",  # but the alarms that one makes are charged: a test of its own
    "AWS::CodeDeploy::Application",  # free on Lambda
    "AWS::CodeDeploy::DeploymentGroup",
    "AWS::Events::Rule",  # on events of AWS's own
    "AWS::IAM::ManagedPolicy",
    "AWS::IAM::Role",
    "AWS::Lambda::Alias",
    "AWS::Lambda::EventSourceMapping",  # but it asks its queue all the time: a line of its own
    "AWS::Lambda::Permission",
    "AWS::Lambda::Version",
    "AWS::S3::BucketPolicy",
    "AWS::SNS::TopicPolicy",
    "AWS::SQS::QueuePolicy",
    "AWS::SageMaker::EndpointConfig",
    "AWS::SageMaker::Model",
    "Custom::TurnoutDrain",  # its function is charged
    "Custom::TurnoutGate",
}
#: Which part of the bill pays each function.
FUNCTIONS = {
    "predict": "front door: Lambda time",
    "start": "runs: Lambda time",
    "prepare": "runs: Lambda time",
    "publish": "runs: Lambda time",
    "conclude": "runs: Lambda time",
    "freshness": "watch: Lambda time",
    "refresh": "refresh: Lambda time",
    "gate": "gate: Lambda time",
    "prove": "gate: Lambda time",
    "answer": "gate: Lambda time",
    "unknown_model": "unknown models: Lambda time",
}


#: Settings that take resources away or bring others.
VARIANTS = (
    ("batch", "    max_staleness: 30d\n    keep_scores: 60d\n"),
    ("precompute", "    shift: canary\n"),
    ("realtime", "    realtime: { invocations_per_instance: 300 }\n"),
    ("realtime", "    realtime: { instance_count: 4 }\n"),
    ("async", "    async: { instance_type: ml.t2.medium }\n"),
)


def bill_of(text: str, stage: str) -> Bill:
    """Return the bill of one entry."""
    spec = ModelSpec.model_validate({"name": "churn", **yaml.safe_load(text)["churn"]})
    return cost.bill(spec.mode, spec, STAGES[stage], cost.workload_of(spec), prices.load())


def unpriced(template: Template, bill: Bill) -> Iterator[str]:
    """Yield every resource whose charge has no line."""
    charged = {line.price for line in bill.lines if line.units}
    for id, resource in template.resources.items():
        kind = resource["Type"]
        if kind not in CHARGED and kind not in FREE:
            yield f"{id}: nobody has said what a {kind} costs"
        for section in CHARGED.get(kind, ()):
            if not any(price.startswith(section) for price in charged):
                yield f"{id}: a {kind} is charged by {section}, and the bill has no line of it"


def alarms_of(bill: Bill) -> int:
    charged = [line for line in bill.lines if line.price == "cloudwatch.alarm"]
    return round(sum(line.units for line in charged if line.what != endpoints.SCALING_ALARMS))


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize(("mode", "more"), EVERY_MODE + VARIANTS)
def test_every_resource_of_a_mode_that_aws_charges_for_has_its_line(mode, more, stage, synth: Synth):
    text = entry(mode=mode, more=more)
    template, bill = synth(text, stage_name=stage)["churn"], bill_of(text, stage)
    assert list(unpriced(template, bill)) == []
    named = {line.what for line in bill.lines}
    assert {FUNCTIONS[handler] for handler in handlers(template)} <= named
    assert alarms_of(bill) == len(template.of_type("AWS::CloudWatch::Alarm"))
    backed_up = template.only("AWS::DynamoDB::Table")["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"]
    assert any(line.price == "dynamodb.pitr" for line in bill.lines) is backed_up
    assert ("transform jobs" in named) is ("createTransformJob" in template.text)
    tracking = '"PolicyType": "TargetTrackingScaling"' in template.text
    assert (endpoints.SCALING_ALARMS in named) is tracking, "such a policy makes two alarms of its own"


@pytest.mark.parametrize("stage", STAGES)
def test_what_models_share_has_its_lines(stage, synth: Synth):
    template = synth(entry(), stage_name=stage, platform="\nplatform: {alarm_email: a@example.com}\n")["platform"]
    bill = cost.shared_bill(STAGES[stage], prices.load())
    # A stage whose alarms tell nobody sends nothing.
    found = [each for each in unpriced(template, bill) if STAGES[stage].alarms or "AWS::SNS::" not in each]
    assert found == []
    assert {FUNCTIONS[handler] for handler in handlers(template)} <= {line.what for line in bill.lines}
    assert alarms_of(bill) == len(template.of_type("AWS::CloudWatch::Alarm"))


def test_a_resource_that_nobody_priced_is_found(synth: Synth):
    template = synth(entry(mode="realtime"))["churn"]
    without = cost.Bill(
        None, tuple(line for line in bill_of(entry(mode="realtime"), "dev").lines if "sagemaker" not in line.price)
    )
    assert "AWS::SageMaker::Endpoint is charged by sagemaker" in " ".join(unpriced(template, without))
    template.body["Resources"]["New"] = {"Type": "AWS::Kinesis::Stream"}
    assert "nobody has said what a AWS::Kinesis::Stream costs" in " ".join(unpriced(template, without))


WITH_EVENTS = "    hybrid: { fallback: realtime }\n    refresh: { on_event: true }\n"


@pytest.mark.parametrize("wire", ["csv", "jsonlines"])
def test_functions_have_the_memory_that_they_are_charged_for(wire, synth: Synth):
    text = entry(mode="precompute", more=f"    transform: {{ wire_format: {wire} }}\n")
    spec = ModelSpec.model_validate({"name": "churn", **yaml.safe_load(text)["churn"]})
    case = Case(spec, STAGES["dev"], cost.workload_of(spec), prices.load())
    charged = {step: pipeline.gigabytes_of(case, step) for step in pipeline.STEPS}
    charged |= {"predict": requests.FRONT_DOOR_GB, "prove": requests.GATE_GB, "freshness": freshness.LOOK_GB}
    memory = memories(synth(text)["churn"])
    assert {name: memory[name] for name in charged} == charged


def test_who_scores_by_event_has_the_memory_that_it_is_charged_for(synth: Synth):
    memory = memories(synth(entry(mode="hybrid", more=WITH_EVENTS))["churn"])
    assert memory["refresh"] == freshness.EVENT_GB == requests.FRONT_DOOR_GB, "the front door's line has its waiting"


@pytest.mark.parametrize(
    "more", ["", "    max_staleness: 30m\n", "    max_staleness: 7d\n    refresh: { when_older_than: 40m }\n"]
)
def test_as_many_looks_are_charged_as_are_scheduled(more, synth: Synth):
    text = entry(schedule="rate(15 minutes)", more=more)
    (minutes,) = re.findall(
        r"rate\((\d+) minutes?\)",
        " ".join(
            each["ScheduleExpression"]
            for each in synth(text)["churn"].properties("AWS::Scheduler::Schedule")
            if "Looks" in each["Description"]
        ),
    )
    (line,) = [line for line in bill_of(text, "dev").lines if line.what == "watch: schedule"]
    assert line.units == pytest.approx(730 * 60 / int(minutes))


def memories(template: Template) -> dict[str, float]:
    """Return the GB of each function."""
    functions = template.properties("AWS::Lambda::Function")
    return {each["Handler"].split(".")[1]: each["MemorySize"] / 1024 for each in functions}


def test_a_run_enters_as_many_states_as_are_charged(synth: Synth):
    """The happy path through the machine, without the iterations of its Maps."""
    machines = synth(entry(mode="precompute"))["churn"].properties("AWS::StepFunctions::StateMachine")
    (machine,) = [text for each in machines if "Transform" in (text := each["DefinitionString"])]
    states, name, count = json.loads(machine)["States"], "NameExecution", 0
    while name:
        count += 1
        name = states[name].get("Next") or states[name].get("Default")
    assert count == pipeline.STATES


def handlers(template: Template) -> set[str]:
    return {each["Handler"].split(".")[1] for each in template.properties("AWS::Lambda::Function")}


def test_a_run_that_data_starts_pays_no_schedule_but_that_of_the_looks(synth: Synth):
    text = entry(schedule="on-new-data")
    template, bill = synth(text)["churn"], bill_of(text, "dev")
    assert list(unpriced(template, bill)) == []
    assert [line.what for line in bill.lines if line.price == "eventbridge.scheduler"] == ["watch: schedule"]
    assert len(template.of_type("AWS::Scheduler::Schedule")) == 1
