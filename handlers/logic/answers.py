"""Requests to HTTP answers: routes, status codes, JSON bodies, and what each request counts for."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from handlers.contract import metrics
from handlers.contract.errors import (
    EndpointUnavailable,
    LiveLimitReached,
    ModelFailed,
    ModelRefused,
    ModelTimeout,
    NotServableLive,
    PayloadTooLarge,
    RequestError,
    StaleScores,
    StoreUnavailable,
    Throttled,
    UnknownKey,
    UnknownRoute,
)
from handlers.contract.modes import ServingMode
from handlers.contract.predictions import (
    MAX_BODY_BYTES,
    MAX_INSTANCES,
    MAX_REQUEST_BYTES,
    PRECOMPUTED,
    REFRESHED,
    ROUTE_DESCRIBE,
    ROUTE_LOOKUP,
    ROUTE_POLL,
    ROUTE_PREDICT,
    ROUTE_UPLOAD,
    Accepted,
    Prediction,
)
from handlers.contract.records import Generation
from handlers.logic.lookup import Answered, Door
from handlers.logic.moments import seconds_between
from handlers.logic.predictors import PREDICTORS
from handlers.logic.requests import Asked, Event, asked_by_body, asked_by_path, polled_id, upload_type

#: What callers are told to wait where an error does not say it itself (`retry_after_seconds`).
RETRY_AFTER_SECONDS: dict[type[RequestError], int] = {StoreUnavailable: 1}

#: Errors of the one call to the model, which concern all of a request's instances alike.
OF_THE_CALL = (
    EndpointUnavailable,
    LiveLimitReached,
    ModelFailed,
    ModelRefused,
    ModelTimeout,
    PayloadTooLarge,
    Throttled,
)

#: Lambda carries 6 MB of answer, in which our JSON is a string once more; below this no answer can be too large.
SURELY_SMALL = MAX_BODY_BYTES // 2
#: What surrounds our JSON in a function's answer.
ENVELOPE_BYTES = 4_096


@dataclass
class Answer:
    """A status, a JSON body, further headers, the metrics of this request, and what the log says of a 5xx."""

    status: int
    body: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict)
    counts: dict[str, float] = field(default_factory=dict)
    cause: str | None = None
    key: str | int | None = None  # the first key asked about, for the log's sample of hashes

    def to_response(self) -> dict[str, Any]:
        """Return the response that an HTTP API takes from a function (payload 2.0)."""
        return {
            "statusCode": self.status,
            "headers": {"content-type": "application/json", "cache-control": "no-store", **self.headers},
            "body": json.dumps(self.body),
            "isBase64Encoded": False,
        }


def answer(door: Door, event: Event) -> Answer:
    """Answer one request. Raises nothing but what nobody foresaw: every RequestError becomes its JSON body."""
    try:
        route = ROUTES.get(route_of(event, door.model))
        if route is None:
            raise UnknownRoute(f"{event.get('routeKey')!r} is no route of a model")
        made = route(door, event)
    except RequestError as error:
        made = refusal(error)
    _name_mode(made, door.mode)
    return made


def _name_mode(made: Answer, mode: str) -> None:
    """Have refusals and 202s say which mode gave them, as predictions do: after a switch that is the first question."""
    if "error" in made.body:
        made.body["error"].setdefault("mode", mode)
    elif made.status == 202:
        made.body["mode"] = mode


def carried(answered: Answer) -> tuple[Answer, dict[str, Any]]:
    """Return the answer and its response; what Lambda cannot carry becomes an error that says so."""
    response = answered.to_response()
    text = response["body"]
    if len(text) > SURELY_SMALL:
        size = len(text) + text.count('"') + text.count("\\") + ENVELOPE_BYTES
        if size > MAX_BODY_BYTES:
            limit = "6 MB, the limit of AWS Lambda"
            error = PayloadTooLarge(
                f"the answer is {size:,} bytes; at most {MAX_BODY_BYTES:,} can be carried ({limit}); ask for fewer "
                "instances in one request",
                limit_bytes=MAX_BODY_BYTES,
                bytes=size,
            )
            answered = replace(refusal(error), counts=answered.counts, key=answered.key)
            response = answered.to_response()
    return answered, response


def route_of(event: Event, model: str) -> str:
    """Return the route's template: a model's routes are deployed with its name in the place of `{model}`."""
    return event.get("routeKey", "").replace(f" /models/{model}", " /models/{model}", 1)


def refusal(error: RequestError) -> Answer:
    wait = error.details.get("retry_after_seconds", RETRY_AFTER_SECONDS.get(type(error)))
    # A score refused for its age is what the model's owner declared, no defect of the front door's.
    failed = error.http_status >= 500 and not isinstance(error, StaleScores)
    counts = {metrics.ERRORS: float(failed)}
    cause = repr(error.__cause__) if error.http_status >= 500 and error.__cause__ else None
    headers = {} if wait is None else {"retry-after": str(wait)}
    return Answer(error.http_status, error.to_body(), headers, counts, cause)


def _lookup(door: Door, event: Event) -> Answer:
    return _predicted(door, event, asked_by_path(event))


def _predict(door: Door, event: Event) -> Answer:
    return _predicted(door, event, asked_by_body(event))


def _predicted(door: Door, event: Event, asked: Asked) -> Answer:
    key = next((instance.key for instance in asked.instances if instance.key is not None), None)
    try:
        if asked.upload is not None:
            _require_uploads(door)
        answered = PREDICTORS[ServingMode(door.mode)].predict(door, asked)
        made = _outcome(answered, asked.several, event)
    except RequestError as error:
        answered = Answered([error])
        made = refusal(error)
    _count(made, answered, asked)
    made.key = key
    return made


def _outcome(answered: Answered, several: bool, event: Event) -> Answer:
    """Return one instance's outcome as an answer of its own, or several as a list.

    When nothing was predicted because the one call to the model failed, that is the whole request's status: the caller
    has one thing to do then, to come again.
    """
    outcomes = answered.outcomes
    if answered.accepted is not None:
        return _accepted(answered.accepted, event)
    failed = next((outcome for outcome in outcomes if isinstance(outcome, OF_THE_CALL)), None)
    if not several and isinstance(outcomes[0], RequestError):
        return refusal(outcomes[0])
    if failed is not None and all(isinstance(outcome, RequestError) for outcome in outcomes):
        return refusal(failed)
    bodies = [outcome if isinstance(outcome, dict) else outcome.to_body() for outcome in outcomes]
    return Answer(200, {"predictions": bodies} if several else bodies[0], counts={metrics.ERRORS: 0.0})


def _count(made: Answer, answered: Answered, asked: Asked) -> None:
    """Give an answer the metrics of what was asked and of its outcomes."""
    outcomes = answered.outcomes
    predictions = [outcome for outcome in outcomes if isinstance(outcome, Prediction)]
    counts: dict[str, float] = {
        metrics.PREDICTION_REQUESTS: 1,
        metrics.KEYLESS: sum(instance.key is None for instance in asked.instances) + (asked.upload is not None),
        metrics.HITS: sum(prediction.source in (PRECOMPUTED, REFRESHED) for prediction in predictions),
        metrics.MISSES: sum(isinstance(outcome, UnknownKey) for outcome in outcomes),
        metrics.STALE_ANSWERS: sum(prediction.stale for prediction in predictions),
    }
    if any(isinstance(outcome, (Throttled, LiveLimitReached)) for outcome in outcomes):
        counts[metrics.LIVE_REFUSED] = 1
    if refused := sum(isinstance(outcome, StaleScores) for outcome in outcomes):
        counts[metrics.STALE_REFUSED] = refused
    if predictions:
        counts[metrics.AGE_SECONDS] = max(prediction.age_seconds for prediction in predictions)
    made.cause = made.cause or answered.cause
    made.counts = counts | answered.counts | made.counts


def _accepted(accepted: Accepted, event: Event, counts: dict[str, float] | None = None) -> Answer:
    location = f"{_stage_path(event)}{accepted.location}"
    headers = {"location": location, "retry-after": str(accepted.retry_after_seconds)}
    body = replace(accepted, location=location).to_body()
    return Answer(202, body, headers, {metrics.ACCEPTED: 1.0, metrics.ERRORS: 0.0} if counts is None else counts)


def _poll(door: Door, event: Event) -> Answer:
    """Answer what became of a request, in whatever mode it was accepted."""
    from handlers.logic.deferred import poll

    found = poll(door, polled_id(event))
    if isinstance(found, dict):
        return Answer(200, found, counts={metrics.ERRORS: 0.0})
    if found.accepted is not None:
        return _accepted(found.accepted, event, {metrics.ERRORS: 0.0})
    return _outcome(found, found.several, event)


def _upload(door: Door, event: Event) -> Answer:
    wanted = upload_type(event)
    _require_uploads(door)
    from handlers.logic.deferred import hand_out_upload

    return Answer(200, hand_out_upload(door, wanted), counts={metrics.ERRORS: 0.0})


def _require_uploads(door: Door) -> None:
    """Raise NotServableLive where answers do not come later, and so nothing is fetched from an upload."""
    from handlers.logic.families import FAMILIES

    family = PREDICTORS[ServingMode(door.mode)].family(door)
    if family is None or not FAMILIES[family].later:
        raise NotServableLive(
            f"model {door.model!r} is served in mode {door.mode}, which takes no uploads",
            model=door.model,
            mode=door.mode,
            hint="send the instances in the body of a POST; `mode: async` takes uploads of up to 1 GB",
        )


def _describe(door: Door, event: Event) -> Answer:
    card = door.card()
    predictor = PREDICTORS[ServingMode(door.mode)]
    generation = door.visible.generation(predictor.shown(door.visible.pointer()))
    body = {
        "model": door.model,
        "mode": door.mode,
        "stage": door.stage,
        "model_version": door.model_version,
        "description": card.description,
        "asking": _asking(door),
        "freshness": _freshness(door, generation) if generation else None,  # None: nothing computed beforehand
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
        "curl": ready_curl(event, door.model, None if predictor.by_key else card),
    }
    return Answer(200, body, counts={metrics.ERRORS: 0.0})


def _asking(door: Door) -> dict[str, Any]:
    """Return how this mode is asked, which kind of endpoint answers, and its limits."""
    from handlers.logic.families import FAMILIES

    predictor = PREDICTORS[ServingMode(door.mode)]
    family = FAMILIES.get(predictor.family(door) or "")
    limits: dict[str, int] = {"instances": MAX_INSTANCES, "body_bytes": MAX_REQUEST_BYTES}
    if family is not None:
        limits["payload_bytes"] = family.payload_bytes
    if door.fallback:
        limits["live_calls_per_minute"] = door.max_live_per_minute
    return {
        "how": predictor.asking,
        "endpoint_family": family.word if family else None,
        "answers": "later, at the Location of a 202" if family and family.later else "at once",
        "remembered_seconds": door.remember_seconds or None,
        "limits": limits,
    }


def _freshness(door: Door, generation: Generation) -> dict[str, Any]:
    age = seconds_between(generation.as_of, door.clock())
    return {
        "generation": generation.id,
        "model_version": generation.model_version,
        "scored_at": generation.scored_at,
        "data_as_of": generation.as_of,
        "age_seconds": age,
        "max_staleness_seconds": door.max_staleness_seconds,
        "on_stale": door.on_stale,
        "stale": door.is_stale(age),
        "rows": generation.rows_scored,
        "results_uri": generation.results_uri,
    }


def ready_curl(event: Event, model: str, card: Any = None) -> str:
    """Return a signed call to paste into a shell that has AWS credentials: a lookup in which KEY is to be replaced.

    With a card it is a POST of features, each with a value of its type.
    """
    from urllib.parse import quote  # lookups do without

    context, headers = event.get("requestContext") or {}, event.get("headers") or {}
    domain = context.get("domainName", "")
    port = headers.get("host", "").partition(":")[2]
    scheme = headers.get("x-forwarded-proto", "http" if port else "https")
    path = f"{_stage_path(event)}/models/{quote(model)}/predictions"
    url = f"{scheme}://{domain}{':' + port if port and port != '443' else ''}{path}"
    # <id>.execute-api.<region>.amazonaws.com; an emulator's domain names no region.
    labels = domain.split(".")
    region = labels[2] if len(labels) > 4 else "${AWS_REGION:-us-east-1}"
    call = (
        f'curl --aws-sigv4 "aws:amz:{region}:execute-api" '
        '--user "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY" '
        '${AWS_SESSION_TOKEN:+-H "x-amz-security-token: $AWS_SESSION_TOKEN"} '
    )
    if card is None:
        return f"{call}{url}/KEY"
    body = json.dumps({"key": "KEY", "features": {feature.name: _example(feature) for feature in card.features}})
    quoted = body.replace("'", "'\\''")
    return f"{call}-H 'content-type: application/json' -d '{quoted}' {url}"


def _example(feature: Any) -> Any:
    """Return a value that a feature may have, as far as its range and list tell."""
    if feature.values:
        return feature.values[0]
    least = feature.minimum if feature.minimum is not None else min(0, feature.maximum or 0)
    return {"float": float(least), "integer": int(least), "boolean": False, "string": "TEXT"}[feature.type]


def _stage_path(event: Event) -> str:
    """Return what stands before `/models` in a path: nothing, or a named API stage."""
    stage = (event.get("requestContext") or {}).get("stage", "$default")
    return "" if stage == "$default" else f"/{stage}"


ROUTES: dict[str, Callable[[Door, Event], Answer]] = {
    ROUTE_PREDICT: _predict,
    ROUTE_LOOKUP: _lookup,
    ROUTE_DESCRIBE: _describe,
    ROUTE_POLL: _poll,
    ROUTE_UPLOAD: _upload,
}
