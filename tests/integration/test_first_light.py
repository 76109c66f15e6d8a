"""The main job through the real templates: scheduled, scored, published, looked up."""

import io
import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from benchmarks.write_units import read_units, write_units
from handlers.contract import layout, metrics
from handlers.logic.moments import format_moment
from tests.integration.pipeline_runs import (
    counted,
    follow,
    generation_items,
    lambda_processes,
    objects,
    put_input,
    receipts,
    run,
    wait_for,
)
from turnout import runs
from turnout.local import control

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def broken_input(tmp_path_factory):
    """The CDNOW customers as four Parquet files, 100 of 23,570 rows broken; and what was broken how."""
    folder = tmp_path_factory.mktemp("input")
    command = [sys.executable, "model_code/churn/make_input.py", "--out", str(folder), "--files", "4", "--break", "100"]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    files = {path.name: path.read_bytes() for path in sorted(folder.glob("*.parquet"))}
    return files, json.loads((folder / "_broken.json").read_text())


@pytest.fixture(scope="module")
def churn_input(client, platform, broken_input):
    files, broken = broken_input
    put_input(client, platform, "churn", files)
    return broken


@pytest.fixture(scope="module")
def first_generation(model, platform, churn_input):
    ended = run(model("churn"), platform)
    assert ended.status == "SUCCEEDED", ended.run
    return ended.run


def parquet_scores(client, run_entry) -> dict[str, float]:
    bucket, _, prefix = run_entry.report["results_uri"].removeprefix("s3://").partition("/")
    s3 = client("s3")
    scores = {}
    for item in s3.list_objects_v2(Bucket=bucket, Prefix=prefix)["Contents"]:
        body = s3.get_object(Bucket=bucket, Key=item["Key"])["Body"].read()
        table = pq.read_table(io.BytesIO(body))
        scores.update(zip(table["customer_id"].to_pylist(), table["churn_probability"].to_pylist(), strict=True))
    return scores


def test_a_run_serves_every_good_row_and_names_every_broken_one(client, platform, first_generation, churn_input):
    report = first_generation.report
    assert (report["rows_in"], report["rows_scored"], report["rows_quarantined"]) == (23_570, 23_470, 100)
    assert report["rows_published"] == 23_470
    bucket, _, key = report["quarantine_uri"].removeprefix("s3://").partition("/")
    lines = client("s3").get_object(Bucket=bucket, Key=key)["Body"].read().decode().splitlines()
    quarantined = [json.loads(line) for line in lines]
    found = {row["row"]: [reason["code"] for reason in row["reasons"]] for row in quarantined}
    assert found == {row["row"]: [row["way"]] for row in churn_input}
    assert report["reasons"] == dict.fromkeys({row["way"] for row in churn_input}, 10)
    assert len(report["reasons"]) == 10
    assert all(row["reasons"][0]["message"] and row["file"].endswith(".parquet") for row in quarantined)


def test_every_score_in_parquet_is_what_the_front_door_answers(client, door, first_generation):
    scores = parquet_scores(client, first_generation)
    assert len(scores) == 23_470
    for key in sorted(scores)[::400]:
        answer = door.lookup("churn", key)
        assert answer.status == 200, answer
        assert answer.body["prediction"] == scores[key]
        assert answer.body["key"] == key
        assert answer.body["generation"] == first_generation.id
        assert answer.body["mode"] == "precompute"
        assert answer.body["stale"] is False


def test_scores_equal_the_model_in_process(client, trained, first_generation, broken_input):
    import joblib
    import numpy as np

    files, _ = broken_input
    scores = parquet_scores(client, first_generation)
    estimator = joblib.load(trained / "model.joblib")
    table = pq.read_table(io.BytesIO(next(iter(files.values()))))
    names = [name for name in table.column_names if name != "customer_id"]
    rows = [row for row in table.slice(0, 300).to_pylist() if row["customer_id"] in scores]
    assert len(rows) > 250
    features = np.array([[row[name] for name in names] for row in rows], dtype=float)
    expected = estimator.predict_proba(features)[:, 1]
    assert [scores[row["customer_id"]] for row in rows] == expected.tolist()


@pytest.mark.local_only("a deterministic second delivery and a clock that can be hurried")
def test_a_schedule_that_fires_twice_for_one_slot_makes_one_job_and_one_generation(
    client, cloud, model, platform, first_generation
):
    churn = model("churn")
    before = {e["executionArn"] for e in runs.executions(churn)}
    jobs_before = len(transform_jobs(client, "dev-churn-"))
    duplicates_before = metric_sum(client, "churn", metrics.RUN_DUPLICATE)
    control.set_faults(cloud, scheduler_deliveries=2)
    (fired, *_) = control.advance_schedule(cloud, f"{churn.stack}/ServingTrigger")
    control.set_faults(cloud, scheduler_deliveries=1)
    fresh = wait_for(
        lambda: len(found := [e for e in runs.executions(churn) if e["executionArn"] not in before]) == 2 and found,
        "two executions",
    )
    ended = [follow(churn, platform, execution["executionArn"]) for execution in fresh]
    assert [end.status for end in ended] == ["SUCCEEDED"] * 2
    assert sorted(end.duplicate for end in ended) == [False, True]
    slot = fired["scheduled_time"].replace("-", "").replace(":", "")
    assert len(transform_jobs(client, slot)) == 1
    assert len(transform_jobs(client, "dev-churn-")) == jobs_before + 1
    wait_for(lambda: metric_sum(client, "churn", metrics.RUN_DUPLICATE) == duplicates_before + 1, "the duplicate")
    assert [entry.id for entry in churn.runs(100)].count(slot) == 1
    assert churn.pointer().scores == slot


def transform_jobs(client, part: str) -> list[str]:
    pages = client("sagemaker").get_paginator("list_transform_jobs").paginate(NameContains=part)
    return [job["TransformJobName"] for page in pages for job in page["TransformJobSummaries"]]


def running(model) -> str | None:
    return next((entry.id for entry in model.runs(100) if entry.status == "running"), None)


@pytest.mark.local_only("kills the function's process")
def test_publishing_killed_half_way_leaves_the_old_generation_and_the_retry_completes_the_new_one(
    client, cloud, model, platform, door, first_generation
):
    churn = model("churn")
    old = churn.pointer().scores
    key = "00001"
    execution = runs.start(churn)
    new = wait_for(lambda: running(churn), "a run in the ledger")
    control.set_faults(cloud, throttled_table=churn.table_name, throttled_seconds=60)
    shards = wait_for(lambda: prepared_shards(client, platform, new), "the shards")
    wait_for(lambda: receipts(client, platform, "churn", new) == shards, "every shard to be published, none packed")
    victims = lambda_processes(cloud, "Publish")
    assert victims, "the publishing function has a process"
    for process in victims:
        process.kill()
    control.set_faults(cloud)
    answer = door.lookup("churn", key)
    assert (answer.status, answer.body["generation"]) == (200, old)
    ended = follow(churn, platform, execution)
    assert ended.status == "SUCCEEDED", ended.run
    assert ended.run.report["rows_published"] == 23_470
    buckets = churn.generation(new).buckets
    # Beside its buckets a partition has the note of how far its packer came.
    assert len(generation_items(client, churn.table_name, new)) <= sum(buckets) + len(buckets) < 150
    wait_for(lambda: door.lookup("churn", key).body["generation"] == new, "the new generation", seconds=10)


def prepared_shards(client, platform, run_id) -> int:
    """Count a run's transform output: as many as its shards, once the job has ended."""
    shards = objects(client, platform, layout.shards_prefix("churn", run_id))
    done = objects(client, platform, layout.transform_prefix("churn", run_id))
    return len(shards) if len(done) == len(shards) else 0


def test_a_generation_costs_what_the_documented_rules_say(client, model, first_generation):
    churn, dynamodb = model("churn"), client("dynamodb")
    stored = generation_items(client, churn.table_name, first_generation.id)
    written = 0.0
    for start in range(0, len(stored), 25):
        puts = [{"PutRequest": {"Item": item}} for item in stored[start : start + 25]]
        answer = dynamodb.batch_write_item(RequestItems={churn.table_name: puts}, ReturnConsumedCapacity="TOTAL")
        assert not answer["UnprocessedItems"]
        written += answer["ConsumedCapacity"][0]["CapacityUnits"]
    assert written == sum(map(write_units, stored)) < 23_470 / 50
    for item in stored:
        name = {"pk": item["pk"], "sk": item["sk"]}
        read = dynamodb.get_item(TableName=churn.table_name, Key=name, ReturnConsumedCapacity="TOTAL")
        assert read["ConsumedCapacity"]["CapacityUnits"] == read_units(item) == 0.5


def test_rolling_back_serves_the_previous_generation_at_once(model, platform, door, first_generation):
    churn = model("churn")
    assert run(churn, platform).status == "SUCCEEDED"
    pointer = churn.pointer()
    ended = subprocess.run(
        [sys.executable, "-m", "turnout", "rollback", "churn", "--json"], cwd=ROOT, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["to"] == pointer.previous_scores
    wait_for(
        lambda: door.lookup("churn", "00001").body["generation"] == pointer.previous_scores,
        "the previous generation",
        seconds=5,
    )


#: Amazon's HTTP APIs decode a path more than once, so keys with these characters are asked for in a body (docs/api.md).
NOT_IN_PATHS = set("%?#")
KEYS = ["plain", "00001", "a/b", "a b", "a+b", "100%", "50%25", "ünïcode", "日本", "?q=1&r#x", "..", "a//b", "e\u0301"]


def test_keys_come_back_exactly_as_they_are_in_the_data(client, cloud, model, platform, door):
    rows = [json.dumps({"name": key, "x": number}) for number, key in enumerate(KEYS)]
    put_input(client, platform, "odd", {"rows.jsonl": "\n".join(rows).encode()})
    ended = run(model("odd"), platform)
    assert ended.status == "SUCCEEDED", ended.run
    for number, key in enumerate(KEYS):
        in_path = cloud is not None or not NOT_IN_PATHS & set(key)
        answer = door.lookup("odd", key) if in_path else door.predict("odd", {"key": key})
        assert (answer.status, answer.body.get("key"), answer.body.get("prediction")) == (200, key, number * 2.0), key
    several = door.predict("odd", {"instances": [{"key": key} for key in [*KEYS, "absent"]]})
    assert [entry.get("prediction") for entry in several.body["predictions"]] == [
        *(number * 2.0 for number in range(len(KEYS))),
        None,
    ]
    assert several.body["predictions"][-1]["error"]["code"] == "unknown_key"


def test_a_container_that_fails_on_one_shard_fails_the_run_and_shows_nothing_new(client, model, platform, door):
    cracked = model("cracked")
    now = format_moment(datetime.now(UTC))
    good = "name,x,at\n" + "".join(f"k{n},{n % 600},{now}\n" for n in range(3_000))
    put_input(client, platform, "cracked", {"rows.csv": good.encode()})
    first = run(cracked, platform)
    assert first.status == "SUCCEEDED", first.run
    assert alarm_state(client, "cracked", metrics.RUN_FAILED) != "ALARM"
    put_input(client, platform, "cracked", {"rows.csv": (good + f"bad,666,{now}\n").encode()})
    ended = run(cracked, platform)
    assert (ended.status, ended.run.status, ended.run.error) == ("FAILED", "failed", "States.TaskFailed")
    assert layout.job_name("dev", "cracked", ended.run.id) in ended.run.cause
    # Only the shard with the bad row, the last one, has no output; it was not alone.
    shards = objects(client, platform, layout.shards_prefix("cracked", ended.run.id))
    outputs = objects(client, platform, layout.transform_prefix("cracked", ended.run.id))
    assert len(shards) >= 3
    assert outputs == [f"{name}.out" for name in shards[:-1]]
    assert not [key for key in objects(client, platform, layout.results_root("cracked")) if ended.run.id in key]
    assert generation_items(client, cracked.table_name, ended.run.id) == []
    assert cracked.pointer().scores == first.run.id
    assert door.lookup("cracked", "bad").status == 404
    assert door.lookup("cracked", "k1").body["generation"] == first.run.id
    wait_for(lambda: metric_sum(client, "cracked", metrics.RUN_FAILED) == 1, "the metric")
    wait_for(lambda: alarm_state(client, "cracked", metrics.RUN_FAILED) == "ALARM", "the alarm to ring")


def test_too_many_bad_rows_stop_the_run_with_the_numbers(client, model, platform):
    fragile = model("fragile")
    rows = "name,x\n" + "".join(f"k{n},{n}\n" for n in range(6)) + "".join(f"b{n},lots\n" for n in range(4))
    put_input(client, platform, "fragile", {"rows.csv": rows.encode()})
    ended = run(fragile, platform)
    assert ended.status == "FAILED"
    assert ended.run.error == "TooManyBadRows"
    assert "4" in ended.run.cause
    assert "10" in ended.run.cause
    assert "25" in ended.run.cause


def test_missing_columns_and_empty_input_are_named(client, model, platform):
    fragile = model("fragile")
    put_input(client, platform, "fragile", {"rows.csv": b"name,y\nk1,1\n"})
    ended = run(fragile, platform)
    assert ended.run.error == "MissingColumns"
    assert "'x'" in ended.run.cause or " x" in ended.run.cause
    put_input(client, platform, "fragile", {})
    assert run(fragile, platform).run.error == "EmptyInput"


def alarm_state(client, model: str, metric: str) -> str:
    pages = client("cloudwatch").get_paginator("describe_alarms").paginate()
    (alarm,) = (
        alarm
        for page in pages
        for alarm in page["MetricAlarms"]
        if alarm.get("MetricName") == metric and {"Name": "Model", "Value": model} in alarm["Dimensions"]
    )
    return alarm["StateValue"]


def metric_sum(client, model: str, name: str) -> float:
    return counted(client, metrics.NAMESPACE, name, Stage="dev", Model=model)


@pytest.fixture(scope="module")
def new_data(client, model, platform, broken_input):
    """The run that a marker starts, of a model whose shards travel as Parquet."""
    files, _ = broken_input
    weekly = model("weekly")
    before = {execution["executionArn"] for execution in runs.executions(weekly)}
    fresh = lambda: [e for e in runs.executions(weekly) if e["executionArn"] not in before]  # noqa: E731
    put_input(client, platform, "weekly", {name: files[name] for name in list(files)[:1]})
    assert fresh() == []
    put_input(client, platform, "weekly", {**{name: files[name] for name in list(files)[:1]}, "_SUCCESS": b""})
    started = wait_for(fresh, "an execution")
    return follow(weekly, platform, started[0]["executionArn"])


def test_new_data_starts_a_run_when_the_marker_arrives(client, model, new_data, door):
    assert new_data.status == "SUCCEEDED", new_data.run
    assert new_data.run.trigger == "new_data"
    answer = door.lookup("weekly", "00001")
    assert (answer.status, answer.body["error"]["code"]) == (409, "not_servable_live")
    assert new_data.run.report["results_uri"] in json.dumps(answer.body)
    assert generation_items(client, model("weekly").table_name, new_data.run.id) == []


def test_parquet_on_the_wire_gives_the_same_scores_and_quarantine_as_csv(
    client, platform, first_generation, new_data, churn_input
):
    assert new_data.status == "SUCCEEDED", new_data.run
    wire = {
        name.rpartition(".")[2] for name in objects(client, platform, layout.shards_prefix("weekly", new_data.run.id))
    }
    answers = objects(client, platform, layout.transform_prefix("weekly", new_data.run.id))
    assert wire == {"parquet"}
    assert {name.partition(".")[2] for name in answers} == {"parquet.out"}
    assert len(answers) == 4
    report = new_data.run.report
    assert report["rows_quarantined"] == sum(row["row"] <= report["rows_in"] for row in churn_input) > 0
    as_csv, as_parquet = parquet_scores(client, first_generation), parquet_scores(client, new_data.run)
    assert len(as_parquet) == report["rows_scored"] > 5_000
    assert as_parquet == {key: as_csv[key] for key in as_parquet}


def test_what_no_model_claims_is_answered_with_a_code(door):
    answer = door.lookup("nobody", "1")
    assert (answer.status, answer.body["error"]["code"]) == (404, "unknown_model")


def test_the_front_door_describes_a_model(door, first_generation):
    answer = door.describe("churn")
    assert answer.status == 200, answer
    assert answer.body["mode"] == "precompute"
    assert answer.body["schema"]["key"] == {"column": "customer_id", "type": "string"}
    assert answer.body["freshness"]["rows"] == 23_470


def test_the_ready_curl_works_as_it_is(door, first_generation):
    command = door.describe("churn").body["curl"].replace("KEY", "00001")
    ended = subprocess.run(["bash", "-c", f"{command} --silent --show-error"], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["key"] == "00001"
