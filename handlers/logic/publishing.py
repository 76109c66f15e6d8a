"""One scored shard to everything that consumers read: Parquet results and, where the mode keeps them, scores."""

import json
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from handlers.contract import layout
from handlers.contract.card import ModelCard
from handlers.contract.errors import IncompleteOutput
from handlers.contract.modes import ServingMode
from handlers.contract.pipeline import Published, PublishShard
from handlers.logic.joining import join
from handlers.logic.moments import parse_moment
from handlers.logic.ports import ObjectMissing, Objects, ScoreStore
from handlers.logic.results import results_table, to_parquet
from handlers.logic.scores import KEEPS_SCORES


@dataclass(frozen=True)
class Publisher:
    """Publishes shards of one model. Every step overwrites what an earlier attempt wrote, the receipt last."""

    card: ModelCard
    mode: ServingMode
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
        published = 0
        if KEEPS_SCORES[self.mode]:
            expires_at = int(scored_at.timestamp()) + self.card.retention_seconds
            texts = ((str(key), prediction) for key, prediction in rows)
            published = self.scores.put_shard(run_id, texts, expires_at=expires_at)
        return self._receipt(run_id, index, Published(index=index, rows_scored=len(rows), rows_published=published))

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

    def _receipt(self, run_id: str, index: int, published: Published) -> Published:
        key = layout.receipt_key(self.card.model, run_id, index)
        self.objects.put(self.bucket, key, json.dumps(published, sort_keys=True).encode())
        return published
