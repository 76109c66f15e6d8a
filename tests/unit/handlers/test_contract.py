"""The front door in every mode, asked what the OpenAPI document allows and what it does not."""

import json

import pytest
from jsonschema import Draft202012Validator
from schemathesis.core.failures import FailureGroup

from handlers.contract.card import Feature
from handlers.contract.errors import RequestError
from handlers.contract.modes import AVAILABLE
from handlers.contract.predictions import ROUTE_POLL
from handlers.logic.answers import ROUTES, carried, refusal
from handlers.unknown_model import refusal_of
from tests.contracts import fitting, hold, unfitting
from tests.unit.handlers.fakes import event
from tests.unit.handlers.gateway import serving
from tests.unit.handlers.world import MODES, World
from turnout.openapi import OPERATIONS, PATH, document, text

FEATURES = (
    Feature("x", minimum=0, maximum=1e6),
    Feature("n", "integer", nullable=True, minimum=-5),
    Feature("b", "boolean", nullable=True),
    Feature("s", "string", nullable=True, values=["a", "b"]),
)
IN_EVERY_MODE = [*MODES, "hybrid that falls back to async"]


def world_of(mode):
    settings = MODES.get(mode) or {}
    if mode not in MODES:
        mode, settings = "hybrid", {**MODES["hybrid"], "fallback": "async"}
    world = World(mode, features=FEATURES, **settings)
    world.card = world.card.__class__(**{**world.card.__dict__, "model": "churn"})
    return world


def responding(world):
    """Return the function behind the API; whatever was queued is answered before the next poll."""

    def respond(asked):
        if asked["routeKey"] == ROUTE_POLL.replace("{model}", "churn"):
            world.queue.work()
        if asked["routeKey"] == "$default":
            return carried(refusal(refusal_of(asked["requestContext"]["http"]["method"], asked["rawPath"], "dev")))[1]
        return carried(world.ask(asked))[1]

    return respond


@pytest.mark.parametrize("mode", IN_EVERY_MODE)
def test_what_the_document_allows_is_answered_as_it_says_and_the_rest_refused_as_it_says(mode):
    world = world_of(mode)
    with serving(responding(world), "churn") as url:
        statuses = {
            operation.label: hold(strategy, lambda case: case.call(base_url=url), 25)
            for operation, strategy in fitting(world.card)
        }
        for _, strategy in unfitting("churn"):
            hold(strategy, lambda case: case.call(base_url=url), 25)
    asked = {*statuses["POST /models/{model}/predictions"]}
    assert asked & {200, 202} or mode in ("batch", "precompute")
    assert {*statuses["GET /models/{model}"]} == {200}


def test_the_committed_document_is_current():
    assert PATH.read_text(encoding="utf-8") == text(), "run `python -m turnout.openapi`"


def test_the_document_has_every_route_and_the_front_door_every_operation():
    assert set(OPERATIONS) == set(ROUTES)


def test_every_error_of_the_front_door_is_one_that_some_operation_names():
    named = {error for operation in OPERATIONS.values() for error in operation.refuses}
    everywhere = {error for error in RequestError.__subclasses__() if error not in named}
    assert {error.code for error in everywhere} == {"unknown_model", "unknown_route", "store_unavailable"}


def validator(schema):
    whole = document()
    return Draft202012Validator({**whole["components"]["schemas"][schema], "components": whole["components"]})


@pytest.mark.parametrize("mode", sorted(AVAILABLE))
def test_descriptions_are_what_the_document_says(mode):
    world = world_of(mode)
    validator("Description").validate(world.ask(event("http_describe")).body)


def test_every_kind_of_answer_is_what_the_document_says():
    world = world_of("async")
    accepted = world.post({"features": {"x": 1}})
    validator("Accepted").validate(accepted.body)
    validator("Upload").validate(world.upload().body)
    world.queue.work()
    validator("Polled").validate(world.poll(accepted).body)
    world.files.sizes[f"s3://data/async/churn/output/{accepted.body['request']}.out"] = 10**8
    large = world.poll(accepted).body
    validator("LargeAnswer").validate(large)
    validator("Polled").validate(large)
    validator("Error").validate(world.lookup("k").body)
    several = world_of("hybrid").post({"instances": [{"key": "00001"}, {"key": "new", "features": {"x": 1}}]}).body
    validator("Answer").validate(several)


def test_the_check_sees_what_it_should():
    world = world_of("realtime")

    def lying(asked):
        response = carried(world.ask(asked))[1]
        return {**response, "body": json.dumps({**json.loads(response["body"]), "extra": 1})}

    _, strategy = next(iter(fitting(world.card)))
    with serving(lying, "churn") as url, pytest.raises(FailureGroup) as raised:
        hold(strategy, lambda case: case.call(base_url=url), 5)
    assert "extra" in raised.value.exceptions[0].message
