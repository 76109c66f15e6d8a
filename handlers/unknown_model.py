"""The platform's answer to every request that no model's route claims."""

import json
import os
import re
from functools import cache
from typing import Any

from handlers.contract.env import UnknownModelEnv
from handlers.contract.errors import RequestError, UnknownModel, UnknownRoute
from handlers.contract.predictions import ROUTE_DESCRIBE, ROUTE_LOOKUP, ROUTE_POLL, ROUTE_PREDICT, ROUTE_UPLOAD

ROUTES = (ROUTE_DESCRIBE, ROUTE_LOOKUP, ROUTE_PREDICT, ROUTE_POLL, ROUTE_UPLOAD)


@cache
def environment() -> UnknownModelEnv:
    return UnknownModelEnv.from_environ(os.environ)


@cache
def _pattern(route: str) -> re.Pattern[str]:
    """Return a route's template as an expression over `METHOD /path`."""
    expression = re.escape(route).replace(r"\{model\}", "(?P<model>[^/]+)").replace(r"\{key\+\}", ".+")
    return re.compile(expression, re.DOTALL)


def refusal_of(method: str, path: str, stage: str) -> RequestError:
    """Return UnknownModel for what would be a model's route if there were such a model, else UnknownRoute."""
    for route in ROUTES:
        if found := _pattern(route).fullmatch(f"{method} {path}"):
            name = found["model"]
            return UnknownModel(f"no model {name!r} is deployed in stage {stage!r}", model=name, stage=stage)
    return UnknownRoute(f"there is no {method} {path}", routes=list(ROUTES))


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Answer 404 as JSON to an HTTP API request (payload 2.0)."""
    request = event["requestContext"]["http"]
    stage = event["requestContext"].get("stage", "$default")
    path = event.get("rawPath", request["path"])
    # A named API stage stands in front of the path; the default one does not.
    path = path if stage == "$default" else path.removeprefix(f"/{stage}")
    refused = refusal_of(request["method"], path, environment().stage)
    print(json.dumps({"level": "INFO", "status": refused.http_status, "error": refused.code, "path": path}), flush=True)
    return {
        "statusCode": refused.http_status,
        "headers": {"content-type": "application/json", "cache-control": "no-store"},
        "body": json.dumps(refused.to_body()),
        "isBase64Encoded": False,
    }
