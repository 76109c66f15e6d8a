"""The plan: entries in the file against what is deployed, what it costs, and when it needs an acknowledgement."""

import itertools
import json
from dataclasses import replace
from pathlib import Path

import pytest

from handlers.contract.modes import AVAILABLE, ServingMode
from turnout import cli, prices
from turnout.config import STAGES
from turnout.config.capabilities import endpoint_family, realtime_instances
from turnout.config.containers import endpoint_of_model
from turnout.config.specs import ModelSpec
from turnout.plan import Situation, plan_all, plan_model
from turnout.switching import report
from turnout.switching.clients import Recent
from turnout.switching.parts import UNLESS_FRESH

DEV, PROD = STAGES["dev"], STAGES["prod"]
WEEK = Recent(requests=1000, hits=973, misses=27)
SAMPLED = Recent(requests=1000, keyless=0, sampled=100, sampled_known=100, generation="g7")
LOOKED_UP = Recent(requests=1000, hits=1000, keyless=0)
EARLIER_LOOKUPS = Recent(requests=1000, hits=600, keyless=0)


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


VERSION = "0123456789ab"
ON_INSTANCES = {"hybrid": {"fallback": "realtime"}}


def standing(mode, version=VERSION, recent=WEEK, **settings):
    """Return the situation of a model that was deployed with these settings."""
    old = spec(mode, **settings)
    family = endpoint_family(old)
    outputs = {"ModelVersion": version}
    if family:
        outputs["EndpointName"] = endpoint_of_model(old, "dev", family, version)
        of = getattr(old, {"async": "async_"}.get(family, family))
        outputs |= {"MemoryMb": str(of.memory_mb)} if family == "serverless" else {"InstanceType": of.instance_type}
    if family == "realtime":
        outputs["InstanceCount"] = str(realtime_instances(old, DEV))
    if old.mode is ServingMode.HYBRID:
        outputs["Fallback"] = old.hybrid.fallback
    return now(mode, recent, outputs=outputs)


def changed(mode, before, after, version=VERSION):
    """Return the plan of a change of settings within one mode."""
    return plan_model(spec(mode, **after), standing(mode, **before), DEV, version=version)


@pytest.mark.parametrize("mode", sorted(AVAILABLE))
def test_what_is_deployed_already_is_no_transition(mode):
    plan = changed(mode, {}, {})
    assert (plan.action, plan.transition, plan.notice, plan.clients) == (
        "update",
        None,
        None,
        "Answers come as before.",
    )
    assert plan.cost_before == plan.cost_after


def test_another_fallback_is_a_transition_with_its_own_bills_and_answers():
    plan = changed("hybrid", {"hybrid": {"fallback": "serverless"}}, {"hybrid": {"fallback": "async"}})
    assert (plan.action, plan.transition.created, plan.transition.removed) == (
        "update",
        ("async endpoint",),
        ("serverless endpoint",),
    )
    assert "2.7 % had another key and would get 202 and the prediction later" in plan.notice.sentence
    assert "as before" not in plan.clients
    before, after = ({line.what for line in each.lines} for each in (plan.cost_before, plan.cost_after))
    assert "answers in S3: PUT" in after - before
    assert " before, " in text(plan, whole=False)


@pytest.mark.parametrize(
    ("mode", "before", "after"),
    [
        ("realtime", {}, {"realtime": {"instance_type": "ml.m5.4xlarge"}}),
        ("hybrid", ON_INSTANCES, {**ON_INSTANCES, "realtime": {"instance_type": "ml.m5.4xlarge"}}),
        ("async", {}, {"async": {"instance_type": "ml.m5.4xlarge"}}),
        ("serverless", {}, {"serverless": {"memory_mb": 6144}}),
    ],
)
def test_what_a_model_runs_on_is_a_transition_to_another_endpoint(mode, before, after):
    plan = changed(mode, before, after)
    (created,), (removed,) = plan.transition.created, plan.transition.removed
    assert created.startswith("another ")
    assert removed.startswith("the old ")
    assert not plan.transition.instant
    assert plan.cost_before.monthly < plan.cost_after.monthly or plan.cost_before.lines != plan.cost_after.lines
    assert "as before" in plan.clients


def test_a_model_that_was_trained_again_is_proved_beside_the_old_one():
    plan = changed("realtime", {}, {}, version="ba9876543210")
    assert [step.name for step in plan.transition.steps if step.what != "nothing to do"] == [
        "create",
        "warm",
        "prove",
        "move",
        "drain",
        "retire",
    ]
    assert plan.transition.created == ("another realtime endpoint",)
    assert plan.transition.removed == ("the old realtime endpoint",)
    assert plan.clients.endswith("Predictions are those of the model that was trained since.")
    assert plan.cost_before == plan.cost_after


def test_a_new_model_on_the_way_to_another_mode_is_another_endpoint_too():
    def kept(version):
        settings = {"hybrid": {"fallback": "realtime"}}
        switch = plan_model(spec("hybrid", **settings), standing("realtime"), DEV, version=version).transition
        return "realtime endpoint" in switch.kept

    assert kept(VERSION)
    assert not kept("ba9876543210")


def test_scores_of_a_model_that_was_trained_again_are_made_anew():
    plan = changed("precompute", {}, {}, version="ba9876543210")
    assert plan.transition.created == plan.transition.removed == ()
    assert "a run makes a generation" in plan.transition.steps[1].what
    assert changed("batch", {}, {}, version="ba9876543210").transition is None, "the next run brings it"


def test_a_version_that_nobody_knows_is_taken_for_the_same():
    assert changed("realtime", {}, {}, version=None).transition is None


@pytest.mark.parametrize(
    ("version", "age", "fits"),
    [(VERSION, 3600, True), (VERSION, 10**6, False), ("ba9876543210", 3600, False), (None, None, None)],
)
def test_whether_a_run_comes_first_follows_from_the_visible_generation(version, age, fits):
    seen = replace(standing("hybrid"), scores_version=version, scores_age=age)
    warm = plan_model(spec("precompute"), seen, DEV, version=VERSION).transition.steps[1]
    said = {True: "nothing to do", False: "a run makes a generation: the visible one does not do"}
    assert warm.what == said.get(fits, UNLESS_FRESH)
    assert (warm.seconds.least, warm.seconds.most) == {True: (0, 0), False: (180, 900)}.get(fits, (0, 900))


def test_an_endpoint_that_would_be_passed_unasked_is_a_warning():
    plan = planned("batch", "realtime", artifact="s3://models-of-mine/churn/model.tar.gz")
    assert "no sample payloads" in plan.warnings[0]
    assert "Name a file of them under `samples`" in plan.warnings[0]


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
    assert plan.cost_after.monthly > plan.cost_before.monthly
    assert plan.workload.requests == 4343
    assert plan.workload.notes[0] == "4,343 requests a month (counted over 7 days)"
    assert "97.3% of the requests have a score (measured)" in plan.workload.notes


def test_a_switch_says_by_how_much_the_bill_moves_and_which_parts_move_it():
    plan = planned("precompute", "realtime")
    found = plan.difference
    assert found.usd == pytest.approx(plan.cost_after.monthly - plan.cost_before.monthly)
    said = " ".join(text(plan, whole=False).split())
    assert f"changes: +${found.usd:,.2f} a month" in said
    assert "endpoint +$8" in said
    assert f"${plan.cost_after.once:,.2f} once" in said
    assert plan.to_body()["cost"]["difference"]["usd"] == round(found.usd, 2)
    cheaper = " ".join(text(planned("realtime", "precompute"), whole=False).split())
    assert f"changes: −${found.usd:,.2f} a month (−9" in cheaper


def test_a_plan_whose_bill_lacks_a_price_names_no_difference():
    plan = changed("realtime", {}, {"realtime": {"instance_type": "ml.m5.24xlarge"}})
    assert plan.difference.usd is None
    assert "by an unknown amount, as a price is missing" in text(plan, whole=False)


def test_a_plan_that_changes_no_bill_says_nothing_of_a_difference():
    assert "changes:" not in text(planned("precompute", "precompute"), whole=False)
    assert plan_model(spec("batch"), Situation(), DEV).to_body()["cost"]["difference"] is None


@pytest.mark.parametrize("mode", [None, "realtime", "batch"])
def test_costs_are_those_of_the_region_whose_prices_are_given(mode):
    entries = {key: replace(price, usd=2 * price.usd) for key, price in prices.load().entries.items()}
    dear = replace(prices.load(), region="eu-west-1", entries=entries)
    seen = Situation() if mode is None else now(mode)
    usual, plan = (plan_model(spec("realtime"), seen, DEV, table=table) for table in (None, dear))
    assert plan.cost_after.monthly == pytest.approx(2 * usual.cost_after.monthly)
    assert (usual.to_body()["cost"]["region"], plan.to_body()["cost"]["region"]) == ("us-east-1", "eu-west-1")
    assert "(eu-west-1 list prices)" in text(plan, whole=False)
    (one,) = plan_all({"churn": spec("realtime")}, {"churn": seen}, DEV, table=dear)
    assert one.cost_after == plan.cost_after


def test_the_command_takes_the_prices_of_the_region_that_is_set_and_says_where_there_are_none(monkeypatch, capsys):
    for name in ("AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    assert cli._prices_here().region == "us-east-1"
    assert "There is no price table of eu-west-1" in " ".join(capsys.readouterr().err.split())
    monkeypatch.setattr(prices, "regions", lambda: ["eu-west-1", "us-east-1"])
    monkeypatch.setattr(prices, "load", lambda region: region)
    assert cli._prices_here() == "eu-west-1"
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")  # where boto3 looks what is deployed
    assert cli._prices_here() == "us-east-1"
    assert not capsys.readouterr().err


def test_what_was_measured_stands_in_for_what_is_assumed():
    seen = now("batch", Recent(), rows=23_470, job_minutes=3.04)
    plan = plan_model(spec("precompute"), seen, DEV, requests=12)
    assert set(plan.workload.notes) > {
        "12 requests a month (as given)",
        "95.0% of the requests have a score (assumed)",
        "23,470 rows a run (newest generation)",
        "3 paid minutes a run on one instance (as the last transform job took)",
        "0.1 s of the model a request (assumed)",
    }
    assert plan.workload.entities == 23_470


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
        ("realtime", "precompute", Recent(requests=1000, keyless=900, sampled=100, sampled_known=100), True),
        ("realtime", "precompute", EARLIER_LOOKUPS, True),
        ("async", "precompute", LOOKED_UP, True),
        ("hybrid", "precompute", EARLIER_LOOKUPS, True),
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


@pytest.mark.parametrize("before", ["realtime", "hybrid"])
def test_lookups_of_an_earlier_mode_are_not_taken_for_all_requests(before):
    plan = planned(before, "precompute", EARLIER_LOOKUPS)
    assert "100 %" not in text(plan)
    assert plan.notice.sentence.startswith("Nothing tells how many")
    assert "nobody can tell how many of the requests" in plan.refusal
    assert not any("measured" in note for note in plan.workload.notes)


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
