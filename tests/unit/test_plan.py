"""The plan: entries in the file against what is deployed, what it costs, and when it needs an acknowledgement."""

import itertools
import json
from pathlib import Path

import pytest

from handlers.contract.modes import AVAILABLE, ServingMode
from turnout.config import STAGES
from turnout.config.specs import ModelSpec
from turnout.plan import Situation, plan_all, plan_model
from turnout.switching import report
from turnout.switching.clients import Recent

DEV, PROD = STAGES["dev"], STAGES["prod"]
WEEK = Recent(requests=1000, hits=973, misses=27)
SAMPLED = Recent(requests=1000, keyless=0, sampled=100, sampled_known=100, generation="g7")
LOOKED_UP = Recent(requests=1000, hits=1000, keyless=0)


def spec(mode, name="churn", **settings):
    whole = {"name": name, "mode": mode, "schedule": "rate(1 day)", "key": "id", "features": ["a"]}
    return ModelSpec.model_validate({**whole, **settings})


def now(mode, recent=WEEK, **more):
    return Situation(ServingMode(mode), recent=recent, **more)


def planned(before, after, recent=WEEK, stage=DEV, **settings):
    return plan_model(spec(after, **settings), now(before, recent), stage)


def text(plan, *, whole=True):
    return "\n".join(report.lines(plan, whole=whole))


def test_a_new_model_is_created_and_says_when_it_will_answer():
    plan = plan_model(spec("precompute"), Situation(), DEV)
    assert (plan.action, plan.before, plan.after) == ("create", None, "precompute")
    assert "not_scored_yet" in " ".join(plan.notes)
    assert plan.refusal is None
    assert "not_scored_yet" not in " ".join(plan_model(spec("realtime"), Situation(), DEV).notes)


def test_an_unchanged_word_is_an_update():
    plan = planned("precompute", "precompute")
    assert (plan.action, plan.transition, plan.notice) == ("update", None, None)


def test_a_model_that_left_the_file_is_told_how_to_go():
    (plan,) = plan_all({}, {"churn": now("batch")}, DEV)
    assert (plan.action, plan.after) == ("remove", None)
    assert "cdk destroy" in text(plan)


def test_plans_come_in_the_order_of_names():
    specs = {name: spec("batch", name) for name in "ba"}
    assert [plan.model for plan in plan_all(specs, {"c": now("batch")}, DEV)] == ["a", "b", "c"]


def test_a_switch_says_what_clients_would_have_noticed_and_what_it_costs():
    plan = planned("precompute", "hybrid")
    assert "97.3 % of the last 7 days' 1,000 requests" in plan.notice.sentence
    assert plan.cost_after.usd > plan.cost_before.usd
    assert plan.workload.requests == 4343
    assert plan.workload.notes[0] == "4,343 requests a month (counted over 7 days)"
    assert plan.workload.notes[1] == "97.3% of them have a score (measured)"


def test_what_was_measured_stands_in_for_what_is_assumed():
    seen = now("batch", Recent(), rows=23_470, run_minutes=3.04)
    plan = plan_model(spec("precompute"), seen, DEV, requests=12)
    assert plan.workload.notes == (
        "12 requests a month (as given)",
        "95.0% of them have a score (assumed)",
        "23,470 rows a run (newest generation)",
        "3 paid minutes a run (as long as the last run took)",
        "0.1 s of the model a request (assumed)",
    )
    assert plan.workload.rows == 23_470


@pytest.mark.parametrize(
    ("before", "after", "recent", "refused"),
    [
        ("realtime", "batch", WEEK, True),
        ("realtime", "batch", Recent(), True),
        ("precompute", "batch", None, True),
        ("batch", "precompute", WEEK, False),
        ("hybrid", "precompute", WEEK, True),
        ("hybrid", "precompute", LOOKED_UP, False),
        ("hybrid", "precompute", Recent(requests=1000, hits=500), True),
        ("realtime", "precompute", SAMPLED, True),  # the gate sees no keys, and would refuse
        ("realtime", "precompute", Recent(requests=1000, keyless=900, sampled=10, sampled_known=10), True),
        ("realtime", "precompute", Recent(requests=5), True),
        ("realtime", "precompute", Recent(), False),
        ("realtime", "precompute", None, True),
        ("realtime", "serverless", None, False),
        ("precompute", "hybrid", None, False),
        ("precompute", "realtime", None, False),
    ],
)
def test_taking_answers_away_needs_an_acknowledgement(before, after, recent, refused):
    plan = planned(before, after, recent)
    assert (plan.refusal is not None) is refused
    if refused:
        assert "acknowledge: [lost-answers]" in " ".join(text(plan).split())
    acknowledged = planned(before, after, recent, acknowledge=["lost-answers"])
    assert acknowledged.refusal is None
    assert "remove it after the deploy" in " ".join(acknowledged.notes)


def test_what_is_not_deployed_loses_nothing():
    undeployed = now("precompute", Recent(), deployed=False, caveat="Not deployed here.")
    plan = plan_model(spec("batch"), undeployed, DEV)
    assert (plan.action, plan.refusal) == ("switch", None)
    assert plan.notes[0] == "Not deployed here."


def test_production_on_one_instance_is_a_warning_with_its_reason():
    one = {"realtime": {"instance_count": 1}}
    assert "SageMaker.4" in text(planned("batch", "realtime", stage=PROD, **one))
    assert planned("batch", "realtime", stage=PROD).warnings == ()
    assert planned("batch", "realtime", stage=DEV, **one).warnings == ()
    assert planned("batch", "precompute", stage=PROD, **one).warnings == ()


def test_a_schedule_that_starts_nothing_is_said():
    assert "starts no runs" in " ".join(planned("batch", "realtime").notes)
    assert "starts no runs" not in " ".join(planned("batch", "hybrid").notes)


def test_a_price_of_which_nobody_is_sure_is_marked():
    shown = text(planned("batch", "realtime", realtime={"instance_type": "ml.c6i.large"}))
    assert "[price: derived]" in shown
    assert "about $" in shown
    unknown = text(planned("batch", "realtime", realtime={"instance_type": "ml.m5.24xlarge"}))
    assert "at least $" in unknown
    assert "unknown  endpoint" in unknown


@pytest.mark.parametrize(("before", "after"), list(itertools.product(sorted(AVAILABLE), sorted(AVAILABLE))))
def test_every_plan_fits_into_eighty_columns_and_into_json(before, after):
    for recent in (WEEK, SAMPLED, Recent(), None):
        plan = planned(before, after, recent, name="a-model-with-a-name-of-31-chars")
        for line in text(plan).splitlines():
            assert len(line) <= 80
            assert line == line.rstrip()
        body = json.loads(json.dumps(plan.to_body()))
        assert (body["before"], body["after"]) == (before, after)


def test_the_short_form_leaves_steps_and_bill_out():
    plan = planned("precompute", "hybrid")
    assert "1. create" in text(plan)
    assert "1. create" not in text(plan, whole=False)
    assert "a month:" in text(plan, whole=False)


def test_a_plan_reads_like_this(golden):
    golden(text(planned("precompute", "hybrid")) + "\n", Path(__file__).parent / "plans/precompute_to_hybrid.txt")
