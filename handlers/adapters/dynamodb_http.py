"""DynamoDB's reads over our own signed HTTP: what a lookup needs of botocore's client, for far less CPU.

Where credentials, endpoint or network are not simply what the environment says, botocore's client is used instead: it
knows profiles, container credentials (SnapStart), proxies, FIPS and dual-stack endpoints, and every partition.
"""

import json
import os
import time
from binascii import a2b_base64
from collections.abc import Callable, Mapping
from typing import Any

from handlers.adapters.http_connection import Connection
from handlers.adapters.sigv4 import Prepared, Signer
from handlers.adapters.store_errors import CallFailed

#: Three tries of at most two seconds each: within the 30 s that an HTTP API waits, whatever happens.
TRIES, CONNECT_SECONDS, READ_SECONDS = 3, 1.0, 1.0
#: Seconds for which a signature's moment is used again; the service takes it for five minutes.
MOMENT_SECONDS = 10
#: Full jitter below 25 ms, then 50 ms: DynamoDB's hot partitions cool down in milliseconds.
FIRST_PAUSE = 0.025

#: Refusals of one try that the next may not meet.
PASSING = frozenset(
    {
        "InternalServerError",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "ServiceUnavailable",
        "ThrottlingException",
    }
)

#: Variables that ask for what only botocore knows.
BOTOCORE_ONLY = (
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_PROFILE",
    "AWS_USE_DUALSTACK_ENDPOINT",
    "AWS_USE_FIPS_ENDPOINT",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "https_proxy",
    "http_proxy",
)
#: First label of a Region -> domain of its partition.
DOMAINS = {
    "cn": "amazonaws.com.cn",
    **dict.fromkeys(("af", "ap", "ca", "eu", "il", "me", "mx", "sa", "us"), "amazonaws.com"),
}

#: Endpoints with others (IPv6 addresses, user names, paths) are left to botocore.
HOST_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_")
AWS_DOMAINS = tuple(f".{domain}" for domain in set(DOMAINS.values()))


def reader(environ: Mapping[str, str] = os.environ) -> Any:
    """Return a client with `get_item` and `batch_get_item`: ours where the environment says all, else botocore's."""
    found = DynamoDBReads.from_environ(environ)
    if found is not None:
        return found
    from handlers.adapters.clients import FAST, client

    return client("dynamodb", FAST)


class DynamoDBReads:
    """Arguments, answers and types as with botocore's client. Raises CallFailed."""

    def __init__(
        self,
        signer: Signer,
        endpoint: str,
        *,
        ca_file: str | None = None,
        read_seconds: float = READ_SECONDS,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.time,
    ) -> None:
        scheme, _, self._host = endpoint.rstrip("/").partition("://")
        name, _, port = self._host.partition(":")
        tls = scheme == "https"
        self._signer, self._sleep, self._clock = signer, sleep, clock
        self._heads: dict[str, tuple[float, str, Prepared]] = {}
        self._connection = Connection(
            name,
            int(port or (443 if tls else 80)),
            tls=tls,
            connect_seconds=CONNECT_SECONDS,
            read_seconds=read_seconds,
            ca_file=ca_file,
            roots=_amazon_roots if name.endswith(AWS_DOMAINS) else None,
        )

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> "DynamoDBReads | None":
        """Return a client as the environment describes it, or None where it takes botocore to understand it."""
        access_key, secret_key = environ.get("AWS_ACCESS_KEY_ID"), environ.get("AWS_SECRET_ACCESS_KEY")
        region = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION")
        if not (access_key and secret_key and region) or any(environ.get(name) for name in BOTOCORE_ONLY):
            return None
        endpoint = _endpoint(environ, region)
        if endpoint is None:
            return None
        signer = Signer(access_key, secret_key, environ.get("AWS_SESSION_TOKEN") or None, region, "dynamodb")
        return cls(signer, endpoint, ca_file=environ.get("AWS_CA_BUNDLE") or None)

    def get_item(self, **arguments: Any) -> dict[str, Any]:
        answer = self._call("GetItem", arguments)
        if "Item" in answer:
            _read_binary(answer["Item"])
        return answer

    def batch_get_item(self, **arguments: Any) -> dict[str, Any]:
        answer = self._call("BatchGetItem", arguments)
        for items in answer.get("Responses", {}).values():
            for item in items:
                _read_binary(item)
        return answer

    def _call(self, operation: str, arguments: dict[str, Any]) -> dict[str, Any]:
        body = json.dumps(arguments).encode()
        for attempt in range(1, TRIES + 1):
            try:
                return self._try(operation, body)
            except CallFailed as failure:
                if attempt == TRIES or not failure.is_passing:
                    raise
            self._pause(attempt)
        raise AssertionError("the last try returns or raises")

    def _try(self, operation: str, body: bytes) -> dict[str, Any]:
        head, prepared = self._head(operation)
        request = f"{head}{prepared.authorization(body)}\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body
        try:
            status, answer = self._connection.send(request)
        except OSError as error:
            raise CallFailed(type(error).__name__, str(error), is_passing=True) from error
        return _decoded(answer) if status == 200 else _refused(status, answer)

    def _head(self, operation: str) -> tuple[str, Prepared]:
        """Return a request up to its signature, and what signs its body; both serve for MOMENT_SECONDS."""
        now = self._clock()
        made_at, head, prepared = self._heads.get(operation, (now + 1, "", None))
        if prepared is None or not 0 <= now - made_at < MOMENT_SECONDS:  # clocks are also set back
            headers = {
                "content-type": "application/x-amz-json-1.0",
                "host": self._host,
                "x-amz-target": f"DynamoDB_20120810.{operation}",
            }
            prepared = self._signer.prepare(headers, time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now)))
            lines = "".join(f"{name}: {value}\r\n" for name, value in prepared.headers.items())
            head = f"POST / HTTP/1.1\r\n{lines}authorization: "
            self._heads[operation] = now, head, prepared
        return head, prepared

    def _pause(self, attempt: int) -> None:
        import random  # only after a failure

        self._sleep(random.random() * FIRST_PAUSE * 2 ** (attempt - 1))


def _endpoint(environ: Mapping[str, str], region: str) -> str | None:
    """Return the service's URL: botocore's variables, else the Region's; None for what it takes botocore to know."""
    if environ.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "").lower() != "true":
        configured = environ.get("AWS_ENDPOINT_URL_DYNAMODB") or environ.get("AWS_ENDPOINT_URL")
        if configured:
            return configured if _is_plain(configured) else None
    first, _, rest = region.partition("-")
    if first not in DOMAINS or rest.startswith(("iso", "gov")):
        return None
    return f"https://dynamodb.{region}.{DOMAINS[first]}"


def _is_plain(url: str) -> bool:
    """Tell whether a URL is a scheme, a host and perhaps a port. (`urllib.parse` takes 2 ms of a cold start.)"""
    scheme, _, place = url.removesuffix("/").partition("://")
    host, colon, port = place.partition(":")
    is_named = host != "" and HOST_LETTERS.issuperset(host)
    return scheme in ("http", "https") and is_named and (not colon or port.isdigit())


def _decoded(body: bytes) -> dict[str, Any]:
    try:
        return json.loads(body.decode())
    except ValueError as error:
        raise CallFailed("BadAnswer", f"an answer that is no JSON: {body[:200]!r}", is_passing=True) from error


def _amazon_roots() -> str:
    from handlers.adapters.amazon_roots import PEM  # once for each connection's settings, and never over plain HTTP

    return PEM


def _refused(status: int, body: bytes) -> dict[str, Any]:
    """Raise CallFailed as the service's error says."""
    try:
        said = json.loads(body)
        code = said["__type"].rpartition("#")[2]
        message = said.get("message") or said.get("Message") or ""
    except (ValueError, LookupError, TypeError, AttributeError):
        code, message = f"HTTP{status}", repr(body[:200])
    raise CallFailed(code, message, is_passing=status >= 500 or code in PASSING)


def _read_binary(item: dict[str, Any]) -> None:
    """Turn base64 of binary attributes into bytes, as botocore does."""
    for attribute in item.values():
        if "B" in attribute:
            attribute["B"] = a2b_base64(attribute["B"])
