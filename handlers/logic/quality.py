"""May a generation be seen? Its predictions against what the card asks for, and against the visible generation's."""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from handlers.contract.card import Quality
from handlers.contract.records import Generation
from handlers.logic.profiles import Profile, drift, mean_shift, unknown_types

#: Below so many rows shares and means say nothing, neither of the new generation nor of the one before.
ENOUGH = 100


@dataclass(frozen=True)
class Comparison:
    """A generation beside the visible one. None: there was nothing to compare.

    `coverage` is its rows per row of the other one; `mean_shift` is in standard deviations of the other one's
    predictions, `drift` and `null_rise` are shares of rows (handlers.logic.profiles).
    """

    against: str
    same_version: bool
    coverage: float
    mean_shift: float | None
    drift: float | None
    null_rise: float | None

    def to_body(self) -> dict[str, Any]:
        return {name: round(value, 4) if type(value) is float else value for name, value in asdict(self).items()}


def compare(new: Generation, visible: Generation) -> Comparison:
    """Compare two generations; their profiles where both have one."""
    shift = moved = rise = None
    if new.profile and visible.profile:
        after, before = Profile.from_body(new.profile), Profile.from_body(visible.profile)
        shift, moved = mean_shift(after, before), drift(after, before)
        rise = after.nulls / after.rows - before.nulls / before.rows
    return Comparison(
        against=visible.id,
        same_version=new.model_version == visible.model_version,
        coverage=new.rows_scored / visible.rows_scored if visible.rows_scored else 1.0,
        mean_shift=shift,
        drift=moved,
        null_rise=rise,
    )


def faults(quality: Quality, new: Generation, visible: Generation | None) -> list[str]:
    """Return what speaks against showing a generation, each with its numbers and the setting; nothing: show it.

    `visible` is the generation that lookups read now, None for the first one, which has to stand for itself.
    """
    found = [*_infinite(new), *_constant(quality, new, visible)]
    if visible is None:
        return found
    found += _types(new, visible)
    if visible.rows_scored >= ENOUGH:
        compared = compare(new, visible)
        found += _coverage(quality, new, visible, compared)
        if new.rows_scored >= ENOUGH and (compared.same_version or quality.across_versions):
            found += _drift(quality, compared)
    return found


def _infinite(new: Generation) -> Iterator[str]:
    """Nothing compares with a mean that is no number: every limit would hold."""
    numbers = Profile.from_body(new.profile).numbers if new.profile else None
    if numbers is not None and not (math.isfinite(numbers.mean) and math.isfinite(numbers.deviation)):
        yield f"the mean of the predictions is {numbers.mean:g}, their standard deviation {numbers.deviation:g}"


def _constant(quality: Quality, new: Generation, visible: Generation | None) -> Iterator[str]:
    """The same answer for everybody is a broken model, unless answers are labels: of those, all may be the same."""
    if quality.allow_constant or not new.profile or new.rows_scored < ENOUGH:
        return
    profile = Profile.from_body(new.profile)
    before = Profile.from_body(visible.profile) if visible and visible.profile else None
    was_constant = before is not None and before.only is not None
    if profile.only is None or was_constant or (profile.are_labels and (before is None or before.are_labels)):
        return
    yield f"all {profile.rows:,} predictions are {profile.only} (quality.allow_constant)"


def _types(new: Generation, visible: Generation) -> Iterator[str]:
    """What clients read must stay what it was: a number does not become a text."""
    if not new.profile or not visible.profile:
        return
    after, before = Profile.from_body(new.profile), Profile.from_body(visible.profile)
    strange = unknown_types(after, before)
    if 2 * sum(strange.values()) > after.rows:
        found, known = " or ".join(strange), " or ".join(before.types)
        yield (
            f"{sum(strange.values()):,} of {after.rows:,} predictions are of type {found}; "
            f"those of generation {visible.id} are of type {known}"
        )


def _coverage(quality: Quality, new: Generation, visible: Generation, compared: Comparison) -> Iterator[str]:
    if compared.coverage < quality.min_coverage:
        yield (
            f"{new.rows_scored:,} rows are {compared.coverage:.1%} of the {visible.rows_scored:,} of generation "
            f"{visible.id}, at least {quality.min_coverage:.1%} are asked for (quality.min_coverage)"
        )


def _drift(quality: Quality, compared: Comparison) -> Iterator[str]:
    limits = [
        ("max_mean_shift", compared.mean_shift, "the mean moved by {:.2f} standard deviations", "{:g}"),
        ("max_drift", compared.drift, "the distribution moved by {:.1%} of the rows", "{:.1%}"),
        ("max_null_rise", compared.null_rise, "predictions with a null rose by {:.1%} of the rows", "{:.1%}"),
    ]
    for setting, value, sentence, form in limits:
        limit = getattr(quality, setting)
        if value is not None and limit is not None and not value <= limit:  # NaN is within no limit
            allowed = form.format(limit)
            yield (
                f"{sentence.format(value)} against generation {compared.against}, {allowed} are allowed"
                f" (quality.{setting})"
            )
