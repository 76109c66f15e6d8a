"""Fourth step: the container's answers to Parquet results, shard by shard, then to packed scores, part by part."""

import os
from functools import cache

from handlers.adapters.card_store import load_card
from handlers.adapters.clients import client
from handlers.adapters.s3_objects import S3Objects
from handlers.adapters.score_table import ScoreTable
from handlers.contract.env import PipelineEnv
from handlers.contract.pipeline import Packed, PackPartition, Published, PublishShard
from handlers.logic.publishing import Publisher


@cache
def publisher() -> Publisher:
    env = PipelineEnv.from_environ(os.environ)
    objects = S3Objects(client("s3"))
    return Publisher(
        card=load_card(objects, env.spec_bucket, env.spec_key),
        bucket=env.data_bucket,
        objects=objects,
        scores=ScoreTable(client("dynamodb"), env.table),
    )


def handler(event: PublishShard | PackPartition, context: object) -> Published | Packed:
    """Return Published for a PublishShard, Packed for a PackPartition. Raises IncompleteOutput, VerificationFailed."""
    return publisher().pack(event) if "partition" in event else publisher().publish(event)
