"""Reading counts, log lines and keys, through fakes that answer as AWS does."""

import io
import json
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from handlers.contract.key_hash import key_hash
from handlers.contract.modes import ServingMode
from handlers.contract.records import Generation, Pointer
from turnout.switching import traffic
from turnout.switching.clients import FEW
from turnout.switching.traffic import LINES_A_DAY, UnreadableGeneration, keys, known_of, log_group, logged

P, H, R = ServingMode.PRECOMPUTE, ServingMode.HYBRID, ServingMode.REALTIME
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
START = NOW - timedelta(days=7)


class Model:
    """A deployed model whose generation g7 has the keys 1 and 2."""

    name, stage, front_door = "churn", "dev", "door"

    def __init__(self, mode="realtime", rows=2):
        self.mode, self.rows = mode, rows

    def pointer(self):
        return Pointer(results="g7")

    def generation(self, generation_id):
        uri = f"s3://data/results/churn/date=2026-11-22/run={generation_id}/"
        return Generation(generation_id, "v", "t", "t", self.rows, self.rows, 0, 0, "string", uri, None, 1)


class CloudWatch:
    def __init__(self, **sums):
        self.sums, self.asked = sums, []

    def get_paginator(self, name):
        assert name == "get_metric_data"
        return self

    def paginate(self, **request):
        self.asked.append(request)
        for query in request["MetricDataQueries"]:
            values = self.sums.get(query["Id"], [])
            yield {"MetricDataResults": [{"Id": query["Id"], "Values": values[:1]}]}
            yield {"MetricDataResults": [{"Id": query["Id"], "Values": values[1:]}]}


class Logs:
    """Log lines by day since START; one empty page comes before each day's lines."""

    def __init__(self, *days):
        self.days, self.asked = days, []

    def filter_log_events(self, **request):
        self.asked.append(request)
        if "nextToken" not in request:
            return {"events": [], "nextToken": "more"}
        day = round((request["startTime"] / 1000 - START.timestamp()) / 86400)
        lines = self.days[day] if day < len(self.days) else []
        return {"events": [{"message": line} for line in lines]}


class S3:
    def __init__(self, **files):
        self.files = files

    def get_paginator(self, name):
        assert name == "list_objects_v2"
        return self

    def paginate(self, Bucket, Prefix):
        assert (Bucket, Prefix) == ("data", "results/churn/date=2026-11-22/run=g7/")
        yield {}
        yield {"Contents": [{"Key": name} for name in [*self.files, "note.txt"]]}

    def get_object(self, Bucket, Key):
        sink = io.BytesIO()
        pq.write_table(pa.table({"id": self.files[Key], "p": [0.5] * len(self.files[Key])}), sink)
        return {"Body": io.BytesIO(sink.getvalue())}


class Lambda:
    def __init__(self, **configuration):
        self.configuration = configuration

    def get_function_configuration(self, FunctionName):
        return self.configuration


def line(*asked, mode="realtime"):
    hashes = [key_hash("churn", key) for key in asked]
    return json.dumps({"status": 200, "mode": mode, "key_hash": hashes if len(hashes) > 1 else hashes[0]})


def sampling(logs):
    """Return the clients that a comparison of logged keys with the generation takes."""
    return {"logs": logs, "s3": S3(**{"a.parquet": ["1", "2"]}), "lambda": Lambda()}


@pytest.fixture
def aws(monkeypatch):
    """Give the module these clients."""

    def give(**clients):
        monkeypatch.setattr(traffic.boto3, "client", lambda service: clients[service])

    return give


def test_counts_are_summed_over_pages_for_one_model(aws):
    cloudwatch = CloudWatch(all=[20.0], predictions=[5.0, 7.0], hits=[11.0], misses=[], keyless=[1.0])
    aws(cloudwatch=cloudwatch)
    found = traffic.recent(Model("hybrid"), "id", now=NOW)
    assert (found.requests, found.hits, found.misses, found.keyless) == (12, 11, 0, 1)
    (request,) = cloudwatch.asked
    assert (request["StartTime"], request["EndTime"]) == (START, NOW)
    metric = request["MetricDataQueries"][2]["MetricStat"]["Metric"]
    assert (metric["Namespace"], metric["MetricName"]) == ("Turnout", "Hits")
    assert metric["Dimensions"] == [{"Name": "Stage", "Value": "dev"}, {"Name": "Model", "Value": "churn"}]


def test_the_log_group_is_the_functions_own():
    assert log_group(Lambda(LoggingConfig={"LogGroup": "mine"}), "door") == "mine"
    assert log_group(Lambda(), "door") == "/aws/lambda/door"


def test_each_day_gives_its_first_lines_and_what_is_not_ours_is_passed_over():
    busy = [line("a")] * (LINES_A_DAY + 50)
    logs = Logs(busy, ["START RequestId: 1", "[1]", '{"status": 200}', line("b"), line("c", "d")])
    found = list(logged(logs, "mine", START, 7))
    assert found.count(key_hash("churn", "a")) == LINES_A_DAY
    assert found[LINES_A_DAY:] == [key_hash("churn", key) for key in "bcd"]
    assert {request["logGroupName"] for request in logs.asked} == {"mine"}


def test_pages_without_end_are_not_read_without_end():
    class Endless:
        calls = 0

        def filter_log_events(self, **request):
            self.calls += 1
            return {"events": [], "nextToken": "more"}

    endless = Endless()
    assert list(logged(endless, "mine", START, 1)) == []
    assert endless.calls == traffic.PAGES_A_DAY


def test_keys_come_from_the_generations_files():
    assert sorted(keys(S3(**{"a.parquet": ["1"], "b.parquet": ["2"]}), Model().generation("g7"), "id")) == ["1", "2"]


def test_a_key_column_that_had_another_name_is_said(aws):
    s3 = S3(**{"a.parquet": ["1"]})
    with pytest.raises(UnreadableGeneration, match="generation g7 has no column 'customer'"):
        list(keys(s3, Model().generation("g7"), "customer"))
    aws(cloudwatch=CloudWatch(predictions=[4]), logs=Logs([line("1")] * FEW), s3=s3, **{"lambda": Lambda()})
    found = traffic.recent(Model(), "customer", now=NOW)
    assert (found.coverage(R), found.requests) == (None, 4)
    assert "made while the key had another name" in found.obstacle


def test_a_file_that_is_no_parquet_is_said():
    class Broken(S3):
        def get_object(self, Bucket, Key):
            return {"Body": io.BytesIO(b"not parquet")}

    with pytest.raises(UnreadableGeneration, match="cannot be read"):
        list(keys(Broken(**{"a.parquet": []}), Model().generation("g7"), "id"))


def test_millions_of_keys_go_by_and_only_those_of_the_sample_are_kept():
    def endless():
        yield from (f"k{number}" for number in range(10**9))

    wanted = {key_hash("churn", key) for key in ("k3", "k50")}
    assert known_of(wanted, "churn", endless()) == wanted
    assert known_of({key_hash("churn", "x")}, "churn", ["a", "b"]) == set()


def test_lookups_that_were_counted_need_no_sample(aws):
    aws(cloudwatch=CloudWatch(predictions=[10], hits=[9], misses=[1], keyless=[0]))
    found = traffic.recent(Model("precompute"), "id", now=NOW)
    assert (found.requests, found.coverage(P), found.sampled) == (10, 0.9, 0)


def test_live_requests_are_sampled_against_the_newest_generation(aws):
    logs = Logs([line("1")] * 20 + [line("3")] * 10, [line(2)] * 10)
    aws(cloudwatch=CloudWatch(predictions=[40], keyless=[0]), **sampling(logs))
    found = traffic.recent(Model(), "id", now=NOW)
    assert (found.sampled, found.sampled_known, found.generation) == (40, 30, "g7")
    assert found.coverage(R) == 0.75
    assert logs.asked[0]["filterPattern"] == '{ ($.key_hash = "*") && ($.mode = "realtime") }'


def test_what_an_earlier_mode_was_asked_is_no_part_of_the_sample(aws):
    """The keys that were looked up have scores; those that the model is asked about now have none."""
    logs = Logs([line("1", mode="precompute")] * 100, [line("3")] * 30)
    aws(cloudwatch=CloudWatch(predictions=[1300], hits=[1000], keyless=[0]), **sampling(logs))
    found = traffic.recent(Model(), "id", now=NOW)
    assert (found.sampled, found.sampled_known, found.coverage(R)) == (30, 0, 0)


def test_requests_that_were_no_lookups_are_sampled_in_a_mode_that_looks_up_too(aws):
    logs = Logs([line("1", mode="hybrid")] * 30 + [line("3")] * 100)
    aws(cloudwatch=CloudWatch(predictions=[1300], hits=[300], keyless=[0]), **sampling(logs))
    assert traffic.recent(Model("hybrid"), "id", now=NOW).coverage(H) == 1


def test_a_few_logged_keys_are_not_compared(aws):
    aws(cloudwatch=CloudWatch(predictions=[1], keyless=[0]), logs=Logs([line("1")]), **{"lambda": Lambda()})
    found = traffic.recent(Model(), "id", now=NOW)
    assert (found.sampled, found.sampled_known, found.generation, found.coverage(R)) == (1, 0, None, None)


def test_a_quiet_week_is_not_sampled(aws):
    aws(cloudwatch=CloudWatch())
    assert traffic.recent(Model(), "id", now=NOW).requests == 0


def test_a_generation_too_large_to_read_leaves_coverage_unknown(aws):
    aws(cloudwatch=CloudWatch(predictions=[4]))
    assert traffic.recent(Model(rows=traffic.MOST_KEYS + 1), "id", now=NOW).coverage(R) is None


def test_without_logged_keys_coverage_is_unknown(aws):
    aws(cloudwatch=CloudWatch(predictions=[4]), logs=Logs(), **{"lambda": Lambda()})
    assert traffic.recent(Model(), "id", now=NOW).coverage(R) is None


def test_hashes_tell_keys_and_models_apart_and_numbers_are_text():
    assert key_hash("churn", 1) == key_hash("churn", "1") != key_hash("churn", "01")
    assert key_hash("churn", "1") != key_hash("other", "1")
    assert len(key_hash("m" * 32, "k" * 2000)) == 16
