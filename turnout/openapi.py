"""The client contract as an OpenAPI 3.1 document, made from `handlers.contract`.

`python -m turnout.openapi` writes docs/openapi.json; a test holds the file to the code. One document serves all modes:
which of a route's answers a mode gives is said in docs/api.md.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from types import NoneType
from typing import Any, Union, get_args, get_origin, get_type_hints

from handlers.contract import errors
from handlers.contract.card import Feature, ModelCard
from handlers.contract.modes import AVAILABLE
from handlers.contract.predictions import (
    DEFERRED,
    LIVE,
    MAX_INSTANCES,
    MAX_KEY_BYTES,
    PRECOMPUTED,
    REFRESHED,
    REMEMBERED,
    REQUEST_PARAMETER,
    ROUTE_DESCRIBE,
    ROUTE_LOOKUP,
    ROUTE_POLL,
    ROUTE_PREDICT,
    ROUTE_UPLOAD,
    Accepted,
    Prediction,
)

PATH = Path(__file__).resolve().parents[1] / "docs/openapi.json"

Schema = dict[str, Any]

#: What any route of any model may answer: no such model or route, a table that does not answer, a defect of ours.
ANYWHERE = (errors.UnknownModel, errors.UnknownRoute, errors.StoreUnavailable, errors.RequestError)
#: Where the answer is a prediction from a table, from the model, or from what an asynchronous request left.
LOOKED_UP = (errors.UnknownKey, errors.NotScoredYet, errors.NotServableLive, errors.StaleScores)
ASKED = (
    errors.BadFeatures,
    errors.EndpointUnavailable,
    errors.LiveLimitReached,
    errors.ModelFailed,
    errors.ModelRefused,
    errors.ModelTimeout,
    errors.PayloadTooLarge,
    errors.Throttled,
)


@dataclass(frozen=True)
class Operation:
    """One route: what it is for, what it takes and answers, and how it may refuse."""

    id: str
    summary: str
    answers: dict[str, str]  # status -> schema
    refuses: tuple[type[errors.RequestError], ...]
    body: str | None = None
    body_required: bool = True


OPERATIONS: dict[str, Operation] = {
    ROUTE_PREDICT: Operation(
        "predict",
        "Predictions for one instance, for several, or for an upload. 202: follow Location with GET until it is not.",
        {"200": "Answer", "202": "Accepted"},
        (
            errors.BadBody,
            errors.BadKey,
            errors.FeaturesNeeded,
            errors.TooManyInstances,
            errors.UnknownRequest,
            *LOOKED_UP,
            *ASKED,
        ),
        body="Question",
    ),
    ROUTE_LOOKUP: Operation(
        "lookup",
        "The prediction of one key, where the mode has predictions by key.",
        {"200": "Prediction"},
        (errors.BadKey, errors.FeaturesNeeded, errors.PayloadTooLarge, *LOOKED_UP),
    ),
    ROUTE_POLL: Operation(
        "poll",
        "How an asynchronous request stands; the same in every mode.",
        {"200": "Polled", "202": "Accepted"},
        (
            errors.UnknownRequest,
            errors.RequestExpired,
            errors.ModelRefused,
            errors.ModelFailed,
            errors.ModelTimeout,
            errors.PayloadTooLarge,
        ),
    ),
    ROUTE_UPLOAD: Operation(
        "upload",
        "Where to PUT a payload too large for a body, in modes that answer later.",
        {"200": "Upload"},
        (errors.BadBody, errors.NotServableLive, errors.PayloadTooLarge),
        body="UploadQuestion",
        body_required=False,
    ),
    ROUTE_DESCRIBE: Operation(
        "describe",
        "The model's mode, version, freshness, schema, limits, and a ready call.",
        {"200": "Description"},
        (),
    ),
}


def document(card: ModelCard | None = None) -> Schema:
    """Return the document; with a model's card it says which features that model takes."""
    paths: dict[str, Schema] = {}
    for route, operation in OPERATIONS.items():
        method, _, path = route.partition(" ")
        paths.setdefault(path.replace("{key+}", "{key}"), {})[method.lower()] = _operation(operation, path, card)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Turnout: predictions",
            "version": "1",
            "description": "One URL per model, the same in every mode. Requests are signed with SigV4 (service "
            "execute-api); unsigned ones get 403 from API Gateway, whose own errors have a body of another form.",
        },
        "security": [{"sigv4": []}],
        "paths": paths,
        "components": {"schemas": _schemas(card), "securitySchemes": {"sigv4": _SIGV4}},
    }


_SIGV4 = {"type": "apiKey", "in": "header", "name": "Authorization", "description": "AWS Signature Version 4"}


def _operation(operation: Operation, path: str, card: ModelCard | None) -> Schema:
    made: Schema = {
        "operationId": operation.id,
        "summary": operation.summary,
        "parameters": _parameters(operation, path, card),
    }
    if operation.body is not None:
        content = {"application/json": {"schema": _reference(operation.body)}}
        made["requestBody"] = {"required": operation.body_required, "content": content}
    made["responses"] = {status: _response(schema, status) for status, schema in operation.answers.items()}
    made["responses"] |= _refusals((*operation.refuses, *ANYWHERE))
    return made


def _parameters(operation: Operation, path: str, card: ModelCard | None) -> list[Schema]:
    model: Schema = {"type": "string", "minLength": 1}
    parameters = [_parameter("model", "path", model if card is None else {"const": card.model})]
    if "{key+}" in path:
        parameters.append(_parameter("key", "path", {"type": "string", "minLength": 1, "maxLength": MAX_KEY_BYTES}))
    if operation.id == "poll":
        parameters.append(_parameter(REQUEST_PARAMETER, "query", {"type": "string"}))
    return parameters


def _parameter(name: str, place: str, schema: Schema) -> Schema:
    return {"name": name, "in": place, "required": True, "schema": schema}


def _response(schema: str, status: str) -> Schema:
    made: Schema = {"description": _MEANINGS[status], "content": {"application/json": {"schema": _reference(schema)}}}
    if status == "202":
        made["headers"] = {
            "location": _header({"type": "string"}, True),
            "retry-after": _header({"type": "integer"}, True),
        }
    return made


_MEANINGS = {"200": "The answer.", "202": "Accepted; the answer will be at Location."}


def _refusals(refused: tuple[type[errors.RequestError], ...]) -> Schema:
    """Return the responses for errors, one per status, each with the codes that it may have."""
    by_status: dict[str, list[str]] = {}
    for error in refused:
        by_status.setdefault(str(error.http_status), []).append(error.code)
    made = {}
    for status, codes in sorted(by_status.items()):
        code = {"properties": {"error": {"properties": {"code": {"enum": sorted(set(codes))}}}}}
        schema = {"allOf": [_reference("Error"), code]}
        made[status] = {
            "description": ", ".join(sorted(set(codes))),
            "content": {"application/json": {"schema": schema}},
            "headers": {"retry-after": _header({"type": "integer"}, False)},
        }
    return made


def _header(schema: Schema, required: bool) -> Schema:
    return {"required": required, "schema": schema}


def _reference(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _schemas(card: ModelCard | None) -> dict[str, Schema]:
    several = {
        "type": "object",
        "required": ["predictions"],
        "properties": {
            "predictions": {"type": "array", "items": {"anyOf": [_reference("Prediction"), _reference("Error")]}}
        },
        "additionalProperties": False,
    }
    return {
        "Key": {
            "description": "As it stands in the data; keys of an integer column come back as integers.",
            "anyOf": [{"type": "string", "minLength": 1, "maxLength": MAX_KEY_BYTES}, {"type": "integer"}],
        },
        "Features": _features(card),
        "Instance": _instance(),
        "Question": {"oneOf": [_reference("Instance"), _instances(), _reference("UploadedQuestion")]},
        "UploadedQuestion": _object({"upload": {"type": "string"}}, ["upload"]),
        "UploadQuestion": _object({"content_type": {"type": ["string", "null"]}}, []),
        "Prediction": _dataclass(Prediction, {"mode": _modes(), "source": _sources(), "age_seconds": _whole()}),
        "Several": several,
        "Answer": {"oneOf": [_reference("Prediction"), _reference("Several")]},
        "Polled": {"oneOf": [_reference("Prediction"), _reference("Several"), _reference("LargeAnswer")]},
        "LargeAnswer": _large_answer(),
        "Accepted": _dataclass(Accepted, {"status": {"const": "pending"}}, {"mode": _modes()}),
        "Upload": _upload(),
        "Description": _description(),
        "Error": _error(),
    }


def _object(properties: Schema, required: list[str]) -> Schema:
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _instance() -> Schema:
    members = _object({"key": _reference("Key"), "features": _reference("Features")}, [])
    return {**members, "minProperties": 1}


def _instances() -> Schema:
    listed = {"type": "array", "items": _reference("Instance"), "minItems": 1, "maxItems": MAX_INSTANCES}
    return _object({"instances": listed}, ["instances"])


def _features(card: ModelCard | None) -> Schema:
    if card is None:
        return {"type": "object", "description": "The model's features by name: GET /models/{model} lists them."}
    needed = [feature.name for feature in card.features if not feature.nullable]
    return _object({feature.name: _feature(feature) for feature in card.features}, needed)


def _feature(feature: Feature) -> Schema:
    kind = {"float": "number"}.get(feature.type, feature.type)
    schema: Schema = {"type": [kind, "null"] if feature.nullable else kind}
    if feature.minimum is not None:
        schema["minimum"] = feature.minimum
    if feature.maximum is not None:
        schema["maximum"] = feature.maximum
    if feature.pattern is not None:
        schema["pattern"] = f"^(?:{feature.pattern})$"
    if feature.values is not None:
        schema["enum"] = [*feature.values, None] if feature.nullable else list(feature.values)
    return schema


def _dataclass(described: type, narrower: Schema, more: Schema | None = None) -> Schema:
    """Return a dataclass's JSON body: every member is always there, beside those in `more`."""
    hints = get_type_hints(described)
    properties = {name: narrower.get(name, _of_type(hints[name])) for name in described.__dataclass_fields__}
    properties |= more or {}
    return _object(properties, list(properties))


_JSON_TYPES = {str: "string", int: "integer", bool: "boolean", NoneType: "null"}


def _of_type(hint: Any) -> Schema:
    if hint is Any:
        return {}
    kinds = get_args(hint) if get_origin(hint) in (Union, type(int | str)) else (hint,)
    names = [_JSON_TYPES[kind] for kind in kinds]
    return {"type": names[0] if len(names) == 1 else names}


def _modes() -> Schema:
    return {"enum": sorted(mode.value for mode in AVAILABLE)}


def _sources() -> Schema:
    return {"enum": [PRECOMPUTED, REFRESHED, LIVE, REMEMBERED, DEFERRED]}


def _whole() -> Schema:
    return {"type": "integer", "minimum": 0}


def _text() -> Schema:
    return {"type": "string"}


def _large_answer() -> Schema:
    members: Schema = {
        "model": _text(),
        "mode": _modes(),
        "request": _text(),
        "source": {"const": DEFERRED},
        "model_version": _text(),
        "scored_at": _text(),
        "output_uri": {"type": "string", "description": "GET it: one line per instance, as the model wrote it."},
        "output_bytes": _whole(),
        "expires_at": _text(),
    }
    return _object(members, list(members))


def _upload() -> Schema:
    members: Schema = {
        "upload": {"type": "string", "description": 'To be sent as {"upload": ...} once the payload is there.'},
        "url": {"type": "string", "description": "PUT the payload here: one line per instance, columns in this order."},
        "expires_at": _text(),
        "content_type": _text(),
        "columns": {"type": "array", "items": _text()},
        "limit_bytes": _whole(),
    }
    return _object(members, list(members))


def _description() -> Schema:
    members: Schema = {
        "model": _text(),
        "mode": _modes(),
        "stage": _text(),
        "model_version": _text(),
        "description": _text(),
        "asking": {"type": "object"},
        "freshness": {"type": ["object", "null"]},
        "results_uri": _text(),
        "schema": {"type": "object"},
        "routes": {"type": "array", "items": _text()},
        "curl": _text(),
    }
    return _object(members, list(members))


def _error() -> Schema:
    codes = sorted({error.code for error in (errors.RequestError, *errors.RequestError.__subclasses__())})
    members = {"code": {"enum": codes}, "message": _text()}
    inner = {"type": "object", "required": list(members), "properties": members}
    return _object({"error": inner}, ["error"])


def text() -> str:
    return json.dumps(document(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    PATH.write_text(text(), encoding="utf-8")
    print("wrote docs/openapi.json")
