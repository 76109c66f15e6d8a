"""Events `Refresh Prediction` from the queue: single keys scored again and left where lookups find them."""

import os
import random
import time
from functools import cache
from typing import Any

from handlers.adapters.card_store import load_card
from handlers.adapters.clients import FAST, LIVE, client
from handlers.adapters.event_queue import EventQueue, messages_of
from handlers.adapters.overlay_table import OverlayTable
from handlers.adapters.s3_objects import S3Objects
from handlers.adapters.sagemaker_endpoint import SageMakerEndpoint
from handlers.contract.env import RefreshEnv
from handlers.logic.families import FAMILIES
from handlers.logic.moments import utc_now
from handlers.logic.refreshing import Desk, Done, refresh
from handlers.logic.telemetry import emf_line


@cache
def environment() -> RefreshEnv:
    return RefreshEnv.from_environ(os.environ)


@cache
def desk() -> Desk:
    env = environment()
    return Desk(
        model_version=env.model_version,
        card=load_card(S3Objects(client("s3", FAST)), env.spec_bucket, env.spec_key),
        family=FAMILIES[env.fallback],
        endpoint=SageMakerEndpoint(client("sagemaker-runtime", LIVE), env.endpoint),
        overlay=OverlayTable(client("dynamodb", FAST), env.table),
        backlog=EventQueue(client("sqs", FAST), env.queue_url, env.letters_url),
        clock=utc_now,
        monotonic=time.monotonic,
        jitter=random.random,
        min_interval_seconds=env.min_interval_seconds,
        max_per_minute=env.max_per_minute,
    )


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Return which messages of a batch stay in the queue, and write one log line that CloudWatch reads as metrics."""
    done = refresh(desk(), messages_of(event))
    print(_log_line(done), flush=True)
    return {"batchItemFailures": [{"itemIdentifier": message} for message in done.kept]}


def _log_line(done: Done) -> str:
    env = environment()
    fields: dict[str, Any] = {"level": "WARNING" if done.rejected or done.causes else "INFO"}
    if done.rejected:
        fields["rejected"] = done.rejected
    if done.causes:
        fields["causes"] = done.causes
    moment = int(time.time() * 1000)
    return emf_line(done.counts, stage=env.stage, model=env.model, milliseconds_since_epoch=moment, fields=fields)
