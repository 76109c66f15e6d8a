"""Which modes keep scores for lookups: the pipeline's only mode switch."""

from handlers.contract.modes import ServingMode

#: A run publishes scores into the model's table where this is true; results go to S3 in every mode.
KEEPS_SCORES: dict[ServingMode, bool] = {
    ServingMode.BATCH: False,
    ServingMode.PRECOMPUTE: True,
    ServingMode.HYBRID: True,
    ServingMode.REALTIME: False,
    ServingMode.SERVERLESS: False,
    ServingMode.ASYNC: False,
}
