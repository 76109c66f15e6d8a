"""The end of a run: verified and visible at once, or recorded as failed with everything left as it was."""

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from handlers.contract import layout, metrics
from handlers.contract.card import ModelCard
from handlers.contract.errors import QualityFailed, VerificationFailed
from handlers.contract.modes import ServingMode
from handlers.contract.pipeline import Conclude, Concluded, Prepared
from handlers.contract.records import Generation, Pointer, Run
from handlers.logic.moments import format_moment, parse_moment, seconds_between
from handlers.logic.ports import Clock, MetricSink, ObjectMissing, Objects, Records
from handlers.logic.profiles import Profile, merge
from handlers.logic.quality import compare, faults
from handlers.logic.scores import KEEPS_SCORES
from handlers.logic.verification import verify

#: Writers that may move the pointer while one run tries to: a rollback, a run that overlaps.
POINTER_ATTEMPTS = 5
#: Receipts read at the same time; 3,000 of them, of 100 million rows, are there in seconds.
READERS = 16
#: Characters of a failure's cause in the ledger (Step Functions' own limit is 32,768).
MAX_CAUSE = 4_000


class PointerContended(RuntimeError):
    """The pointer changed under every attempt to move it; trying again later helps."""


@dataclass(frozen=True)
class Conclusion:
    """Concludes runs of one model. Doing it twice for a run ends in the same state."""

    card: ModelCard
    mode: ServingMode
    bucket: str
    objects: Objects
    records: Records
    metric_sink: MetricSink
    clock: Clock

    def conclude(self, event: Conclude) -> Concluded:
        """Record a run's outcome. Raises VerificationFailed or QualityFailed, after which nothing of it is visible.

        Both are raised again however often it is done, unless receipts that were missing have come.
        """
        run = self.records.run(event["run_id"]) if event.get("run_id") else None
        if run is not None and run.status == "succeeded":
            return self._concluded(run.id, run.status)
        return OUTCOMES[event["outcome"]](self, event, run)

    def _succeed(self, event: Conclude, run: Run | None) -> Concluded:
        generation = self._recorded(event["run_id"], run) or self._record(event)
        self._make_visible(generation)
        return self._end(event, run, generation)

    def _end(self, event: Conclude, run: Run | None, generation: Generation) -> Concluded:
        """Count a run whose generation has been shown, and record that it succeeded."""
        now = self.clock()
        seconds = seconds_between(event["started_at"], now)
        # Metrics before the ledger: a retry in between counts twice, the other way round not at all.
        self.metric_sink.put(
            {
                metrics.RUN_SUCCEEDED: 1,
                metrics.ROWS_IN: generation.rows_in,
                metrics.ROWS_SCORED: generation.rows_scored,
                metrics.ROWS_QUARANTINED: generation.rows_quarantined,
                metrics.ROWS_PUBLISHED: generation.rows_published,
                metrics.RUN_SECONDS: seconds,
            }
        )
        if run is not None:
            report = _report(event.get("prepared"), generation, seconds)
            ended = replace(run, status="succeeded", ended_at=format_moment(now), error=None, cause=None, report=report)
            self.records.put_run(ended)
        return self._concluded(generation.id, "succeeded")

    def _fail(self, event: Conclude, run: Run | None) -> Concluded:
        """Record a failure; also one that happened before the run had an id, of which only the metric tells.

        A run that readers have seen has not failed, though its last step could not say so: it ends as one that did.
        """
        # A duplicate that fails must not mark the run of the execution that owns the slot.
        owner = run if run is not None and run.execution == event["execution"] else None
        if owner is not None and (shown := self._shown(owner.id)) is not None:
            return self._end(event, owner, shown)
        self.metric_sink.put({metrics.RUN_FAILED: 1})
        if owner is not None:
            self.records.put_run(
                replace(
                    owner,
                    status="failed",
                    ended_at=format_moment(self.clock()),
                    error=event.get("error") or "unknown",
                    cause=readable_cause(event.get("cause") or ""),
                    report={"prepared": event["prepared"]} if event.get("prepared") else None,
                )
            )
        return Concluded(run_id=event.get("run_id") or "", status="failed", visible=False)

    def _shown(self, run_id: str) -> Generation | None:
        """Return a run's generation if the pointer has come to it."""
        pointer = self.records.pointer()
        seen = (pointer.results, pointer.scores, pointer.previous_scores)
        return self.records.generation(run_id) if run_id in seen else None

    def _concluded(self, run_id: str, status: str) -> Concluded:
        pointer = self.records.pointer()
        return Concluded(run_id=run_id, status=status, visible=run_id in (pointer.results, pointer.scores))

    def _visible(self) -> Generation | None:
        """Return the generation that readers of this mode have now, unless it has expired."""
        pointer = self.records.pointer()
        visible_id = pointer.scores if KEEPS_SCORES[self.mode] else pointer.results
        visible = self.records.generation(visible_id) if visible_id else None
        return visible if visible and visible.expires_at > self.clock().timestamp() else None

    def _recorded(self, run_id: str, run: Run | None) -> Generation | None:
        """Return the manifest of a run that was found good before, or accepted by somebody: it may have been seen
        since, so it is not judged again, least of all beside one that came after it. Raises VerificationFailed where
        its scores are going away or gone: an execution was redriven after somebody deleted its generation.
        """
        there = self.records.generation(run_id)
        for record in (there, run):
            if record and record.deleting:
                raise VerificationFailed(f"generation {run_id} is being deleted since {record.deleting}")
        return there if there and there.refused is None else None

    def _record(self, event: Conclude) -> Generation:
        """Return the generation beside the visible one, in the ledger. Raises VerificationFailed or QualityFailed, once
        the manifest says why: what is refused can be looked at and deleted and, if it counts up, accepted all the same.
        """
        generation = self._verified(event)
        visible = self._visible()
        compared = replace(generation, compared=compare(generation, visible).to_body() if visible else None)
        found = "; ".join(faults(self.card.quality, compared, visible))
        self.records.put_generation(replace(compared, refused=found or None))
        if found:
            raise QualityFailed(found)
        return compared

    def _verified(self, event: Conclude) -> Generation:
        prepared, published, packed = event["prepared"], event["published"], event["packed"]
        receipts = self._receipts(event["run_id"], prepared)
        try:
            verify(prepared, published, packed, receipts, self.mode)
        except VerificationFailed as error:
            refused = replace(self._manifest(event, ()), refused=error.message[:MAX_CAUSE], miscounted=True)
            self.records.put_generation(refused)
            raise
        return self._manifest(event, receipts)

    def _receipts(self, run_id: str, prepared: Prepared) -> list[dict[str, Any]]:
        """Return the receipts that are there, those of shards first; verification says which is not."""
        model = self.card.model
        keys = [layout.receipt_key(model, run_id, shard["index"]) for shard in prepared["shards"]]
        keys += [layout.partition_receipt_key(model, run_id, partition) for partition in prepared["partitions"]]
        with ThreadPoolExecutor(READERS, thread_name_prefix="receipts") as pool:
            return [receipt for receipt in pool.map(self._receipt, keys) if receipt is not None]

    def _receipt(self, key: str) -> dict[str, Any] | None:
        try:
            return json.loads(self.objects.get(self.bucket, key))
        except ObjectMissing:
            return None

    def _manifest(self, event: Conclude, receipts: Sequence[dict[str, Any]]) -> Generation:
        prepared, published = event["prepared"], event["published"]
        packed = sorted(event["packed"], key=lambda part: part["partition"])
        scored_at = parse_moment(event["scored_at"])
        prefix = layout.results_prefix(self.card.model, event["run_id"], scored_at.strftime("%Y-%m-%d"))
        return Generation(
            id=event["run_id"],
            model_version=event["model_version"],
            scored_at=format_moment(scored_at),
            published_at=format_moment(self.clock()),
            rows_in=prepared["rows_in"],
            rows_scored=sum(shard["rows_scored"] for shard in published),
            rows_quarantined=prepared["rows_quarantined"],
            rows_published=sum(part["rows_published"] for part in packed),
            key_type=prepared["key_type"],
            results_uri=f"s3://{self.bucket}/{prefix}",
            quarantine_uri=prepared.get("quarantine_uri"),
            expires_at=int(scored_at.timestamp()) + event["retention_seconds"],
            buckets=[part["buckets"] for part in packed] or None,
            data_as_of=prepared.get("data_as_of"),
            profile=_profile(receipts),
            singles=sum(part["singles"] for part in packed) if all("singles" in part for part in packed) else None,
        )

    def _make_visible(self, generation: Generation) -> None:
        for _ in range(POINTER_ATTEMPTS):
            pointer = self.records.pointer()
            moved = self._moved(pointer, generation)
            if moved is None or self.records.move_pointer(moved, expected_revision=pointer.revision):
                return
        raise PointerContended(f"generation {generation.id}: the pointer moved {POINTER_ATTEMPTS} times meanwhile")

    def _moved(self, pointer: Pointer, generation: Generation) -> Pointer | None:
        """Return the pointer that shows the generation, or None when there is nothing (newer) to show."""
        moved = pointer
        if self._is_newer(generation, pointer.results):
            moved = replace(moved, results=generation.id)
        # A generation that a rollback has set aside stays there, even if its conclusion is repeated.
        set_aside = pointer.previous_scores == generation.id
        if KEEPS_SCORES[self.mode] and not set_aside and self._is_newer(generation, pointer.scores):
            moved = replace(moved, scores=generation.id, previous_scores=pointer.scores)
        return None if moved == pointer else replace(moved, revision=pointer.revision + 1)

    def _is_newer(self, generation: Generation, visible_id: str | None) -> bool:
        if visible_id is None:
            return True
        if visible_id == generation.id:
            return False
        visible = self.records.generation(visible_id)
        return visible is None or parse_moment(generation.scored_at) >= parse_moment(visible.scored_at)


OUTCOMES = {"succeeded": Conclusion._succeed, "failed": Conclusion._fail}


def _report(prepared: Prepared | None, generation: Generation, seconds: int) -> dict[str, Any]:
    """Return what the ledger tells of a run that succeeded; without `prepared` nothing of reasons and shards."""
    of_input = {"reasons": prepared["reasons"], "shards": len(prepared["shards"])} if prepared else {}
    return {
        "rows_in": generation.rows_in,
        "rows_scored": generation.rows_scored,
        "rows_quarantined": generation.rows_quarantined,
        "rows_published": generation.rows_published,
        **of_input,
        "results_uri": generation.results_uri,
        "quarantine_uri": generation.quarantine_uri,
        "scored_at": generation.scored_at,
        "seconds": seconds,
    }


def _profile(receipts: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """Return the profile of all shards; None where some have none, because older code published them."""
    bodies = [receipt.get("profile") for receipt in receipts if "index" in receipt]
    return merge([Profile.from_body(body) for body in bodies]).to_body() if bodies and all(bodies) else None


def readable_cause(cause: str) -> str:
    """Return the sentence inside Step Functions' `Cause`: Lambda's message or the transform job's reason, else all."""
    try:
        parsed = json.loads(cause)
    except ValueError:
        parsed = None
    if isinstance(parsed, dict) and "errorMessage" in parsed:
        cause = str(parsed["errorMessage"])
    elif isinstance(parsed, dict) and "TransformJobName" in parsed:
        reason = parsed.get("FailureReason") or "no reason given"
        cause = f"transform job {parsed['TransformJobName']} {parsed.get('TransformJobStatus', 'Failed')}: {reason}"
    return cause[:MAX_CAUSE]
