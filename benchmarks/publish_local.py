"""One side of `benchmarks.publish --local`, in a process of its own: from `.out` files in S3 to scores to look up.

    python -m benchmarks.publish_local ours|boto3 ROWS        prints {"seconds": s}

Both read and join the same files by the pipeline's own code; what follows is theirs. Ours ends when the generation is
concluded, verified and visible, the peer's with its last item. Files are written beforehand.
"""

import io
import json
import sys
import time

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.publish import TABLE, publish_as_peers_do, scores
from handlers.adapters.clients import client
from handlers.adapters.cloudwatch_metrics import CloudWatchMetrics
from handlers.adapters.records_table import RecordsTable
from handlers.adapters.s3_objects import S3Objects
from handlers.adapters.score_table import ScoreTable
from handlers.contract import layout
from handlers.contract.card import Feature, ModelCard
from handlers.contract.modes import ServingMode
from handlers.contract.pipeline import Prepared, Shard
from handlers.contract.records import PK, SK
from handlers.logic.concluding import Conclusion
from handlers.logic.moments import utc_now
from handlers.logic.publishing import Publisher

MODEL, RUN, BUCKET, SHARD_ROWS = "m", "20261123T060000Z", "bench-publish", 50_000
STARTED_AT, SCORED_AT = "2026-11-23T06:00:00Z", "2026-11-23T06:09:12Z"
RETENTION_SECONDS = 30 * 86_400


def write_files(rows: int) -> list[Shard]:
    table = list(scores(rows, "0000001").items())
    shards = []
    for index, start in enumerate(range(0, rows, SHARD_ROWS)):
        part = table[start : start + SHARD_ROWS]
        sidecar = io.BytesIO()
        pq.write_table(pa.table({"row": range(start, start + len(part)), "key": [key for key, _ in part]}), sidecar)
        output = "".join(f"{row},{score!r}\n" for row, (_, score) in enumerate(part, start)).encode()
        s3 = client("s3")
        s3.put_object(Bucket=BUCKET, Key=layout.keys_key(MODEL, RUN, index), Body=sidecar.getvalue())
        s3.put_object(Bucket=BUCKET, Key=layout.transform_output_key(MODEL, RUN, index, "csv"), Body=output)
        shards.append(Shard(index=index, rows=len(part)))
    return shards


def publish(publisher: Publisher, shards: list[Shard], conclusion: Conclusion) -> None:
    """Publish, pack and conclude. Raises RuntimeError when the generation is not visible then."""
    run = {"run_id": RUN, "scored_at": SCORED_AT}
    kept = {"model_version": "v1", "retention_seconds": RETENTION_SECONDS}
    common = {**run, **kept, "key_type": "string", "partitions": [0]}
    published = [publisher.publish({**common, "shard": shard}) for shard in shards]
    packed = [publisher.pack({**common, "partition": 0, "shards": shards})]
    rows = sum(shard["rows"] for shard in shards)
    prepared = Prepared(
        rows_in=rows,
        rows_valid=rows,
        rows_quarantined=0,
        key_type="string",
        quarantine_uri=None,
        reasons={},
        shards=shards,
        data_as_of=STARTED_AT,
        partitions=[0],
    )
    event = {**run, **kept, "outcome": "succeeded", "execution": RUN, "started_at": STARTED_AT}
    concluded = conclusion.conclude({**event, "prepared": prepared, "published": published, "packed": packed})
    if not concluded["visible"]:
        raise RuntimeError(f"generation {RUN} is not visible: {concluded}")


def publish_one_by_one(publisher: Publisher, shards: list[Shard], conclusion: Conclusion) -> None:
    for shard in shards:
        event = {"run_id": RUN, "shard": shard, "scored_at": SCORED_AT, "key_type": "string"}
        event |= {"model_version": "v1", "partitions": []}
        publisher.publish(event)
        sidecar = publisher._sidecar(RUN, shard["index"], shard["rows"])
        publish_as_peers_do(dict(publisher._joined(RUN, shard["index"], sidecar)))


SIDES = {"ours": publish, "boto3": publish_one_by_one}


def seconds(who: str, rows: int) -> float:
    """Return the wall seconds of one side, in a bucket and a table that are made if need be."""
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
    objects, store = S3Objects(client("s3")), client("dynamodb")
    publisher = Publisher(card, BUCKET, objects, ScoreTable(store, TABLE))
    conclusion = Conclusion(
        card=card,
        mode=ServingMode.PRECOMPUTE,
        bucket=BUCKET,
        objects=objects,
        records=RecordsTable(store, TABLE),
        metric_sink=CloudWatchMetrics(client("cloudwatch"), stage="dev", model=MODEL),
        clock=utc_now,
    )
    began = time.perf_counter()
    SIDES[who](publisher, shards, conclusion)
    return time.perf_counter() - began


def main() -> None:
    print(json.dumps({"seconds": seconds(sys.argv[1], int(sys.argv[2]))}))


if __name__ == "__main__":
    main()
