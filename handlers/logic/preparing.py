"""Input data set to shards: list, read, check, quarantine, shard. Raises what stops a run, with names and numbers."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from handlers.contract import layout
from handlers.contract.card import KeyType, ModelCard
from handlers.contract.errors import EmptyInput, TooManyBadRows, UnreadableInput, WrongColumnType
from handlers.contract.modes import ServingMode
from handlers.contract.pipeline import Prepared
from handlers.logic.columns import Column, shown
from handlers.logic.data_times import DataTimes
from handlers.logic.moments import format_moment, utc_now
from handlers.logic.ports import Clock, ObjectMissing, Objects, StoredObject
from handlers.logic.quarantine import Quarantine
from handlers.logic.reading import READERS, Batch, Unparsed, missing_columns, read_batches
from handlers.logic.scores import partitions
from handlers.logic.sharding import ShardWriter, wire_table
from handlers.logic.validation import Checked, Reason, as_found, check, resolve_key_type

#: Reason codes that `Prepared` carries at most.
MAX_REASONS = 50

_BEFORE_ALL = datetime.min.replace(tzinfo=UTC)


def prepare(
    card: ModelCard, run_id: str, data_bucket: str, objects: Objects, *, mode: ServingMode, clock: Clock = utc_now
) -> Prepared:
    """Write a run's shards, sidecars and quarantine file, and return the counts.

    Raises EmptyInput, MissingColumns, WrongColumnType, UnreadableInput, TooManyBadRows and NoDataTime; before the
    last two the quarantine file is complete, so that it can be read. Doing it again overwrites the same files.
    """
    _clear(card.model, run_id, data_bucket, objects)
    preparation = _Preparation(card, run_id, data_bucket, objects, mode, clock())
    try:
        return preparation.run()
    finally:
        preparation.quarantine.close()


def _clear(model: str, run_id: str, bucket: str, objects: Objects) -> None:
    """Delete what an earlier attempt of this run left: a shard too many would be scored too."""
    stale = [stored.key for stored in objects.list(bucket, layout.run_prefix(model, run_id))]
    if stale:
        objects.delete(bucket, stale)


def input_objects(bucket: str, prefix: str, objects: Objects) -> Iterator[StoredObject]:
    """Yield the data files under a prefix in key order: no folder markers, nothing hidden by `_` or `.`.

    A prefix without a slash at its end is a file or a folder, never the start of a sibling's name.
    """
    folder = prefix if not prefix or prefix.endswith("/") else f"{prefix}/"
    for stored in objects.list(bucket, prefix):
        if stored.key != prefix and not stored.key.startswith(folder):
            continue
        segments = stored.key.removeprefix(folder).split("/")
        if not stored.key.endswith("/") and not any(part.startswith(("_", ".")) for part in segments):
            yield stored


@dataclass
class _Seen:
    """What is known of a data set beyond single rows."""

    key_type: KeyType | None = None
    rows: int = 0
    keys: dict[Any, int] = field(default_factory=dict)  # key -> first good row that has it
    present: dict[str, int] = field(default_factory=dict)  # column -> cells that are not empty
    unreadable: dict[str, int] = field(default_factory=dict)  # column -> cells of them that are not of its type
    members: set[str] = field(default_factory=set)  # names that rows of a format without a header had


class _Preparation:
    """One pass over a data set."""

    def __init__(
        self, card: ModelCard, run_id: str, data_bucket: str, objects: Objects, mode: ServingMode, now: datetime
    ) -> None:
        self._mode = mode
        self._times = DataTimes(card.data_time, now) if card.data_time else None
        self._card, self._run_id, self._bucket, self._objects = card, run_id, data_bucket, objects
        self._shards = ShardWriter(card, run_id, data_bucket, objects)
        self._seen = _Seen()
        self.quarantine = Quarantine()

    def run(self) -> Prepared:
        bucket, prefix = self._card.input_place(self._bucket)
        place = f"s3://{bucket}/{prefix}"
        files, modified = 0, _BEFORE_ALL
        for stored in input_objects(bucket, prefix, self._objects):
            files, modified = files + 1, max(modified, stored.modified)
            self._read_file(bucket, stored.key)
        if not files:
            raise EmptyInput(f"there is no file under {place} (names that start with `_` or `.` do not count)")
        if not self._seen.rows:
            raise EmptyInput(f"the {files} file{'s' if files > 1 else ''} under {place} hold no rows")
        self._require_columns(place)
        uri = self._write_quarantine()
        self._require_quality(uri)
        data_as_of = self._times.newest(place) if self._times else modified
        shards = self._shards.finish()
        return Prepared(
            rows_in=self._seen.rows,
            rows_valid=sum(shard["rows"] for shard in shards),
            rows_quarantined=self.quarantine.rows,
            key_type=self._seen.key_type or "string",
            quarantine_uri=uri,
            reasons=dict(self.quarantine.reasons.most_common(MAX_REASONS)),
            shards=shards,
            data_as_of=format_moment(data_as_of),
            partitions=partitions(self._mode, sum(shard["rows"] for shard in shards)),
        )

    def _read_file(self, bucket: str, key: str) -> None:
        file = f"s3://{bucket}/{key}"
        try:
            body = self._objects.get(bucket, key)
        except ObjectMissing as error:
            raise UnreadableInput(f"{file} was listed and is gone: the input changed under the run") from error
        first_row, rows = self._seen.rows + 1, 0
        for batch in read_batches(body, self._card, file):
            self._take(batch, file, first_row)
            rows += len(batch.offsets) + len(batch.unparsed)
            self._seen.rows = first_row - 1 + rows

    def _take(self, batch: Batch, file: str, first_row: int) -> None:
        for unparsed in batch.unparsed:
            self._refuse_line(unparsed, file, first_row)
        if not len(batch.offsets):
            return
        self._seen.key_type = self._seen.key_type or resolve_key_type(self._card, batch)
        try:
            checked = check(batch, self._card, self._seen.key_type or "string")
        except WrongColumnType as error:
            raise WrongColumnType(f"{file}: {error.message}", file=file, **error.details) from error
        self._note(batch, checked)
        times, problems = self._times.check(batch.columns[self._card.data_time]) if self._times else (None, [])
        checked = replace(checked, problems=checked.problems + problems)
        bad = checked.bad_rows()
        duplicates = self._claim_keys(checked.key, bad, batch, first_row)
        for index in sorted({*pc.indices_nonzero(bad).to_pylist(), *duplicates}):
            self._refuse_row(batch, checked, index, duplicates, file, first_row)
        good = pc.invert(_with(bad, duplicates))
        rows = pc.add(pa.array(batch.offsets, pa.int64()), first_row)
        table = wire_table(rows, checked.key, checked.features)
        self._shards.add(table.filter(good))
        if self._times:
            self._times.note(times.filter(good))

    def _note(self, batch: Batch, checked: Checked) -> None:
        seen = self._seen
        for name, (present, unreadable) in checked.unreadable.items():
            seen.present[name] = seen.present.get(name, 0) + present
            seen.unreadable[name] = seen.unreadable.get(name, 0) + unreadable
        key = self._card.key
        seen.present[key] = seen.present.get(key, 0) + _present(batch.columns[key])
        seen.members.update(batch.members)

    def _claim_keys(self, keys: pa.Array, bad: pa.BooleanArray, batch: Batch, first_row: int) -> dict[int, int]:
        """Return index -> first row, for rows whose key an earlier good row has. A bad row claims nothing."""
        claimed = self._seen.keys
        duplicates = {}
        for index, (key, is_bad) in enumerate(zip(keys.to_pylist(), bad.to_pylist(), strict=True)):
            row = first_row + batch.offsets[index]
            first = claimed.get(key) if is_bad else claimed.setdefault(key, row)
            if first is not None and first != row:
                duplicates[index] = first
        return duplicates

    def _refuse_line(self, unparsed: Unparsed, file: str, first_row: int) -> None:
        self.quarantine.add(
            row=first_row + unparsed.offset,
            file=file,
            line=unparsed.line,
            key=None,
            reasons=[Reason(unparsed.code, None, unparsed.message)],
            values=unparsed.text,
        )

    def _refuse_row(
        self, batch: Batch, checked: Checked, index: int, duplicates: dict[int, int], file: str, first_row: int
    ) -> None:
        key = as_found(batch.columns[self._card.key], index)
        reasons = checked.reasons(index, batch.columns)
        if index in duplicates:
            message = f"the key {shown(key)} is already that of row {duplicates[index]:,}"
            reasons.append(Reason("duplicate_key", self._card.key, message))
        self.quarantine.add(
            row=first_row + batch.offsets[index],
            file=file,
            line=batch.lines[index] if batch.lines is not None else None,
            key=key,
            reasons=reasons,
            values={name: as_found(batch.columns[name], index) for name in self._card.feature_names},
        )

    def _require_columns(self, place: str) -> None:
        """Raise for columns that no row has, or that hold nothing of their type anywhere: no row is to blame then."""
        seen = self._seen
        if not READERS[self._card.input_format].has_header:
            needed = [self._card.key, *(f.name for f in self._card.features if not f.nullable)]
            absent = [name for name in needed if not seen.present.get(name)]
            if seen.present and (
                lacking := missing_columns(absent, sorted(seen.members - {*absent}), f"every row under {place}")
            ):
                raise lacking
        wanted = {feature.name: feature.type for feature in self._card.features}
        for name, unreadable in seen.unreadable.items():
            if unreadable and unreadable == seen.present[name]:
                raise WrongColumnType(
                    f"column {name!r} holds no {wanted[name]} in any of the {seen.rows:,} rows under {place}",
                    column=name,
                    wanted=wanted[name],
                )

    def _write_quarantine(self) -> str | None:
        if not self.quarantine.rows:
            return None
        key = layout.quarantine_key(self._card.model, self._run_id)
        self._objects.put(self._bucket, key, self.quarantine.body())
        return f"s3://{self._bucket}/{key}"

    def _require_quality(self, uri: str | None) -> None:
        bad, rows, allowed = self.quarantine.rows, self._seen.rows, self._card.max_bad_fraction
        if bad <= allowed * rows and bad < rows:
            return
        top = ", ".join(f"{code} {count:,}" for code, count in self.quarantine.reasons.most_common(5))
        raise TooManyBadRows(
            f"{bad:,} of {rows:,} rows ({bad / rows:.2%}) are bad, {allowed:.2%} are allowed; "
            f"most frequent reasons: {top}; every row and reason: {uri}",
            rows_in=rows,
            rows_quarantined=bad,
            quarantine_uri=uri,
        )


def _with(mask: pa.BooleanArray, indices: dict[int, int]) -> pa.BooleanArray:
    """Return the mask with some more indices true."""
    if not indices:
        return mask
    places = pa.array(range(len(mask)), pa.int64())
    return pc.or_(mask, pc.is_in(places, value_set=pa.array(list(indices), pa.int64())))


def _present(column: Column) -> int:
    return sum(value is not None for value in column) if isinstance(column, list) else len(column) - column.null_count
