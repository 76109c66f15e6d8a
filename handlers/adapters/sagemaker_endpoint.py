"""`handlers.logic.live_ports.Endpoint` and `Queue` in SageMaker, whose failures become errors for callers."""

from typing import Any

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    ReadTimeoutError,
)

from handlers.contract.errors import EndpointUnavailable, ModelTimeout, RequestError, Throttled
from handlers.logic.live_ports import Places
from handlers.logic.model_errors import by_status

#: What callers are told to wait, in seconds.
THROTTLED_SECONDS, UNAVAILABLE_SECONDS = 1, 5

THROTTLES = frozenset({"ThrottlingException", "Throttling", "TooManyRequestsException", "LimitExceededException"})


class SageMakerEndpoint:
    """Takes a client of `sagemaker-runtime` that repeats nothing by itself (clients.LIVE)."""

    def __init__(self, client: Any, name: str) -> None:
        self._client, self._name = client, name

    def invoke(self, body: bytes, content_type: str) -> bytes:
        try:
            return self._invoke(body, content_type)
        except (ConnectionClosedError, ConnectTimeoutError):
            # A kept connection that the other side has closed meanwhile, as happens while a function is frozen. Nothing
            # was answered, and nothing had time to be computed: this one is safe and cheap to repeat.
            return self._invoke(body, content_type, last=True)

    def _invoke(self, body: bytes, content_type: str, last: bool = False) -> bytes:
        try:
            answer = self._client.invoke_endpoint(
                EndpointName=self._name, Body=body, ContentType=content_type, Accept=content_type
            )
            return answer["Body"].read()
        except ReadTimeoutError as error:
            raise ModelTimeout(
                "the model did not answer within the time that an HTTP API leaves", retry_after_seconds=1
            ) from error
        except (ConnectionClosedError, ConnectTimeoutError) as error:
            if not last:
                raise
            raise _unavailable(self._name) from error
        except ClientError as error:
            raise _understood(self._name, error) from error
        except BotoCoreError as error:
            raise _unavailable(self._name) from error


class SageMakerQueue:
    """Takes a client of `sagemaker-runtime`. The same id again queues the same output, so trying twice is harmless."""

    def __init__(self, client: Any, name: str) -> None:
        self._client, self._name = client, name

    def put(self, request_id: str, payload: bytes | str, content_type: str, *, expiry: int, invocation: int) -> Places:
        source = {"InputLocation": payload} if isinstance(payload, str) else {"Body": payload}
        try:
            queued = self._client.invoke_endpoint_async(
                EndpointName=self._name,
                ContentType=content_type,
                Accept=content_type,
                InferenceId=request_id,
                Filename=request_id,
                RequestTTLSeconds=expiry,
                InvocationTimeoutSeconds=invocation,
                **source,
            )
        except ClientError as error:
            raise _understood(self._name, error) from error
        except BotoCoreError as error:
            raise _unavailable(self._name) from error
        return Places(queued["OutputLocation"], queued.get("FailureLocation", ""))


def _understood(endpoint: str, error: ClientError) -> RequestError:
    said = error.response["Error"]
    if said["Code"] in THROTTLES:
        return Throttled(
            "the model has as many requests as it takes at once; ask again in a moment",
            retry_after_seconds=THROTTLED_SECONDS,
        )
    if said["Code"] == "ModelError":
        status = int(error.response.get("OriginalStatusCode", 500))
        return by_status(status, error.response.get("OriginalMessage") or said.get("Message", ""))
    return _unavailable(endpoint)


def _unavailable(endpoint: str) -> EndpointUnavailable:
    return EndpointUnavailable(
        f"endpoint {endpoint!r} cannot answer at the moment; ask again in a few seconds",
        endpoint=endpoint,
        retry_after_seconds=UNAVAILABLE_SECONDS,
    )
