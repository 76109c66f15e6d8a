"""Every ordered pair of modes, derived from what the modes consist of."""

import itertools
import re
from pathlib import Path

import pytest

from handlers.contract.answering import ANSWERS, LOOKS_UP, refuse_silence
from handlers.contract.modes import AVAILABLE, ServingMode
from turnout.config import capabilities
from turnout.config.specs import ModelSpec
from turnout.switching import matrix
from turnout.switching.clients import CALLERS, outcomes
from turnout.switching.parts import ALWAYS, ENDPOINTS, MAKEUP, PIPELINE, SCORES, UNLESS_FRESH, Seconds
from turnout.switching.transitions import DRAIN, DRAIN_REQUESTS, SHIFTS, pairs, spell, transition

ROOT = Path(__file__).resolve().parents[3]
FALLBACKS = ("realtime", "serverless", "async")
EVERY = [(*pair, fallback) for pair, fallback in itertools.product(pairs(), FALLBACKS)]
B, P, H = ServingMode.BATCH, ServingMode.PRECOMPUTE, ServingMode.HYBRID
R, S, A = ServingMode.REALTIME, ServingMode.SERVERLESS, ServingMode.ASYNC


def test_there_are_thirty_pairs():
    assert len(set(pairs())) == 30


@pytest.mark.parametrize("table", [MAKEUP, CALLERS], ids=["makeup", "callers"])
def test_every_table_has_a_line_for_every_mode_of_this_release(table):
    assert set(table) == AVAILABLE


def test_the_tables_agree_with_the_capabilities():
    assert set(ENDPOINTS) == set(capabilities.FAMILIES) - {"transform"}
    entry = {"name": "m", "mode": "batch", "schedule": "rate(1 day)", "key": "id", "features": ["a"]}
    for mode, fallback in itertools.product(AVAILABLE, FALLBACKS):
        spec = ModelSpec.model_validate({**entry, "mode": mode.value, "hybrid": {"fallback": fallback}})
        assert MAKEUP[mode].pipeline is capabilities.SCORES_IN_BATCH[mode]
        assert MAKEUP[mode].endpoint(fallback) == capabilities.endpoint_family(spec)
        assert MAKEUP[mode].scores is CALLERS[mode].looks_up is LOOKS_UP[mode]
        assert ANSWERS[mode] is any(outcome.answered for outcome in outcomes(mode, fallback))


@pytest.mark.parametrize(("before", "after", "fallback"), EVERY)
def test_created_kept_and_removed_make_up_both_modes(before, after, fallback):
    switch = transition(before, after, fallback=fallback)
    old = {part.name for part in MAKEUP[before].parts(fallback)}
    new = {part.name for part in MAKEUP[after].parts(fallback)}
    kept = set(switch.kept) - set(ALWAYS)
    assert kept | set(switch.created) == new
    gone = set(switch.removed) | ({SCORES.name} if switch.left else set())
    assert kept | gone == old
    assert not (set(switch.created) & gone)
    assert set(ALWAYS) <= set(switch.kept)
    assert SCORES.name not in switch.removed, "scores are left to expire, never deleted"


@pytest.mark.parametrize(("before", "after", "fallback"), EVERY)
def test_the_way_there_and_the_way_back_mirror_each_other(before, after, fallback):
    there, back = transition(before, after, fallback=fallback), transition(after, before, fallback=fallback)
    assert there.types_created == back.types_removed
    assert there.types_removed == back.types_created
    assert set(there.removed) <= set(back.created)
    assert there.instant is not any(name.endswith("endpoint") for name in back.created)


@pytest.mark.parametrize(("before", "after", "fallback"), EVERY)
def test_steps_come_in_order_and_nothing_goes_before_the_move(before, after, fallback):
    switch = transition(before, after, fallback=fallback)
    assert [step.name for step in switch.steps] == ["create", "warm", "prove", "move", "drain", "retire"]
    for step in switch.steps:
        assert 0 <= step.seconds.least <= step.seconds.most
        assert step.what
    moved = switch.steps[:4]
    assert switch.seconds.most == sum(step.seconds.most for step in moved)
    assert not any("gone" in step.what for step in moved)


@pytest.mark.parametrize(("before", "after", "fallback"), EVERY)
def test_a_switch_that_leaves_asynchronous_requests_waits_for_them(before, after, fallback):
    switch = transition(before, after, fallback=fallback)
    drain = switch.steps[4].seconds
    assert drain == (DRAIN_REQUESTS if "async endpoint" in switch.removed else DRAIN)


@pytest.mark.parametrize(
    ("before", "after", "fallback", "created", "removed"),
    [
        (B, P, "serverless", ("scores",), ()),
        (P, H, "serverless", ("serverless endpoint",), ()),
        (R, H, "realtime", ("pipeline", "scores"), ()),
        (H, R, "realtime", (), ("pipeline",)),
        (H, R, "async", ("realtime endpoint",), ("pipeline", "async endpoint")),
        (R, S, "async", ("serverless endpoint",), ("realtime endpoint",)),
        (A, B, "async", ("pipeline",), ("async endpoint",)),
    ],
)
def test_some_pairs_by_hand(before, after, fallback, created, removed):
    switch = transition(before, after, fallback=fallback)
    assert (switch.created, switch.removed) == (created, removed)


@pytest.mark.parametrize(("before", "after", "fallback"), EVERY)
def test_every_part_of_the_new_mode_is_proved_also_what_is_kept(before, after, fallback):
    prove, warm = (transition(before, after, fallback=fallback).steps[place] for place in (2, 1))
    wanted = [part for part in MAKEUP[after].parts(fallback) if part.proving]
    assert (prove.what != "nothing to do") is bool(wanted)
    assert all(part.proving in prove.what for part in wanted)
    assert prove.seconds.most == sum(part.prove.most for part in wanted)
    assert (UNLESS_FRESH in warm.what) is MAKEUP[after].scores, "a kept generation may be stale, or of another model"


def test_a_kept_endpoint_is_not_warmed_but_one_that_may_rest():
    assert transition(H, R, fallback="realtime").steps[1].what == "nothing to do"
    assert "unless one is up" in transition(H, A, fallback="async").steps[1].what


@pytest.mark.parametrize("mode", [R, S, A, H])
def test_another_model_in_the_same_mode_takes_every_step(mode):
    switch = transition(mode, mode, fallback="realtime", renewed=True)
    assert [step.name for step in switch.steps if step.what == "nothing to do"] == []
    assert (len(switch.created), len(switch.removed)) == (1, 1)
    assert switch.types_created == switch.types_removed == frozenset()
    assert not switch.instant


def test_another_fallback_is_another_endpoint():
    switch = transition(H, H, fallback="async", old_fallback="realtime")
    assert (switch.created, switch.removed) == (("async endpoint",), ("realtime endpoint",))
    assert {PIPELINE.name, SCORES.name} <= set(switch.kept)


@pytest.mark.parametrize("shift", SHIFTS)
def test_a_gradual_shift_takes_its_time(shift):
    assert transition(B, P, shift=shift).steps[3].seconds == SHIFTS[shift]


def test_the_documentation_gives_the_durations_of_the_plan():
    page = (ROOT / "docs/switching.md").read_text()
    told = dict(re.findall(r"^\| `(canary|linear)` \|.*\| (\d+) minutes \|$", page, flags=re.MULTILINE))
    assert {word: 60 * int(minutes) for word, minutes in told.items()} == {
        word: SHIFTS[word].least for word in ("canary", "linear")
    }
    assert spell(SHIFTS["linear"]) == "9 to 10 min"


def test_every_shift_of_the_settings_has_a_duration():
    assert set(SHIFTS) == set(ModelSpec.model_fields["shift"].annotation.__args__)


@pytest.mark.parametrize(("before", "after"), pairs())
def test_only_a_switch_to_silence_is_refused_without_acknowledgement(before, after):
    reason = refuse_silence("churn", before, after, acknowledged=False)
    assert (reason is not None) is (after is B)
    assert refuse_silence("churn", before, after, acknowledged=True) is None
    if reason:
        assert "acknowledge: [lost-answers]" in reason


@pytest.mark.parametrize(
    ("least", "most", "words"),
    [
        (0, 0, "no time"),
        (2, 15, "2 to 15 s"),
        (30, 180, "30 s to 3 min"),
        (180, 600, "3 to 10 min"),
        (600, 630, "about 10 min"),
        (90, 125, "about 2 min"),
        (30, 30, "about 30 s"),
    ],
)
def test_ranges_in_words(least, most, words):
    assert spell(Seconds(least, most)) == words


def test_the_body_is_plain_data():
    import json

    body = json.loads(json.dumps(transition(R, P).to_body()))
    assert body["created"] == ["pipeline", "scores"]
    assert body["types_removed"] == sorted(ENDPOINTS["realtime"].types)


def test_the_matrix_in_the_documentation_is_current():
    page = (ROOT / "docs/switching.md").read_text()
    assert matrix.fill(page) == page, "run python -m turnout.switching.matrix"


def test_the_matrix_has_a_cell_for_every_pair():
    rows = matrix.table().splitlines()
    assert len(rows) == 8
    assert all(row.count("|") == 8 for row in rows)
