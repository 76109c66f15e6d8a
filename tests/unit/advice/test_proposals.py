"""What a week of traffic speaks for, with dollars, confidence and conditions, and what it must never speak for."""

from datetime import datetime, timedelta

import pytest

from tests.unit.advice.weeks import ALL_NEW, DEV, END, FORTY, PRICES, by_hour, entry, week
from turnout import cost
from turnout.advice import observed_text
from turnout.advice.keys import sample_of
from turnout.advice.observed import Seen, Spread
from turnout.advice.proposals import propose
from turnout.config import answers, legality, stage, ways

SETTLED = {"freshness": "1d", "input": "stored", "failure": "default"}
AT_ONCE = {"latency": "300ms"}
SLOW = Spread(2100, 0.1, 0.1, 0.2, 0.3)


def proposed(*arguments, **seen):
    return propose(week(*arguments, **seen), DEV, PRICES)


def test_a_realtime_model_with_few_keys_is_to_be_precomputed():
    (found,) = proposed(entry("realtime"))
    assert found.because == "this realtime model gets 300 requests a day from 40 keys"
    assert (found.what, found.settings["schedule"].rate) == ("precompute", "1 day")
    assert found.saves == pytest.approx(found.now.monthly - found.then.monthly)
    assert 80 < found.saves < found.now.monthly


def test_dollars_are_those_of_the_bill():
    (found,) = proposed(entry("realtime", answers=SETTLED))
    spec = entry("precompute", schedule="rate(12 hours)", traffic={"requests_per_month": 9125, "entities": 40})
    work = cost.workload_of(spec, covered=1.0, model_seconds=0.02, peak_per_second=0.0167)
    assert found.then.monthly == pytest.approx(cost.bill(spec.mode, spec, DEV, work, PRICES).monthly)


def test_open_questions_are_conditions_and_lower_the_confidence():
    (found,) = proposed(entry("realtime"))
    assert [each.split()[0] for each in found.conditions] == ["answers.freshness", "answers.input"]
    assert found.confidence == "medium"
    (settled,) = proposed(entry("realtime", answers=SETTLED))
    assert (settled.conditions, settled.confidence) == ((), "high")


@pytest.mark.parametrize("said", [{"freshness": "now"}, {"freshness": "5m"}, {"input": "request"}])
def test_no_saving_is_proposed_that_breaks_an_answer(said):
    for found in proposed(entry("realtime", answers=said | AT_ONCE)):
        assert found.what not in ("precompute", "batch")


def test_an_answer_wanted_at_once_keeps_an_instance_up():
    assert proposed(entry("realtime", answers=AT_ONCE), keys=ALL_NEW) == []


def test_new_keys_in_bursts_are_for_a_serverless_endpoint():
    (found,) = proposed(entry("realtime"), keys=ALL_NEW, by_hour={END - timedelta(hours=50): 3000.0}, peak=2.0)
    assert (found.what, found.settings) == ("serverless", {"mode": "serverless"})
    assert any("answers.latency" in each for each in found.conditions)


def test_a_busy_serverless_endpoint_is_dearer_than_an_instance():
    hours = by_hour(72_000.0)
    (found,) = proposed(entry("serverless"), keys=ALL_NEW, by_hour=hours, peak=20.0, model=SLOW)
    assert found.what == "realtime"
    assert found.saves > 50


def test_lookups_that_miss_are_mended_even_if_that_costs_more():
    (found, *_) = proposed(entry("precompute", schedule="rate(1 day)"), hits=1700, misses=400, model=None)
    assert found.what.startswith("hybrid")
    assert found.saves < 0
    assert "breaks what is asked of it" in found.because
    assert any("carry features" in remark for remark in found.remarks)


def test_lost_answers_are_said_before_the_switch():
    (found,) = proposed(entry("realtime"))
    assert any("acknowledge: [lost-answers]" in remark for remark in found.remarks)


def test_callers_who_are_refused_are_served():
    (found, *_) = proposed(entry("batch", schedule="rate(1 day)"), keys=sample_of("ab" * 60, known=120), model=None)
    assert found.what == "precompute"


def test_fresher_scores_than_asked_are_made_less_often():
    spec = entry("precompute", schedule="rate(1 hour)", answers={"freshness": "1d"})
    hour_old = Spread(2100, 1800, 1800, 3500, 3600)
    (found,) = proposed(spec, hits=2100, age=hour_old, rows=1000, run_minutes=4.0, job_minutes=4.0, model=None)
    assert (found.what, found.confidence) == ("schedule: rate(12 hours)", "high")  # a day less the run
    assert 1 < found.saves < found.now.monthly


def test_a_schedule_is_never_slower_than_what_is_asked():
    for hours in (2, 5, 12, 30, 49, 400):
        spec = entry("precompute", schedule="rate(1 hour)", max_staleness=f"{hours}h", keep_scores=f"{hours}h")
        for found in proposed(spec, hits=2100, rows=1000, run_minutes=30.0, job_minutes=4.0, model=None):
            if found.what.startswith("schedule"):
                every = answers.interval(found.settings["schedule"])
                assert not legality.refusals(ways.with_settings(spec, found.settings), spec)
                assert every + timedelta(minutes=30) <= timedelta(hours=hours)


def test_scores_that_are_too_old_are_made_more_often():
    spec = entry("precompute", schedule="rate(1 day)", max_staleness="6h")
    runs = {"rows": 1000, "run_minutes": 4.0, "failed_runs": 1, "runs": 6}
    (found,) = proposed(spec, hits=2100, stale=900, model=None, **runs)
    assert (found.what, found.saves < 0) == ("schedule: rate(4 hours)", True)
    assert "900 scores were too old" in found.because
    assert found.remarks == ("of 7 runs 1 failed",)


def test_instances_beyond_the_busiest_minute_are_proposed_away():
    spec = entry("realtime", realtime={"instance_count": 4}, answers=AT_ONCE)
    (found,) = proposed(spec, keys=ALL_NEW, peak=10.0)
    assert (found.what, found.saves > 200) == ("realtime.instance_count: 1", True)
    (careful,) = propose(week(spec, ALL_NEW, peak=10.0), stage("prod"), PRICES)
    assert careful.what == "realtime.instance_count: 2"


def test_a_model_that_nobody_asks_may_cost_nothing():
    (found,) = proposed(entry("realtime"), by_hour={}, keys=sample_of([]), model=None, peak=0.0)
    assert found.because == "nobody asked it for a prediction in 7 days"
    assert found.then.monthly < 0.1 * found.now.monthly


def test_a_day_or_a_handful_of_requests_is_not_trusted():
    begin = END - timedelta(days=1)
    hours = {hour: count for hour, count in by_hour(12.5).items() if hour >= begin}
    seen = Seen(entry=entry("realtime", answers=SETTLED), begin=begin, end=END, by_hour=hours, keys=FORTY, keyless=0)
    assert propose(seen, DEV, PRICES)[0].confidence == "low"
    rare = proposed(entry("realtime", answers=SETTLED), by_hour=by_hour(0.5))
    assert rare[0].confidence == "low"


def test_days_that_differ_make_a_range_around_the_saving():
    hours = by_hour(*[0.0] * 24, *[100_000.0] * 24)
    (found,) = proposed(entry("serverless"), keys=ALL_NEW, by_hour=hours, peak=30.0, model=SLOW)
    assert found.range[0] < found.saves < found.range[1]
    assert (found.range[0] < 0, found.confidence) == (True, "low")


def test_what_is_right_is_left_alone():
    spec = entry("precompute", schedule="rate(1 day)", answers=SETTLED | {"consumption": "waits"})
    assert proposed(spec, hits=2100, rows=1000, run_minutes=4.0, job_minutes=4.0, model=None) == []


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "models.yaml"
    path.write_text("models:\n  churn:\n    mode: realtime # for now\n    key: id\n    features: [x]\n")
    return path


def test_the_line_to_change_is_named_and_what_is_missing_is_to_be_added(file):
    (found,) = proposed(entry("realtime"))
    change, add = observed_text.edits(file, "churn", found.settings)
    assert str(change) == f"change {file}:3: `mode: realtime` to `mode: precompute`"
    assert str(add) == f"add to the entry in {file}: schedule: rate(1 day)"


def test_the_text_says_who_asks_what_is_saved_and_on_what_terms(file):
    seen = week(entry("realtime"))
    shown = " ".join("\n".join(observed_text.lines([(seen, propose(seen, DEV, PRICES))], file, PRICES)).split())
    assert "churn (realtime): 2,100 requests in 7 days, steady" in shown
    assert "gets 300 requests a day from 40 keys: precompute saves $88.18 a month ($4.22 instead of" in shown
    assert "confidence medium: 2,100 requests in 7 days" in shown
    assert "holds only if answers.freshness is `hours`" in shown


def test_the_body_for_scripts_holds_what_the_text_says(file):
    seen = week(entry("realtime"))
    body = observed_text.body(seen, propose(seen, DEV, PRICES), file)
    assert (body["seen"]["requests"], body["seen"]["keys"], body["seen"]["shape"]) == (2100, 40, "steady")
    (found,) = body["proposals"]
    assert found["settings"] == {"mode": "precompute", "schedule": "rate(1 day)"}
    assert [edit["line"] for edit in found["edits"]] == [3, None]
    assert datetime.fromisoformat(body["seen"]["end"]) == END
