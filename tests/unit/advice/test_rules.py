"""The rules: each decides something, no two contradict, and what they name exists."""

import itertools
import random

import pytest

from tests.unit.advice.examples import ALL
from tests.unit.advice.examples import QUESTIONS as ORDER
from turnout.advice.questions import QUESTIONS
from turnout.advice.rules import FACTS, RULES, Rule, Serving, contradict, excluding, preferring
from turnout.config import answers
from turnout.config.specs import AnswersSpec, ModelSpec

SPEC = ModelSpec.model_validate(
    {"name": "m", "mode": "batch", "schedule": "rate(1 day)", "key": "id", "features": ["x"]}
)
WAYS = answers.ways(SPEC)


def situations(number: int):
    """Yield answers to all questions with facts, drawn at random but always the same."""
    drawn = random.Random(6)
    for _ in range(number):
        known = {name: drawn.choice(list(question.choices)) for name, question in QUESTIONS.items()}
        yield known, frozenset(fact for fact in FACTS if drawn.random() < 0.2)


def test_questions_are_those_of_the_configuration():
    assert tuple(QUESTIONS) == tuple(AnswersSpec.model_fields) == ORDER


@pytest.mark.parametrize("question", QUESTIONS.values(), ids=lambda question: question.name)
def test_every_choice_can_be_answered_and_is_read_back(question):
    for choice in question.choices:
        answer = question.answer(choice)
        AnswersSpec.model_validate({question.name: answer})
        assert question.choice(answer) == choice


def test_rules_have_names_of_their_own_and_name_what_exists():
    assert len({rule.id for rule in RULES}) == len(RULES)
    for rule in RULES:
        assert rule.modes or rule.endpoints, rule.id
        assert rule.when or rule.facts, rule.id
        assert (rule.facts | rule.unless) <= FACTS.keys(), rule.id
        for question, choices in rule.when.items():
            assert choices <= QUESTIONS[question].choices.keys(), rule.id


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_every_rule_fires_in_an_example(rule: Rule):
    fired = []
    for example in ALL:
        spec = example.spec()
        known, facts = answers.answered(spec), answers.facts(spec)
        said = {"excludes": excluding, "prefers": preferring}[rule.verdict]
        fired += [example.name for way in WAYS if rule in said(way, known, facts)]
    assert fired


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_every_rule_can_decide_alone(rule: Rule):
    """Without it, a way to serve would be open that is not, or would have one point less."""

    def alone(way: Serving, known, facts) -> bool:
        out = list(excluding(way, known, facts))
        return out == [rule] or (not out and rule in preferring(way, known, facts))

    known = {question: min(choices) for question, choices in rule.when.items()}
    assert any(alone(way, known, rule.facts) for way in WAYS)


def test_no_two_rules_contradict():
    pairs = itertools.combinations(RULES, 2)
    assert [(one.id, other.id) for one, other in pairs if contradict(one, other, WAYS)] == []


def test_the_check_on_contradictions_sees_one():
    (rule,) = [rule for rule in RULES if rule.id == "large-inputs"]
    against = Rule("against", "excludes", "", modes=rule.modes, when={**rule.when, "latency": frozenset({"instant"})})
    assert contradict(rule, against, WAYS)
    assert not contradict(rule, Rule("elsewhere", "excludes", "", rule.modes, when={"cost": frozenset({"low"})}), WAYS)


def test_an_unanswered_question_is_no_rules():
    assert all(not list(excluding(way, {}, frozenset())) for way in WAYS)
    assert all(not list(preferring(way, {}, frozenset())) for way in WAYS)


def test_what_callers_wait_for_never_comes_from_files_or_a_queue():
    for known, facts in situations(2000):
        for way in WAYS:
            if known["consumption"] == "waits" and not list(excluding(way, known, facts)):
                assert way.endpoint != "async"
                assert way.mode.value != "batch"


def test_durations_fall_into_bands_at_their_bounds():
    spec = AnswersSpec.model_validate
    for text, choice in {"now": "now", "599s": "minutes", "10m": "hours", "24h": "days"}.items():
        assert QUESTIONS["freshness"].choice(spec({"freshness": text}).freshness) == choice
    for text, choice in {"999ms": "instant", "1s": "seconds", "60s": "minutes", "10m": "hours"}.items():
        assert QUESTIONS["latency"].choice(spec({"latency": text}).latency) == choice
