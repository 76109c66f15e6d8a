"""Good rows to shards: what Batch Transform reads, beside a sidecar that remembers each row's key."""

import io
import json
from collections.abc import Callable, Iterator

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from handlers.contract import layout
from handlers.contract.card import ModelCard, WireFormat
from handlers.contract.errors import TooManyRows
from handlers.contract.pipeline import Shard
from handlers.logic.ports import Objects
from handlers.logic.rows import named_features

MAX_SHARD_ROWS = 50_000
#: Below this many rows a further shard costs more than a further instance saves.
MIN_SHARD_ROWS = 1_000
#: Formats that Batch Transform does not cut: a shard is one request, whole.
WHOLE: tuple[WireFormat, ...] = ("parquet",)
#: Bytes in Batch Transform's megabyte, by the smaller of the two readings of it.
MEGABYTE = 10**6
#: Rows that may wait in memory until it is clear that there are enough for full shards.
BUFFERED_ROWS = 1_000_000
#: What one execution of the state machine carries: 25,000 events, of which a shard makes seven, and 256 KB of state, of
#: which it takes some 70 bytes (tests/synth/test_pipeline_definition.py adds them up).
MAX_SHARDS = 3_100

ROW, KEY = "row", "key"  # columns of a sidecar


def wire_table(row: pa.Array, key: pa.Array, features: dict[str, pa.Array]) -> pa.Table:
    """Return a table with the row number, the key, then the features by position (their names may be any text)."""
    arrays = [row, key, *features.values()]
    return pa.Table.from_arrays(arrays, names=[ROW, KEY, *(str(place) for place in range(len(features)))])


def to_csv(rows: pa.Table, card: ModelCard) -> bytes:
    """Return lines `row,[key,]feature,...` without a header: null is empty, booleans are 0 and 1.

    Numbers are written in the shortest form that reads back as the same number; text is quoted.
    """
    names = [name for name in rows.column_names if name != KEY or card.pass_key_to_model]
    columns = [_without_booleans(rows[name]) for name in names]
    out = io.BytesIO()
    options = pyarrow.csv.WriteOptions(include_header=False, quoting_style="needed")
    pyarrow.csv.write_csv(pa.Table.from_arrays(columns, names=names), out, options)
    return out.getvalue()


def _without_booleans(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.cast(pa.int8()) if pa.types.is_boolean(column.type) else column


def to_jsonlines(rows: pa.Table, card: ModelCard) -> bytes:
    """Return lines `{"row": n, "features": {...}}`; null features are null, not left out."""
    names = card.feature_names
    keys = rows[KEY].to_pylist()
    columns = [rows[place + 2].to_pylist() for place in range(len(names))]
    lines = []
    for row, key, values in zip(rows[ROW].to_pylist(), keys, zip(*columns, strict=True), strict=True):
        features = named_features(card, key, dict(zip(names, values, strict=True)))
        lines.append(json.dumps({"row": row, "features": features}, allow_nan=False))
    return ("\n".join(lines) + "\n").encode()


def to_parquet(rows: pa.Table, card: ModelCard) -> bytes:
    """Return a file with the column `row`, `key` where the model is given it, and the features by name and type.

    Only text gets dictionaries: those of numbers cost five times the CPU and, where values differ, more bytes.
    """
    carried = [ROW, KEY] if card.pass_key_to_model else [ROW]
    columns = [*(rows[name] for name in carried), *rows.columns[2:]]
    table = pa.Table.from_arrays(columns, names=[*carried, *card.feature_names])
    texts = [field.name for field in table.schema if pa.types.is_string(field.type)]
    out = io.BytesIO()
    pq.write_table(table, out, use_dictionary=texts)
    return out.getvalue()


#: Wire format -> bytes of a shard; the format's name is the shard's file extension.
WIRE: dict[WireFormat, Callable[[pa.Table, ModelCard], bytes]] = {
    "csv": to_csv,
    "jsonlines": to_jsonlines,
    "parquet": to_parquet,
}


class ShardWriter:
    """Takes good rows in order and writes them as shards of even size.

    There are at least two shards per instance where each can have MIN_SHARD_ROWS rows, and none has
    more than MAX_SHARD_ROWS. Rows wait in memory (at most BUFFERED_ROWS) until both can be promised.
    Shards grow with what came before them, so that even 100 instances and 100 million rows stay below MAX_SHARDS.
    A shard that is sent whole and would be larger than the payload becomes several, down to single rows; a single row
    that is larger stays, and Batch Transform refuses it as it does a line.
    """

    def __init__(self, card: ModelCard, run_id: str, bucket: str, objects: Objects) -> None:
        self._card, self._run_id, self._bucket, self._objects = card, run_id, bucket, objects
        self._least = 2 * card.instance_count
        self._most_bytes = card.max_payload_mb * MEGABYTE if card.wire_format in WHOLE else None
        self._full = max(MIN_SHARD_ROWS, min(MAX_SHARD_ROWS, BUFFERED_ROWS // self._least))
        self._waiting: list[pa.Table] = []
        self._waiting_rows = self._written_rows = 0
        self.shards: list[Shard] = []

    @property
    def rows(self) -> int:
        """Rows taken so far, written or waiting."""
        return self._written_rows + self._waiting_rows

    def add(self, rows: pa.Table) -> None:
        """Take rows as `wire_table` lays them out; write when there are enough for full shards to the end.

        Raises TooManyRows.
        """
        self._waiting.append(rows)
        self._waiting_rows += len(rows)
        if self._waiting_rows >= (self._least + 1) * self._full:
            waiting = self._take_waiting()
            size = shard_rows(self._full, self._least, self._written_rows)
            ready = len(waiting) // size - 1
            for shard in _even(waiting.slice(0, ready * size), ready):
                self._write(shard)
            self._keep(waiting.slice(ready * size))

    def finish(self) -> list[Shard]:
        """Write what waits and return all shards. Raises TooManyRows."""
        waiting = self._take_waiting()
        full = -(-len(waiting) // shard_rows(self._full, self._least, self._written_rows))
        count = min(max(self._least - len(self.shards), full), max(full, len(waiting) // MIN_SHARD_ROWS, 1))
        for shard in _even(waiting, count) if len(waiting) else ():
            self._write(shard)
        return self.shards

    def _take_waiting(self) -> pa.Table:
        waiting = pa.concat_tables(self._waiting) if self._waiting else pa.table({})
        self._waiting, self._waiting_rows = [], 0
        return waiting

    def _keep(self, rows: pa.Table) -> None:
        self._waiting, self._waiting_rows = [rows], len(rows)

    def _write(self, rows: pa.Table) -> None:
        model, wire = self._card.model, self._card.wire_format
        body = WIRE[wire](rows, self._card)
        if self._most_bytes is not None and len(body) > self._most_bytes and len(rows) > 1:
            for part in _even(rows, min(len(rows), -(-len(body) // self._most_bytes))):
                self._write(part)
            return
        index = len(self.shards)
        if index == MAX_SHARDS:
            raise TooManyRows(
                f"{self._written_rows:,} rows fill the {MAX_SHARDS:,} shards of one run, and there are more"
            )
        sidecar = io.BytesIO()
        pq.write_table(rows.select([ROW, KEY]), sidecar)
        self._objects.put(self._bucket, layout.keys_key(model, self._run_id, index), sidecar.getvalue())
        shard_key = layout.shard_key(model, self._run_id, index, wire)
        self._objects.put(self._bucket, shard_key, body)
        self.shards.append(Shard(index=index, rows=len(rows)))
        self._written_rows += len(rows)


def shard_rows(full: int, least: int, written: int) -> int:
    """Return the rows of the next shards: one in `least` of what is `written`, so that none delays an instance much."""
    return min(MAX_SHARD_ROWS, max(full, written // least))


def _even(rows: pa.Table, count: int) -> Iterator[pa.Table]:
    """Yield `count` slices whose sizes differ by at most one."""
    size, larger = divmod(len(rows), count)
    start = 0
    for place in range(count):
        length = size + (place < larger)
        yield rows.slice(start, length)
        start += length
