"""Requests to HTTP answers: routes, status codes, JSON bodies, and what each request counts for."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote

from handlers.contract import metrics
from handlers.contract.errors import RequestError, StoreUnavailable, UnknownKey, UnknownRoute
from handlers.contract.modes import ServingMode
from handlers.contract.predictions import ROUTE_DESCRIBE, ROUTE_LOOKUP, ROUTE_PREDICT, Prediction
from handlers.contract.records import Generation
from handlers.logic.lookup import Door
from handlers.logic.moments import seconds_between
from handlers.logic.predictors import PREDICTORS
from handlers.logic.requests import Asked, Event, asked_by_body, asked_by_path

RETRY_AFTER_SECONDS = 1


@dataclass
class Answer:
    """A status, a JSON body, further headers, the metrics of this request, and what the log says of a 5xx."""

    status: int
    body: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict)
    counts: dict[str, float] = field(default_factory=dict)
    cause: str | None = None

    def to_response(self) -> dict[str, Any]:
        """Return the response that an HTTP API takes from a function (payload 2.0)."""
        return {
            "statusCode": self.status,
            "headers": {"content-type": "application/json", "cache-control": "no-store", **self.headers},
            "body": json.dumps(self.body),
            "isBase64Encoded": False,
        }


def answer(door: Door, event: Event, load_card: Callable[[], Any]) -> Answer:
    """Answer one request. Raises nothing but what nobody foresaw: every RequestError becomes its JSON body.

    `load_card` returns the model's card; it is called for descriptions only.
    """
    try:
        route = ROUTES.get(route_of(event, door.model))
        if route is None:
            raise UnknownRoute(f"{event.get('routeKey')!r} is no route of a model")
        return route(door, event, load_card)
    except RequestError as error:
        return refusal(error)


def route_of(event: Event, model: str) -> str:
    """Return the route's template: a model's routes are deployed with its name in the place of `{model}`."""
    return event.get("routeKey", "").replace(f" /models/{model}", " /models/{model}", 1)


def refusal(error: RequestError) -> Answer:
    headers = {"retry-after": str(RETRY_AFTER_SECONDS)} if isinstance(error, StoreUnavailable) else {}
    counts = {metrics.ERRORS: 1.0 if error.http_status >= 500 else 0.0}
    cause = repr(error.__cause__) if error.http_status >= 500 and error.__cause__ else None
    return Answer(error.http_status, error.to_body(), headers, counts, cause)


def _lookup(door: Door, event: Event, load_card: Callable[[], Any]) -> Answer:
    return _predicted(door, asked_by_path(event))


def _predict(door: Door, event: Event, load_card: Callable[[], Any]) -> Answer:
    return _predicted(door, asked_by_body(event))


def _predicted(door: Door, asked: Asked) -> Answer:
    outcomes = PREDICTORS[ServingMode(door.mode)].predict(door, asked.instances)
    predictions = [outcome for outcome in outcomes if isinstance(outcome, Prediction)]
    counts = {
        metrics.HITS: len(predictions),
        metrics.MISSES: sum(isinstance(outcome, UnknownKey) for outcome in outcomes),
        metrics.STALE_ANSWERS: sum(prediction.stale for prediction in predictions),
        metrics.ERRORS: 0.0,
    }
    if predictions:
        counts[metrics.AGE_SECONDS] = max(prediction.age_seconds for prediction in predictions)
    if asked.several:
        return Answer(200, {"predictions": [outcome.to_body() for outcome in outcomes]}, counts=counts)
    if isinstance(outcomes[0], RequestError):
        refused = refusal(outcomes[0])
        return replace(refused, counts=counts | refused.counts)
    return Answer(200, outcomes[0].to_body(), counts=counts)


def _describe(door: Door, event: Event, load_card: Callable[[], Any]) -> Answer:
    card = load_card()
    generation = door.visible.generation(PREDICTORS[ServingMode(door.mode)].shown(door.visible.pointer()))
    body = {
        "model": door.model,
        "mode": door.mode,
        "stage": door.stage,
        "model_version": door.model_version,
        "description": card.description,
        "freshness": _freshness(door, generation) if generation else None,  # None: no run has succeeded yet
        "results_uri": door.results_uri,
        "schema": {
            "key": {"column": card.key, "type": card.key_type or (generation.key_type if generation else None)},
            "features": [
                {name: value for name, value in feature.__dict__.items() if value is not None}
                for feature in card.features
            ],
            "prediction": card.prediction,
        },
        "routes": [route.replace("{model}", door.model) for route in ROUTES],
        "curl": ready_curl(event, door.model),
    }
    return Answer(200, body, counts={metrics.ERRORS: 0.0})


def _freshness(door: Door, generation: Generation) -> dict[str, Any]:
    age = seconds_between(generation.scored_at, door.clock())
    return {
        "generation": generation.id,
        "model_version": generation.model_version,
        "scored_at": generation.scored_at,
        "age_seconds": age,
        "max_staleness_seconds": door.max_staleness_seconds,
        "stale": door.is_stale(age),
        "rows": generation.rows_scored,
        "results_uri": generation.results_uri,
    }


def ready_curl(event: Event, model: str) -> str:
    """Return a signed lookup to paste into a shell that has AWS credentials; KEY is to be replaced."""
    context, headers = event.get("requestContext") or {}, event.get("headers") or {}
    domain = context.get("domainName", "")
    port = headers.get("host", "").partition(":")[2]
    scheme = headers.get("x-forwarded-proto", "http" if port else "https")
    stage = context.get("stage", "$default")
    path = f"/models/{quote(model)}/predictions/KEY"
    # <id>.execute-api.<region>.amazonaws.com; an emulator's domain names no region.
    labels = domain.split(".")
    region = labels[2] if len(labels) > 4 else "${AWS_REGION:-us-east-1}"
    url = f"{scheme}://{domain}{':' + port if port and port != '443' else ''}"
    url += path if stage == "$default" else f"/{stage}{path}"
    return (
        f'curl --aws-sigv4 "aws:amz:{region}:execute-api" '
        '--user "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY" '
        '${AWS_SESSION_TOKEN:+-H "x-amz-security-token: $AWS_SESSION_TOKEN"} '
        f"{url}"
    )


ROUTES: dict[str, Callable[[Door, Event, Callable[[], Any]], Answer]] = {
    ROUTE_PREDICT: _predict,
    ROUTE_LOOKUP: _lookup,
    ROUTE_DESCRIBE: _describe,
}
