"""What young data cost: looks at their age, and single keys that events have scored again."""

import pytest

from handlers.contract import metrics
from handlers.contract.modes import ServingMode
from turnout import cost, prices
from turnout.config import STAGES
from turnout.config.specs import ModelSpec
from turnout.cost import Workload
from turnout.cost.freshness import EVENT_METRICS, EVENTS_A_REQUEST

TABLE = prices.load()
WORK = Workload(requests=1_000_000, covered=0.9, model_seconds=0.1)


def lines(mode=ServingMode.HYBRID, **settings):
    entry = {"name": "churn", "mode": "hybrid", "schedule": "rate(1 hour)", "key": "id", "features": ["a"]}
    spec = ModelSpec.model_validate({**entry, **settings})
    return {line.what: line for line in cost.bill(mode, spec, STAGES["prod"], WORK, TABLE).lines}


@pytest.mark.parametrize("mode", ["batch", "precompute", "hybrid"])
def test_data_that_may_be_less_than_an_hour_old_are_looked_at_every_minute(mode):
    usual, short = (lines(ServingMode(mode), max_staleness=limit)["watch: schedule"].units for limit in ("1h", "59m"))
    assert (usual, short) == (730 * 12, 730 * 60)


def test_age_that_starts_runs_counts_as_a_limit_too():
    assert lines(refresh={"when_older_than": "30m"})["watch: schedule"].units == 730 * 60


@pytest.mark.parametrize("mode", ["realtime", "serverless", "async"])
def test_modes_without_scores_of_an_age_look_at_none(mode):
    assert not [what for what in lines(ServingMode(mode)) if what.startswith(("watch", "refresh"))]


def test_refreshing_by_event_makes_a_lookup_a_whole_unit_and_asks_the_model():
    without, with_events = lines(), lines(refresh={"on_event": True})
    assert with_events["table: lookups"].units == 2 * without["table: lookups"].units == WORK.requests
    asked = (WORK.misses + EVENTS_A_REQUEST * WORK.requests) / WORK.misses
    for what in ("endpoint: time", "endpoint: data", "front door: waiting for the model"):
        assert with_events[what].units == pytest.approx(asked * without[what].units), what
    assert not [what for what in without if what.startswith("refresh")]


def test_the_queue_is_asked_when_nothing_is_in_it():
    """docs/refresh.md: some 15 times a minute, $0.26 a month."""
    assert lines(refresh={"on_event": True})["refresh: queue, polls"].usd == pytest.approx(0.2628)


def test_as_many_metrics_are_charged_as_a_batch_of_events_emits():
    assert len([name for name in vars(metrics) if name.startswith("REFRESH")]) == EVENT_METRICS
