"""Which modes answer a request with a prediction, and which switches take answers away."""

from dataclasses import dataclass

from handlers.contract.modes import ServingMode

#: Does a request get a prediction, now or later? One line per mode.
ANSWERS = {
    ServingMode.BATCH: False,
    ServingMode.PRECOMPUTE: True,
    ServingMode.HYBRID: True,
    ServingMode.REALTIME: True,
    ServingMode.SERVERLESS: True,
    ServingMode.ASYNC: True,
    ServingMode.STREAMING: True,
    ServingMode.TIERED: True,
}

#: Does the model answer a key that no generation has, or a request without a key? One line per mode.
ASKS_THE_MODEL = {
    ServingMode.BATCH: False,
    ServingMode.PRECOMPUTE: False,
    ServingMode.HYBRID: True,
    ServingMode.REALTIME: True,
    ServingMode.SERVERLESS: True,
    ServingMode.ASYNC: True,
    ServingMode.STREAMING: True,
    ServingMode.TIERED: True,
}

#: Are keys looked up, so that the front door counts whose key has a score? One line per mode.
LOOKS_UP = {
    ServingMode.BATCH: False,
    ServingMode.PRECOMPUTE: True,
    ServingMode.HYBRID: True,
    ServingMode.REALTIME: False,
    ServingMode.SERVERLESS: False,
    ServingMode.ASYNC: False,
    ServingMode.STREAMING: False,
    ServingMode.TIERED: False,
}

#: The word under `acknowledge:` in models.yaml that lets a switch take answers away.
LOST_ANSWERS = "lost-answers"


#: How far back requests count as what callers ask for.
RECENT_DAYS = 7


@dataclass(frozen=True)
class Counts:
    """What a front door counted in the last RECENT_DAYS days, in whatever modes (handlers.contract.metrics).

    `requests` are those for predictions as far as they were told apart, else all. `keyless` is None where the front
    door did not count it yet. A request may ask for several predictions, and each of them is a hit, a miss or keyless.
    """

    requests: int = 0
    hits: int = 0
    misses: int = 0
    keyless: int | None = None

    @property
    def without_key(self) -> int:
        """Return the predictions that were asked for without a key: counted, or else what was no lookup."""
        return max(0, self.requests - self.hits - self.misses) if self.keyless is None else self.keyless

    @property
    def complete(self) -> bool:
        """Say whether hits, misses and predictions without a key make up for all requests."""
        return self.requests <= self.hits + self.misses + self.without_key

    @property
    def all_found(self) -> bool:
        """Say whether every request was a lookup that found its key."""
        return self.hits > 0 and not self.misses and not self.without_key and self.complete


def refuse_silence(model: str, before: str, after: str, *, acknowledged: bool) -> str | None:
    """Return why a switch must not happen, None if it may: whoever is answered now would be answered no more."""
    silenced = ANSWERS[ServingMode(before)] and not ANSWERS[ServingMode(after)]
    if acknowledged or not silenced:
        return None
    return (
        f"model {model!r} answers requests in mode {before}, and mode {after} would refuse every one of them: "
        f"{_say_so('and deploy again')}"
    )


def takes_the_model_away(before: str, after: str) -> bool:
    """Say whether a switch leaves lookups only where the model answered whatever they do not find."""
    old, new = ServingMode(before), ServingMode(after)
    return ASKS_THE_MODEL[old] and ANSWERS[new] and not ASKS_THE_MODEL[new]


def refuse_loss(model: str, before: str, after: str, counts: Counts, *, acknowledged: bool) -> str | None:
    """Return why a switch that takes the model away must not happen, None if it may.

    It may where nobody asked, and where the mode before looks keys up and the counts show that every request was a
    lookup that found its key. Nothing else tells: of requests to a mode that looks nothing up no count says whose key
    has a score, and hits are then those of an earlier mode.
    """
    if acknowledged or not takes_the_model_away(before, after) or not (counts.requests or counts.hits):
        return None
    if LOOKS_UP[ServingMode(before)] and counts.all_found:
        return None
    return (
        f"model {model!r} answers in mode {before} whatever it is asked, and mode {after} only keys that have a score. "
        f"In the last {RECENT_DAYS} days it got {counts.requests:,} requests: {_found(before, counts)}; "
        f"{_say_so('and deploy again')}"
    )


def _found(before: str, counts: Counts) -> str:
    if not LOOKS_UP[ServingMode(before)]:
        return f"mode {before} looks no key up, so that nothing tells whose key has a score"
    if not counts.hits and not counts.misses:
        return "none of them was looked up, so that nothing tells whose key has a score"
    found = (
        f"{counts.hits:,} keys had a score, {counts.misses:,} had none, {counts.without_key:,} predictions had no key"
    )
    return found if counts.complete else f"{found}, and nothing tells of the others"


def _say_so(then: str) -> str:
    return f"if that is meant, write `acknowledge: [{LOST_ANSWERS}]` into its entry in models.yaml {then}"
