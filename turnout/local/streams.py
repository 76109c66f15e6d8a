"""How Lambda takes records from a stream: batches, windows, retries, and what becomes of records that fail.

A `Lane` works off one shard for one event source mapping, in order; where the records lie and how the function is
called is its `Source`'s business. Rules: https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-parameters.html,
kinesis-on-failure-destination.html and services-kinesis-batchfailurereporting.html.
"""

import json
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import takewhile
from typing import Any, Protocol

MOST_BYTES = 6 * 1024 * 1024  # of one event
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0  # seconds between attempts; AWS does not say how long it waits
EXHAUSTED, TOO_OLD = "RetryAttemptsExhausted", "RecordAgeExceeded"


@dataclass(frozen=True)
class Record:
    """One record of a stream: where it lies, when it arrived (epoch seconds) and what the function is given."""

    position: Any
    sequence: str
    arrived: float
    event: dict


@dataclass(frozen=True)
class Rules:
    """What an event source mapping says about batches and failures; None means without limit."""

    batch_size: int = 100
    window_seconds: float = 0
    retries: int | None = None
    max_age_seconds: float | None = None
    bisect: bool = False
    reports_failures: bool = False

    @classmethod
    def of(cls, mapping: Mapping[str, Any]) -> "Rules":
        retries, age = int(mapping.get("MaximumRetryAttempts", -1)), int(mapping.get("MaximumRecordAgeInSeconds", -1))
        return cls(
            batch_size=int(mapping.get("BatchSize") or 100),
            window_seconds=float(mapping.get("MaximumBatchingWindowInSeconds") or 0),
            retries=None if retries < 0 else retries,
            max_age_seconds=None if age < 0 else age,
            bisect=str(mapping.get("BisectBatchOnFunctionError")).lower() == "true",
            reports_failures="ReportBatchItemFailures" in (mapping.get("FunctionResponseTypes") or []),
        )


@dataclass(frozen=True)
class Outcome:
    """What came of a call: the function's answer, its error, or that it was not called for want of capacity."""

    answer: Any = None
    error: bool = False
    throttled: bool = False


class Source(Protocol):
    """One shard as one mapping sees it."""

    def rules(self) -> Rules | None:
        """Return the mapping's rules, None when it is switched off or gone."""

    def read(self, limit: int) -> list[Record]:
        """Return the oldest records that are not done."""

    def wanted(self, records: Sequence[Record]) -> list[Record]:
        """Return those that the mapping's filters let through."""

    def invoke(self, records: Sequence[Record]) -> Outcome:
        """Call the function."""

    def done(self, record: Record) -> None:
        """Remember that this record and all before it are done."""

    def give_up(self, records: Sequence[Record], reason: str, attempts: int, error: bool) -> None:
        """Tell the on-failure destination; `error`: the function failed rather than naming failed records."""


@dataclass
class Part:
    """A batch, or what is left of one, and how often its first record has failed."""

    records: list[Record]
    failures: int = 0


class Lane:
    """Works off one shard. `step` does one thing at a time, so that whoever calls it may wait, or stop."""

    def __init__(self, source: Source, clock: Callable[[], float] = time.time) -> None:
        self.source = source
        self._clock = clock
        self._parts: deque[Part] = deque()
        self._gathering_since: float | None = None
        self._not_before = 0.0

    def step(self) -> float | None:
        """Do the next thing; return in how many seconds to come again, None when there is nothing to do."""
        rules = self.source.rules()
        if rules is None:
            self._parts.clear()
            self._gathering_since = None
            return None
        if (wait := self._not_before - self._clock()) > 0:
            return wait
        return self._work(rules) if self._parts else self._gather(rules)

    def _gather(self, rules: Rules) -> float | None:
        """Take a batch when it is full or the window has passed."""
        found = self.source.read(rules.batch_size)
        records = list(_within_limit(found))
        if not records:
            self._gathering_since = None
            return None
        if self._gathering_since is None:
            self._gathering_since = self._clock()
        wait = self._gathering_since + rules.window_seconds - self._clock()
        if wait > 0 and len(records) == len(found) < rules.batch_size:
            return wait
        self._gathering_since = None
        self._parts.append(Part(records))
        return 0.0

    def _work(self, rules: Rules) -> float:
        part = self._parts[0]
        if too_old := self._too_old(part, rules):
            self.source.give_up(too_old, TOO_OLD, part.failures, error=part.failures > 0)
            return self._advance(len(too_old))
        wanted = self.source.wanted(part.records)
        if not wanted:
            return self._advance(len(part.records))
        outcome = self.source.invoke(wanted)
        if outcome.throttled:
            return self._pause(1)
        failed = _first_failed(outcome, wanted, rules)
        if failed is None:
            return self._advance(len(part.records))
        if failed > 0:
            self._advance(part.records.index(wanted[failed]))
        return self._retry(wanted[failed:], rules, outcome.error, halve=failed == 0)

    def _too_old(self, part: Part, rules: Rules) -> list[Record]:
        if rules.max_age_seconds is None:
            return []
        oldest = self._clock() - rules.max_age_seconds
        return list(takewhile(lambda record: record.arrived < oldest, part.records))

    def _advance(self, count: int) -> float:
        """Leave the first records of the current part behind."""
        part = self._parts[0]
        self.source.done(part.records[count - 1])
        if count == len(part.records):
            self._parts.popleft()
        else:
            self._parts[0] = Part(part.records[count:])
        return 0.0

    def _retry(self, wanted: list[Record], rules: Rules, error: bool, halve: bool) -> float:
        """Decide on the current part, whose first record failed. Splitting does not count as an attempt."""
        part = self._parts[0]
        if rules.bisect and len(part.records) > 1:
            if halve:
                middle = len(part.records) // 2
                self._parts.popleft()
                self._parts.extendleft([Part(part.records[middle:]), Part(part.records[:middle])])
            return 0.0
        part.failures += 1
        if rules.retries is not None and part.failures > rules.retries:
            self.source.give_up(wanted, EXHAUSTED, part.failures, error)
            return self._advance(len(part.records))
        return self._pause(part.failures)

    def _pause(self, failures: int) -> float:
        wait = min(FIRST_PAUSE * 2 ** min(failures - 1, 10), LONGEST_PAUSE)
        self._not_before = self._clock() + wait
        return wait


def _within_limit(records: Sequence[Record]) -> Sequence[Record]:
    """Return as many records as fit into one event, at least one."""
    size = 0
    for count, record in enumerate(records):
        size += len(json.dumps(record.event, default=str))
        if size > MOST_BYTES and count:
            return records[:count]
    return records


def _first_failed(outcome: Outcome, records: Sequence[Record], rules: Rules) -> int | None:
    """Return the index of the first record to try again: 0 for all of them, None when all are done."""
    if outcome.error:
        return 0
    return first_reported(outcome.answer, [record.sequence for record in records]) if rules.reports_failures else None


def first_reported(answer: Any, sequences: Sequence[str]) -> int | None:
    """Return the index of the first sequence number that a ReportBatchItemFailures answer names.

    An answer that cannot be understood, or names what was not in the batch, fails the whole batch.
    """
    if not answer:
        return None
    if isinstance(answer, str):
        try:
            answer = json.loads(answer)
        except ValueError:
            return 0
    if not isinstance(answer, dict):
        return 0
    indices = {sequence: index for index, sequence in enumerate(sequences)}
    failures = answer.get("batchItemFailures") or []
    return min(
        (indices.get(item.get("itemIdentifier"), 0) if isinstance(item, dict) else 0 for item in failures),
        default=None,
    )


def failure_record(
    stream: str,
    shard: str,
    stream_arn: str,
    function: Mapping[str, str],
    records: Sequence[Record],
    condition: str,
    attempts: int,
    error: bool,
    request_id: str,
    now: float,
) -> dict[str, Any]:
    """Return what an on-failure destination is sent.

    `stream` is "KinesisBatchInfo" or "DDBStreamBatchInfo"; `function` has FunctionArn and Version.
    """
    failed = {"functionError": "Unhandled"} if error else {}
    return {
        "requestContext": {
            "requestId": request_id,
            "functionArn": function["FunctionArn"],
            "condition": condition,
            "approximateInvokeCount": attempts,
        },
        "responseContext": {"statusCode": 200, "executedVersion": function.get("Version") or "$LATEST", **failed},
        "version": "1.0",
        "timestamp": _iso(now),
        stream: {
            "shardId": shard,
            "startSequenceNumber": records[0].sequence,
            "endSequenceNumber": records[-1].sequence,
            "approximateArrivalOfFirstRecord": _iso(records[0].arrived),
            "approximateArrivalOfLastRecord": _iso(records[-1].arrived),
            "batchSize": len(records),
            "streamArn": stream_arn,
        },
    }


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
