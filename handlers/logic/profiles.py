"""What a generation's predictions look like, small enough for its manifest. Profiles of shards add up to the run's.

Counts, shares and extremes add up exactly. Quantiles come from POINTS values at evenly spaced ranks of each shard and
are right to within 1 % of rank; labels beyond the LABELS most frequent of each shard are counted together.
Standard library only: the step that merges profiles has no Arrow.
"""

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from itertools import accumulate
from typing import Any, Self

POINTS, LABELS = 100, 50
#: Digits that points keep: a manifest must stay within the 4 KB that one read unit covers.
DIGITS = 6


@dataclass(frozen=True)
class Numbers:
    """Predictions that are numbers. `whole` says that all are integers; `points` lie at evenly spaced ranks."""

    rows: int
    mean: float
    deviation: float  # of the population
    smallest: float
    largest: float
    whole: bool
    points: list[float]

    def quantile(self, share: float) -> float:
        return self.points[min(int(share * len(self.points)), len(self.points) - 1)]

    def share_up_to(self, value: float) -> float:
        """Return the share of predictions that are not above `value`."""
        return bisect_right(self.points, value) / len(self.points)


@dataclass(frozen=True)
class Profile:
    """Predictions of a shard or of a run, in rows. `types` counts JSON types: number, boolean, text, list, object.

    `nulls` is how many are null or hold one; `only` is the prediction, as text, if all are the same.
    """

    rows: int
    nulls: int
    types: dict[str, int]
    only: str | None = None
    numbers: Numbers | None = None
    labels: dict[str, int] = field(default_factory=dict)  # texts and booleans
    other_labels: int = 0

    @property
    def are_labels(self) -> bool:
        """Say whether each prediction is one of few words or whole numbers, of which all may well be the same."""
        return self.types.keys() <= {"text", "boolean", "number"} and (self.numbers is None or self.numbers.whole)

    def to_body(self) -> dict[str, Any]:
        """Return the profile as JSON takes it, without what is empty."""
        return {name: value for name, value in asdict(self).items() if value or name in ("rows", "nulls", "types")}

    @classmethod
    def from_body(cls, body: dict[str, Any]) -> Self:
        numbers = body.get("numbers")
        return cls(**{**body, "numbers": Numbers(**numbers) if numbers else None})


def merge(profiles: Sequence[Profile]) -> Profile:
    """Return the profile of everything together; the order of profiles changes only the last digits of the mean."""
    parts = [profile for profile in profiles if profile.rows]
    if len(parts) == 1:
        return parts[0]
    texts = {profile.only for profile in parts}
    labels = sum((Counter(profile.labels) for profile in parts), Counter())
    kept = frequent(labels)
    return Profile(
        rows=sum(profile.rows for profile in parts),
        nulls=sum(profile.nulls for profile in parts),
        types=dict(sorted(sum((Counter(profile.types) for profile in parts), Counter()).items())),
        only=texts.pop() if len(texts) == 1 else None,
        numbers=_merged([profile.numbers for profile in parts if profile.numbers]),
        labels=kept,
        other_labels=sum(profile.other_labels for profile in parts) + labels.total() - sum(kept.values()),
    )


def frequent(labels: Counter[str]) -> dict[str, int]:
    """Return the most frequent labels; of equally frequent ones those that come first in the alphabet."""
    return dict(sorted(labels.items(), key=lambda entry: (-entry[1], entry[0]))[:LABELS])


def shortened(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def drift(new: Profile, old: Profile) -> float | None:
    """Return by what share of the rows two distributions differ, 0 to 1; None where there is nothing to compare.

    Numbers: the largest difference between the two distribution functions (Kolmogorov-Smirnov), so that 0.2 means that
    what was the median is now somewhere between the 30th and the 70th percentile. Labels: the share of rows that would
    have to change their label (total variation distance).
    """
    if new.numbers and old.numbers and new.types.keys() == old.types.keys() == {"number"}:
        places = {*new.numbers.points, *old.numbers.points}
        return max(abs(new.numbers.share_up_to(place) - old.numbers.share_up_to(place)) for place in places)
    if new.labels and old.labels:
        return _labels_moved(new, old)
    return None


def mean_shift(new: Profile, old: Profile) -> float | None:
    """Return how far the mean moved, in the old predictions' standard deviations; None where they had none."""
    if not new.numbers or not old.numbers or not math.isfinite(old.numbers.deviation):
        return None
    # Below a millionth of the values themselves a deviation is rounding.
    if old.numbers.deviation <= 1e-6 * max(abs(old.numbers.smallest), abs(old.numbers.largest)):
        return None
    return abs(new.numbers.mean / old.numbers.deviation - old.numbers.mean / old.numbers.deviation)


def unknown_types(new: Profile, old: Profile) -> dict[str, int]:
    """Return the types that no prediction had before, with their rows."""
    return {name: rows for name, rows in new.types.items() if name not in old.types}


def _merged(parts: list[Numbers]) -> Numbers | None:
    if not parts:
        return None
    rows = sum(part.rows for part in parts)
    smallest, largest = min(part.smallest for part in parts), max(part.largest for part in parts)
    scale = max(abs(smallest), abs(largest)) or 1.0  # squares of very large numbers would be infinite
    mean = math.fsum(part.rows * (part.mean / scale) for part in parts) / rows
    square = math.fsum(part.rows * ((part.deviation / scale) ** 2 + (part.mean / scale - mean) ** 2) for part in parts)
    return Numbers(
        rows=rows,
        mean=mean * scale,
        deviation=math.sqrt(square / rows) * scale,
        smallest=smallest,
        largest=largest,
        whole=all(part.whole for part in parts),
        points=_points(parts, rows),
    )


def _points(parts: list[Numbers], rows: int) -> list[float]:
    """Return values at evenly spaced ranks of all parts together: each point stands for its share of its part."""
    weighted = sorted((point, part.rows / len(part.points)) for part in parts for point in part.points)
    ranks = list(accumulate(weight for _, weight in weighted))
    wanted = min(POINTS, len(weighted))
    places = (bisect_right(ranks, (number + 0.5) * rows / wanted) for number in range(wanted))
    return [weighted[min(place, len(weighted) - 1)][0] for place in places]


def _labels_moved(new: Profile, old: Profile) -> float:
    def shares(profile: Profile) -> dict[str | None, float]:
        named = {label: rows / profile.rows for label, rows in profile.labels.items()}
        # What is counted together, and what is no label, is one more.
        return {**named, None: 1 - math.fsum(named.values())}

    before, after = shares(old), shares(new)
    return math.fsum(abs(after.get(label, 0.0) - before.get(label, 0.0)) for label in before | after) / 2
