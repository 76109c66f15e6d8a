"""An entry whose mode contradicts its answers is warned of, and refused where it asks for that."""

import pytest

CONTRADICTION = """\
models:
  churn:
    mode: async
    answers: {consumption: waits, latency: 300ms}
"""


def test_a_mode_that_contradicts_its_answers_is_a_warning_at_its_line(read):
    warnings = [each for each in read(CONTRADICTION).warnings if each.key == "mode"]
    assert {each.line for each in warnings} == {3}
    assert any("a caller waits for the answer" in each.reason for each in warnings)
    assert any("(caller-stands-there)" in each.reason for each in warnings)
    assert all(each.severity == "warning" for each in warnings)
    assert all(each.remedy.startswith("Use precompute, hybrid, realtime;") for each in warnings)


def test_with_strict_it_is_refused(refused):
    problems = refused(CONTRADICTION + "    strict: true\n").problems
    assert {each.severity for each in problems if each.key == "mode"} == {"error"}


def test_a_mode_that_goes_with_its_answers_is_not_warned_of(read):
    assert not [each for each in read(CONTRADICTION.replace("async", "realtime")).warnings if each.key == "mode"]


@pytest.mark.parametrize(("rate", "warned"), [("1 day", True), ("6 hours", True), ("5 hours", False)])
def test_a_schedule_that_is_too_slow_for_its_answers_is_warned_of(rate, warned, read):
    text = f"models: {{churn: {{mode: precompute, schedule: rate({rate}), answers: {{freshness: 6h}}}}}}"
    warnings = [each.reason for each in read(text).warnings if each.key == "schedule"]
    assert bool(warnings) is warned
    apart = {"1 day": "1d", "6 hours": "6h"}.get(rate)
    told = f"scores may be 6h old, and runs that come up to {apart} apart and take 10 min let them grow older"
    assert all(each == told for each in warnings)


@pytest.mark.parametrize(("fresh", "warned"), [("2d", True), ("73h", False)])
def test_a_week_end_without_runs_counts_against_freshness(fresh, warned, read):
    text = f"models: {{churn: {{mode: batch, schedule: cron(0 6 ? * MON-FRI *), answers: {{freshness: {fresh}}}}}}}"
    warnings = [each.reason for each in read(text).warnings if each.key == "schedule"]
    assert any("come up to 3d apart" in each for each in warnings) is warned


def test_answers_that_no_mode_meets_are_told_so(read):
    text = "models: {churn: {mode: realtime, answers: {consumption: whole-set, input: request}}}"
    (warning,) = [each for each in read(text).warnings if each.key == "mode"]
    assert warning.remedy.startswith("No mode that this release deploys meets all answers")


HELD_UP = """\
models:
  churn:
    mode: async
    strict: true
    {settings}
    answers: {{consumption: waits, latency: 2m, input: request}}
"""


@pytest.mark.parametrize("traffic", ["model_latency: 45s", "payload_kb: 20000"])
def test_a_mode_that_limits_refuse_is_not_proposed_and_the_answers_in_the_way_are_named(traffic, refused):
    text = HELD_UP.format(settings=f"traffic: {{{traffic}}}")
    (problem,) = [each for each in refused(text).problems if each.key == "mode"]
    assert problem.remedy.startswith(
        "No mode that this release deploys meets all answers: change `answers.input` or `answers.consumption`; "
        f"traffic.{traffic.partition(':')[0]} of the entry refuses realtime and serverless;"
    )
    at_once = [each for each in refused(text.replace("async", "realtime")).problems if each.key != "mode"]
    assert ["contradicts `answers` (caller-stands-there)" in each.remedy for each in at_once] == [True]


@pytest.mark.parametrize(
    ("setting", "modes"), [("strict: false", "realtime, serverless"), ("network_isolation: true", "realtime")]
)
def test_a_mode_that_a_setting_of_the_entry_refuses_is_not_proposed(setting, modes, read):
    said = "{consumption: waits, latency: 30s, input: request}"
    text = f"models: {{churn: {{mode: precompute, schedule: rate(1 day), answers: {said}, {setting}}}}}"
    (warning,) = [each for each in read(text).warnings if each.key == "mode"]
    assert warning.remedy.startswith(f"Use {modes};")


def test_an_answer_that_does_not_exist_is_refused_with_the_nearest(refused):
    error = refused("models: {churn: {mode: realtime, answers: {input: requests, freshness: soon}}}")
    said = {each.key: each.remedy for each in error.problems}
    assert "'request'" in said["answers.input"]
    assert "300ms or 6h" in said["answers.freshness"]
