"""The bill of a month, against sums that were worked out by hand from the list prices."""

import heapq
import json
import math
import random

import pytest

from handlers.contract.modes import AVAILABLE, ServingMode
from handlers.logic import lookup, scores
from turnout import cost, prices
from turnout.config import STAGES
from turnout.config.specs import ModelSpec
from turnout.cost import Workload, pipeline, requests
from turnout.cost.lines import Case

DEV, PROD = STAGES["dev"], STAGES["prod"]
TABLE = prices.load()
WORK = Workload(requests=1_000_000, covered=0.9, entities=1_000_000, runs=30, transform_minutes=15, model_seconds=0.1)


def spec(**settings):
    whole = {"name": "churn", "mode": "batch", "schedule": "rate(1 day)", "key": "id", "features": ["a"]}
    return ModelSpec.model_validate({**whole, **settings})


def bill(mode, stage=DEV, work=WORK, **settings):
    return cost.bill(ServingMode(mode), spec(**settings), stage, work, TABLE)


def usd(mode, what, stage=DEV, work=WORK, **settings):
    (line,) = [line for line in bill(mode, stage, work, **settings).lines if line.what == what]
    return line.usd


def test_transform_jobs_cost_their_minutes():
    assert usd("batch", "transform jobs") == pytest.approx(30 * 0.25 * 0.115)
    settings = {"transform": {"instance_count": 4, "instance_type": "ml.m5.xlarge"}}
    assert usd("batch", "transform jobs", **settings) == pytest.approx(30 * 0.25 * 4 * 0.23)
    assert usd("batch", "first run") == pytest.approx(0.25 * 0.115)


def test_minutes_that_nobody_measured_follow_from_rows_and_latency():
    work = Workload(entities=600_000, model_seconds=0.1, runs=30)
    assert work.minutes_of_a_run(1) == pytest.approx(3 + 10)
    assert work.minutes_of_a_run(10) == pytest.approx(3 + 1)


def test_writing_a_million_scores_daily_costs_less_than_scoring_them():
    writes = usd("precompute", "table: scores, writes")
    assert writes == pytest.approx(30 * 15_976 * 0.625 / 1e6, rel=1e-4)
    assert writes < usd("precompute", "transform jobs") / 2
    assert usd("precompute", "table: lookups") == pytest.approx(0.5 * 0.125)


@pytest.mark.parametrize(
    ("key_bytes", "score_bytes", "units"),
    [(3.5, 7.8, 13_348), (3.8, 7.8, 13_707), (5.5, 7.8, 15_748), (16, 7.8, 27_609), (5.5, 4, 11_013), (16, 4, 23_199)],
)
def test_write_units_are_those_that_the_publisher_was_measured_to_take(key_bytes, score_bytes, units):
    """The figures of docs/scores.md for a million scores."""
    assert pipeline.packed(1_000_000, key_bytes, score_bytes)[0] == pytest.approx(units, rel=0.04)


def test_scores_that_are_too_large_to_share_an_item_are_written_alone():
    units, size = pipeline.packed(1000, 5.5, 2000)
    assert units == 1000 * 3
    assert size > 1000 * 2000


def test_an_instance_costs_every_hour_and_its_volume():
    assert usd("realtime", "endpoint: instances") == pytest.approx(83.95)
    assert usd("realtime", "endpoint: instances", PROD) == pytest.approx(2 * 83.95)
    assert usd("realtime", "endpoint: instances", PROD, realtime={"instance_count": 1}) == pytest.approx(83.95)
    assert usd("realtime", "endpoint: volumes") == pytest.approx(30 * 0.14)
    disks = bill("realtime", realtime={"instance_type": "ml.g4dn.xlarge"})
    assert "endpoint: volumes" not in {line.what for line in disks.lines}


def test_autoscaling_follows_the_peak_and_stays_within_its_bounds():
    """4 in flight of 0.1 s are 40 a second an instance: 100 a second want three, for a tenth of the month."""
    busy = Workload(requests=100 * 0.1 * 730 * 3600, peak_per_second=100)
    assert usd("realtime", "endpoint: instances", work=busy) == pytest.approx((3 * 73 + 1 * 657) * 0.115)
    rush = Workload(requests=1000 * 0.1 * 730 * 3600, peak_per_second=1000)
    assert usd("realtime", "endpoint: instances", work=rush) == pytest.approx((4 * 73 + 1 * 657) * 0.115)
    (line,) = [line for line in bill("realtime", work=rush).lines if line.what == "endpoint: instances"]
    assert "the peak wants 25" in line.how
    burst = {"realtime": {"instance_type": "ml.t2.medium", "max_instances": 4}}
    assert usd("realtime", "endpoint: instances", work=rush, **burst) == pytest.approx(730 * 0.056)


def test_serverless_costs_seconds_of_memory_and_data():
    assert usd("serverless", "endpoint: time") == pytest.approx(1_000_000 * 0.1 * 0.00004)
    assert usd("serverless", "endpoint: time", serverless={"memory_mb": 6144}) == pytest.approx(12)
    assert usd("serverless", "endpoint: data") == pytest.approx(1_000_000 * 1.5 / 1e6 * 0.016)


def test_serverless_says_so_where_the_peak_wants_more_than_it_may_take():
    busy = Workload(requests=1_000_000, peak_per_second=100, model_seconds=1)
    lines = {line.what: line.how for line in bill("serverless", work=busy, serverless={"max_concurrency": 99}).lines}
    assert "the peak wants 100 at once, of 99" in lines["endpoint: time"]
    lines = {line.what: line.how for line in bill("serverless", work=busy, serverless={"max_concurrency": 100}).lines}
    assert "the peak wants" not in lines["endpoint: time"]


def test_the_front_door_costs_calls_and_time():
    assert usd("batch", "front door: HTTP API") == pytest.approx(1.00)
    assert usd("batch", "front door: Lambda calls") == pytest.approx(0.20)
    assert usd("batch", "front door: Lambda time") == pytest.approx(1_000_000 * 0.02 * 0.5 * 0.0000133334)
    waiting = usd("realtime", "front door: waiting for the model")
    assert waiting == pytest.approx(1_000_000 * 0.1 * 0.5 * 0.0000133334)


def test_large_requests_are_counted_by_the_http_api_more_than_once():
    assert usd("realtime", "front door: HTTP API", work=Workload(requests=1000, payload_kb=1100)) == pytest.approx(
        0.003
    )


@pytest.mark.parametrize(("asked", "share"), [(0, 0), (1_000_000, 1), (2190, 1 - math.exp(-1))])
def test_an_asynchronous_endpoint_rests_when_nobody_asks(asked, share):
    work = Workload(requests=asked, model_seconds=0)
    assert usd("async", "endpoint: instances", work=work) == pytest.approx(730 * share * 0.115)


def hours_up(requests, model_seconds):
    """Return the hours a month that an asynchronous endpoint is billed."""
    work = Workload(requests=requests, model_seconds=model_seconds)
    return usd("async", "endpoint: instances", work=work) / 0.115


def simulated_hours_up(requests, model_minutes, months=200, quiet=20, at_once=4):
    """Return the same of one instance that works on `at_once` requests, which come at random, over many months."""
    chance, busy, now, end, up = random.Random(3), [0.0] * at_once, 0.0, 0.0, 0.0
    while now < months * 730 * 60:
        now += chance.expovariate(requests / (730 * 60))
        done = max(now, heapq.heappop(busy)) + model_minutes
        heapq.heappush(busy, done)
        up += max(done + quiet - max(now, end), 0)
        end = max(end, done + quiet)
    return up / 60 / months


@pytest.mark.parametrize(("requests", "minutes"), [(500, 30), (500, 50), (100, 50), (1500, 50)])
def test_an_asynchronous_endpoint_is_up_while_its_model_works_and_a_while_after(requests, minutes):
    assert hours_up(requests, minutes * 60) == pytest.approx(simulated_hours_up(requests, minutes), rel=0.03)


def test_rare_long_requests_are_billed_for_themselves_and_the_quiet_after_each():
    assert hours_up(3, 50 * 60) == pytest.approx(3 * (50 + 20) / 60, rel=0.01)


def test_an_asynchronous_endpoint_works_as_long_as_it_takes():
    work = Workload(requests=100_000, model_seconds=300)  # 8,333 instance hours with 4 at a time, of 2 x 730
    assert usd("async", "endpoint: instances", work=work) == pytest.approx(2 * 730 * 0.115, rel=1e-3)
    (line,) = [line for line in bill("async", work=work).lines if line.what == "endpoint: instances"]
    assert "1,460.0 h (the work wants 2,083 h)" in line.how
    rest = {"async": {"instance_type": "ml.t2.medium"}}
    assert usd("async", "endpoint: instances", work=Workload(requests=1), **rest) == pytest.approx(730 * 0.056)


def test_hybrid_pays_precompute_and_the_misses():
    both, stored = bill("hybrid"), bill("precompute")
    assert set(stored.lines) <= set(both.lines)
    assert usd("hybrid", "endpoint: time") == pytest.approx(100_000 * 0.1 * 0.00004)
    assert cost.live_usd("serverless", spec(), DEV, WORK, TABLE) == pytest.approx(both.monthly - stored.monthly)
    assert usd("hybrid", "endpoint: instances", hybrid={"fallback": "realtime"}) == pytest.approx(83.95)


def test_one_off_costs_stand_apart():
    whole = bill("precompute")
    assert whole.monthly == pytest.approx(sum(line.usd for line in whole.lines if line.kind == "monthly"))
    assert whole.once == pytest.approx(sum(line.usd for line in whole.lines if line.kind == "once"))
    assert {"first run", "first scores, writes", "gate: transitions"} <= {
        line.what for line in whole.lines if line.kind == "once"
    }


def test_a_price_that_nobody_knows_is_not_made_up():
    whole = bill("realtime", realtime={"instance_type": "ml.m5.24xlarge"})
    assert not whole.complete
    assert {line.usd for line in whole.missing} == {None}
    assert "nearest known is sagemaker_instance.ml.m5.4xlarge" in whole.missing[0].how
    kept = bill("serverless", serverless={"provisioned_concurrency": 2}).missing
    assert [(line.what, line.confidence) for line in kept] == [("endpoint: kept warm", "unknown")]


def test_a_derived_price_is_flagged():
    whole = bill("realtime", realtime={"instance_type": "ml.c6i.large"})
    flagged = {line.what: line.confidence for line in whole.unsure}
    assert flagged["endpoint: instances"] == "derived"
    assert flagged["endpoint: volumes"] == "derived"  # nobody says whether the default volume is billed


@pytest.mark.parametrize("mode", sorted(AVAILABLE))
def test_every_mode_has_a_bill(mode):
    whole = bill(mode)
    assert whole.monthly > 0
    assert whole.complete
    assert json.loads(json.dumps(whole.to_body()))["usd"] == round(whole.monthly, 2)


def test_every_mode_stands_beside_the_others_and_an_illegal_one_says_why():
    declared = spec(mode="realtime", network_isolation=True, traffic={"model_latency": "25s", "payload_kb": 4500})
    side = cost.bills(declared, DEV, cost.workload_of(declared), TABLE)
    assert list(side) == list(ServingMode)
    assert "network isolation" in side[ServingMode.SERVERLESS].refused
    assert "4,500 KB" in side[ServingMode.SERVERLESS].refused
    assert not side[ServingMode.SERVERLESS].lines
    assert "not available" in side[ServingMode.STREAMING].refused
    assert side[ServingMode.REALTIME].refused is None


def test_a_mode_that_needs_a_schedule_is_priced_with_one_and_says_so():
    declared = spec(mode="realtime", schedule=None)
    side = cost.bills(declared, DEV, cost.workload_of(declared), TABLE)
    assert side[ServingMode.PRECOMPUTE].needs == ("schedule: rate(1 day)",)
    assert side[ServingMode.PRECOMPUTE].monthly == pytest.approx(bill("precompute", work=Workload()).monthly)
    assert side[ServingMode.REALTIME].needs == ()


def test_constants_are_those_of_the_code_that_they_describe():
    assert pytest.approx(3600 / lookup.POINTER_SECONDS) == requests.READS_AN_HOUR
    assert pipeline.PARTITION_ROWS == scores.PARTITION_ROWS
    from handlers.logic import sharding

    shard = pipeline.SHARD_ROWS, pipeline.FIRST_ROWS, pipeline.LEAST_ROWS
    assert shard == (sharding.MAX_SHARD_ROWS, sharding.BUFFERED_ROWS, sharding.MIN_SHARD_ROWS)


@pytest.mark.parametrize(
    ("rows", "instances", "shards"),
    [(500, 1, 1), (23_470, 1, 2), (1_000_000, 1, 20), (10_000_000, 1, 200), (100_000_000, 1, 2000), (30_000, 10, 20)],
)
def test_a_run_has_as_many_shards_as_docs_scores_says(rows, instances, shards):
    case = Case(spec(transform={"instance_count": instances}), DEV, Workload(entities=rows), TABLE)
    assert pipeline.shards(case) == shards
