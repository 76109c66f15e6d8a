"""Events that score single keys: who gets them, how they wait, and what those who score them may do."""

import pytest

from infra.constructs.refresh import HIDDEN_SECONDS, MOST_RECEIVES, SIZE
from tests.synth.cloudformation import texts_of
from tests.synth.conftest import Served, Template

EVENTS = "    hybrid: {{ fallback: {} }}\n    refresh: {{ on_event: true{} }}\n"


@pytest.fixture(params=["realtime", "serverless"])
def refreshed(request, served: Served) -> Template:
    return served("hybrid", EVENTS.format(request.param, ""))


def statements(template: Template, role: str) -> list[dict]:
    return template.starting_with(role, "AWS::IAM::Role")["Policies"][0]["PolicyDocument"]["Statement"]


def test_without_the_setting_there_is_nothing_of_it(served: Served):
    template = served("hybrid")
    assert not [id for id in template.resources if id.startswith("Refresh")]
    door = template.starting_with("FrontDoorHandler", "AWS::Lambda::Function")
    assert door["Environment"]["Variables"]["TURNOUT_OVERLAID"] == "false"
    assert not any("OVERLAY#*" in str(statement) for statement in statements(template, "FrontDoorHandlerRole"))


def test_events_for_the_model_in_this_stage_or_in_any_go_to_its_queue(refreshed: Template):
    rule = refreshed.only("AWS::Events::Rule")
    assert rule["EventPattern"] == {
        "detail-type": ["Refresh Prediction"],
        "detail": {"model": ["churn"], "stage": ["dev", {"exists": False}]},
    }
    (target,) = rule["Targets"]
    assert "RefreshQueue" in str(target["Arn"])
    assert "RefreshDeadLetters" in str(target["DeadLetterConfig"])


def test_the_rule_and_nobody_else_sends_to_the_queues_and_all_use_tls(refreshed: Template):
    policies = [
        p for id, r in refreshed.of_type("AWS::SQS::QueuePolicy").items() if id.startswith("Refresh") for p in [r]
    ]
    assert len(policies) == 2
    for resource in policies:
        deny, allow = resource["Properties"]["PolicyDocument"]["Statement"]
        assert (deny["Effect"], deny["Condition"]) == ("Deny", {"Bool": {"aws:SecureTransport": "false"}})
        assert (allow["Principal"], allow["Action"]) == ({"Service": "events.amazonaws.com"}, ["sqs:SendMessage"])
        assert "RefreshRule" in str(allow["Condition"]["ArnEquals"]["aws:SourceArn"])


def test_events_that_wait_are_hidden_and_kept_and_a_crashing_function_ends_in_the_dead_letters(refreshed: Template):
    queue = refreshed.starting_with("RefreshQueue", "AWS::SQS::Queue")
    assert queue["VisibilityTimeout"] == HIDDEN_SECONDS >= 6 * SIZE.timeout_seconds
    assert queue["RedrivePolicy"]["maxReceiveCount"] == MOST_RECEIVES
    assert "RefreshDeadLetters" in str(queue["RedrivePolicy"]["deadLetterTargetArn"])
    letters = refreshed.starting_with("RefreshDeadLetters", "AWS::SQS::Queue")
    assert (queue["SqsManagedSseEnabled"], letters["SqsManagedSseEnabled"]) == (True, True)
    assert letters["MessageRetentionPeriod"] > queue["MessageRetentionPeriod"]


@pytest.mark.parametrize(
    ("window", "batch", "seconds"), [("", 10, 0), (", window: 5s", 100, 5), (", window: 5m", 100, 300)]
)
def test_a_window_lets_more_events_share_a_call(window: str, batch: int, seconds: int, served: Served):
    """Lambda takes batches of more than ten only together with a window of at least a second."""
    template = served("hybrid", EVENTS.format("realtime", window))
    feed = template.only("AWS::Lambda::EventSourceMapping")
    assert (feed["BatchSize"], feed["MaximumBatchingWindowInSeconds"]) == (batch, seconds)
    assert (feed["ScalingConfig"], feed["FunctionResponseTypes"]) == (
        {"MaximumConcurrency": 2},
        ["ReportBatchItemFailures"],
    )
    assert template.starting_with("RefreshQueue", "AWS::SQS::Queue")["VisibilityTimeout"] == HIDDEN_SECONDS + seconds


def test_the_settings_reach_the_function(served: Served):
    settings = ", min_interval: 5m, max_per_minute: 7"
    handler = served("hybrid", EVENTS.format("realtime", settings)).starting_with(
        "RefreshHandler", "AWS::Lambda::Function"
    )
    variables = handler["Environment"]["Variables"]
    assert (variables["TURNOUT_MIN_INTERVAL_SECONDS"], variables["TURNOUT_MAX_PER_MINUTE"]) == ("300", "7")


def test_nobody_scores_by_event_with_a_model_that_is_not_proved(refreshed: Template):
    (handler,) = [r for id, r in refreshed.of_type("AWS::Lambda::Function").items() if id.startswith("RefreshHandler")]
    assert any(id.startswith("GatePassed") for id in handler["DependsOn"])
    (gate,) = [r for id, r in refreshed.resources.items() if id.startswith("GatePassed")]
    assert not [id for id in gate["DependsOn"] if id.startswith("Refresh")]


def test_the_function_may_take_events_ask_its_endpoint_and_write_the_overlay_and_no_more(refreshed: Template):
    found = {
        (
            action,
            tuple(statement.get("Condition", {}).get("ForAllValues:StringLike", {}).get("dynamodb:LeadingKeys", ())),
        )
        for statement in statements(refreshed, "RefreshHandlerRole")
        for action in texts_of(statement["Action"])
        if not action.startswith("logs:")
    }
    overlay, minute = ("OVERLAY#*",), ("MINUTE#*",)
    taking = ("ReceiveMessage", "DeleteMessage", "GetQueueAttributes", "ChangeMessageVisibility", "SendMessage")
    assert found == {
        ("s3:GetObject", ()),
        ("sagemaker:InvokeEndpoint", ()),
        *((f"dynamodb:{action}", overlay) for action in ("GetItem", "BatchGetItem", "PutItem")),
        *((f"dynamodb:{action}", minute) for action in ("GetItem", "UpdateItem")),
        *((f"sqs:{action}", ()) for action in taking),
    }


def test_the_front_door_may_read_scores_and_overlay_in_one_call(refreshed: Template):
    """IAM compares all keys of a call with one statement: two statements would allow neither."""
    door = refreshed.starting_with("FrontDoorHandler", "AWS::Lambda::Function")
    assert door["Environment"]["Variables"]["TURNOUT_OVERLAID"] == "true"
    (both,) = [s for s in statements(refreshed, "FrontDoorHandlerRole") if "OVERLAY#*" in str(s)]
    assert texts_of(both["Action"]) == ["dynamodb:BatchGetItem"]
    assert both["Condition"]["ForAllValues:StringLike"]["dynamodb:LeadingKeys"] == ["????????T??????Z*#*", "OVERLAY#*"]


def test_a_letter_rings(refreshed: Template):
    alarm = refreshed.starting_with("AlarmsRefreshLost", "AWS::CloudWatch::Alarm")
    assert (alarm["MetricName"], alarm["Threshold"]) == ("ApproximateNumberOfMessagesVisible", 1)
    assert "RefreshDeadLetters" in str(alarm["Dimensions"])
