"""Metric names that handlers emit and alarms read. Dimensions are always `Stage` and `Model`."""

NAMESPACE = "Turnout"
DIMENSIONS = ("Stage", "Model")

# Pipeline, one value per run
RUN_SUCCEEDED = "RunSucceeded"  # Count
RUN_FAILED = "RunFailed"  # Count
RUN_DUPLICATE = "RunDuplicate"  # Count: a second trigger for a slot that is already claimed
ROWS_IN = "RowsIn"  # Count
ROWS_SCORED = "RowsScored"  # Count
ROWS_QUARANTINED = "RowsQuarantined"  # Count
ROWS_PUBLISHED = "RowsPublished"  # Count: rows visible to lookups
RUN_SECONDS = "RunSeconds"  # Seconds from claim to visible

# Freshness, one value per look
DATA_AGE_SECONDS = "DataAgeSeconds"  # Seconds since the data's own time, of what is visible

# Front door, one value per request
REQUESTS = "Requests"  # Count: of any kind
PREDICTION_REQUESTS = "PredictionRequests"  # Count: asked for predictions; polls, uploads and descriptions do not
KEYLESS = "Keyless"  # Count: instances without a key; an upload counts as one
HITS = "Hits"  # Count
MISSES = "Misses"  # Count
STALE_ANSWERS = "StaleAnswers"  # Count
STALE_REFUSED = "StaleRefused"  # Count: scores not served because of their age, as the model's `on_stale` wants it
AGE_SECONDS = "AgeSeconds"  # Seconds
LIVE_CALLS = "LiveCalls"  # Count: the model was asked for this request
LIVE_REFUSED = "LiveRefused"  # Count: a live call that the cap or the endpoint's concurrency refused
REMEMBERED = "Remembered"  # Count: answered from a remembered live answer
ACCEPTED = "Accepted"  # Count: answered 202
ERRORS = "Errors"  # Count: answers with a 5xx status
HANDLER_MILLISECONDS = "HandlerMilliseconds"  # Milliseconds

# Refreshing by event, one value per batch of events
REFRESHED = "Refreshed"  # Count: keys scored
REFRESH_SKIPPED = "RefreshSkipped"  # Count: events that a newer one, or a duplicate, had made needless
REFRESH_POSTPONED = "RefreshPostponed"  # Count: events put back: too soon, beyond the cap, or the model did not answer
REFRESH_REJECTED = "RefreshRejected"  # Count: events that can never be scored; they lie in the dead-letter queue
