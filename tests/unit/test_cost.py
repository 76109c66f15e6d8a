"""The bill of a month, against sums that were worked out by hand from the list prices."""

import json
import math

import pytest

from handlers.contract.modes import AVAILABLE, ServingMode
from turnout import cost
from turnout.config import STAGES
from turnout.config.specs import ModelSpec
from turnout.cost import Workload

DEV, PROD = STAGES["dev"], STAGES["prod"]
WORK = Workload(requests=1_000_000, covered=0.9, rows=1_000_000, runs=30, transform_minutes=15, model_seconds=0.1)


def spec(**settings):
    whole = {"name": "churn", "mode": "batch", "schedule": "rate(1 day)", "key": "id", "features": ["a"]}
    return ModelSpec.model_validate({**whole, **settings})


def bill(mode, stage=DEV, work=WORK, **settings):
    return {line.what: line for line in cost.estimate(ServingMode(mode), spec(**settings), stage, work).lines}


def test_transform_jobs_cost_their_minutes():
    assert bill("batch")["transform jobs"].usd == pytest.approx(30 * 0.25 * 0.115)  # 0.86
    four = bill("batch", transform={"instance_count": 4, "instance_type": "ml.m5.xlarge"})["transform jobs"]
    assert four.usd == pytest.approx(30 * 0.25 * 4 * 0.23)


def test_writing_a_million_scores_daily_costs_less_than_scoring_them():
    lines = bill("precompute")
    assert lines["table, writes"].usd == pytest.approx(30 * 0.625 * 0.02)  # 0.375
    assert lines["table, writes"].usd < lines["transform jobs"].usd / 2
    assert lines["table, storage"].usd == pytest.approx(30 * 30 / 30.4 * 0.02 * 0.25)
    assert lines["table, reads"].usd == pytest.approx(0.5 * 0.125)
    assert "table, writes" not in bill("batch")


def test_an_instance_costs_every_hour():
    assert bill("realtime")["endpoint"].usd == pytest.approx(83.95)
    assert bill("realtime", PROD)["endpoint"].usd == pytest.approx(2 * 83.95)
    assert bill("realtime", PROD, realtime={"instance_count": 1})["endpoint"].usd == pytest.approx(83.95)


def test_serverless_costs_seconds_of_memory():
    assert bill("serverless")["endpoint"].usd == pytest.approx(1_000_000 * 0.1 * 0.00004)  # 4.00
    six = bill("serverless", serverless={"memory_mb": 6144})["endpoint"]
    assert six.usd == pytest.approx(12)


def test_the_front_door_costs_calls_and_time():
    line = cost.front_door(1_000_000, 0.02)
    assert line.usd == pytest.approx(1.00 + 0.20 + 1_000_000 * 0.02 * 0.5 * 0.0000133334)
    waiting = bill("realtime")["front door, waiting"]
    assert waiting.usd == pytest.approx(1_000_000 * 0.1 * 0.5 * 0.0000133334)


@pytest.mark.parametrize(("requests", "share"), [(0, 0), (1_000_000, 1), (2190, 1 - math.exp(-1))])
def test_an_asynchronous_endpoint_rests_when_nobody_asks(requests, share):
    assert cost.awake(requests) == pytest.approx(share)


def test_an_asynchronous_month_of_few_requests():
    few = Workload(requests=100)
    lines = bill("async", work=few)
    assert lines["endpoint"].usd == pytest.approx(730 * (1 - math.exp(-100 * 20 / 43800)) * 0.115)
    assert lines["results in S3"].usd == pytest.approx(100 * (0.005 + 2 * 0.0004) / 1000)


def test_hybrid_pays_precompute_and_the_misses():
    both, stored = bill("hybrid"), bill("precompute")
    assert {what: both[what].usd for what in stored} == {what: line.usd for what, line in stored.items()}
    assert both["endpoint"].usd == pytest.approx(100_000 * 0.1 * 0.00004)
    assert cost.live_usd("serverless", spec(), DEV, WORK) == pytest.approx(
        both["endpoint"].usd + both["front door, waiting"].usd
    )
    assert bill("hybrid", hybrid={"fallback": "realtime"})["endpoint"].usd == pytest.approx(83.95)


def test_a_price_that_nobody_knows_is_not_made_up():
    whole = cost.estimate(ServingMode.REALTIME, spec(realtime={"instance_type": "ml.m5.24xlarge"}), DEV, WORK)
    assert not whole.complete
    assert [line.usd for line in whole.unsure] == [None]
    kept = bill("serverless", serverless={"provisioned_concurrency": 2})["endpoint, kept warm"]
    assert (kept.usd, kept.confidence) == (None, "unknown")


def test_a_derived_price_is_flagged():
    line = bill("realtime", realtime={"instance_type": "ml.c6i.large"})["endpoint"]
    assert (line.usd, line.confidence) == (pytest.approx(0.102 * 730), "derived")


@pytest.mark.parametrize("mode", sorted(AVAILABLE))
def test_every_mode_has_a_bill(mode):
    whole = cost.estimate(mode, spec(), DEV, WORK)
    assert whole.usd > 0
    assert whole.complete
    assert json.loads(json.dumps(whole.to_body()))["usd"] == round(whole.usd, 2)


def test_every_price_has_its_source_and_how_sure_it_is():
    table = json.loads(cost.PRICES.read_text())
    sections = {name: entries for name, entries in table.items() if name != "_meta"}
    for section, entries in sections.items():
        for name, entry in entries.items():
            assert entry["source"], f"{section}.{name}"
            assert entry["confidence"] in ("verified", "medium", "low", "derived", "from memory", "unknown")
            assert (entry["usd"] is None) is (entry["confidence"] == "unknown")
    for section in ("lambda", "api_gateway", "s3"):
        assert {entry["confidence"] for entry in sections[section].values()} == {"verified"}, "summed without a mark"


def test_runs_follow_the_schedule():
    assert cost.workload_of(spec(schedule="rate(12 hours)")).runs == pytest.approx(60.8)
    assert cost.workload_of(spec(schedule="on-new-data")).runs == 30.4
    assert cost.workload_of(spec(mode="realtime", schedule=None)).runs == 30.4
