"""InvokeEndpointAsync: the queue of an asynchronous endpoint, its workers, results in S3 and notifications.

At least once and unordered, as on AWS: `Faults.async_deliveries` hands each request over several times. Every
delivery writes the same object.
"""

import contextlib
import http.client
import itertools
import json
import logging
import threading
import time
import uuid
from collections import deque
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from turnout.local.faults import Faults
from turnout.local.sagemaker.artifact import split_uri
from turnout.local.sagemaker.container import Answer
from turnout.local.sagemaker.hosting import metering
from turnout.local.sagemaker.hosting.fleet import Lease, NoInstance, Retired
from turnout.local.sagemaker.hosting.metering import Value
from turnout.local.sagemaker.ports import Cloud, Scope

if TYPE_CHECKING:
    from turnout.local.sagemaker.hosting.endpoints import Live

DEFAULT_CONCURRENCY = 4
DEFAULT_TTL_SECONDS = 6 * 3600
DEFAULT_TIMEOUT_SECONDS = 900
MOST_BYTES = 2**30
MOST_INCLUDED_BYTES = 128 * 1024  # of a response in a notification
MOST_WORKERS = 16  # at a time, whatever MaxConcurrentInvocationsPerInstance says
POLL_SECONDS = 0.05

logger = logging.getLogger("turnout.sagemaker")


class Failed(Exception):
    """The request came to no result; the message is its failure reason."""


@dataclass(frozen=True)
class Request:
    """One asynchronous request. Exactly one of `body` and `input_location` is set."""

    inference_id: str
    endpoint: str
    headers: dict[str, str]  # for the container
    output_location: str
    failure_location: str | None
    ttl_seconds: float
    timeout_seconds: float
    body: bytes | None = None
    input_location: str | None = None
    received: float = field(default_factory=time.time)


class Queue:
    """Holds the requests of one endpoint and has the processes work on them."""

    def __init__(self, cloud: Cloud, scope: Scope, faults: Faults, live: "Live") -> None:
        self._cloud, self._scope, self._faults, self._live = cloud, scope, faults, live
        self._waiting: deque[Request] = deque()
        self._changed = threading.Condition()
        self._workers = ThreadPoolExecutor(MOST_WORKERS, thread_name_prefix="async")
        self._at_work = 0
        self._stopped = threading.Event()

    def start(self) -> None:
        name = f"queue-{self._live.record['EndpointName']}"
        threading.Thread(target=self._dispatch, daemon=True, name=name).start()

    def stop(self) -> None:
        """Hand over nothing more; requests under way come to their end."""
        self._stopped.set()
        with self._changed:
            self._changed.notify_all()
        self._workers.shutdown(wait=False, cancel_futures=True)

    def put(self, request: Request) -> None:
        with self._changed:
            self._waiting.extend(itertools.repeat(request, self._faults.async_deliveries))
            self._changed.notify_all()

    def backlog(self) -> tuple[int, float | None]:
        """Return how many requests wait or are under way, and the age of the oldest that waits."""
        with self._changed:
            oldest = self._waiting[0].received if self._waiting else None
            size = len(self._waiting) + self._at_work
        return size, None if oldest is None else time.time() - oldest

    def _dispatch(self) -> None:
        with self._cloud.enter(self._scope):
            while not self._stopped.is_set():
                try:
                    self._hand_over()
                except Exception:
                    logger.exception("queue of endpoint %s", self._live.record["EndpointName"])
                    self._stopped.wait(1)  # the queue must not die of one failure

    def _hand_over(self) -> None:
        request = self._next()
        if request is None or self._stopped.is_set():
            return  # a deleted endpoint forgets its requests
        with self._changed:
            self._at_work += 1
        self._workers.submit(self._work, request)

    def _next(self) -> Request | None:
        """Return a request that a process has room for, or that has expired; None after a short wait."""
        with self._changed:
            if not self._waiting:
                self._changed.wait(0.5)
                return None
            now = time.time()
            for request in self._waiting:
                if now - request.received > self._ttl(request):
                    self._waiting.remove(request)
                    return request
            if self._at_work < MOST_WORKERS and self._free():
                return self._waiting.popleft()
            self._changed.wait(POLL_SECONDS)
            return None

    def _ttl(self, request: Request) -> float:
        return self._faults.async_ttl_seconds or request.ttl_seconds

    def _free(self) -> int:
        """Return how many requests fit now, less those handed to workers that have no process yet."""
        fleet = self._live.fleet
        settings = (fleet.config["AsyncInferenceConfig"].get("ClientConfig") or {}) if fleet else {}
        per_instance = settings.get("MaxConcurrentInvocationsPerInstance", DEFAULT_CONCURRENCY)
        variants = fleet.variants.values() if fleet else ()
        capacity = sum(variant.running() * per_instance for variant in variants)
        return max(capacity - self._at_work, 0)

    def _work(self, request: Request) -> None:
        try:
            with self._cloud.enter(self._scope):
                self._handle(request)
        except Exception:
            logger.exception("asynchronous request %s to %s", request.inference_id, request.endpoint)
        finally:
            with self._changed:
                self._at_work -= 1
                self._changed.notify_all()

    def _handle(self, request: Request) -> None:
        """Answer one request in one process, which is busy until its caller has been told."""
        began = time.time()
        variant = next(iter(self._live.fleet.variants.values()))
        name, log = variant.name, variant.data_log()
        values = [Value("TimeInBacklog", _milliseconds(began - request.received), "Milliseconds")]
        with contextlib.ExitStack() as held:
            try:
                self._refuse_expired(request, began, values)
                place = self._lease(held)
                name, log = place.variant.name, place.instance.data_log
                answer = self._answer(place, request, values)
                self._put(request.output_location, answer.body, answer.headers.get("content-type"), values)
            except Failed as failure:
                reason = str(failure)
                values.append(Value("InvocationFailures", 1, "Count"))
                self._report_failure(request, reason, values)
            else:
                reason = None
                values.append(Value("InvocationFailures", 0, "Count"))
                message = completed(self._scope, request, answer, self._includes("SUCCESS"))
                self._notify(request, "SuccessTopic", message)
            values.append(Value("InvocationsProcessed", 1, "Count"))
            total = _milliseconds(time.time() - request.received)
            values.append(Value("TotalProcessingTime", total, "Milliseconds"))
            if log is not None:
                log.write(*(reason or succeeded(values)).splitlines(), inference_id=request.inference_id)
        metering.record(self._cloud, self._scope, values, request.endpoint, name)

    def _refuse_expired(self, request: Request, began: float, values: list[Value]) -> None:
        expired = began - request.received > self._ttl(request)
        values.append(Value("ExpiredRequests", int(expired), "Count"))
        if expired:
            raise Failed(f"The request expired: it waited longer than {self._ttl(request):g} seconds in the queue.")

    def _answer(self, place: Lease, request: Request, values: list[Value]) -> Answer:
        body = self._input(request, values)
        asked = time.monotonic()
        answer = self._send(place, request, body)
        latency = metering.microseconds(time.monotonic() - asked)
        values.append(Value("ModelLatency", latency, "Microseconds"))
        values.extend(v for v in metering.error_values(answer.status) if v.name != "InvocationModelErrors")
        if not 200 <= answer.status < 300:
            raise Failed(received(answer.status, answer.body.decode(errors="replace")))
        return answer

    def _lease(self, held: contextlib.ExitStack) -> Lease:
        """Return a place in a process; waits over updates and while there is none."""
        while not self._stopped.is_set():
            with self._live.lock:
                fleets = list(self._live.fleets)
            try:
                return held.enter_context(fleets[-1][0].choose(None).lease())
            except (Retired, NoInstance):
                time.sleep(POLL_SECONDS)
        raise Failed("The endpoint was deleted before the request was answered.")

    def _send(self, place: Lease, request: Request, body: bytes) -> Answer:
        try:
            return place.instance.container.send(body, request.headers, request.timeout_seconds)
        except TimeoutError:
            return Answer(0, f"no answer within {request.timeout_seconds:g} seconds".encode(), {})
        except (OSError, http.client.HTTPException) as error:
            return Answer(0, f"no answer from the container ({type(error).__name__}: {error})".encode(), {})

    def _input(self, request: Request, values: list[Value]) -> bytes:
        from botocore.exceptions import ClientError

        if request.body is not None:
            return request.body
        began = time.monotonic()
        bucket, key = split_uri(request.input_location)
        try:
            body = self._cloud.client("s3", self._scope).get_object(Bucket=bucket, Key=key)["Body"].read()
        except ClientError as error:
            values.append(Value("RequestDownloadFailures", 1, "Count"))
            raise Failed(f"Failed to download the request from {request.input_location}: {error}") from error
        if len(body) > MOST_BYTES:
            raise Failed(f"The request at {request.input_location} exceeds {MOST_BYTES} bytes.")
        latency = metering.microseconds(time.monotonic() - began)
        values.append(Value("RequestDownloadFailures", 0, "Count"))
        values.append(Value("RequestDownloadLatency", latency, "Microseconds"))
        return body

    def _put(self, location: str, body: bytes, content_type: str | None, values: list[Value]) -> None:
        from botocore.exceptions import ClientError

        began = time.monotonic()
        bucket, key = split_uri(location)
        kind = {"ContentType": content_type} if content_type else {}
        try:
            self._cloud.client("s3", self._scope).put_object(Bucket=bucket, Key=key, Body=body, **kind)
        except ClientError as error:
            values.append(Value("ResponseUploadFailures", 1, "Count"))
            raise Failed(f"Failed to upload the response to {location}: {error}") from error
        latency = metering.microseconds(time.monotonic() - began)
        values.append(Value("ResponseUploadFailures", 0, "Count"))
        values.append(Value("ResponseUploadLatency", latency, "Microseconds"))

    def _report_failure(self, request: Request, reason: str, values: list[Value]) -> None:
        logger.warning("asynchronous request %s to %s: %s", request.inference_id, request.endpoint, reason)
        if request.failure_location:
            try:
                self._put(request.failure_location, reason.encode(), "text/plain", values)
            except Failed as failure:
                logger.error("asynchronous request %s: %s", request.inference_id, failure)
        self._notify(request, "ErrorTopic", failed(self._scope, request, reason, self._includes("ERROR")))

    def _includes(self, what: str) -> bool:
        return f"{what}_NOTIFICATION_TOPIC" in self._notification().get("IncludeInferenceResponseIn", [])

    def _notification(self) -> Mapping[str, Any]:
        output = self._live.fleet.config["AsyncInferenceConfig"]["OutputConfig"]
        return output.get("NotificationConfig") or {}

    def _notify(self, request: Request, topic: str, message: dict) -> None:
        from botocore.exceptions import ClientError

        arn = self._notification().get(topic)
        if not arn:
            return
        failures = 0
        try:
            self._cloud.client("sns", self._scope).publish(TopicArn=arn, Message=json.dumps(message))
        except ClientError:
            logger.exception("notification of asynchronous request %s", request.inference_id)
            failures = 1
        values = [Value("NotificationFailures", failures, "Count")]
        metering.record(self._cloud, self._scope, values, request.endpoint, next(iter(self._live.fleet.variants)))


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


#: CloudWatch unit -> how a line of the data log writes it.
SHORT_UNITS = {"Microseconds": "us", "Milliseconds": "ms"}


def succeeded(values: list[Value]) -> str:
    """Return the data log's line about a request that has a result: how long everything took."""
    times = (f"{v.name}: {v.value} {SHORT_UNITS[v.unit]}" for v in values if v.unit in SHORT_UNITS)
    return f"Inference request succeeded. {', '.join(sorted(times))}"


def received(status: int, message: str) -> str:
    """Return SageMaker's sentence about a model's refusal or failure."""
    side = "client" if 400 <= status < 500 else "server"
    return f'Received {side} error ({status}) from primary with message "{message}"'


def locations(config: Mapping[str, Any], inference_id: str, extension: str | None, filename: str | None):
    """Return where a request's result and its failure will lie: `(output, failure or None)`."""
    output = config["AsyncInferenceConfig"]["OutputConfig"]
    middle = f"{extension.strip('/')}/" if extension else ""
    name = filename or f"{inference_id}.out"
    result = f"{output['S3OutputPath'].rstrip('/')}/{middle}{name}"
    if not output.get("S3FailurePath"):
        return result, None
    return result, f"{output['S3FailurePath'].rstrip('/')}/{middle}{name.removesuffix('.out')}-error.out"


def new_id() -> str:
    return str(uuid.uuid4())


def completed(scope: Scope, request: Request, answer: Answer, with_response: bool) -> dict:
    """Return the message for the success topic."""
    kind = answer.headers.get("content-type", "application/octet-stream")
    parameters = {"contentType": kind, "outputLocation": request.output_location}
    if with_response and len(answer.body) <= MOST_INCLUDED_BYTES:
        parameters["inferenceResponse"] = answer.body.decode(errors="replace")
    return _message(scope, request, "Completed") | {"responseParameters": parameters}


def failed(scope: Scope, request: Request, reason: str, with_response: bool) -> dict:
    """Return the message for the error topic."""
    more = {"responseBody": {"content": reason}} if with_response else {}
    return _message(scope, request, "Failed") | {"failureReason": reason} | more


def _message(scope: Scope, request: Request, status: str) -> dict:
    parameters = {"endpointName": request.endpoint}
    if kind := request.headers.get("Content-Type"):
        parameters["contentType"] = kind
    if request.input_location:
        parameters["inputLocation"] = request.input_location
    return {
        "awsRegion": scope.region,
        "eventTime": _iso(time.time()),
        "receivedTime": _iso(request.received),
        "invocationStatus": status,
        "requestParameters": parameters,
        "inferenceId": request.inference_id,
        "eventVersion": "1.0",
        "eventSource": "aws:sagemaker",
        "eventName": "InferenceResult",
    }


def _iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
