"""What starts a run by itself: a schedule, or a marker object that says that new data is complete."""

import json

from aws_cdk import aws_events as events
from aws_cdk import aws_scheduler as scheduler
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra.constructs.parts import Parts
from infra.constructs.permissions import Statement, allow, deny_plain_http, own_account, policy, service_role
from infra.constructs.pseudo import arn
from turnout.config.specs import ScheduleSpec

#: An hour of retries: a run that starts later than that collides with the next one of an hourly model.
RETRY = {"maximumRetryAttempts": 20, "maximumEventAgeInSeconds": 3600}
KEEP_LETTERS_SECONDS = 14 * 86400


class Trigger(Construct):
    """`queue_name` names the queue of triggers that could not start the machine."""

    def __init__(self, scope: Construct, id: str, *, parts: Parts, machine_arn: str) -> None:
        super().__init__(scope, id)
        letters = sqs.CfnQueue(
            self, "DeadLetters", sqs_managed_sse_enabled=True, message_retention_period=KEEP_LETTERS_SECONDS
        )
        self._letters_arn, self.queue_name = letters.attr_arn, letters.attr_queue_name
        self._queue_statements = [deny_plain_http(self._letters_arn, "sqs:*")]
        start = TRIGGERS[form_of(parts.spec.schedule)]
        start(self, parts, machine_arn)
        sqs.CfnQueuePolicy(self, "Policy", queues=[letters.ref], policy_document=policy(self._queue_statements))

    def on_schedule(self, parts: Parts, machine_arn: str) -> None:
        """Start at the slots of a cron, rate or at expression. At least once: the run's claim makes it once."""
        schedule = parts.spec.schedule
        group = arn("scheduler", "schedule-group/default")
        role = service_role(
            self,
            "Role",
            service="scheduler.amazonaws.com",
            statements=[
                allow(["states:StartExecution"], [machine_arn]),
                allow(["sqs:SendMessage"], [self._letters_arn]),
            ],
            trust_condition=own_account(**{"aws:SourceArn": group}),
        )
        scheduler.CfnSchedule(
            self,
            "Schedule",
            description=f"Scores {parts.spec.name}.",
            schedule_expression=expression(schedule),
            schedule_expression_timezone=schedule.timezone,
            flexible_time_window={"mode": "OFF"},
            target={
                "arn": machine_arn,
                "roleArn": role.attr_arn,
                "input": json.dumps({"trigger": "schedule", "slot": "<aws.scheduler.scheduled-time>"}),
                "retryPolicy": RETRY,
                "deadLetterConfig": {"arn": self._letters_arn},
            },
        )

    def on_new_data(self, parts: Parts, machine_arn: str) -> None:
        """Start when the marker object is written under the input location.

        The platform's bucket sends its events; on a bucket of the user's own, EventBridge notifications must be on.
        """
        role = service_role(
            self,
            "Role",
            service="events.amazonaws.com",
            statements=[allow(["states:StartExecution"], [machine_arn])],
            trust_condition=own_account(),
        )
        rule = events.CfnRule(
            self,
            "Rule",
            description=f"Scores {parts.spec.name} when {parts.spec.schedule.marker} arrives.",
            event_pattern=marker_pattern(parts.source.name, parts.source_prefix, parts.spec.schedule.marker),
            targets=[
                {
                    "id": "Machine",
                    "arn": machine_arn,
                    "roleArn": role.attr_arn,
                    "retryPolicy": RETRY,
                    "deadLetterConfig": {"arn": self._letters_arn},
                    "inputTransformer": {
                        "inputPathsMap": {"time": "$.time", "sequencer": "$.detail.object.sequencer"},
                        "inputTemplate": '{"trigger": "new_data", "slot": <time>, "id": <sequencer>}',
                    },
                }
            ],
        )
        self._queue_statements.append(_from_rule(self._letters_arn, rule.attr_arn))


#: Which construct each form of `schedule` needs.
TRIGGERS = {
    "cron": Trigger.on_schedule,
    "rate": Trigger.on_schedule,
    "at": Trigger.on_schedule,
    "on_new_data": Trigger.on_new_data,
}


def form_of(schedule: ScheduleSpec) -> str:
    """Return which of the four forms a schedule is written in."""
    return next(form for form in TRIGGERS if getattr(schedule, form))


def expression(schedule: ScheduleSpec) -> str:
    """Return EventBridge Scheduler's expression, such as `cron(0 6 * * ? *)`."""
    form = form_of(schedule)
    return f"{form}({getattr(schedule, form)})"


def marker_pattern(bucket: str, prefix: str, marker: str) -> dict:
    """Return the pattern of S3 events for an object of that name, directly under the prefix or in any folder below."""
    keys = [f"{prefix}{marker}", {"wildcard": f"{prefix}*/{marker}"}]
    return {
        "source": ["aws.s3"],
        "detail-type": ["Object Created"],
        "detail": {"bucket": {"name": [bucket]}, "object": {"key": keys}},
    }


def _from_rule(queue_arn: str, rule_arn: str) -> Statement:
    return {
        **allow(["sqs:SendMessage"], [queue_arn], {"ArnEquals": {"aws:SourceArn": rule_arn}}),
        "Principal": {"Service": "events.amazonaws.com"},
    }
