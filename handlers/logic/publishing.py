"""Scored shards to everything that consumers read: Parquet results and, where the mode keeps them, packed scores.

Publishing is done shard by shard, packing partition by partition: a bucket has keys of every shard.
"""

import json
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from handlers.contract import layout
from handlers.contract.card import ModelCard
from handlers.contract.errors import IncompleteOutput
from handlers.contract.pipeline import Packed, PackPartition, Published, PublishShard
from handlers.logic.joining import join
from handlers.logic.moments import parse_moment
from handlers.logic.packing import pack
from handlers.logic.ports import ObjectMissing, Objects, ScoreStore
from handlers.logic.results import results_table, to_parquet
from handlers.logic.score_files import read_segment, score_file


@dataclass(frozen=True)
class Publisher:
    """Publishes shards of one model. Every step overwrites what an earlier attempt wrote, the receipt last."""

    card: ModelCard
    model_version: str
    bucket: str
    objects: Objects
    scores: ScoreStore

    def publish(self, event: PublishShard) -> Published:
        """Publish one shard. Raises IncompleteOutput when Batch Transform did not answer every row once."""
        run_id, index = event["run_id"], event["shard"]["index"]
        rows = self._joined(run_id, index, event["shard"]["rows"])
        scored_at = parse_moment(event["scored_at"])
        table = results_table(
            self.card,
            rows,
            key_type=event["key_type"],
            scored_at=event["scored_at"],
            model_version=self.model_version,
        )
        results_key = layout.results_key(self.card.model, run_id, scored_at.strftime("%Y-%m-%d"), index)
        self.objects.put(self.bucket, results_key, to_parquet(table))
        if partitions := len(event["partitions"]):
            scores_key = layout.scores_key(self.card.model, run_id, index)
            self.objects.put(self.bucket, scores_key, score_file(rows, partitions))
        published = Published(index=index, rows_scored=len(rows))
        self._leave_receipt(layout.receipt_key(self.card.model, run_id, index), published)
        return published

    def pack(self, event: PackPartition) -> Packed:
        """Write one partition's scores into the table. Raises VerificationFailed for a key that was scored twice."""
        run_id, partition, partitions = event["run_id"], event["partition"], len(event["partitions"])
        keys: list[str] = []
        predictions: list[Any] = []
        for shard in event["shards"]:
            scores_key = layout.scores_key(self.card.model, run_id, shard["index"])
            segment = read_segment(self.objects, self.bucket, scores_key, partition, partitions)
            keys += segment[0]
            predictions += segment[1]
        packed = pack(keys, predictions, partitions=partitions, precision=self.card.score_precision)
        expires_at = int(parse_moment(event["scored_at"]).timestamp()) + self.card.retention_seconds
        self.scores.put(run_id, partition, packed, expires_at=expires_at)
        receipt = Packed(partition=partition, rows_published=packed.rows, buckets=packed.buckets, items=packed.items)
        self._leave_receipt(layout.partition_receipt_key(self.card.model, run_id, partition), receipt)
        return receipt

    def _joined(self, run_id: str, index: int, sent: int) -> list:
        model, wire = self.card.model, self.card.wire_format
        output_key = layout.transform_output_key(model, run_id, index, wire)
        try:
            output = self.objects.get(self.bucket, output_key)
        except ObjectMissing as error:
            raise IncompleteOutput(f"Batch Transform left no s3://{self.bucket}/{output_key}") from error
        sidecar = pq.read_table(pa.BufferReader(self.objects.get(self.bucket, layout.keys_key(model, run_id, index))))
        if len(sidecar) != sent:
            raise IncompleteOutput(f"shard {index} was prepared with {sent:,} rows, its sidecar has {len(sidecar):,}")
        return join(sidecar, output, wire, f"s3://{self.bucket}/{output_key}")

    def _leave_receipt(self, key: str, receipt: Published | Packed) -> None:
        self.objects.put(self.bucket, key, json.dumps(receipt, sort_keys=True).encode())
