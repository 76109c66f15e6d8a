"""Asynchronous requests: accepted with a place to look, answered there in whatever mode the model is by then.

The record is written before the model is asked, so that a crash in between loses nothing that anybody was promised.
SageMaker delivers at least once; a request's id is its output's name, so a second delivery writes the same object.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

from handlers.contract import layout
from handlers.contract.card import ModelCard
from handlers.contract.errors import (
    BadBody,
    ModelFailed,
    PayloadTooLarge,
    RequestError,
    RequestExpired,
    UnknownRequest,
)
from handlers.contract.modes import ServingMode
from handlers.contract.predictions import DEFERRED, MAX_UPLOAD_BYTES, Accepted, Key, Prediction
from handlers.contract.records import Flight, Remembered, Request
from handlers.logic.families import FAMILIES, INLINE_BYTES
from handlers.logic.feature_checks import typed_key
from handlers.logic.live import LEAST_REMEMBERED_SECONDS, refused, take_turn, too_large
from handlers.logic.live_ports import Files, Flights, Queue, Requests
from handlers.logic.lookup import Answered, Door, Outcome
from handlers.logic.model_errors import by_failure_file
from handlers.logic.moments import format_moment, milliseconds, parse_moment, seconds_between
from handlers.logic.requests import Asked
from handlers.logic.rows import NoPrediction, content_type, decode_answer, encode_rows

#: How long a request can be asked for after it could still be answered.
KEEP = timedelta(days=7)
#: Validity of the URLs that are handed out.
URL_SECONDS = 3_600
#: Bytes of an answer that are read and answered; a larger one is handed out by URL.
READ_BYTES = 5 * 2**20
#: What one prediction costs in an answer's JSON, beside the prediction.
BODY_BYTES = 300
#: Bytes of what a record may keep of instances that the model is not asked for; DynamoDB's items end at 400 KB.
KNOWN_BYTES = 300_000
#: Polls are asked to come as late as a tenth of the time that has passed.
FIRST_RETRY_SECONDS, LONGEST_RETRY_SECONDS = 1, 15
LEASE_MILLISECONDS = 30_000
#: How long, in seconds, another leader may take until its request is on record.
PAUSES = (0.05, 0.1, 0.2, 0.4, 0.8)


@dataclass(frozen=True)
class Later:
    """What a front door has at hand that answers later, or is asked for what it accepted in an earlier mode."""

    card: ModelCard
    queue: Callable[[], Queue]  # called only by what is accepted, never by polls
    requests: Requests
    files: Files
    flights: Flights
    new_id: Callable[[datetime], str]  # handlers.contract.layout.request_id
    data_bucket: str
    expiry_seconds: int
    invocation_seconds: int
    endpoint: str  # who is asked
    sleep: Callable[[float], None]

    def uri(self, key: str) -> str:
        return f"s3://{self.data_bucket}/{key}"


def predict_later(door: Door, asked: Asked) -> Answered:
    """Accept a request, unless the model can be asked about none of its instances: then say why at once."""
    later = door.later()
    if asked.upload is not None:
        return Answered([], accepted=accept_upload(door, asked.upload))
    outcomes: list[Any] = [refused(door, later.card, instance) for instance in asked.instances]
    wanted = [place for place, outcome in enumerate(outcomes) if outcome is None]
    if not wanted:
        return Answered(outcomes)
    known = [outcome for outcome in outcomes if outcome is not None]
    request_id = later.new_id(door.clock())
    accepted = _accept(door, later, asked, outcomes, wanted, request_id, later.card.key_type)
    return Answered(known, accepted=accepted)


def accept_misses(
    door: Door, asked: Asked, outcomes: list[Outcome], wanted: list[int], key_type: str | None
) -> tuple[Accepted, bool]:
    """Accept the misses of a hybrid model, whose other outcomes are known. Raises LiveLimitReached.

    While a single instance's key is being asked about, whoever asks for it gets the same request; a list is always a
    request of its own. Also returns whether the model will be asked once more.
    """
    later, now = door.later(), door.clock()
    request_id, key = later.new_id(now), asked.instances[0].key
    if asked.several or key is None:
        take_turn(door, later.flights)
        return _accept(door, later, asked, outcomes, wanted, request_id, key_type, _shared(asked, wanted)), True
    other = _led_by_another(door, later, str(key), request_id)
    if other is not None:
        return _accepted(door, other.id, now, other.created_at), False
    try:
        take_turn(door, later.flights)
        accepted = _accept(door, later, asked, outcomes, wanted, request_id, key_type)
    except BaseException:
        later.flights.land(str(key), request_id)
        raise
    lease = milliseconds(now) + 1000 * (later.expiry_seconds + later.invocation_seconds)
    later.flights.extend(str(key), Flight(request_id, lease))
    return accepted, True


def _shared(asked: Asked, wanted: list[int]) -> dict[int, int]:
    """Return, for each wanted place whose key was there before, the place that is asked about in its stead."""
    firsts: dict[str, int] = {}
    keys = {place: asked.instances[place].key for place in wanted}
    found = {place: firsts.setdefault(str(key), place) for place, key in keys.items() if key is not None}
    return {place: first for place, first in found.items() if first != place}


def _led_by_another(door: Door, later: Later, key: str, request_id: str) -> Request | None:
    """Lead a key, or return the request under which it is being asked about.

    A leader whose request is not on record has yet to write it, was refused or died, or is an earlier fallback that
    answers at once: it gets a moment to finish. A request that is over, or whose answer is too old to be
    remembered, gives way at once.
    """
    over, pauses = "", iter(PAUSES)
    while True:
        now = milliseconds(door.clock())
        leader = later.flights.lead(key, Flight(request_id, now + LEASE_MILLISECONDS), now, over).leader
        if leader == request_id:
            return None
        other = later.requests.get(leader)
        if other is not None and not _is_over(door, later, other):
            return other
        if other is None and (pause := next(pauses, None)) is not None:
            later.sleep(pause)
        else:
            over = leader


def _is_over(door: Door, later: Later, request: Request) -> bool:
    """Whether a request will give nobody an answer that could still be remembered."""
    now = door.clock()
    if request.model_version != door.model_version or parse_moment(request.waits_until) <= now:
        return True
    file = later.files.look(request.output_uri)
    if file is not None:
        return file.modified + timedelta(seconds=max(door.remember_seconds, LEAST_REMEMBERED_SECONDS)) <= now
    return later.files.look(request.failure_uri) is not None


def accept_upload(door: Door, upload_id: str) -> Accepted:
    """Accept what was uploaded. Raises UnknownRequest, BadBody and PayloadTooLarge when there is nothing to accept."""
    later, now = door.later(), door.clock()
    if layout.REQUEST_ID.fullmatch(upload_id) is None:
        raise UnknownRequest(f"{upload_id!r} is no upload's id", upload=upload_id)
    uri = later.uri(layout.async_input_key(door.model, upload_id))
    file = later.files.look(uri)
    if file is None:
        raise UnknownRequest(f"nothing was uploaded as {upload_id}: PUT the payload to its URL first", upload=upload_id)
    if not file.size:
        raise BadBody(f"the upload {upload_id} is empty", upload=upload_id)
    if file.size > MAX_UPLOAD_BYTES:
        raise PayloadTooLarge(
            f"the upload is {file.size:,} bytes; at most {MAX_UPLOAD_BYTES:,} are allowed (1 GB, the limit of an "
            "asynchronous endpoint)",
            limit_bytes=MAX_UPLOAD_BYTES,
            bytes=file.size,
        )
    if door.fallback:  # a call like any other that a hybrid model pays for
        take_turn(door, later.flights)
    request = _request(door, later, later.new_id(now), now, keys=[], several=True, upload=True)
    return _submit(door, later, request, uri)


def hand_out_upload(door: Door, wanted_type: str | None) -> dict[str, Any]:
    """Return an upload's id, the URL to PUT its payload to, and until when. Raises BadBody for another content type."""
    later, now = door.later(), door.clock()
    expected = content_type(later.card)
    if wanted_type is not None and wanted_type.partition(";")[0].strip().lower() != expected:
        raise BadBody(f"this model reads {expected}, one line per instance, not {wanted_type!r}", content_type=expected)
    upload_id = later.new_id(now)
    return {
        "upload": upload_id,
        "url": later.files.upload_url(later.uri(layout.async_input_key(door.model, upload_id)), URL_SECONDS),
        "expires_at": format_moment(now + timedelta(seconds=URL_SECONDS)),
        "content_type": expected,
        "columns": later.card.feature_names,
        "limit_bytes": MAX_UPLOAD_BYTES,
    }


def poll(door: Door, request_id: str) -> Answered | dict[str, Any]:
    """Return how a request stands: accepted still, its outcomes, or a body that says where a large answer lies.

    Raises UnknownRequest, RequestExpired, and what the model's failure was.
    """
    if layout.REQUEST_ID.fullmatch(request_id) is None:
        raise UnknownRequest(f"{request_id[:80]!r} is no request's id", request=request_id[:80])
    later, now = door.later(), door.clock()
    request = later.requests.get(request_id)
    if request is None or request.expires_at <= now.timestamp():
        raise UnknownRequest(f"there is no request {request_id}", request=request_id)
    file = later.files.look(request.output_uri)
    if file is not None:
        return _fetched(door, later, request, file.size, format_moment(file.modified))
    if later.files.look(request.failure_uri) is not None:
        _land(later, request)
        failure = later.files.get(request.failure_uri)
        raise by_failure_file(failure.decode("utf-8", "replace"))
    if parse_moment(request.waits_until) <= now:
        _land(later, request)
        raise RequestExpired(
            f"request {request_id} waited until {request.waits_until} and the model did not answer it; send it again",
            request=request_id,
            created_at=request.created_at,
            waits_until=request.waits_until,
        )
    return Answered([], accepted=_accepted(door, request_id, now, request.created_at))


def _accept(
    door: Door,
    later: Later,
    asked: Asked,
    outcomes: list[Any],
    wanted: list[int],
    request_id: str,
    key_type: str | None,
    shared: Mapping[int, int] = MappingProxyType({}),
) -> Accepted:
    """Record and queue one request for the wanted places; the outcomes of the others are kept with it.

    A `shared` place is not asked about: it gets the answer of the place that it leads to.
    """
    asking = [place for place in wanted if place not in shared]
    instances = [asked.instances[place] for place in asking]
    keys = [None if instance.key is None else typed_key(instance.key, key_type) for instance in asked.instances]
    known = {str(place): outcome.to_body() for place, outcome in enumerate(outcomes) if place not in {*wanted}}
    if len(json.dumps(known)) > KNOWN_BYTES:
        raise PayloadTooLarge(
            f"what is known of {len(known)} of the instances is too large to be kept until the model has answered the "
            "others; send fewer instances in one request",
            limit_bytes=KNOWN_BYTES,
        )
    body = encode_rows(later.card, [keys[place] for place in asking], [instance.features for instance in instances])
    family = FAMILIES[ServingMode.ASYNC]
    if len(body) > family.payload_bytes:
        raise too_large(family, len(body))
    places = {str(place): first for place, first in shared.items()}
    request = _request(
        door, later, request_id, door.clock(), keys=keys, several=asked.several, known=known, shared=places
    )
    if len(body) <= INLINE_BYTES:
        return _submit(door, later, request, body)
    uri = later.uri(layout.async_input_key(door.model, request_id))
    later.files.put(uri, body)
    return _submit(door, later, request, uri)


def _request(
    door: Door, later: Later, request_id: str, now: datetime, *, keys: list[Key | None], several: bool, **more: Any
) -> Request:
    until = now + timedelta(seconds=later.expiry_seconds + later.invocation_seconds)
    return Request(
        id=request_id,
        created_at=format_moment(now),
        mode=door.mode,
        model_version=door.model_version,
        keys=keys,
        several=several,
        output_uri=later.uri(f"{layout.async_output_prefix(door.model)}{request_id}"),
        failure_uri=later.uri(f"{layout.async_failure_prefix(door.model)}{request_id}-error.out"),
        waits_until=format_moment(until),
        expires_at=int((until + KEEP).timestamp()),
        endpoint=later.endpoint,
        wire_format=later.card.wire_format,
        **more,
    )


def _submit(door: Door, later: Later, request: Request, payload: bytes | str) -> Accepted:
    """Write the record, queue the payload, and correct the record if SageMaker names other places than expected."""
    later.requests.put(request)
    try:
        places = later.queue().put(
            request.id,
            payload,
            content_type(later.card),
            expiry=later.expiry_seconds,
            invocation=later.invocation_seconds,
        )
    except RequestError:
        later.requests.drop(request.id)
        raise
    placed = replace(request, output_uri=places.output_uri, failure_uri=places.failure_uri or request.failure_uri)
    if placed != request:
        later.requests.put(placed)
    return _accepted(door, request.id, door.clock())


def _accepted(door: Door, request_id: str, now: datetime, created_at: str | None = None) -> Accepted:
    age = 0 if created_at is None else seconds_between(created_at, now)
    wait = min(LONGEST_RETRY_SECONDS, max(FIRST_RETRY_SECONDS, age // 10))
    return Accepted(request_id, f"/models/{door.model}/predictions?request={request_id}", wait)


def _fetched(door: Door, later: Later, request: Request, size: int, scored_at: str) -> Answered | dict[str, Any]:
    if size > READ_BYTES:
        return _handed_out(door, later, request, size, scored_at)
    output = later.files.get(request.output_uri)
    others = request.known.keys() | request.shared.keys()
    wanted = [place for place in range(len(request.keys)) if str(place) not in others]
    try:
        predictions = decode_answer(_card_of(later, request), output, None if request.upload else len(wanted))
    except NoPrediction as error:
        raise ModelFailed(f"the model's answer cannot be used: {error}") from error
    if size + BODY_BYTES * len(predictions) > READ_BYTES:
        return _handed_out(door, later, request, size, scored_at)
    keys = [None] * len(predictions) if request.upload else [request.keys[place] for place in wanted]
    answers = [_prediction(door, request, key, value, scored_at) for key, value in zip(keys, predictions, strict=True)]
    _remember(door, later, answers)
    _land(later, request)
    if request.upload:
        return Answered(answers)
    outcomes: list[Any] = [request.known.get(str(place)) for place in range(len(request.keys))]
    for place, answer in zip(wanted, answers, strict=True):
        outcomes[place] = answer
    for place, first in request.shared.items():
        outcomes[int(place)] = outcomes[first]
    return Answered(outcomes, several=request.several)


def _card_of(later: Later, request: Request) -> ModelCard:
    """Return the card with the wire format in which the request was asked: the model's may be another one by now."""
    return replace(later.card, wire_format=request.wire_format or later.card.wire_format)


def _prediction(door: Door, request: Request, key: Key | None, value: Any, scored_at: str) -> Prediction:
    age = seconds_between(scored_at, door.clock())
    version, stale = request.model_version, door.is_stale(age)
    return Prediction(door.model, door.mode, key, value, DEFERRED, version, None, scored_at, scored_at, age, stale)


def _handed_out(door: Door, later: Later, request: Request, size: int, scored_at: str) -> dict[str, Any]:
    """Return where an answer lies that is too large for a response: one line per instance, as the model wrote it."""
    return {
        "model": door.model,
        "mode": door.mode,
        "request": request.id,
        "source": DEFERRED,
        "model_version": request.model_version,
        "scored_at": scored_at,
        "output_uri": later.files.download_url(request.output_uri, URL_SECONDS),
        "output_bytes": size,
        "expires_at": format_moment(door.clock() + timedelta(seconds=URL_SECONDS)),
    }


def _remember(door: Door, later: Later, answers: list[Prediction]) -> None:
    """Remember answers by key for as long as they would be remembered had they come at once."""
    version = door.model_version  # what another one said is not remembered for this one
    keyed = {
        str(answer.key): answer for answer in answers if answer.key is not None and answer.model_version == version
    }
    now = door.clock().timestamp()
    if not keyed or not door.remember_seconds:
        return
    there = later.flights.remembered(list(keyed))
    for key, answer in keyed.items():
        end = int(parse_moment(answer.scored_at).timestamp()) + door.remember_seconds
        if end > now and (key not in there or there[key].expires_at < end):
            memory = Remembered(answer.prediction, answer.model_version, answer.scored_at, end)
            later.flights.remember(key, memory)


def _land(later: Later, request: Request) -> None:
    """Let others ask about the key of a single request that is over."""
    if not request.several and request.keys[0] is not None:
        later.flights.land(str(request.keys[0]), request.id)
