"""Alarms: when to wake someone. Which numbers exist is said beside those who emit them; this says what is too much.

Every alarm names the part of docs/runbook.md that says what to do.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from handlers.contract import metrics
from turnout.config.stages import Stage

RUNBOOK = "docs/runbook.md"
#: Errors within a period that are too many to be chance.
TOO_MANY_ERRORS = 5
#: Looks at the data's age within one period: fewer that fail wake nobody.
LOOKS_A_PERIOD = 3


@dataclass(frozen=True)
class AlarmSpec:
    """One alarm as data. It rings when the metric is on the wrong side of the threshold in each of `periods`."""

    id: str
    summary: str
    anchor: str
    namespace: str
    metric: str
    dimensions: Mapping[str, str] = field(hash=False)
    statistic: str = "Sum"
    comparison: str = "GreaterThanOrEqualToThreshold"
    threshold: float = 1
    period_seconds: int = 300
    periods: int = 1
    missing: str = "notBreaching"
    judges_release: bool = False  # takes back a release that is being shifted


class Alarms(Construct):
    """The alarms of one stack, in the order in which they are added; they notify where the stage says so."""

    def __init__(self, scope: Construct, id: str, *, subject: str, topic_arn: str, stage: Stage) -> None:
        super().__init__(scope, id)
        self._subject, self._topic_arn, self._stage = subject, topic_arn, stage
        self.judges: list[cloudwatch.CfnAlarm] = []

    def add(self, specs: Iterable[AlarmSpec]) -> list[cloudwatch.CfnAlarm]:
        """Add alarms and return them; those that judge releases are kept in `judges` too."""
        added = []
        for spec in specs:
            alarm = add_alarm(
                self,
                spec,
                subject=self._subject,
                actions_enabled=self._stage.alarms,
                alarm_actions=[self._topic_arn],
                ok_actions=[self._topic_arn],
            )
            added.append(alarm)
            if spec.judges_release:
                self.judges.append(alarm)
        return added


def add_alarm(scope: Construct, spec: AlarmSpec, *, subject: str, **actions: Any) -> cloudwatch.CfnAlarm:
    """Add one alarm. `actions` are the resource's own properties: what to do, and whether to."""
    return cloudwatch.CfnAlarm(
        scope,
        spec.id,
        alarm_description=f"{subject}: {spec.summary} See {RUNBOOK}#{spec.anchor}",
        namespace=spec.namespace,
        metric_name=spec.metric,
        dimensions=[{"name": name, "value": value} for name, value in spec.dimensions.items()],
        **_statistic(spec.statistic),
        comparison_operator=spec.comparison,
        threshold=spec.threshold,
        period=spec.period_seconds,
        evaluation_periods=spec.periods,
        datapoints_to_alarm=spec.periods,
        treat_missing_data=spec.missing,
        **actions,
    )


def _statistic(name: str) -> dict[str, str]:
    return {"extended_statistic": name} if name.startswith("p") else {"statistic": name}


def run_alarms(*, stage: str, model: str, machine_arn: str) -> list[AlarmSpec]:
    """Return the alarms on runs that fail, whoever notices: the run itself, or Step Functions when the run cannot."""
    machine = {"namespace": "AWS/States", "dimensions": {"StateMachineArn": machine_arn}}
    return [
        AlarmSpec(
            id="RunFailed",
            summary="a run failed; the previous scores are still served.",
            anchor="a-run-failed",
            namespace=metrics.NAMESPACE,
            metric=metrics.RUN_FAILED,
            dimensions=of_model(stage, model),
        ),
        AlarmSpec(
            id="ExecutionFailed",
            summary="a state machine execution failed.",
            anchor="a-run-failed",
            metric="ExecutionsFailed",
            **machine,
        ),
        AlarmSpec(
            id="ExecutionTimedOut",
            summary="a state machine execution ran into its time limit.",
            anchor="a-run-timed-out",
            metric="ExecutionsTimedOut",
            **machine,
        ),
    ]


def staleness_alarms(*, stage: str, model: str, max_staleness: timedelta, minutes_between: int) -> list[AlarmSpec]:
    """Return the alarm on data that are too old, or of whose age nobody has heard for three looks.

    The youngest age in a period counts: the alarm ends with the first look after a run that brought newer data.
    """
    return [
        AlarmSpec(
            id="Stale",
            summary=f"the data behind what is visible are older than {max_staleness}, or nobody can tell.",
            anchor="the-data-are-too-old",
            namespace=metrics.NAMESPACE,
            metric=metrics.DATA_AGE_SECONDS,
            dimensions=of_model(stage, model),
            statistic="Minimum",
            comparison="GreaterThanThreshold",
            threshold=int(max_staleness.total_seconds()),
            period_seconds=LOOKS_A_PERIOD * minutes_between * 60,
            missing="breaching",
        )
    ]


def trigger_alarms(*, queue_name: str) -> list[AlarmSpec]:
    """Return the alarm on triggers that could not start a run."""
    return [
        AlarmSpec(
            id="TriggerLost",
            summary="a trigger could not start a run and lies in the dead-letter queue.",
            anchor="a-trigger-could-not-start-a-run",
            namespace="AWS/SQS",
            metric="ApproximateNumberOfMessagesVisible",
            dimensions={"QueueName": queue_name},
            statistic="Maximum",
        )
    ]


def front_door_alarms(*, stage: str, model: str, function_name: str, slow_milliseconds: int) -> list[AlarmSpec]:
    """Return the alarms on answers that are errors of ours, and on slow ones."""
    function = {"namespace": "AWS/Lambda", "dimensions": {"FunctionName": function_name}}
    return [
        AlarmSpec(
            id="FrontDoorErrors",
            summary="the front door answers with 5xx.",
            anchor="the-front-door-answers-with-errors",
            namespace=metrics.NAMESPACE,
            metric=metrics.ERRORS,
            dimensions=of_model(stage, model),
            threshold=TOO_MANY_ERRORS,
            judges_release=True,
        ),
        AlarmSpec(
            id="FrontDoorCrashes",
            summary="the front door's function fails without an answer.",
            anchor="the-front-door-answers-with-errors",
            metric="Errors",
            judges_release=True,
            **function,
        ),
        AlarmSpec(
            id="FrontDoorSlow",
            summary=f"one answer in a hundred takes more than {slow_milliseconds:,} ms.",
            anchor="the-front-door-is-slow",
            metric="Duration",
            statistic="p99",
            comparison="GreaterThanThreshold",
            threshold=slow_milliseconds,
            periods=3,
            **function,
        ),
    ]


def api_alarms(*, api_id: str) -> list[AlarmSpec]:
    """Return the alarm on 5xx over all models, which also sees what never reached a function."""
    return [
        AlarmSpec(
            id="ApiErrors",
            summary="the HTTP API answers with 5xx.",
            anchor="the-api-answers-with-errors",
            namespace="AWS/ApiGateway",
            metric="5xx",
            dimensions={"ApiId": api_id},
            threshold=TOO_MANY_ERRORS,
        )
    ]


def of_model(stage: str, model: str) -> dict[str, str]:
    """Return the dimensions of our own metrics."""
    return dict(zip(metrics.DIMENSIONS, (stage, model), strict=True))
