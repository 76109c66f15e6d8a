"""Endpoints of each family: what SageMaker is asked for, how they are updated and scaled."""

import re
from typing import Any

import pytest

from infra.constructs.endpoint import VARIANT
from infra.constructs.families import FAMILIES
from tests.synth.cloudformation import text_of, texts_of
from tests.synth.conftest import Served, Template

ENDPOINT, CONFIG, MODEL = "AWS::SageMaker::Endpoint", "AWS::SageMaker::EndpointConfig", "AWS::SageMaker::Model"
TARGET = "AWS::ApplicationAutoScaling::ScalableTarget"
POLICY = "AWS::ApplicationAutoScaling::ScalingPolicy"
MODES = sorted(FAMILIES)


def variant(template: Template) -> dict[str, Any]:
    (found,) = template.only(CONFIG)["ProductionVariants"]
    return found


def policies(template: Template) -> dict[str, dict[str, Any]]:
    return {properties["PolicyType"]: properties for properties in template.properties(POLICY)}


def grants(template: Template, role: str) -> set[tuple[str, str]]:
    statements = template.starting_with(role, "AWS::IAM::Role")["Policies"][0]["PolicyDocument"]["Statement"]
    return {(a, place) for s in statements for a in texts_of(s["Action"]) for place in texts_of(s["Resource"])}


def test_every_family_that_hybrid_may_fall_back_to_is_there():
    from typing import get_args

    from turnout.config.specs import HybridSpec

    assert set(FAMILIES) == set(get_args(HybridSpec.model_fields["fallback"].annotation))


@pytest.mark.parametrize("mode", MODES)
def test_only_the_endpoint_has_a_name_of_ours_and_it_says_its_family(mode: str, served: Served):
    template = served(mode)
    assert re.fullmatch(rf"dev-churn-{mode}-[0-9a-f]{{6}}", template.only(ENDPOINT)["EndpointName"])
    assert "EndpointConfigName" not in template.only(CONFIG)
    assert "ModelName" not in template.only(MODEL)


def test_the_longest_name_fits():
    from handlers.contract.layout import SAGEMAKER_NAME, endpoint_name

    assert SAGEMAKER_NAME.fullmatch(endpoint_name("prod", "m" * 32, "serverless", "0a1b2c"))


@pytest.mark.parametrize("mode", MODES)
def test_the_one_variant_keeps_its_name_and_nothing_is_captured_or_keyed(mode: str, served: Served):
    config = served(mode).only(CONFIG)
    assert variant(served(mode))["VariantName"] == VARIANT == "AllTraffic"
    assert not {"DataCaptureConfig", "KmsKeyId"} & set(config)


@pytest.mark.parametrize("mode", MODES)
def test_front_door_and_gate_know_the_endpoint_by_the_same_name(mode: str, served: Served):
    template = served(mode)
    name = template.only(ENDPOINT)["EndpointName"]
    (gate,) = template.properties("Custom::TurnoutGate")
    front_door = template.starting_with("FrontDoorHandler", "AWS::Lambda::Function")["Environment"]["Variables"]
    assert front_door["TURNOUT_ENDPOINT"] == gate["Endpoint"] == template.body["Outputs"]["EndpointName"]["Value"]
    assert gate["Endpoint"] == name
    assert gate["EndpointConfig"] == template.only(ENDPOINT)["EndpointConfigName"]


@pytest.mark.parametrize(("mode", "isolated"), [("realtime", True), ("async", True), ("serverless", False)])
def test_models_are_isolated_where_sagemaker_offers_it(mode: str, isolated: bool, served: Served):
    assert served(mode).only(MODEL)["EnableNetworkIsolation"] is isolated
    open_network = served(mode, "    network_isolation: false\n")
    assert open_network.only(MODEL)["EnableNetworkIsolation"] is False


def test_hybrid_has_one_model_for_its_jobs_and_one_for_its_endpoint(served: Served):
    isolated = {p["EnableNetworkIsolation"] for p in served("hybrid").properties(MODEL)}
    assert isolated == {True, False}


@pytest.mark.parametrize(
    ("mode", "instance_type"), [("realtime", "ml.m6g.large"), ("async", "ml.g4dn.xlarge"), ("serverless", None)]
)
def test_the_image_suits_the_endpoints_own_instances(mode: str, instance_type: str | None, served: Served):
    from turnout.config.images import image_uri

    settings = f"    {mode}: {{ instance_type: {instance_type} }}\n" if instance_type else ""
    more = f"    framework: pytorch\n    framework_version: 2.4.0\n{settings}"
    template = served(mode, more, region="eu-west-1")
    wanted = image_uri("pytorch", "2.4.0", "eu-west-1", instance_type or "ml.m5.large")
    assert template.only(MODEL)["PrimaryContainer"]["Image"] == wanted


def test_processors_whose_images_lie_in_other_regions_have_a_column_of_their_own(served: Served):
    more = "    framework: pytorch\n    framework_version: 2.1.0\n    realtime: { instance_type: ml.m6g.large }\n"
    template = served("realtime", more)
    row = template.body["Mappings"]["ByRegion"]["us-east-1"]
    assert set(row) == {"Registry", "Registry1", "ArrowLayer"}
    assert template.only(MODEL)["PrimaryContainer"]["Image"]["Fn::Join"][1][0] == {
        "Fn::FindInMap": ["ByRegion", {"Ref": "AWS::Region"}, "Registry1"]
    }
    assert served("batch", more).body["Mappings"] == template.body["Mappings"]


def test_a_region_without_the_pyarrow_layer_has_modes_that_score_nothing_in_batch(served: Served, monkeypatch):
    from infra.constructs.arrow_layer import NoArrowLayer

    monkeypatch.setattr("infra.constructs.arrow_layer.arrow_layer_arns", dict)
    assert served("serverless", region="eu-central-1").only(ENDPOINT)
    with pytest.raises(NoArrowLayer):
        served("hybrid", region="eu-central-1")


# real-time


def test_prod_has_two_instances_and_dev_one_unless_the_entry_says_otherwise(served: Served):
    def count(stage: str, more: str = "") -> int:
        return variant(served("realtime", more, stage_name=stage))["InitialInstanceCount"]

    assert (count("dev"), count("prod")) == (1, 2)
    assert count("prod", "    realtime: { instance_count: 1 }\n") == 1


def test_an_update_begins_with_one_of_several_instances_and_goes_back_when_errors_come(served: Served):
    template = served("realtime", stage_name="prod")
    update = template.only(ENDPOINT)["DeploymentConfig"]
    routing = update["BlueGreenUpdatePolicy"]["TrafficRoutingConfiguration"]
    assert (routing["Type"], routing["CanarySize"]) == ("CANARY", {"Type": "INSTANCE_COUNT", "Value": 1})
    (guard,) = update["AutoRollbackConfiguration"]["Alarms"]
    alarm = template.resources[guard["AlarmName"]["Ref"]]["Properties"]
    assert alarm["MetricName"] == "Invocation5XXErrors"
    assert {d["Name"]: d["Value"] for d in alarm["Dimensions"]} == {
        "EndpointName": template.only(ENDPOINT)["EndpointName"],
        "VariantName": VARIANT,
    }


@pytest.mark.parametrize("more", ["", "    realtime: { instance_type: ml.inf1.xlarge, instance_count: 2 }\n"])
def test_where_a_canary_means_nothing_all_requests_move_at_once(more: str, served: Served):
    image = "    image: 111122223333.dkr.ecr.eu-west-1.amazonaws.com/mine/churn:7\n" if more else ""
    assert "DeploymentConfig" not in served("realtime", more + image).only(ENDPOINT)


def test_sagemaker_may_look_at_the_alarms_that_guard_an_update_and_at_no_others(served: Served):
    looked_at = {
        p for a, p in grants(served("realtime"), "ServingRealtimeModelRole") if a == "cloudwatch:DescribeAlarms"
    }
    (guard,) = [id for id in served("realtime").resources if id.startswith("AlarmsEndpointErrors")]
    assert looked_at == {f"<{guard}.Arn>"}


def test_scaling_moves_between_the_first_count_and_the_upper_bound_and_updates_keep_what_it_reached(served: Served):
    template = served("realtime", stage_name="prod")
    target = template.only(TARGET)
    assert (target["MinCapacity"], target["MaxCapacity"]) == (2, 4)
    assert target["ResourceId"] == f"endpoint/{template.only(ENDPOINT)['EndpointName']}/variant/AllTraffic"
    assert template.only(ENDPOINT)["RetainAllVariantProperties"] is True
    assert "ExcludeRetainedVariantProperties" not in template.only(ENDPOINT)


@pytest.mark.parametrize(
    "settings",
    ["instance_count: 3, max_instances: 3", "instance_type: ml.t2.medium"],
    ids=["no room", "burstable instances, which Application Auto Scaling refuses"],
)
def test_without_scaling_an_update_sets_the_count_that_the_entry_says(settings: str, served: Served):
    template = served("realtime", f"    realtime: {{ {settings} }}\n")
    assert not template.of_type(TARGET)
    assert template.only(ENDPOINT)["RetainAllVariantProperties"] is False


def test_scaling_follows_requests_in_flight_unless_the_entry_counts_by_minute(served: Served):
    def followed(more: str) -> tuple[str, float]:
        settings = served("realtime", more).only(POLICY)["TargetTrackingScalingPolicyConfiguration"]
        return settings["PredefinedMetricSpecification"]["PredefinedMetricType"], settings["TargetValue"]

    assert followed("") == ("SageMakerVariantConcurrentRequestsPerModelHighResolution", 4)
    by_minute = "    realtime: { invocations_per_instance: 700 }\n"
    assert followed(by_minute) == ("SageMakerVariantInvocationsPerInstance", 700)


@pytest.mark.parametrize("mode", ["realtime", "async"])
def test_scaling_comes_after_the_endpoint_and_its_policies_are_named_after_it(mode: str, served: Served):
    template = served(mode)
    (endpoint,), (target,) = template.of_type(ENDPOINT), template.of_type(TARGET).values()
    assert target["DependsOn"] == [endpoint]
    for policy in template.properties(POLICY):
        assert policy["PolicyName"].startswith(template.only(ENDPOINT)["EndpointName"])
        assert re.fullmatch(r"\S{1,256}", policy["PolicyName"])


# serverless


def test_serverless_has_memory_and_concurrency_instead_of_instances(served: Served):
    found = variant(served("serverless"))
    assert found["ServerlessConfig"] == {"MemorySizeInMB": 2048, "MaxConcurrency": 20}
    assert not {"InitialInstanceCount", "InstanceType"} & set(found)
    warm = served("serverless", "    serverless: { max_concurrency: 8, provisioned_concurrency: 2 }\n")
    assert variant(warm)["ServerlessConfig"] == {
        "MemorySizeInMB": 2048,
        "MaxConcurrency": 8,
        "ProvisionedConcurrency": 2,
    }


def test_a_serverless_container_takes_one_request_at_a_time_unless_the_entry_says_otherwise(served: Served):
    def workers(more: str = "") -> str:
        environment = served("serverless", more).only(MODEL)["PrimaryContainer"]["Environment"]
        return environment["SAGEMAKER_MODEL_SERVER_WORKERS"]

    assert workers() == "1"
    assert workers('    environment: { SAGEMAKER_MODEL_SERVER_WORKERS: "3" }\n') == "3"


# async


def test_asynchronous_answers_and_failures_lie_where_the_front_door_looks(served: Served):
    template = served("async")
    output = template.only(CONFIG)["AsyncInferenceConfig"]["OutputConfig"]
    assert text_of(output["S3OutputPath"]) == "s3://<DataBucket>/async/churn/output/"
    assert text_of(output["S3FailurePath"]) == "s3://<DataBucket>/async/churn/failed/"
    read = {place for action, place in grants(template, "FrontDoorHandlerRole") if action == "s3:GetObject"}
    assert {"<DataBucket.Arn>/async/churn/output/*", "<DataBucket.Arn>/async/churn/failed/*"} <= read


def test_both_topics_are_encrypted_refuse_plain_http_and_may_be_published_to_by_the_model_only(served: Served):
    template = served("async")
    topics = template.of_type("AWS::SNS::Topic")
    assert len(topics) == 2
    for topic in topics.values():
        assert topic["Properties"]["KmsMasterKeyId"] == "alias/aws/sns"
    for policy in template.properties("AWS::SNS::TopicPolicy"):
        (deny,) = policy["PolicyDocument"]["Statement"]
        assert (deny["Effect"], deny["Condition"]) == ("Deny", {"Bool": {"aws:SecureTransport": "false"}})
        assert policy["Topics"] == [deny["Resource"]]
    notify = template.only(CONFIG)["AsyncInferenceConfig"]["OutputConfig"]["NotificationConfig"]
    published = {p for a, p in grants(template, "ServingAsyncModelRole") if a == "sns:Publish"}
    assert published == {text_of(notify["SuccessTopic"]), text_of(notify["ErrorTopic"])} == {f"<{id}>" for id in topics}


def test_an_asynchronous_endpoint_rests_at_none_and_an_update_begins_with_one(served: Served):
    template = served("async")
    assert (template.only(TARGET)["MinCapacity"], template.only(TARGET)["MaxCapacity"]) == (0, 2)
    assert variant(template)["InitialInstanceCount"] == 1
    endpoint = template.only(ENDPOINT)
    assert endpoint["RetainAllVariantProperties"] is True
    assert endpoint["ExcludeRetainedVariantProperties"] == [{"VariantPropertyType": "DesiredInstanceCount"}]


def test_the_backlog_scales_and_an_alarm_leaves_zero(served: Served):
    template = served("async", "    async: { backlog_per_instance: 7 }\n")
    name = template.only(ENDPOINT)["EndpointName"]
    follow = policies(template)["TargetTrackingScaling"]["TargetTrackingScalingPolicyConfiguration"]
    assert follow["TargetValue"] == 7
    assert follow["CustomizedMetricSpecification"] == {
        "Namespace": "AWS/SageMaker",
        "MetricName": "ApproximateBacklogSizePerInstance",
        "Dimensions": [{"Name": "EndpointName", "Value": name}],
        "Statistic": "Average",
    }
    step = policies(template)["StepScaling"]["StepScalingPolicyConfiguration"]
    assert step["StepAdjustments"] == [{"MetricIntervalLowerBound": 0, "ScalingAdjustment": 1}]
    wake = template.starting_with("ServingAsyncScalingNothingRuns", "AWS::CloudWatch::Alarm")
    assert (wake["MetricName"], wake["Threshold"], wake["Statistic"]) == ("HasBacklogWithoutCapacity", 1, "Average")
    assert (wake["Period"], wake["EvaluationPeriods"], wake["DatapointsToAlarm"]) == (60, 2, 2)
    assert wake["ComparisonOperator"] == "GreaterThanOrEqualToThreshold"
    assert wake["TreatMissingData"] == "missing"
    assert wake["Dimensions"] == [{"Name": "EndpointName", "Value": name}]
    (policy,) = [id for id, r in template.of_type(POLICY).items() if r["Properties"]["PolicyType"] == "StepScaling"]
    assert wake["AlarmActions"] == [{"Ref": policy}]


def test_the_container_has_as_long_as_sagemaker_gives_a_request(served: Served):
    template = served("async", "    async: { invocation_timeout: 20m }\n")
    environment = template.only(MODEL)["PrimaryContainer"]["Environment"]
    assert environment["SAGEMAKER_MODEL_SERVER_TIMEOUT"] == "1200"
    front_door = template.starting_with("FrontDoorHandler", "AWS::Lambda::Function")["Environment"]["Variables"]
    assert front_door["TURNOUT_ASYNC_INVOCATION_SECONDS"] == "1200"


def test_the_container_takes_and_answers_bodies_as_large_as_sagemaker_hands_over(served: Served):
    environment = served("async").only(MODEL)["PrimaryContainer"]["Environment"]
    names = ["MMS_MAX_REQUEST_SIZE", "MMS_MAX_RESPONSE_SIZE", "TS_MAX_REQUEST_SIZE", "TS_MAX_RESPONSE_SIZE"]
    assert {environment[name] for name in names} == {str(2**30)}


def test_requests_in_flight_per_instance_are_what_the_entry_says(served: Served):
    client = served("async", "    async: { max_concurrent_per_instance: 9 }\n").only(CONFIG)["AsyncInferenceConfig"]
    assert client["ClientConfig"] == {"MaxConcurrentInvocationsPerInstance": 9}
