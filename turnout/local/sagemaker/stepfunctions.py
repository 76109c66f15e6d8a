"""Step Functions' optimised integration `arn:aws:states:::sagemaker:createTransformJob[.sync]`."""

import json
from collections.abc import Callable

from turnout.local.sagemaker.errors import ApiError
from turnout.local.sagemaker.service import SageMaker

RESOURCE = "arn:aws:states:::sagemaker:createTransformJob"
TIME_FIELDS = ("CreationTime", "TransformStartTime", "TransformEndTime")
POLL_SECONDS = 1.0


class TaskFailed(Exception):
    """What `Retry` and `Catch` of a state machine see."""

    def __init__(self, error: str, cause: str) -> None:
        super().__init__(f"{error}: {cause}")
        self.error, self.cause = error, cause


def create_transform_job(
    sagemaker: SageMaker, resource: str, parameters: dict, aborted: Callable[[], bool] = lambda: False
) -> dict:
    """Create a job and, for `.sync`, wait for its end and return its description. Raises TaskFailed.

    A job whose execution is `aborted` meanwhile is stopped, as AWS does when it can.
    """
    try:
        created = sagemaker.call("CreateTransformJob", parameters)
    except ApiError as error:
        raise TaskFailed(
            _error_name(error), f"{error.message} (Service: SageMaker, Error Code: {error.code})"
        ) from error
    if not resource.endswith(".sync"):
        return created
    while not sagemaker.jobs.wait(created["TransformJobArn"], POLL_SECONDS):
        if aborted():
            sagemaker.jobs.stop(created["TransformJobArn"])
    job = _described(sagemaker, parameters["TransformJobName"])
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
