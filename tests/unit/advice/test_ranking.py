"""Modes in order: nothing illegal and nothing that breaks a promise is advised, whatever it saves."""

import dataclasses
import random
from datetime import timedelta

import pytest

from handlers.contract.modes import AVAILABLE, ServingMode
from tests.unit.advice.examples import ALL, Example
from turnout import cost, prices
from turnout.advice import changing, entries, ranking
from turnout.advice.questions import QUESTIONS
from turnout.config import STAGES, answers, legality, load, ways
from turnout.config.specs import ModelSpec
from turnout.errors import UserError

DEV, TABLE = STAGES["dev"], prices.load()


def spec(said=None, **settings) -> ModelSpec:
    whole = {"name": "churn", "mode": "batch", "schedule": "rate(1 day)", "key": "id", "features": ["x"]}
    return ModelSpec.model_validate(whole | settings | {"answers": said or {}})


def advise(said=None, **settings) -> ranking.Advice:
    return ranking.advise(spec(said, **settings), DEV, TABLE)


def anything(number: int):
    """Yield entries with answers and traffic drawn at random but always the same."""
    drawn = random.Random(66)
    for _ in range(number):
        said = {
            name: question.answer(drawn.choice(list(question.choices)))
            for name, question in QUESTIONS.items()
            if drawn.random() < 0.8
        }
        if drawn.random() < 0.2:
            said["freshness"] = f"{drawn.randint(10, 59)}m"
        traffic = {"requests_per_month": int(10 ** drawn.uniform(1, 9)), "payload_kb": 10 ** drawn.uniform(-1, 5)}
        traffic |= {"model_latency": f"{int(10 ** drawn.uniform(0, 5.5))}ms"}
        yield spec(said, traffic=traffic, hybrid={"fallback": drawn.choice(["realtime", "serverless", "async"])})


def test_what_is_advised_is_legal_and_breaks_no_promise_though_it_saved():
    advised = 0
    for entry in anything(300):
        best = ranking.advise(entry, DEV, TABLE).best
        if best is None:
            continue
        advised += 1
        made = ways.with_settings(entry, best.settings)
        assert [each for each in legality.check_model(made) if each.severity == "error"] == []
        assert answers.against(made) == []
        assert answers.serving(made) == best.serving
        assert answers.too_seldom(made) is None or best.mode.value not in ("batch", "precompute", "hybrid")
    assert advised > 50


def test_every_mode_that_a_contradiction_sends_to_is_one_that_the_entry_may_have():
    sent = 0
    for entry in anything(150):
        for mode in sorted(AVAILABLE):
            declared, _ = cost.entry_for(entry, mode)
            remedies = {each.remedy for each in legality.check_model(declared) if each.path == ("mode",)}
            for word in (word for each in remedies for word in each.partition(";")[0].removeprefix("Use ").split(", ")):
                if word in set(AVAILABLE):
                    sent += 1
                    assert may_have(declared, ServingMode(word)), (word, declared)
    assert sent > 100


def may_have(entry: ModelSpec, mode: ServingMode) -> bool:
    """Say whether an entry may have a mode, with one of the endpoints that it can keep."""
    other, _ = cost.entry_for(entry, mode)
    variants = [ways.with_settings(other, {"hybrid.fallback": each}) for each in ("realtime", "serverless", "async")]
    return any(all(each.severity == "warning" for each in legality.check_mode(variant)) for variant in variants)


def test_cheaper_modes_that_break_a_promise_stand_behind():
    advice = advise({"input": "request", "consumption": "waits", "cost": "high", "latency": "300ms"})
    assert str(advice.best.serving) == "realtime"
    cheaper = [each for each in advice.options if not each.refused and each.bill.monthly < advice.best.bill.monthly]
    assert {"serverless", "precompute"} <= {each.mode.value for each in cheaper}
    assert not any(each.open for each in cheaper)


def test_a_request_that_the_front_door_cannot_wait_for_leaves_async():
    said = {"freshness": "now", "input": "request", "cost": "high"}
    advice = advise(said, traffic={"model_latency": "40s", "requests_per_month": 10})
    assert advice.best.mode == "async"
    assert {each.mode.value for each in advice.options if each.refused} >= {"realtime", "serverless"}


def test_a_mode_with_an_unknown_price_is_never_the_cheapest():
    said = {"input": "request", "consumption": "waits", "cost": "high", "latency": "30s"}
    assert advise(said).best.mode == "serverless"
    key = "sagemaker_serverless.2048"
    without = dataclasses.replace(TABLE, entries={name: price for name, price in TABLE.entries.items() if name != key})
    assert ranking.advise(spec(said), DEV, without).best.mode == "realtime"


def test_environments_that_are_kept_warm_serve_within_a_second():
    said = {"input": "request", "consumption": "waits", "latency": "300ms"}
    traffic = {"model_latency": "100ms", "peak_per_second": 20}

    def open_modes(kept: int) -> set[str]:
        warm = advise(said, traffic=traffic, serverless={"provisioned_concurrency": kept})
        return {each.mode.value for each in warm.options if each.open}

    assert "serverless" in open_modes(2)
    assert "serverless" not in open_modes(1)


def test_nothing_is_advised_without_answers_or_where_answers_exclude_every_mode():
    assert advise().best is None
    assert advise({"consumption": "whole-set", "input": "request"}).best is None


def test_a_mode_brings_the_settings_that_it_needs():
    said = {
        "freshness": "now",
        "input": "request",
        "consumption": "waits",
        "latency": "300ms",
        "failure": "must-answer",
    }
    best = advise(said, traffic={"peak_per_second": 1000, "model_latency": "100ms"}).best
    assert best.settings == {"mode": "realtime", "realtime.instance_count": 2, "realtime.max_instances": 25}
    said = {"freshness": "10d", "input": "stored", "consumption": "waits"}
    best = advise(said, mode="realtime", schedule=None).best
    assert best.mode == "precompute"
    assert best.settings["schedule"].rate == "7 days"
    assert best.settings["max_staleness"].days == 10


def test_an_entry_that_runs_too_seldom_gets_a_faster_schedule_with_its_own_mode():
    best = advise({"freshness": "6h", "consumption": "whole-set"}).best
    assert best.mode == "batch"
    assert best.settings["schedule"].rate == "4 hours"  # a run takes some of the six hours
    assert best.settings["max_staleness"] == timedelta(hours=6)


def test_a_run_that_age_starts_comes_before_scores_are_older_than_asked():
    said = {"freshness": "1d", "input": "stored", "consumption": "waits"}
    entry = spec(said, max_staleness="40h", refresh={"when_older_than": "30h"})
    made = ways.with_settings(entry, ranking.advise(entry, DEV, TABLE).best.settings)
    assert (made.max_staleness, made.refresh.when_older_than) == (timedelta(days=1), timedelta(hours=12))
    assert [each for each in legality.check_model(made) if each.severity == "error"] == []


@pytest.mark.parametrize(("fresh", "rate"), [("20m", "10 minutes"), ("40m", "30 minutes"), ("1h", "30 minutes")])
def test_scores_younger_than_an_hour_get_a_rate_of_minutes(fresh, rate):
    best = advise({"freshness": fresh, "input": "stored", "consumption": "waits"}, mode="realtime", schedule=None).best
    assert (best.mode.value, best.settings["schedule"].rate) == ("precompute", rate)


def test_a_run_takes_as_long_as_its_instances_need_to_start_its_job_and_its_steps():
    """Of fifteen minutes a run takes ten: five to start, three and two thirds that are paid for, the steps."""
    advice = advise({"freshness": "15m", "input": "stored", "consumption": "waits"})
    assert (advice.best.mode.value, "no-run-in-time" in advice.facts) == ("serverless", True)
    entry = spec({"freshness": "1h"}, schedule="rate(30 minutes)", transform={"instance_count": 100})
    assert answers.too_seldom(entry) is None
    many = spec({"freshness": "1h"}, schedule="rate(30 minutes)", transform={"instance_count": 100}, traffic=MANY)
    assert "take 99 min" in answers.too_seldom(many)


MANY = {"entities": 100_000_000}


@pytest.mark.parametrize("mode", ["batch", "precompute", "hybrid"])
def test_more_rows_than_a_run_takes_are_no_modes_that_scores_in_batch(mode):
    said = {"freshness": "1d", "input": "stored", "consumption": "waits"}
    (option,) = [each for each in advise(said, traffic={"entities": 200_000_000}).options if each.mode == mode]
    assert "a run ends with TooManyRows after some 155 million" in option.refused
    assert not option.open


def test_scores_are_kept_until_the_next_run_in_the_mode_that_is_advised():
    best = advise({"input": "stored", "consumption": "waits"}, schedule="cron(0 6 1 * ? *)").best
    assert (best.mode, best.settings["keep_scores"]) == ("precompute", timedelta(days=32))


def test_settings_that_take_scores_and_a_model_give_way_to_a_mode_without_both():
    said = {"freshness": "1d", "input": "stored", "consumption": "waits"}
    both = {"hybrid": {"fallback": "realtime"}, "input": {"data_time": "at"}, "refresh": {"on_event": True}}
    entry = spec(said, mode="hybrid", on_stale="live", **both)
    best = ranking.advise(entry, DEV, TABLE).best
    assert (best.mode, best.settings["on_stale"], best.settings["refresh.on_event"]) == ("precompute", "serve", False)
    assert "      on_event: false" in ranking.lines(entry, best)
    assert [
        each for each in legality.check_model(ways.with_settings(entry, best.settings)) if each.severity == "error"
    ] == []


def test_a_second_instance_comes_with_the_room_for_it():
    said = {"input": "request", "consumption": "waits", "latency": "300ms", "failure": "must-answer"}
    best = advise(said, realtime={"max_instances": 1}).best
    assert (best.settings["realtime.instance_count"], best.settings["realtime.max_instances"]) == (2, 2)


def test_what_no_run_keeps_fresh_is_not_advised_unless_events_do():
    said = {"freshness": "40m", "input": "stored", "consumption": "waits"}
    slow = {"entities": 100_000_000, "model_latency": "100ms"}
    assert advise(said, traffic=slow).best.mode == "serverless"
    shut = {each.mode.value: [rule.id for rule in each.excluded] for each in advise(said, traffic=slow).options}
    assert shut["precompute"] == ["no-run-in-time"]
    said["input"] = "mostly-stored"
    assert advise(said, traffic=slow, refresh={"on_event": True}).best.mode == "hybrid"


@pytest.mark.parametrize("requests", [800_000_000, 10**9, 90 * 10**9, 10**12])
def test_any_number_of_requests_is_reckoned_with(requests):
    entry = spec({"input": "request", "consumption": "waits"}, traffic={"requests_per_month": requests})
    advice = ranking.advise(entry, DEV, TABLE)
    assert "rests" not in advice.facts
    assert list(changing.changes(advice, entry, DEV, TABLE))


@pytest.mark.parametrize("example", [each for each in ALL if not each.settings], ids=lambda each: each.name)
def test_the_lines_to_paste_make_the_advice_so(example: Example, tmp_path):
    entry = example.spec()
    advice = ranking.advise(entry, DEV, TABLE)
    path = tmp_path / "models.yaml"
    (tmp_path / "code").mkdir()
    rest = "    schedule: rate(1 day)\n" if "schedule" not in advice.best.settings else ""
    text = "\n".join(ranking.lines(entry, advice.best))
    path.write_text(f"{text}\n{rest}    key: id\n    features: [x]\n    code: code\n    strict: true\n")
    loaded = load(path).models["example"]
    assert answers.serving(loaded) == advice.best.serving
    assert loaded.answers == entry.answers


def test_what_would_change_the_decision_does():
    said = {"freshness": "now", "input": "request", "consumption": "waits", "latency": "30s", "cost": "high"}
    entry = spec(said, traffic={"requests_per_month": 1_000_000})
    advice = ranking.advise(entry, DEV, TABLE)
    found = {(each.what, each.becomes): each.instead for each in changing.changes(advice, entry, DEV, TABLE)}
    assert advice.best.mode == "serverless"
    assert found["latency", "instant"].mode == "realtime"
    assert found["consumption", "whole-set"] is None
    assert ("cost", "medium") not in found
    (more,) = [becomes for what, becomes in found if what == "requests a month"]
    busy = entries.with_requests(entry, int(more.replace(",", "")))
    assert ranking.advise(busy, DEV, TABLE).best.mode == "realtime"


def test_answers_that_are_given_go_before_the_entrys():
    entry = entries.with_answers(spec({"latency": "5s", "input": "stored"}), {"latency": "200ms", "input": None})
    assert answers.answered(entry) == {"latency": "instant", "input": "stored"}
    with pytest.raises(UserError, match="not a time"):
        entries.with_answers(entry, {"latency": "soon"})


def test_an_entry_that_is_yet_to_be_written_gets_whole_lines():
    entry = entries.with_answers(entries.new_entry(), {"freshness": "6h", "consumption": "waits", "input": "stored"})
    advice = ranking.advise(entry, DEV, TABLE, written=False)
    assert advice.mode is None
    assert ranking.lines(entry, advice.best)[2:4] == ["    mode: precompute", "    schedule: rate(4 hours)"]


def test_a_peak_beyond_what_serverless_takes_shuts_it_out_though_only_a_months_requests_are_stated():
    said = {"input": "request", "consumption": "waits", "latency": "30s", "cost": "high"}
    traffic = {"requests_per_month": 300_000_000, "model_latency": "1s"}
    advice = advise(said, traffic=traffic)
    assert str(advice.best.serving) == "realtime"
    (serverless,) = [option for option in advice.options if option.mode == "serverless"]
    assert [rule.id for rule in serverless.excluded] == ["too-many-in-flight"]


def test_a_limit_that_cuts_what_the_peak_wants_shuts_the_endpoint_out_with_both_figures():
    said = {"input": "mostly-stored", "freshness": "1d", "consumption": "waits"}
    traffic = {"requests_per_month": 300_000_000, "model_latency": "5s", "covered": 0.9}
    (hybrid,) = [option for option in advise(said, traffic=traffic).options if option.mode == "hybrid"]
    assert str(hybrid.serving) == "hybrid with realtime"
    traffic |= {"requests_per_month": 2_000_000_000, "model_latency": None}
    entry = spec({"input": "request"}, traffic=traffic)
    (serverless,) = [each for each in ranking.advise(entry, DEV, TABLE).options if each.mode == "serverless"]
    assert [rule.id for rule in serverless.excluded] == ["beyond-limit"]
    assert "the peak wants 762 of serverless.max_concurrency, and AWS's limit is 200" in serverless.excluded[0].because


def test_an_asynchronous_endpoint_gets_the_instances_that_the_peak_wants():
    said = {"input": "upload", "consumption": "later", "latency": "5m"}
    traffic = {"requests_per_month": 3_000_000, "model_latency": "10s"}
    best = advise(said, traffic=traffic).best
    assert best.mode == "async"
    assert best.settings["async.max_instances"] == 29
