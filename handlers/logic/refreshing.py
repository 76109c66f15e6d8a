"""Single keys scored by event: from events `Refresh Prediction` in a queue to the overlay that lookups read.

Of the events for one key only the newest counts, by the time of its data; a duplicate, or one that comes late, changes
nothing. What may not be scored yet goes back into the queue and comes again after a while: a key that was scored a
moment ago, keys beyond the minute's cap, whatever the model did not answer. What can never be scored goes to the
dead-letter queue with the reason. So no event is lost, and no storm of them reaches the model.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from handlers.contract import metrics
from handlers.contract.card import ModelCard
from handlers.contract.errors import (
    BadBody,
    BadKey,
    FeaturesNeeded,
    ModelFailed,
    ModelRefused,
    ModelTimeout,
    PayloadTooLarge,
    RequestError,
    RequestExpired,
    StoreUnavailable,
)
from handlers.contract.events import MEMBERS
from handlers.contract.key_hash import key_hash
from handlers.contract.predictions import Instance, Key
from handlers.contract.records import Refreshed
from handlers.logic.families import Family
from handlers.logic.feature_checks import is_of_type, shown, typed_key
from handlers.logic.live import call, unfit
from handlers.logic.live_ports import Endpoint
from handlers.logic.moments import format_moment, milliseconds, parse_moment
from handlers.logic.ports import Clock
from handlers.logic.requests import to_instance
from handlers.logic.rows import encode_rows

#: How far a clock of the senders may be ahead of ours.
CLOCKS_DIFFER = timedelta(minutes=5)
#: An event that has waited for so long will never be scored. The queue itself forgets after four days, silently.
LONGEST_WAIT = timedelta(days=3)
#: Times that an event is received before a model that fails on it is believed: about a quarter of an hour.
TRIES = 10
#: Pauses double from two seconds up to this.
LONGEST_PAUSE_SECONDS = 900
#: SQS hides a message for at most twelve hours from when it was received.
LONGEST_HIDING_SECONDS = 42_000
#: Calls that the model may fail before this batch leaves it alone. Finding one bad row among 100 takes 14.
MOST_FAILURES = 16
#: The function runs for 60 s, and a call may take 24 of them.
LATEST_START_SECONDS = 30.0


@dataclass(frozen=True)
class Message:
    """A message as SQS hands it over; `arrived` is when SQS got it (milliseconds), `receives` counts this one too."""

    id: str
    handle: str
    body: str
    arrived: int
    receives: int


@dataclass(frozen=True)
class Wish:
    """One key to be scored. `data_as_of` is as in `Refreshed`."""

    message: Message
    event: str
    key: Key
    features: dict[str, Any]
    data_as_of: str

    @property
    def age(self) -> tuple[str, int]:
        """What puts the events of one key in order."""
        return self.data_as_of, self.message.arrived


class Overlay(Protocol):
    """What lookups read beside the visible generation."""

    def refreshed(self, keys: Sequence[str]) -> dict[str, Refreshed]:
        """Return the entries of keys, expired or not. Raises StoreUnavailable."""

    def refresh(self, key: str, entry: Refreshed, now: int) -> bool:
        """Write an entry unless a newer one is there that has not expired at `now` (seconds); return whether it was.

        Of data as old as those of an entry that another version of the model made, this one is the newer.
        Raises PayloadTooLarge for a prediction that the table cannot hold.
        """

    def take_turns(self, minute: str, wanted: int, limit: int, *, expires_at: int) -> int:
        """Count up to `wanted` keys in a minute and return how many, so that there are never more than `limit`."""


class Backlog(Protocol):
    """The queue that the events come from, and the one for those that can never be scored."""

    def postpone(self, pauses: dict[str, int]) -> None:
        """Hide messages, by receipt handle, for so many seconds. Raises StoreUnavailable."""

    def give_up(self, message: Message, error: RequestError) -> None:
        """Leave a message with the reason in the dead-letter queue. Raises StoreUnavailable."""


@dataclass(frozen=True)
class Desk:
    """One model, and what refreshing its predictions needs. `jitter` returns numbers from 0 to 1."""

    model_version: str
    card: ModelCard
    family: Family
    endpoint: Endpoint
    overlay: Overlay
    backlog: Backlog
    clock: Clock
    monotonic: Callable[[], float]
    jitter: Callable[[], float]
    min_interval_seconds: int
    max_per_minute: int


@dataclass
class Done:
    """What became of a batch. `kept` are ids of messages that stay in the queue; `rejected` and `causes` are for logs.

    Keys and values of features identify people, so the log has hashes and the names of columns.
    """

    counts: dict[str, float]
    kept: list[str]
    rejected: list[dict[str, Any]] = field(default_factory=list)
    causes: list[str] = field(default_factory=list)


def refresh(desk: Desk, messages: Iterable[Message]) -> Done:
    """Score what a batch of events asks for. Raises nothing but what nobody foresaw."""
    batch = _Batch(desk)
    newest = batch.newest(batch.read(messages))
    batch.score(batch.within_cap(batch.due(newest)))
    return batch.done()


class _Batch:
    def __init__(self, desk: Desk) -> None:
        self._desk, self._began = desk, desk.monotonic()
        self._refreshed = self._skipped = 0
        self._failures: list[ModelFailed] = []
        self._pauses: dict[Message, int] = {}
        self._rejected: list[dict[str, Any]] = []
        self._causes: list[str] = []

    def read(self, messages: Iterable[Message]) -> list[Wish]:
        """Return what can be understood, and reject the rest."""
        now, wishes = self._desk.clock(), []
        for message in messages:
            try:
                wishes.append(read_wish(message, self._desk.card, now))
            except RequestError as error:
                self._reject(message, error)
        return wishes

    def newest(self, wishes: Iterable[Wish]) -> list[Wish]:
        """Return the newest of each key; those before it are needless, whatever becomes of it."""
        newest: dict[str, Wish] = {}
        for wish in sorted(wishes, key=lambda wish: wish.age):
            self._skipped += str(wish.key) in newest
            newest[str(wish.key)] = wish
        return list(newest.values())

    def due(self, wishes: list[Wish]) -> list[Wish]:
        """Return what is newer than the overlay and not too soon after it."""
        try:
            there = self._desk.overlay.refreshed([str(wish.key) for wish in wishes]) if wishes else {}
        except StoreUnavailable as error:
            self._put_back(wishes, error)
            return []
        now, due = self._desk.clock(), []
        for wish in wishes:
            entry = there.get(str(wish.key))
            if entry is None or entry.expires_at <= now.timestamp() or self._is_replaced(entry, wish):
                due.append(wish)
            elif wish.event == entry.event or wish.age <= (entry.data_as_of, entry.arrived):
                self._skipped += 1
            elif (wait := self._until_allowed(entry, now)) > 0:
                self._postpone(wish, wait)
            else:
                due.append(wish)
        return due

    def within_cap(self, wishes: list[Wish]) -> list[Wish]:
        """Return as many as this minute still allows, those that have waited longest first.

        The others come back in a later minute, the more often they did the further apart: a backlog that takes hours
        is not received whole in each minute.
        """
        if not wishes:
            return []
        wishes = sorted(wishes, key=lambda wish: wish.message.arrived)
        now, limit = self._desk.clock(), self._desk.max_per_minute
        expires_at = int(now.timestamp()) + 3600
        try:
            turns = self._desk.overlay.take_turns(f"{now:%Y%m%dT%H%M}", len(wishes), limit, expires_at=expires_at)
        except StoreUnavailable as error:
            self._put_back(wishes, error)
            return []
        for wish in wishes[turns:]:
            spread = 60 * min(wish.message.receives, LONGEST_PAUSE_SECONDS // 60)
            self._postpone(wish, 60 - now.second + self._desk.jitter() * spread)
        return wishes[:turns]

    def score(self, wishes: list[Wish]) -> None:
        """Ask the model about all in one call. What it refuses or fails on is found by halving."""
        if not wishes:
            return
        if self._desk.monotonic() - self._began > LATEST_START_SECONDS:
            self._put_back(wishes)
            return
        if len(self._failures) >= MOST_FAILURES:
            self._later_or_never(wishes, self._failures[-1])
            return
        try:
            predictions = self._ask(wishes)
        except (ModelRefused, PayloadTooLarge, ModelFailed) as error:
            if isinstance(error, ModelFailed):
                self._failures.append(error)
            if len(wishes) > 1:
                half = len(wishes) // 2
                self.score(wishes[:half])
                self.score(wishes[half:])
            elif isinstance(error, ModelFailed):
                self._later_or_never(wishes, error)
            else:
                self._reject(wishes[0].message, error, wishes[0])
        except ModelTimeout as error:
            self._later_or_never(wishes, error)
        except RequestError as error:  # the endpoint is busy or not there: no fault of these events
            self._put_back(wishes, error)
        else:
            self._write(wishes, predictions)

    def done(self) -> Done:
        """Send back what was postponed and return what became of the batch."""
        try:
            if self._pauses:
                self._desk.backlog.postpone({message.handle: pause for message, pause in self._pauses.items()})
        except StoreUnavailable as error:
            self._causes.append(f"postponed events come back when SQS shows them by itself: {error.__cause__!r}")
        counts = {
            metrics.REFRESHED: self._refreshed,
            metrics.REFRESH_SKIPPED: self._skipped,
            metrics.REFRESH_POSTPONED: len(self._pauses),
            metrics.REFRESH_REJECTED: len(self._rejected),
        }
        return Done(counts, [message.id for message in self._pauses], self._rejected, self._causes)

    def _ask(self, wishes: list[Wish]) -> list[Any]:
        card = self._desk.card
        keys = [typed_key(wish.key, card.key_type) for wish in wishes]
        body = encode_rows(card, keys, [wish.features for wish in wishes])
        return call(card, self._desk.family, self._desk.endpoint, body, len(wishes))

    def _write(self, wishes: list[Wish], predictions: list[Any]) -> None:
        now = self._desk.clock()
        expires_at = int(now.timestamp()) + self._desk.card.retention_seconds
        for wish, prediction in zip(wishes, predictions, strict=True):
            moments = (wish.data_as_of, format_moment(now), expires_at)
            entry = Refreshed(prediction, self._desk.model_version, *moments, wish.event, wish.message.arrived)
            try:
                written = self._desk.overlay.refresh(str(wish.key), entry, int(now.timestamp()))
            except PayloadTooLarge as error:
                self._reject(wish.message, error, wish)
            except StoreUnavailable as error:
                self._put_back([wish], error)
            else:
                self._refreshed += written
                self._skipped += not written

    def _is_replaced(self, entry: Refreshed, wish: Wish) -> bool:
        """Whether another version of the model made the entry, of data no newer: an event that is sent again counts."""
        return entry.model_version != self._desk.model_version and entry.data_as_of <= wish.data_as_of

    def _until_allowed(self, entry: Refreshed, now: datetime) -> float:
        passed = (now - parse_moment(entry.scored_at)).total_seconds()
        return self._desk.min_interval_seconds - passed

    def _later_or_never(self, wishes: Iterable[Wish], error: RequestError) -> None:
        for wish in wishes:
            if wish.message.receives >= TRIES:
                self._reject(wish.message, error, wish)
            else:
                self._put_back([wish])
        self._note(error)

    def _put_back(self, wishes: Iterable[Wish], error: RequestError | None = None) -> None:
        """Postpone what was not its own fault, the longer the more often it was received."""
        for wish in wishes:
            pause = min(LONGEST_PAUSE_SECONDS, 2 ** min(wish.message.receives, 20))
            self._postpone(wish, pause * (0.5 + self._desk.jitter() / 2))
        if error is not None:
            self._note(error)

    def _postpone(self, wish: Wish, seconds: float) -> None:
        self._pauses[wish.message] = max(1, min(LONGEST_HIDING_SECONDS, int(seconds) + 1))

    def _note(self, error: RequestError) -> None:
        cause = f"{error.code}: {error.__cause__!r}"
        if cause not in self._causes:
            self._causes.append(cause)

    def _reject(self, message: Message, error: RequestError, wish: Wish | None = None) -> None:
        try:
            self._desk.backlog.give_up(message, error)
        except StoreUnavailable as failure:
            self._pauses[message] = LONGEST_PAUSE_SECONDS
            self._note(failure)
            return
        told: dict[str, Any] = {"message": message.id, "code": error.code}
        if wish is not None:
            told |= {"event": wish.event, "key_hash": key_hash(self._desk.card.model, wish.key)}
        if reasons := error.details.get("reasons"):
            told["reasons"] = [{"code": reason["code"], "column": reason["column"]} for reason in reasons]
        self._rejected.append(told)


def read_wish(message: Message, card: ModelCard, now: datetime) -> Wish:
    """Return what an event asks for. Raises a RequestError, as the same request at the front door would."""
    event = read_event(message.body)
    if milliseconds(now) - message.arrived > LONGEST_WAIT // timedelta(milliseconds=1):
        raise RequestExpired(f"the event waited for more than {LONGEST_WAIT.days} days")
    instance, data_as_of = read_detail(event, now)
    if instance.features is None:
        raise FeaturesNeeded("the detail has no features", send_features=card.feature_names)
    if not is_of_type(instance.key, card.key_type):
        raise BadKey(f"the key {shown(instance.key)} is no whole number of 64 bits, and the model's keys are")
    if (error := unfit(card, instance.key, instance.features)) is not None:
        raise error
    return Wish(message, event["id"], instance.key, instance.features, data_as_of)


def read_detail(event: dict[str, Any], now: datetime) -> tuple[Instance, str]:
    """Return key and features in an event, and of when they are: what can be told without knowing the model.

    Raises BadBody and BadKey.
    """
    detail = event["detail"]
    if unknown := sorted(map(repr, detail.keys() - MEMBERS)):
        raise BadBody(f"the detail has unknown members: {', '.join(unknown)}")
    if "key" not in detail:
        raise BadBody("the detail has no key")
    instance = to_instance({name: detail[name] for name in ("key", "features") if name in detail}, "the detail")
    return instance, _data_as_of(event, now)


def read_event(body: str) -> dict[str, Any]:
    """Return EventBridge's envelope. Whoever may send to the queue can leave anything there. Raises BadBody."""
    try:
        event = json.loads(body, parse_constant=_refuse_constant)
        whole = isinstance(event["id"], str) and isinstance(event["time"], str) and isinstance(event["detail"], dict)
    except (ValueError, RecursionError, TypeError, LookupError) as error:
        raise BadBody(f"the message is no event: {error}") from error
    if not whole:
        raise BadBody("the message is no event of EventBridge")
    return event


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


def _data_as_of(event: dict[str, Any], now: datetime) -> str:
    """Return the time of the event's data: what the sender says, else when it was sent. Raises BadBody."""
    said = event["detail"].get("data_as_of", event["time"])
    try:
        moment = parse_moment(said)
    except (TypeError, ValueError, OverflowError) as error:
        raise BadBody("data_as_of is no moment in ISO 8601, such as 2026-11-23T06:00:00Z") from error
    if moment > now + CLOCKS_DIFFER:
        raise BadBody(f"the event's data are of {format_moment(moment)}, which is yet to come")
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
