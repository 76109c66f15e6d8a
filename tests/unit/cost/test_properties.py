"""What holds for every bill, whatever the workload."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handlers.contract.modes import AVAILABLE
from turnout import cost, prices
from turnout.config import STAGES
from turnout.config.specs import ModelSpec
from turnout.cost import Workload
from turnout.prices import Prices

TABLE = prices.load()
ELSEWHERE = Prices(
    "elsewhere", TABLE.compiled, {key: replace(price, usd=price.usd * 1.3) for key, price in TABLE.entries.items()}
)
modes = st.sampled_from(sorted(AVAILABLE))
stages = st.sampled_from(list(STAGES.values()))
fallbacks = st.sampled_from(["realtime", "serverless", "async"])
workloads = st.builds(
    Workload,
    requests=st.integers(0, 10**9),
    peak_per_second=st.none() | st.floats(0, 5000),
    payload_kb=st.floats(0, 5000),
    answer_kb=st.floats(0, 5000),
    model_seconds=st.floats(0, 30),
    entities=st.integers(0, 10**8),
    runs=st.floats(0, 3000),
    covered=st.floats(0, 1),
    transform_minutes=st.none() | st.floats(0, 1000),
    key_bytes=st.floats(1, 40),
    score_bytes=st.none() | st.floats(0, 4000),
)


def spec(fallback="serverless", **settings):
    whole = {"name": "churn", "mode": "batch", "schedule": "rate(1 day)", "key": "id", "features": ["a"]}
    return ModelSpec.model_validate({**whole, "hybrid": {"fallback": fallback}, **settings})


def monthly(mode, stage, work, entry):
    return cost.bill(mode, entry, stage, work, TABLE).monthly


def no_less(after, before):
    return after >= before - 1e-9 * max(before, 1)


@given(modes, stages, fallbacks, workloads, st.integers(0, 10**8))
@settings(max_examples=200, deadline=None)
def test_more_requests_never_cost_less(mode, stage, fallback, work, more):
    after = replace(work, requests=work.requests + more)
    assert no_less(monthly(mode, stage, after, spec(fallback)), monthly(mode, stage, work, spec(fallback)))


@given(modes, stages, fallbacks, workloads, st.integers(0, 10**7))
@settings(max_examples=200, deadline=None)
def test_more_entities_never_cost_less(mode, stage, fallback, work, more):
    after = replace(work, entities=work.entities + more)
    assert no_less(monthly(mode, stage, after, spec(fallback)), monthly(mode, stage, work, spec(fallback)))


@given(modes, stages, fallbacks, workloads, st.integers(1, 99), st.integers(1, 50))
@settings(max_examples=200, deadline=None)
def test_more_instances_never_cost_less(mode, stage, fallback, work, transform, live):
    few, many = (
        spec(
            fallback,
            transform={"instance_count": transform + more},
            realtime={"instance_count": live + more, "max_instances": 60},
            **{"async": {"max_instances": live + more}},
        )
        for more in (0, 1)
    )
    assert no_less(monthly(mode, stage, work, many), monthly(mode, stage, work, few))


@given(modes, stages, fallbacks, workloads)
@settings(max_examples=100, deadline=None)
def test_the_lines_are_the_bill_and_each_is_units_times_a_price(mode, stage, fallback, work):
    whole = cost.bill(mode, spec(fallback), stage, work, TABLE)
    assert whole.monthly + whole.once == pytest.approx(sum(line.usd for line in whole.lines))
    for line in whole.lines:
        assert line.usd == pytest.approx(line.units * TABLE.get(line.price).each)
        assert line.units >= 0
    assert len({line.what for line in whole.lines}) == len(whole.lines), "a line's name says which one it is"


@given(modes, stages, fallbacks, workloads)
@settings(max_examples=100, deadline=None)
def test_another_region_changes_prices_and_nothing_else(mode, stage, fallback, work):
    here, there = (cost.bill(mode, spec(fallback), stage, work, table) for table in (TABLE, ELSEWHERE))
    unpriced = [replace(line, usd=None) for line in here.lines]
    assert unpriced == [replace(line, usd=None) for line in there.lines]
    assert there.monthly == pytest.approx(1.3 * here.monthly)
