"""First step of the pipeline: which run a trigger means, and whether this execution may carry it out."""

import os
from functools import cache
from typing import Any

from handlers.adapters.clients import client
from handlers.adapters.cloudwatch_metrics import CloudWatchMetrics
from handlers.adapters.records_table import RecordsTable
from handlers.contract.env import PipelineEnv
from handlers.contract.pipeline import Started
from handlers.logic.moments import utc_now
from handlers.logic.run_identity import start_run


@cache
def environment() -> PipelineEnv:
    return PipelineEnv.from_environ(os.environ)


def handler(event: dict[str, Any], context: object) -> Started:
    """Return Started for a Trigger. Raises BadTrigger."""
    env = environment()
    return start_run(
        event,
        stage=env.stage,
        model=env.model,
        data_bucket=env.data_bucket,
        records=RecordsTable(client("dynamodb"), env.table),
        metric_sink=CloudWatchMetrics(client("cloudwatch"), stage=env.stage, model=env.model),
        clock=utc_now,
    )
