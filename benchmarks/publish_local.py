"""One side of `benchmarks.publish --local`, in a process of its own: from `.out` files in S3 to items in DynamoDB.

    python -m benchmarks.publish_local ours|boto3 ROWS        prints {"seconds": s}

Both read and join the same files by the pipeline's own code; what follows is theirs. Files are written beforehand.
"""

import io
import json
import sys
import time

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.publish import TABLE, publish_as_peers_do, scores
from handlers.adapters.clients import client
from handlers.adapters.s3_objects import S3Objects
from handlers.adapters.score_table import ScoreTable
from handlers.contract import layout
from handlers.contract.card import Feature, ModelCard
from handlers.contract.pipeline import Shard
from handlers.contract.records import PK, SK
from handlers.logic.publishing import Publisher

MODEL, RUN, BUCKET, SHARD_ROWS = "m", "20261123T060000Z", "bench-publish", 50_000
SCORED_AT = "2026-11-23T06:09:12Z"


def write_files(rows: int) -> list[Shard]:
    table = list(scores(rows, "0000001").items())
    shards = []
    for index, start in enumerate(range(0, rows, SHARD_ROWS)):
        part = table[start : start + SHARD_ROWS]
        sidecar = io.BytesIO()
        pq.write_table(pa.table({"row": list(range(len(part))), "key": [key for key, _ in part]}), sidecar)
        output = "".join(f"{row},{score!r}\n" for row, (_, score) in enumerate(part)).encode()
        s3 = client("s3")
        s3.put_object(Bucket=BUCKET, Key=layout.keys_key(MODEL, RUN, index), Body=sidecar.getvalue())
        s3.put_object(Bucket=BUCKET, Key=layout.transform_output_key(MODEL, RUN, index, "csv"), Body=output)
        shards.append(Shard(index=index, rows=len(part)))
    return shards


def publish(publisher: Publisher, shards: list[Shard]) -> None:
    for shard in shards:
        event = {"run_id": RUN, "shard": shard, "scored_at": SCORED_AT, "key_type": "string", "partitions": [0]}
        publisher.publish(event)
    publisher.pack({"run_id": RUN, "partition": 0, "partitions": [0], "shards": shards, "scored_at": SCORED_AT})


def publish_one_by_one(publisher: Publisher, shards: list[Shard]) -> None:
    for shard in shards:
        event = {"run_id": RUN, "shard": shard, "scored_at": SCORED_AT, "key_type": "string", "partitions": []}
        publisher.publish(event)
        publish_as_peers_do(dict(publisher._joined(RUN, shard["index"], shard["rows"])))


def main() -> None:
    who, rows = sys.argv[1], int(sys.argv[2])
    client("s3").create_bucket(Bucket=BUCKET)
    tables = client("dynamodb").list_tables()["TableNames"]
    if TABLE not in tables:
        client("dynamodb").create_table(
            TableName=TABLE,
            BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": PK, "KeyType": "HASH"}, {"AttributeName": SK, "KeyType": "RANGE"}],
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in (PK, SK)],
        )
    shards = write_files(rows)
    card = ModelCard(MODEL, "id", [Feature("x")], "input/m/")
    objects = S3Objects(client("s3"))
    publisher = Publisher(card, "v1", BUCKET, objects, ScoreTable(client("dynamodb"), TABLE))
    began = time.perf_counter()
    {"ours": publish, "boto3": publish_one_by_one}[who](publisher, shards)
    print(json.dumps({"seconds": time.perf_counter() - began}))


if __name__ == "__main__":
    main()
