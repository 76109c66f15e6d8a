"""The state machine as data: Amazon States Language built by pure functions, without CDK.

Names in `${...}` are filled in by CloudFormation (DefinitionSubstitutions), so the definition that the tests
read is, letter by letter, the one that is deployed.
"""

from typing import Any

from handlers.contract.card import ModelCard
from handlers.contract.errors import PERMANENT_RUN_ERRORS
from turnout.config.specs import TransformSpec

State = dict[str, Any]

#: What a definition leaves open: the service integration (its ARN has a partition), four functions and the model.
SUBSTITUTIONS = ("RunTransformJob", "StartArn", "PrepareArn", "PublishArn", "ConcludeArn", "ModelName", "ModelVersion")

#: Of the model that the definition names: an execution keeps both, whatever is deployed before it ends.
MODEL_VERSION = "${ModelVersion}"

#: A run that is not over after a day is lost; the alarm on timed-out executions says so.
MACHINE_TIMEOUT_SECONDS = 24 * 3600
#: Ends before the machine does, so that a job that hangs is recorded as a failed run.
TRANSFORM_TIMEOUT_SECONDS = 20 * 3600
#: Shards published, then partitions packed, at the same time: one packer alone can write more than the 4,000 units/s
#: that a new on-demand table takes, and waits when it is told to.
PUBLISH_CONCURRENCY = 4

#: Lambda itself was not ready; the handler did not run or its answer was lost. Handlers are idempotent.
LAMBDA_HICCUPS = (
    "Lambda.ClientExecutionTimeoutException",
    "Lambda.ServiceException",
    "Lambda.AWSLambdaException",
    "Lambda.SdkClientException",
    "Lambda.TooManyRequestsException",
)

#: Content type on the wire, and the filters that keep row numbers (and keys) from the model but in the output.
#: csv lines are `row,feature,...`; jsonlines objects are `{"row": n, "features": {...}}`. Parquet is neither split nor
#: filtered nor joined by Batch Transform: each object is one request, its answer the whole output.
WIRE = {
    "csv": {"content_type": "text/csv", "input_filter": "$[1:]", "output_filter": "$[0,-1]"},
    "jsonlines": {
        "content_type": "application/jsonlines",
        "input_filter": "$.features",
        "output_filter": "$['row','SageMakerOutput']",
    },
    "parquet": {"content_type": "application/x-parquet"},
}


def definition(*, card: ModelCard, transform: TransformSpec, tags: dict[str, str]) -> dict[str, Any]:
    """Return the whole machine for one model. `tags` go on each transform job."""
    return {
        "Comment": f"Scores {card.model} in batch: one execution, one run.",
        "TimeoutSeconds": MACHINE_TIMEOUT_SECONDS,
        "StartAt": "NameExecution",
        "States": {
            "NameExecution": _stamp("$$.Execution.Id", "$.execution", "Start"),
            "Start": _call("StartArn", "$.started", "Claimed", failure="RecordUnclaimed"),
            "Claimed": {
                "Type": "Choice",
                "Choices": [{"Variable": "$.started.duplicate", "BooleanEquals": True, "Next": "Duplicate"}],
                "Default": "Prepare",
            },
            "Duplicate": {"Type": "Succeed", "Comment": "Another execution owns this slot."},
            "Prepare": _call("PrepareArn", "$.prepared", "Transform", InputPath="$.started"),
            "Transform": transform_state(card=card, transform=transform, tags=tags),
            "Scored": _stamp("$$.State.EnteredTime", "$.scored_at", "Publish"),
            "Publish": _publish(),
            "Pack": _pack(card.retention_seconds),
            "Conclude": _call(
                "ConcludeArn", "$.concluded", "Succeeded", Parameters=_conclusion(card.retention_seconds)
            ),
            "Succeeded": {"Type": "Succeed"},
            "RecordFailure": _record(
                {"run_id.$": "$.started.run_id", "started_at.$": "$.started.started_at"},
            ),
            "RecordUnclaimed": _record({}),
            "Failed": {"Type": "Fail", "ErrorPath": "$.failure.Error", "CausePath": "$.failure.Cause"},
        },
    }


def transform_state(*, card: ModelCard, transform: TransformSpec, tags: dict[str, str]) -> State:
    """Return the state that runs Batch Transform and waits for the job's end.

    Only failures to create the job are retried. A job that ran and failed is not: its name is taken, and
    rows that the model refused once are refused again.
    """
    wire = WIRE[card.wire_format]
    lines = "input_filter" in wire
    return {
        "Type": "Task",
        "Resource": "${RunTransformJob}",
        "Parameters": {
            "TransformJobName.$": "$.started.job_name",
            "ModelName": "${ModelName}",
            "BatchStrategy": transform.strategy if lines else "SingleRecord",
            "MaxConcurrentTransforms": transform.max_concurrent,
            "MaxPayloadInMB": transform.max_payload_mb,
            "ModelClientConfig": {
                "InvocationsTimeoutInSeconds": int(transform.invocation_timeout.total_seconds()),
                "InvocationsMaxRetries": transform.invocation_retries,
            },
            "TransformInput": {
                "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri.$": "$.started.shards_uri"}},
                "ContentType": wire["content_type"],
                "SplitType": "Line" if lines else "None",
            },
            "TransformOutput": {
                "S3OutputPath.$": "$.started.transform_uri",
                "Accept": wire["content_type"],
                "AssembleWith": "Line" if lines else "None",
            },
            "TransformResources": {
                "InstanceType": transform.instance_type,
                "InstanceCount": transform.instance_count,
            },
            **({"DataProcessing": _beside_its_row(wire)} if lines else {}),
            "Tags": [{"Key": key, "Value": value} for key, value in sorted(tags.items())],
        },
        "TimeoutSeconds": TRANSFORM_TIMEOUT_SECONDS,
        "ResultPath": None,
        "Retry": [
            _retry("SageMaker.ResourceLimitExceededException", seconds=60, attempts=6, jitter=False),
            _retry("SageMaker.AmazonSageMakerException", "ThrottlingException", seconds=10, attempts=5),
        ],
        "Catch": _catch("RecordFailure"),
        "Next": "Scored",
    }


def _beside_its_row(wire: dict[str, str]) -> dict[str, str]:
    return {"InputFilter": wire["input_filter"], "JoinSource": "Input", "OutputFilter": wire["output_filter"]}


def _publish() -> State:
    return {
        "Type": "Map",
        "ItemsPath": "$.prepared.shards",
        "ItemSelector": {
            "run_id.$": "$.started.run_id",
            "shard.$": "$$.Map.Item.Value",
            "scored_at.$": "$.scored_at",
            "model_version": MODEL_VERSION,
            "key_type.$": "$.prepared.key_type",
            "partitions.$": "$.prepared.partitions",
        },
        **_each("PublishShard", "$.published", "Pack"),
    }


def _pack(retention_seconds: int) -> State:
    """Return the state that packs scores part by part, once all shards are published; none where none are kept."""
    return {
        "Type": "Map",
        "ItemsPath": "$.prepared.partitions",
        "ItemSelector": {
            "run_id.$": "$.started.run_id",
            "partition.$": "$$.Map.Item.Value",
            "partitions.$": "$.prepared.partitions",
            "shards.$": "$.prepared.shards",
            "scored_at.$": "$.scored_at",
            "retention_seconds": retention_seconds,
        },
        **_each("PackPartition", "$.packed", "Conclude"),
    }


def _each(name: str, result: str, then: str) -> State:
    """Return how a Map calls the publishing function, a few at a time."""
    return {
        "MaxConcurrency": PUBLISH_CONCURRENCY,
        "ItemProcessor": {
            "ProcessorConfig": {"Mode": "INLINE"},
            "StartAt": name,
            "States": {name: {"Type": "Task", "Resource": "${PublishArn}", "Retry": _retries(), "End": True}},
        },
        "ResultPath": result,
        "Catch": _catch("RecordFailure"),
        "Next": then,
    }


def _conclusion(retention_seconds: int) -> dict[str, str | int]:
    return {
        "outcome": "succeeded",
        "run_id.$": "$.started.run_id",
        "execution.$": "$.execution",
        "started_at.$": "$.started.started_at",
        "scored_at.$": "$.scored_at",
        "model_version": MODEL_VERSION,
        "retention_seconds": retention_seconds,
        "prepared.$": "$.prepared",
        "published.$": "$.published",
        "packed.$": "$.packed",
    }


def _record(known: dict[str, str]) -> State:
    """Return the state that writes a failure down; should that fail too, the machine fails with the first error."""
    return {
        "Type": "Task",
        "Resource": "${ConcludeArn}",
        "Parameters": {
            "outcome": "failed",
            "execution.$": "$.execution",
            "error.$": "$.failure.Error",
            "cause.$": "$.failure.Cause",
            **known,
        },
        "ResultPath": None,
        "Retry": _retries(),
        "Catch": [{"ErrorEquals": ["States.ALL"], "ResultPath": "$.record_failure", "Next": "Failed"}],
        "Next": "Failed",
    }


def _call(function: str, result: str, then: str, *, failure: str = "RecordFailure", **more: Any) -> State:
    return {
        "Type": "Task",
        "Resource": f"${{{function}}}",
        **more,
        "ResultPath": result,
        "Retry": _retries(),
        "Catch": _catch(failure),
        "Next": then,
    }


def _stamp(source: str, target: str, then: str) -> State:
    """Return a state that copies one value of the context object into the run's data."""
    return {"Type": "Pass", "InputPath": source, "ResultPath": target, "Next": then}


def _retries() -> list[dict[str, Any]]:
    """Return the retries of every handler: none for errors that would come again, four with back-off for the rest."""
    return [
        {"ErrorEquals": list(PERMANENT_RUN_ERRORS), "MaxAttempts": 0},
        _retry(*LAMBDA_HICCUPS, seconds=2, attempts=6),
        _retry("States.ALL", seconds=3, attempts=4),
    ]


def _retry(*errors: str, seconds: int, attempts: int, jitter: bool = True) -> dict[str, Any]:
    """Return one retrier. Jitter spreads callers by waiting anything from nothing to the interval."""
    return {
        "ErrorEquals": list(errors),
        "IntervalSeconds": seconds,
        "MaxAttempts": attempts,
        "BackoffRate": 2,
        "JitterStrategy": "FULL" if jitter else "NONE",
    }


def _catch(then: str) -> list[dict[str, Any]]:
    return [{"ErrorEquals": ["States.ALL"], "ResultPath": "$.failure", "Next": then}]
