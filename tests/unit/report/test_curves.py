"""Curves are bills, and a crossing is a point at which two bills are equal."""

import pytest

from turnout import prices
from turnout.config import STAGES
from turnout.cost import bill, entry_for
from turnout.cost.fleets import model_bills
from turnout.report import curves

STAGE, TABLE = STAGES["dev"], prices.load()


def of(models, name):
    spec = models[name]
    return model_bills(spec, STAGE, TABLE), spec


def cost(model, spec, mode, work):
    return bill(mode, entry_for(spec, mode)[0], STAGE, work, TABLE).monthly


@pytest.mark.parametrize(("over", "at"), [("requests", curves.with_requests), ("freshness", curves.with_age)])
@pytest.mark.parametrize("name", ["churn", "documents", "recommendations"])
def test_at_a_crossing_two_modes_cost_the_same_and_change_places(models, name, over, at):
    model, spec = of(models, name)
    found = getattr(curves, f"over_{over}")(model, spec, STAGE, TABLE)["crossings"]
    assert found or name == "documents"
    for each in found:
        fewer, here, more = (at(model.work, each["x"] * by) for by in (0.99, 1, 1.01))
        one, other = (cost(model, spec, each[side], here) for side in ("below", "above"))
        assert one == pytest.approx(other, rel=0.002)
        assert each["usd"] == pytest.approx(one, rel=0.002)
        assert cost(model, spec, each["below"], fewer) < cost(model, spec, each["above"], fewer)
        assert cost(model, spec, each["above"], more) < cost(model, spec, each["below"], more)


def test_no_crossing_within_the_plot_is_left_out(models):
    model, spec = of(models, "churn")
    found = curves.over_requests(model, spec, STAGE, TABLE)
    for one, other in (("serverless", "precompute"), ("async", "realtime"), ("batch", "precompute")):
        ends = [found["usd"][one][end] < found["usd"][other][end] for end in (0, -1)]
        crossed = [each for each in found["crossings"] if {each["below"], each["above"]} == {one, other}]
        assert len(crossed) % 2 == (ends[0] != ends[1])


def test_a_curve_goes_through_the_bills_of_the_entry(models):
    model, spec = of(models, "churn")
    found = curves.over_requests(model, spec, STAGE, TABLE)
    assert found["xs"][0] < model.work.requests < found["xs"][-1]
    for mode, usd in found["usd"].items():
        work = curves.with_requests(model.work, found["xs"][7])
        assert usd[7] == cost(model, spec, mode, work)


def test_modes_that_are_illegal_for_the_entry_have_no_curve(models):
    model, spec = of(models, "documents")  # takes 45 s for a request
    assert "realtime" not in curves.over_requests(model, spec, STAGE, TABLE)["usd"]


def test_modes_without_runs_do_not_mind_how_fresh_scores_are(models):
    model, spec = of(models, "churn")
    usd = curves.over_freshness(model, spec, STAGE, TABLE)["usd"]
    assert len(set(usd["realtime"])) == 1
    assert usd["precompute"] == sorted(usd["precompute"], reverse=True)
