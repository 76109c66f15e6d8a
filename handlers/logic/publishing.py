"""Scored shards to everything that consumers read: Parquet results and, where the mode keeps them, packed scores.

Publishing is done shard by shard, packing partition by partition: a bucket has keys of every shard.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from handlers.contract import layout
from handlers.contract.card import ModelCard
from handlers.contract.errors import IncompleteOutput, VerificationFailed
from handlers.contract.pipeline import Packed, PackPartition, Published, PublishShard
from handlers.logic.joining import join
from handlers.logic.moments import parse_moment
from handlers.logic.packing import pack
from handlers.logic.ports import ObjectMissing, Objects, ScoreStore
from handlers.logic.profiling import profile_of
from handlers.logic.results import results_table, to_parquet
from handlers.logic.score_files import read_segments, score_file
from handlers.logic.sharding import KEY, ROW


@dataclass(frozen=True)
class Publisher:
    """Publishes shards of one model. Every step overwrites what an earlier attempt wrote, the receipt last."""

    card: ModelCard
    bucket: str
    objects: Objects
    scores: ScoreStore

    def publish(self, event: PublishShard) -> Published:
        """Publish one shard.

        Raises IncompleteOutput when Batch Transform did not answer every row once, VerificationFailed for a key that
        comes twice.
        """
        run_id, index = event["run_id"], event["shard"]["index"]
        sidecar = self._sidecar(run_id, index, event["shard"]["rows"])
        rows = self._joined(run_id, index, sidecar)
        scored_at = parse_moment(event["scored_at"])
        table = results_table(
            self.card,
            rows,
            key_type=event["key_type"],
            scored_at=event["scored_at"],
            model_version=event["model_version"],
        )
        results_key = layout.results_key(self.card.model, run_id, scored_at.strftime("%Y-%m-%d"), index)
        self.objects.put(self.bucket, results_key, to_parquet(table))
        if partitions := len(event["partitions"]):
            scores_key = layout.scores_key(self.card.model, run_id, index)
            self.objects.put(self.bucket, scores_key, score_file(rows, partitions))
        published = Published(index=index, rows_scored=len(rows))
        # Only receipts say what a shard is like: for 3,000 shards Step Functions could not carry it.
        profile = profile_of([prediction for _, prediction in rows]).to_body()
        receipt = {**published, "span": _span(sidecar), "profile": profile}
        self._leave_receipt(layout.receipt_key(self.card.model, run_id, index), receipt)
        return published

    def pack(self, event: PackPartition) -> Packed:
        """Write one partition's scores into the table. Raises VerificationFailed for a key that was scored twice."""
        run_id, partition, partitions = event["run_id"], event["partition"], len(event["partitions"])
        files = [layout.scores_key(self.card.model, run_id, shard["index"]) for shard in event["shards"]]
        keys, predictions = read_segments(self.objects, self.bucket, files, partition, partitions)
        packed = pack(keys, predictions, partitions=partitions, precision=self.card.score_precision)
        expires_at = int(parse_moment(event["scored_at"]).timestamp()) + event["retention_seconds"]
        self.scores.put(run_id, partition, packed, expires_at=expires_at)
        receipt = Packed(
            partition=partition,
            rows_published=packed.rows,
            buckets=packed.buckets,
            items=packed.items,
            singles=len(packed.singles),
        )
        self._leave_receipt(layout.partition_receipt_key(self.card.model, run_id, partition), receipt)
        return receipt

    def _sidecar(self, run_id: str, index: int, sent: int) -> pa.Table:
        body = self.objects.get(self.bucket, layout.keys_key(self.card.model, run_id, index))
        sidecar = pq.read_table(pa.BufferReader(body))
        if len(sidecar) != sent:
            raise IncompleteOutput(f"shard {index} was prepared with {sent:,} rows, its sidecar has {len(sidecar):,}")
        if repeated := sent - pc.count_distinct(sidecar[KEY]).as_py():
            raise VerificationFailed(f"{repeated:,} keys of shard {index} come more than once")
        return sidecar

    def _joined(self, run_id: str, index: int, sidecar: pa.Table) -> list:
        model, wire = self.card.model, self.card.wire_format
        output_key = layout.transform_output_key(model, run_id, index, wire)
        try:
            output = self.objects.get(self.bucket, output_key)
        except ObjectMissing as error:
            raise IncompleteOutput(f"Batch Transform left no s3://{self.bucket}/{output_key}") from error
        return join(sidecar, output, wire, f"s3://{self.bucket}/{output_key}")

    def _leave_receipt(self, key: str, receipt: Mapping[str, Any]) -> None:
        self.objects.put(self.bucket, key, json.dumps(receipt, sort_keys=True).encode())


def _span(sidecar: pa.Table) -> list[int]:
    """Return the first and the last of a shard's row numbers; no two shards of a run may share any."""
    span = pc.min_max(sidecar[ROW]).as_py()
    return [span["min"], span["max"]]
