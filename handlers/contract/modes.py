"""The eight ways to serve a model, by the word that stands in `models.yaml`."""

from enum import StrEnum


class ServingMode(StrEnum):
    """A model's serving pattern. The value is the word a user writes after `mode:`."""

    BATCH = "batch"
    PRECOMPUTE = "precompute"
    HYBRID = "hybrid"
    REALTIME = "realtime"
    SERVERLESS = "serverless"
    ASYNC = "async"
    STREAMING = "streaming"
    TIERED = "tiered"


#: Modes that this release can deploy; the others are refused at validation.
AVAILABLE = frozenset(
    {
        ServingMode.BATCH,
        ServingMode.PRECOMPUTE,
        ServingMode.HYBRID,
        ServingMode.REALTIME,
        ServingMode.SERVERLESS,
        ServingMode.ASYNC,
    }
)
