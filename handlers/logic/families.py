"""Kinds of endpoints that answer: what each takes, and how a caller asks it. Modes name a family, never this."""

from dataclasses import dataclass

from handlers.contract.modes import ServingMode
from handlers.contract.payloads import FAMILY_BYTES, words
from handlers.contract.payloads import INLINE_BYTES as INLINE_BYTES


@dataclass(frozen=True)
class Family:
    """`later`: the answer is fetched later. `payload_bytes`: the largest body that the endpoint takes."""

    word: str
    later: bool
    payload_bytes: int
    payload: str  # the limit in words


def _family(word: str, what: str, *, later: bool = False) -> Family:
    limit = FAMILY_BYTES[word]
    return Family(word, later, limit, f"{words(limit)}, the limit of {what}")


FAMILIES: dict[str, Family] = {
    family.word: family
    for family in (
        _family(ServingMode.REALTIME, "a real-time endpoint"),
        _family(ServingMode.SERVERLESS, "a serverless endpoint"),
        _family(ServingMode.ASYNC, "an asynchronous endpoint", later=True),
    )
}
