"""The one module that knows ministack's inside.

It registers our SageMaker in ministack's process, and replaces module globals where ministack 1.5.33 differs
from AWS in a way that our stacks would notice. No file of ministack is changed. Every name that is used is in
`HOOKS`, and `check_hooks` refuses to start on a version that lacks one: an upgrade is a review of this file.
"""

import asyncio
import contextlib
import importlib
import importlib.metadata
import inspect
import itertools
import json
import logging
import os
import platform
import random
import re
import threading
import time
import traceback
from bisect import bisect_right
from collections.abc import Awaitable, Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar, copy_context
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache, partial
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, SubElement, tostring

from turnout import __version__
from turnout.local import alarms, emf, metric_math, reads, schedules, shifting, streams
from turnout.local.autoscaling.api import Autoscaling
from turnout.local.autoscaling.cloudformation import resource_types as autoscaling_types
from turnout.local.autoscaling.scaler import Scaler
from turnout.local.faults import Faults
from turnout.local.lambda_pool import Pool
from turnout.local.sagemaker import cloudformation, stepfunctions, validation
from turnout.local.sagemaker.errors import ApiError, ModelError, NotEmulated
from turnout.local.sagemaker.hosting.invocations import Stream
from turnout.local.sagemaker.hosting.requests import Request
from turnout.local.sagemaker.ports import Scope
from turnout.local.sagemaker.service import SageMaker

TESTED_VERSION = "1.5.33"
ACCOUNT, REGION = "000000000000", "us-east-1"
JSON = "application/x-amz-json-1.1"
TICK_SECONDS = 1
ALARM_TICKS = 5  # ordinary alarms are looked at every so many ticks, those that scale something at each
SCALING_ACTION = "arn:aws:autoscaling:"
ACTIONS = ("AlarmActions", "OKActions", "InsufficientDataActions")
MOST_INVOCATIONS = 1000  # at a time
MOST_EVENT_BYTES = 6 * 2**20  # "Request must be smaller than 6291456 bytes for the InvokeFunction operation"
MOST_POINTS = 20_000  # of one metric; the older half is forgotten then
SCHEDULE_TICK_SECONDS = 1
END_OF_LOG = "\x1eTURNOUT-END"
LOG_END_WAIT_SECONDS = 1.0
LANE_TICK_SECONDS = 0.1  # how long a shard's thread sleeps at most: it may be switched off meanwhile

#: module of ministack -> names in it that this file reads or replaces ("Class.member" for members), functions with
#: the names of their parameters.
HOOKS = {
    "ministack.app": [
        "app(scope, receive, send)",
        "SERVICE_HANDLERS",
        "SERVICE_REGISTRY",
        "_loaded_modules",
        "_state_map",
        "_lazy_handler(module_name)",
        "_reset_all_state()",
        "pin_request_origin(source_ip, secure_transport)",
    ],
    "ministack.core.router": [
        "SERVICE_PATTERNS",
    ],
    "ministack.core.iam_actions": [
        "SERVICE_TO_IAM_NAMESPACE",
        "_BOTOCORE_SERVICE_MAP",
        "extract_resource_arn(service, method, path, headers, body, query_params, region, account_id)",
    ],
    "ministack.core.responses": [
        "get_account_id()",
        "get_region()",
        "request_scope(account_id, region)",
        "json_response(data, status, content_type)",
        "error_response_json(code, message, status, extra, message_key, content_type)",
        "StreamingResponse",
        "new_uuid()",
    ],
    "ministack.core.arn": [
        "parse_arn(value)",
    ],
    "ministack.core.lambda_runtime": [
        "_PYTHON_WORKER_SCRIPT",
        "_lock",
        "_workers",
        "_worker_key(func_name, config, qualifier)",
        "_worker_class_for(config)",
        "kill_workers(workers)",
        "reset()",
        "acquire_worker(func_name, config, code_zip, qualifier, max_concurrency)",
        "release_worker(worker)",
        "invalidate_worker(func_name, qualifier, account, region)",
        "Worker.invoke(self, event, request_id, trace_id, depth, durable, invoked_function_arn)",
        "Worker._drain_stderr_bounded(self, first_line_wait, idle_confirm, hard_cap)",
    ],
    "ministack.services.lambda_svc": [
        "_functions",
        "_emit_lambda_logs(func, request_id, log_text, error, duration_ms, log_source)",
        "_emit_lambda_metrics(function_name, duration_ms, error, throttle)",
        "_execute_function_warm(func, event, request_id)",
        "_execute_function_with_config_scope(func, event)",
        "acquire_worker(func_name, config, code_zip, qualifier, max_concurrency)",
        "release_worker(worker)",
        "invalidate_worker(func_name, qualifier, account, region)",
        "_apply_filter_criteria(records, esm)",
        "_create_esm(data)",
        "_cross_account_read_blocked(stream_arn, func_rec, func_name)",
        "_dynamodb_stream_positions",
        "_dynamodb_stream_positions_lock",
        "_dynamodb_stream_table_from_arn_spec(spec)",
        "_esms",
        "_execute_function(func, event)",
        "_get_func_record_for_qualifier(name, qualifier)",
        "_init_stream_position(esm_id, source_arn, starting)",
        "_iter_all_esms()",
        "_kinesis_positions",
        "_kinesis_stream_name_from_arn_spec(spec)",
        "_poll_dynamodb_streams()",
        "_poll_kinesis()",
        "_put_provisioned_concurrency(func_name, qualifier, data)",
        "_get_func_record_for_ref(function_ref)",
        "_invoke(name, event, headers, path_qualifier, query_params)",
        "_qualifier_from_path_or_query(path_qualifier, query_params)",
        "_resolve_name_and_qualifier(name_or_arn)",
        "_update_alias(func_name, alias_name, data)",
    ],
    "ministack.services.cloudwatch": [
        "_alarms",
        "_metrics",
        "_calc_stats(points)",
        "_stat_value(stats, stat_name, points)",
        "_dims_key(dims)",
        "_metric_bucket(key)",
        "_evaluate_alarm(alarm)",
        "_evaluate_parent_alarms(child, seen)",
        "_record_history(alarm_name, old_state, new_state, reason, alarm_type, reason_data)",
        "_dispatch_alarm_actions(alarm, old_state, new_state, reason)",
        "_error(code, message, status, use_json, use_cbor)",
        "_put_metric_alarm(params, cbor_data, is_cbor, is_json)",
        "_delete_alarms(params, cbor_data, is_cbor, is_json)",
    ],
    "ministack.services.dynamodb": [
        "_update_ttl(data)",
        "_update_continuous_backups(data)",
        "_tables",
        "_update_table(data)",
        "stream_records_since(table_name, position, limit, account_id, region)",
        "stream_start_position(table_name, account_id, region)",
    ],
    "ministack.services.eventbridge": [
        "_parse_cron_fields(expr)",
        "_cron_next_fire(fields, after_dt)",
        "_invoke_target(target, event, rule, view)",
        "_dispatch_to_sqs(spec, payload, sqs_parameters)",
        "_put_events(data, allow_aws_source)",
    ],
    "ministack.services.scheduler": [
        "_schedules",
        "_tick_schedules()",
        "_SCHEDULE_TICK_INTERVAL",
    ],
    "ministack.services.apigateway": [
        "handle_execute(api_id, stage, path, method, headers, body, query_params, raw_query_string)",
        "find_api_scope(api_id)",
    ],
    "ministack.services.sqs": [
        "_queues",
        "_queue_by_arn(arn)",
        "_receive_messages_for_esm(queue_url, max_number)",
    ],
    "ministack.services.s3": [
        "S3_NS",
        "_put_bucket_encryption(name, body)",
        "_delete_bucket_encryption(name)",
        "_put_bucket_lifecycle(name, body)",
        "_delete_bucket_lifecycle(name)",
        "_put_bucket_tagging(name, body)",
        "_delete_bucket_tagging(name)",
        "_put_bucket_ownership_controls(name, body)",
        "_delete_bucket_ownership_controls(name)",
        "_put_bucket_logging(name, body)",
        "_resolve_sse_write_headers(headers, bucket_name)",
        "_bucket_has_versions(name)",
        "_buckets",
    ],
    "ministack.services.stepfunctions": [
        "_SERVICE_DISPATCH",
        "_AWS_SDK_SERVICE_MAP",
        "_AWS_SDK_ERROR_PREFIX",
        "_ExecutionError",
        "_start_execution(data)",
        "_run_execution(exec_arn)",
        "_fail_execution(execution, error, cause)",
        "_executions",
        "_emit_execution_status_event(execution)",
        "_create_state_machine(data)",
    ],
    "ministack.services.tagging": [
        "_COLLECTORS",
        "_WRITERS",
        "_REMOVERS",
        "_ResourceNotFound",
    ],
    "ministack.services.cloudformation": [
        "_stacks",
        "_ACTION_HANDLERS",
    ],
    "ministack.services.cloudformation.changesets": [
        "_find_change_set(cs_name, stack_name)",
    ],
    "ministack.services.cloudformation.custom_resource": [
        "_HOST",
    ],
    "ministack.services.cloudformation.engine": [
        "_extract_deps(resource_def, all_resource_names)",
        "_intrinsic_references(value)",
        "_parse_template(template_body)",
    ],
    "ministack.services.cloudformation.helpers": [
        "_error(code, message, status)",
        "_p(params, key, default)",
    ],
    "ministack.services.cloudformation.handlers": [
        "_resolve_stack(stack_name)",
    ],
    "ministack.services.cloudformation.stacks": [
        "_runs_on_worker_thread(resource_type)",
    ],
    "ministack.services.cloudformation.provisioners": [
        "_RESOURCE_HANDLERS",
        "_REPLACING_PROPERTIES",
        "_CUSTOM_NAME_REPLACEMENT",
        "_STACK_TAG_PROPERTY",
        "_S3_BUCKET_CONFIGURATIONS",
        "_physical_name(stack_name, logical_id, lowercase, max_len, seeded)",
        "_cfn_bool(value)",
        "_cw_metric_alarm_record(name, props)",
    ],
    "ministack.services.iam": [
        "_roles",
    ],
    "ministack.services.kinesis": [
        "_ensure_base64(value)",
        "_expire_records(stream)",
        "_start_stream_encryption(data)",
        "_stop_stream_encryption(data)",
        "_streams",
    ],
}

#: What the local cloud accepts and does not act on, or does otherwise than AWS: `turnout local status` shows it.
#: Each sentence begins with one of `AREAS`.
IGNORED = (
    "CloudFormation: unknown properties and bad values are accepted; `turnout local doctor` and cfn-lint name them",
    "CloudFormation: stack policies are stored, not enforced; UpdatePolicy moves Lambda aliases only",
    "S3: lifecycle rules and encryption settings are stored, not acted on; no access logs are written",
    "IAM: policies are not enforced (start with AUTH=true to enforce those of Lambda functions)",
    "API Gateway: routes with IAM authorisation need an Authorization header; signatures are not verified",
    "Lambda: memory is not limited; a layer of another account is skipped, this Python's packages serve",
    "Lambda: functions run on this machine's Python, whatever their runtime says",
    "Lambda: a dead-letter queue gets the event in the envelope of a failure destination, as if after three tries",
    "event sources: one batch of a shard at a time (ParallelizationFactor); no tumbling windows",
    "Kinesis: splitting and merging shards drops the records of those that close; another ShardCount changes nothing",
    "DynamoDB: capacity is not limited; stacks set no contributor insights, resource policies, Kinesis destinations",
    "CloudWatch: alarms look at periods back from now, not aligned to the clock; GetMetricData knows no expressions",
    "CloudWatch Logs: logs are kept until the cloud ends, whatever the retention",
    "EventBridge Scheduler: flexible time windows are ignored; a clock that jumps over several occurrences fires one",
    "EventBridge Scheduler: at most three retries, within a second; their maximum age is not looked at",
    "Step Functions: an execution's own TimeoutSeconds is ignored; a task that times out leaves its transform job",
    "Step Functions: the history of a task that waits for a job has no TaskSubmitted",
    "SageMaker: it has models, their registry, batch transform jobs, endpoints and Search; all else is refused by name",
    "SageMaker: multi-model containers, shadow variants and inference components are refused by name",
    "SageMaker: what runs in place of an image is said in docs/containers.md; none is pulled, so none has a digest",
    "SageMaker: whether a model's data exist shows when its container starts, not when the model is created",
    "SageMaker: VPC, keys and instance sizes have no effect; isolation only keeps packages from being installed",
    "endpoints: at most 8 real processes per variant (serverless: 2 on demand); counts and metrics show more",
    "endpoints: an instance is this machine: its memory and disk are what MemoryUtilization and DiskUtilization are of",
    "endpoints: a client that leaves a streamed answer is noticed at the model's next part",
    "endpoints: MaximumExecutionTimeoutInSeconds of a deployment is not enforced",
    "endpoints: rolling deployments go blue/green, in the same steps",
    "endpoints: a stopped or deleted one forgets its queue of asynchronous requests; 16 at most are under way",
    "time: with --time-scale 60 a minute of waiting (scaling, cooldowns, bake times, gauges) passes in a second",
    "time: containers start in their own time, and the time-outs of requests are real",
    "Application Auto Scaling: it scales variants of endpoints only; no predictive policies, no metric maths",
    "Application Auto Scaling: target tracking looks at its metric by itself; its two alarms only show where it stands",
    "CodeDeploy: it shifts Lambda aliases that CloudFormation updates; hooks, servers, own configurations are refused",
    "CodeDeploy: a stack that rolls back after a shift was complete moves the alias back at once",
)
#: What a sentence above begins with -> beginnings of the resource types that it matters to.
AREAS: dict[str, tuple[str, ...]] = {
    "CloudFormation": (),
    "S3": ("AWS::S3::",),
    "IAM": ("AWS::IAM::", "AWS::S3::BucketPolicy", "AWS::SNS::TopicPolicy", "AWS::SQS::QueuePolicy", "AWS::KMS::Key"),
    "API Gateway": ("AWS::ApiGateway",),
    "Lambda": ("AWS::Lambda::Function", "AWS::Lambda::LayerVersion"),
    "event sources": ("AWS::Lambda::EventSourceMapping",),
    "Kinesis": ("AWS::Kinesis::",),
    "DynamoDB": ("AWS::DynamoDB::",),
    "CloudWatch": ("AWS::CloudWatch::",),
    "CloudWatch Logs": ("AWS::Logs::",),
    "EventBridge Scheduler": ("AWS::Scheduler::",),
    "Step Functions": ("AWS::StepFunctions::",),
    "CodeDeploy": ("AWS::CodeDeploy::",),
    "SageMaker": ("AWS::SageMaker::",),
    "endpoints": ("AWS::SageMaker::Endpoint",),
    "time": ("AWS::SageMaker::Endpoint", "AWS::ApplicationAutoScaling::"),
    "Application Auto Scaling": ("AWS::ApplicationAutoScaling::",),
}

logger = logging.getLogger("turnout.local")


class MissingHook(RuntimeError):
    """The installed ministack is not the one that this module was written for."""


class NoSuchSchedule(LookupError):
    """No schedule, or more than one, matches what was asked for."""


def check_hooks(hooks: dict[str, list[str]] = HOOKS) -> None:
    """Raise MissingHook naming every hooked name that the installed ministack lacks or that takes other parameters."""
    wrong = [problem for module, names in hooks.items() for name in names if (problem := _hook_problem(module, name))]
    if wrong:
        version = importlib.metadata.version("ministack")
        raise MissingHook(
            f"ministack {version} is not what the local cloud was written for: {'; '.join(wrong)}. "
            f"It was tested with ministack {TESTED_VERSION}: pip install ministack=={TESTED_VERSION}"
        )


def _hook_problem(module: str, hook: str) -> str | None:
    name, _, parameters = hook.partition("(")
    target: Any = importlib.import_module(module)
    for part in name.split("."):
        target = getattr(target, part, None)
    if target is None:
        return f"{module}.{name} is missing"
    if not parameters:
        return None
    taken = ", ".join(inspect.signature(target).parameters)
    return None if f"{taken})" == parameters else f"{module}.{name} takes ({taken}), not ({parameters}"


def versions() -> dict[str, str]:
    """Return the versions of what a defect report should name."""
    named = {name: importlib.metadata.version(name) for name in ("ministack", "boto3")}
    return {"turnout": __version__, "python": platform.python_version(), **named}


def ignored_here() -> list[str]:
    """Return, one sentence each, what the local cloud does not do as AWS does."""
    return list(IGNORED)


class EmulatorCloud:
    """The neighbours that SageMaker needs, given by ministack (`sagemaker.ports.Cloud`)."""

    def __init__(self, work_dir: Path, log_dir: Path, port: int) -> None:
        self.work_dir, self.log_dir, self._port = work_dir, log_dir, port
        self._clients: dict[tuple[str, Scope], Any] = {}
        self._lock = threading.Lock()

    def scope(self) -> Scope:
        responses = _module("core.responses")
        return Scope(responses.get_account_id(), responses.get_region())

    def enter(self, scope: Scope) -> contextlib.AbstractContextManager[None]:
        return _module("core.responses").request_scope(scope.account, scope.region)

    def endpoint_url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def client(self, service: str, scope: Scope) -> Any:
        import boto3
        from botocore.config import Config

        with self._lock:
            if (service, scope) not in self._clients:
                self._clients[service, scope] = boto3.session.Session().client(
                    service,
                    endpoint_url=self.endpoint_url(),
                    region_name=scope.region,
                    aws_access_key_id=scope.account,
                    aws_secret_access_key="local",
                    config=Config(max_pool_connections=50, s3={"addressing_style": "path"}),
                )
            return self._clients[service, scope]

    def publish_event(self, scope: Scope, detail_type: str, detail: dict, resources: list[str]) -> None:
        entry = {
            "Source": "aws.sagemaker",
            "DetailType": detail_type,
            "Detail": json.dumps(detail),
            "Resources": resources,
        }
        with self.enter(scope):
            _module("services.eventbridge")._put_events({"Entries": [entry]}, allow_aws_source=True)

    def record_metric(
        self, scope: Scope, namespace: str, name: str, value: float, unit: str, dimensions: dict[str, str]
    ) -> None:
        with self.enter(scope):
            _record(namespace, name, value, unit, dimensions)

    def record_metrics(
        self, scope: Scope, namespace: str, values: Iterable[tuple[str, float, str]], dimensions: dict[str, str]
    ) -> None:
        with self.enter(scope):
            for name, value, unit in values:
                _record(namespace, name, value, unit, dimensions)

    def metric_points(self, scope: Scope, namespace: str, name: str, dimensions: dict[str, str]) -> list[dict]:
        """Return a metric's stored values: Timestamp, Value and Count."""
        cloudwatch = _module("services.cloudwatch")
        with self.enter(scope):
            return list(cloudwatch._metrics.get((namespace, name, cloudwatch._dims_key(dimensions))) or [])

    def put_alarm(self, scope: Scope, request: dict[str, Any]) -> None:
        with self.enter(scope):
            _module("services.cloudwatch")._put_metric_alarm({}, request, is_cbor=False, is_json=True)

    def delete_alarms(self, scope: Scope, names: list[str]) -> None:
        with self.enter(scope):
            _module("services.cloudwatch")._delete_alarms({}, {"AlarmNames": names}, is_cbor=False, is_json=True)

    def alarms_of(self, scope: Scope, action: str) -> list[str]:
        known = _module("services.cloudwatch")._alarms
        with self.enter(scope):
            acting = {name: [alarm.get(kind) or () for kind in ACTIONS] for name, alarm in list(known.items())}
        return [name for name, actions in acting.items() if any(action in each for each in actions)]

    def alarm_states(self, scope: Scope, names: list[str]) -> dict[str, str]:
        known = _module("services.cloudwatch")._alarms
        with self.enter(scope):
            return {name: alarm["StateValue"] for name in names if (alarm := known.get(name))}


def install(port: int, work_dir: Path, log_dir: Path, time_scale: float) -> "Emulator":
    """Check the hooks, register SageMaker and apply every fix. Call once, before the server accepts requests."""
    check_hooks()
    cloud, faults = EmulatorCloud(work_dir, log_dir, port), Faults(time_scale=time_scale)
    scaling = Autoscaling(
        cloud,
        capacity=lambda *where: sagemaker.capacity(*where),
        may_be_zero=lambda *where: sagemaker.is_async(*where),
    )
    sagemaker = SageMaker(cloud, faults, scaling.registry.scaled_variants, scaling.registry.forget)
    clock = Clock(cloud.client)
    scaler = Scaler(scaling.registry, sagemaker, cloud.metric_points, faults, _next_cron, clock.now)
    _register_service(
        "sagemaker", ServiceModule(sagemaker), "SageMaker.", [r"api\.sagemaker\.", r"runtime\.sagemaker\."]
    )
    _register_service(
        "application-autoscaling",
        JsonService(scaling),
        "AnyScaleFrontendService.",
        [r"(^|\.)application-autoscaling\."],
    )
    _register_stepfunctions(sagemaker)
    _register_tagging(sagemaker, cloud)
    codedeploy = shifting.Shifting(cloud, faults)
    _register_cloudformation(_own_types(sagemaker, scaling, codedeploy))
    _register_shifting(codedeploy)
    _register_iam()
    _fix_cloudformation()
    _fix_stack_operations()
    _fix_custom_resources()
    _refuse_large_events()
    _fix_s3_managed_key()
    _fix_lambda()
    EventSources(cloud).install()
    _fix_metrics()
    _throttle_tables(faults)
    watch = Alarms(scaler, faults)
    watch.install()
    clock.install()
    threading.Thread(target=watch.run, daemon=True, name="alarm-ticker").start()
    return Emulator(sagemaker, clock, faults)


class Emulator:
    """The running emulator, for the server: its ASGI application and what is ours in it."""

    def __init__(self, sagemaker: SageMaker, clock: "Clock", faults: Faults) -> None:
        self.sagemaker, self.clock, self.faults = sagemaker, clock, faults

    @property
    def application(self) -> Callable:
        return _module("app").app

    def reset(self) -> None:
        """Forget all state of all services."""
        _module("app")._reset_all_state()
        _module("core.lambda_runtime").reset()
        self.clock.reset()
        self.faults.reset()

    def age_metrics(self, metric: str, seconds: float) -> None:
        """Make all values of a metric so far that much older, as if nobody had measured it for a while."""
        for (_, _, (_, name, _)), points in list(_module("services.cloudwatch")._metrics._data.items()):
            if name == metric:
                for point in points:
                    point["Timestamp"] -= seconds

    def counts(self) -> dict[str, int]:
        """Return how many there are, over all accounts and regions."""
        store = self.sagemaker.store
        with _module("core.lambda_runtime")._lock:
            environments = sum(map(len, _module("core.lambda_runtime")._workers.values()))
        return {
            "stacks": len(_module("services.cloudformation")._stacks._data),
            "functions": len(_module("services.lambda_svc")._functions._data),
            "function_environments": environments,
            "models": len(store.items("models")),
            "endpoints": len(store.items("endpoints")),
            "transform_jobs_under_way": sum(
                job["TransformJobStatus"] in ("InProgress", "Stopping") for _, job in store.items("jobs")
            ),
        }

    def stop(self) -> None:
        """End the processes that ministack and SageMaker started."""
        self.sagemaker.stop_all()
        _module("core.lambda_runtime").reset()


def _module(name: str) -> Any:
    return importlib.import_module(f"ministack.{name}")


# SageMaker in ministack


class JsonService:
    """A service of ours as ministack expects one: JSON requests, reset and persistence."""

    def __init__(self, service: Any) -> None:
        self._service = service

    async def handle_request(self, method: str, path: str, headers: dict, body: bytes, query_params: dict) -> tuple:
        responses = _module("core.responses")
        try:
            operation = headers.get("x-amz-target", "").rpartition(".")[2]
            answer = self._service.call(operation, validation.from_wire(body))
            return responses.json_response(answer, content_type=JSON)
        except ApiError as error:
            wire = {"message_key": "Message", "content_type": JSON}  # as both services' error shapes have it
            return responses.error_response_json(error.code, error.message, error.status, **wire)

    def reset(self) -> None:
        self._service.reset()

    def get_state(self) -> dict:
        return self._service.dump()

    def load_persisted_state(self, state: dict) -> None:
        self._service.load(state)


class ServiceModule(JsonService):
    """SageMaker and its runtime, whose requests come as REST and take a thread each: a model may take its time."""

    INVOCATION = re.compile(r"/endpoints/([^/]+)/(invocations|invocations-response-stream|async-invocations)")

    def __init__(self, service: SageMaker) -> None:
        super().__init__(service)
        # Threads are kept for the next request. So many that a model may call other endpoints without a deadlock.
        self._threads = ThreadPoolExecutor(MOST_INVOCATIONS, thread_name_prefix="invoke")
        self._answers = {
            "invocations": self._invoke,
            "invocations-response-stream": self._invoke_stream,
            "async-invocations": self._invoke_async,
        }

    async def handle_request(self, method: str, path: str, headers: dict, body: bytes, query_params: dict) -> tuple:
        if headers.get("x-amz-target"):
            return await super().handle_request(method, path, headers, body, query_params)
        found = self.INVOCATION.fullmatch(path)
        if method != "POST" or found is None:
            return _runtime_error(NotEmulated(f"{method} {path} is not emulated by the local cloud."))
        return await self._in_thread(self._answer, self._answers[found[2]], Request(found[1], body, headers))

    def _in_thread(self, work: Callable, *args: Any) -> Awaitable[Any]:
        return asyncio.get_running_loop().run_in_executor(self._threads, copy_context().run, work, *args)

    @staticmethod
    def _answer(answer: Callable[[Request], tuple], request: Request) -> tuple:
        try:
            status, headers, body = answer(request)
        except ApiError as error:
            status, headers, body = _runtime_error(error)
        # In lower case ministack does not take the model's Content-Type for that of an API's own JSON.
        return status, {name.lower(): value for name, value in headers.items()}, body

    def _invoke(self, request: Request) -> tuple:
        response = self._service.invoke(request)
        return 200, response.headers, response.body

    def _invoke_async(self, request: Request) -> tuple:
        body, headers = self._service.invoke_async(request)
        return 202, {"Content-Type": "application/json", **headers}, body

    def _invoke_stream(self, request: Request) -> tuple:
        stream = self._service.invoke_stream(request)
        return 200, stream.headers, _module("core.responses").StreamingResponse(partial(self._send_stream, stream))

    async def _send_stream(self, stream: Stream, send: Callable, receive: Callable) -> None:
        """Send each part when the model gives it; ends when the model or the client does."""
        gone = asyncio.ensure_future(receive())
        try:
            while not gone.done() and (part := await self._in_thread(next, stream.messages, None)) is not None:
                await send({"type": "http.response.body", "body": part, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            gone.cancel()
            await self._in_thread(stream.close)


def _runtime_error(error: ApiError) -> tuple:
    """Return an error as SageMaker's runtime sends it; one without a name leaves clients with the bare status."""
    body: dict[str, Any] = {"Message": error.message}
    if isinstance(error, ModelError):
        body["OriginalStatusCode"], body["OriginalMessage"] = error.original_status, error.original_message
        body["LogStreamArn"] = error.log_stream_arn
        by_client = 400 <= error.original_status < 500
        body["ErrorCode"] = "CLIENT_ERROR_FROM_MODEL" if by_client else "INTERNAL_FAILURE_FROM_MODEL"
    headers = {"Content-Type": "application/json"} | ({"x-amzn-ErrorType": error.code} if error.code else {})
    return error.status, headers, json.dumps(body).encode()


def _register_service(name: str, module: JsonService, target_prefix: str, hosts: list[str]) -> None:
    app = _module("app")
    app._loaded_modules[name] = module
    app.SERVICE_REGISTRY[name] = {"module": name}
    app._state_map[name] = name
    app.SERVICE_HANDLERS[name] = app._lazy_handler(name)
    _module("core.router").SERVICE_PATTERNS[name] = {"target_prefixes": [target_prefix], "host_patterns": hosts}


def _register_stepfunctions(sagemaker: SageMaker) -> None:
    sfn = _module("services.stepfunctions")
    current: ContextVar[str] = ContextVar("execution", default="")
    execute, fail = sfn._run_execution, sfn._fail_execution

    def fail_if_running(execution: dict, error: str, cause: str) -> None:
        if execution["status"] == "RUNNING":  # what was aborted stays aborted when its task then fails
            fail(execution, error, cause)

    def execute_remembered(execution_arn: str) -> None:
        current.set(execution_arn)  # the thread has a context of its own, which Map and Parallel copy
        execute(execution_arn)

    def aborted() -> bool:
        return (sfn._executions.get(current.get()) or {}).get("status") == "ABORTED"

    def task(work: Callable[..., dict], *more: Any) -> Callable[[str, dict], dict]:
        def run(resource: str, parameters: dict) -> dict:
            try:
                return work(sagemaker, resource, parameters, *more)
            except stepfunctions.TaskFailed as failure:
                raise sfn._ExecutionError(failure.error, failure.cause) from failure

        return run

    create = sfn._create_state_machine

    def create_if_fit(data: dict) -> tuple:
        problem = stepfunctions.unfit_for_express(data.get("definition", "")) if data.get("type") == "EXPRESS" else None
        return error("InvalidDefinition", problem, 400) if problem else create(data)

    error = _module("core.responses").error_response_json
    sfn._create_state_machine = create_if_fit
    sfn._run_execution, sfn._fail_execution = execute_remembered, fail_if_running
    sfn._SERVICE_DISPATCH[stepfunctions.PREFIX] = task(stepfunctions.run, aborted)
    sfn._SERVICE_DISPATCH[stepfunctions.INVOKE] = task(stepfunctions.invoke)
    sfn._AWS_SDK_SERVICE_MAP["sagemaker"] = {"target_prefix": "SageMaker", "protocol": "json"}
    sfn._AWS_SDK_ERROR_PREFIX["sagemaker"] = "SageMaker"


def _register_tagging(sagemaker: SageMaker, cloud: EmulatorCloud) -> None:
    """Let the Resource Groups Tagging API see and change the tags of SageMaker's resources."""
    tagging = _module("services.tagging")

    def change(operation: str, arn: str, **members: Any) -> None:
        try:
            sagemaker.call(operation, {"ResourceArn": arn, **members})
        except ApiError as error:
            raise tagging._ResourceNotFound(arn) from error

    tagging._COLLECTORS["sagemaker"] = lambda: sagemaker.store.tagged(cloud.scope())
    tagging._WRITERS["sagemaker"] = lambda spec, arn, tags: change(
        "AddTags", arn, Tags=[{"Key": key, "Value": value} for key, value in tags.items()]
    )
    tagging._REMOVERS["sagemaker"] = lambda spec, arn, keys: change("DeleteTags", arn, TagKeys=list(keys))


def _register_cloudformation(types: dict[str, cloudformation.ResourceType]) -> None:
    provisioners, stacks = (_module(f"services.cloudformation.{name}") for name in ("provisioners", "stacks"))
    for name, kind in types.items():
        provisioners._RESOURCE_HANDLERS[name] = _type_handlers(kind, provisioners)
        provisioners._REPLACING_PROPERTIES[name] = kind.create_only
        if kind.tagged:
            provisioners._STACK_TAG_PROPERTY[name] = ("Tags", "list")
        if kind.name_property:
            provisioners._CUSTOM_NAME_REPLACEMENT[name] = {"name": kind.name_property}
    blocks, ours = stacks._runs_on_worker_thread, {name for name, kind in types.items() if kind.blocks}
    stacks._runs_on_worker_thread = lambda name: name in ours or blocks(name)


def _own_types(sagemaker: Any, scaling: Any, codedeploy: shifting.Shifting) -> dict[str, cloudformation.ResourceType]:
    """Return the resource types that are this package's own."""
    own = (cloudformation.resource_types(sagemaker), autoscaling_types(scaling), shifting.resource_types(codedeploy))
    return {name: kind for types in own for name, kind in types.items()}


def known_types() -> frozenset[str]:
    """Return the names of the resource types that the local cloud has; nothing need run for it."""
    return frozenset({*_module("services.cloudformation.provisioners")._RESOURCE_HANDLERS, *own_types()})


def own_types() -> frozenset[str]:
    """Return those of them that are this package's own: their properties are requests to its services."""
    return frozenset(_own_types(None, None, shifting.Shifting(None, None)))


@lru_cache
def reads_of_type(name: str) -> reads.Reads:
    """Return what is read of the properties of one of ministack's types, by it and by what is added here."""
    create = _module("services.cloudformation.provisioners")._RESOURCE_HANDLERS[name]["create"]
    found = reads.reads_of(create, list(inspect.signature(create).parameters)[1])
    if extras := _property_extras().get(name):
        found.add(reads.reads_of(extras, "properties"))
    if name == "AWS::S3::Bucket":
        for member, to_xml, _, _ in _bucket_configurations():
            found.seen.add((member,))
            found.add(reads.reads_of(to_xml, next(iter(inspect.signature(to_xml).parameters)), (member,)))
    return found


def parse_template(text: str) -> dict[str, Any]:
    """Return a CloudFormation template from JSON or YAML with its short forms. Raises ValueError."""
    return _module("services.cloudformation.engine")._parse_template(text)


def _type_handlers(kind: cloudformation.ResourceType, provisioners: Any) -> dict[str, Any]:
    def create(logical_id: str, properties: dict, stack: str) -> tuple[str, dict]:
        return kind.create(provisioners._physical_name(stack, logical_id, max_len=63), properties)

    def update(identifier: str, old: dict, new: dict, stack: str) -> tuple[str, dict]:
        return kind.update(identifier, old, new)

    def delete(identifier: str, properties: dict) -> None:
        kind.delete(identifier)

    return {"create": create, "update": update, "delete": delete}


# CodeDeploy: aliases that move step by step


def _register_shifting(codedeploy: shifting.Shifting) -> None:
    """Have an alias with an UpdatePolicy move step by step when its version changes, and its weights be obeyed."""
    _register_service("codedeploy", JsonService(codedeploy), "CodeDeploy_20141006.", [r"(^|\.)codedeploy\."])
    provisioners, stacks = (_module(f"services.cloudformation.{name}") for name in ("provisioners", "stacks"))
    alias = provisioners._RESOURCE_HANDLERS["AWS::Lambda::Alias"]
    update, blocks = alias["update"], stacks._runs_on_worker_thread

    def update_step_by_step(identifier: str, old: dict, new: dict, stack_name: str, logical_id: str) -> tuple:
        stack = _module("services.cloudformation")._stacks.get(stack_name) or {}
        same_alias = all(old.get(member) == new.get(member) for member in ("FunctionName", "Name"))
        moves = same_alias and old.get("FunctionVersion") != new.get("FunctionVersion")
        if moves and stack.get("StackStatus") == "UPDATE_IN_PROGRESS" and (policy := _shift_policy(stack, logical_id)):
            cancelled = lambda: bool(stack.get("_cancel_requested"))  # noqa: E731
            codedeploy.shift(policy, partial(_weigh, new, old["FunctionVersion"]), cancelled)
        return update(identifier, old, new, stack_name, logical_id)

    alias["update"] = update_step_by_step
    stacks._runs_on_worker_thread = lambda name: name == "AWS::Lambda::Alias" or blocks(name)
    _heed_update_policies()
    _heed_weights()


def _shift_policy(stack: dict, logical_id: str) -> dict[str, str] | None:
    template = _module("services.cloudformation.engine")._parse_template(stack["_template_body"])
    return shifting.policy_of(template["Resources"][logical_id], stack["_resources"])


def _weigh(alias: dict, old_version: str, share: float) -> None:
    """Send `share` of the requests to the alias's new version; all of them: the alias moves."""
    version = str(alias["FunctionVersion"])
    change: dict[str, Any] = {"FunctionVersion": old_version, "RoutingConfig": {}}
    if share >= 1:
        change["FunctionVersion"] = version
    elif share > 0:
        change["RoutingConfig"] = {"AdditionalVersionWeights": {version: share}}
    service = _module("services.lambda_svc")
    name, _ = service._resolve_name_and_qualifier(alias["FunctionName"])
    status, _, body = service._update_alias(name, alias["Name"], change)
    if status >= 400:
        raise cloudformation.ResourceFailed(f"the alias cannot be moved: {body.decode(errors='replace')}")


def _heed_update_policies() -> None:
    """Let what an UpdatePolicy refers to be there before its resource, as CloudFormation does."""
    engine = _module("services.cloudformation.engine")
    depends = engine._extract_deps

    def depends_with_policy(resource: dict, names: set) -> set:
        policy = engine._intrinsic_references(resource.get("UpdatePolicy") or {})
        return depends(resource, names) | {name for name, _ in policy if name in names}

    engine._extract_deps = depends_with_policy


def _heed_weights() -> None:
    """Choose a version for each request to an alias by its weights.

    A function called by Invoke, rather than by the API, is then told the version's ARN instead of the alias's.
    """
    service = _module("services.lambda_svc")
    resolve, invoke = service._get_func_record_for_ref, service._invoke

    def chosen(name: str, qualifier: str | None) -> str | None:
        alias = ((service._functions.get(name) or {}).get("aliases") or {}).get(qualifier)
        return shifting.version_for(alias, random.random()) if alias else None

    def resolve_by_weight(reference: str) -> tuple:
        name, qualifier = service._resolve_name_and_qualifier(reference)
        version = chosen(name, qualifier)
        return resolve(f"{reference.removesuffix(qualifier)}{version}" if version else reference)

    async def invoke_by_weight(
        name: str, event: Any, headers: dict, path_qualifier: str | None = None, query_params: dict | None = None
    ) -> tuple:
        version = chosen(name, service._qualifier_from_path_or_query(path_qualifier, query_params))
        return await invoke(name, event, headers, version or path_qualifier, query_params)

    service._get_func_record_for_ref, service._invoke = resolve_by_weight, invoke_by_weight


def _register_iam() -> None:
    """Let AUTH=true name SageMaker's actions and resources, and count plain HTTP on loopback as secure transport."""
    app, actions = _module("app"), _module("core.iam_actions")
    actions.SERVICE_TO_IAM_NAMESPACE["sagemaker"] = "sagemaker"
    actions._BOTOCORE_SERVICE_MAP["sagemaker"] = ["sagemaker-runtime"]
    arn_of, pin = actions.extract_resource_arn, app.pin_request_origin

    def extract(service, method, path, headers, body, query_params, region, account_id) -> str:
        if service != "sagemaker":
            return arn_of(service, method, path, headers, body, query_params, region, account_id)
        return _sagemaker_arn(Scope(account_id, region), path, body)

    actions.extract_resource_arn = extract
    app.pin_request_origin = lambda address, secure: pin(address, True)


def _sagemaker_arn(scope: Scope, path: str, body: bytes) -> str:
    if found := ServiceModule.INVOCATION.fullmatch(path):
        return scope.arn("endpoint", found[1])
    try:
        request = validation.from_wire(body)
    except ApiError:
        return "*"
    for member, kind in (
        ("TransformJobName", "transform-job"),
        ("ModelName", "model"),
        ("EndpointName", "endpoint"),
        ("EndpointConfigName", "endpoint-config"),
        ("ModelPackageName", "model-package"),
        ("ModelPackageGroupName", "model-package-group"),
    ):
        if name := request.get(member):
            return name if str(name).startswith("arn:") else scope.arn(kind, str(name))
    return request.get("ResourceArn") or request.get("ModelPackageArn") or "*"


# CloudFormation properties that ministack drops


def _fix_cloudformation() -> None:
    provisioners = _module("services.cloudformation.provisioners")
    for name, extras in _property_extras().items():
        _wrap_type(provisioners._RESOURCE_HANDLERS[name], extras)
    provisioners._S3_BUCKET_CONFIGURATIONS = (*provisioners._S3_BUCKET_CONFIGURATIONS, *_bucket_configurations())
    replacing = provisioners._REPLACING_PROPERTIES
    replacing["AWS::DynamoDB::Table"] = (
        *replacing["AWS::DynamoDB::Table"],
        "KeySchema",
        "LocalSecondaryIndexes",
    )
    _keep_full_buckets(provisioners._RESOURCE_HANDLERS["AWS::S3::Bucket"])


def _property_extras() -> dict[str, Callable[[str, dict], None]]:
    """Return, by type, what is done with properties that ministack drops, after a create or an update."""
    return {
        "AWS::DynamoDB::Table": _table_extras,
        "AWS::Scheduler::Schedule": _schedule_extras,
        "AWS::Lambda::Function": _function_extras,
        "AWS::Lambda::Version": _version_extras,
        "AWS::Lambda::EventSourceMapping": _mapping_extras,
        "AWS::IAM::Role": _role_extras,
        "AWS::Kinesis::Stream": _stream_extras,
    }


def _bucket_configurations() -> tuple[tuple[str, Callable[[Any], bytes], Callable, Callable], ...]:
    """Return further properties of buckets: name, the API's XML for it, how to put it and how to delete it."""
    s3 = _module("services.s3")
    return (
        ("BucketEncryption", _encryption_xml, s3._put_bucket_encryption, s3._delete_bucket_encryption),
        ("LifecycleConfiguration", _lifecycle_xml, s3._put_bucket_lifecycle, s3._delete_bucket_lifecycle),
        ("Tags", _tags_xml, s3._put_bucket_tagging, s3._delete_bucket_tagging),
        ("OwnershipControls", _ownership_xml, s3._put_bucket_ownership_controls, s3._delete_bucket_ownership_controls),
        ("LoggingConfiguration", _logging_xml, s3._put_bucket_logging, partial(_stop_logging, s3)),
    )


def _keep_full_buckets(handlers: dict[str, Any]) -> None:
    """Let a stack fail to delete a bucket that holds anything, as CloudFormation does."""
    delete = handlers["delete"]

    def delete_if_empty(name: str, properties: dict) -> None:
        s3 = _module("services.s3")
        if (s3._buckets.get(name) or {}).get("objects") or s3._bucket_has_versions(name):
            code = "Service: S3, Status Code: 409, Error Code: BucketNotEmpty"
            raise ValueError(f"The bucket you tried to delete is not empty ({code})")
        delete(name, properties)

    handlers["delete"] = delete_if_empty


def _fix_stack_operations() -> None:
    """Refuse to change a stack while a change of it is under way: two deployments at once would mix."""
    actions, helpers = _module("services.cloudformation")._ACTION_HANDLERS, _module("services.cloudformation.helpers")

    def guard(action: str, find: Callable[[dict], dict | None], states: tuple[str, ...]) -> None:
        act = actions[action]

        def act_at_rest(params: dict) -> tuple:
            stack = find(params) or {}
            status = stack.get("StackStatus", "")
            if status.endswith("_IN_PROGRESS") and status.startswith(states):
                words = f"Stack:{stack['StackId']} is in {status} state and can not be updated."
                return helpers._error("ValidationError", words)
            return act(params)

        actions[action] = act_at_rest

    guard("CreateChangeSet", _stack_of_request, ("CREATE", "UPDATE", "ROLLBACK", "DELETE", "IMPORT"))
    guard("ExecuteChangeSet", _stack_of_change_set, ("CREATE", "UPDATE", "ROLLBACK", "DELETE", "IMPORT"))
    guard("DeleteStack", _stack_of_request, ("UPDATE", "ROLLBACK"))


def _stack_of_request(params: dict) -> dict | None:
    name = _module("services.cloudformation.helpers")._p(params, "StackName")
    return _module("services.cloudformation.handlers")._resolve_stack(name) if name else None


def _stack_of_change_set(params: dict) -> dict | None:
    read = _module("services.cloudformation.helpers")._p
    find = _module("services.cloudformation.changesets")._find_change_set
    _, change_set = find(read(params, "ChangeSetName"), read(params, "StackName"))
    return _module("services.cloudformation")._stacks.get(change_set["StackName"]) if change_set else None


def _fix_custom_resources() -> None:
    """Have a custom resource's function called again when it fails: CloudFormation invokes it asynchronously."""
    _module("services.cloudformation.custom_resource")._HOST = "127.0.0.1"
    service = _module("services.lambda_svc")
    execute = service._execute_function_with_config_scope

    def execute_with_retries(function: dict, event: Any) -> dict:
        outcome = execute(function, event)
        asked = isinstance(event, dict) and "/cfn-response/" in str(event.get("ResponseURL"))
        for pause in ASYNC_RETRY_SECONDS if asked else ():
            if not outcome.get("error"):
                break
            logger.warning("custom resource %s: %s; again", event["LogicalResourceId"], outcome.get("body"))
            time.sleep(pause)
            outcome = execute(function, event)
        return outcome

    service._execute_function_with_config_scope = execute_with_retries


def _refuse_large_events() -> None:
    """Have an HTTP API answer 413 where Lambda would not take the event that it makes of a request.

    The words are those that a REST API was seen to answer with (github.com/koki-develop/lgtm-generator, issue 10);
    nobody has published an HTTP API's. That the event's JSON is UTF-8 without escapes is an assumption, too.
    """
    service = _module("services.lambda_svc")
    execute = service._execute_function_with_config_scope

    def execute_unless_large(function: dict, event: Any) -> dict:
        made_by_http_api = isinstance(event, dict) and event.get("version") == "2.0" and "routeKey" in event
        if made_by_http_api and len(json.dumps(event, ensure_ascii=False).encode()) > MOST_EVENT_BYTES:
            return {"body": TOO_LONG}
        return execute(function, event)

    service._execute_function_with_config_scope = execute_unless_large


TOO_LONG = {
    "statusCode": 413,
    "headers": {"Content-Type": "application/json"},
    "body": json.dumps({"message": "Request Too Long"}),
}


def _throttle_tables(faults: Faults) -> None:
    """Refuse writes to the tables that `faults` names, as DynamoDB does when a table's capacity is used up."""
    handlers = _module("app").SERVICE_HANDLERS
    handle, refuse = handlers["dynamodb"], _module("core.responses").error_response_json

    async def handle_unless_throttled(method: str, path: str, headers: dict, body: bytes, query_params: dict) -> tuple:
        operation = headers.get("x-amz-target", "").rpartition(".")[2]
        if operation in WRITES and any(faults.throttles(table) for table in WRITES[operation](json.loads(body))):
            return refuse("ProvisionedThroughputExceededException", THROTTLED, 400)
        return await handle(method, path, headers, body, query_params)

    handlers["dynamodb"] = handle_unless_throttled


THROTTLED = (
    "The level of configured provisioned throughput for the table was exceeded. "
    "Consider increasing your provisioning level with the UpdateTable API."
)
ASYNC_RETRY_SECONDS = (1.0, 2.0)  # on AWS a minute, then two


def _own_table(request: dict) -> list[str]:
    return [request.get("TableName", "")]


#: DynamoDB's writing operations and how each names its tables.
WRITES: dict[str, Callable[[dict], list[str]]] = {
    "PutItem": _own_table,
    "UpdateItem": _own_table,
    "DeleteItem": _own_table,
    "BatchWriteItem": lambda request: list(request.get("RequestItems", {})),
    "TransactWriteItems": lambda request: [
        part.get("TableName", "") for item in request.get("TransactItems", []) for part in item.values()
    ],
}


def _fix_s3_managed_key() -> None:
    """Let a write say `aws:kms` without a key, as the CDK CLI does: AWS then takes the account's own S3 key."""
    s3 = _module("services.s3")
    resolve = s3._resolve_sse_write_headers
    key_header = "x-amz-server-side-encryption-aws-kms-key-id"

    def resolve_with_managed_key(headers: dict, bucket_name: str) -> tuple[dict | None, Any]:
        if headers.get("x-amz-server-side-encryption") == "aws:kms" and not headers.get(key_header):
            headers = {**headers, key_header: "alias/aws/s3"}
        return resolve(headers, bucket_name)

    s3._resolve_sse_write_headers = resolve_with_managed_key


def _wrap_type(handlers: dict[str, Any], extras: Callable[[str, dict], None]) -> None:
    """Run `extras(name, properties)` after a type's create and update."""
    create, update = handlers["create"], handlers["update"]

    def create_and_more(logical_id: str, properties: dict, stack: str) -> tuple[str, dict]:
        result = create(logical_id, properties, stack)
        extras(result[0], properties)
        return result

    def update_and_more(identifier: str, old: dict, new: dict, *rest: Any) -> tuple[str, dict]:
        result = update(identifier, old, new, *rest)
        extras(result[0], new)
        return result

    handlers["create"], handlers["update"] = create_and_more, update_and_more


def _table_extras(name: str, properties: dict) -> None:
    dynamodb, true = _module("services.dynamodb"), _module("services.cloudformation.provisioners")._cfn_bool
    if ttl := properties.get("TimeToLiveSpecification"):
        specification = {"Enabled": true(ttl.get("Enabled")), "AttributeName": ttl.get("AttributeName")}
        dynamodb._update_ttl({"TableName": name, "TimeToLiveSpecification": specification})
    if recovery := properties.get("PointInTimeRecoverySpecification"):
        specification = {"PointInTimeRecoveryEnabled": true(recovery.get("PointInTimeRecoveryEnabled"))}
        dynamodb._update_continuous_backups({"TableName": name, "PointInTimeRecoverySpecification": specification})
    changes = {member: properties[member] for member in ("TableClass", "OnDemandThroughput") if member in properties}
    if encryption := properties.get("SSESpecification"):
        named = {member: encryption[member] for member in ("SSEType", "KMSMasterKeyId") if member in encryption}
        changes["SSESpecification"] = {"Enabled": true(encryption.get("SSEEnabled")), **named}
    if changes:
        _accepted(dynamodb._update_table({"TableName": name, **changes}))


def _accepted(response: tuple) -> None:
    """Fail the resource when a service refused what its property says."""
    status, _, body = response
    if status >= 400:
        raise cloudformation.ResourceFailed(body.decode(errors="replace"))


def _schedule_extras(name: str, properties: dict) -> None:
    record = _module("services.scheduler")._schedules.get(f"{properties.get('GroupName', 'default')}/{name}")
    for member in ("ScheduleExpressionTimezone", "StartDate", "EndDate", "KmsKeyArn"):
        if record is not None and member in properties:
            record[member] = properties[member]
        elif record is not None:
            record.pop(member, None)


def _function_extras(name: str, properties: dict) -> None:
    function = _module("services.lambda_svc")._functions.get(name)
    if function is None:
        return
    reserved = properties.get("ReservedConcurrentExecutions")
    function["concurrency"] = None if reserved is None else int(reserved)
    if letters := properties.get("DeadLetterConfig"):
        function["config"]["DeadLetterConfig"] = letters
    else:
        function["config"].pop("DeadLetterConfig", None)


def _version_extras(arn: str, properties: dict) -> None:
    if provisioned := properties.get("ProvisionedConcurrencyConfig"):
        name, version = arn.split(":")[-2:]
        request = {"ProvisionedConcurrentExecutions": int(provisioned.get("ProvisionedConcurrentExecutions", 0))}
        _accepted(_module("services.lambda_svc")._put_provisioned_concurrency(name, version, request))


def _role_extras(name: str, properties: dict) -> None:
    _module("services.iam")._roles[name]["PermissionsBoundary"] = properties.get("PermissionsBoundary")


def _stream_extras(name: str, properties: dict) -> None:
    kinesis = _module("services.kinesis")
    if encryption := properties.get("StreamEncryption"):
        request = {"EncryptionType": encryption.get("EncryptionType"), "KeyId": encryption.get("KeyId")}
        _accepted(kinesis._start_stream_encryption({"StreamName": name, **request}))
    else:
        _accepted(kinesis._stop_stream_encryption({"StreamName": name}))


def _encryption_xml(encryption: dict) -> bytes:
    root = Element("ServerSideEncryptionConfiguration", xmlns=_module("services.s3").S3_NS)
    for rule in encryption.get("ServerSideEncryptionConfiguration", []):
        default = rule.get("ServerSideEncryptionByDefault", {})
        element = SubElement(SubElement(root, "Rule"), "ApplyServerSideEncryptionByDefault")
        SubElement(element, "SSEAlgorithm").text = default.get("SSEAlgorithm")
        if default.get("KMSMasterKeyID"):
            SubElement(element, "KMSMasterKeyID").text = default["KMSMasterKeyID"]
    return tostring(root)


def _tags_xml(tags: list) -> bytes:
    root = Element("Tagging", xmlns=_module("services.s3").S3_NS)
    tag_set = SubElement(root, "TagSet")
    for tag in tags:
        element = SubElement(tag_set, "Tag")
        SubElement(element, "Key").text, SubElement(element, "Value").text = str(tag["Key"]), str(tag["Value"])
    return tostring(root)


def _ownership_xml(controls: dict) -> bytes:
    root = Element("OwnershipControls", xmlns=_module("services.s3").S3_NS)
    for rule in controls.get("Rules", []):
        SubElement(SubElement(root, "Rule"), "ObjectOwnership").text = rule.get("ObjectOwnership")
    return tostring(root)


def _logging_xml(logging_configuration: dict) -> bytes:
    root = Element("BucketLoggingStatus", xmlns=_module("services.s3").S3_NS)
    if bucket := logging_configuration.get("DestinationBucketName"):
        enabled = SubElement(root, "LoggingEnabled")
        SubElement(enabled, "TargetBucket").text = bucket
        SubElement(enabled, "TargetPrefix").text = logging_configuration.get("LogFilePrefix", "")
    return tostring(root)


def _stop_logging(s3: Any, name: str) -> tuple:
    return s3._put_bucket_logging(name, _logging_xml({}))


def _lifecycle_xml(lifecycle: dict) -> bytes:
    root = Element("LifecycleConfiguration", xmlns=_module("services.s3").S3_NS)
    for rule in lifecycle.get("Rules", []):
        element = SubElement(root, "Rule")
        if rule.get("Id"):
            SubElement(element, "ID").text = rule["Id"]
        SubElement(element, "Status").text = rule.get("Status", "Enabled")
        SubElement(SubElement(element, "Filter"), "Prefix").text = rule.get("Prefix", "")
        for member, parent, child in (
            ("ExpirationInDays", "Expiration", "Days"),
            ("NoncurrentVersionExpirationInDays", "NoncurrentVersionExpiration", "NoncurrentDays"),
        ):
            if member in rule:
                SubElement(SubElement(element, parent), child).text = str(rule[member])
        if days := (rule.get("AbortIncompleteMultipartUpload") or {}).get("DaysAfterInitiation"):
            abort = SubElement(element, "AbortIncompleteMultipartUpload")
            SubElement(abort, "DaysAfterInitiation").text = str(days)
        if days := (rule.get("NoncurrentVersionExpiration") or {}).get("NoncurrentDays"):
            SubElement(SubElement(element, "NoncurrentVersionExpiration"), "NoncurrentDays").text = str(days)
    return tostring(root)


# Lambda: a bounded pool, logs without waiting, errors by their own names


def _fix_lambda() -> None:
    runtime, service = _module("core.lambda_runtime"), _module("services.lambda_svc")
    limit = max(4, 2 * (os.cpu_count() or 2))
    pool = Pool(runtime._workers, runtime._lock, partial(_in_background, runtime.kill_workers), limit)

    def acquire(func_name, config, code_zip, qualifier="$LATEST", max_concurrency=None):
        key = runtime._worker_key(func_name, config, qualifier)
        create = lambda: runtime._worker_class_for(config)(func_name, config, code_zip)  # noqa: E731
        return pool.acquire(key, create, max_concurrency)

    def invalidate(func_name, qualifier=None, account=None, region=None):
        wanted = (account, region, func_name, qualifier)
        pool.retire(lambda key: all(w is None or w == k for w, k in zip(wanted, key.split(":"), strict=False)))

    for name, function in (
        ("acquire_worker", acquire),
        ("release_worker", pool.release),
        ("invalidate_worker", invalidate),
    ):
        setattr(runtime, name, function)
        setattr(service, name, function)
    _mark_end_of_log(runtime)
    _name_errors(runtime, service)
    _publish_function_metrics(service)


def _in_background(work: Callable, *args: Any) -> None:
    """Do something that may take seconds apart from the event loop, which serves every request meanwhile."""
    threading.Thread(target=work, args=args, daemon=True, name="end-environments").start()


def _mark_end_of_log(runtime: Any) -> None:
    """Have the worker end each invocation's log with a mark, so that reading it needs no waiting in the dark."""
    end = "        _real_stdout.flush()\n\nrun()"
    trace = '"trace": traceback.format_exc()})'
    script = runtime._PYTHON_WORKER_SCRIPT
    if script.count(end) != 1 or script.count(trace) != 1:
        raise MissingHook(f"ministack's Lambda worker script has changed; tested with ministack {TESTED_VERSION}")
    mark = f'        sys.stderr.write("{END_OF_LOG}\\n")\n        sys.stderr.flush()\n'
    script = script.replace(trace, trace.replace("})", ', "error_type": type(e).__name__})'))
    runtime._PYTHON_WORKER_SCRIPT = script.replace(end, mark + end)
    plain = runtime.Worker._drain_stderr_bounded

    def drain(worker, *_: float) -> str:
        if not str(worker.config.get("Runtime", "")).startswith("python"):
            return plain(worker, 0.0, 0.005, 0.25)
        return "\n".join(_lines_until_mark(worker._stderr_queue))

    runtime.Worker._drain_stderr_bounded = drain


def _lines_until_mark(lines: Any) -> Iterator[str]:
    import queue

    deadline = time.monotonic() + LOG_END_WAIT_SECONDS
    while (left := deadline - time.monotonic()) > 0:
        try:
            line = lines.get(timeout=left)
        except queue.Empty:
            return
        if line == END_OF_LOG:
            return
        yield line


def _name_errors(runtime: Any, service: Any) -> None:
    """Answer a failed function with its exception's class name, which Retry and Catch of a state machine name."""
    last = threading.local()
    invoke, execute = runtime.Worker.invoke, service._execute_function_warm

    def remembering(worker, *args, **kwargs):
        last.result = invoke(worker, *args, **kwargs)
        return last.result

    def named(func: dict, event: Any, request_id: str) -> dict:
        last.result = {}
        outcome = execute(func, event, request_id)
        if last.result.get("error") == "Worker process died":
            outcome["body"] = {
                "errorType": "Runtime.ExitError",
                "errorMessage": f"RequestId: {request_id} Error: Runtime exited without providing a reason",
            }
        if outcome.get("error") and last.result.get("error_type"):
            outcome["body"]["errorType"] = last.result["error_type"]
            outcome["body"]["requestId"] = request_id
            outcome["body"]["stackTrace"] = last.result.get("trace", "").splitlines(keepends=True)[1:-1]
        return outcome

    runtime.Worker.invoke, service._execute_function_warm = remembering, named


def _publish_function_metrics(service: Any) -> None:
    """Count every invocation, whoever makes it, and publish the metrics that functions write to their logs."""
    write, count = service._emit_lambda_logs, service._emit_lambda_metrics

    def write_and_publish(func: dict, request_id: str, log_text: str, error: bool, duration_ms: int, **more) -> None:
        write(func, request_id, log_text, error, duration_ms, **more)
        where = {"FunctionName": (func.get("config") or func).get("FunctionName", "")}
        _record("AWS/Lambda", "Invocations", 1, "Count", where)
        _record("AWS/Lambda", "Errors", int(error), "Count", where)
        _record("AWS/Lambda", "Duration", duration_ms, "Milliseconds", where)
        for datum in emf.metrics_of(log_text or ""):
            for value in datum.values:
                _record(datum.namespace, datum.name, value, datum.unit, datum.dimensions, datum.timestamp)

    def count_throttles(function_name: str, duration_ms: float, error: bool, throttle: bool) -> None:
        if throttle:
            count(function_name, 0.0, error, throttle)

    service._emit_lambda_logs, service._emit_lambda_metrics = write_and_publish, count_throttles


# Lambda's event sources: windows, batches and failures of streams


class EventSources:
    """Reads streams and queues for Lambda as its event source mappings say, each shard in a thread of its own."""

    def __init__(self, cloud: EmulatorCloud) -> None:
        self._cloud = cloud
        self._lock = threading.Lock()
        self._lanes: dict[tuple, streams.Lane] = {}
        self._working: set[tuple] = set()
        self._waiting: dict[str, float] = {}

    def install(self) -> None:
        service, sqs = _module("services.lambda_svc"), _module("services.sqs")
        self._mappings, self._receive = service._iter_all_esms, sqs._receive_messages_for_esm
        anchor, create = service._init_stream_position, service._create_esm

        def anchor_both(mapping_id: str, source_arn: str, starting: str) -> None:
            anchor(mapping_id, source_arn, starting)
            if ":kinesis:" in source_arn and (stream := _kinesis_stream(source_arn)):
                service._kinesis_positions[mapping_id] = _starting_positions(stream, starting, None)

        def create_whole(request: dict) -> tuple:
            is_stream = ":sqs:" not in request.get("EventSourceArn", "")
            status, headers, body = create({"BatchSize": 100, **request} if is_stream else request)
            if status < 400:
                _mapping_extras(json.loads(body)["UUID"], request)
            return status, headers, body

        service._init_stream_position, service._create_esm = anchor_both, create_whole
        service._iter_all_esms = self._due
        sqs._receive_messages_for_esm = self._receive_many
        service._poll_kinesis = partial(self._poll, ":kinesis:", self._kinesis_shards)
        service._poll_dynamodb_streams = partial(self._poll, ":dynamodb:", self._table_shards)

    def _receive_many(self, queue_url: str, wanted: int) -> list[dict]:
        """Receive up to a mapping's batch size: ten messages at a time, as SQS hands them out."""
        messages: list[dict] = []
        while len(messages) < wanted and (more := self._receive(queue_url, wanted - len(messages))):
            messages += more
        return messages

    def _due(self) -> Iterator[tuple[str, str, dict]]:
        """Yield the mappings that may be worked on: a queue's messages wait for their window or a full batch."""
        for account, region, mapping in self._mappings():
            with _module("core.responses").request_scope(account, region):
                due = self._gathered(mapping)
            if due:
                yield account, region, mapping

    def _gathered(self, mapping: dict) -> bool:
        window = float(mapping.get("MaximumBatchingWindowInSeconds") or 0)
        queue = _module("services.sqs")._queue_by_arn(mapping.get("EventSourceArn", "")) if window else None
        if queue is None:
            return True
        now, mapping_id = time.time(), mapping["UUID"]
        visible = sum(message["visible_at"] <= now for message in queue["messages"])
        if not visible:
            self._waiting.pop(mapping_id, None)
            return False
        since = self._waiting.setdefault(mapping_id, now)
        due = visible >= int(mapping.get("BatchSize") or 10) or now - since >= window
        if due:
            self._waiting.pop(mapping_id)
        return due

    def _poll(self, kind: str, shards: Callable[[dict], Iterable["Shard"]]) -> bool:
        """Start work on every shard that has records and is not being worked on."""
        for account, region, mapping in self._mappings():
            if kind in mapping.get("EventSourceArn", ""):
                with _module("core.responses").request_scope(account, region):
                    for shard in shards(mapping):
                        self._start(Scope(account, region), shard)
        return False  # the shards' threads do the work, nothing is left for the caller's

    def _kinesis_shards(self, mapping: dict) -> Iterator["Shard"]:
        stream = _kinesis_stream(mapping["EventSourceArn"])
        if stream is None or stream["StreamStatus"] != "ACTIVE" or _reading_forbidden(mapping):
            return
        positions = _module("services.lambda_svc")._kinesis_positions
        if mapping["UUID"] not in positions:
            starting = mapping.get("StartingPosition", "LATEST")
            positions[mapping["UUID"]] = _starting_positions(stream, starting, mapping.get("StartingPositionTimestamp"))
        _module("services.kinesis")._expire_records(stream)
        for shard_id in list(stream["shards"]):
            yield KinesisShard(self._cloud, mapping, shard_id, stream)

    def _table_shards(self, mapping: dict) -> Iterator["Shard"]:
        service, dynamodb = _module("services.lambda_svc"), _module("services.dynamodb")
        named = service._dynamodb_stream_table_from_arn_spec(_module("core.arn").parse_arn(mapping["EventSourceArn"]))
        table = dynamodb._tables.get(named[0]) if named else None
        if table and table.get("LatestStreamArn") == mapping["EventSourceArn"]:
            service._init_stream_position(
                mapping["UUID"], mapping["EventSourceArn"], mapping.get("StartingPosition", "LATEST")
            )
            yield TableShard(self._cloud, mapping, named[0])

    def _start(self, scope: Scope, shard: "Shard") -> None:
        key = (scope.account, scope.region, shard.mapping["UUID"], shard.shard_id)
        with self._lock:
            if key in self._working or shard.rules() is None or not (key in self._lanes or shard.read(1)):
                return
            self._working.add(key)
            lane = self._lanes.setdefault(key, streams.Lane(shard))
            lane.source = shard
        threading.Thread(target=self._work, args=(scope, key, lane), daemon=True, name="event-source").start()

    def _work(self, scope: Scope, key: tuple, lane: streams.Lane) -> None:
        """Work until the shard has no more; whatever breaks is tried again at the next poll."""
        try:
            with _module("core.responses").request_scope(scope.account, scope.region):
                while (wait := lane.step()) is not None:
                    time.sleep(min(wait, LANE_TICK_SECONDS))
            self._lanes.pop(key, None)
        except Exception:
            logger.exception("event source mapping %s, shard %s", key[2], key[3])
        finally:
            self._working.discard(key)


class Shard:
    """One shard of a stream for one mapping (`streams.Source`); lives within the mapping's account and region."""

    stream_info = ""

    def __init__(self, cloud: EmulatorCloud, mapping: dict, shard_id: str) -> None:
        self._cloud, self.mapping, self.shard_id = cloud, mapping, shard_id

    def rules(self) -> streams.Rules | None:
        service = _module("services.lambda_svc")
        mapping = service._esms.get(self.mapping["UUID"])
        if mapping is None or str(mapping.get("Enabled", True)).lower() == "false":
            return None
        return streams.Rules.of(mapping) if self._function() is not None else None

    def _function(self) -> dict | None:
        find = _module("services.lambda_svc")._get_func_record_for_qualifier
        return find(self.mapping["FunctionName"], self.mapping.get("Qualifier"))[0]

    def wanted(self, records: Iterable[streams.Record]) -> list[streams.Record]:
        keep = _module("services.lambda_svc")._apply_filter_criteria
        return [record for record in records if keep([record.event], self.mapping)]

    def invoke(self, records: Iterable[streams.Record]) -> streams.Outcome:
        records = list(records)
        event = {"Records": [record.event for record in records]}
        result = _module("services.lambda_svc")._execute_function(self._function(), event)
        failed, throttled = bool(result.get("error")), bool(result.get("throttle"))
        self.mapping["LastProcessingResult"] = "PROBLEM: Function call failed" if failed else "OK"
        if failed:
            logger.warning("event source of %s: %s", self.mapping["FunctionArn"], result.get("body"))
        return streams.Outcome(result.get("body"), failed, throttled)

    def give_up(self, records: list[streams.Record], reason: str, attempts: int, error: bool) -> None:
        """Send the batch's numbers to the on-failure destination; a bucket gets the records too."""
        destination = ((self.mapping.get("DestinationConfig") or {}).get("OnFailure") or {}).get("Destination")
        if not destination:
            logger.warning("%s: %d records given up: %s", self.mapping["EventSourceArn"], len(records), reason)
            return
        function = self._function() or {}
        told = streams.failure_record(
            self.stream_info,
            self.shard_id,
            self.mapping["EventSourceArn"],
            {"FunctionArn": self.mapping["FunctionArn"], "Version": function.get("config", {}).get("Version")},
            records,
            reason,
            attempts,
            error,
            _module("core.responses").new_uuid(),
            time.time(),
        )
        self._send(destination, told, records)

    def _send(self, destination: str, told: dict, records: list[streams.Record]) -> None:
        scope = self._cloud.scope()
        kind = _module("core.arn").parse_arn(destination).service
        client = self._cloud.client(kind, scope)
        if kind == "sqs":
            name = destination.rpartition(":")[2]
            client.send_message(QueueUrl=client.get_queue_url(QueueName=name)["QueueUrl"], MessageBody=json.dumps(told))
        elif kind == "sns":
            client.publish(TopicArn=destination, Message=json.dumps(told))
        else:
            payload = json.dumps({"Records": [record.event for record in records]})
            now, number = datetime.now(UTC), told["requestContext"]["requestId"]
            key = f"aws/lambda/{self.mapping['UUID']}/{self.shard_id}/{now:%Y/%m/%d/%Y-%m-%dT%H.%M.%S}-{number}"
            body = json.dumps({**told, "payload": payload})
            client.put_object(Bucket=destination.removeprefix("arn:aws:s3:::"), Key=key, Body=body.encode())


class KinesisShard(Shard):
    """A shard of a Kinesis stream; its position is the last sequence number that is done."""

    stream_info = "KinesisBatchInfo"

    def __init__(self, cloud: EmulatorCloud, mapping: dict, shard_id: str, stream: dict) -> None:
        super().__init__(cloud, mapping, shard_id)
        self._stream = stream

    def read(self, limit: int) -> list[streams.Record]:
        done = _module("services.lambda_svc")._kinesis_positions.get(self.mapping["UUID"]) or {}
        stored = (self._stream["shards"].get(self.shard_id) or {"records": []})["records"]
        after = int(done.get(self.shard_id) or 0)
        first = bisect_right(stored, after, key=lambda record: int(record["SequenceNumber"]))
        return [self._record(record) for record in stored[first : first + limit]]

    def _record(self, stored: dict) -> streams.Record:
        number, scope = stored["SequenceNumber"], self._cloud.scope()
        event = {
            "kinesis": {
                "kinesisSchemaVersion": "1.0",
                "partitionKey": stored["PartitionKey"],
                "sequenceNumber": number,
                "data": _module("services.kinesis")._ensure_base64(stored["Data"]),
                "approximateArrivalTimestamp": stored["ApproximateArrivalTimestamp"],
            },
            "eventSource": "aws:kinesis",
            "eventVersion": "1.0",
            "eventID": f"{self.shard_id}:{number}",
            "eventName": "aws:kinesis:record",
            "invokeIdentityArn": (self._function() or {}).get("config", {}).get("Role", ""),
            "awsRegion": scope.region,
            "eventSourceARN": self.mapping["EventSourceArn"],
        }
        return streams.Record(number, number, stored["ApproximateArrivalTimestamp"], event)

    def done(self, record: streams.Record) -> None:
        positions = _module("services.lambda_svc")._kinesis_positions.get(self.mapping["UUID"])
        if positions is not None:  # it goes with its mapping
            positions[self.shard_id] = record.position


class TableShard(Shard):
    """The stream of a DynamoDB table, which has one shard here; its position counts records from the first on."""

    stream_info = "DDBStreamBatchInfo"

    def __init__(self, cloud: EmulatorCloud, mapping: dict, table: str) -> None:
        super().__init__(cloud, mapping, "shardId-00000000000000000000-00000000")
        self._table = table

    def read(self, limit: int) -> list[streams.Record]:
        service, dynamodb = _module("services.lambda_svc"), _module("services.dynamodb")
        start = dynamodb.stream_start_position(self._table)
        first = max(service._dynamodb_stream_positions.get(self.mapping["UUID"], start), start)
        found = dynamodb.stream_records_since(self._table, first, limit)
        return [
            streams.Record(
                first + offset,
                record["dynamodb"]["SequenceNumber"],
                float(record["dynamodb"].get("ApproximateCreationDateTime") or time.time()),
                record,
            )
            for offset, record in enumerate(found, 1)
        ]

    def done(self, record: streams.Record) -> None:
        service = _module("services.lambda_svc")
        with service._dynamodb_stream_positions_lock:
            if self.mapping["UUID"] in service._dynamodb_stream_positions:
                service._dynamodb_stream_positions[self.mapping["UUID"]] = record.position


def _kinesis_stream(source_arn: str) -> dict | None:
    """Return the stream that an event source names, itself or through a consumer, in whichever account it lies."""
    service, kinesis = _module("services.lambda_svc"), _module("services.kinesis")
    spec = _module("core.arn").parse_arn(source_arn.partition("/consumer/")[0])
    name = service._kinesis_stream_name_from_arn_spec(spec)
    return kinesis._streams.get_scoped(spec.account_id, spec.region, name) if name else None


def _reading_forbidden(mapping: dict) -> bool:
    """Whether AUTH=true and the policy of another account's stream keep this mapping out."""
    service = _module("services.lambda_svc")
    account = _module("core.arn").parse_arn(mapping["EventSourceArn"]).account_id
    function, _ = service._get_func_record_for_qualifier(mapping["FunctionName"], mapping.get("Qualifier"))
    if function is None or account == _module("core.responses").get_account_id():
        return False
    return service._cross_account_read_blocked(mapping["EventSourceArn"], function, mapping["FunctionName"])


def _starting_positions(stream: dict, starting: str, timestamp: Any) -> dict[str, str]:
    """Return, per shard, the last sequence number that a new mapping passes over; shards that come later have none."""
    if starting == "TRIM_HORIZON":
        return {}
    moment = schedules.instant(timestamp).timestamp() if starting == "AT_TIMESTAMP" and timestamp else float("inf")
    passed = {
        shard_id: [r["SequenceNumber"] for r in shard["records"] if r["ApproximateArrivalTimestamp"] < moment]
        for shard_id, shard in stream["shards"].items()
    }
    return {shard_id: numbers[-1] for shard_id, numbers in passed.items() if numbers}


def _mapping_extras(mapping_id: str, properties: dict) -> None:
    """Keep what ministack drops of an event source mapping, and start where a timestamp says."""
    service = _module("services.lambda_svc")
    mapping = service._esms[mapping_id]
    source = mapping["EventSourceArn"]
    if ":sqs:" not in source and "BatchSize" not in properties:
        mapping["BatchSize"] = 100
    moment = properties.get("StartingPositionTimestamp")
    if moment is not None and "StartingPositionTimestamp" not in mapping:
        mapping["StartingPositionTimestamp"] = moment
        if stream := _kinesis_stream(source):
            positions = _starting_positions(stream, mapping["StartingPosition"], moment)
            service._kinesis_positions[mapping_id] = positions


# CloudWatch: alarms per dimension with missing data, metrics of Step Functions


def _fix_metrics() -> None:
    sfn, gateway = (_module(f"services.{name}") for name in ("stepfunctions", "apigateway"))
    emit, execute = sfn._emit_execution_status_event, gateway.handle_execute

    def emit_and_count(execution: dict) -> None:
        emit(execution)
        for name, value, unit in _execution_metrics(execution):
            _record("AWS/States", name, value, unit, {"StateMachineArn": execution["stateMachineArn"]})

    async def execute_and_count(api_id: str, *args, **kwargs) -> tuple:
        started = time.perf_counter()
        answer = await execute(api_id, *args, **kwargs)
        scope = gateway.find_api_scope(api_id)
        if scope is not None:
            with _module("core.responses").request_scope(*scope):
                _count_request(api_id, answer[0], (time.perf_counter() - started) * 1000)
        return answer

    sfn._emit_execution_status_event, gateway.handle_execute = emit_and_count, execute_and_count


def _count_request(api_id: str, status: int, milliseconds: float) -> None:
    where = {"ApiId": api_id}
    _record("AWS/ApiGateway", "Count", 1, "Count", where)
    _record("AWS/ApiGateway", "4xx", int(400 <= status < 500), "Count", where)
    _record("AWS/ApiGateway", "5xx", int(status >= 500), "Count", where)
    _record("AWS/ApiGateway", "Latency", round(milliseconds), "Milliseconds", where)


def _record(
    namespace: str, name: str, value: float, unit: str, dimensions: dict[str, str], timestamp: float | None = None
) -> None:
    """Store one value. Equal values of one second become one point with a count: a load test must not fill memory."""
    cloudwatch = _module("services.cloudwatch")
    bucket = cloudwatch._metric_bucket((namespace, name, cloudwatch._dims_key(dimensions)))
    second = float(int(timestamp or time.time()))
    last = bucket[-1] if bucket else {}
    if (last.get("Timestamp"), last.get("Value"), "_stat" in last) == (second, float(value), False):
        last["Count"] = last.get("Count", 1.0) + 1.0
        return
    if len(bucket) >= MOST_POINTS:
        del bucket[: MOST_POINTS // 2]
    bucket.append({"Timestamp": second, "Value": float(value), "Unit": unit, "Dimensions": dict(dimensions)})


def _execution_metrics(execution: dict) -> list[tuple[str, float, str]]:
    ends = {
        "SUCCEEDED": "ExecutionsSucceeded",
        "FAILED": "ExecutionsFailed",
        "TIMED_OUT": "ExecutionsTimedOut",
        "ABORTED": "ExecutionsAborted",
    }
    if execution["status"] not in ends:
        return [("ExecutionsStarted", 1, "Count")]
    started, stopped = (datetime.fromisoformat(execution[k].replace("Z", "+00:00")) for k in ("startDate", "stopDate"))
    milliseconds = (stopped - started).total_seconds() * 1000
    counts = [(name, float(status == execution["status"]), "Count") for status, name in ends.items()]
    return [*counts, ("ExecutionTime", milliseconds, "Milliseconds")]


class Alarms:
    """Evaluates alarms; those whose actions are scaling policies look at shortened minutes and act while in ALARM."""

    def __init__(self, scaler: Scaler, faults: Faults) -> None:
        self._scaler, self._faults = scaler, faults

    def install(self) -> None:
        cloudwatch, provisioners = (_module(f"services.{n}") for n in ("cloudwatch", "cloudformation.provisioners"))
        cloudwatch._evaluate_alarm = self.evaluate
        put, record = cloudwatch._put_metric_alarm, provisioners._cw_metric_alarm_record

        def put_with_metrics(params: dict, data: dict | None, is_cbor: bool, is_json: bool = False) -> tuple:
            structured = is_cbor or is_json
            queries = (data or {}).get("Metrics") if structured else _query_members(params, "Metrics")
            try:
                alarms.check_metrics(queries) if queries else None
            except metric_math.NotSupported as error:
                return cloudwatch._error("ValidationError", str(error), 400, use_json=is_json, use_cbor=is_cbor)
            response = put(params, data, is_cbor, is_json)
            if queries and response[0] < 400:
                name = data["AlarmName"] if structured else params["AlarmName"][0]
                self.evaluate(_with_metrics(cloudwatch._alarms[name], queries))
            return response

        def record_with_metrics(name: str, properties: dict) -> dict:
            if not properties.get("Metrics"):
                return record(name, properties)
            alarms.check_metrics(properties["Metrics"])
            plain = {member: value for member, value in properties.items() if member != "Metrics"}
            alarm = record(name, {**plain, "MetricName": "expression", "Namespace": "expression"})
            return _with_metrics(alarm, properties["Metrics"])

        cloudwatch._put_metric_alarm = put_with_metrics
        provisioners._cw_metric_alarm_record = record_with_metrics

    def run(self) -> None:
        """Look at metrics for ever: scaling every second, ordinary alarms every few."""
        for tick in itertools.count(1):
            time.sleep(TICK_SECONDS)
            _try("alarms and scaling policies", partial(self._tick, all_alarms=tick % ALARM_TICKS == 0))

    def _tick(self, all_alarms: bool) -> None:
        cloudwatch, responses = _module("services.cloudwatch"), _module("core.responses")
        _try("scaling policies", self._scaler.tick)
        for account, region in {key[:2] for key in list(cloudwatch._alarms._data)}:
            with responses.request_scope(account, region):
                if all_alarms:
                    _try("the lengths of queues", _measure_queues)
                for alarm in list(cloudwatch._alarms.values()):
                    if all_alarms or _scaling_policies(alarm):
                        _try(f"alarm {alarm['AlarmName']}", self.evaluate, alarm)

    def evaluate(self, alarm: dict) -> None:
        if not (alarm.get("MetricName") or alarm.get("Metrics")):
            return
        if alarm.get("ComparisonOperator") not in alarms.COMPARISONS:
            return
        policies = _scaling_policies(alarm)
        values = _alarm_values(alarm, self._faults.time_scale if policies else None)
        state, reason = alarms.evaluate(alarm, values)
        self._enter(alarm, state, reason)
        known = [value for value in values if value is not None]
        if state == "ALARM" and known and alarm.get("ActionsEnabled", True):
            for policy in policies:
                self._scaler.alarm(policy, alarm, known[0])

    @staticmethod
    def _enter(alarm: dict, state: str, reason: str) -> None:
        cloudwatch = _module("services.cloudwatch")
        before = alarm["StateValue"]
        if state == before:
            return
        alarm.update(StateValue=state, StateReason=reason, StateUpdatedTimestamp=int(time.time()))
        cloudwatch._record_history(alarm["AlarmName"], before, state, reason)
        cloudwatch._dispatch_alarm_actions(alarm, before, state, reason)
        cloudwatch._evaluate_parent_alarms(alarm)


def _try(what: str, work: Callable, *args: Any) -> None:
    """Do something; when it breaks, say so and let the rest be done: the next look may succeed."""
    try:
        work(*args)
    except Exception:
        logger.exception("looking at %s", what)


def _with_metrics(alarm: dict, queries: list[dict]) -> dict:
    """Make an alarm look at expressions in place of one metric."""
    for member in ("MetricName", "Namespace", "Statistic", "ExtendedStatistic", "Dimensions", "Unit"):
        alarm.pop(member, None)
    alarm.update(Metrics=queries, Period=alarms.metric_period(queries))
    return alarm


def _alarm_values(alarm: dict, scale: float | None) -> metric_math.Series:
    """Return one value per period of an alarm, newest first; with a `scale`, periods are that much shorter."""
    now = time.time()

    def measured(metric: dict, period: float, statistic: str) -> metric_math.Series:
        cloudwatch = _module("services.cloudwatch")
        key = (metric["Namespace"], metric["MetricName"], cloudwatch._dims_key(alarms.dimensions(metric)))
        stored = cloudwatch._metrics.get(key) or []
        looked_at = {**alarm, "Period": period if scale is None else max(1, period / scale)}
        return [
            cloudwatch._stat_value(cloudwatch._calc_stats(points), statistic, points) if points else None
            for points in alarms.windows(looked_at, stored, now)
        ]

    if queries := alarm.get("Metrics"):
        return alarms.metric_values(queries, lambda s: measured(s["Metric"], float(s["Period"]), s["Stat"]))
    statistic = alarm.get("ExtendedStatistic") or alarm.get("Statistic") or "Average"
    return measured(alarm, alarm.get("Period", 60), statistic)


def _query_members(params: dict, name: str) -> list[dict]:
    """Return a list of structures from the parameters of AWS's query protocol: `Name.member.1.Key` and so on."""
    found: dict[str, Any] = {}
    for parameter, values in params.items():
        parts = parameter.split(".")
        if parts[0] != name:
            continue
        place = found
        for part in parts[:-1]:
            place = place.setdefault(part, {})
        place[parts[-1]] = values[0] if isinstance(values, list) else values
    return _listed(found).get(name, [])


def _listed(value: Any) -> Any:
    """Turn `{"member": {"1": x, "2": y}}` into `[x, y]`, all the way down."""
    if not isinstance(value, dict):
        return value
    if set(value) == {"member"}:
        return [_listed(value["member"][number]) for number in sorted(value["member"], key=int)]
    return {key: _listed(part) for key, part in value.items()}


def _scaling_policies(alarm: dict) -> list[str]:
    return [action for action in alarm.get("AlarmActions") or [] if str(action).startswith(SCALING_ACTION)]


def _measure_queues() -> None:
    """Record how many messages wait in each queue that holds any; silence means none."""
    for queue in _module("services.sqs")._queues.values():
        waiting = sum(message["visible_at"] <= time.time() for message in queue["messages"])
        if waiting:
            where = {"QueueName": queue["name"]}
            _record("AWS/SQS", "ApproximateNumberOfMessagesVisible", waiting, "Count", where)


# EventBridge Scheduler: time zones, context attributes, retries, dead letters, a clock that can be hurried


@dataclass
class Seen:
    """What the clock knows of one schedule: the offset when it appeared, and up to when it has been looked at."""

    offset: timedelta
    after: datetime
    settings: tuple | None = None


def _identity(schedule: dict) -> tuple:
    return schedule["Arn"], schedule["CreationDate"]


def _settings(schedule: dict) -> tuple:
    members = ("ScheduleExpression", "ScheduleExpressionTimezone", "StartDate", "State")
    return tuple(schedule.get(member) for member in members)


class Clock:
    """The scheduler's view of time: real time plus an offset; nothing else in the cloud sees it.

    Hurrying the clock only makes the sweep find a schedule due; role, target and input take the usual path.
    """

    def __init__(self, client: Callable[[str, Scope], Any]) -> None:
        self._client = client
        self._lock = threading.RLock()
        self._deliveries_pool = ThreadPoolExecutor(4, thread_name_prefix="scheduler-delivery")
        self._seen: dict[tuple, Seen] = {}
        self._started = datetime.now(UTC)
        self.reset()

    def reset(self) -> None:
        with self._lock:
            self.offset = timedelta()
            self.deliveries = 1
            self._seen.clear()

    def now(self) -> datetime:
        return datetime.now(UTC) + self.offset

    def install(self) -> None:
        scheduler = _module("services.scheduler")
        scheduler._SCHEDULE_TICK_INTERVAL = SCHEDULE_TICK_SECONDS
        scheduler._tick_schedules = self.sweep

    def sweep(self) -> list[dict[str, str]]:
        """Fire what is due by now; return `{schedule, arn, scheduled_time}` for each that fired."""
        with self._lock:
            fired = []
            for (account, region, _), schedule in list(_module("services.scheduler")._schedules._data.items()):
                due = self._due(schedule)
                if due is not None:
                    self._fire(Scope(account, region), schedule, due)
                    name, arn = schedule["Name"], schedule["Arn"]
                    fired.append({"schedule": name, "arn": arn, "scheduled_time": schedules.iso(due)})
            return fired

    def advance(self, delta: timedelta) -> list[dict[str, str]]:
        """Move the clock forward and sweep."""
        with self._lock:
            self.offset += delta
            return self.sweep()

    def advance_to_next(self, wanted: str) -> list[dict[str, str]]:
        """Move the clock to the next occurrence of one schedule and sweep; it stands first. Raises NoSuchSchedule."""
        with self._lock:
            schedule = self._find(wanted)
            after = self._after(schedule)
            due = schedules.next_fire(self._as_seen(schedule), after, _next_cron)
            if due is None:
                raise NoSuchSchedule(f"schedule {schedule['Name']} has no next occurrence ({schedule['State']})")
            fired = self.advance(max(due - self.now(), timedelta()))
            return sorted(fired, key=lambda firing: firing["schedule"] != schedule["Name"])

    def _find(self, wanted: str) -> dict:
        owners = _schedule_owners()
        known = _module("services.scheduler")._schedules._data
        found = [s for s in known.values() if schedules.matches(s, wanted, owners.get(s["Name"]))]
        if len(found) == 1:
            return found[0]
        names = ", ".join(sorted(s["Name"] for s in (found or known.values()))) or "none"
        raise NoSuchSchedule(
            f"{len(found)} schedules match {wanted!r}; {'they are' if found else 'there are'}: {names}"
        )

    def _after(self, schedule: dict) -> datetime:
        """Return the moment up to which the schedule has been looked at: at first, just before it was created."""
        seen = self._seen.setdefault(_identity(schedule), Seen(self.offset, self._first_look(schedule)))
        if seen.settings != _settings(schedule):  # it was changed: what it missed before that is not its own
            seen.after = self.now() if seen.settings is not None else seen.after
            seen.settings = _settings(schedule)
        return seen.after

    def _first_look(self, schedule: dict) -> datetime:
        created = schedules.instant(schedule["CreationDate"])
        return self.now() if created < self._started else created + self.offset - timedelta(seconds=1)

    def _as_seen(self, schedule: dict) -> dict:
        """Return the schedule with its creation as the hurried clock showed it."""
        created = schedules.instant(schedule["CreationDate"]) + self._seen[_identity(schedule)].offset
        return {**schedule, "CreationDate": created.timestamp()}

    def _due(self, schedule: dict) -> datetime | None:
        after = self._after(schedule)
        due = schedules.latest_due(self._as_seen(schedule), after, self.now(), _next_cron)
        if due is not None:
            self._seen[_identity(schedule)].after = due
        return due

    def _fire(self, scope: Scope, schedule: dict, due: datetime) -> None:
        execution = _module("core.responses").new_uuid()
        for _ in range(self.deliveries):
            self._deliveries_pool.submit(_deliver, self._client, scope, dict(schedule), due, execution)


def _schedule_owners() -> dict[str, tuple[str, str]]:
    """Return the stack and logical id that own each schedule."""
    owners = {}
    for (_, _, stack), record in list(_module("services.cloudformation")._stacks._data.items()):
        for logical_id, resource in (record.get("_resources") or {}).items():
            if resource.get("ResourceType") == "AWS::Scheduler::Schedule":
                owners[resource.get("PhysicalResourceId")] = (stack, logical_id)
    return owners


def _next_cron(expression: str, after: datetime) -> datetime | None:
    eventbridge = _module("services.eventbridge")
    fields = eventbridge._parse_cron_fields(expression)
    if fields is None:
        return None
    found = eventbridge._cron_next_fire(fields, after.replace(tzinfo=UTC))
    return None if found is None else found.replace(tzinfo=None)


def _deliver(client: Callable, scope: Scope, schedule: dict, due: datetime, execution: str) -> None:
    """Invoke the target; after the retry policy is used up, the message goes to the dead-letter queue."""
    target = schedule.get("Target") or {}
    attempts = 1 + min(int((target.get("RetryPolicy") or {}).get("MaximumRetryAttempts", 185)), 3)
    with _module("core.responses").request_scope(scope.account, scope.region):
        for attempt in range(1, attempts + 1):
            text = schedules.target_input(target.get("Input") or "", schedule["Arn"], due, execution, attempt)
            problem = _invoke(client, scope, schedule, {**target, "Input": text} if text else target, due, execution)
            if problem is None:
                return
            logger.warning("schedule %s, attempt %d: %s", schedule["Name"], attempt, problem)
            time.sleep(0.2 * attempt)
        _to_dead_letters(schedule, target, text, problem, attempts)


def _invoke(client: Callable, scope: Scope, schedule: dict, target: dict, due: datetime, execution: str) -> str | None:
    """Invoke once; return what went wrong, as far as the kind of target tells."""
    arn = target.get("Arn", "")
    if call := schedules.UNIVERSAL.fullmatch(arn):
        return _call_api(client, scope, call["service"], call["operation"], target.get("Input") or "{}")
    if re.match(r"arn:aws:states:[^:]+:[^:]+:stateMachine:", arn):
        request = {"stateMachineArn": arn, "input": target.get("Input") or "{}"}
        status, _, body = _module("services.stepfunctions")._start_execution(request)
        return None if status < 400 else body.decode(errors="replace")
    event = {
        "EventId": execution,
        "Source": "aws.scheduler",
        "DetailType": "Scheduled Event",
        "Detail": "{}",
        "Time": due.timestamp(),
        "Resources": [schedule["Arn"]],
        "Account": scope.account,
        "Region": scope.region,
    }
    try:
        _module("services.eventbridge")._invoke_target(target, event, schedule)
    except Exception:
        logger.exception("schedule %s", schedule["Name"])
        return traceback.format_exc(limit=1)
    return None


def _call_api(client: Callable, scope: Scope, service: str, operation: str, text: str) -> str | None:
    """Call any operation of any service, as a universal target names it; return what went wrong."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        api = client(schedules.CLIENTS.get(service, service), scope)
        names = {name.lower(): name for name in api.meta.method_to_api_mapping.values()}
        api._make_api_call(names[operation.lower()], json.loads(text))
    except (BotoCoreError, ClientError, KeyError, ValueError) as error:
        return f"{service}:{operation}: {error}"
    return None


def _to_dead_letters(schedule: dict, target: dict, text: str, problem: str, attempts: int) -> None:
    queue_arn = (target.get("DeadLetterConfig") or {}).get("Arn")
    if not queue_arn:
        logger.error("schedule %s gave up and has no dead-letter queue: %s", schedule["Name"], problem)
        return
    spec = _module("core.arn").parse_arn(queue_arn)
    body, attributes = schedules.dead_letter(schedule, text, problem, attempts)
    _module("services.eventbridge")._dispatch_to_sqs(spec, body)
    queue = _module("services.sqs")._queue_by_arn(queue_arn)
    if queue:
        typed = {k: {"DataType": "String", "StringValue": v} for k, v in attributes.items()}
        queue["messages"][-1]["message_attributes"].update(typed)
