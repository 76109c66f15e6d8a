"""Every few minutes: how old is what is visible, and is it time to renew it?"""

import json
import os
from functools import cache
from typing import Any

from handlers.adapters.clients import client
from handlers.adapters.cloudwatch_metrics import CloudWatchMetrics
from handlers.adapters.executions import StateMachine
from handlers.adapters.records_table import RecordsTable
from handlers.contract.env import FreshnessEnv
from handlers.contract.modes import ServingMode
from handlers.logic.freshness import Freshness, Look
from handlers.logic.moments import utc_now


@cache
def freshness() -> Freshness:
    env = FreshnessEnv.from_environ(os.environ)
    return Freshness(
        mode=ServingMode(env.mode),
        when_older_than_seconds=env.when_older_than_seconds,
        records=RecordsTable(client("dynamodb"), env.table),
        pipeline=StateMachine(client("stepfunctions"), env.pipeline),
        metric_sink=CloudWatchMetrics(client("cloudwatch"), stage=env.stage, model=env.model),
        clock=utc_now,
    )


def handler(event: dict[str, Any], context: object) -> Look:
    """Return what a look found, which is also its line in the log. `event` has the `slot` at which it was due."""
    found = freshness().look(event["slot"])
    print(json.dumps(found), flush=True)
    return found
