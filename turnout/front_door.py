"""A small signed client of the front door: what `turnout predict`, the demo and the tests call models with."""

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import boto3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest

from turnout.errors import CallFailed

TIMEOUT_SECONDS = 31  # an HTTP API gives up after 30


@dataclass(frozen=True)
class Answer:
    """Status, headers (lower-case names) and decoded JSON body of one call."""

    status: int
    headers: dict[str, str]
    body: Any

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300


@dataclass(frozen=True)
class FrontDoor:
    """Calls one platform's API with SigV4 (service `execute-api`) from boto3's default credentials."""

    api_url: str

    def lookup(self, model: str, key: str | int) -> Answer:
        """GET the prediction of one key; the key may hold any character."""
        return self.call("GET", f"/models/{model}/predictions/{quote(str(key), safe='')}")

    def predict(self, model: str, body: dict) -> Answer:
        """POST a body `{"key": …, "features": {…}}` or `{"instances": […]}`."""
        return self.call("POST", f"/models/{model}/predictions", body)

    def describe(self, model: str) -> Answer:
        return self.call("GET", f"/models/{model}")

    def call(self, method: str, path: str, body: Any = None) -> Answer:
        """Return the answer, whatever its status. Raises CallFailed when there is none."""
        data = None if body is None else json.dumps(body).encode()
        request = AWSRequest(method, self.api_url + path, data=data, headers={"Content-Type": "application/json"})
        session = boto3.Session()
        credentials = session.get_credentials()
        if credentials is None:
            raise CallFailed(
                "There are no AWS credentials to sign the request with.", "Run `aws configure` or `--local`."
            )
        SigV4Auth(credentials, "execute-api", session.region_name or "us-east-1").add_auth(request)
        prepared = urllib.request.Request(request.url, data=data, headers=dict(request.headers), method=method)
        try:
            with urllib.request.urlopen(prepared, timeout=TIMEOUT_SECONDS) as response:
                return _answer(response.status, response.headers, response.read())
        except urllib.error.HTTPError as error:
            with error:
                return _answer(error.code, error.headers, error.read())
        except OSError as error:
            raise CallFailed(
                f"{self.api_url} did not answer: {error}.", "Is the stack deployed, the local cloud up?"
            ) from error


def _answer(status: int, headers, raw: bytes) -> Answer:
    try:
        body = json.loads(raw) if raw else None
    except ValueError:
        body = raw.decode(errors="replace")
    return Answer(status, {name.lower(): value for name, value in headers.items()}, body)
