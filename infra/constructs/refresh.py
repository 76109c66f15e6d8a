"""Events `Refresh Prediction` on the way to a model: a rule, a queue in which they may wait, and who scores them."""

from typing import Any

from aws_cdk import CfnResource
from aws_cdk import aws_events as events
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from handlers.contract.env import RefreshEnv
from handlers.contract.events import DETAIL_TYPE
from handlers.contract.records import MINUTE, OVERLAY
from infra.constructs.alarms import AlarmSpec
from infra.constructs.endpoint import on_endpoint
from infra.constructs.function import HandlerFunction, Size
from infra.constructs.log_group import LogGroup
from infra.constructs.parts import Parts
from infra.constructs.permissions import Statement, allow, deny_plain_http, policy
from infra.constructs.score_permissions import on_items

SIZE = Size(memory_mb=512, timeout_seconds=60)
#: Lambda hands over at most ten messages where it does not wait for more, and as many as one request may have else.
BATCH_AT_ONCE, BATCH_OF_A_WINDOW = 10, 100
#: Batches under way at the same time, the fewest that Lambda can be held to.
CONCURRENCY = 2
#: Lambda's advice: six times the function's limit, so that a batch that waits for capacity is not handed out twice.
HIDDEN_SECONDS = 6 * SIZE.timeout_seconds
#: The function itself gives up on events after three days, with a reason.
KEEP_SECONDS, KEEP_LETTERS_SECONDS = 4 * 86400, 14 * 86400
#: Receiving is how events wait here, so only what makes the function crash again and again meets this (SQS's most).
MOST_RECEIVES = 1000


class Refresh(Construct):
    """`queue_url` is where events wait. The function changes only once the mode is proved (`wait_for`)."""

    def __init__(self, scope: Construct, id: str, *, parts: Parts, endpoint: str, family: str) -> None:
        super().__init__(scope, id)
        settings = parts.spec.refresh
        window = int(settings.window.total_seconds())
        letters = sqs.CfnQueue(
            self, "DeadLetters", sqs_managed_sse_enabled=True, message_retention_period=KEEP_LETTERS_SECONDS
        )
        queue = sqs.CfnQueue(
            self,
            "Queue",
            sqs_managed_sse_enabled=True,
            message_retention_period=KEEP_SECONDS,
            visibility_timeout=HIDDEN_SECONDS + window,
            redrive_policy={"deadLetterTargetArn": letters.attr_arn, "maxReceiveCount": MOST_RECEIVES},
        )
        rule = self._rule(parts, queue, letters)
        for name, receiver in {"Policy": queue, "LettersPolicy": letters}.items():
            statements = [deny_plain_http(receiver.attr_arn, "sqs:*"), _from_rule(receiver.attr_arn, rule.attr_arn)]
            sqs.CfnQueuePolicy(self, name, queues=[receiver.ref], policy_document=policy(statements))
        self.queue_url = queue.ref
        self._handler = HandlerFunction(
            self,
            "Handler",
            entry="refresh",
            description=f"{parts.spec.name}: scores single keys when an event asks for it.",
            code=parts.code,
            env=RefreshEnv(
                stage=parts.stage.name,
                model=parts.spec.name,
                model_version=parts.model_version,
                table=parts.scores.name,
                spec_bucket=parts.card_file.bucket,
                spec_key=parts.card_file.key,
                endpoint=endpoint,
                fallback=family,
                queue_url=queue.ref,
                letters_url=letters.ref,
                min_interval_seconds=int(settings.min_interval.total_seconds()),
                max_per_minute=settings.max_per_minute,
            ),
            size=SIZE,
            statements=_permissions(parts, endpoint, queue, letters),
            logs=LogGroup(self, parts.stage),
            tags=parts.tags,
        )
        self._feed(queue, window, parts.tags)
        parts.alarms.add(_alarms(letters))

    def wait_for(self, resource: CfnResource) -> None:
        """Leave the function as it is until `resource` is there."""
        self._handler.wait_for(resource)

    def _rule(self, parts: Parts, queue: sqs.CfnQueue, letters: sqs.CfnQueue) -> events.CfnRule:
        return events.CfnRule(
            self,
            "Rule",
            description=f"Has {parts.spec.name} score the key that an event names.",
            event_pattern=pattern(parts.spec.name, parts.stage.name),
            targets=[{"id": "Queue", "arn": queue.attr_arn, "deadLetterConfig": {"arn": letters.attr_arn}}],
        )

    def _feed(self, queue: sqs.CfnQueue, window: int, tags: dict[str, str]) -> None:
        properties: dict[str, Any] = {
            "EventSourceArn": queue.attr_arn,
            "FunctionName": self._handler.name,
            "BatchSize": BATCH_OF_A_WINDOW if window else BATCH_AT_ONCE,
            "MaximumBatchingWindowInSeconds": window,
            "FunctionResponseTypes": ["ReportBatchItemFailures"],
            "ScalingConfig": {"MaximumConcurrency": CONCURRENCY},
            "Tags": [{"Key": key, "Value": value} for key, value in sorted(tags.items())],
        }
        CfnResource(self, "Feed", type="AWS::Lambda::EventSourceMapping", properties=properties)


def pattern(model: str, stage: str) -> dict[str, Any]:
    """Return the pattern of events for a model, from whatever source, in this stage or in whichever there is."""
    here = {"model": [model], "stage": [stage, {"exists": False}]}
    return {"detail-type": [DETAIL_TYPE], "detail": here}


def _from_rule(queue_arn: str, rule_arn: str) -> Statement:
    return {
        **allow(["sqs:SendMessage"], [queue_arn], {"ArnEquals": {"aws:SourceArn": rule_arn}}),
        "Principal": {"Service": "events.amazonaws.com"},
    }


def _permissions(parts: Parts, endpoint: str, queue: sqs.CfnQueue, letters: sqs.CfnQueue) -> list[Statement]:
    table = parts.scores.arn
    taking = ["ReceiveMessage", "DeleteMessage", "GetQueueAttributes", "ChangeMessageVisibility"]
    return [
        parts.card_file.read,
        on_endpoint(endpoint, "InvokeEndpoint"),
        on_items(table, ["GetItem", "BatchGetItem", "PutItem"], f"{OVERLAY}*"),
        on_items(table, ["GetItem", "UpdateItem"], f"{MINUTE}*"),
        allow([f"sqs:{action}" for action in taking], [queue.attr_arn]),
        allow(["sqs:SendMessage"], [letters.attr_arn]),
    ]


def _alarms(letters: sqs.CfnQueue) -> list[AlarmSpec]:
    return [
        AlarmSpec(
            id="RefreshLost",
            summary="an event could not have its key scored and lies in the dead-letter queue.",
            anchor="an-event-could-not-have-its-key-scored",
            namespace="AWS/SQS",
            metric="ApproximateNumberOfMessagesVisible",
            dimensions={"QueueName": letters.attr_queue_name},
            statistic="Maximum",
        )
    ]
