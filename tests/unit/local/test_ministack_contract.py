"""What the local cloud relies on in ministack: one contract for every hook, run on the unpatched package.

An upgrade is a review of `turnout/local/emulator.py` and of what fails here.
"""

import asyncio
import inspect
import json
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import import_module
from types import SimpleNamespace

import pytest

from turnout.local.emulator import HOOKS

ACCOUNT, REGION = "111122223333", "us-east-1"
CONTRACTS: dict[str, Callable] = {}


def contract(module: str, *hooks: str) -> Callable:
    """Say that a function shows what is relied on in these hooks of one module."""

    def remember(function: Callable) -> Callable:
        for hook in hooks:
            name = f"ministack.{module}.{hook}"
            assert name not in CONTRACTS, f"{name} has two contracts"
            CONTRACTS[name] = function
        return function

    return remember


def module(name: str):
    return import_module(f"ministack.{name}")


@pytest.fixture(autouse=True)
def scope() -> Iterator[None]:
    """An account of its own for every test, which other tests never see."""
    with module("core.responses").request_scope(f"{uuid.uuid4().int % 10**12:012d}", REGION):
        yield


def call(service: str, operation: str, request: dict, prefix: str = "X") -> tuple[int, dict]:
    """Ask one of ministack's JSON services as its server does."""
    headers = {"x-amz-target": f"{prefix}.{operation}", "content-type": "application/x-amz-json-1.1", "host": "x"}
    handler = module("app").SERVICE_HANDLERS[service]
    status, _, body = asyncio.run(handler("POST", "/", headers, json.dumps(request).encode(), {}))
    return status, json.loads(body or b"{}")


def unique(prefix: str) -> str:
    return f"{prefix}-{uuid.uuid4().hex[:8]}"


@contextmanager
def replaced(owner, name: str, value) -> Iterator[None]:
    """Put something in a name's place for a while, as `emulator.py` does for ever."""
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


def cfn(kind: str, properties: dict, logical_id: str = "It") -> tuple[str, dict]:
    """Create a resource by its CloudFormation handler."""
    handlers = module("services.cloudformation.provisioners")._RESOURCE_HANDLERS
    return handlers[f"AWS::{kind}"]["create"](logical_id, properties, unique("stack"))


# ministack.app


@contract(
    "app", "SERVICE_HANDLERS", "SERVICE_REGISTRY", "_loaded_modules", "_state_map", "_lazy_handler", "_reset_all_state"
)
def a_service_that_is_put_into_the_registry_is_asked_reset_and_saved():
    app, name, resets = module("app"), unique("service"), []

    async def handle_request(method, path, headers, body, query_params):
        return 200, {}, f"{method} {path}".encode()

    service = SimpleNamespace(handle_request=handle_request, reset=lambda: resets.append(1), get_state=dict)
    app._loaded_modules[name] = service
    app.SERVICE_REGISTRY[name] = {"module": name}
    try:
        app.SERVICE_HANDLERS[name] = app._lazy_handler(name)
        assert asyncio.run(app.SERVICE_HANDLERS[name]("GET", "/x", {}, b"", {})) == (200, {}, b"GET /x")
        app._reset_all_state()
        assert resets
        assert app._state_map["sqs"] == app.SERVICE_REGISTRY["sqs"]["module"]
    finally:
        del app._loaded_modules[name], app.SERVICE_REGISTRY[name]
        app.SERVICE_HANDLERS.pop(name, None)


@contract("app", "app")
def the_application_is_asgi():
    sent = []

    async def send(message):
        sent.append(message)

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    http = {"type": "http", "method": "GET", "path": "/_ministack/health", "query_string": b"", "headers": []}
    scope = {**http, "client": ("127.0.0.1", 1), "scheme": "http", "raw_path": b"/_ministack/health"}
    asyncio.run(module("app").app(scope, receive, send))
    assert sent[0]["status"] == 200


@contract("app", "pin_request_origin")
def a_requests_transport_is_pinned_by_a_name_of_the_application():
    evaluator = module("core.iam_evaluator")
    assert module("app").pin_request_origin is evaluator.pin_request_origin
    module("app").pin_request_origin("127.0.0.1", True)
    assert evaluator._request_origin.get() == ("127.0.0.1", True)


# ministack.core


@contract("core.router", "SERVICE_PATTERNS")
def requests_find_a_service_by_target_prefix_and_by_host():
    router, name = module("core.router"), unique("service")
    router.SERVICE_PATTERNS[name] = {"target_prefixes": [f"{name}."], "host_patterns": [rf"{name}\."]}
    try:
        assert router.detect_service("POST", "/", {"x-amz-target": f"{name}.Do"}, {}) == name
        assert router.detect_service("POST", "/x", {"host": f"{name}.us-east-1.amazonaws.com"}, {}) == name
    finally:
        del router.SERVICE_PATTERNS[name]


@contract("core.iam_actions", "SERVICE_TO_IAM_NAMESPACE", "_BOTOCORE_SERVICE_MAP", "extract_resource_arn")
def iam_names_a_services_actions_and_resources():
    actions = module("core.iam_actions")
    with replaced(actions, "SERVICE_TO_IAM_NAMESPACE", {**actions.SERVICE_TO_IAM_NAMESPACE, "sagemaker": "sagemaker"}):
        routes = {**actions._BOTOCORE_SERVICE_MAP, "sagemaker": ["sagemaker-runtime"]}
        with replaced(actions, "_BOTOCORE_SERVICE_MAP", routes):
            named = actions.extract_iam_action(
                "sagemaker", "POST", "/", {"x-amz-target": "SageMaker.CreateModel"}, b"", {}
            )
            asked = actions.extract_iam_action("sagemaker", "POST", "/endpoints/e/invocations", {}, b"", {})
    assert (named, asked) == ("sagemaker:CreateModel", "sagemaker:InvokeEndpoint")
    arn = actions.extract_resource_arn("s3", "GET", "/b/k", {}, b"", {}, REGION, ACCOUNT)
    assert arn == "arn:aws:s3:::b/k"


@contract("core.responses", "get_account_id", "get_region", "request_scope", "new_uuid")
def a_scope_holds_within_its_block():
    responses = module("core.responses")
    outside = responses.get_account_id()
    with responses.request_scope(ACCOUNT, "eu-west-1"):
        assert (responses.get_account_id(), responses.get_region()) == (ACCOUNT, "eu-west-1")
    assert responses.get_account_id() == outside
    assert responses.new_uuid() != responses.new_uuid()


@contract("core.responses", "json_response", "error_response_json", "StreamingResponse")
def answers_are_status_headers_and_body():
    responses = module("core.responses")
    json_type = "application/x-amz-json-1.1"
    assert responses.json_response({"a": 1}, content_type=json_type) == (200, {"Content-Type": json_type}, b'{"a": 1}')
    status, headers, body = responses.error_response_json("C", "m", 400, message_key="Message", content_type="x")
    assert (status, headers["Content-Type"], json.loads(body)) == (400, "x", {"__type": "C", "Message": "m"})
    runner = object()
    assert responses.StreamingResponse(runner).runner is runner


@contract("core.arn", "parse_arn")
def arns_have_service_account_region_and_resource():
    spec = module("core.arn").parse_arn(f"arn:aws:sqs:{REGION}:{ACCOUNT}:q")
    assert (spec.service, spec.account_id, spec.region, spec.resource) == ("sqs", ACCOUNT, REGION, "q")
    assert module("core.arn").parse_arn("arn:aws:s3:::bucket").service == "s3"


# Lambda


def python_function(code: str = "def handler(event, context): return event", **properties) -> dict:
    """Return the record of a function that CloudFormation's handler made."""
    settings = {"Runtime": "python3.12", "Handler": "index.handler", "Role": "arn:aws:iam::0:role/x"}
    name, _ = cfn("Lambda::Function", {**settings, "Code": {"ZipFile": code}, **properties})
    return module("services.lambda_svc")._functions[name]


@contract(
    "core.lambda_runtime",
    "_PYTHON_WORKER_SCRIPT",
    "_worker_key",
    "_worker_class_for",
    "Worker.invoke",
    "Worker._drain_stderr_bounded",
    "kill_workers",
)
def a_worker_runs_a_handler_and_tells_what_it_raised():
    runtime, record = module("core.lambda_runtime"), python_function("def handler(e, c): return 1 / e['by']")
    config = record["config"]
    kind = runtime._worker_class_for(config)
    assert issubclass(kind, runtime.Worker)
    account = module("core.responses").get_account_id()
    key = runtime._worker_key(config["FunctionName"], config, "$LATEST")
    assert key.split(":") == [account, REGION, config["FunctionName"], "$LATEST"]
    worker = kind(config["FunctionName"], config, record["code_zip"])
    try:
        assert worker.invoke({"by": 2}, "id")["result"] == 0.5
        failed = worker.invoke({"by": 0}, "id")
        assert "division by zero" in failed["error"]
        assert "ZeroDivisionError" in failed["trace"]
        assert worker.config["Runtime"] == "python3.12"
        assert worker._drain_stderr_bounded(0.0, 0.0, 0.0) == ""
        assert worker.invoke({"by": 1}, "id")["status"] == "ok"
        assert worker._stderr_queue.empty()
        process = worker._proc
    finally:
        runtime.kill_workers([worker])
    assert process.poll() is not None


@contract("core.lambda_runtime", "_lock", "_workers", "reset", "acquire_worker", "release_worker", "invalidate_worker")
def workers_are_pooled_by_key():
    runtime, record = module("core.lambda_runtime"), python_function()
    name, config = record["config"]["FunctionName"], record["config"]
    worker, _ = runtime.acquire_worker(name, config, record["code_zip"], qualifier="$LATEST", max_concurrency=None)
    assert worker in runtime._workers[runtime._worker_key(name, config, "$LATEST")]
    runtime.release_worker(worker)
    with runtime._lock:
        assert runtime._workers
    runtime.invalidate_worker(name)
    runtime.reset()
    assert not runtime._workers


@contract(
    "services.lambda_svc",
    "_functions",
    "_execute_function",
    "_execute_function_warm",
    "_execute_function_with_config_scope",
    "_emit_lambda_logs",
    "_emit_lambda_metrics",
    "acquire_worker",
    "release_worker",
    "invalidate_worker",
)
def a_function_is_executed_through_names_of_the_module():
    service, record, seen = module("services.lambda_svc"), python_function(), []
    assert set(record) >= {"config", "concurrency", "aliases", "versions"}
    warm, logs = service._execute_function_warm, service._emit_lambda_logs

    def remember_warm(func, event, request_id):
        seen.append("warm")
        return warm(func, event, request_id)

    def remember_logs(func, request_id, log_text, error, duration_ms, **more):
        seen.append(("logs", error, set(more)))
        return logs(func, request_id, log_text, error, duration_ms, **more)

    def acquire(func_name, config, code_zip, qualifier="$LATEST", max_concurrency=None):
        seen.append("acquire")
        return module("core.lambda_runtime").acquire_worker(func_name, config, code_zip, qualifier, max_concurrency)

    with (
        replaced(service, "_execute_function_warm", remember_warm),
        replaced(service, "_emit_lambda_logs", remember_logs),
        replaced(service, "acquire_worker", acquire),
    ):
        outcome = service._execute_function_with_config_scope(record, {"a": 1})
    assert (outcome["body"], bool(outcome.get("error"))) == ({"a": 1}, False)
    assert seen == ["warm", "acquire", ("logs", False, {"log_source"})]
    record["concurrency"] = 0
    throttles = []
    with replaced(service, "_emit_lambda_metrics", lambda *args, **named: throttles.append(named["throttle"])):
        throttled = service._execute_function(record, {})
    assert (throttled["throttle"], throttled["error"], throttles) == (True, True, [True])
    module("core.lambda_runtime").reset()


@contract("services.lambda_svc", "_get_func_record_for_qualifier", "_put_provisioned_concurrency")
def a_function_is_found_by_name_and_qualifier():
    service, record = module("services.lambda_svc"), python_function()
    name = record["config"]["FunctionName"]
    found, config = service._get_func_record_for_qualifier(name, None)
    assert (found["config"]["FunctionName"], config["FunctionName"]) == (name, name)
    assert service._get_func_record_for_qualifier(unique("none"), None)[0] is None
    version, _ = cfn("Lambda::Version", {"FunctionName": name})
    assert version.endswith(f":function:{name}:1")
    assert service._put_provisioned_concurrency(name, "1", {"ProvisionedConcurrentExecutions": 2})[0] == 202


@contract(
    "services.lambda_svc",
    "_get_func_record_for_ref",
    "_invoke",
    "_qualifier_from_path_or_query",
    "_resolve_name_and_qualifier",
    "_update_alias",
)
def an_alias_keeps_its_weights_and_is_called_through_names_of_the_module():
    service, record = module("services.lambda_svc"), python_function("def handler(e, c): return c.function_version")
    name = record["config"]["FunctionName"]
    version, _ = cfn("Lambda::Version", {"FunctionName": name})
    alias, _ = cfn("Lambda::Alias", {"FunctionName": name, "Name": "live", "FunctionVersion": "1"})
    weights = {"AdditionalVersionWeights": {"$LATEST": 0.25}}
    status, _, _ = service._update_alias(name, "live", {"FunctionVersion": "1", "RoutingConfig": weights})
    kept = service._functions[name]["aliases"]["live"]
    assert (status, kept["FunctionVersion"], kept["RoutingConfig"]) == (200, "1", weights)
    assert service._resolve_name_and_qualifier(alias) == (name, "live")
    assert service._qualifier_from_path_or_query("live", None) == "live"
    assert service._qualifier_from_path_or_query(None, {"Qualifier": ["live"]}) == "live"
    found, config, named = service._get_func_record_for_ref(version)
    assert (found["config"]["FunctionName"], config["Version"], named) == (name, "1", name)
    status, _, body = asyncio.run(service._invoke(name, {}, {}, "1", {}))
    assert (status, json.loads(body)) == (200, "1")


def kinesis_stream() -> tuple[str, str]:
    name, attributes = cfn("Kinesis::Stream", {"ShardCount": 1, "Name": unique("stream")})
    return name, attributes["Arn"]


@contract(
    "services.lambda_svc",
    "_create_esm",
    "_esms",
    "_init_stream_position",
    "_kinesis_positions",
    "_iter_all_esms",
    "_poll_kinesis",
    "_poll_dynamodb_streams",
)
def a_mapping_is_kept_and_polled_through_names_of_the_module():
    service, record = module("services.lambda_svc"), python_function()
    _, arn = kinesis_stream()
    anchored, polled = [], []
    with (
        replaced(service, "_init_stream_position", lambda *args: anchored.append(args)),
        replaced(service, "_poll_kinesis", lambda: polled.append("kinesis")),
        replaced(service, "_poll_dynamodb_streams", lambda: polled.append("dynamodb")),
    ):
        request = {"FunctionName": record["config"]["FunctionName"], "EventSourceArn": arn, "BatchSize": 3}
        status, _, body = service._create_esm({**request, "StartingPosition": "LATEST"})
        deadline = time.monotonic() + 10
        while {"kinesis", "dynamodb"} - set(polled) and time.monotonic() < deadline:
            time.sleep(0.01)
    assert {"kinesis", "dynamodb"} <= set(polled)
    mapping = service._esms[json.loads(body)["UUID"]]
    assert status == 202
    assert anchored == [(mapping["UUID"], arn, "LATEST")]
    wanted = {"UUID", "EventSourceArn", "FunctionArn", "FunctionName", "Qualifier", "BatchSize", "Enabled"}
    assert wanted <= set(mapping)
    assert mapping in [each for *_, each in service._iter_all_esms()]
    service._kinesis_positions[mapping["UUID"]] = {"shard": "1"}
    service._delete_esm(mapping["UUID"])
    assert mapping["UUID"] not in service._kinesis_positions


@contract("services.lambda_svc", "_apply_filter_criteria", "_cross_account_read_blocked")
def filters_are_applied_to_a_records_json():
    service = module("services.lambda_svc")
    records = [{"body": '{"a": 1}'}, {"body": '{"a": 2}'}]
    criteria = {"FilterCriteria": {"Filters": [{"Pattern": '{"body": {"a": [2]}}'}]}}
    assert service._apply_filter_criteria(records, criteria) == records[1:]
    assert service._apply_filter_criteria(records, {}) == records
    assert service._cross_account_read_blocked("arn:aws:kinesis:us-east-1:1:stream/s", {}, "f") is False


@contract("services.lambda_svc", "_kinesis_stream_name_from_arn_spec", "_dynamodb_stream_table_from_arn_spec")
def sources_are_read_from_arns():
    service, parse = module("services.lambda_svc"), module("core.arn").parse_arn
    assert service._kinesis_stream_name_from_arn_spec(parse("arn:aws:kinesis:us-east-1:1:stream/s")) == "s"
    table = parse("arn:aws:dynamodb:us-east-1:1:table/t/stream/2026-01-01T00:00:00.000")
    assert service._dynamodb_stream_table_from_arn_spec(table) == ("t", "2026-01-01T00:00:00.000")
    assert service._dynamodb_stream_table_from_arn_spec(parse("arn:aws:dynamodb:us-east-1:1:table/t")) is None


@contract("services.kinesis", "_streams", "_expire_records", "_ensure_base64")
def a_streams_records_lie_in_its_shards_in_order():
    kinesis = module("services.kinesis")
    name, arn = kinesis_stream()
    for data in ("b25l", "dHdv"):
        status, _ = call(
            "kinesis", "PutRecord", {"StreamName": name, "Data": data, "PartitionKey": "k"}, "Kinesis_20131202"
        )
        assert status == 200
    account = module("core.responses").get_account_id()
    stream = kinesis._streams.get_scoped(account, REGION, name)
    assert (stream["StreamARN"], stream["StreamStatus"]) == (arn, "ACTIVE")
    (shard,) = stream["shards"].values()
    numbers = [int(record["SequenceNumber"]) for record in shard["records"]]
    assert numbers == sorted(set(numbers))
    assert set(shard["records"][0]) >= {"SequenceNumber", "ApproximateArrivalTimestamp", "Data", "PartitionKey"}
    assert kinesis._ensure_base64(shard["records"][0]["Data"]) == "b25l"
    shard["records"][0]["ApproximateArrivalTimestamp"] -= 25 * 3600
    kinesis._expire_records(stream)
    assert len(shard["records"]) == 1


@contract("services.kinesis", "_start_stream_encryption", "_stop_stream_encryption")
def a_streams_encryption_is_kept():
    kinesis = module("services.kinesis")
    name, _ = kinesis_stream()
    assert kinesis._start_stream_encryption({"StreamName": name, "EncryptionType": "KMS", "KeyId": "k"})[0] == 200
    assert kinesis._streams[name]["EncryptionType"] == "KMS"
    assert kinesis._stop_stream_encryption({"StreamName": name})[0] == 200
    assert kinesis._streams[name]["EncryptionType"] == "NONE"


# DynamoDB


def table(**properties) -> str:
    keys = {"AttributeName": "id", "KeyType": "HASH"}
    given = {"KeySchema": [keys], "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}]}
    return cfn("DynamoDB::Table", {**given, "BillingMode": "PAY_PER_REQUEST", **properties})[0]


@contract("services.dynamodb", "_update_ttl", "_update_continuous_backups", "_update_table")
def a_tables_settings_are_changed_by_the_apis_own_functions():
    dynamodb, name = module("services.dynamodb"), table()
    expiry = {"Enabled": True, "AttributeName": "at"}
    assert dynamodb._update_ttl({"TableName": name, "TimeToLiveSpecification": expiry})[0] == 200
    recovery = {"PointInTimeRecoveryEnabled": True}
    request = {"TableName": name, "PointInTimeRecoverySpecification": recovery}
    assert dynamodb._update_continuous_backups(request)[0] == 200
    changes = {"TableClass": "STANDARD_INFREQUENT_ACCESS", "SSESpecification": {"Enabled": True}}
    assert dynamodb._update_table({"TableName": name, **changes})[0] == 200
    assert dynamodb._tables[name]["SSEDescription"]["Status"] == "ENABLED"
    assert dynamodb._update_table({"TableName": name, "TableClass": "NONE"})[0] == 400


@contract("services.dynamodb", "_tables", "stream_records_since", "stream_start_position")
def a_tables_stream_is_read_by_position():
    dynamodb = module("services.dynamodb")
    name = table(StreamSpecification={"StreamViewType": "NEW_IMAGE"})
    start = dynamodb.stream_start_position(name)
    for text in ("a", "b"):
        request = {"TableName": name, "Item": {"id": {"S": text}}}
        assert call("dynamodb", "PutItem", request, "DynamoDB_20120810")[0] == 200
    records = dynamodb.stream_records_since(name, start + 1, 10)
    assert [record["dynamodb"]["Keys"]["id"]["S"] for record in records] == ["b"]
    assert {"SequenceNumber", "ApproximateCreationDateTime"} <= set(records[0]["dynamodb"])
    arn = dynamodb._tables[name]["LatestStreamArn"]
    service, mapping = module("services.lambda_svc"), unique("mapping")
    service._init_stream_position(mapping, arn, "TRIM_HORIZON")
    assert service._dynamodb_stream_positions[mapping] == start


@contract("services.lambda_svc", "_dynamodb_stream_positions", "_dynamodb_stream_positions_lock")
def positions_of_table_streams_are_changed_under_a_lock():
    service = module("services.lambda_svc")
    with service._dynamodb_stream_positions_lock:
        service._dynamodb_stream_positions["mapping"] = 1
    service._release_esm_poll_state("mapping")
    assert "mapping" not in service._dynamodb_stream_positions


# CloudWatch


def an_alarm(**settings) -> dict:
    name, _ = cfn(
        "CloudWatch::Alarm",
        {
            "MetricName": "M",
            "Namespace": "N",
            "Threshold": 1,
            "ComparisonOperator": "GreaterThanThreshold",
            "EvaluationPeriods": 1,
            **settings,
        },
    )
    return module("services.cloudwatch")._alarms[name]


@contract("services.cloudwatch", "_metrics", "_metric_bucket", "_dims_key", "_calc_stats", "_stat_value")
def metrics_are_lists_of_points_by_namespace_name_and_dimensions():
    cloudwatch = module("services.cloudwatch")
    key = ("N", "M", cloudwatch._dims_key({"b": "2", "a": "1"}))
    assert cloudwatch._dims_key({"a": "1", "b": "2"}) == key[2]
    bucket = cloudwatch._metric_bucket(key)
    now = float(int(time.time()))
    bucket += [{"Timestamp": now, "Value": float(value), "Unit": "Count", "Dimensions": {}} for value in (1, 3)]
    bucket[-1]["Count"] = 3.0
    stats = cloudwatch._calc_stats(cloudwatch._metrics[key])
    values = [cloudwatch._stat_value(stats, name, bucket) for name in ("Sum", "Maximum", "SampleCount", "p50")]
    assert values == [10.0, 3.0, 4.0, 3.0]


@contract(
    "services.cloudwatch",
    "_alarms",
    "_evaluate_alarm",
    "_record_history",
    "_dispatch_alarm_actions",
    "_evaluate_parent_alarms",
)
def alarms_are_dicts_that_are_evaluated_through_a_name_of_the_module():
    cloudwatch, evaluated = module("services.cloudwatch"), []
    with replaced(cloudwatch, "_evaluate_alarm", evaluated.append):
        alarm = an_alarm(Dimensions=[{"Name": "a", "Value": "1"}], TreatMissingData="breaching", DatapointsToAlarm=1)
    assert evaluated == [alarm]
    assert alarm["StateValue"] == "INSUFFICIENT_DATA"
    kept = {"Period", "EvaluationPeriods", "Threshold", "TreatMissingData", "DatapointsToAlarm", "Dimensions"}
    assert kept | {"Statistic", "AlarmActions", "ActionsEnabled"} <= set(alarm)
    cloudwatch._record_history(alarm["AlarmName"], "OK", "ALARM", "why")
    assert json.loads(cloudwatch._history_entries()[-1]["HistoryData"])["newState"]["stateReason"] == "why"
    cloudwatch._dispatch_alarm_actions(alarm, "OK", "ALARM", "why")
    cloudwatch._evaluate_parent_alarms(alarm)


@contract("services.cloudwatch", "_put_metric_alarm", "_error")
def put_metric_alarm_takes_a_decoded_body_and_is_looked_up_per_request():
    cloudwatch, seen = module("services.cloudwatch"), []
    name, plain = unique("alarm"), cloudwatch._put_metric_alarm

    def remember(params, data, is_cbor, is_json=False):
        seen.append((data, is_cbor, is_json))
        return plain(params, data, is_cbor, is_json)

    with replaced(cloudwatch, "_put_metric_alarm", remember):
        request = {"AlarmName": name, "EvaluationPeriods": 1, "ComparisonOperator": "GreaterThanThreshold"}
        assert call("monitoring", "PutMetricAlarm", {**request, "Metrics": [{"Id": "a"}]})[0] == 200
    assert seen[0][0]["Metrics"] == [{"Id": "a"}]
    assert "Metrics" not in cloudwatch._alarms[name]
    status, _, body = cloudwatch._error("C", "m", 400, use_json=True, use_cbor=False)
    assert (status, b"m" in body) == (400, True)


@contract("services.cloudwatch", "_delete_alarms")
def alarms_are_deleted_by_a_decoded_body():
    cloudwatch, alarm = module("services.cloudwatch"), an_alarm()
    assert cloudwatch._delete_alarms({}, {"AlarmNames": [alarm["AlarmName"]]}, is_cbor=False, is_json=True)[0] == 200
    assert alarm["AlarmName"] not in cloudwatch._alarms


@contract("services.tagging", "_COLLECTORS", "_WRITERS", "_REMOVERS", "_ResourceNotFound")
def tags_of_a_service_are_collected_written_and_removed_by_its_functions():
    tagging, (_, arn) = module("services.tagging"), a_queue(Tags=[{"Key": "a", "Value": "1"}])
    assert issubclass(tagging._ResourceNotFound, Exception)
    assert set(tagging._WRITERS) <= set(tagging._COLLECTORS)
    assert arn in json.dumps(list(tagging._COLLECTORS["sqs"]()), default=str)
    parse = module("core.arn").parse_arn
    tagging._WRITERS["sqs"](parse(arn), arn, {"b": "2"})
    tagging._REMOVERS["sqs"](parse(arn), arn, ["a"])
    status, answer = call(
        "tagging", "GetResources", {"ResourceTypeFilters": ["sqs"]}, "ResourceGroupsTaggingAPI_20170126"
    )
    (found,) = [each for each in answer["ResourceTagMappingList"] if each["ResourceARN"] == arn]
    assert (status, found["Tags"]) == (200, [{"Key": "b", "Value": "2"}])


@contract("services.cloudformation.provisioners", "_cw_metric_alarm_record")
def a_templates_alarm_is_made_through_a_name_of_the_module():
    provisioners, seen = module("services.cloudformation.provisioners"), []
    plain = provisioners._cw_metric_alarm_record
    with replaced(provisioners, "_cw_metric_alarm_record", lambda n, p: seen.append(p) or plain(n, p)):
        an_alarm()
    assert seen[0]["MetricName"] == "M"
    with pytest.raises(ValueError, match="metric math"):
        plain("a", {"Metrics": [{"Id": "a"}]})


# EventBridge, Scheduler, SQS, SNS


@contract("services.eventbridge", "_parse_cron_fields", "_cron_next_fire")
def cron_is_worked_out_in_the_time_it_is_given():
    eventbridge = module("services.eventbridge")
    fields = eventbridge._parse_cron_fields("cron(30 6 * * ? *)")
    assert eventbridge._cron_next_fire(fields, datetime(2026, 1, 1, 7, tzinfo=UTC)) == (
        datetime(2026, 1, 2, 6, 30, tzinfo=UTC)
    )
    assert eventbridge._parse_cron_fields("every now") is None


def a_queue(**properties) -> tuple[str, str]:
    """Return a queue's URL and ARN."""
    url, attributes = cfn("SQS::Queue", {"QueueName": unique("queue"), **properties})
    return url, attributes["Arn"]


@contract("services.sqs", "_queues", "_queue_by_arn", "_receive_messages_for_esm")
def queues_hold_their_messages():
    sqs, (url, arn) = module("services.sqs"), a_queue()
    queue = sqs._queue_by_arn(arn)
    assert queue is sqs._queues[url]
    module("services.eventbridge")._dispatch_to_sqs(module("core.arn").parse_arn(arn), "text")
    (message,) = queue["messages"]
    assert (message["body"], message["visible_at"] <= time.time(), queue["name"]) == ("text", True, arn.split(":")[-1])
    message["message_attributes"].update(A={"DataType": "String", "StringValue": "1"})
    assert [m["body"] for m in sqs._receive_messages_for_esm(url, 5)] == ["text"]
    assert sqs._receive_messages_for_esm(url, 5) == []


@contract("services.eventbridge", "_invoke_target", "_dispatch_to_sqs", "_put_events")
def events_reach_their_targets():
    eventbridge, (_, arn) = module("services.eventbridge"), a_queue()
    queue = module("services.sqs")._queue_by_arn(arn)
    event = {
        "EventId": "1",
        "Source": "aws.scheduler",
        "DetailType": "Scheduled Event",
        "Detail": "{}",
        "Time": time.time(),
        "Resources": [],
        "Account": ACCOUNT,
        "Region": REGION,
    }
    eventbridge._invoke_target({"Arn": arn, "Input": '{"a": 1}'}, event, {"Name": "n"})
    assert queue["messages"][-1]["body"] == '{"a": 1}'
    cfn("Events::Rule", {"EventPattern": {"source": ["aws.sagemaker"]}, "Targets": [{"Id": "t", "Arn": arn}]})
    entry = {"Source": "aws.sagemaker", "DetailType": "D", "Detail": '{"x": 1}', "Resources": ["r"]}
    status, _, _ = eventbridge._put_events({"Entries": [entry]}, allow_aws_source=True)
    assert status == 200
    assert json.loads(queue["messages"][-1]["body"])["detail"] == {"x": 1}


@contract("services.scheduler", "_schedules", "_tick_schedules", "_SCHEDULE_TICK_INTERVAL")
def schedules_are_dicts_by_account_region_and_group():
    scheduler, name = module("services.scheduler"), unique("schedule")
    target = {"Arn": "arn:aws:sqs:us-east-1:1:q", "RoleArn": "arn:aws:iam::1:role/r"}
    properties = {"Name": name, "ScheduleExpression": "rate(1 minute)", "State": "DISABLED", "Target": target}
    identity, _ = cfn("Scheduler::Schedule", {**properties, "FlexibleTimeWindow": {"Mode": "OFF"}})
    assert identity == name
    account = module("core.responses").get_account_id()
    schedule = scheduler._schedules._data[account, REGION, f"default/{name}"]
    assert {"Name", "Arn", "State", "ScheduleExpression", "CreationDate", "Target"} <= set(schedule)
    assert scheduler._SCHEDULE_TICK_INTERVAL > 0
    assert "_tick_schedules()" in inspect.getsource(
        scheduler._schedule_loop if hasattr(scheduler, "_schedule_loop") else scheduler
    )


# API Gateway, Step Functions


@contract("services.apigateway", "handle_execute", "find_api_scope")
def an_http_apis_requests_pass_through_a_name_of_the_module():
    gateway = module("services.apigateway")
    identity, _ = cfn("ApiGatewayV2::Api", {"Name": "a", "ProtocolType": "HTTP"})
    assert gateway.find_api_scope(identity) == (module("core.responses").get_account_id(), REGION)
    assert gateway.find_api_scope("none") is None
    assert asyncio.iscoroutinefunction(gateway.handle_execute)


PASS = {"StartAt": "A", "States": {"A": {"Type": "Pass", "Result": 1, "End": True}}}


def run_machine(definition: dict) -> dict:
    """Run a state machine to its end and return the execution."""
    sfn = module("services.stepfunctions")
    arn, _ = cfn("StepFunctions::StateMachine", {"DefinitionString": json.dumps(definition), "RoleArn": "r"})
    status, _, body = sfn._start_execution({"stateMachineArn": arn, "input": "{}"})
    assert status == 200, body
    execution = json.loads(body)["executionArn"]
    deadline = time.monotonic() + 10
    while sfn._executions[execution]["status"] == "RUNNING" and time.monotonic() < deadline:
        time.sleep(0.01)
    return sfn._executions[execution]


@contract(
    "services.stepfunctions",
    "_executions",
    "_start_execution",
    "_run_execution",
    "_emit_execution_status_event",
)
def an_execution_runs_and_ends_through_names_of_the_module():
    sfn, seen = module("services.stepfunctions"), []
    run, emit = sfn._run_execution, sfn._emit_execution_status_event
    with (
        replaced(sfn, "_run_execution", lambda arn: seen.append("run") or run(arn)),
        replaced(sfn, "_emit_execution_status_event", lambda e: seen.append(e["status"]) or emit(e)),
    ):
        execution = run_machine(PASS)
    assert seen == ["RUNNING", "run", "SUCCEEDED"] or sorted(seen) == ["RUNNING", "SUCCEEDED", "run"]
    assert {"stateMachineArn", "startDate", "stopDate", "status"} <= set(execution)
    assert datetime.fromisoformat(execution["stopDate"].replace("Z", "+00:00"))


@contract("services.stepfunctions", "_SERVICE_DISPATCH", "_ExecutionError", "_fail_execution")
def a_task_is_dispatched_by_its_resource_and_fails_by_name():
    sfn, resource, failed = module("services.stepfunctions"), "arn:aws:states:::contract:task", []

    def task(asked: str, parameters: dict) -> dict:
        if parameters.get("fail"):
            raise sfn._ExecutionError("My.Error", "because")
        return {"asked": asked, **parameters}

    def machine(**parameters) -> dict:
        state = {"Type": "Task", "Resource": f"{resource}.sync", "Parameters": parameters, "End": True}
        return {"StartAt": "A", "States": {"A": state}}

    fail = sfn._fail_execution
    sfn._SERVICE_DISPATCH[resource] = task
    try:
        answer = json.loads(run_machine(machine(x=1))["output"])
        assert answer == {"asked": f"{resource}.sync", "x": 1}
        with replaced(sfn, "_fail_execution", lambda *args: failed.append(args[1:]) or fail(*args)):
            assert run_machine(machine(fail=True))["status"] == "FAILED"
    finally:
        del sfn._SERVICE_DISPATCH[resource]
    assert failed == [("My.Error", "because")]


@contract("services.stepfunctions", "_create_state_machine")
def a_state_machine_is_created_through_a_name_of_the_module():
    sfn = module("services.stepfunctions")
    request = {"name": unique("machine"), "definition": json.dumps(PASS), "roleArn": "arn:aws:iam::1:role/r"}
    status, answer = call("states", "CreateStateMachine", request, "AWSStepFunctions")
    assert (status, "stateMachineArn" in answer) == (200, True)
    seen = []
    with replaced(sfn, "_create_state_machine", lambda data: seen.append(data["name"]) or (200, {}, b"{}")):
        call("states", "CreateStateMachine", request, "AWSStepFunctions")
    assert seen == [request["name"]]


@contract("services.stepfunctions", "_AWS_SDK_SERVICE_MAP", "_AWS_SDK_ERROR_PREFIX")
def sdk_integrations_are_listed_by_service():
    sfn = module("services.stepfunctions")
    assert set(sfn._AWS_SDK_SERVICE_MAP["dynamodb"]) >= {"target_prefix", "protocol"}
    assert all(isinstance(prefix, str) for prefix in sfn._AWS_SDK_ERROR_PREFIX.values())


# S3


def a_bucket() -> str:
    return cfn("S3::Bucket", {"BucketName": unique("bucket")})[0]


@contract("services.s3", "_buckets", "_bucket_has_versions")
def a_bucket_holds_its_objects():
    s3, name = module("services.s3"), a_bucket()
    assert s3._buckets[name]["objects"] == {}
    handler = module("app").SERVICE_HANDLERS["s3"]
    assert asyncio.run(handler("PUT", f"/{name}/k", {"host": "x"}, b"data", {}))[0] == 200
    assert s3._buckets[name]["objects"]
    assert not s3._bucket_has_versions(name)


@contract(
    "services.s3",
    "S3_NS",
    "_put_bucket_encryption",
    "_delete_bucket_encryption",
    "_put_bucket_lifecycle",
    "_delete_bucket_lifecycle",
    "_put_bucket_tagging",
    "_delete_bucket_tagging",
    "_put_bucket_ownership_controls",
    "_delete_bucket_ownership_controls",
    "_put_bucket_logging",
)
def a_buckets_configurations_are_put_as_the_apis_xml():
    s3, name = module("services.s3"), a_bucket()
    tags = f'<Tagging xmlns="{s3.S3_NS}"><TagSet><Tag><Key>a</Key><Value>1</Value></Tag></TagSet></Tagging>'
    assert s3._put_bucket_tagging(name, tags.encode())[0] < 300
    assert s3._bucket_tags[name] == {"a": "1"}
    rule = "<Status>Enabled</Status><Filter><Prefix>x</Prefix></Filter><Expiration><Days>1</Days></Expiration>"
    lifecycle = f'<LifecycleConfiguration xmlns="{s3.S3_NS}"><Rule>{rule}</Rule></LifecycleConfiguration>'
    assert s3._put_bucket_lifecycle(name, lifecycle.encode())[0] < 300
    algorithm = (
        "<ApplyServerSideEncryptionByDefault><SSEAlgorithm>AES256</SSEAlgorithm></ApplyServerSideEncryptionByDefault>"
    )
    encryption = f'<ServerSideEncryptionConfiguration xmlns="{s3.S3_NS}"><Rule>{algorithm}</Rule>'
    assert s3._put_bucket_encryption(name, f"{encryption}</ServerSideEncryptionConfiguration>".encode())[0] < 300
    controls = f'<OwnershipControls xmlns="{s3.S3_NS}"><Rule><ObjectOwnership>ObjectWriter</ObjectOwnership></Rule>'
    assert s3._put_bucket_ownership_controls(name, f"{controls}</OwnershipControls>".encode())[0] < 300
    assert s3._delete_bucket_ownership_controls(name)[0] < 300
    assert s3._put_bucket_logging(name, f'<BucketLoggingStatus xmlns="{s3.S3_NS}"/>'.encode())[0] < 300
    for delete in (s3._delete_bucket_tagging, s3._delete_bucket_lifecycle, s3._delete_bucket_encryption):
        assert delete(name)[0] < 300


@contract("services.s3", "_resolve_sse_write_headers")
def a_write_with_a_key_of_kms_needs_the_keys_name():
    s3, name = module("services.s3"), a_bucket()
    header = "x-amz-server-side-encryption"
    assert s3._resolve_sse_write_headers({header: "AES256"}, name)[1] is None
    _, refused = s3._resolve_sse_write_headers({header: "aws:kms"}, name)
    assert refused is not None
    kept, refused = s3._resolve_sse_write_headers({header: "aws:kms", f"{header}-aws-kms-key-id": "alias/aws/s3"}, name)
    assert (refused, bool(kept)) == (None, True)


# IAM and CloudFormation


@contract("services.iam", "_roles")
def roles_are_dicts_by_name():
    name, _ = cfn("IAM::Role", {"AssumeRolePolicyDocument": {"Statement": []}})
    assert module("services.iam")._roles[name]["RoleName"] == name


@contract(
    "services.cloudformation.provisioners",
    "_RESOURCE_HANDLERS",
    "_REPLACING_PROPERTIES",
    "_CUSTOM_NAME_REPLACEMENT",
    "_STACK_TAG_PROPERTY",
    "_S3_BUCKET_CONFIGURATIONS",
    "_physical_name",
    "_cfn_bool",
)
def types_are_dicts_of_functions():
    provisioners = module("services.cloudformation.provisioners")
    for kind in ("DynamoDB::Table", "Scheduler::Schedule", "Lambda::Function", "S3::Bucket", "Kinesis::Stream"):
        handlers = provisioners._RESOURCE_HANDLERS[f"AWS::{kind}"]
        assert all(callable(handlers[what]) for what in ("create", "update", "delete"))
    assert all(isinstance(names, tuple) for names in provisioners._REPLACING_PROPERTIES.values())
    assert provisioners._CUSTOM_NAME_REPLACEMENT["AWS::DynamoDB::Table"]["name"] == "TableName"
    assert provisioners._STACK_TAG_PROPERTY["AWS::SQS::Queue"] == ("Tags", "list")
    assert [len(entry) for entry in provisioners._S3_BUCKET_CONFIGURATIONS] == [4, 4, 4]
    assert len(provisioners._physical_name("s" * 60, "l" * 60, max_len=63)) <= 63
    assert [provisioners._cfn_bool(value) for value in (True, "true", "false", None)] == [True, True, False, False]
    with replaced(provisioners, "_REPLACING_PROPERTIES", {"AWS::DynamoDB::Table": ("KeySchema",)}):
        assert provisioners._replacing_change("AWS::DynamoDB::Table", {"KeySchema": 1}, {"KeySchema": 2})


@contract("services.cloudformation", "_stacks", "_ACTION_HANDLERS")
def stacks_are_dicts_and_actions_functions_of_parameters():
    package = module("services.cloudformation")
    for action in ("CreateChangeSet", "ExecuteChangeSet", "DeleteStack"):
        assert callable(package._ACTION_HANDLERS[action])
    assert hasattr(package._stacks, "_data")


@contract("services.cloudformation.engine", "_extract_deps", "_intrinsic_references")
def a_resource_waits_for_what_its_properties_refer_to_and_not_for_its_update_policy():
    engine = module("services.cloudformation.engine")
    policy = {"CodeDeployLambdaAliasUpdate": {"ApplicationName": {"Ref": "App"}}}
    resource = {"Type": "AWS::Lambda::Alias", "Properties": {"A": {"Fn::GetAtt": ["B", "Arn"]}}, "UpdatePolicy": policy}
    assert engine._extract_deps(resource, {"App", "B", "C"}) == {"B"}
    assert {name for name, _ in engine._intrinsic_references(policy)} == {"App"}


@contract("services.cloudformation.engine", "_parse_template")
def templates_are_parsed_from_json_and_from_yaml_with_short_forms():
    parse = module("services.cloudformation.engine")._parse_template
    assert parse('{"Resources": {}}') == {"Resources": {}}
    assert parse("Resources:\n  A: !Ref B\n  C: !GetAtt D.Arn\n") == {
        "Resources": {"A": {"Ref": "B"}, "C": {"Fn::GetAtt": ["D", "Arn"]}}
    }
    with pytest.raises(ValueError, match="mapping"):
        parse("[1]")


@contract("services.cloudformation.helpers", "_error", "_p")
def parameters_are_read_and_errors_written_by_helpers():
    helpers = module("services.cloudformation.helpers")
    assert helpers._p({"StackName": ["a"]}, "StackName") == "a"
    assert helpers._p({}, "StackName", "") == ""
    status, _, body = helpers._error("ValidationError", "words")
    assert (status, b"words" in body) == (400, True)


@contract("services.cloudformation.handlers", "_resolve_stack")
def a_stack_is_found_by_its_name():
    stacks = module("services.cloudformation")._stacks
    stacks["s"] = {"StackName": "s", "StackId": "arn:x", "StackStatus": "CREATE_COMPLETE"}
    assert module("services.cloudformation.handlers")._resolve_stack("s")["StackId"] == "arn:x"


@contract("services.cloudformation.changesets", "_find_change_set")
def a_change_set_names_its_stack():
    package = module("services.cloudformation")
    package._change_sets["arn:c"] = {"ChangeSetName": "c", "StackName": "s"}
    find = module("services.cloudformation.changesets")._find_change_set
    assert find("c", "s") == ("arn:c", {"ChangeSetName": "c", "StackName": "s"})
    assert find("none", "s") == (None, None)


@contract("services.cloudformation.custom_resource", "_HOST")
def custom_resources_answer_to_a_host_of_the_module():
    resources = module("services.cloudformation.custom_resource")
    assert isinstance(resources._HOST, str)
    assert "{_HOST}" in inspect.getsource(resources)


@contract("services.cloudformation.stacks", "_runs_on_worker_thread")
def blocking_types_are_asked_for_by_a_name_of_the_module():
    stacks = module("services.cloudformation.stacks")
    assert stacks._runs_on_worker_thread("Custom::Any")
    assert not stacks._runs_on_worker_thread("AWS::SQS::Queue")
    assert inspect.getsource(stacks).count("if _runs_on_worker_thread(") >= 3


def test_every_hook_has_a_contract():
    hooked = sorted(f"{name}.{hook.partition('(')[0]}" for name, hooks in HOOKS.items() for hook in hooks)
    assert sorted(CONTRACTS) == hooked


STATEMENTS = {function.__name__: function for function in CONTRACTS.values()}


@pytest.mark.parametrize("statement", sorted(STATEMENTS))
def test_ministack_does_what_is_relied_on(statement):
    STATEMENTS[statement]()
