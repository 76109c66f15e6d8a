"""What keeps a generation invisible, and what does not."""

import math
from dataclasses import replace

import pytest

from handlers.contract.card import Quality
from handlers.contract.records import Generation
from handlers.logic import quality
from handlers.logic.profiling import profile_of
from handlers.logic.quality import ENOUGH, compare, faults

SCORES = [number / 1_000 for number in range(1_000)]
DEFAULT = Quality()


def generation(predictions, name="new", version="v1"):
    rows = len(predictions)
    profile = profile_of(predictions).to_body()
    return Generation(name, version, "", "", rows, rows, 0, rows, "string", "s3://", None, 9, profile=profile)


def found(new, visible, quality=DEFAULT, version="v1"):
    before = None if visible is None else generation(visible, "old")
    return faults(quality, generation(new, version=version), before)


@pytest.mark.parametrize(
    ("new", "visible"),
    [
        (SCORES, None),
        (SCORES, SCORES),
        ([score * 0.5 for score in SCORES], SCORES),
        (SCORES[:501], SCORES),
        (SCORES * 5, SCORES),
        (["ok"] * 1_000, ["ok"] * 999 + ["fraud"]),
        ([0] * 1_000, [0] * 990 + [1] * 10),
        ([0.5] * 1_000, [0.5] * 1_000),
        ([[0.1, None], [0.2, 0.3]] * 100, None),
        ([{"a": 1}, {"a": 2}] * 100, [{"a": 1, "b": None}] * 200),
        ([0.5] * (ENOUGH - 1), None),
        (SCORES[:3], SCORES[: ENOUGH - 1]),
    ],
)
def test_what_is_ordinary_passes_with_the_defaults(new, visible):
    assert found(new, visible) == []


def test_the_first_generation_stands_for_itself():
    assert found([0.37] * 200, None) == ["all 200 predictions are 0.37 (quality.allow_constant)"]
    assert found([{"label": "a"}] * 200, None) == ['all 200 predictions are {"label": "a"} (quality.allow_constant)']
    assert found([0.37] * 200, None, Quality(allow_constant=True)) == []


def test_numbers_that_were_no_labels_may_not_all_become_one_even_a_whole_one():
    assert found([0.0] * 1_000, SCORES) == ["all 1,000 predictions are 0.0 (quality.allow_constant)"]


def test_half_of_the_rows_may_be_missing_and_no_more():
    assert found(SCORES[:499], SCORES) == [
        "499 rows are 49.9% of the 1,000 of generation old, at least 50.0% are asked for (quality.min_coverage)"
    ]
    assert found(SCORES[:2], SCORES, Quality(min_coverage=0)) == []


def test_a_number_may_not_become_a_text_whatever_the_version():
    (fault,) = found(["0.5", "0.6"] * 50, SCORES[:90], version="v2")
    assert fault == ("100 of 100 predictions are of type text; those of generation old are of type number")
    assert found(["x"] * 5 + SCORES[:5], SCORES[:90]) == [], "a few odd ones are no new type"


def test_a_mean_far_away_is_told_in_deviations():
    (fault,) = found([score * 100 for score in SCORES], SCORES)
    assert fault == (
        "the mean moved by 171.30 standard deviations against generation old, 10 are allowed (quality.max_mean_shift)"
    )
    assert found([score * 100 for score in SCORES], SCORES, Quality(max_mean_shift=None)) == []


@pytest.mark.parametrize("quality", [DEFAULT, Quality(max_mean_shift=None)])
@pytest.mark.parametrize("odd", [math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("visible", [None, SCORES, [math.inf, *SCORES]])
def test_a_mean_that_is_no_number_is_within_no_limit(odd, visible, quality):
    assert found([odd, *SCORES], visible, quality)[0].startswith("the mean of the predictions is ")


def test_what_follows_a_generation_without_a_mean_is_not_held_to_it():
    assert found(SCORES, [math.inf, *SCORES]) == []


def test_a_shift_that_is_no_number_is_beyond_the_limit(monkeypatch):
    monkeypatch.setattr(quality, "mean_shift", lambda new, old: math.nan)
    assert found(SCORES, SCORES)[0].startswith("the mean moved by nan standard deviations")


def test_drift_is_looked_at_where_a_limit_is_set():
    halved = [score / 2 for score in SCORES]
    (fault,) = found(halved, SCORES, Quality(max_drift=0.2))
    assert fault.startswith("the distribution moved by 50.0% of the rows against generation old, 20.0% are allowed")
    (fault,) = found(["a"] * 600 + ["b"] * 400, ["a"] * 900 + ["b"] * 100, Quality(max_drift=0.2))
    assert fault.startswith("the distribution moved by 30.0% of the rows")


def test_nulls_inside_may_not_suddenly_be_everywhere():
    whole, holed = [{"s": score, "n": 1} for score in SCORES], [{"s": score, "n": None} for score in SCORES]
    (fault,) = found(holed, whole)
    assert fault.startswith("predictions with a null rose by 100.0% of the rows against generation old, 50.0% are")
    assert found(holed, holed) == []
    assert found(whole, holed) == []


def test_another_version_is_meant_to_score_differently_unless_the_settings_say_otherwise():
    far = [score * 100 for score in SCORES]
    assert found(far, SCORES, version="v2") == []
    assert len(found(far, SCORES, Quality(across_versions=True), version="v2")) == 1
    assert len(found(SCORES[:100], SCORES, version="v2")) == 1, "rows are missing in any version"


def test_every_fault_is_told():
    assert len(found([100.5] * 300, SCORES, Quality(max_drift=0.5))) == 4


def test_a_generation_of_before_there_were_profiles_is_compared_by_its_rows():
    old = replace(generation(SCORES, "old"), profile=None)
    assert faults(DEFAULT, generation([7.5, 8.5] * 500), old) == []
    assert len(faults(DEFAULT, generation([7.5, 8.5] * 50), old)) == 1
    compared = compare(generation(SCORES), old)
    assert (compared.coverage, compared.mean_shift, compared.drift, compared.null_rise) == (1.0, None, None, None)


def test_a_comparison_is_kept_in_few_digits():
    body = compare(generation(SCORES[:999]), generation(SCORES, "old")).to_body()
    assert body["against"] == "old"
    assert body["coverage"] == 0.999
    assert body["same_version"] is True
    assert 0 <= body["drift"] <= 0.02
