"""The plan: modes in the file against modes that are deployed."""

from handlers.contract.modes import AVAILABLE, ServingMode
from turnout.plan import EFFECTS, plan

BATCH, PRECOMPUTE = ServingMode.BATCH, ServingMode.PRECOMPUTE


def test_every_mode_that_can_be_deployed_has_an_effect():
    assert set(EFFECTS) == AVAILABLE


def test_a_new_model_is_created_and_says_when_it_will_answer():
    (step,) = plan({"churn": PRECOMPUTE}, {})
    assert (step.action, step.before, step.after) == ("create", None, "precompute")
    assert "not_scored_yet" in step.note


def test_a_changed_word_is_a_switch():
    (step,) = plan({"churn": PRECOMPUTE}, {"churn": "batch"})
    assert (step.action, step.before, step.after) == ("switch", "batch", "precompute")


def test_an_unchanged_word_is_an_update_without_a_note():
    (step,) = plan({"churn": PRECOMPUTE}, {"churn": "precompute"})
    assert (step.action, step.note) == ("update", "")


def test_a_model_that_left_the_file_is_told_how_to_go():
    (step,) = plan({}, {"churn": "batch"})
    assert (step.action, step.after) == ("remove", None)
    assert "cdk destroy" in step.note


def test_steps_come_in_the_order_of_names():
    steps = plan({"b": BATCH, "a": BATCH}, {"c": "batch"})
    assert [step.model for step in steps] == ["a", "b", "c"]
