"""Reading a deployed model's past: boto3's own clients, and answers in the shapes of AWS's APIs, newest first."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import boto3
import pytest
from botocore.stub import ANY, Stubber
from typer.testing import CliRunner

from handlers.contract.key_hash import key_hash
from handlers.contract.records import Generation, Pointer, Run
from tests.unit.advice.weeks import entry
from turnout import cli
from turnout.advice import observed, observing
from turnout.deployed import Model
from turnout.errors import UserError

PAGES = json.loads((Path(__file__).parents[2] / "recorded/get_metric_data.json").read_text())
NOW = datetime(2026, 11, 23, 12, 30, tzinfo=UTC)
SINCE = datetime(2026, 11, 22, 10, 15, tzinfo=UTC)
OUTPUTS = {"EndpointName": "turnout-dev-churn-1", "InstanceType": "ml.c5.large", "InstanceCount": "3"}


class Churn(Model):
    """A deployed model with a ledger of three runs."""

    def pointer(self):
        return Pointer(scores="g7", results="g7") if self.state_machine else Pointer()

    def generation(self, generation_id):
        return generation_id and Generation(generation_id, "v", "t", "t", 50, 48, 2, 0, "string", "s3://b/p/", None, 1)

    def runs(self, limit):
        times = {1: ("2026-11-23T06:00:00Z", "2026-11-23T06:09:00Z"), 2: ("2026-11-22T11:00:00Z", None)}
        started = {
            "b": (*times[1], "succeeded"),
            "a": (*times[2], "failed"),
            "old": ("2026-11-01T06:00:00Z", None, "x"),
        }
        return [run(name, begun, ended, status) for name, (begun, ended, status) in started.items()]


def run(name, begun, ended, status):
    found = Run.__new__(Run)
    for field, value in {"id": name, "started_at": begun, "ended_at": ended, "status": status}.items():
        object.__setattr__(found, field, value)
    return found


def recorded(page):
    """Return a page with its moments read, as boto3 gives them."""
    read = [
        {**each, "Timestamps": [datetime.fromisoformat(moment) for moment in each["Timestamps"]]}
        for each in page["MetricDataResults"]
    ]
    return {**page, "MetricDataResults": read}


@pytest.fixture
def aws(monkeypatch):
    """Return a function that sets the stage: a model, what CloudWatch answers, the log's lines."""
    stubs = []

    def give(mode="realtime", pages=PAGES, messages=(), machine=None, job=None):
        model = Churn("churn", "dev", "stack", mode, "v", machine, "table", "door", OUTPUTS)
        made = {name: boto3.client(name, region_name="us-east-1") for name in NAMES}
        stubbed = {name: Stubber(client) for name, client in made.items()}
        token = {}
        for page in pages:
            asked = {"MetricDataQueries": ANY, "StartTime": ANY, "EndTime": NOW, **token}
            stubbed["cloudwatch"].add_response("get_metric_data", recorded(page), asked)
            token = {"NextToken": page.get("NextToken")}
        stacks = [{"StackName": "stack", "CreationTime": SINCE, "StackStatus": "CREATE_COMPLETE"}]
        stubbed["cloudformation"].add_response("describe_stacks", {"Stacks": stacks}, {"StackName": "stack"})
        logging = {"LoggingConfig": {"LogGroup": "door-log"}}
        stubbed["lambda"].add_response("get_function_configuration", logging, {"FunctionName": "door"})
        for day in range(2):
            events = [{"message": each, "timestamp": 1} for each in messages] if day else []
            asked = dict.fromkeys(("filterPattern", "startTime", "endTime", "limit"), ANY)
            stubbed["logs"].add_response("filter_log_events", {"events": events}, {**asked, "logGroupName": "door-log"})
        asked = {"TransformJobName": "dev-churn-b"}
        if job is None:
            stubbed["sagemaker"].add_client_error("describe_transform_job", "ValidationException", "Could not find it")
        else:
            stubbed["sagemaker"].add_response("describe_transform_job", {**JOB, **job}, asked)
        for stub in stubbed.values():
            stub.activate()
        stubs.extend(stubbed.values())
        monkeypatch.setattr(observing.boto3, "client", lambda service: made[service])
        monkeypatch.setattr(observing.deployed, "find_model", lambda stage, name: model)

    return give


NAMES = ("cloudwatch", "cloudformation", "lambda", "logs", "s3", "sagemaker")
#: What every description of a job holds.
JOB = {
    "TransformJobName": "dev-churn-b",
    "TransformJobArn": "arn:aws:sagemaker:us-east-1:123456789012:transform-job/dev-churn-b",
    "TransformJobStatus": "Completed",
    "ModelName": "m",
    "TransformInput": {"DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://b/shards/"}}},
    "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
    "CreationTime": datetime(2026, 11, 23, 6, 0, 10, tzinfo=UTC),
}


def line(key):
    return json.dumps({"status": 200, "key_hash": key_hash("churn", key)})


def test_requests_are_counted_by_hour_over_all_pages(aws):
    aws()
    seen = observing.see("dev", entry("realtime"), 7, NOW)
    assert {hour.isoformat(): count for hour, count in seen.by_hour.items()} == {
        "2026-11-22T16:00:00+00:00": 62,
        "2026-11-23T11:00:00+00:00": 38,
    }
    assert (seen.requests, seen.errors, seen.keyless) == (100, 1, 0)


def test_the_peak_is_that_of_the_busiest_minute(aws):
    aws()
    assert observing.see("dev", entry("realtime"), 7, NOW).peak == 0.5


def test_percentiles_are_weighted_by_the_days_and_in_seconds(aws):
    aws()
    seen = observing.see("dev", entry("realtime"), 7, NOW)
    assert (seen.door.count, seen.door.mean, seen.door.p95) == (100, 0.026, pytest.approx(0.07))
    assert (seen.model.mean, seen.model.p50) == (pytest.approx(0.0162), pytest.approx(0.0152))
    assert seen.age is None


def test_time_before_the_model_was_deployed_is_no_quiet_time(aws):
    aws()
    seen = observing.see("dev", entry("realtime"), 7, NOW)
    assert (seen.begin, seen.end) == (SINCE.replace(minute=0), NOW)


def test_the_entry_is_that_which_is_deployed(aws):
    aws()
    seen = observing.see("dev", entry("serverless", realtime={"max_instances": 5}), 7, NOW)
    assert (seen.entry.mode, seen.entry.realtime.instance_type) == ("realtime", "ml.c5.large")
    assert (seen.entry.realtime.instance_count, seen.entry.realtime.max_instances) == (3, 5)


def test_keys_are_sampled_from_the_front_doors_log(aws):
    aws(messages=[line("a"), line("a"), line("b"), "START RequestId: 1"])
    keys = observing.see("dev", entry("realtime"), 7, NOW).keys
    assert (keys.drawn, keys.distinct, keys.once, keys.twice) == (3, 2, 1, 1)


def test_runs_of_the_time_that_was_seen_are_counted_and_measured(aws):
    aws(mode="hybrid", machine="arn:machine")
    seen = observing.see("dev", entry("hybrid", schedule="rate(1 day)"), 7, NOW)
    assert (seen.rows, seen.runs, seen.failed_runs, seen.run_minutes) == (48, 1, 1, 9.0)
    assert seen.job_minutes is None  # SageMaker does not know the job any more


def test_a_run_is_billed_for_its_jobs_own_time(aws):
    times = {"TransformStartTime": NOW - timedelta(minutes=10), "TransformEndTime": NOW - timedelta(minutes=6)}
    aws(mode="hybrid", machine="arn:machine", job=times)
    seen = observing.see("dev", entry("hybrid", schedule="rate(1 day)"), 7, NOW)
    assert (seen.run_minutes, seen.job_minutes) == (9.0, 4.0)
    assert observed.workload(seen).minutes_of_a_run(1) == 4.0


def test_each_metric_is_asked_for_by_the_dimensions_that_it_has():
    model = Churn("churn", "dev", "stack", "realtime", "v", None, "table", "door", OUTPUTS)
    queries = {each["Id"]: each["MetricStat"] for each in observing._queries(model, timedelta(minutes=1))}
    assert len(queries) == observing.QUERIES
    assert queries["model_p95"] == {
        "Metric": {
            "Namespace": "AWS/SageMaker",
            "MetricName": "ModelLatency",
            "Dimensions": [
                {"Name": "EndpointName", "Value": "turnout-dev-churn-1"},
                {"Name": "VariantName", "Value": "AllTraffic"},
            ],
        },
        "Period": 86400,
        "Stat": "p95",
    }
    assert (queries["hits"]["Period"], queries["peak"]["Period"]) == (3600, 60)


def test_values_that_cloudwatch_withholds_are_no_quiet(aws):
    result = {"Id": "all", "Label": "Requests", "Timestamps": [], "Values": [], "StatusCode": "Forbidden"}
    aws(pages=[{"MetricDataResults": [result | {"Messages": [{"Code": "x", "Value": "not allowed"}]}]}])
    with pytest.raises(UserError, match=r"no values of all: Forbidden\. not allowed"):
        observing.see("dev", entry("realtime"), 7, NOW)


@pytest.mark.parametrize("days", [0, 61])
def test_days_that_cloudwatch_does_not_keep_are_refused(days):
    with pytest.raises(UserError, match="1 to 60"):
        observing.see("dev", entry("realtime"), days, NOW)


def test_the_command_says_so_where_nothing_is_deployed(tmp_path, monkeypatch):
    (tmp_path / "code").mkdir()
    (tmp_path / "models.yaml").write_text("models:\n  m: {mode: realtime, key: id, features: [x], code: code}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(observing.deployed, "deployed_models", lambda stage: [])
    ended = CliRunner().invoke(cli.app, ["advise", "--observed", "7"])
    assert "No model of models.yaml is deployed in stage dev" in str(ended.exception)
