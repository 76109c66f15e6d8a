"""Step Functions' integrations with SageMaker: `arn:aws:states:::sagemaker:createTransformJob[.sync]`, what creates
models and endpoints, and `arn:aws:states:::aws-sdk:sagemakerruntime:invokeEndpoint`.
"""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from turnout.local.sagemaker import validation
from turnout.local.sagemaker.errors import ApiError
from turnout.local.sagemaker.hosting.invocations import INVOKED_VARIANT, Response
from turnout.local.sagemaker.hosting.requests import CUSTOM_ATTRIBUTES, RUNTIME, Request
from turnout.local.sagemaker.service import SageMaker

PREFIX = "arn:aws:states:::sagemaker:"
INVOKE = "arn:aws:states:::aws-sdk:sagemakerruntime:invokeEndpoint"
JOB = "CreateTransformJob"
#: Those of SageMaker's optimised integrations that are emulated; only a job can be waited for, as on AWS.
OPERATIONS = ("CreateModel", "CreateEndpointConfig", "CreateEndpoint", "UpdateEndpoint", JOB)
WAITING = re.compile(r"arn:[^:]+:states:::.+(\.sync|\.waitForTaskToken)(?::2)?")
TIME_FIELDS = ("CreationTime", "TransformStartTime", "TransformEndTime")
POLL_SECONDS = 1.0
#: Member of InvokeEndpoint's answer -> header that has it.
ANSWERED = {
    "ContentType": "Content-Type",
    "InvokedProductionVariant": INVOKED_VARIANT,
    "CustomAttributes": CUSTOM_ATTRIBUTES,
}


class TaskFailed(Exception):
    """What `Retry` and `Catch` of a state machine see."""

    def __init__(self, error: str, cause: str) -> None:
        super().__init__(f"{error}: {cause}")
        self.error, self.cause = error, cause


def run(sagemaker: SageMaker, resource: str, parameters: dict, aborted: Callable[[], bool] = lambda: False) -> dict:
    """Do what a task's Resource says and return its result; `.sync` waits for the end of a job.

    A job whose execution is `aborted` meanwhile is stopped, as AWS does when it can. Raises TaskFailed.
    """
    action, _, pattern = resource.removeprefix(PREFIX).partition(".")
    operation = action[:1].upper() + action[1:]
    if operation not in OPERATIONS or pattern not in ("", "sync") or (pattern and operation != JOB):
        raise TaskFailed("States.Runtime", f"{resource} is not emulated by the local cloud.")
    try:
        created = sagemaker.call(operation, parameters)
    except ApiError as error:
        raise TaskFailed(
            _error_name(error), f"{error.message} (Service: SageMaker, Error Code: {error.code})"
        ) from error
    return _finished_job(sagemaker, parameters["TransformJobName"], aborted) if pattern else created


def _finished_job(sagemaker: SageMaker, name: str, aborted: Callable[[], bool]) -> dict:
    arn = sagemaker.call("DescribeTransformJob", {"TransformJobName": name})["TransformJobArn"]
    while not sagemaker.jobs.wait(arn, POLL_SECONDS):
        if aborted():
            sagemaker.jobs.stop(arn)
    job = _described(sagemaker, name)
    if job["TransformJobStatus"] != "Completed":
        raise TaskFailed("States.TaskFailed", json.dumps(job))
    return job


def _error_name(error: ApiError) -> str:
    """SDK for Java names: modelled errors get an `Exception` suffix, all others are the service's own exception."""
    modelled = {"ResourceInUse", "ResourceNotFound", "ResourceLimitExceeded"}
    return f"SageMaker.{error.code}Exception" if error.code in modelled else "SageMaker.AmazonSageMakerException"


def _described(sagemaker: SageMaker, name: str) -> dict:
    """Return DescribeTransformJob as Step Functions does: times in milliseconds since 1970."""
    job = dict(sagemaker.call("DescribeTransformJob", {"TransformJobName": name}))
    return {k: int(v * 1000) if k in TIME_FIELDS else v for k, v in job.items()}


def invoke(sagemaker: SageMaker, resource: str, parameters: dict) -> dict:
    """Answer InvokeEndpoint for a task; a Body that is no text goes as JSON. Raises TaskFailed."""
    body = parameters.get("Body", "")
    text = body if isinstance(body, str) else json.dumps(body)
    request = Request(str(parameters.get("EndpointName", "")), text.encode(), dict(_headers(parameters)))
    try:
        response = sagemaker.invoke(request)
    except ApiError as error:
        name = f"SageMakerRuntime.{error.code.removesuffix('Exception') or 'SageMakerRuntime'}Exception"
        raise TaskFailed(name, error.message) from error
    return {"Body": response.body.decode(errors="replace"), **_answered(response)}


def _headers(parameters: dict) -> Iterator[tuple[str, str]]:
    for name, member in validation.input_shape("InvokeEndpoint", RUNTIME).members.items():
        if name in parameters and member.serialization.get("location") == "header":
            yield member.serialization["name"].lower(), str(parameters[name])


def _answered(response: Response) -> dict[str, Any]:
    return {name: response.headers[header] for name, header in ANSWERED.items() if header in response.headers}


# State machines


def unfit_for_express(definition: str) -> str | None:
    """Return why a definition cannot be an EXPRESS state machine's; None: it can, or it is no definition at all."""
    try:
        resources = list(_resources(json.loads(definition)))
    except ValueError:
        return None
    waiting = next(filter(None, map(WAITING.fullmatch, resources)), None)
    if waiting is None:
        return None
    return (
        "Invalid State Machine Definition: 'SCHEMA_VALIDATION_FAILED: Express state machine does not support "
        f"'{waiting[1]}' service integration'"
    )


def _resources(value: Any) -> Iterator[str]:
    """Yield the Resource of every task, those of Map and Parallel states too."""
    if isinstance(value, dict):
        if value.get("Type") == "Task" and isinstance(value.get("Resource"), str):
            yield value["Resource"]
        yield from (found for part in value.values() for found in _resources(part))
    elif isinstance(value, list):
        yield from (found for part in value for found in _resources(part))
