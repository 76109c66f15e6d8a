"""Small data sets in the three input formats, and a card to read them by."""

import csv
import io
import json
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from handlers.contract.card import Feature, ModelCard
from handlers.contract.modes import ServingMode
from handlers.contract.pipeline import Prepared
from handlers.logic.preparing import prepare
from tests.unit.handlers.fakes import FakeObjects

RUN = "20261123T060000Z"
Row = dict[str, Any]


def card(*features: Feature, **settings: Any) -> ModelCard:
    """Return a card of model `m` with key `id`; feature `x` unless others are given."""
    settings = {"max_bad_fraction": 1.0, **settings}
    return ModelCard("m", "id", list(features) or [Feature("x")], "input/m/", **settings)


def parquet(rows: list[Row] | dict[str, Any], schema: pa.Schema | None = None) -> bytes:
    out = io.BytesIO()
    table = pa.table(rows, schema) if isinstance(rows, dict) else pa.Table.from_pylist(rows, schema)
    pq.write_table(table, out)
    return out.getvalue()


def csv_text(rows: list[Row]) -> bytes:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()


def jsonlines(rows: list[Row]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


class Outcome:
    """What preparing one data set left behind."""

    def __init__(
        self,
        model_card: ModelCard,
        files: dict[str, bytes],
        run_id: str = RUN,
        modified: dict[str, datetime] | None = None,
        now: datetime = datetime(2026, 11, 23, 6, 10, tzinfo=UTC),
    ) -> None:
        self.objects = FakeObjects({f"input/m/{name}": body for name, body in files.items()})
        self.objects.modified = {f"input/m/{name}": moment for name, moment in (modified or {}).items()}
        self.prepared: Prepared = prepare(
            model_card, run_id, "data", self.objects, mode=ServingMode.PRECOMPUTE, clock=lambda: now
        )
        self.wire = model_card.wire_format

    @property
    def quarantined(self) -> list[Row]:
        lines = self.objects.get("data", f"quarantine/m/run={RUN}/rows.jsonl").decode().splitlines()
        return [json.loads(line) for line in lines]

    @property
    def codes(self) -> dict[int, list[str]]:
        """Row number -> codes of its reasons."""
        return {row["row"]: [reason["code"] for reason in row["reasons"]] for row in self.quarantined}

    def shard(self, index: int) -> list[str]:
        return self.objects.get("data", f"work/m/{RUN}/shards/shard-{index:05d}.{self.wire}").decode().splitlines()

    def table(self, index: int) -> pa.Table:
        """Return a shard that is Parquet."""
        return pq.read_table(io.BytesIO(self.objects.get("data", f"work/m/{RUN}/shards/shard-{index:05d}.parquet")))

    def keys(self, index: int) -> list[Row]:
        body = self.objects.get("data", f"work/m/{RUN}/keys/shard-{index:05d}.parquet")
        return pq.read_table(io.BytesIO(body)).to_pylist()
