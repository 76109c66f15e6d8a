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
MODES = sorted(AVAILABLE)
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
    room = {"hybrid": {"fallback": fallback}, "realtime": {"max_instances": 60}}
    return ModelSpec.model_validate({**whole, **room, **settings})


def in_every_mode(entry, stage, work, table=TABLE):
    return [cost.bill(mode, entry, stage, work, table) for mode in MODES]


def require_no_less(after, before):
    """Compare bills mode by mode; sums of floats may differ in their last digits."""
    for more, less in zip(after, before, strict=True):
        assert more.monthly >= less.monthly - 1e-9 * max(less.monthly, 1), more.mode


@given(stages, fallbacks, workloads, st.integers(0, 10**8))
@settings(max_examples=100, deadline=None)
def test_more_requests_never_cost_less(stage, fallback, work, more):
    entry, after = spec(fallback), replace(work, requests=work.requests + more)
    require_no_less(in_every_mode(entry, stage, after), in_every_mode(entry, stage, work))


@given(stages, fallbacks, workloads, st.integers(0, 10**7))
@settings(max_examples=100, deadline=None)
def test_more_entities_never_cost_less(stage, fallback, work, more):
    entry, after = spec(fallback), replace(work, entities=work.entities + more)
    require_no_less(in_every_mode(entry, stage, after), in_every_mode(entry, stage, work))


@given(stages, fallbacks, workloads, st.integers(1, 99), st.integers(1, 50))
@settings(max_examples=100, deadline=None)
def test_more_instances_never_cost_less(stage, fallback, work, transform, live):
    few, many = (
        spec(
            fallback,
            transform={"instance_count": transform + more},
            realtime={"instance_count": live + more, "max_instances": 60},
            **{"async": {"max_instances": live + more}},
        )
        for more in (0, 1)
    )
    require_no_less(in_every_mode(many, stage, work), in_every_mode(few, stage, work))


@given(stages, fallbacks, workloads)
@settings(max_examples=50, deadline=None)
def test_the_lines_are_the_bill_and_each_is_units_times_a_price(stage, fallback, work):
    for whole in in_every_mode(spec(fallback), stage, work):
        assert whole.monthly + whole.once == pytest.approx(sum(line.usd for line in whole.lines))
        for line in whole.lines:
            assert line.usd == pytest.approx(line.units * TABLE.get(line.price).each)
            assert line.units >= 0
        assert len({line.what for line in whole.lines}) == len(whole.lines), "a line's name says which one it is"


@given(stages, fallbacks, workloads)
@settings(max_examples=50, deadline=None)
def test_another_region_changes_prices_and_nothing_else(stage, fallback, work):
    both = (in_every_mode(spec(fallback), stage, work, table) for table in (TABLE, ELSEWHERE))
    for here, there in zip(*both, strict=True):
        unpriced = [replace(line, usd=None) for line in here.lines]
        assert unpriced == [replace(line, usd=None) for line in there.lines]
        assert there.monthly == pytest.approx(1.3 * here.monthly)
