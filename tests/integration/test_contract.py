"""The deployed front door, asked what the OpenAPI document allows and what it does not, in each mode."""

from dataclasses import dataclass

import pytest

from handlers.contract.card import Feature, ModelCard
from handlers.contract.modes import AVAILABLE, ServingMode
from tests.contracts import ask, fitting, hold, unfitting
from tests.integration.conftest import STANDS_FOR, Signed
from tests.integration.pipeline_runs import wait_for

#: Requests per operation: each goes through the API, the function and whatever answers behind it.
EXAMPLES = 6

PREDICT, LOOKUP = "POST /models/{model}/predictions", "GET /models/{model}/predictions/{key}"
POLL, UPLOAD, DESCRIBE = "GET /models/{model}/predictions", "POST /models/{model}/uploads", "GET /models/{model}"


@dataclass(frozen=True)
class Promise:
    """The statuses that a mode promises for a known key with its features and without; and for made-up questions,
    some of which must get `made_up`, for made-up keys, and for an upload.
    """

    predict: int
    lookup: int
    made_up: int
    made_up_key: int
    upload: int = 409


PROMISES = {
    ServingMode.BATCH: Promise(predict=409, lookup=409, made_up=409, made_up_key=409),
    ServingMode.PRECOMPUTE: Promise(predict=200, lookup=200, made_up=404, made_up_key=404),
    ServingMode.HYBRID: Promise(predict=200, lookup=200, made_up=200, made_up_key=404),
    ServingMode.REALTIME: Promise(predict=200, lookup=422, made_up=200, made_up_key=422),
    ServingMode.SERVERLESS: Promise(predict=200, lookup=422, made_up=200, made_up_key=422),
    ServingMode.ASYNC: Promise(predict=202, lookup=422, made_up=202, made_up_key=422, upload=200),
}


@pytest.fixture(scope="module")
def send(door):
    return lambda case: case.call(base_url=door.api_url, auth=Signed(), timeout=31)


@pytest.fixture(scope="module", params=sorted(PROMISES))
def mode(request):
    """Each mode in turn, with all that is asked of it: an asynchronous endpoint does not fall asleep in between."""
    return request.param


def described(door, model: str) -> ModelCard:
    """Return a card made of what the model says of itself."""
    schema = door.describe(model).body["schema"]
    features = [Feature(**feature) for feature in schema["features"]]
    return ModelCard(model, schema["key"]["column"], features, "", key_type=schema["key"]["type"])


def is_plain(case) -> bool:
    """Tell whether a key travels through an HTTP API, which decodes paths more than once (docs/api.md)."""
    key = str((case.path_parameters or {}).get("key", "x"))
    return key.isascii() and key.isprintable() and not {*"%?#/\\;. "} & {*key}


def test_every_mode_has_a_front_door_here(door):
    assert {door.describe(model).body["mode"]: model for model in STANDS_FOR.values()} == STANDS_FOR
    assert set(STANDS_FOR) == set(PROMISES) == AVAILABLE


def test_the_deployed_front_door_keeps_the_contract(door, send, scored, mode):
    model, promise = STANDS_FOR[mode], PROMISES[mode]
    seen: dict[str, set[int]] = {}
    for operation, strategy in fitting(described(door, model)):
        seen[operation.label] = {*hold(strategy.filter(is_plain), send, EXAMPLES)}
    refused = {status for _, strategy in unfitting(model) for status in hold(strategy, send, EXAMPLES)}
    assert promise.made_up in seen.pop(PREDICT)
    assert promise.upload in seen.pop(UPLOAD)
    assert seen == {LOOKUP: {promise.made_up_key}, POLL: {404}, DESCRIBE: {200}}
    assert 400 in refused


def test_a_known_key_is_answered_as_its_mode_promises(door, send, scored, samples, mode):
    card, promise, known = described(door, STANDS_FOR[mode]), PROMISES[mode], samples[0]
    looked_up = ask(send, card, LOOKUP, path_parameters={"key": known["customer_id"]})
    answer = ask(send, card, PREDICT, body={"key": known["customer_id"], "features": known["features"]})
    assert (answer.status_code, looked_up.status_code) == (promise.predict, promise.lookup)
    if answer.status_code == 202:
        query = {"request": answer.json()["request"]}
        answer = wait_for(lambda: (got := ask(send, card, POLL, query=query)).status_code != 202 and got, "the answer")
    predictions = {got.json()["prediction"] for got in (answer, looked_up) if got.status_code == 200}
    assert predictions <= {known["churn_probability"]}
