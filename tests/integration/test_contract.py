"""The deployed front door, asked what the OpenAPI document allows and what it does not, in each mode of the suite."""

import boto3
import pytest
import requests
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest

from handlers.contract.card import Feature, ModelCard
from tests.contracts import fitting, hold, unfitting
from tests.integration.conftest import CONFIG, ROOT
from turnout import config

MODELS = sorted(config.load(ROOT / CONFIG, root=ROOT).models)
#: Requests per operation: each goes through the API, the function and whatever answers behind it.
EXAMPLES = 6


class Signed(requests.auth.AuthBase):
    """Signs a request as the front door wants it (SigV4, service `execute-api`)."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        session = boto3.Session()
        signed = AWSRequest(request.method, request.url, data=request.body)
        SigV4Auth(session.get_credentials(), "execute-api", session.region_name or "us-east-1").add_auth(signed)
        request.headers.update(dict(signed.headers))
        return request


def described(door, model: str) -> ModelCard:
    """Return a card made of what the model says of itself."""
    schema = door.describe(model).body["schema"]
    features = [Feature(**feature) for feature in schema["features"]]
    return ModelCard(model, schema["key"]["column"], features, "", key_type=schema["key"]["type"])


def is_plain(case) -> bool:
    """Tell whether a key travels through an HTTP API, which decodes paths more than once (docs/api.md)."""
    key = str((case.path_parameters or {}).get("key", "x"))
    return key.isascii() and key.isprintable() and not {*"%?#/\\;. "} & {*key}


@pytest.mark.parametrize("model", MODELS)
def test_the_deployed_front_door_keeps_the_contract(door, model):
    def send(case):
        return case.call(base_url=door.api_url, auth=Signed(), timeout=31)

    seen: dict[str, set[int]] = {}
    for operation, strategy in fitting(described(door, model)):
        seen[operation.label] = {*hold(strategy.filter(is_plain), send, EXAMPLES)}
    for _, strategy in unfitting(model):
        hold(strategy, send, EXAMPLES)
    assert seen["GET /models/{model}"] == {200}
    assert len(seen) == 5
