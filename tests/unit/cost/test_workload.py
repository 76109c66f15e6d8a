"""Where the figures of a bill come from, and that each says so."""

from dataclasses import fields

import pytest

from turnout import cost
from turnout.config.shape import inner, members
from turnout.config.specs import ModelSpec
from turnout.cost import Workload
from turnout.cost import workload as working


def spec(**settings):
    whole = {"name": "churn", "mode": "batch", "schedule": "rate(1 day)", "key": "id", "features": ["a"]}
    return ModelSpec.model_validate({**whole, **settings})


def test_runs_follow_the_schedule():
    assert cost.workload_of(spec(schedule="rate(12 hours)")).runs == pytest.approx(60.8)
    assert cost.workload_of(spec(schedule="on-new-data")).runs == 30.4
    assert cost.workload_of(spec(mode="realtime", schedule=None)).runs == 30.4


def test_the_entry_goes_before_the_schedule_and_what_is_given_before_the_entry():
    said = spec(traffic={"runs_per_month": 4, "requests_per_month": 7, "model_latency": "250ms", "run_duration": "15m"})
    work = cost.workload_of(said)
    assert (work.runs, work.requests, work.model_seconds, work.transform_minutes) == (4, 7, 0.25, 15)
    assert cost.workload_of(said, requests=9).requests == 9


def test_every_setting_of_traffic_is_a_figure_of_the_workload():
    known = set(members(inner(members(ModelSpec)["traffic"].annotation)))
    assert known == set(working._SETTINGS)
    assert {figure for figure, _ in working._SETTINGS.values()} == {each.name for each in fields(Workload)} - {"notes"}


def test_every_figure_says_where_it_comes_from():
    notes = cost.workload_of(spec(traffic={"requests_per_month": 300_000}), covered=0.5).notes
    assert "300,000 requests a month (config)" in notes
    assert "50.0% of the requests have a score (as given)" in notes
    assert "30.4 runs a month (by the schedule)" in notes
    assert "100,000 rows a run (assumed)" in notes
    assert len(notes) == len(fields(Workload)) - 1


def test_a_measured_figure_takes_the_place_of_an_assumed_one_and_leaves_the_others():
    work = cost.measured(cost.workload_of(spec()), {"entities": "newest generation"}, entities=42)
    assert work.entities == 42
    assert "42 rows a run (newest generation)" in work.notes
    assert "30.4 runs a month (by the schedule)" in work.notes


def test_the_two_levels_of_a_month_have_its_requests():
    for work in (Workload(), Workload(peak_per_second=50), Workload(requests=10**8, peak_per_second=1)):
        (share, peak), (rest, base) = work.levels()
        assert share + rest == pytest.approx(1)
        assert (share * peak + rest * base) * 730 * 3600 == pytest.approx(work.requests)
        assert peak >= base >= 0
