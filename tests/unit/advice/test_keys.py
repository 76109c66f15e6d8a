"""Telling from a thin sample whether keys come back, and how many there are."""

import random

import pytest

from turnout.advice.keys import FEW, KeySample, sample_of


def drawn(count: int, keys: int, new: float = 0.0, seed: int = 1) -> KeySample:
    """Draw from keys that come back, and with some chance one that never does."""
    chance = random.Random(seed)
    return sample_of(
        f"new {number}" if chance.random() < new else str(chance.randrange(keys)) for number in range(count)
    )


def test_hashes_are_counted_by_how_often_they_were_drawn():
    assert sample_of("aaabbcde") == KeySample(drawn=8, distinct=5, once=3, twice=1, thrice=1)


def test_few_keys_that_come_again_and_again_are_all_known():
    sample = drawn(210, keys=40)
    assert sample.repeated > 0.99
    assert sample.keys(2100) == 40


def test_keys_of_which_none_was_drawn_twice_are_as_many_as_requests_whatever_their_number():
    sample = sample_of(map(str, range(1400)))
    assert (sample.repeated, sample.keys(12_000_000)) == (0.0, 12_000_000)


@pytest.mark.parametrize("seed", range(5))
def test_keys_that_never_come_back_are_seen_beside_those_that_do(seed):
    sample = drawn(1400, keys=300, new=0.2, seed=seed)
    assert 0.76 < sample.repeated < 0.82
    assert sample.keys(14_000) == pytest.approx(300 + 0.2 * 14_000, rel=0.2)


@pytest.mark.parametrize("keys", [300, 1000, 3000, 100_000])
def test_chance_does_not_make_keys_come_back_that_do_not(keys):
    assert max(drawn(1400, keys=keys, new=0.3, seed=seed).repeated for seed in range(20)) < 0.73


def test_too_small_a_sample_tells_nothing():
    assert drawn(FEW - 1, keys=3).repeated is None
    assert drawn(FEW, keys=3).repeated == 1.0
