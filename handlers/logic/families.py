"""Kinds of endpoints that answer: what each takes, and how a caller asks it. Modes name a family, never this."""

from dataclasses import dataclass

from handlers.contract.modes import ServingMode
from handlers.contract.predictions import MAX_UPLOAD_BYTES

#: Bytes that InvokeEndpointAsync takes inline; more goes through S3.
INLINE_BYTES = 128_000


@dataclass(frozen=True)
class Family:
    """`later`: the answer is fetched later. `payload_bytes`: the largest body that the endpoint takes."""

    word: str
    later: bool
    payload_bytes: int
    payload: str  # the limit in words


FAMILIES: dict[str, Family] = {
    family.word: family
    for family in (
        Family(ServingMode.REALTIME, False, 25 * 2**20, "25 MB, the limit of a real-time endpoint"),
        Family(ServingMode.SERVERLESS, False, 4 * 2**20, "4 MB, the limit of a serverless endpoint"),
        Family(ServingMode.ASYNC, True, MAX_UPLOAD_BYTES, "1 GB, the limit of an asynchronous endpoint"),
    )
}
