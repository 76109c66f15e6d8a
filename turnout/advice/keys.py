"""How many keys are asked for, and how often the same ones, from the one request in ten whose key's hash is logged.

With n hashes drawn, d of them distinct, f1 of them drawn once and f2 twice:
keys there are      d + f1²/2f2                     (Chao 1984, Scand. J. Statist. 11, 265: a lower bound)
new to N requests   f1/n · ((n-1)f1 / ((n-1)f1 + 2f2))^(N-n+1)   (Chao and Jost 2012, Ecology 93, 2533, eq. 12)
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

#: Hashes below which a sample tells nothing, and from which it tells enough.
FEW, ENOUGH = 50, 200


@dataclass(frozen=True)
class KeySample:
    """Hashes drawn from the log. `known` counts those whose key the generation in the table has, None: not compared."""

    drawn: int = 0
    distinct: int = 0
    once: int = 0
    twice: int = 0
    known: int | None = None
    obstacle: str = ""  # why it was not compared although it could have been

    @property
    def tells(self) -> bool:
        return self.drawn >= FEW

    def keys(self, requests: float) -> int:
        """Return how many keys that many requests asked for: an estimate, at least those that were drawn."""
        pairs = self.once**2 / (2 * self.twice) if self.twice else self.once * (self.once - 1) / 2
        return round(max(self.distinct, min(self.distinct + pairs, requests)))

    def repeated(self, requests: float) -> float | None:
        """Return the share of further requests with one of the keys that so many asked for; None if too few tell."""
        if not self.tells:
            return None
        if not self.once:
            return 1.0
        singles, twos = (self.once, self.twice) if self.twice else (self.once - 1, 1)
        steady = (self.drawn - 1) * singles
        return 1 - self.once / self.drawn * (steady / (steady + 2 * twos)) ** (max(requests - self.drawn, 0) + 1)


def sample_of(hashes: Iterable[str], known: int | None = None, obstacle: str = "") -> KeySample:
    """Count hashes by how often each was drawn."""
    drawn = Counter(hashes)
    times = Counter(drawn.values())
    return KeySample(drawn.total(), len(drawn), times[1], times[2], known, obstacle)
