"""`handlers.logic.gating_ports.Endpoints` in SageMaker: what an endpoint's state is, and what it answers."""

from typing import Any

from botocore.config import Config
from botocore.exceptions import ClientError, ReadTimeoutError

from handlers.contract.gating import Asked
from handlers.logic.gating_ports import EndpointState, ModelAnswered, NotReady

#: A model may take 60 s. Asked once only: the gate comes back by itself, and its next look is the next try.
ONCE = Config(connect_timeout=5, read_timeout=70, retries={"total_max_attempts": 1, "mode": "standard"})

#: Errors of an endpoint that is not up to it yet, or has too much to do.
PASSING = frozenset(
    {
        "ThrottlingException",
        "ServiceUnavailable",
        "ServiceUnavailableException",
        "ModelNotReadyException",
        "InternalFailure",
        "InternalDependencyException",
    }
)


class SageMakerEndpoints:
    """Takes a client of `sagemaker` and one of `sagemaker-runtime`."""

    def __init__(self, control: Any, runtime: Any) -> None:
        self._control, self._runtime = control, runtime

    def state(self, name: str) -> EndpointState | None:
        try:
            found = self._control.describe_endpoint(EndpointName=name)
        except ClientError as error:
            # SageMaker has no error of its own for this: a ValidationException that says so.
            if "could not find" in error.response["Error"]["Message"].lower():
                return None
            raise
        # An endpoint whose creation failed may have lost its configuration.
        config = found.get("EndpointConfigName", "")
        wanted = sum(variant.get("DesiredInstanceCount", 0) for variant in found.get("ProductionVariants", []))
        return EndpointState(found["EndpointStatus"], config, found.get("FailureReason", ""), wanted)

    def grow(self, name: str, instances: int) -> None:
        (variant,) = self._control.describe_endpoint(EndpointName=name)["ProductionVariants"]
        wanted = [{"VariantName": variant["VariantName"], "DesiredInstanceCount": instances}]
        try:
            self._control.update_endpoint_weights_and_capacities(EndpointName=name, DesiredWeightsAndCapacities=wanted)
        except ClientError as error:
            # Its own scaling may be at it: the endpoint is Updating then, and the next look sees it.
            if "in-progress" in error.response["Error"]["Message"].lower():
                raise NotReady(error.response["Error"]["Message"]) from error
            raise _understood(error) from error

    def invoke(self, name: str, body: bytes, content_type: str) -> bytes:
        try:
            answer = self._runtime.invoke_endpoint(
                EndpointName=name, Body=body, ContentType=content_type, Accept=content_type
            )
            return answer["Body"].read()
        except ClientError as error:
            raise _understood(error) from error
        except ReadTimeoutError as error:
            raise NotReady("no answer within 70 s") from error

    def invoke_later(self, name: str, body: bytes, content_type: str, file_name: str) -> Asked:
        try:
            queued = self._runtime.invoke_endpoint_async(
                EndpointName=name, Body=body, ContentType=content_type, Accept=content_type, Filename=file_name
            )
        except ClientError as error:
            raise _understood(error) from error
        return Asked(output=queued["OutputLocation"], failure=queued.get("FailureLocation", ""))


def _understood(error: ClientError) -> Exception:
    """Return what the gate makes of an error; one that it does not know stays what it is."""
    said = error.response["Error"]
    if said["Code"] in PASSING:
        return NotReady(f"{said['Code']}: {said['Message']}")
    if said["Code"] == "ModelError":
        status = error.response.get("OriginalStatusCode", 500)
        return ModelAnswered(int(status), error.response.get("OriginalMessage") or said["Message"])
    return error
