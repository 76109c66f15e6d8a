"""What logic needs from the outside world: Protocols that adapters fulfil and tests fake."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

from handlers.contract.records import Generation, Pointer, Refreshed, Run

if TYPE_CHECKING:
    from handlers.logic.packing import Packed  # lookups do not pack

#: Returns the present moment, aware, in UTC.
Clock = Callable[[], datetime]


class ObjectMissing(LookupError):
    """The object store has no object of that name."""


@dataclass(frozen=True)
class StoredObject:
    """One object in a listing; `size` is bytes, `modified` when it was written (UTC)."""

    key: str
    size: int
    modified: datetime


class Objects(Protocol):
    """A flat object store (S3)."""

    def list(self, bucket: str, prefix: str, after: str = "") -> Iterator[StoredObject]:
        """Yield the objects under a prefix in the order of their keys (UTF-8 bytes), those whose key is past `after`.

        What lies before is not read at all.
        """

    def get(self, bucket: str, key: str) -> bytes:
        """Return a whole object. Raises ObjectMissing."""

    def get_range(self, bucket: str, key: str, start: int, stop: int) -> bytes:
        """Return bytes `start` to `stop` (exclusive, beyond start) of an object. Raises ObjectMissing."""

    def put(self, bucket: str, key: str, body: bytes | BinaryIO) -> None:
        """Write a whole object; it appears at once or not at all."""

    def delete(self, bucket: str, keys: Sequence[str]) -> None:
        """Delete objects; names that do not exist are no error."""


class Records(Protocol):
    """Pointer, run ledger and manifests in the model's table."""

    def pointer(self) -> Pointer:
        """Return the pointer; one of revision 0 when nothing was ever published."""

    def move_pointer(self, to: Pointer, *, expected_revision: int) -> bool:
        """Write the pointer if its revision is still the expected one; return whether it was."""

    def generation(self, generation_id: str) -> Generation | None:
        """Return a manifest, or None."""

    def put_generation(self, generation: Generation) -> None:
        """Write a manifest; the same manifest again changes nothing."""

    def claim(self, run: Run) -> Run:
        """Write the run unless its id is taken; return the run that holds the id now."""

    def run(self, run_id: str) -> Run | None:
        """Return a run of the ledger, or None."""

    def newest_runs(self, limit: int) -> list[Run]:
        """Return at most so many runs of the ledger, those of the newest slots first."""

    def put_run(self, run: Run) -> None:
        """Overwrite a run of the ledger."""


@dataclass(frozen=True)
class StoredScore:
    """One score as read back. `prediction` equals, bit for bit, what was put; `expires_at` is epoch seconds."""

    prediction: Any
    expires_at: int


class ScoreStore(Protocol):
    """Scores of many generations side by side, by key as text. How they lie in the table is the store's business."""

    def put(self, generation: str, partition: int, packed: "Packed", *, expires_at: int) -> None:
        """Write one partition of the generation of that id; the same again leaves the same state."""

    def get(self, generation: Generation, key: str) -> StoredScore | None:
        """Return one score, or None. An expired score may still be returned."""

    def get_many(self, generation: Generation, keys: Sequence[str]) -> dict[str, StoredScore]:
        """Return the scores that exist, by key; `keys` may repeat."""

    def get_overlaid(
        self, generation: Generation | None, keys: Sequence[str]
    ) -> tuple[dict[str, StoredScore], dict[str, Refreshed]]:
        """Return the scores that exist, and what was scored by event, by key; the latter expired, older or not."""


class MetricSink(Protocol):
    """Where a pipeline step leaves its metrics."""

    def put(self, metrics: Mapping[str, float]) -> None:
        """Record one value per metric name of `handlers.contract.metrics`, if not now then later: nothing is raised."""
