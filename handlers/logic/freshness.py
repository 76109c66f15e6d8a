"""How old what is visible is, again and again: the metric that the alarm reads, and the run that age itself starts.

Age counts from the data's own time. Where nothing is visible yet it counts from the creation of the model's pipeline:
a model that never came to have results rings as late as one whose results grew old, and not on its first day. Where
DynamoDB has deleted what was visible, with its time, it counts from the slot of that run.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol, TypedDict

from handlers.contract import metrics
from handlers.contract.modes import ServingMode
from handlers.contract.records import Generation, Pointer, Run
from handlers.logic.moments import format_moment, parse_moment, seconds_between
from handlers.logic.ports import Clock, MetricSink, Records
from handlers.logic.run_identity import slot_of
from handlers.logic.scores import KEEPS_SCORES

#: The word of a run's `trigger` where the age of the data started it.
TRIGGER = "age"
#: Pause after a run that age started and that left the data as old as they were; each further one doubles it.
FIRST_PAUSE, LONGEST_PAUSE = timedelta(minutes=15), timedelta(days=1)
#: Runs of the ledger that are looked at for earlier tries.
RUNS_LOOKED_AT = 100


class Pipeline(Protocol):
    """A model's state machine."""

    def created(self) -> datetime:
        """Return when it was made."""

    def is_running(self) -> bool:
        """Say whether an execution is under way."""

    def start(self, name: str, event: object) -> str:
        """Start an execution and return its ARN; a name that was taken leads to the execution that has it."""


class Look(TypedDict):
    """What one look found. `started` is the ARN of the execution that it started, `why` says why it did or did not."""

    generation: str | None
    data_as_of: str | None
    age_seconds: int
    started: str | None
    why: str


@dataclass(frozen=True)
class Freshness:
    """Looks at one model. `when_older_than_seconds` of 0: age starts no runs."""

    mode: ServingMode
    when_older_than_seconds: int
    records: Records
    pipeline: Pipeline
    metric_sink: MetricSink
    clock: Clock

    def look(self, slot: str) -> Look:
        """Report the age, and start a run if it is time to. `slot` is when the look was due: twice is once."""
        pointer = self.records.pointer()
        visible_id = pointer.scores if KEEPS_SCORES[self.mode] else pointer.results
        visible = self.records.generation(visible_id) if visible_id else None
        age = seconds_between(self._since(visible_id, visible), self.clock())
        self.metric_sink.put({metrics.DATA_AGE_SECONDS: age})
        why_not = self._why_not(pointer, visible_id, visible)
        started = self._start(slot) if why_not is None else None
        return Look(
            generation=visible.id if visible else None,
            data_as_of=visible.as_of if visible else None,
            age_seconds=age,
            started=started,
            why=why_not or self._why(visible_id, visible),
        )

    def _since(self, visible_id: str | None, visible: Generation | None) -> str:
        if visible is not None:
            return visible.as_of
        return format_moment(slot_of(visible_id) if visible_id else self.pipeline.created())

    def _why_not(self, pointer: Pointer, visible_id: str | None, visible: Generation | None) -> str | None:
        """Return why no run is to be started, or None where one is."""
        if not self.when_older_than_seconds:
            return "the model does not want runs by age"
        if visible_id is None:
            return "nothing is visible yet, so there are no data that could be too old"
        too_old_since = self._too_old_since(visible_id, visible)
        if self._answers(visible):
            if self.clock() <= too_old_since:
                return "the data are young enough"
            if pointer.held == visible_id:
                return f"somebody went back to generation {visible_id}, and only a run of another trigger ends that"
        if self.pipeline.is_running():
            return "a run is under way"
        return self._pause(self._tries(too_old_since))

    def _why(self, visible_id: str | None, visible: Generation | None) -> str:
        if self._answers(visible):
            return f"the data are older than {self.when_older_than_seconds} s"
        return f"generation {visible_id} has expired"

    def _answers(self, visible: Generation | None) -> bool:
        return visible is not None and visible.expires_at > self.clock().timestamp()

    def _too_old_since(self, visible_id: str, visible: Generation | None) -> datetime:
        """Return when what is visible became too old; what has expired answers nobody, however young its data are."""
        if visible is None:
            return slot_of(visible_id)
        expired = datetime.fromtimestamp(visible.expires_at, UTC)
        return min(parse_moment(visible.as_of) + timedelta(seconds=self.when_older_than_seconds), expired)

    def _tries(self, since: datetime) -> list[Run]:
        """Return the runs that age has started since then, newest first: none of them made the data any newer."""
        runs = self.records.newest_runs(RUNS_LOOKED_AT)
        return [run for run in runs if run.trigger == TRIGGER and parse_moment(run.slot) >= since]

    def _pause(self, tries: list[Run]) -> str | None:
        if not tries:
            return None
        pause = min(FIRST_PAUSE * 2 ** min(len(tries) - 1, 10), LONGEST_PAUSE)
        until = parse_moment(tries[0].slot) + pause
        if self.clock() >= until:
            return None
        return f"{len(tries)} runs by age left the data as old as they were; the next is due at {format_moment(until)}"

    def _start(self, slot: str) -> str:
        moment = parse_moment(slot)
        event = {"trigger": TRIGGER, "slot": format_moment(moment)}
        return self.pipeline.start(f"{TRIGGER}-{moment:%Y%m%dT%H%M%SZ}", event)
