"""Sample payloads as training wrote them, and whether an endpoint answers them as training did.

The file is `{"features": [...], "rows": [{"<key column>": K, "features": {...}, "<prediction>": P}, ...]}`.
"""

import json
from dataclasses import dataclass
from typing import Any

from handlers.contract.card import ModelCard
from handlers.logic.rows import decode_answer, encode_rows

#: Samples beyond this many bytes on the wire stay out: an asynchronous endpoint takes 128,000 inline.
MAX_BYTES = 100_000


class UnusableSamples(ValueError):
    """The sample file is not what training should have written; the message says where."""


@dataclass(frozen=True)
class Samples:
    """Sample rows of one model with the predictions that are expected for them, in order."""

    card: ModelCard
    keys: list[Any]
    rows: list[dict[str, Any]]
    expected: list[Any]

    def body(self) -> bytes:
        """Return all rows as they go to the container."""
        return encode_rows(self.card, self.keys, self.rows)

    def difference(self, answer: bytes) -> str | None:
        """Return the first difference between an answer and what is expected, to the last bit; None if there is none.

        Raises ValueError for an answer that is not one prediction per row.
        """
        for place, got in enumerate(decode_answer(self.card, answer, len(self.rows))):
            if got != self.expected[place]:
                who = f"sample row {place + 1} ({self.card.key} {self.keys[place]!r})"
                return f"{who} is answered with {got!r}, and training wrote {self.expected[place]!r}"
        return None


def read_samples(text: bytes, card: ModelCard) -> Samples:
    """Return the samples of a file. Raises UnusableSamples that names the row and what it lacks."""
    try:
        rows = json.loads(text)["rows"]
    except (ValueError, LookupError, TypeError) as error:
        raise UnusableSamples(f'it is not a JSON object with "rows": {error!r}') from error
    if not isinstance(rows, list) or not rows:
        raise UnusableSamples('"rows" must be a list with at least one row')
    for place, row in enumerate(rows, 1):
        _check(row, place, card)
    samples = Samples(
        card,
        [row.get(card.key) for row in rows],
        [row["features"] for row in rows],
        [row[card.prediction] for row in rows],
    )
    try:
        return _short_enough(samples)
    except (ValueError, TypeError) as error:
        raise UnusableSamples(f"its rows cannot be sent to the model: {error}") from error


def _check(row: Any, place: int, card: ModelCard) -> None:
    if not isinstance(row, dict):
        raise UnusableSamples(f"row {place} is not an object")
    needed = ["features", card.prediction, *([card.key] if card.pass_key_to_model else [])]
    if lacking := [name for name in needed if name not in row]:
        raise UnusableSamples(f"row {place} lacks {', '.join(map(repr, lacking))}")
    features = row["features"]
    if not isinstance(features, dict):
        raise UnusableSamples(f"row {place}: 'features' is not an object")
    if lacking := [name for name in card.feature_names if name not in features]:
        raise UnusableSamples(f"row {place} lacks the feature {', '.join(map(repr, lacking))}")


def _short_enough(samples: Samples) -> Samples:
    while len(samples.body()) > MAX_BYTES and len(samples.rows) > 1:
        half = len(samples.rows) // 2
        samples = Samples(samples.card, samples.keys[:half], samples.rows[:half], samples.expected[:half])
    return samples
