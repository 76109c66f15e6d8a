"""What follows from a week of traffic: its shape, answers that were not given, and the figures of bills."""

from datetime import timedelta

import pytest

from tests.unit.advice.weeks import ALL_NEW, BEGIN, END, FORTY, by_hour, entry, week
from turnout.advice.keys import sample_of
from turnout.advice.observed import HOUR, Seen, guessed, inferred, workload

NIGHT = [0.0] * 2 + [600.0] + [0.0] * 21


def at(*hours: int) -> dict:
    return {BEGIN + hour * HOUR: 500.0 for hour in hours}


@pytest.mark.parametrize(
    ("hours", "shape"),
    [
        (by_hour(12.5), "steady"),
        (by_hour(*[4.0] * 8, *[40.0] * 16), "steady"),  # day and night
        (by_hour(*NIGHT), "periodic"),
        (at(5, 40, 60, 100, 133), "bursty"),
        (at(2, 26, 50), "bursty"),  # at the same hour, but not on most days
        (by_hour(0.2), None),
    ],
)
def test_the_shape_of_the_hours_is_told(hours, shape):
    assert week(entry("realtime"), by_hour=hours).shape == shape


def test_a_month_is_reckoned_from_the_time_that_was_seen():
    seen = week(entry("realtime"))
    assert (seen.requests, seen.a_day, round(seen.a_month)) == (2100, 300, 9125)
    half = Seen(entry=entry("realtime"), begin=END - timedelta(days=3.5), end=END, by_hour=seen.by_hour)
    assert round(half.a_month) == 18250


def test_days_are_the_quietest_and_the_busiest_of_those_that_were_seen():
    hours = by_hour(12.5) | {BEGIN: 1012.5}
    assert week(entry("realtime"), by_hour=hours).quiet_and_busy == (300 * 30.4, 1300 * 30.4)


@pytest.mark.parametrize(
    ("mode", "seen", "choice", "sure"),
    [
        ("realtime", {"keys": FORTY}, "stored", False),
        ("realtime", {"keys": ALL_NEW}, "request", True),
        ("realtime", {"keys": sample_of("ab")}, "request", True),  # too few to tell
        ("realtime", {"keys": FORTY, "keyless": 2100.0}, "request", True),
        ("realtime", {"keys": FORTY, "keyless": 210.0}, "mostly-stored", True),
        ("realtime", {"keys": sample_of("a" * 90 + "b" * 10, known=90)}, "mostly-stored", True),
        ("hybrid", {"hits": 2000, "misses": 100}, "mostly-stored", True),
        ("hybrid", {"hits": 2100}, "stored", False),
        ("precompute", {"hits": 600, "misses": 1500}, "mostly-stored", True),
    ],
)
def test_where_inputs_come_from_is_inferred_from_keys(mode, seen, choice, sure):
    found = inferred(week(entry(mode, schedule="rate(1 day)"), **seen))["input"]
    assert (found.choice, found.sure) == (choice, sure)


@pytest.mark.parametrize(
    ("spec", "choice"),
    [
        (entry("realtime"), "waits"),
        (entry("async"), "later"),
        (entry("hybrid", schedule="rate(1 day)", hybrid={"fallback": "async"}), "later"),
        (entry("batch", schedule="rate(1 day)"), "waits"),
    ],
)
def test_how_predictions_are_used_is_inferred_from_how_they_are_given(spec, choice):
    assert inferred(week(spec))["consumption"].choice == choice


def test_an_answer_in_the_entry_is_never_overruled():
    spec = entry("realtime", answers={"input": "request", "traffic_shape": "bursty"})
    assert inferred(week(spec)).keys() == {"consumption"}
    assert guessed(week(spec)).answers.input == "request"


def test_nothing_is_inferred_where_nobody_asks():
    assert inferred(week(entry("realtime"), by_hour={})) == {}


def test_bills_rest_on_what_was_measured_and_say_so():
    spec = entry("realtime", traffic={"requests_per_month": 7, "payload_kb": 3})
    work = workload(week(spec, rows=5000, run_minutes=9.0, job_minutes=4.0))
    assert (work.requests, work.model_seconds, work.entities, work.covered) == (9125, 0.02, 5000, 1.0)
    assert work.minutes_of_a_run(1) == 4  # of which each instance is paid for
    notes = " ".join(work.notes)
    assert "9,125 requests a month (counted over 7 days)" in notes
    assert "3 KB a request (config)" in notes
    assert "(ModelLatency)" in notes


def test_keys_stand_for_rows_only_where_nobody_says_better():
    assert workload(week(entry("realtime"))).entities == 40
    assert workload(week(entry("realtime", traffic={"entities": 900}))).entities == 900
