"""Events that the user's own systems put on EventBridge's default bus, from whatever source.

    {"detail-type": "Refresh Prediction",
     "detail": {"model": M, "key": K, "features": {...}, "stage": S, "data_as_of": "2026-11-23T06:00:00.123Z"}}

Without `stage` the event is for every stage in the account; without `data_as_of` its data are of its own `time`.
"""

DETAIL_TYPE = "Refresh Prediction"
MEMBERS = frozenset({"model", "stage", "key", "features", "data_as_of"})
