"""Entries, and what may be seen of them in a week."""

from datetime import UTC, datetime, timedelta
from typing import Any

from turnout import prices
from turnout.advice.keys import KeySample, sample_of
from turnout.advice.observed import HOUR, Seen, Spread
from turnout.config import stage
from turnout.config.specs import ModelSpec

END = datetime(2026, 11, 23, tzinfo=UTC)
BEGIN = END - timedelta(days=7)
DEV, PRICES = stage("dev"), prices.load()
FAST = Spread(2100, 0.02, 0.02, 0.03, 0.05)
FORTY = sample_of(str(number % 40) for number in range(210))
ALL_NEW = sample_of(map(str, range(210)))


def entry(mode: str, **settings: Any) -> ModelSpec:
    return ModelSpec.model_validate({"name": "churn", "mode": mode, "key": "id", "features": ["x"], **settings})


def by_hour(*counts: float) -> dict[datetime, float]:
    """Return the week's requests by hour; the counts are repeated until the week is over."""
    each = {BEGIN + number * HOUR: counts[number % len(counts)] for number in range(7 * 24)}
    return {hour: count for hour, count in each.items() if count}


def week(spec: ModelSpec, keys: KeySample = FORTY, **seen: Any) -> Seen:
    """Return a week of 300 requests a day, one at a time, of a model that takes 20 ms."""
    found = {"by_hour": by_hour(12.5), "peak": 1 / 60, "keyless": 0.0, "keys": keys, "model": FAST, **seen}
    return Seen(entry=spec, begin=BEGIN, end=END, **found)
