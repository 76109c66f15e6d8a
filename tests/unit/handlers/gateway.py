"""A tiny HTTP API on this machine: requests become events (payload 2.0), answers of a function become responses."""

import base64
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from handlers.contract.predictions import (
    ROUTE_DESCRIBE,
    ROUTE_LOOKUP,
    ROUTE_POLL,
    ROUTE_PREDICT,
    ROUTE_UPLOAD,
)

Respond = Callable[[dict[str, Any]], dict[str, Any]]


def route_of(method: str, path: str, model: str) -> tuple[str, str | None]:
    """Return the key of the route that a model's API has for a request, and the key in its path."""
    whole = {
        route.replace("{model}", model): None for route in (ROUTE_DESCRIBE, ROUTE_POLL, ROUTE_PREDICT, ROUTE_UPLOAD)
    }
    asked = f"{method} {path}"
    start = ROUTE_LOOKUP.replace("{model}", model).removesuffix("{key+}")
    if asked.startswith(start) and len(asked) > len(start):
        return f"{start}{{key+}}", unquote(asked.removeprefix(start))
    return (asked, None) if asked in whole else ("$default", None)


def event_of(method: str, target: str, headers: dict[str, str], body: bytes, model: str) -> dict[str, Any]:
    """Return the event that an HTTP API would send for a request."""
    parts = urlsplit(target)
    route, key = route_of(method, parts.path, model)
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": route,
        "rawPath": parts.path,
        "rawQueryString": parts.query,
        "headers": headers,
        "requestContext": {
            "domainName": "127.0.0.1",
            "stage": "$default",
            "requestId": "r",
            "http": {"method": method},
        },
        "isBase64Encoded": False,
    }
    if key is not None:
        event["pathParameters"] = {"key": key}
    if parts.query:
        values = parse_qs(parts.query, keep_blank_values=True)
        event["queryStringParameters"] = {name: ",".join(found) for name, found in values.items()}
    if body:
        try:
            event["body"] = body.decode()
        except UnicodeDecodeError:
            event["body"], event["isBase64Encoded"] = base64.b64encode(body).decode(), True
    return event


@contextmanager
def serving(respond: Respond, model: str) -> Iterator[str]:
    """Serve a function as an API; yield its base URL."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1

        def _handle(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            response = respond(event_of(self.command, self.path, headers, body, model))
            raw = response["body"].encode()
            self.send_response(response["statusCode"])
            for name, value in response["headers"].items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        do_GET = do_POST = _handle

        def log_message(self, *args: Any) -> None:
            """Stay silent."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
