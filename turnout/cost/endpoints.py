"""What answering live costs, by the endpoint's family. `requests` a month reach the model."""

import math
import re
from collections.abc import Callable, Iterator

from turnout.config.capabilities import FamilyName, may_scale, realtime_instances
from turnout.cost.lines import Case, Line
from turnout.cost.requests import FRONT_DOOR_GB, alarms, busy_hours, door, log_storage, logs, metrics, stored
from turnout.cost.workload import DAYS, HOURS

AWAKE_MINUTES = 15  # that an asynchronous endpoint stays up beyond its cool-down: start, and the alarm that ends it
REQUEST_KB, KEPT_DAYS = 0.6, 8  # of an asynchronous request's record in the table
FILE_DAYS = 9  # that payloads and answers lie in the bucket
POLLS = 2  # that fetch one asynchronous answer
VOLUME_GB = 30  # that SageMaker attaches to an instance without disks of its own, where none is asked for
DISKS = re.compile(r"ml\.(g4dn|g5|g6e?|gr6|p4d|p4de|p5|p5e|p5en|trn1|trn1n|[a-z]+[0-9][a-z]*d[a-z]*)\.")
SCALING_ALARMS = "endpoint: alarms that scaling makes"  # by itself, for each policy that follows a metric
MODEL_LOG_KB = 0.3  # that the container writes for a request
PROOF_HOURS = 0.5  # that an endpoint is up beside the one before it, at a deployment


def realtime(case: Case, requests: float) -> Iterator[Line]:
    spec, count = case.spec.realtime, realtime_instances(case.spec, case.stage)
    kind = spec.instance_type
    most = max(count, spec.max_instances) if may_scale(kind) else count
    hours, how = scaled_hours(case, requests, count, most)
    yield case.hours("endpoint: instances", kind, hours, f"{how} {kind}")
    yield from _volumes(case, kind, hours)
    yield from _data(case, requests)
    yield from _waiting(case, requests)
    yield from _watched(case, requests, 3)
    if most > count:
        by_minute = spec.invocations_per_instance is not None
        price = "cloudwatch.alarm" if by_minute else "cloudwatch.alarm_high_res"
        yield alarms(case, SCALING_ALARMS, 2, price)
    how = f"{count} {kind} x {PROOF_HOURS:g} h beside what was before"
    yield case.hours("endpoint: proof", kind, count * PROOF_HOURS, how, "once")


def scaled_hours(case: Case, requests: float, least: int, most: int) -> tuple[float, str]:
    """Return instance hours a month and how they come about: enough at the peak and besides, within the bounds."""
    work, each = case.work, capacity(case)
    share = requests / work.requests if work.requests else 0.0
    parts, hours = [], 0.0
    for time, rate in work.levels():
        wanted = math.ceil(rate * share / each - 1e-9)
        count = min(max(wanted, least), most)
        hours += count * time * HOURS
        if time:
            short = f" (the peak wants {wanted:,})" if wanted > count else ""
            parts.append(f"{count} x {time * HOURS:,.0f} h{short}")
    return hours, " + ".join(parts)


def capacity(case: Case) -> float:
    """Return the requests a second that autoscaling lets one instance have."""
    spec = case.spec.realtime
    if spec.invocations_per_instance is not None:
        return spec.invocations_per_instance / 60
    return spec.concurrent_requests_per_model / max(case.work.model_seconds, 0.001)


def serverless(case: Case, requests: float) -> Iterator[Line]:
    spec, seconds = case.spec.serverless, case.work.model_seconds
    memory, kept = spec.memory_mb, spec.provisioned_concurrency
    wanted = math.ceil(requests / max(case.work.requests, 1) * case.work.peak * seconds - 1e-9)
    short = f" (the peak wants {wanted:,} at once, of {spec.max_concurrency})" if wanted > spec.max_concurrency else ""
    how = f"{requests:,.0f} requests x {seconds:g} s x {memory} MB, cold starts aside{short}"
    yield case.line("endpoint: time", f"sagemaker_serverless.{memory}", requests * seconds, how)
    size = case.work.payload_kb + case.work.answer_kb
    how = f"{requests:,.0f} requests x {size:g} KB, in and out"
    yield case.line("endpoint: data", "sagemaker_serverless.data", requests * size / 1e6, how)
    if kept:
        seconds_kept = kept * HOURS * 3600 * memory / 1024
        how = f"{kept} environments x {HOURS} h x {memory} MB"
        yield case.line("endpoint: kept warm", "sagemaker_serverless.provisioned", seconds_kept, how)
    yield from _waiting(case, requests)
    yield from _watched(case, requests, 4)


def asynchronous(case: Case, requests: float) -> Iterator[Line]:
    kind = case.spec.async_.instance_type
    hours, how = awake_hours(case, requests)
    yield case.hours("endpoint: instances", kind, hours, f"{how} {kind}")
    yield from _volumes(case, kind, hours)
    yield from _data(case, requests)
    yield from door(case, "polls", requests * POLLS)
    yield case.line("table: requests, writes", "dynamodb.write", 2 * requests, f"{requests:,.0f} taken in, and done")
    yield case.line("table: requests, reads", "dynamodb.read", POLLS * requests, f"{POLLS} polls a request")
    size = requests * REQUEST_KB / 1e6 * KEPT_DAYS / DAYS
    yield from stored(
        case, "table: requests", size, f"{requests:,.0f} records of {REQUEST_KB:g} KB for {KEPT_DAYS} days"
    )
    how = f"{requests:,.0f} payloads and answers"
    yield case.line("answers in S3: PUT", "s3.put", 2 * requests, how)
    yield case.line("answers in S3: GET", "s3.get", POLLS * requests, f"{POLLS} a request")
    size = requests * (case.work.payload_kb + case.work.answer_kb) / 1e6 * FILE_DAYS / DAYS
    yield case.line("answers in S3: kept", "s3.storage", size, f"for {FILE_DAYS} days")
    yield case.line("notices", "sns.publish", requests, f"{requests:,.0f} answers")
    yield from _watched(case, requests, 4 + may_scale(kind))
    yield metrics(case, "endpoint: metrics", 1, busy_hours(requests), "Accepted")
    if may_scale(kind):
        yield alarms(case, SCALING_ALARMS, 2)
    yield case.hours("endpoint: proof", kind, PROOF_HOURS, f"1 {kind} x {PROOF_HOURS:g} h", "once")


def awake_hours(case: Case, requests: float) -> tuple[float, str]:
    """Return instance hours a month of an endpoint that rests at none: it is up for each request and a while after it,
    and has at least the work to do. Requests come at random moments and are taken to be worked on at once; where they
    wait for each other, it is up for longer.
    """
    spec = case.spec.async_
    work = requests * case.work.model_seconds / spec.max_concurrent_per_instance / 3600
    most = HOURS * (spec.max_instances if may_scale(spec.instance_type) else 1)
    short = f" (the work wants {work:,.0f} h)" if work > most else ""
    if not may_scale(spec.instance_type):
        return float(HOURS), f"1 x {HOURS} h (cannot rest){short}"
    quiet = AWAKE_MINUTES + spec.scale_in_cooldown.total_seconds() / 60
    seconds = case.work.model_seconds
    up = HOURS * (1 - math.exp(-requests * (quiet * 60 + seconds) / (HOURS * 3600)))
    hours = min(max(up, work), most)
    return hours, f"{hours:,.1f} h{short}, up for each request's {seconds:g} s and {quiet:g} min after it, of"


def _volumes(case: Case, kind: str, hours: float) -> Iterator[Line]:
    if DISKS.match(kind):
        return
    units = VOLUME_GB * hours / HOURS
    how = f"{VOLUME_GB} GB an instance, taken to be billed where none was asked for"
    yield case.line("endpoint: volumes", "sagemaker.endpoint_ml_storage", units, how, confidence="derived")


def _data(case: Case, requests: float) -> Iterator[Line]:
    sizes = {"in": case.work.payload_kb, "out": case.work.answer_kb}
    for way, size in sizes.items():
        how = f"{requests:,.0f} requests x {size:g} KB"
        yield case.line(f"endpoint: data {way}", f"sagemaker.endpoint_data_{way}", requests * size / 1e6, how)


def _waiting(case: Case, requests: float) -> Iterator[Line]:
    """Lambda bills the front door while it waits for the model."""
    seconds = case.work.model_seconds
    how = f"{requests:,.0f} requests x {seconds:g} s x {FRONT_DOOR_GB:g} GB"
    yield case.line("front door: waiting for the model", "lambda.duration_arm", requests * seconds * FRONT_DOOR_GB, how)


def _watched(case: Case, requests: float, count: int) -> Iterator[Line]:
    """Alarms and logs of an endpoint."""
    yield alarms(case, "endpoint: alarms", count)
    yield logs(case, "endpoint: logs", requests * MODEL_LOG_KB, f"{requests:,.0f} requests x {MODEL_LOG_KB:g} KB")
    yield log_storage(case, requests * MODEL_LOG_KB, "endpoint: kept logs")


LIVE: dict[FamilyName, Callable[[Case, float], Iterator[Line]]] = {
    "realtime": realtime,
    "serverless": serverless,
    "async": asynchronous,
}
