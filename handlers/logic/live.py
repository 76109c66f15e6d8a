"""Predictions by asking the model: features checked, all instances in one call, what went wrong said.

Imported only by requests that need it; a hit of `precompute` or `hybrid` never gets here.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from handlers.contract import metrics
from handlers.contract.card import ModelCard
from handlers.contract.errors import (
    BadFeatures,
    FeaturesNeeded,
    LiveLimitReached,
    ModelFailed,
    PayloadTooLarge,
    RequestError,
)
from handlers.contract.predictions import LIVE, ROUTE_PREDICT, Instance, Key, Prediction
from handlers.logic.families import Family
from handlers.logic.feature_checks import key_reasons, reasons, typed_key
from handlers.logic.live_ports import Endpoint, Flights
from handlers.logic.lookup import Answered, Door, Outcome
from handlers.logic.moments import format_moment
from handlers.logic.requests import Asked
from handlers.logic.rows import NoPrediction, content_type, decode_answer, encode_rows

#: An answer outlives those who wait for it, also where answers are not to be remembered.
LEAST_REMEMBERED_SECONDS = 5


@dataclass(frozen=True)
class Live:
    """What a front door has at hand that asks its model."""

    card: ModelCard
    family: Family
    endpoint: Endpoint
    flights: Flights
    monotonic: Callable[[], float]
    sleep: Callable[[float], None]
    new_id: Callable[[], str]


def predict_live(door: Door, asked: Asked) -> Answered:
    """Return the model's answer for each instance that fits the schema, and for each other one why it does not."""
    live = door.live()
    outcomes: list[Any] = [refused(door, live.card, instance) for instance in asked.instances]
    places = [place for place, outcome in enumerate(outcomes) if outcome is None]
    answers = ask(door, live, [asked.instances[place] for place in places], live.card.key_type) if places else []
    for place, answer in zip(places, answers, strict=True):
        outcomes[place] = answer
    return Answered(outcomes, {metrics.LIVE_CALLS: 1 if places else 0})


def refused(door: Door, card: ModelCard, instance: Instance) -> RequestError | None:
    """Return why the model cannot be asked about an instance, or None."""
    if instance.features is None:
        return features_needed(door, card, instance.key)
    return unfit(card, instance.key, instance.features)


def unfit(card: ModelCard, key: Key | None, features: Mapping[str, Any]) -> BadFeatures | None:
    """Return everything in which a key and features do not fit the schema, or None."""
    found = key_reasons(card, key) + reasons(card, features)
    if not found:
        return None
    first = found[0]["message"]
    more = f", and {len(found) - 1} more" if len(found) > 1 else ""
    return BadFeatures(f"the features do not fit the model: {first}{more}", reasons=found)


def features_needed(door: Door, card: ModelCard, key: Key | None) -> FeaturesNeeded:
    return FeaturesNeeded(
        f"model {door.model!r} is served in mode {door.mode}: the model is asked at the moment of the request, "
        "so the request must bring the features",
        model=door.model,
        mode=door.mode,
        **how_to_send(door, card, key),
    )


def how_to_send(door: Door, card: ModelCard, key: Key | None) -> dict[str, object]:
    """Return the names of the features and the request to send them with; types stand in the place of values."""
    body: dict[str, object] = {} if key is None else {"key": key}
    body["features"] = {feature.name: f"<{feature.type}>" for feature in card.features}
    return {
        "send_features": card.feature_names,
        "send_to": ROUTE_PREDICT.replace("{model}", door.model),
        "send_body": body,
    }


def ask(door: Door, live: Live, instances: Sequence[Instance], key_type: str | None) -> list[Outcome]:
    """Ask the model about checked instances in one call. An error of the call stands in the place of each."""
    keys = [None if instance.key is None else typed_key(instance.key, key_type) for instance in instances]
    body = encode_rows(live.card, keys, [instance.features for instance in instances])
    try:
        predictions = call(live.card, live.family, live.endpoint, body, len(instances))
    except RequestError as error:
        return [error] * len(instances)
    scored_at = format_moment(door.clock())
    return [
        Prediction(door.model, door.mode, key, value, LIVE, door.model_version, None, scored_at, scored_at, 0, False)
        for key, value in zip(keys, predictions, strict=True)
    ]


def take_turn(door: Door, flights: Flights) -> None:
    """Count one live call in this minute. Raises LiveLimitReached when there were as many as there may be."""
    now, limit = door.clock(), door.max_live_per_minute
    if not flights.count_call(f"{now:%Y%m%dT%H%M}", limit, expires_at=int(now.timestamp()) + 3600):
        wait = 60 - now.second
        raise LiveLimitReached(
            f"model {door.model!r} was asked {limit} times in this minute, as often as it may be; "
            f"the next minute begins in {wait} s",
            limit_per_minute=limit,
            retry_after_seconds=wait,
        )


def call(card: ModelCard, family: Family, endpoint: Endpoint, body: bytes, count: int) -> list[object]:
    """Return the model's predictions for `count` rows. Raises what `Endpoint` does, PayloadTooLarge and ModelFailed."""
    if len(body) > family.payload_bytes:
        raise too_large(family, len(body))
    answer = endpoint.invoke(body, content_type(card))
    try:
        return decode_answer(card, answer, count)
    except NoPrediction as error:
        raise ModelFailed(f"the model's answer cannot be used: {error}") from error


def too_large(family: Family, size: int) -> PayloadTooLarge:
    return PayloadTooLarge(
        f"the features are {size:,} bytes for the model; at most {family.payload_bytes:,} are allowed "
        f"({family.payload})",
        limit_bytes=family.payload_bytes,
        bytes=size,
    )
