"""How many keys are asked for, and how often the same ones, from the one request in ten whose key's hash is logged.

Of n hashes drawn let f1, f2 and f3 be those drawn once, twice and three times. Keys that come back leave at least
2 f2²/3 f3 singles (by Cauchy and Schwarz, however unlike they are); singles beyond these are taken for keys that never
come back. Answers are lost where too few are, so their share is taken rather too large.
Of those that do, f1²/2 f2 were not drawn at all (Chao 1984, Scand. J. Statist. 11, 265: a lower bound).
"""

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

#: Hashes below which a sample tells nothing, and from which it tells enough.
FEW, ENOUGH = 50, 200
CAUTION = 2.0


@dataclass(frozen=True)
class KeySample:
    """Hashes drawn from the log. `known` counts those whose key the generation in the table has, None: not compared."""

    drawn: int = 0
    distinct: int = 0
    once: int = 0
    twice: int = 0
    thrice: int = 0
    known: int | None = None
    obstacle: str = ""  # why it was not compared although it could have been

    @property
    def tells(self) -> bool:
        return self.drawn >= FEW

    @property
    def returning(self) -> float:
        """Return how many of the singles have keys that come back: the estimate."""
        return min(self.once, 2 * self.twice**2 / (3 * max(self.thrice, 1)))

    @property
    def surely_returning(self) -> float:
        """Return the estimate less CAUTION of its standard errors, pairs and triples being Poisson counts."""
        if not self.twice:
            return 0.0
        error = math.sqrt(4 / self.twice + 1 / max(self.thrice, 1))
        return self.returning * max(0.0, 1 - CAUTION * error)

    @property
    def repeated(self) -> float | None:
        """Return the share of requests whose key comes back, rather too small; None where too few were drawn."""
        return 1 - (self.once - self.surely_returning) / self.drawn if self.tells else None

    def keys(self, requests: float) -> int:
        """Return how many keys that many requests asked for: an estimate, at least those that were drawn."""
        new = (self.once - self.returning) / self.drawn * requests
        unseen = self.returning**2 / (2 * self.twice) if self.twice else 0.0
        known = self.distinct - self.once + self.returning
        return round(max(self.distinct, min(known + unseen + new, requests)))


def sample_of(hashes: Iterable[str], known: int | None = None, obstacle: str = "") -> KeySample:
    """Count hashes by how often each was drawn."""
    drawn = Counter(hashes)
    times = Counter(drawn.values())
    return KeySample(drawn.total(), len(drawn), times[1], times[2], times[3], known, obstacle)
