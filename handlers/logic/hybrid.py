"""Mode hybrid beyond the lookup: what is remembered, and one live call per key however many ask at once.

Who writes FLIGHT#<key> first leads: it asks the model, remembers the answer and removes the flight. The others wait
for the answer, for the leader's failure (which is theirs too, but for a refusal: their features may be better), or
for the end of the lease; then the next one leads. All keys that a request leads go to the model in one call.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field

from handlers.contract import layout, metrics
from handlers.contract.errors import (
    LiveLimitReached,
    ModelRefused,
    ModelTimeout,
    RequestError,
    StoreUnavailable,
    Throttled,
    UnknownKey,
)
from handlers.contract.predictions import REMEMBERED, Instance, Prediction
from handlers.contract.records import Flight, Generation, Remembered
from handlers.logic.feature_checks import typed_key
from handlers.logic.live import LEAST_REMEMBERED_SECONDS, Live, ask, how_to_send, refused, take_turn
from handlers.logic.lookup import SERVE_STALE, Answered, Door, Outcome, of_one_key
from handlers.logic.moments import milliseconds, seconds_between
from handlers.logic.requests import Asked

#: Longer than any request lives: a lease that ends belongs to a leader that died.
LEASE_MILLISECONDS = 30_000
#: An HTTP API answers within 30 s. A call may take 24 s of them, so after these few nobody begins one.
LATEST_START_SECONDS = 4.0
#: When a request that waits for another's answer gives up.
LONGEST_WAIT_SECONDS = 26.0
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 0.5


def answer_misses(door: Door, asked: Asked, outcomes: list[Outcome], missed: list[int]) -> Answered:
    """Answer what the visible generation does not: remembered, or by the model. `missed` are places in `outcomes`.

    Predictions among them are too old: they are answered after all where neither memory nor model gives a newer one.
    """
    live = door.live()
    stale = {place: outcomes[place] for place in missed if isinstance(outcomes[place], Prediction)}
    misses = _Misses(door, live, asked, outcomes, stale)
    misses.counts[metrics.MISSES] = sum(
        asked.instances[place].key is not None for place in missed if place not in misses.stale
    )
    wanted = misses.refuse(misses.recall(missed))
    if not wanted:
        return misses.answered()
    if live.family.later:
        from handlers.logic.deferred import accept_misses

        misses.serve_stale()
        try:
            accepted, fresh = accept_misses(door, asked, misses.outcomes, wanted, misses.key_type)
        except RequestError as error:
            if not stale:
                raise
            misses.fail(wanted, error)
            return misses.answered()
        misses.counts[metrics.LIVE_CALLS] += fresh
        return Answered(misses.outcomes, misses.counts, accepted=accepted)
    misses.ask(wanted)
    return misses.answered()


@dataclass
class _Misses:
    """One request's misses on their way to answers, each written into its place."""

    door: Door
    live: Live
    asked: Asked
    outcomes: list[Outcome]
    stale: dict[int, Outcome]  # place -> the score there, which is too old
    counts: dict[str, float] = field(default_factory=lambda: {metrics.REMEMBERED: 0, metrics.LIVE_CALLS: 0})
    cause: str | None = None

    def __post_init__(self) -> None:
        self.began = self.live.monotonic()
        self.leader = self.live.new_id()
        self.generation: Generation | None = self.door.visible.generation(self.door.visible.pointer().scores)
        self.key_type = self.live.card.key_type or (self.generation.key_type if self.generation else None)

    def answered(self) -> Answered:
        self.serve_stale()
        return Answered(self.outcomes, self.counts, self.cause)

    def serve_stale(self) -> None:
        """Answer the old score wherever there was no newer one to be had."""
        for place, score in self.stale.items():
            if isinstance(failure := self.outcomes[place], RequestError):
                self.outcomes[place] = score
                if not isinstance(failure, UnknownKey):
                    self._note(failure)

    def fail(self, places: Iterable[int], error: RequestError) -> None:
        for place in places:
            self.outcomes[place] = error

    def _note(self, failure: RequestError) -> None:
        """Have log and metrics tell of a failure that a caller does not see, because an old score hides it."""
        self.cause = f"a stale score was served: {failure.code}: {failure.message}"
        if isinstance(failure, (LiveLimitReached, Throttled)):
            self.counts[metrics.LIVE_REFUSED] = 1

    def recall(self, places: list[int]) -> list[int]:
        """Answer what is remembered and return the places that are left."""
        found = self._remembered({str(key) for place in places if (key := self._instance(place).key) is not None})
        return [place for place in places if not self._take(place, found)]

    def refuse(self, places: list[int]) -> list[int]:
        """Say of instances that cannot be asked about why, and return the places of those that can."""
        left = []
        for place in places:
            instance = self._instance(place)
            error = refused(self.door, self.live.card, instance)
            if error is None:
                left.append(place)
            else:
                self.outcomes[place] = self._unknown(instance) if instance.features is None else error
        return left

    def ask(self, places: list[int]) -> None:
        """Ask the model: at once for what has no key, under a flight for what has one."""
        by_key: dict[str, list[int]] = {}
        for place in places:
            if (key := self._instance(place).key) is not None:
                by_key.setdefault(str(key), []).append(place)
        keyless = [place for place in places if self._instance(place).key is None]
        waiting: dict[str, str] = {}  # key -> whose flight it is
        free = list(by_key)
        while True:
            led: list[str] = []
            try:
                self._lead(free, led, waiting)
                self._fly(led, keyless, by_key)
            finally:
                self._land(led)
            keyless = []
            if not waiting:
                return
            free = self._wait(waiting, by_key)

    def _lead(self, keys: Iterable[str], led: list[str], waiting: dict[str, str]) -> None:
        """Try to lead each key: note those that this request leads, and whose flight the others are."""
        for key in keys:
            now = self._milliseconds()
            mine = Flight(self.leader, now + LEASE_MILLISECONDS)
            holder = self.live.flights.lead(key, mine, now)
            if _answers_later(holder):
                holder = self.live.flights.lead(key, mine, now, over=holder.leader)
            if holder.leader == self.leader:
                led.append(key)
            else:
                waiting[key] = holder.leader

    def _fly(self, led: list[str], keyless: list[int], by_key: dict[str, list[int]]) -> None:
        """Ask the model in one call about one instance of each key and about what has no key.

        Between this request's look at what is remembered and its lead an earlier flight may have landed, so it looks
        again first.
        """
        found = self._remembered(led)
        asking = [key for key in led if not self._answer(by_key[key], found, key)]
        firsts = [by_key[key][0] for key in asking] + keyless
        if not firsts:
            return
        answers = self._called([self._instance(place) for place in firsts])
        for place, answer in zip(firsts, answers, strict=True):
            self.outcomes[place] = answer
        for key, answer in zip(asking, answers, strict=False):
            for place in by_key[key]:
                self.outcomes[place] = answer
            self._pass_on(key, answer)

    def _called(self, instances: list[Instance]) -> list[Outcome]:
        try:
            take_turn(self.door, self.live.flights)
        except RequestError as error:
            return [error] * len(instances)
        self.counts[metrics.LIVE_CALLS] += 1
        return ask(self.door, self.live, instances, self.key_type)

    def _pass_on(self, key: str, answer: Outcome) -> None:
        """Leave an answer, or the failure, to those who wait for it. The caller gets its answer in any case."""
        try:
            if isinstance(answer, Prediction):
                self.live.flights.remember(key, self._memory(answer))
            elif not isinstance(answer, ModelRefused):
                lease = self._milliseconds() + LEASE_MILLISECONDS
                failure = json.dumps(answer.to_body()["error"])
                self.live.flights.extend(key, Flight(self.leader, lease, failure))
        except StoreUnavailable as error:
            self.cause = f"the answer was not remembered: {error.__cause__!r}"

    def _memory(self, answer: Prediction) -> Remembered:
        kept = max(self.door.remember_seconds, LEAST_REMEMBERED_SECONDS)
        expires_at = int(self.door.clock().timestamp()) + kept
        return Remembered(answer.prediction, answer.model_version, answer.scored_at, expires_at)

    def _land(self, led: list[str]) -> None:
        """Remove the flights of this request that did not end in a failure for others to read."""
        try:
            for key in led:
                self.live.flights.land(key, self.leader)
        except StoreUnavailable as error:
            self.cause = f"a flight ends only with its lease: {error.__cause__!r}"

    def _wait(self, waiting: dict[str, str], by_key: dict[str, list[int]]) -> list[str]:
        """Wait until a flight ends without an answer, and return its keys; answered keys leave `waiting`."""
        pause = FIRST_PAUSE
        while waiting:
            if self._elapsed() >= LONGEST_WAIT_SECONDS:
                self._give_up(waiting, by_key)
                waiting.clear()
                return []
            self.live.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
            flights = self.live.flights.under_way(list(waiting))
            found = self._remembered(waiting)
            for key in [key for key in waiting if self._answer(by_key[key], found, key)]:
                del waiting[key]
            if free := self._over(waiting, flights, by_key):
                if self._elapsed() > LATEST_START_SECONDS:
                    self._give_up({key: waiting.pop(key) for key in free}, by_key)
                    continue
                for key in free:
                    del waiting[key]
                return free
        return []

    def _over(self, waiting: dict[str, str], flights: dict[str, Flight], by_key: dict[str, list[int]]) -> list[str]:
        """Return the keys whose flight is over without an answer. A failure of the awaited flight is the answer."""
        free = []
        for key in list(waiting):
            flight, now = flights.get(key), self._milliseconds()
            if flight is not None and flight.failure is not None and flight.leader == waiting[key]:
                for place in by_key[key]:
                    self.outcomes[place] = _error_of(flight.failure)
                del waiting[key]
            elif flight is None or flight.failure is not None or flight.lease_until <= now or _answers_later(flight):
                free.append(key)
            else:
                waiting[key] = flight.leader
        return free

    def _give_up(self, waiting: Iterable[str], by_key: dict[str, list[int]]) -> None:
        for key in waiting:
            error = ModelTimeout(
                f"another request asks the model about key {key!r} and has no answer yet; ask again",
                key=key,
                retry_after_seconds=1,
            )
            for place in by_key[key]:
                self.outcomes[place] = error

    def _remembered(self, keys: Iterable[str]) -> dict[str, Remembered]:
        """Return what this version of the model has said and may still be said."""
        found = self.live.flights.remembered(list(keys)).items()
        return {key: answer for key, answer in found if self._may_be_said(answer)}

    def _may_be_said(self, answer: Remembered) -> bool:
        door, now = self.door, self.door.clock()
        if answer.expires_at <= now.timestamp() or answer.model_version != door.model_version:
            return False
        return door.on_stale == SERVE_STALE or not door.is_stale(seconds_between(answer.scored_at, now))

    def _answer(self, places: list[int], found: dict[str, Remembered], key: str) -> bool:
        if key not in found:
            return False
        for place in places:
            self._take(place, found)
        return True

    def _take(self, place: int, found: dict[str, Remembered]) -> bool:
        """Answer a place from what is remembered; return whether it could be."""
        key = self._instance(place).key
        if key is None or str(key) not in found:
            return False
        self.outcomes[place] = remembered_prediction(self.door, typed_key(key, self.key_type), found[str(key)])
        self.counts[metrics.REMEMBERED] += 1
        return True

    def _unknown(self, instance: Instance) -> RequestError:
        card = self.live.card
        where = f"generation {self.generation.id}" if self.generation else "no generation"
        has = "has no score" if self.generation else "is visible, so there is no score"
        return UnknownKey(
            f"{where} {has} for key {str(instance.key)!r}; with the features the model would be asked",
            key=str(instance.key),
            generation=self.generation.id if self.generation else None,
            **how_to_send(self.door, card, instance.key),
        )

    def _instance(self, place: int) -> Instance:
        return self.asked.instances[place]

    def _elapsed(self) -> float:
        return self.live.monotonic() - self.began

    def _milliseconds(self) -> int:
        return milliseconds(self.door.clock())


def remembered_prediction(door: Door, key: str | int, answer: Remembered) -> Prediction:
    return of_one_key(door, key, answer, REMEMBERED, answer.scored_at, door.clock())


def _answers_later(flight: Flight) -> bool:
    """Whether the leader is an asynchronous request, accepted under an earlier fallback: no answer comes of waiting."""
    return layout.REQUEST_ID.fullmatch(flight.leader) is not None


def _error_of(failure: str) -> RequestError:
    """Return the error that a leader left behind."""
    body = json.loads(failure)
    known = {error.code: error for error in RequestError.__subclasses__()}
    code, message = body.pop("code"), body.pop("message")
    return known.get(code, RequestError)(message, **body)
