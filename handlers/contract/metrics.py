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

# Front door, one value per request
REQUESTS = "Requests"  # Count: of any kind
PREDICTION_REQUESTS = "PredictionRequests"  # Count: asked for predictions; polls, uploads and descriptions do not
KEYLESS = "Keyless"  # Count: instances without a key; an upload counts as one
HITS = "Hits"  # Count
MISSES = "Misses"  # Count
STALE_ANSWERS = "StaleAnswers"  # Count
AGE_SECONDS = "AgeSeconds"  # Seconds
LIVE_CALLS = "LiveCalls"  # Count: the model was asked for this request
LIVE_REFUSED = "LiveRefused"  # Count: a live call that the cap or the endpoint's concurrency refused
REMEMBERED = "Remembered"  # Count: answered from a remembered live answer
ACCEPTED = "Accepted"  # Count: answered 202
ERRORS = "Errors"  # Count: answers with a 5xx status
HANDLER_MILLISECONDS = "HandlerMilliseconds"  # Milliseconds
