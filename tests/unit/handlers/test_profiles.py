"""Profiles: what they keep of predictions, and that those of shards add up to that of the run."""

import json
import math
import random
import statistics
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handlers.logic.profiles import LABELS, POINTS, Profile, drift, mean_shift, merge, unknown_types
from handlers.logic.profiling import profile_of

FLOATS = st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | FLOATS | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


def normal(rows, mean=0.0, deviation=1.0, seed=5):
    generator = random.Random(seed)
    return [generator.gauss(mean, deviation) for _ in range(rows)]


def rank(values, value):
    return sum(other <= value for other in values) / len(values)


def test_numbers_are_told_by_count_mean_deviation_extremes_and_quantiles():
    values = normal(20_000, 3.0, 2.0)
    numbers = profile_of(values).numbers
    assert (numbers.rows, numbers.smallest, numbers.largest) == (20_000, min(values), max(values))
    assert numbers.mean == pytest.approx(statistics.fmean(values))
    assert numbers.deviation == pytest.approx(statistics.pstdev(values))
    assert numbers.whole is False
    for share in (0.05, 0.25, 0.5, 0.75, 0.95):
        assert abs(rank(values, numbers.quantile(share)) - share) <= 0.01


def test_merged_shards_tell_what_the_whole_tells():
    values = normal(30_000, 3.0, 2.0) + [100.0] * 3_000
    whole = profile_of(values)
    cuts = [0, 100, 101, 20_000, len(values)]
    parts = [profile_of(values[start:stop]) for start, stop in pairwise(cuts)]
    merged = merge([Profile.from_body(json.loads(json.dumps(part.to_body()))) for part in parts])
    assert (merged.rows, merged.types) == (whole.rows, whole.types)
    assert (merged.numbers.smallest, merged.numbers.largest) == (whole.numbers.smallest, whole.numbers.largest)
    assert merged.numbers.mean == pytest.approx(whole.numbers.mean)
    assert merged.numbers.deviation == pytest.approx(whole.numbers.deviation)
    assert len(merged.numbers.points) == POINTS
    assert drift(merged, whole) <= 0.02
    for share in (0.05, 0.5, 0.9):
        assert abs(rank(values, merged.numbers.quantile(share)) - share) <= 0.02


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(JSON, min_size=1, max_size=8), min_size=1, max_size=5))
def test_any_predictions_have_a_profile_that_json_carries_and_that_adds_up(shards):
    profiles = [profile_of(shard) for shard in shards]
    merged = merge([Profile.from_body(json.loads(json.dumps(p.to_body(), allow_nan=False))) for p in profiles])
    everything = [prediction for shard in shards for prediction in shard]
    whole = profile_of(everything)
    assert (merged.rows, merged.nulls, merged.types) == (whole.rows, whole.nulls, whole.types)
    assert merged.rows == sum(merged.types.values()) == len(everything)
    assert sum(merged.labels.values()) + merged.other_labels == sum(type(p) in (str, bool) for p in everything)
    assert merged.only == whole.only
    if whole.numbers:
        assert (merged.numbers.smallest, merged.numbers.largest) == (whole.numbers.smallest, whole.numbers.largest)
        assert merged.numbers.whole == whole.numbers.whole


@settings(max_examples=100, deadline=None)
@given(st.lists(FLOATS, min_size=1, max_size=30))
def test_means_and_deviations_stay_finite_whatever_the_numbers(values):
    numbers = merge([profile_of(values), profile_of(values[:1])]).numbers
    assert math.isfinite(numbers.mean)
    assert numbers.smallest - 1e-6 * abs(numbers.smallest) <= numbers.mean
    assert numbers.mean <= numbers.largest + 1e-6 * abs(numbers.largest)
    assert math.isfinite(numbers.deviation)


def test_what_is_always_the_same_is_named_whatever_its_type():
    assert profile_of([0.25, 0.25]).only == "0.25"
    assert profile_of([1, 1.0]).only == "1.0"
    assert profile_of([{"a": [1], "b": 2}, {"b": 2, "a": [1]}]).only == '{"a": [1], "b": 2}'
    assert profile_of([0.25, 0.3]).only is None
    assert profile_of([True, 1]).only is None
    assert profile_of([[False], [0]]).only is None
    assert profile_of([-0.0, 0.0]).only == profile_of([0.0, -0.0]).only == "0.0"
    assert merge([profile_of(["x"]), profile_of(["y"])]).only is None
    assert merge([profile_of(["x"]), profile_of(["x"] * 3)]).only == '"x"'
    long = [["embedding"] * 50] * 2
    assert len(profile_of(long).only) < 80
    assert profile_of(long).only != profile_of([["embedding"] * 51] * 2).only


def test_nulls_count_wherever_they_are():
    assert profile_of([{"score": 0.1, "why": None}, {"score": 0.2, "why": "x"}, [[None]], [[1]]]).nulls == 2


def test_labels_beyond_the_most_frequent_are_counted_together():
    texts = [f"label {number:03d}" for number in range(LABELS + 20)] + ["often"] * 9
    profile = profile_of(texts)
    assert next(iter(profile.labels)) == "often"
    assert (len(profile.labels), profile.other_labels) == (LABELS, 21)
    merged = merge([profile, profile_of(["often"] * 5)])
    assert merged.labels["often"] == 14
    assert sum(merged.labels.values()) + merged.other_labels == merged.rows


def test_a_manifest_with_a_profile_fits_one_read_unit():
    numbers = profile_of([value * 1e-300 for value in normal(5_000)])
    texts = profile_of([f"{number:060d}" for number in range(100)])
    assert len(json.dumps(numbers.to_body())) < 2_500
    assert len(json.dumps(texts.to_body())) < 3_600


def test_drift_of_numbers_is_the_largest_difference_of_the_distribution_functions():
    before = profile_of(normal(10_000))
    assert drift(profile_of(normal(10_000, seed=6)), before) < 0.03
    # Two normal distributions one deviation apart differ by 2 * Phi(1/2) - 1.
    assert drift(profile_of(normal(10_000, 1.0)), before) == pytest.approx(0.383, abs=0.02)
    assert drift(profile_of(normal(10_000, 50.0)), before) == 1.0


def test_drift_of_labels_is_the_share_of_rows_that_changed():
    before = profile_of(["a"] * 80 + ["b"] * 20)
    assert drift(profile_of(["a"] * 8 + ["b"] * 2), before) == pytest.approx(0)
    assert drift(profile_of(["a"] * 50 + ["b"] * 50), before) == pytest.approx(0.3)
    assert drift(profile_of(["c"] * 100), before) == pytest.approx(1)
    assert drift(profile_of([True]), profile_of([False])) == pytest.approx(1)
    assert drift(profile_of([""] * 50 + ["a"] * 50), profile_of([""] * 100)) == pytest.approx(0.5)
    rare = [f"{number}" for number in range(3 * LABELS)]
    assert drift(profile_of(rare), profile_of(["a"])) == pytest.approx(1), "those counted together moved, too"
    assert drift(profile_of([[1]]), before) is None


def test_a_shift_of_the_mean_is_told_in_deviations_and_not_where_there_are_none():
    before = profile_of(normal(10_000, 10.0, 2.0))
    assert mean_shift(profile_of(normal(10_000, 16.0, 0.1)), before) == pytest.approx(3, abs=0.05)
    assert mean_shift(before, profile_of([7.0] * 500)) is None
    assert mean_shift(before, profile_of([7.0] * 500 + [7.0 + 1e-9])) is None, "a deviation that is only rounding"
    assert mean_shift(profile_of(["a"]), before) is None


def test_types_that_did_not_occur_before_are_named():
    assert unknown_types(profile_of([0.5, "n/a", "n/a"]), profile_of([1, 2.5])) == {"text": 2}
    assert unknown_types(profile_of([1]), profile_of([2.5, "x"])) == {}
