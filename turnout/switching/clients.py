"""What a caller gets, mode by mode, and how much of the recent past a switch would have answered differently."""

from dataclasses import dataclass
from enum import Enum

from handlers.contract.answering import RECENT_DAYS, Counts
from handlers.contract.modes import ServingMode


class Outcome(Enum):
    """What one request gets. The text completes "requests get ..."."""

    SCORE = "the score from the newest generation"
    LIVE = "a live prediction (given features)"
    LATER = "202 and the prediction later (given features)"
    UNKNOWN = "404 unknown_key"
    KEYLESS = "400 bad_key"
    REFUSED = "409 with the place of the results"

    @property
    def answered(self) -> bool:
        return self not in (Outcome.UNKNOWN, Outcome.KEYLESS, Outcome.REFUSED)


@dataclass(frozen=True)
class Callers:
    """One mode as callers see it: a key that the newest generation has, one that it lacks, and no key at all."""

    covered: Outcome
    uncovered: Outcome | None  # None: whatever the endpoint behind it gives
    keyless: Outcome | None
    sentence: str
    watch: str = ""  # what surprises

    @property
    def looks_up(self) -> bool:
        return self.covered is Outcome.SCORE


#: One line per mode that can be deployed.
CALLERS: dict[ServingMode, Callers] = {
    ServingMode.BATCH: Callers(
        Outcome.REFUSED, Outcome.REFUSED, Outcome.REFUSED, "Requests get 409 with the place of the Parquet results."
    ),
    ServingMode.PRECOMPUTE: Callers(
        Outcome.SCORE,
        Outcome.UNKNOWN,
        Outcome.KEYLESS,
        "Requests by key are answered from the newest generation; other keys get 404, requests without a key 400.",
    ),
    ServingMode.HYBRID: Callers(
        Outcome.SCORE,
        None,
        None,
        "Requests by key are answered from the newest generation; others that carry features go to the model.",
        "Past the cap on live calls, misses get 429 until the next minute.",
    ),
    ServingMode.REALTIME: Callers(
        Outcome.LIVE,
        Outcome.LIVE,
        Outcome.LIVE,
        "Requests with features are answered by the model; a key alone gets 422.",
    ),
    ServingMode.SERVERLESS: Callers(
        Outcome.LIVE,
        Outcome.LIVE,
        Outcome.LIVE,
        "Requests with features are answered by the model; a key alone gets 422.",
        "After a quiet while the first request waits seconds; past max_concurrency they get 429.",
    ),
    ServingMode.ASYNC: Callers(
        Outcome.LATER,
        Outcome.LATER,
        Outcome.LATER,
        "Requests with features get 202 and a location to poll; a key alone gets 422.",
        "From rest the first answer takes minutes.",
    ),
}

#: hybrid answers misses as the endpoint behind it does.
_FALLBACK = {"realtime": Outcome.LIVE, "serverless": Outcome.LIVE, "async": Outcome.LATER}


#: Logged keys below which a sample tells nothing.
FEW = 30


@dataclass(frozen=True)
class Recent:
    """A model's traffic of the last `days`, as its front door counted and logged it.

    `hits` and `misses` count lookups, `keyless` predictions without a key, None where the front door did not count them
    yet; all of them in whatever modes there were. `sampled` counts keys that the mode in force has logged, and
    `sampled_known` those of them that the generation has.
    """

    days: int = RECENT_DAYS
    requests: int = 0
    hits: int = 0
    misses: int = 0
    keyless: int | None = None
    sampled: int = 0
    sampled_known: int = 0
    generation: str | None = None  # with which the sample was compared
    obstacle: str = ""  # why there is no sample although there could be one

    @property
    def counts(self) -> Counts:
        return Counts(self.requests, self.hits, self.misses, self.keyless)

    def counted(self, mode: ServingMode) -> bool:
        """Say whether the counts tell whose key has a score: `mode` is in force and looks up all that it is asked."""
        return CALLERS[mode].looks_up and self.hits + self.misses > 0 and self.counts.complete

    def keyless_share(self, mode: ServingMode) -> float | None:
        """Return the share of requests without a key; None where nothing tells."""
        lookups, without = self.hits + self.misses if CALLERS[mode].looks_up else 0, self.counts.without_key
        if self.keyless is None and not lookups:
            return None
        return without / max(self.requests, lookups + without, 1)

    def known_keys(self, mode: ServingMode) -> float | None:
        """Return the share of keys, of those that were asked about, that the generation has; None where nothing tells.

        A few keys tell nothing: of one that has a score nobody should conclude that all have.
        """
        if self.counted(mode):
            return self.hits / (self.hits + self.misses)
        return self.sampled_known / self.sampled if self.sampled >= FEW else None

    def shares(self, mode: ServingMode) -> tuple[float, float, float] | None:
        """Return the shares of requests whose key the generation has, whose key it lacks, and that have no key.

        `mode` is in force; None where nothing tells.
        """
        keyless, known = self.keyless_share(mode), self.known_keys(mode)
        if keyless is None or (known is None and keyless < 1):
            return None
        known = known or 0.0
        return (1 - keyless) * known, (1 - keyless) * (1 - known), keyless

    def coverage(self, mode: ServingMode) -> float | None:
        """Return the share of requests whose key the generation has; None where nothing tells."""
        shares = self.shares(mode)
        return shares[0] if shares else None

    @property
    def a_month(self) -> int:
        return round(self.requests * 30.4 / self.days)


@dataclass(frozen=True)
class Notice:
    """What clients would notice of a switch. Shares are of requests, 0 to 1; None where nothing tells."""

    sentence: str
    basis: str
    changed: float | None
    lost: float | None

    def to_body(self) -> dict[str, object]:
        return {"sentence": self.sentence, "basis": self.basis, "changed": self.changed, "lost": self.lost}


def outcomes(mode: ServingMode, fallback: str) -> tuple[Outcome, Outcome, Outcome]:
    """Return what covered keys, uncovered keys and requests without a key get."""
    callers, live = CALLERS[mode], _FALLBACK[fallback]
    return callers.covered, callers.uncovered or live, callers.keyless or live


def notice(
    before: ServingMode,
    after: ServingMode,
    *,
    fallback: str,
    recent: Recent | None,
    old_fallback: str | None = None,
    live_usd: float | None = None,
) -> Notice:
    """Say what share of the recent past's requests would have been answered differently, and how.

    `recent` of None means that nobody could look. `live_usd` is what answering misses live costs a month.
    """
    now, then = outcomes(before, old_fallback or fallback), outcomes(after, fallback)
    loses = any(old.answered and not new.answered for old, new in zip(now, then, strict=True))
    if recent is None:
        changed, lost = (0.0 if now == then else None), (None if loses else 0.0)
        return Notice("What clients asked for of late is not known.", "", changed, lost)
    if not recent.requests:
        return Notice(f"No requests in the last {recent.days} days: nobody would notice.", "the front door", 0.0, 0.0)
    groups = _groups(now, then, recent.shares(before))
    asked = f"the last {recent.days} days' {recent.requests:,} requests"
    basis = _basis(recent, before)
    if groups is None:
        sentence = (
            f"Nothing tells how many of {asked} had a key in the newest generation: other keys would get "
            f"{then[1].value} instead of {now[1].value}."
        )
        return Notice(sentence, basis, None, None if loses else 0.0)
    changed = sum(group.share for group in groups if group.before is not group.after)
    lost = sum(group.share for group in groups if group.before.answered and not group.after.answered)
    return Notice(_sentence(groups, asked, live_usd), basis, changed, lost)


@dataclass(frozen=True)
class _Group:
    share: float
    before: Outcome
    after: Outcome
    which: str


WHICH = ("had a key in the newest generation", "had another key", "had no key")


def _groups(
    before: tuple[Outcome, ...], after: tuple[Outcome, ...], shares: tuple[float, ...] | None
) -> list[_Group] | None:
    """Return the requests by what they get, empty groups left out; None where shares matter and are unknown."""
    if len(set(before)) == len(set(after)) == 1:
        return [_Group(1.0, before[0], after[0], "all")]
    if shares is None:
        return None
    groups = zip(shares, before, after, WHICH, strict=True)
    return [_Group(share, old, new, which) for share, old, new, which in groups if share > 0]


def _sentence(groups: list[_Group], asked: str, live_usd: float | None) -> str:
    parts = []
    for index, group in enumerate(groups):
        of = f" of {asked}" if index == 0 else ""
        who = f"All{of}" if group.which == "all" else f"{percent(group.share)}{of} {group.which}"
        parts.append(f"{who}{_change(group)}")
    text = "; ".join(parts) + "."
    unserved = (Outcome.UNKNOWN, Outcome.KEYLESS)
    if live_usd is not None and any(g.after in unserved and g.before.answered for g in groups):
        text += f" `hybrid` would serve those for {dollars(live_usd)} a month."
    elif live_usd is not None and any(g.before in unserved and g.after.answered for g in groups):
        text += f" Serving those costs {dollars(live_usd)} a month."
    return text


def _change(group: _Group) -> str:
    joiner = " would" if group.which == "all" else " and would"
    if group.before is group.after:
        return f"{joiner} get what they get now"
    return f"{joiner} get {group.after.value} instead of {group.before.value}"


def dollars(usd: float) -> str:
    """Return an amount as text in which something is never nothing."""
    return f"${usd:,.2f}" if usd >= 0.005 or usd == 0 else "less than $0.01"


def percent(share: float) -> str:
    """Return a share as text that never rounds a part away: 99.97 % stays below 100, 0.01 % above 0."""
    if share in (0.0, 1.0):
        return f"{share:.0%}".replace("%", " %")
    shown = min(max(share * 100, 0.1), 99.9)
    return f"{shown:.1f} %"


def _basis(recent: Recent, mode: ServingMode) -> str:
    if recent.counted(mode):
        return f"{recent.hits:,} hits and {recent.misses:,} misses that the front door counted{_keyless(recent)}"
    if recent.sampled >= FEW:
        return f"a sample of {recent.sampled:,} logged keys against generation {recent.generation}{_keyless(recent)}"
    return f"the front door's count of requests; {recent.obstacle or _too_few(recent.sampled, mode)}"


def _too_few(sampled: int, mode: ServingMode) -> str:
    if not sampled:
        return "no logged key was compared with a generation"
    return f"only {sampled} logged key{'s' if sampled > 1 else ''} of mode {mode}, too few to tell"


def _keyless(recent: Recent) -> str:
    without = recent.counts.without_key
    return f", and {without:,} predictions without a key" if without else ""
