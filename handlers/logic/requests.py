"""HTTP API events (payload 2.0) to what a caller asks for, and every way in which a caller can be wrong."""

import base64
import json
from dataclasses import dataclass
from typing import Any

from handlers.contract.errors import BadBody, BadKey, PayloadTooLarge, TooManyInstances, UnknownRequest
from handlers.contract.predictions import MAX_INSTANCES, MAX_KEY_BYTES, MAX_REQUEST_BYTES, REQUEST_PARAMETER, Instance

Event = dict[str, Any]


@dataclass(frozen=True)
class Asked:
    """Instances to predict for. `several`: the caller sent a list and gets a list.

    `upload` is the id of an upload that holds the instances instead.
    """

    instances: list[Instance]
    several: bool
    upload: str | None = None


def path_key(event: Event) -> str:
    """Return the key in a lookup's path, exactly as it is in the data. Raises BadKey.

    API Gateway has decoded `pathParameters` before it calls us, so decoding again would turn the key
    `a%2Fb` into `a/b`. There is one exception: a gateway may leave `%25` alone while it decodes everything
    else (the local cloud's does), and that one escape is undone here. AWS's own HTTP API was seen
    to decode paths twice (live captures of 2026-07, published with github.com/hotsock/voker: it rejects
    `100%25` and cuts at `%3F`), so there a key with `%` or `?` is looked up with POST, whose body nobody decodes.
    `+` is a plus sign in a path, never a blank.
    """
    key = (event.get("pathParameters") or {}).get("key") or ""
    return _checked_key(key.replace("%25", "%"))


def asked_by_path(event: Event) -> Asked:
    return Asked([Instance(key=path_key(event))], several=False)


def asked_by_body(event: Event) -> Asked:
    """Return what a POST asks for. Raises BadBody, BadKey and TooManyInstances."""
    body = _json_body(event)
    if not isinstance(body, dict):
        raise BadBody(f"the body must be a JSON object, not {_kind(body)}; {_SHAPES}")
    if "upload" in body:
        return _upload(body)
    if "instances" not in body:
        return Asked([to_instance(body, "the body")], several=False)
    if len(body) > 1:
        extra = ", ".join(sorted(map(repr, body.keys() - {"instances"})))
        raise BadBody(f"the body has 'instances' and also {extra}; {_SHAPES}")
    instances = body["instances"]
    if not isinstance(instances, list) or not instances:
        raise BadBody(f"'instances' must be a list with at least one instance; {_SHAPES}")
    if len(instances) > MAX_INSTANCES:
        raise TooManyInstances(
            f"{len(instances)} instances in one request; at most {MAX_INSTANCES} are allowed", limit=MAX_INSTANCES
        )
    return Asked([to_instance(entry, f"instance {place}") for place, entry in enumerate(instances)], several=True)


def polled_id(event: Event) -> str:
    """Return the id of the request that a poll asks for. Raises UnknownRequest."""
    request_id = (event.get("queryStringParameters") or {}).get(REQUEST_PARAMETER)
    if not request_id:
        raise UnknownRequest(f"say which request: ?{REQUEST_PARAMETER}=<id>")
    return request_id


def upload_type(event: Event) -> str | None:
    """Return the content type that an upload is asked for with; the body may be empty. Raises BadBody."""
    if not event.get("body"):
        return None
    body = _json_body(event)
    if not isinstance(body, dict) or body.keys() - {"content_type"}:
        raise BadBody('send {"content_type": T}, or no body at all')
    wanted = body.get("content_type")
    if wanted is not None and not isinstance(wanted, str):
        raise BadBody(f"'content_type' is a JSON string, not {_kind(wanted)}")
    return wanted


def _upload(body: dict[str, Any]) -> Asked:
    if len(body) > 1 or not isinstance(body["upload"], str):
        raise BadBody('an upload is asked about as {"upload": ID} and nothing else')
    return Asked([], several=True, upload=body["upload"])


_SHAPES = 'send {"key": K, "features": {...}} (either may be left out) or {"instances": [{...}, ...]}'


def _json_body(event: Event) -> Any:
    body = _bytes_of(event)
    if not body:
        raise BadBody(f"the body is empty; {_SHAPES}")
    if len(body) > MAX_REQUEST_BYTES:
        raise PayloadTooLarge(
            f"the body has {len(body):,} bytes; at most {MAX_REQUEST_BYTES:,} are allowed (5 MB, of the 6 "
            "that AWS Lambda carries); modes that answer later take larger payloads by POST /models/{model}/uploads",
            limit_bytes=MAX_REQUEST_BYTES,
            bytes=len(body),
        )
    try:
        return json.loads(body.decode(), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        from handlers.logic.json_faults import in_words  # nobody else needs it

        raise BadBody(f"the body {in_words(error)}; {_SHAPES}") from error


def _bytes_of(event: Event) -> bytes:
    """Return the body as the caller sent it: API Gateway hands over most content types as base64. Raises BadBody."""
    body = event.get("body") or ""
    try:
        return base64.b64decode(body, validate=True) if event.get("isBase64Encoded") else body.encode()
    except ValueError as error:
        raise BadBody(f"the body is neither UTF-8 nor the base64 that it is said to be; {_SHAPES}") from error


def _refuse_constant(name: str) -> Any:
    raise BadBody(f"the body is not JSON: {name} is no JSON number; {_SHAPES}")


def to_instance(entry: Any, where: str) -> Instance:
    """Return the key and the features in a JSON object, found `where`. Raises BadBody and BadKey."""
    if not isinstance(entry, dict):
        raise BadBody(f"{where} must be a JSON object, not {_kind(entry)}")
    unknown = sorted(map(repr, entry.keys() - {"key", "features"}))
    if unknown:
        raise BadBody(f"{where} has unknown members: {', '.join(unknown)}; known are 'key' and 'features'")
    if not entry:
        raise BadBody(f"{where} is empty; {_SHAPES}")
    features = entry.get("features")
    if "features" in entry and not isinstance(features, dict):
        raise BadBody(f"'features' of {where} must be a JSON object, not {_kind(features)}")
    return Instance(key=_checked_key(entry["key"]) if "key" in entry else None, features=features)


def _checked_key(key: Any) -> str | int:
    """Return a key that may be looked up. Raises BadKey; booleans are no integers here."""
    if isinstance(key, bool) or not isinstance(key, str | int):
        raise BadKey(f"a key is a JSON string or integer, not {_kind(key)}")
    if key == "":
        raise BadKey("the key is empty")
    try:
        length = len(str(key).encode())
    except UnicodeEncodeError as error:
        raise BadKey("the key cannot be written as UTF-8 text: it has half of a surrogate pair") from error
    if length > MAX_KEY_BYTES:
        raise BadKey(
            f"the key has {length:,} bytes in UTF-8; at most {MAX_KEY_BYTES:,} are allowed", limit=MAX_KEY_BYTES
        )
    return key


def _kind(value: Any) -> str:
    names = {dict: "object", list: "list", str: "string", bool: "boolean", type(None): "null"}
    return names.get(type(value), "number")
