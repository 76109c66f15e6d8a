"""InvokeEndpoint and InvokeEndpointAsync, with SageMaker's limits and errors."""

import contextlib
import http.client
import json
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from turnout.local.sagemaker import validation
from turnout.local.sagemaker.container import Answer
from turnout.local.sagemaker.errors import (
    CallInvalid,
    CallThrottled,
    CallTooLarge,
    Invalid,
    ModelError,
    ModelNotReady,
    Unavailable,
)
from turnout.local.sagemaker.hosting import metering, queueing
from turnout.local.sagemaker.hosting.endpoints import Endpoints, Live
from turnout.local.sagemaker.hosting.fleet import (
    LOG_GROUP,
    Lease,
    NoInstance,
    NotReady,
    Retired,
    Throttled,
    Variant,
)
from turnout.local.sagemaker.hosting.kinds import Kind, kind_of
from turnout.local.sagemaker.hosting.queueing import received
from turnout.local.sagemaker.ports import Cloud, Scope

TIMEOUT_SECONDS = 60
COLD_SECONDS = 0.05  # a lease that took longer had to wait for a process to start
ATTEMPTS = 10
RUNTIME = "sagemaker-runtime"
#: Parameters of InvokeEndpointAsync and the headers that carry them.
ASYNC_HEADERS = {
    "ContentType": "X-Amzn-SageMaker-Content-Type",
    "Accept": "X-Amzn-SageMaker-Accept",
    "CustomAttributes": "X-Amzn-SageMaker-Custom-Attributes",
    "InferenceId": "X-Amzn-SageMaker-Inference-Id",
    "InputLocation": "X-Amzn-SageMaker-InputLocation",
    "S3OutputPathExtension": "X-Amzn-SageMaker-S3OutputPathExtension",
    "Filename": "X-Amzn-SageMaker-Filename",
    "RequestTTLSeconds": "X-Amzn-SageMaker-RequestTTLSeconds",
    "InvocationTimeoutSeconds": "X-Amzn-SageMaker-InvocationTimeoutSeconds",
}
MOST_BYTES = {Kind.REALTIME: 25 * 2**20, Kind.SERVERLESS: 4 * 2**20}
SERVED = ("InService", "Updating", "SystemUpdating", "RollingBack")
CUSTOM_ATTRIBUTES = "X-Amzn-SageMaker-Custom-Attributes"
#: Headers that reach the container; SageMaker strips all others.
PASSED = ("Content-Type", "Accept", CUSTOM_ATTRIBUTES, "X-Amzn-SageMaker-Inference-Id")
TIMED_OUT = (
    "Your invocation timed out while waiting for a response from container primary. Review the latency metrics for "
    "each container in Amazon CloudWatch, resolve the issue, and try again."
)


@dataclass(frozen=True)
class Request:
    """A request as it came in: header names in lower case."""

    endpoint: str
    body: bytes
    headers: Mapping[str, str]

    def header(self, name: str) -> str | None:
        return self.headers.get(name.lower())

    def passed(self) -> dict[str, str]:
        """Return the headers for the container."""
        return {name: value for name in PASSED if (value := self.header(name))}


class Response(NamedTuple):
    body: bytes
    headers: dict[str, str]


class Invocations:
    """Answers InvokeEndpoint."""

    def __init__(self, cloud: Cloud, endpoints: Endpoints, timeout: float = TIMEOUT_SECONDS) -> None:
        self.cloud, self.endpoints, self.timeout = cloud, endpoints, timeout

    def invoke(self, scope: Scope, request: Request) -> Response:
        """Return the model's answer. Raises the runtime's ApiErrors."""
        live = find_served(self.endpoints, scope, request.endpoint)
        kind = kind_of(live.fleet.config)
        if kind == Kind.ASYNC:
            raise CallInvalid(
                f"Endpoint {live.record['EndpointName']} of account {scope.account} is an asynchronous inference "
                "endpoint; use InvokeEndpointAsync."
            )
        if len(request.body) > MOST_BYTES[kind]:
            raise CallTooLarge(f"HTTP content length exceeded {MOST_BYTES[kind]} bytes.")
        return self._ask(scope, live, kind, request)

    def _ask(self, scope: Scope, live: Live, kind: Kind, request: Request) -> Response:
        began = time.monotonic()
        with contextlib.ExitStack() as held:
            place = lease(scope, live, request.header("X-Amzn-SageMaker-Target-Variant"), held)
            variant, asked = place.variant, time.monotonic()
            answer = self._send(place, request)
            call = metering.Call(
                status=answer.status,
                model_seconds=time.monotonic() - asked,
                overhead_seconds=asked - began,
                setup_seconds=place.cold if place.cold > COLD_SECONDS else 0.0,
                concurrent=place.concurrent,
            )
            share = variant.in_use() if variant.serverless else 0.0
        values = metering.call_values(call, kind, variant.current, share)
        metering.record(self.cloud, scope, values, live.record["EndpointName"], variant.name)
        return self._response(scope, live, kind, place, answer)

    def _send(self, place: Lease, request: Request) -> Answer:
        """Return the model's answer; status 0 and a reason where it gave none."""
        try:
            return place.instance.container.send(request.body, request.passed(), self.timeout)
        except TimeoutError:
            return Answer(0, TIMED_OUT.encode(), {})
        except (OSError, http.client.HTTPException) as error:
            return Answer(0, f"no answer from the container ({type(error).__name__}: {error})".encode(), {})

    def _response(self, scope: Scope, live: Live, kind: Kind, place: Lease, answer: Answer) -> Response:
        if not 200 <= answer.status < 300:
            raise model_error(scope, live, place, answer.status, answer.body.decode(errors="replace"))
        if len(answer.body) > MOST_BYTES[kind]:
            message = f"the model's response of {len(answer.body)} bytes exceeds {MOST_BYTES[kind]} bytes"
            raise model_error(scope, live, place, 500, message)
        headers = {
            "Content-Type": answer.headers.get("content-type", "application/octet-stream"),
            "x-Amzn-Invoked-Production-Variant": place.variant.name,
        }
        if custom := answer.headers.get(CUSTOM_ATTRIBUTES.lower()):
            headers[CUSTOM_ATTRIBUTES] = custom
        return Response(answer.body, headers)


class AsyncInvocations:
    """Takes requests for asynchronous endpoints."""

    def __init__(self, endpoints: Endpoints) -> None:
        self.endpoints = endpoints

    def invoke(self, scope: Scope, request: Request) -> tuple[bytes, dict[str, str]]:
        """Queue a request; return body and headers of the answer, which says where the result will lie."""
        given = _async_parameters(request)
        live = find_served(self.endpoints, scope, request.endpoint)
        if live.queue is None:
            raise CallInvalid(
                f"Endpoint {live.record['EndpointName']} of account {scope.account} is not an asynchronous inference "
                "endpoint; use InvokeEndpoint."
            )
        identity = given.get("InferenceId") or queueing.new_id()
        extension, filename = given.get("S3OutputPathExtension"), given.get("Filename")
        output, failure = queueing.locations(live.fleet.config, identity, extension, filename)
        passed = {"Content-Type": given.get("ContentType"), "Accept": given.get("Accept")}
        passed |= {CUSTOM_ATTRIBUTES: given.get("CustomAttributes"), "X-Amzn-SageMaker-Inference-Id": identity}
        queued = queueing.Request(
            inference_id=identity,
            endpoint=live.record["EndpointName"],
            headers={name: value for name, value in passed.items() if value},
            output_location=output,
            failure_location=failure,
            ttl_seconds=given.get("RequestTTLSeconds", queueing.DEFAULT_TTL_SECONDS),
            timeout_seconds=given.get("InvocationTimeoutSeconds", queueing.DEFAULT_TIMEOUT_SECONDS),
            body=given.get("Body"),
            input_location=given.get("InputLocation"),
        )
        live.queue.put(queued)
        headers = {"X-Amzn-SageMaker-OutputLocation": output}
        if failure:
            headers["X-Amzn-SageMaker-FailureLocation"] = failure
        return json.dumps({"InferenceId": identity}).encode(), headers


def _async_parameters(request: Request) -> dict:
    """Return the parameters by their API names. Raises CallInvalid."""
    given = {name: request.header(header) for name, header in ASYNC_HEADERS.items()}
    given |= {"EndpointName": request.endpoint, "Body": request.body or None}
    given = validation.typed("InvokeEndpointAsync", {k: v for k, v in given.items() if v}, RUNTIME)
    try:
        validation.check("InvokeEndpointAsync", given, RUNTIME)
    except Invalid as error:
        raise CallInvalid(error.message) from error
    if ("Body" in given) == ("InputLocation" in given):
        raise CallInvalid("Exactly one of Body and InputLocation must be given.")
    return given


def find_served(endpoints: Endpoints, scope: Scope, name: str) -> Live:
    """Return an endpoint that takes requests. Raises CallInvalid for all others, as SageMaker does: not found."""
    live = endpoints.find(scope, name)
    if live is None or live.fleet is None or live.record["EndpointStatus"] not in SERVED:
        raise not_found(scope, name)
    return live


def lease(scope: Scope, live: Live, wanted: str | None, held: contextlib.ExitStack) -> Lease:
    """Return a place in a process, kept until `held` ends. Raises the error that the client gets.

    A fleet that was retired since it was looked up is left for its successor: an update loses no request.
    """
    name = live.record["EndpointName"]
    for _ in range(ATTEMPTS):
        variant = _choose(live, wanted)
        try:
            return held.enter_context(variant.lease())
        except Retired:
            time.sleep(0.01)
        except Throttled as error:
            most = variant.settings["ServerlessConfig"]["MaxConcurrency"]
            raise CallThrottled(f"Rate exceeded: endpoint {name} runs MaxConcurrency = {most} requests.") from error
        except NoInstance as error:
            raise Unavailable(f"Endpoint {name} has no instance to answer now; try again.") from error
        except NotReady as error:
            raise ModelNotReady(f"The model of serverless endpoint {name} is not ready: {error}") from error
    raise not_found(scope, name)


def _choose(live: Live, wanted: str | None) -> Variant:
    with live.lock:
        fleets = list(live.fleets)
    fleet = random.choices([fleet for fleet, _ in fleets], [share for _, share in fleets])[0]
    variant = fleet.choose(wanted)
    if variant is None:
        raise CallInvalid(f"Variant {wanted} not found in endpoint {live.record['EndpointName']}.")
    return variant


def not_found(scope: Scope, name: str) -> CallInvalid:
    return CallInvalid(f"Endpoint {name} of account {scope.account} not found.")


def model_error(scope: Scope, live: Live, place: Lease, status: int, message: str) -> ModelError:
    """Return the error for what a model answered, in SageMaker's words."""
    name = live.record["EndpointName"]
    text = f"{received(status, message)}. See CloudWatch log group {LOG_GROUP}/{name} in account {scope.account}."
    stream = f"log-group:{LOG_GROUP}/{name}:log-stream:{place.variant.name}/{place.instance.identity}"
    arn = f"arn:aws:logs:{scope.region}:{scope.account}:{stream}"
    return ModelError(text, status, message, arn)
