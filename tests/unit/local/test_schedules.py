"""When schedules are due. The cron reader is the emulator's."""

from datetime import UTC, datetime, timedelta

import pytest

from turnout.local.emulator import _next_cron
from turnout.local.schedules import latest_due, matches, next_fire, target_input

CREATED = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def schedule(expression, **settings):
    return {
        "Name": "turnout-dev-churn-Pipeline-ABC",
        "Arn": "arn:aws:scheduler:us-east-1:000000000000:schedule/default/turnout-dev-churn-Pipeline-ABC",
        "State": "ENABLED",
        "ScheduleExpression": expression,
        "CreationDate": CREATED.timestamp(),
        **settings,
    }


def following(schedule, after, count):
    times = []
    for _ in range(count):
        after = next_fire(schedule, after, _next_cron)
        times.append(after)
    return times


def utc(*parts):
    return datetime(*parts, tzinfo=UTC)


def test_cron_is_read_in_the_schedules_zone_through_summer_time():
    berlin = schedule("cron(0 6 * * ? *)", ScheduleExpressionTimezone="Europe/Berlin")
    assert following(berlin, utc(2026, 3, 28, 0, 0), 3) == [
        utc(2026, 3, 28, 5, 0),
        utc(2026, 3, 29, 4, 0),
        utc(2026, 3, 30, 4, 0),
    ]


def test_an_hour_that_spring_leaves_out_is_left_out():
    berlin = schedule("cron(30 2 * * ? *)", ScheduleExpressionTimezone="Europe/Berlin")
    assert following(berlin, utc(2026, 3, 28, 12, 0), 1) == [utc(2026, 3, 30, 0, 30)]


def test_an_hour_that_autumn_repeats_fires_once():
    berlin = schedule("cron(30 2 * * ? *)", ScheduleExpressionTimezone="Europe/Berlin")
    assert following(berlin, utc(2026, 10, 24, 12, 0), 2) == [utc(2026, 10, 25, 0, 30), utc(2026, 10, 26, 1, 30)]


def test_a_rate_starts_at_once_and_then_keeps_its_interval():
    assert following(schedule("rate(6 hours)"), CREATED - timedelta(seconds=1), 3) == [
        CREATED,
        CREATED + timedelta(hours=6),
        CREATED + timedelta(hours=12),
    ]


def test_a_rate_with_a_start_date_starts_there():
    start = CREATED + timedelta(days=3)
    later = schedule("rate(1 day)", StartDate=start.timestamp())
    assert following(later, CREATED, 2) == [start, start + timedelta(days=1)]


def test_nothing_is_due_after_the_end_date():
    ending = schedule("rate(1 day)", EndDate=(CREATED + timedelta(hours=30)).isoformat())
    assert following(ending, CREATED, 2) == [CREATED + timedelta(days=1), None]


def test_one_time_schedules_fire_once_in_their_zone():
    once = schedule("at(2026-03-05T09:00:00)", ScheduleExpressionTimezone="America/New_York")
    assert following(once, CREATED, 2) == [utc(2026, 3, 5, 14, 0), None]


def test_a_disabled_schedule_is_never_due():
    assert next_fire(schedule("rate(1 day)", State="DISABLED"), CREATED, _next_cron) is None


@pytest.mark.parametrize("expression", ["rate(1 minute)", "cron(* * * * ? *)"])
def test_a_clock_that_jumps_finds_the_last_occurrence(expression):
    now = CREATED + timedelta(days=1, seconds=30)
    assert latest_due(schedule(expression), CREATED, now, _next_cron) == CREATED + timedelta(days=1)


def test_nothing_is_due_before_its_time():
    assert latest_due(schedule("rate(1 day)"), CREATED, CREATED + timedelta(hours=23), _next_cron) is None


def test_context_attributes_are_filled_in_and_others_stay():
    text = '{"slot":"<aws.scheduler.scheduled-time>","n":"<aws.scheduler.attempt-number>","x":"<aws.scheduler.what>"}'
    filled = target_input(text, "arn", utc(2026, 3, 5, 14, 0), "id", 2)
    assert filled == '{"slot":"2026-03-05T14:00:00Z","n":"2","x":"<aws.scheduler.what>"}'


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("turnout-dev-churn-Pipeline-ABC", True),
        ("turnout-dev-churn", True),
        ("turnout-dev-churn/Pipe", True),
        ("turnout-dev-churn/Other", False),
        ("turnout-dev", False),
    ],
)
def test_schedules_are_found_by_name_or_owner(wanted, expected):
    assert matches(schedule("rate(1 day)"), wanted, ("turnout-dev-churn", "PipelineSchedule")) is expected
