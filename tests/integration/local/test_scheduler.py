"""EventBridge Scheduler in the local cloud: a clock that can be hurried, deliveries that can be doubled."""

import json
from datetime import datetime

import pytest

from tests.integration.local.actions import ROLE, function, random_name, state_machine, wait_until
from turnout.local import control

pytestmark = pytest.mark.local_only("only there can the scheduler's clock be hurried")

INPUT = '{"trigger":"schedule","slot":"<aws.scheduler.scheduled-time>"}'


@pytest.fixture(autouse=True)
def no_faults(stand_in_cloud):
    yield
    control.set_faults(stand_in_cloud, scheduler_deliveries=1)


NOTHING = {"StartAt": "Pass", "States": {"Pass": {"Type": "Pass", "End": True}}}


@pytest.fixture
def machine(client) -> str:
    return state_machine(client, NOTHING)


def schedule(client, target: str, expression: str, **settings) -> str:
    name = random_name("schedule")
    policy = settings.pop("policy", {})
    client("scheduler").create_schedule(
        Name=name,
        ScheduleExpression=expression,
        FlexibleTimeWindow={"Mode": "OFF"},
        Target={"Arn": target, "RoleArn": ROLE, "Input": INPUT, **policy},
        **settings,
    )
    return name


def slots(client, machine: str) -> list[str]:
    sfn = client("stepfunctions")
    found = sfn.list_executions(stateMachineArn=machine)["executions"]
    inputs = (sfn.describe_execution(executionArn=e["executionArn"])["input"] for e in found)
    return [json.loads(text)["slot"] for text in inputs]


def test_advancing_fires_one_schedule_at_its_own_local_time(client, stand_in_cloud, machine):
    name = schedule(client, machine, "cron(30 6 * * ? *)", ScheduleExpressionTimezone="Asia/Tokyo")
    fired = control.advance_schedule(stand_in_cloud, name)
    (own,) = [f for f in fired if f["schedule"] == name]
    assert own["scheduled_time"].endswith("T21:30:00Z")
    assert wait_until(lambda: slots(client, machine)) == [own["scheduled_time"]]


def test_the_next_advance_fires_the_next_day(client, stand_in_cloud, machine):
    name = schedule(client, machine, "cron(0 6 * * ? *)")
    times = []
    for _ in range(2):
        fired = control.advance_schedule(stand_in_cloud, machine)
        times += [datetime.fromisoformat(f["scheduled_time"]) for f in fired if f["schedule"] == name]
    assert (times[1] - times[0]).total_seconds() == 86400
    wait_until(lambda: len(slots(client, machine)) == 2)


def test_a_doubled_delivery_starts_two_executions_for_one_slot(client, stand_in_cloud, machine):
    name = schedule(client, machine, "cron(0 7 * * ? *)")
    control.set_faults(stand_in_cloud, scheduler_deliveries=2)
    control.advance_schedule(stand_in_cloud, name)
    wait_until(lambda: len(slots(client, machine)) == 2)
    assert len(set(slots(client, machine))) == 1


def test_a_rate_without_start_date_fires_at_once(client, machine):
    schedule(client, machine, "rate(1 day)")
    assert len(wait_until(lambda: slots(client, machine))) == 1


def test_a_schedule_made_on_a_hurried_clock_waits_for_its_own_next_time(client, stand_in_cloud, machine):
    control.advance_clock(stand_in_cloud, 3 * 86400)
    name = schedule(client, machine, "cron(0 11 * * ? *)")
    rated = schedule(client, state_machine(client, NOTHING), "rate(1 day)")
    fired = control.advance_clock(stand_in_cloud, 0)
    assert name not in [f["schedule"] for f in fired]
    times = [f["scheduled_time"] for f in control.advance_schedule(stand_in_cloud, rated) if f["schedule"] == rated]
    now = datetime.fromisoformat(control.describe(stand_in_cloud)["now"])
    assert abs((now - datetime.fromisoformat(times[0])).total_seconds()) < 5


def test_a_changed_schedule_does_not_make_up_for_what_it_missed(client, stand_in_cloud, machine):
    name = schedule(client, machine, "cron(0 12 * * ? *)", State="DISABLED")
    control.advance_clock(stand_in_cloud, 2 * 86400)
    client("scheduler").update_schedule(
        Name=name,
        ScheduleExpression="cron(0 12 * * ? *)",
        FlexibleTimeWindow={"Mode": "OFF"},
        Target={"Arn": machine, "RoleArn": ROLE, "Input": INPUT},
        State="ENABLED",
    )
    assert name not in [f["schedule"] for f in control.advance_clock(stand_in_cloud, 0)]


def test_a_disabled_schedule_has_no_next_occurrence(client, stand_in_cloud, machine):
    name = schedule(client, machine, "rate(1 day)", State="DISABLED")
    with pytest.raises(control.LocalCloudError, match="no next occurrence"):
        control.advance_schedule(stand_in_cloud, name)


def test_an_unknown_schedule_lists_those_that_exist(client, stand_in_cloud, machine):
    name = schedule(client, machine, "cron(0 8 * * ? *)")
    with pytest.raises(control.LocalCloudError, match=f"0 schedules match 'nobody'.*{name}"):
        control.advance_schedule(stand_in_cloud, "nobody")


def test_lambda_targets_get_the_input(client, stand_in_cloud, machine):
    code = "def handler(event, context): print('SLOT', event['slot'])"
    arn = function(client, code)
    name = schedule(client, arn, "cron(0 9 * * ? *)")
    schedule(client, machine, "rate(1 minute)")  # fires meanwhile too
    own, *others = control.advance_schedule(stand_in_cloud, name)
    assert own["schedule"] == name
    assert others
    group = f"/aws/lambda/{arn.rpartition(':')[2]}"

    def logged():
        groups = client("logs").describe_log_groups(logGroupNamePrefix=group)["logGroups"]
        events = client("logs").filter_log_events(logGroupName=group)["events"] if groups else []
        return [e["message"].strip() for e in events if e["message"].startswith("SLOT")]

    assert wait_until(logged) == [f"SLOT {own['scheduled_time']}"]


def test_what_cannot_be_delivered_goes_to_the_dead_letter_queue(client, stand_in_cloud, machine):
    sqs = client("sqs")
    queue = sqs.create_queue(QueueName=random_name("dead"))["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    policy = {"DeadLetterConfig": {"Arn": arn}, "RetryPolicy": {"MaximumRetryAttempts": 1}}
    name = schedule(client, machine + "gone", "cron(0 10 * * ? *)", policy=policy)
    control.advance_schedule(stand_in_cloud, name)

    def received():
        return sqs.receive_message(QueueUrl=queue, MessageAttributeNames=["All"]).get("Messages")

    (message,) = wait_until(received)
    assert json.loads(message["Body"])["trigger"] == "schedule"
    assert message["MessageAttributes"]["RETRY_ATTEMPTS"]["StringValue"] == "1"


def test_a_schedule_is_found_by_the_stack_that_owns_it(client, stand_in_cloud, machine):
    stack = random_name("turnout-dev-a-model-with-a-rather-long-name")
    properties = {
        "ScheduleExpression": "cron(15 5 * * ? *)",
        "ScheduleExpressionTimezone": "America/New_York",
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "Target": {"Arn": machine, "RoleArn": ROLE, "Input": INPUT},
    }
    template = {"Resources": {"PipelineSchedule1234": {"Type": "AWS::Scheduler::Schedule", "Properties": properties}}}
    client("cloudformation").create_stack(StackName=stack, TemplateBody=json.dumps(template))
    client("cloudformation").get_waiter("stack_create_complete").wait(StackName=stack, WaiterConfig={"Delay": 1})
    fired = control.advance_schedule(stand_in_cloud, f"{stack}/Pipeline")
    own = [f for f in fired if f["schedule"].startswith("turnout-dev-a-model")]
    assert len(own) == 1
    assert own[0]["scheduled_time"][11:] in ("09:15:00Z", "10:15:00Z")
    wait_until(lambda: slots(client, machine))


def test_any_operation_of_any_service_may_be_a_target(client, stand_in_cloud):
    sqs = client("sqs")
    queue = sqs.create_queue(QueueName=random_name("queue"))["QueueUrl"]
    body = "<aws.scheduler.scheduled-time>"
    name = random_name("schedule")
    client("scheduler").create_schedule(
        Name=name,
        ScheduleExpression="cron(0 6 * * ? *)",
        FlexibleTimeWindow={"Mode": "OFF"},
        Target={
            "Arn": "arn:aws:scheduler:::aws-sdk:sqs:sendMessage",
            "RoleArn": ROLE,
            "Input": json.dumps({"QueueUrl": queue, "MessageBody": body}),
        },
    )
    (fired,) = [f for f in control.advance_schedule(stand_in_cloud, name) if f["schedule"] == name]
    (message,) = wait_until(lambda: sqs.receive_message(QueueUrl=queue).get("Messages"))
    assert message["Body"] == fired["scheduled_time"]


def test_a_universal_target_that_refuses_goes_to_the_dead_letters(client, stand_in_cloud):
    sqs = client("sqs")
    url = sqs.create_queue(QueueName=random_name("letters"))["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    policy = {"DeadLetterConfig": {"Arn": arn}, "RetryPolicy": {"MaximumRetryAttempts": 0}, "Input": "{}"}
    target = "arn:aws:scheduler:::aws-sdk:sagemaker:createTransformJob"
    control.advance_schedule(stand_in_cloud, schedule(client, target, "cron(0 7 * * ? *)", policy=policy))
    receive = {"QueueUrl": url, "MessageAttributeNames": ["All"]}
    (message,) = wait_until(lambda: sqs.receive_message(**receive).get("Messages"))
    assert "TransformJobName" in message["MessageAttributes"]["ERROR_MESSAGE"]["StringValue"]
