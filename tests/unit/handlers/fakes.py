"""In-memory stand-ins for the ports of `handlers.logic.ports`, with the same promises."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO

from handlers.contract.records import Generation, Pointer, Refreshed, Run
from handlers.logic.buckets import ABSENT, ELSEWHERE, find, key_bytes, place
from handlers.logic.packing import Packed
from handlers.logic.ports import ObjectMissing, StoredObject, StoredScore

EVENTS = Path(__file__).resolve().parents[2] / "events"


def event(name: str, **changes: Any) -> Any:
    """Return a stored AWS event, with some of its members replaced."""
    loaded = json.loads((EVENTS / f"{name}.json").read_text(encoding="utf-8"))
    return {**loaded, **changes} if changes else loaded


class FakeObjects:
    """Objects by (bucket, key), all of 05:00 but those in `modified`; remembers the order of writes and of deletes.

    `listed` is how many objects were listed.
    """

    def __init__(self, files: Mapping[str, bytes] | None = None, bucket: str = "data") -> None:
        self.stored = {(bucket, key): body for key, body in (files or {}).items()}
        self.modified: dict[str, datetime] = {}
        self.writes: list[str] = []
        self.deleted: list[str] = []
        self.listed = 0

    def list(self, bucket: str, prefix: str, after: str = "") -> Iterator[StoredObject]:
        keys = sorted((key for owner, key in self.stored if owner == bucket), key=str.encode)
        found = [key for key in keys if key.startswith(prefix) and key.encode() > after.encode()]
        self.listed += len(found)
        return iter([self._listed(bucket, key) for key in found])

    def _listed(self, bucket: str, key: str) -> StoredObject:
        modified = self.modified.get(key, datetime(2026, 11, 23, 5, tzinfo=UTC))
        return StoredObject(key, len(self.stored[bucket, key]), modified)

    def get(self, bucket: str, key: str) -> bytes:
        if (bucket, key) not in self.stored:
            raise ObjectMissing(key)
        return self.stored[bucket, key]

    def get_range(self, bucket: str, key: str, start: int, stop: int) -> bytes:
        return self.get(bucket, key)[start:stop]

    def put(self, bucket: str, key: str, body: bytes | BinaryIO) -> None:
        self.stored[bucket, key] = body if isinstance(body, bytes) else body.read()
        self.writes.append(key)

    def delete(self, bucket: str, keys: Sequence[str]) -> None:
        for key in keys:
            self.stored.pop((bucket, key), None)
        self.deleted += keys


class FakeRecords:
    """Records of one table; `before_move` is called before each attempt to move the pointer (a race)."""

    def __init__(self) -> None:
        self.current = Pointer()
        self.generations: dict[str, Generation] = {}
        self.runs: dict[str, Run] = {}
        self.pointer_reads = 0
        self.before_move: list[Any] = []

    def pointer(self) -> Pointer:
        self.pointer_reads += 1
        return self.current

    def move_pointer(self, to: Pointer, *, expected_revision: int) -> bool:
        if self.before_move:
            self.before_move.pop(0)(self)
        if self.current.revision != expected_revision:
            return False
        self.current = to
        return True

    def generation(self, generation_id: str) -> Generation | None:
        return self.generations.get(generation_id)

    def put_generation(self, generation: Generation) -> None:
        self.generations[generation.id] = generation

    def claim(self, run: Run) -> Run:
        return self.runs.setdefault(run.id, run)

    def run(self, run_id: str) -> Run | None:
        return self.runs.get(run_id)

    def newest_runs(self, limit: int) -> list[Run]:
        return [self.runs[run_id] for run_id in sorted(self.runs, reverse=True)[:limit]]

    def put_run(self, run: Run) -> None:
        self.runs[run.id] = run


class FakeScores:
    """A store that forgets nothing: the partitions that were put, by generation, and scores put one by one."""

    def __init__(self) -> None:
        self.partitions: dict[tuple[str, int], tuple[Packed, int]] = {}
        self.stored: dict[tuple[str, str], StoredScore] = {}
        self.overlay: dict[str, Refreshed] = {}

    def put_one_by_one(self, generation: str, scores: Mapping[str, Any], *, expires_at: int) -> None:
        self.stored |= {(generation, key): StoredScore(value, expires_at) for key, value in scores.items()}

    def put(self, generation: str, partition: int, packed: Packed, *, expires_at: int) -> None:
        self.partitions[generation, partition] = packed, expires_at
        self.put_one_by_one(generation, dict(packed.singles), expires_at=expires_at)

    def get(self, generation: Generation, key: str) -> StoredScore | None:
        at = place(key_bytes(key), generation.buckets or ())
        if at is None:
            return self.stored.get((generation.id, key))
        packed, expires_at = self.partitions[generation.id, at[0]]
        prediction = find(dict(packed.bodies)[at[1]], key_bytes(key)) if at[1] in dict(packed.bodies) else ABSENT
        if prediction is ELSEWHERE:
            return self.stored[generation.id, key]
        return None if prediction is ABSENT else StoredScore(prediction, expires_at)

    def get_many(self, generation: Generation, keys: Sequence[str]) -> dict[str, StoredScore]:
        return {key: score for key in keys if (score := self.get(generation, key))}

    def get_overlaid(
        self, generation: Generation | None, keys: Sequence[str]
    ) -> tuple[dict[str, StoredScore], dict[str, Refreshed]]:
        scores = self.get_many(generation, keys) if generation else {}
        return scores, {key: self.overlay[key] for key in keys if key in self.overlay}


class FakeMetrics:
    def __init__(self) -> None:
        self.sent: list[dict[str, float]] = []

    def put(self, metrics: Mapping[str, float]) -> None:
        self.sent.append(dict(metrics))


class RealClock:
    """Real time, for tests with threads."""

    def __call__(self) -> datetime:
        return datetime.now(UTC)

    monotonic = staticmethod(time.monotonic)
    advance = staticmethod(time.sleep)


class FakeClock:
    """A clock that stands still until it is moved."""

    def __init__(self, now: datetime = datetime(2026, 11, 23, 6, 10, tzinfo=UTC)) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def monotonic(self) -> float:
        return self.now.timestamp()

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
