"""Which generation is visible, and the scores in it. Standard library only: this is the front door's hot path."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from handlers.contract.errors import BadKey, NotScoredYet, RequestError, StaleScores, UnknownKey
from handlers.contract.predictions import PRECOMPUTED, REFRESHED, Accepted, Instance, Key, Prediction
from handlers.contract.records import Generation, Pointer, Refreshed, Remembered
from handlers.logic.moments import parse_moment, seconds_between
from handlers.logic.ports import Clock, Records, ScoreStore, StoredScore

#: How long a warm environment may answer from a generation that is no longer the visible one.
POINTER_SECONDS = 2.0
#: What callers are told to wait where scores are too old to be served: a run takes minutes.
RETRY_STALE_SECONDS = 60
#: The words of `Door.on_stale`: what a lookup gets whose score is older than it may be.
SERVE_STALE, ASK_WHEN_STALE, REFUSE_STALE = "serve", "live", "refuse"


@dataclass
class Visible:
    """The pointer, read at most every POINTER_SECONDS, and the manifests it leads to, which never change."""

    records: Records
    monotonic: Callable[[], float]
    _pointer: Pointer | None = None
    _read_at: float = 0.0
    _manifests: dict[str, Generation] = field(default_factory=dict)

    def pointer(self) -> Pointer:
        if self._pointer is None or self.monotonic() - self._read_at >= POINTER_SECONDS:
            # The moment before reading: a pointer that moves meanwhile is not kept longer than promised.
            read_at = self.monotonic()
            self._pointer, self._read_at = self.records.pointer(), read_at
        return self._pointer

    def generation(self, generation_id: str | None) -> Generation | None:
        if generation_id is None:
            return None
        if generation_id not in self._manifests:
            found = self.records.generation(generation_id)
            if found is None:
                return None
            self._manifests = {generation_id: found}
        return self._manifests[generation_id]


Outcome = Prediction | RequestError


@dataclass(frozen=True)
class Answered:
    """One outcome per instance, in order; the metrics that they do not show; and what the log should say.

    With `accepted` the answer is a 202, and the outcomes are what was known without asking the model. `several` is for
    requests that were accepted earlier: whether the caller gets a list.
    """

    outcomes: list[Outcome]
    counts: dict[str, float] = field(default_factory=dict)
    cause: str | None = None
    accepted: Accepted | None = None
    several: bool = True


@dataclass(frozen=True)
class Door:
    """One model's front door as its predictor sees it.

    `card` reads the model's card; `live` and `later` make what is needed to ask the model. All three are called only by
    requests that need them, for they import and read what a hit does not.
    """

    stage: str
    model: str
    mode: str
    model_version: str  # deployed now; a generation may be of an earlier one
    max_staleness_seconds: int
    results_uri: str
    visible: Visible
    scores: ScoreStore
    clock: Clock
    card: Callable[[], Any]  # handlers.contract.card.ModelCard
    live: Callable[[], Any]  # handlers.logic.live.Live
    later: Callable[[], Any]  # handlers.logic.deferred.Later
    fallback: str = ""
    remember_seconds: int = 0
    max_live_per_minute: int = 0
    on_stale: str = SERVE_STALE
    overlaid: bool = False

    def is_stale(self, age_seconds: int) -> bool:
        return age_seconds > self.max_staleness_seconds


def look_up(door: Door, instances: list[Instance]) -> list[Outcome]:
    """Return the score of each instance's key, or why there is none, in order.

    Keys are compared as text. Raises NotScoredYet when there is nothing to look in.
    """
    now = door.clock()
    keys = [None if instance.key is None else str(instance.key) for instance in instances]
    wanted = [key for key in keys if key is not None]
    if door.overlaid:
        return _look_up_overlaid(door, keys, wanted, now)
    generation = scored_generation(door, now)
    if len(wanted) == 1:
        found = {wanted[0]: door.scores.get(generation, wanted[0])}
    else:
        found = dict(door.scores.get_many(generation, wanted))
    age = seconds_between(generation.as_of, now)
    return [_scored(door, key, found.get(key) if key is not None else None, generation, age, now) for key in keys]


def _look_up_overlaid(door: Door, keys: list[str | None], wanted: list[str], now: datetime) -> list[Outcome]:
    """Look up keys of which some were scored by event since: in the overlay, and in the generation if there is one."""
    try:
        generation, missing = scored_generation(door, now), None
    except NotScoredYet as error:
        generation, missing = None, error
    scores, refreshed = door.scores.get_overlaid(generation, wanted)
    age = seconds_between(generation.as_of, now) if generation else 0
    answers: list[Outcome] = []
    for key in keys:
        entry = refreshed.get(key) if key is not None else None
        if entry is not None and _counts(door, entry, generation, now):
            answers.append(_unless_refused(door, _refreshed(door, key, entry, generation, now)))
        elif generation is None:
            answers.append(missing)
        else:
            answers.append(_scored(door, key, scores.get(key) if key is not None else None, generation, age, now))
    return answers


def _counts(door: Door, entry: Refreshed, generation: Generation | None, now: datetime) -> bool:
    """Whether an entry of the overlay goes before the visible generation: its data are newer.

    Nor may it come from a version of the model that is neither deployed nor the generation's, or that the generation
    has replaced.
    """
    if entry.expires_at <= now.timestamp():
        return False
    if generation is None:
        return entry.model_version == door.model_version
    if entry.model_version != generation.model_version and (
        entry.model_version != door.model_version or parse_moment(entry.scored_at) <= parse_moment(generation.scored_at)
    ):
        return False
    return parse_moment(entry.data_as_of) > parse_moment(generation.as_of)


def _refreshed(door: Door, key: str, entry: Refreshed, generation: Generation | None, now: datetime) -> Prediction:
    typed = typed_key(key, generation.key_type if generation else door.card().key_type)
    return of_one_key(door, typed, entry, REFRESHED, entry.data_as_of, now)


def of_one_key(
    door: Door, key: Key, answer: Refreshed | Remembered, source: str, data_as_of: str, now: datetime
) -> Prediction:
    """Return a prediction that was made for one key alone, outside any generation."""
    age = seconds_between(data_as_of, now)
    return Prediction(
        model=door.model,
        mode=door.mode,
        key=key,
        prediction=answer.prediction,
        source=source,
        model_version=answer.model_version,
        generation=None,
        scored_at=answer.scored_at,
        data_as_of=data_as_of,
        age_seconds=age,
        stale=door.is_stale(age),
    )


def scored_generation(door: Door, now: datetime) -> Generation:
    """Return the generation that lookups read. Raises NotScoredYet when there is none, or it has expired."""
    generation = door.visible.generation(door.visible.pointer().scores)
    if generation is None:
        raise NotScoredYet(f"model {door.model!r} has no published scores yet", model=door.model)
    if generation.expires_at <= now.timestamp():
        raise NotScoredYet(
            f"the scores of model {door.model!r} have expired: its last generation is of {generation.scored_at}",
            model=door.model,
            generation=generation.id,
            scored_at=generation.scored_at,
        )
    return generation


def _no_score(key: str | None, generation: Generation) -> RequestError:
    if key is None:
        return BadKey("this model's predictions are looked up by key; the instance has none")
    return UnknownKey(
        f"generation {generation.id} has no score for key {key!r}",
        key=key,
        generation=generation.id,
        hint="with `mode: hybrid` the model would be asked about keys without a score, given their features; "
        "modes realtime, serverless and async ask it about every key",
    )


def _scored(
    door: Door, key: str | None, score: StoredScore | None, generation: Generation, age: int, now: datetime
) -> Outcome:
    if score is None or score.expires_at <= now.timestamp():
        return _no_score(key, generation)
    return _unless_refused(door, _prediction(door, key, score.prediction, generation, age))


def _unless_refused(door: Door, found: Prediction) -> Outcome:
    """Return a prediction that was found, or why it is not served: where the model declares that old ones must not."""
    if not found.stale or door.on_stale != REFUSE_STALE:
        return found
    return StaleScores(
        f"the data behind the scores of model {door.model!r} are {found.age_seconds:,} s old; it serves none that are "
        f"older than {door.max_staleness_seconds:,} s",
        key=found.key,
        generation=found.generation,
        data_as_of=found.data_as_of,
        age_seconds=found.age_seconds,
        max_staleness_seconds=door.max_staleness_seconds,
        retry_after_seconds=RETRY_STALE_SECONDS,
    )


def _prediction(door: Door, key: str, prediction: object, generation: Generation, age: int) -> Prediction:
    return Prediction(
        model=door.model,
        mode=door.mode,
        key=typed_key(key, generation.key_type),
        prediction=prediction,
        source=PRECOMPUTED,
        model_version=generation.model_version,
        generation=generation.id,
        scored_at=generation.scored_at,
        data_as_of=generation.as_of,
        age_seconds=age,
        stale=door.is_stale(age),
    )


def typed_key(key: str, key_type: str | None) -> Key:
    """Return a key that was found as the data has it: an integer column answers with JSON integers.

    What was found under a key that is none, such as an older entry of the overlay, answers with it as it is.
    """
    try:
        return int(key) if key_type == "integer" else key
    except ValueError:
        return key
