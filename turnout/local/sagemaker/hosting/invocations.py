"""InvokeEndpoint, InvokeEndpointWithResponseStream and InvokeEndpointAsync, with SageMaker's limits and errors."""

import contextlib
import http.client
import json
import logging
import random
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from turnout.local.sagemaker.container import Answer, Streamed
from turnout.local.sagemaker.errors import (
    CallInvalid,
    CallThrottled,
    CallTooLarge,
    ModelError,
    ModelNotReady,
    Unavailable,
)
from turnout.local.sagemaker.hosting import metering, queueing, streaming
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
from turnout.local.sagemaker.hosting.requests import CUSTOM_ATTRIBUTES, Request, passed
from turnout.local.sagemaker.ports import Cloud, Scope

TIMEOUT_SECONDS = 60
STREAM_SECONDS = 8 * 60
COLD_SECONDS = 0.05  # a lease that took longer had to wait for a process to start
ATTEMPTS = 10
MOST_BYTES = {Kind.REALTIME: 25 * 2**20, Kind.SERVERLESS: 4 * 2**20}
MOST_INLINE_BYTES = 128_000  # of an asynchronous request; more has to lie in S3
SERVED = ("InService", "Updating", "SystemUpdating", "RollingBack")
INVOKED_VARIANT = "x-Amzn-Invoked-Production-Variant"
STREAM_CONTENT_TYPE = "X-Amzn-SageMaker-Content-Type"
#: Headers of the container's answer that reach the client; the model keeps its own sessions.
RETURNED = (CUSTOM_ATTRIBUTES, "X-Amzn-SageMaker-New-Session-Id", "X-Amzn-SageMaker-Closed-Session-Id")
TIMED_OUT = (
    "Your invocation timed out while waiting for a response from container primary. Review the latency metrics for "
    "each container in Amazon CloudWatch, resolve the issue, and try again."
)
STREAM_TIMED_OUT = "The model did not finish the response within the time allowed."
STREAM_BROKEN = "The connection to the model was closed before the response ended."
#: Parameters that only kinds of endpoints understand which the local cloud does not have, and why they are refused.
NOT_FOR_THESE = {
    "TargetModel": "Endpoint {} is not a multi-model endpoint and does not support target model header.",
    "TargetContainerHostname": (
        "Endpoint {} is not a multi-container endpoint with direct invocation and does not support target container "
        "hostname header."
    ),
    "InferenceComponentName": (
        "Inference Component Name header is not allowed for endpoint {}, which does not deploy inference components."
    ),
    "EnableExplanations": "Endpoint {} has no ExplainerConfig: EnableExplanations is not allowed.",
}


class Response(NamedTuple):
    body: bytes
    headers: dict[str, str]


class Stream(NamedTuple):
    """An answer under way: headers, and the messages of its body as they come."""

    headers: dict[str, str]
    messages: Generator[bytes, None, None]
    held: contextlib.ExitStack

    def close(self) -> None:
        """Give the process back, whether or not all messages were taken."""
        self.messages.close()
        self.held.close()


logger = logging.getLogger("turnout.sagemaker")


@dataclass
class Timing:
    """When one request came, reached its process and was answered by it."""

    began: float
    asked: float
    answered: float


class Invocations:
    """Answers InvokeEndpoint and InvokeEndpointWithResponseStream."""

    def __init__(
        self,
        cloud: Cloud,
        endpoints: Endpoints,
        timeout: float = TIMEOUT_SECONDS,
        stream_timeout: float = STREAM_SECONDS,
    ) -> None:
        self.cloud, self.endpoints = cloud, endpoints
        self.timeout, self.stream_timeout = timeout, stream_timeout

    def invoke(self, scope: Scope, request: Request) -> Response:
        """Return the model's answer. Raises the runtime's ApiErrors."""
        began = time.monotonic()
        given = request.parameters("InvokeEndpoint")
        live = self._accept(scope, request, given)
        with contextlib.ExitStack() as held:
            place = lease(scope, live, given, held)
            asked = time.monotonic()
            answer = self._send(place, request.body, passed(given))
            timing = Timing(began, asked, time.monotonic())
        self._meter(scope, live, place, answer.status, timing)
        self._refuse(scope, live, place, answer)
        name, config = live.record["EndpointName"], live.fleet.config
        self.endpoints.captures.take(scope, name, place.variant.name, config, request.body, given, answer)
        return Response(answer.body, _headers(place, answer.headers, "Content-Type"))

    def stream(self, scope: Scope, request: Request) -> Stream:
        """Return the beginning of the model's answer and its parts as they come. Raises the runtime's ApiErrors."""
        began = time.monotonic()
        given = request.parameters("InvokeEndpointWithResponseStream")
        live = self._accept(scope, request, given)
        with contextlib.ExitStack() as held:
            place = lease(scope, live, given, held)
            asked = time.monotonic()
            meter = lambda status: self._meter(  # noqa: E731
                scope, live, place, status, Timing(began, asked, time.monotonic())
            )
            answer = self._open(place, request.body, passed(given), held)
            if not 200 <= answer.status < 300:
                meter(answer.status)
                raise model_error(scope, live, place, answer.status, b"".join(answer.chunks).decode(errors="replace"))
            headers = _headers(place, answer.headers, STREAM_CONTENT_TYPE)
            messages = self._parts(answer.chunks, asked + self.stream_timeout, meter)
            return Stream({"Content-Type": streaming.CONTENT_TYPE, **headers}, messages, held.pop_all())

    def _open(self, place: Lease, body: bytes, headers: dict[str, str], held: contextlib.ExitStack) -> Streamed:
        """Return the model's answer, of which the head has come; status 0 and a reason where it gave none."""
        try:
            return held.enter_context(place.instance.container.stream(body, headers, self.stream_timeout))
        except TimeoutError:
            return Streamed(0, {}, iter([TIMED_OUT.encode()]))
        except (OSError, http.client.HTTPException) as error:
            return Streamed(0, {}, iter([f"no answer from the container ({type(error).__name__}: {error})".encode()]))

    @staticmethod
    def _parts(chunks: Iterator[bytes], deadline: float, meter: Callable[[int], None]) -> Generator[bytes, None, None]:
        """Yield the messages of the stream; the last one is an error when the model does not finish."""
        status = 0
        try:
            for chunk in chunks:
                yield streaming.part(chunk)
                if time.monotonic() > deadline:
                    raise TimeoutError
            status = 200
        except TimeoutError:
            yield streaming.model_stream_error(streaming.TIMED_OUT, STREAM_TIMED_OUT)
        except (OSError, http.client.HTTPException) as error:
            yield streaming.model_stream_error(streaming.BROKEN, f"{STREAM_BROKEN} ({type(error).__name__}: {error})")
        except Exception as error:
            logger.exception("streamed answer")
            yield streaming.internal_stream_failure(f"{type(error).__name__}: {error}")
        finally:
            meter(status)

    def _accept(self, scope: Scope, request: Request, given: Mapping[str, Any]) -> Live:
        """Return the endpoint. Raises what is refused before a process is asked."""
        live = find_served(self.endpoints, scope, request.endpoint)
        name, kind = live.record["EndpointName"], kind_of(live.fleet.config)
        if kind == Kind.ASYNC:
            raise CallInvalid(
                f"Endpoint {name} of account {scope.account} is an asynchronous inference endpoint; "
                "use InvokeEndpointAsync."
            )
        for parameter, words in NOT_FOR_THESE.items():
            if parameter in given:
                raise CallInvalid(words.format(name))
        if len(request.body) > MOST_BYTES[kind]:
            raise CallTooLarge(f"HTTP content length exceeded {MOST_BYTES[kind]} bytes.")
        return live

    def _send(self, place: Lease, body: bytes, headers: dict[str, str]) -> Answer:
        """Return the model's answer; status 0 and a reason where it gave none."""
        try:
            answer = place.instance.container.send(body, headers, self.timeout)
        except TimeoutError:
            return Answer(0, TIMED_OUT.encode(), {})
        except (OSError, http.client.HTTPException) as error:
            return Answer(0, f"no answer from the container ({type(error).__name__}: {error})".encode(), {})
        place.variant.remember_sessions(place.instance, answer.headers)
        return answer

    def _meter(self, scope: Scope, live: Live, place: Lease, status: int, timing: Timing) -> None:
        call = metering.Call(
            status=status,
            model_seconds=timing.answered - timing.asked,
            overhead_seconds=timing.asked - timing.began,
            setup_seconds=place.cold if place.cold > COLD_SECONDS else 0.0,
            concurrent=place.concurrent,
            running=place.running,
        )
        values = metering.call_values(call, place.variant.settings, place.variant.current)
        metering.record(self.cloud, scope, values, live.record["EndpointName"], place.variant.name)

    def _refuse(self, scope: Scope, live: Live, place: Lease, answer: Answer) -> None:
        """Raise ModelError for what cannot be handed on."""
        most = MOST_BYTES[kind_of(live.fleet.config)]
        if not 200 <= answer.status < 300:
            raise model_error(scope, live, place, answer.status, answer.body.decode(errors="replace"))
        if len(answer.body) > most:
            message = f"the model's response of {len(answer.body)} bytes exceeds {most} bytes"
            raise model_error(scope, live, place, 500, message)


def _headers(place: Lease, answered: Mapping[str, str], content_type: str) -> dict[str, str]:
    """Return the headers for the client; `content_type` is the one that says what the model's answer is."""
    shown = {name: value for name in RETURNED if (value := answered.get(name.lower()))}
    kind = answered.get("content-type", "application/octet-stream")
    return {content_type: kind, INVOKED_VARIANT: place.variant.name, **shown}


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
        queued = queueing.Request(
            inference_id=identity,
            endpoint=live.record["EndpointName"],
            headers=passed({**given, "InferenceId": identity}),
            output_location=output,
            failure_location=failure,
            ttl_seconds=given.get("RequestTTLSeconds", queueing.DEFAULT_TTL_SECONDS),
            timeout_seconds=given.get("InvocationTimeoutSeconds", queueing.DEFAULT_TIMEOUT_SECONDS),
            body=request.body or None,
            input_location=given.get("InputLocation"),
        )
        live.queue.put(queued)
        headers = {"X-Amzn-SageMaker-OutputLocation": output}
        if failure:
            headers["X-Amzn-SageMaker-FailureLocation"] = failure
        return json.dumps({"InferenceId": identity}).encode(), headers


def _async_parameters(request: Request) -> Mapping[str, Any]:
    given = request.parameters("InvokeEndpointAsync")
    if len(request.body) > MOST_INLINE_BYTES:
        raise CallInvalid(
            "1 validation error detected: Value '...' at 'body' failed to satisfy constraint: "
            f"Member must have length less than or equal to {MOST_INLINE_BYTES}"
        )
    if bool(request.body) == ("InputLocation" in given):
        raise CallInvalid("Exactly one of Body and InputLocation must be given.")
    return given


def find_served(endpoints: Endpoints, scope: Scope, name: str) -> Live:
    """Return an endpoint that takes requests. Raises CallInvalid for all others, as SageMaker does: not found."""
    live = endpoints.find(scope, name)
    if live is None or live.fleet is None or live.record["EndpointStatus"] not in SERVED:
        raise not_found(scope, name)
    return live


def lease(scope: Scope, live: Live, given: Mapping[str, Any], held: contextlib.ExitStack) -> Lease:
    """Return a place in a process, kept until `held` ends. Raises the error that the client gets.

    A fleet that was retired since it was looked up is left for its successor: an update loses no request.
    """
    name = live.record["EndpointName"]
    for _ in range(ATTEMPTS):
        variant = _choose(live, given)
        try:
            return held.enter_context(variant.lease(given.get("SessionId")))
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


def _choose(live: Live, given: Mapping[str, Any]) -> Variant:
    with live.lock:
        fleets = list(live.fleets)
    if not fleets:  # deleted since it was looked up
        raise not_found(live.scope, live.record["EndpointName"])
    fleet = random.choices([fleet for fleet, _ in fleets], [share for _, share in fleets])[0]
    variant = fleet.choose(given.get("TargetVariant"), given.get("SessionId"))
    if variant is None:
        raise CallInvalid(f"Variant {given['TargetVariant']} not found in endpoint {live.record['EndpointName']}.")
    return variant


def not_found(scope: Scope, name: str) -> CallInvalid:
    return CallInvalid(f"Endpoint {name} of account {scope.account} not found.")


def model_error(scope: Scope, live: Live, place: Lease, status: int, message: str) -> ModelError:
    """Return the error for what a model answered, in SageMaker's words."""
    name = live.record["EndpointName"]
    console = f"https://{scope.region}.console.aws.amazon.com/cloudwatch/home?region={scope.region}"
    where = f"{console}#logEventViewer:group={LOG_GROUP}/{name} in account {scope.account}"
    text = f"{received(status, message)}. See {where} for more information."
    stream = f"log-group:{LOG_GROUP}/{name}:log-stream:{place.variant.name}/{place.instance.identity}"
    arn = f"arn:aws:logs:{scope.region}:{scope.account}:{stream}"
    return ModelError(text, status, message, arn)
