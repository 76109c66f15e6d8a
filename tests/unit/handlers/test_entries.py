"""Entries end to end against AWS in process: what Lambda would call, with what it would pass."""

import base64
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from handlers import conclude, predict, prepare, publish, start, unknown_model
from handlers.adapters.attributes import to_attributes
from handlers.adapters.clients import client
from handlers.adapters.sagemaker_endpoint import SageMakerEndpoint, SageMakerQueue
from handlers.adapters.score_table import items
from handlers.contract import metrics
from handlers.contract.env import MissingEnvironment
from handlers.contract.errors import TooManyBadRows
from handlers.contract.key_hash import key_hash
from handlers.contract.records import Generation, Pointer
from handlers.logic.live_ports import Places
from handlers.logic.packing import pack
from tests.unit.handlers.conftest import BUCKET, TABLE, forget_environments, predict_env
from tests.unit.handlers.datasets import parquet
from tests.unit.handlers.fakes import event

ROOT = Path(__file__).resolve().parents[3]


def put_rows(rows):
    client("s3").put_object(Bucket=BUCKET, Key="input/m/part.parquet", Body=parquet(rows))


def transform(started):
    """Do what Batch Transform does with a model that halves its feature."""
    s3 = client("s3")
    prefix = started["shards_uri"].removeprefix(f"s3://{BUCKET}/")
    for entry in s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix)["Contents"]:
        lines = s3.get_object(Bucket=BUCKET, Key=entry["Key"])["Body"].read().decode().splitlines()
        output = "".join(f"{row},{float(x) / 2!r}\n" for row, x in (line.split(",") for line in lines))
        target = entry["Key"].replace("/shards/", "/transform/") + ".out"
        s3.put_object(Bucket=BUCKET, Key=target, Body=output.encode())


def run_pipeline(slot="2026-11-23T06:00:00Z", scored_at="2026-11-23T06:09:12.345Z"):
    started = start.handler(event("trigger_schedule", slot=slot), None)
    prepared = prepare.handler(started, None)
    transform(started)
    published = [
        publish.handler(
            {
                "run_id": started["run_id"],
                "shard": shard,
                "scored_at": scored_at,
                "model_version": "v7",
                "key_type": prepared["key_type"],
                "partitions": prepared["partitions"],
            },
            None,
        )
        for shard in prepared["shards"]
    ]
    packing = {name: prepared[name] for name in ("shards", "partitions")}
    packing |= {"run_id": started["run_id"], "scored_at": scored_at, "retention_seconds": 30 * 86_400}
    packed = [publish.handler({**packing, "partition": number}, None) for number in prepared["partitions"]]
    closing = {
        "outcome": "succeeded",
        "run_id": started["run_id"],
        "execution": event("trigger_schedule")["execution"],
        "started_at": started["started_at"],
        "scored_at": scored_at,
        "model_version": "v7",
        "retention_seconds": 30 * 86_400,
        "prepared": prepared,
        "published": published,
        "packed": packed,
    }
    return started, prepared, conclude.handler(json.loads(json.dumps(closing)), None)


def ask(name, **changes):
    response = predict.handler(event(name, **changes), None)
    return response["statusCode"], json.loads(response["body"])


def lookup(key):
    return ask("http_lookup", routeKey="GET /models/m/predictions/{key+}", pathParameters={"key": key})


def metric_sum(name):
    found = client("cloudwatch").get_metric_data(
        MetricDataQueries=[
            {
                "Id": "m",
                "MetricStat": {
                    "Metric": {
                        "Namespace": metrics.NAMESPACE,
                        "MetricName": name,
                        "Dimensions": [{"Name": "Stage", "Value": "dev"}, {"Name": "Model", "Value": "m"}],
                    },
                    "Period": 3600,
                    "Stat": "Sum",
                },
            }
        ],
        StartTime="2020-01-01T00:00:00Z",
        EndTime="2040-01-01T00:00:00Z",
    )
    return sum(found["MetricDataResults"][0]["Values"])


def test_a_row_goes_from_parquet_to_a_json_answer(model):
    put_rows([{"id": "00001", "x": 0.1}, {"id": "a/b", "x": 3.0}, {"id": "bad", "x": -1.0}])
    _, prepared, concluded = run_pipeline()
    assert (prepared["rows_in"], prepared["rows_quarantined"]) == (3, 1)
    assert concluded == {"run_id": "20261123T060000Z", "status": "succeeded", "visible": True}
    status, body = lookup("a/b")
    assert (status, body["prediction"], body["generation"]) == (200, 1.5, "20261123T060000Z")
    assert lookup("00001")[1]["prediction"] == 0.05
    assert lookup("bad")[0] == 404
    assert metric_sum(metrics.RUN_SUCCEEDED) == 1
    assert metric_sum(metrics.ROWS_QUARANTINED) == 1


def test_keys_that_vanish_from_the_input_do_not_linger(model):
    put_rows([{"id": "a", "x": 1.0}, {"id": "b", "x": 2.0}])
    run_pipeline()
    put_rows([{"id": "a", "x": 5.0}])
    run_pipeline("2026-11-24T06:00:00Z", "2026-11-24T06:09:00Z")
    predict.door.cache_clear()
    assert lookup("a")[1]["prediction"] == 2.5
    assert lookup("b")[0] == 404


def test_a_second_execution_for_a_slot_is_told_and_counted(model):
    start.handler(event("trigger_schedule"), None)
    assert start.handler(event("trigger_schedule", execution="arn:other"), None)["duplicate"] is True
    assert start.handler(event("trigger_schedule"), None)["duplicate"] is False
    assert metric_sum(metrics.RUN_DUPLICATE) == 1


def test_a_failed_step_is_recorded_and_the_old_scores_stay(model):
    put_rows([{"id": "a", "x": 1.0}])
    run_pipeline()
    put_rows([{"id": "a", "x": -1.0}])
    started = start.handler(event("trigger_schedule", slot="2026-11-24T06:00:00Z"), None)
    with pytest.raises(TooManyBadRows):
        prepare.handler(started, None)
    failed = event("conclude_failed_lambda", run_id=started["run_id"])
    assert conclude.handler(failed, None)["status"] == "failed"
    assert metric_sum(metrics.RUN_FAILED) == 1
    predict.door.cache_clear()
    assert lookup("a")[1]["generation"] == "20261123T060000Z"


def test_each_request_writes_one_line_that_cloudwatch_reads_as_metrics(model, capsys):
    put_rows([{"id": "a", "x": 1.0}])
    run_pipeline()
    lookup("a")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1
    line = json.loads(lines[0])
    (directive,) = line["_aws"]["CloudWatchMetrics"]
    assert (directive["Namespace"], directive["Dimensions"]) == ("Turnout", [["Stage", "Model"]])
    assert {metric["Name"] for metric in directive["Metrics"]} <= line.keys()
    assert {"Name": "AgeSeconds", "Unit": "Seconds"} in directive["Metrics"]
    assert (line["Stage"], line["Model"], line["Requests"], line["Hits"], line["Errors"]) == ("dev", "m", 1, 1, 0)
    assert (line["status"], line["request_id"]) == (200, "Uj3kWhPpoAMEPQg=")
    assert line["HandlerMilliseconds"] > 0
    assert '"a"' not in lines[0], "keys may identify people"


def test_a_table_that_is_gone_is_503_without_a_word_about_why(model, capsys):
    client("dynamodb").delete_table(TableName=TABLE)
    response = predict.handler(event("http_lookup", routeKey="GET /models/m/predictions/{key+}"), None)
    assert (response["statusCode"], response["headers"]["retry-after"]) == (503, "1")
    assert "ResourceNotFound" not in response["body"]
    line = json.loads(capsys.readouterr().out)
    assert "ResourceNotFound" in line["cause"]
    assert (line["Errors"], line["error"]) == (1, "store_unavailable")


def test_what_nobody_foresaw_is_500_with_the_request_id_and_its_stack_in_the_log(model, capsys, monkeypatch):
    monkeypatch.setattr(predict, "answer", lambda *args: 1 / 0)
    status, body = ask("http_lookup")
    assert (status, body["error"]["code"], body["error"]["request_id"]) == (500, "internal_error", "Uj3kWhPpoAMEPQg=")
    assert "ZeroDivisionError" not in json.dumps(body)
    line = json.loads(capsys.readouterr().out)
    assert "ZeroDivisionError" in line["stack"]
    assert (line["level"], line["Errors"]) == ("ERROR", 1)


def test_a_description_reads_the_card(model):
    status, body = ask("http_describe", routeKey="GET /models/m")
    assert (status, body["schema"]["features"][0]["name"], body["freshness"]) == (200, "x", None)


@pytest.mark.parametrize(
    ("name", "code", "says"),
    [
        ("http_unclaimed_model", "unknown_model", "no model 'nobody' is deployed in stage 'dev'"),
        ("http_unclaimed_named_stage", "unknown_model", "no model 'nobody'"),
        ("http_unclaimed_path", "unknown_route", "there is no GET /favicon.ico"),
        ("http_unclaimed_method", "unknown_route", "there is no HEAD /models/churn/predictions/1"),
    ],
)
def test_what_no_model_claims_is_404_with_a_code(model, name, code, says):
    response = unknown_model.handler(event(name), None)
    error = json.loads(response["body"])["error"]
    assert (response["statusCode"], response["headers"]["content-type"]) == (404, "application/json")
    assert error["code"] == code
    assert says in error["message"]


def test_a_function_without_its_environment_says_what_is_missing(model, monkeypatch):
    monkeypatch.delenv("TURNOUT_TABLE")
    with pytest.raises(MissingEnvironment, match="TURNOUT_TABLE"):
        start.handler(event("trigger_schedule"), None)


class TestLiveModes:
    """The whole front door in each mode that asks a model, with SageMaker's answers in its place."""

    @pytest.fixture
    def deployed(self, model, monkeypatch):
        bodies = []

        def invoke(endpoint, body, content_type):
            bodies.append(body)
            return b"0.25\n" * len(body.splitlines())

        def put(queue, request_id, payload, content_type, *, expiry, invocation):
            bodies.append(payload)
            return Places(f"s3://{BUCKET}/async/m/output/{request_id}", f"s3://{BUCKET}/async/m/failed/{request_id}")

        monkeypatch.setattr(SageMakerEndpoint, "invoke", invoke)
        monkeypatch.setattr(SageMakerQueue, "put", put)

        def deploy(mode, **settings):
            for name, value in predict_env(mode, **settings).to_environ().items():
                monkeypatch.setenv(name, value)
            forget_environments()
            return bodies

        return deploy

    def post(self, body, route="POST /models/m/predictions"):
        response = predict.handler(event("http_predict_key", routeKey=route, body=json.dumps(body)), None)
        return response["statusCode"], json.loads(response["body"])

    @pytest.mark.parametrize("mode", ["realtime", "serverless"])
    def test_the_model_is_asked_and_its_answer_given(self, deployed, mode, capsys):
        bodies = deployed(mode)
        status, body = self.post({"key": "a", "features": {"x": 1}})
        assert (status, body["prediction"], body["source"], body["mode"]) == (200, 0.25, "live", mode)
        assert bodies == [b"1\n"]
        line = json.loads(capsys.readouterr().out)
        assert (line["LiveCalls"], line["Hits"], line["status"]) == (1, 0, 200)

    def test_hybrid_remembers_in_the_table(self, deployed):
        bodies = deployed("hybrid", fallback="realtime", remember_seconds=60, max_live_per_minute=9)
        sources = [self.post({"key": "a", "features": {"x": 1}})[1]["source"] for _ in range(2)]
        assert (sources, len(bodies)) == (["live", "remembered"], 1)

    def test_an_asynchronous_request_is_polled_from_the_table_and_the_bucket_also_after_a_switch(self, deployed):
        deployed("async")
        status, accepted = self.post({"key": "a", "features": {"x": 1}})
        poll = event(
            "http_poll",
            routeKey="GET /models/m/predictions",
            queryStringParameters={"request": accepted["request"]},
        )
        assert (status, predict.handler(poll, None)["statusCode"]) == (202, 202)
        output = f"async/m/output/{accepted['request']}"
        client("s3").put_object(Bucket=BUCKET, Key=output, Body=b"0.25\n")
        deployed("precompute")
        response = predict.handler(poll, None)
        assert response["statusCode"] == 200
        assert json.loads(response["body"])["prediction"] == 0.25

    def test_an_upload_is_handed_out_and_accepted(self, deployed):
        bodies = deployed("async")
        status, handed = self.post({}, "POST /models/m/uploads")
        key = f"async/m/input/{handed['upload']}"
        assert (status, key in handed["url"]) == (200, True)
        client("s3").put_object(Bucket=BUCKET, Key=key, Body=b"1\n2\n")
        assert self.post({"upload": handed["upload"]})[0] == 202
        assert bodies == [f"s3://{BUCKET}/{key}"]

    def test_one_request_in_ten_leaves_the_hash_of_its_key_in_the_log(self, deployed, capsys):
        deployed("realtime")
        asked = event(
            "http_predict_key",
            routeKey="POST /models/m/predictions",
            body=json.dumps({"key": "secret", "features": {"x": 1}}),
        )
        for number in range(300):
            context = {**asked["requestContext"], "requestId": f"request-{number}"}
            predict.handler({**asked, "requestContext": context}, None)
        out = capsys.readouterr().out
        hashes = [line["key_hash"] for line in map(json.loads, out.splitlines()) if "key_hash" in line]
        assert 10 <= len(hashes) <= 60
        assert set(hashes) == {key_hash("m", "secret")}
        assert "secret" not in out


HIT = """
import json, sys
from handlers import predict
response = predict.handler(json.loads(sys.argv[1]), None)
print(json.dumps({"response": response, "modules": sorted(sys.modules)}))
"""

ITEMS = {
    "POINTER": Pointer("G", "G", None, 1).to_item(),
    "GENERATION": Generation(
        "G", "v7", "2026-11-23T06:00:00Z", "", 1, 1, 0, 1, "string", "s3://", None, 2**40, [1]
    ).to_item(),
}
STORED = {name: to_attributes(item) for name, item in ITEMS.items()}
(BUCKET_ITEM,) = items("G", 0, pack(["00001"], [0.5]), 2**40)
STORED["G#0.0"] = {**BUCKET_ITEM, "b": {"B": base64.b64encode(BUCKET_ITEM["b"]["B"]).decode()}}


class OneTable(BaseHTTPRequestHandler):
    """As much of DynamoDB's protocol as a lookup needs."""

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        item = STORED.get(request["Key"]["pk"]["S"])
        body = json.dumps({"Item": item} if item else {}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/x-amz-json-1.0")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        """Stay silent."""


@pytest.fixture
def dynamodb_endpoint():
    with ThreadingHTTPServer(("127.0.0.1", 0), OneTable) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


#: What a lookup loaded before there were live modes, and loads still: nothing of what asks a model.
ADAPTERS_OF_A_HIT = {
    "attributes",
    "dynamodb_http",
    "http_connection",
    "records_table",
    "score_table",
    "sigv4",
    "store_errors",
}
CONTRACT_OF_A_HIT = {"env", "errors", "key_hash", "metrics", "modes", "payloads", "predictions", "records"}
LOGIC_OF_A_HIT = {"answers", "buckets", "lookup", "moments", "ports", "predictors", "requests", "telemetry"}


@pytest.mark.parametrize("mode", ["precompute", "hybrid"])
def test_a_hit_imports_nothing_that_it_does_not_use(model, dynamodb_endpoint, mode):
    request = event("http_lookup", routeKey="GET /models/m/predictions/{key+}")
    ended = subprocess.run(
        [sys.executable, "-S", "-c", HIT, json.dumps(request)],  # -S: what a virtual environment loads is not ours
        cwd=ROOT,
        env={**os.environ, "AWS_ENDPOINT_URL_DYNAMODB": dynamodb_endpoint, "TURNOUT_MODE": mode},
        capture_output=True,
        text=True,
        check=True,
    )
    outcome = json.loads(ended.stdout.splitlines()[-1])
    assert json.loads(outcome["response"]["body"])["prediction"] == 0.5
    loaded = set(outcome["modules"])
    assert "handlers.logic.lookup" in loaded
    light = ("email", "random", "ssl", "stringprep", "urllib")
    heavy = ("boto3", "botocore", "urllib3", "s3transfer", "pyarrow", "numpy", "pydantic", "aws_lambda_powertools")
    assert {name for name in loaded if name.split(".")[0] in (*heavy, *light)} == set()
    ours = {name.removeprefix("handlers.") for name in loaded if name.startswith("handlers.")}
    assert ours <= {
        "predict",
        "adapters",
        *(f"adapters.{name}" for name in ADAPTERS_OF_A_HIT),
        "contract",
        *(f"contract.{name}" for name in CONTRACT_OF_A_HIT),
        "logic",
        *(f"logic.{name}" for name in LOGIC_OF_A_HIT),
    }
