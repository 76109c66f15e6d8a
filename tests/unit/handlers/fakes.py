"""In-memory stand-ins for the ports of `handlers.logic.ports`, with the same promises."""

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO

from handlers.contract.records import Generation, Pointer, Run
from handlers.logic.ports import ObjectMissing, StoredObject, StoredScore

EVENTS = Path(__file__).resolve().parents[2] / "events"


def event(name: str, **changes: Any) -> Any:
    """Return a stored AWS event, with some of its members replaced."""
    loaded = json.loads((EVENTS / f"{name}.json").read_text(encoding="utf-8"))
    return {**loaded, **changes} if changes else loaded


class FakeObjects:
    """Objects by (bucket, key); remembers the order of writes and of deletes."""

    def __init__(self, files: Mapping[str, bytes] | None = None, bucket: str = "data") -> None:
        self.stored = {(bucket, key): body for key, body in (files or {}).items()}
        self.writes: list[str] = []
        self.deleted: list[str] = []

    def list(self, bucket: str, prefix: str) -> Iterator[StoredObject]:
        keys = sorted((key for owner, key in self.stored if owner == bucket), key=str.encode)
        return iter([StoredObject(key, len(self.stored[bucket, key])) for key in keys if key.startswith(prefix)])

    def get(self, bucket: str, key: str) -> bytes:
        if (bucket, key) not in self.stored:
            raise ObjectMissing(key)
        return self.stored[bucket, key]

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

    def put_run(self, run: Run) -> None:
        self.runs[run.id] = run


class FakeScores:
    """Scores by (generation, key), kept as JSON text as the real store does."""

    def __init__(self) -> None:
        self.stored: dict[tuple[str, str], tuple[str, int]] = {}

    def put_shard(self, generation: str, rows: Iterable[tuple[str, Any]], *, expires_at: int) -> int:
        count = 0
        for key, prediction in rows:
            self.stored[generation, key] = json.dumps(prediction, allow_nan=False), expires_at
            count += 1
        return count

    def get(self, generation: str, key: str) -> StoredScore | None:
        found = self.stored.get((generation, key))
        return StoredScore(json.loads(found[0]), found[1]) if found else None

    def get_many(self, generation: str, keys: Sequence[str]) -> dict[str, StoredScore]:
        return {key: score for key in keys if (score := self.get(generation, key))}


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
