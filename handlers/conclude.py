"""Last step of the pipeline, whatever happened: make the run visible, or record why it is not."""

import os
from functools import cache

from handlers.adapters.card_store import load_card
from handlers.adapters.clients import FAST, client
from handlers.adapters.cloudwatch_metrics import CloudWatchMetrics
from handlers.adapters.records_table import RecordsTable
from handlers.adapters.s3_objects import S3Objects
from handlers.contract.env import PipelineEnv
from handlers.contract.modes import ServingMode
from handlers.contract.pipeline import Conclude, Concluded
from handlers.logic.concluding import Conclusion
from handlers.logic.moments import utc_now


@cache
def conclusion() -> Conclusion:
    env = PipelineEnv.from_environ(os.environ)
    objects = S3Objects(client("s3"))
    return Conclusion(
        card=load_card(objects, env.spec_bucket, env.spec_key),
        mode=ServingMode(env.mode),
        bucket=env.data_bucket,
        objects=objects,
        records=RecordsTable(client("dynamodb"), env.table),
        metric_sink=CloudWatchMetrics(client("cloudwatch", FAST), stage=env.stage, model=env.model),
        clock=utc_now,
    )


def handler(event: Conclude, context: object) -> Concluded:
    """Return Concluded for a Conclude. Raises VerificationFailed or QualityFailed: nothing new is visible."""
    return conclusion().conclude(event)
