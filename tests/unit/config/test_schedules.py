"""Schedule expressions, as EventBridge Scheduler's guide defines them."""

from datetime import timedelta

import pytest

from turnout.config import schedules
from turnout.config.schedules import check_at, check_cron, check_rate, check_timezone, longest_gap, rate_interval
from turnout.config.specs import ScheduleSpec


@pytest.mark.parametrize(
    "text",
    [
        "0 6 * * ? *",
        "0 6 ? * MON-FRI *",
        "0 6 ? * 2-6 *",
        "0/15 * * * ? *",
        "*/5 8-18 ? * mon,wed *",
        "5,35 14 * * ? *",
        "15 10 ? * 6L 2030-2035",
        "15 10 ? * FRIL *",
        "0 0 L * ? *",
        "0 8 1W * ? *",
        "0 8 ? * 2#1 *",
        "0 8 29 FEB ? *",
        "0 8 31 1,4 ? *",
        "59 23 31 DEC ? 2199",
        "0 0/2 1-7 1/3 ? *",
    ],
)
def test_legal_cron_passes(text):
    assert check_cron(text) is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "has 0"),
        ("0 6 * * ?", "has 5"),
        ("0 0 6 * * ? *", "has 7"),
        ("60 6 * * ? *", "does not fit minutes"),
        ("0 24 * * ? *", "does not fit hours"),
        ("0 6 0 * ? *", "does not fit day-of-month"),
        ("0 6 32 * ? *", "does not fit day-of-month"),
        ("0 6 * 13 ? *", "does not fit month"),
        ("0 6 * MAI ? *", "does not fit month"),
        ("0 6 ? * 0 *", "does not fit day-of-week"),
        ("0 6 ? * 8 *", "does not fit day-of-week"),
        ("0 6 ? * 2/2 *", "steps with `/` are not known here"),
        ("0 6 ? * 2#6 *", "does not fit day-of-week"),
        ("0 6 * * ? 1969", "does not fit year"),
        ("0 6 * * ? 2200", "does not fit year"),
        ("? 6 * * ? *", "`?` stands for a day only"),
        ("0 6 L-3 * ? *", "does not fit day-of-month"),
        ("*/0 6 * * ? *", "a whole number above 0"),
        ("5-1 6 * * ? *", "runs backwards"),
        ("1-2-3 6 * * ? *", "not understood"),
        (", 6 * * ? *", "not understood"),
        ("² 6 * * ? *", "does not fit minutes"),
        ("0 6 * * * *", "cannot both be given"),
        ("0 6 1 * MON *", "cannot both be given"),
        ("0 6 ? * ? *", "are both `?`"),
        ("0 6 30 2 ? *", "no month 2 has a day 30"),
        ("0 6 31 APR,JUN ? *", "no month APR,JUN has a day 31"),
    ],
)
def test_illegal_cron_is_refused_with_the_reason(text, reason):
    assert reason in check_cron(text)[0]


@pytest.mark.parametrize(
    ("unix", "aws"),
    [
        ("0 6 * * *", "cron(0 6 * * ? *)"),
        ("30 7 * * 1-5", "cron(30 7 ? * 2-6 *)"),
        ("0 0 1 * *", "cron(0 0 1 * ? *)"),
        ("0 0 * * 0", "cron(0 0 ? * 1 *)"),
        ("0 0 * * 7", "cron(0 0 ? * 1 *)"),
    ],
)
def test_unix_cron_is_translated_into_a_legal_expression(unix, aws):
    assert aws in check_cron(unix)[1]
    assert check_cron(aws.removeprefix("cron(").removesuffix(")")) is None


@pytest.mark.parametrize("text", ["0 6 * * * *", "0 6 1 * MON *", "0 6 ? * ? *", "0 6 * * MON *", "0 6 1 * * *"])
def test_what_is_suggested_for_the_two_days_is_legal(text):
    suggested = check_cron(text)[1].partition("cron(")[2].partition(")")[0]
    assert check_cron(suggested) is None


@pytest.mark.parametrize(
    ("text", "every"),
    [
        ("1 day", timedelta(days=1)),
        ("1 hour", timedelta(hours=1)),
        ("1 minute", timedelta(minutes=1)),
        ("15 minutes", timedelta(minutes=15)),
        ("365 days", timedelta(days=365)),
    ],
)
def test_legal_rates_pass_and_have_an_interval(text, every):
    assert check_rate(text) is None
    assert rate_interval(text) == every


@pytest.mark.parametrize(
    "text", ["", "day", "1", "0 days", "-1 days", "1.5 hours", "1 week", "2 weeks", " 1 day", "1 Day"]
)
def test_illegal_rates_are_refused(text):
    assert "is not a rate" in check_rate(text)[0]


@pytest.mark.parametrize(("text", "right"), [("1 days", "rate(1 day)"), ("2 day", "rate(2 days)")])
def test_singular_and_plural_are_told_apart(text, right):
    assert right in check_rate(text)[1]


def test_a_moment_is_a_date_and_a_time_without_zone():
    assert check_at("2026-12-01T06:00:00") is None
    for text in ("2026-12-01", "2026-12-01 06:00:00", "2026-12-01T06:00:00Z", "2026-12-01T06:00:00+01:00", "tomorrow"):
        assert "is not a moment" in check_at(text)[0]
    assert "day is out of range" in check_at("2026-02-30T06:00:00")[0]


@pytest.mark.parametrize("name", ["UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Asia/Kolkata"])
def test_time_zones_that_exist_pass(name):
    assert check_timezone(name) is None


@pytest.mark.parametrize(
    "name", ["", "Europe", "Mars/Olympus", "../etc/passwd", "a\0b", "posix/UTC", "x" * 300, "/UTC"]
)
def test_time_zones_that_do_not_exist_are_refused(name):
    assert check_timezone(name) is not None


def test_the_nearest_time_zone_is_named():
    assert check_timezone("Europe/Berln")[1] == "Did you mean Europe/Berlin?"
    assert check_timezone("Berlin")[1] == "Did you mean Europe/Berlin?"


def test_a_machine_without_time_zones_says_how_to_get_them(monkeypatch):
    monkeypatch.setattr("turnout.config.schedules._zones", set)
    assert "pip install tzdata" in check_timezone("Mars/Olympus")[1]


@pytest.mark.parametrize(
    ("schedule", "runs"),
    [
        ({"rate": "1 day"}, 30.4),
        ({"rate": "6 hours"}, 121.6),
        ({"at": "2030-01-01T00:00:00"}, 1),
        ({"on_new_data": True}, None),
        ({"cron": "0 6 * * ? *"}, 30.4),
        ({"cron": "0,30 6 * * ? *"}, 60.8),
        ({"cron": "0/15 8-18 ? * mon-fri *"}, 4 * 11 * 5 * 30.4 / 7),
        ({"cron": "0 */6 * * ? *"}, 4 * 30.4),
        ({"cron": "0 6 1,15 * ? *"}, 2),
        ({"cron": "0 6 L * ? *"}, 1),
        ({"cron": "0 6 15W 1-6 ? *"}, 0.5),
        ({"cron": "0 6 ? * 6L *"}, 1),
        ({"cron": "0 6 ? * 2#1 *"}, 1),
        ({"cron": "0 6 ? * L *"}, 30.4 / 7),
        ({"cron": "* * * * ? *"}, 60 * 24 * 30.4),
    ],
)
def test_runs_of_a_month_are_counted_from_the_expression(schedule, runs):
    assert schedules.runs_a_month(ScheduleSpec(**schedule)) == (runs if runs is None else pytest.approx(runs))


@pytest.mark.parametrize(
    ("cron", "hours"),
    [
        ("0 6 * * ? *", 24),
        ("0 6 ? * MON-FRI *", 72),
        ("0/15 * * * ? *", 0.25),
        ("0 8,9,20 * * ? *", 12),
        ("0 6 1 * ? *", 31 * 24),
        ("0 6 L * ? *", 31 * 24),
        ("0 6 15W * ? *", 32 * 24),
        ("0 6 ? * 2#1 *", 35 * 24),
        ("0 6 ? * FRIL *", 35 * 24),
        ("0 6 ? * L *", 7 * 24),
        ("0 6 29 2 ? *", (4 * 365 + 1) * 24),
        ("0 6 * 3 ? *", (366 - 30) * 24),
    ],
)
def test_the_longest_gap_of_a_cron_expression_is_found(cron, hours):
    assert longest_gap(cron) == timedelta(hours=hours)
