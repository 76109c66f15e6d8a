"""Second step: the input, checked row by row, as shards that Batch Transform reads."""

import os
from functools import cache

from handlers.adapters.card_store import load_card
from handlers.adapters.clients import client
from handlers.adapters.s3_objects import S3Objects
from handlers.contract.card import ModelCard
from handlers.contract.env import PipelineEnv
from handlers.contract.modes import ServingMode
from handlers.contract.pipeline import Prepared, Started
from handlers.logic.preparing import prepare


@cache
def environment() -> PipelineEnv:
    return PipelineEnv.from_environ(os.environ)


@cache
def card() -> ModelCard:
    return load_card(S3Objects(client("s3")), environment().spec_bucket, environment().spec_key)


def handler(event: Started, context: object) -> Prepared:
    """Return Prepared for a Started. Raises the RunErrors of `handlers.logic.preparing`."""
    env = environment()
    return prepare(card(), event["run_id"], env.data_bucket, S3Objects(client("s3")), mode=ServingMode(env.mode))
