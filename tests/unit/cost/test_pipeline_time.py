"""How long a run takes by the clock, beside what of it is paid for; and how many rows one takes."""

from datetime import timedelta

import pytest

from handlers.logic import sharding
from infra.constructs.pipeline_definition import PUBLISH_CONCURRENCY
from turnout import cost
from turnout.config.specs import ModelSpec
from turnout.cost import pipeline, pipeline_time


def spec(rows: int, instances: int = 1, **settings) -> ModelSpec:
    whole = {"name": "m", "mode": "precompute", "schedule": "rate(1 day)", "key": "id", "features": ["x"]}
    asked = {"traffic": {"entities": rows}, "transform": {"instance_count": instances}}
    return ModelSpec.model_validate(whole | asked | settings)


def unpaid(entry: ModelSpec) -> float:
    """Return the minutes of a run beside those that its instances are paid for."""
    paid = cost.workload_of(entry).minutes_of_a_run(entry.transform.instance_count)
    return pipeline_time.run_time(entry) / timedelta(minutes=1) - paid


def test_a_run_lasts_longer_than_its_instances_are_paid_for_by_their_start_and_the_steps():
    assert unpaid(spec(0)) == pytest.approx(6, abs=1)
    assert unpaid(spec(1_000_000)) == pytest.approx(6.5, abs=1)


def test_a_hundred_million_rows_take_as_long_to_publish_and_to_pack_as_the_page_says():
    """docs/scores.md: 33 and 13 minutes, four at a time; `prepare` reads 25 minutes on top, were it let."""
    assert unpaid(spec(100_000_000)) == pytest.approx(5 + 33 + 13 + 25, abs=3)


def test_text_takes_longer_to_read_than_parquet():
    rows = 10_000_000
    assert unpaid(spec(rows, input={"format": "csv"})) == pytest.approx(unpaid(spec(rows)) + 7.5, abs=1)


def test_a_paid_time_that_is_stated_is_part_of_the_run():
    entry = spec(0, traffic={"entities": 0, "run_duration": "40m"})
    assert pipeline_time.run_time(entry) == timedelta(minutes=46)


def test_limits_are_those_of_the_pipeline():
    assert pipeline_time.AT_ONCE == PUBLISH_CONCURRENCY
    assert pipeline_time.MAX_SHARDS == sharding.MAX_SHARDS
    assert pipeline.SHARD_ROWS == sharding.MAX_SHARD_ROWS


@pytest.mark.parametrize("instances", [1, 10, 100])
def test_the_most_rows_are_the_last_that_fit_the_shards(instances):
    most = pipeline_time.most_rows(instances)
    assert pipeline.shards_of(most, instances) <= sharding.MAX_SHARDS < pipeline.shards_of(most + 1, instances)
    assert 127_000_000 <= most <= 155_000_000
