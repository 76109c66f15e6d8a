"""Requests made from the OpenAPI document (schemathesis), held against a front door wherever it runs."""

from collections.abc import Callable, Iterator
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from handlers.contract.card import ModelCard
from turnout.openapi import document

#: Statuses that refuse what the document does not allow. 409: the mode answers nothing of the kind; 410, 413, 429 and
#: 5xx of the model's do not occur here.
REFUSING = ["400", "404", "409", "413", "422"]

CHECKS = [
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
    negative_data_rejection,
]


def fitting(card: ModelCard) -> Iterator[Any]:
    """Yield each operation with a strategy of requests that the document for one model allows."""
    for operation in _operations(card):
        yield operation, operation.as_strategy(generation_mode=GenerationMode.POSITIVE)


def unfitting(model: str) -> Iterator[Any]:
    """Yield each operation that takes a body with a strategy of bodies that the document does not allow.

    Features may be anything here: a mode that looks keys up ignores them, and of several instances each is refused
    in its own place.
    """
    for operation in _operations(None):
        if operation.body:
            path = {"model": model}
            yield operation, operation.as_strategy(generation_mode=GenerationMode.NEGATIVE, path_parameters=path)


def ask(send: Callable[[Any], Any], card: ModelCard, label: str, **parts: Any) -> Any:
    """Send one request of an operation (`GET /models/{model}`), check the answer, and return it.

    `parts` are those of a schemathesis case: `path_parameters`, `query`, `body`.
    """
    (operation,) = (operation for operation in _operations(card) if operation.label == label)
    path = {"model": card.model, **parts.pop("path_parameters", {})}
    media_type = "application/json" if "body" in parts else None
    case = operation.Case(path_parameters=path, media_type=media_type, **parts)
    response = send(case)
    case.validate_response(response, checks=CHECKS)
    return response


def _operations(card: ModelCard | None) -> Iterator[Any]:
    """Yield the operations. Signing is API Gateway's business and not part of what is tried out here."""
    unsigned = {name: part for name, part in document(card).items() if name != "security"}
    schema = schemathesis.openapi.from_dict(unsigned)
    schema.config.checks.negative_data_rejection.expected_statuses = REFUSING
    for operation in schema.get_all_operations():
        yield operation.ok()


def hold(strategy: Any, send: Callable[[Any], Any], examples: int) -> list[int]:
    """Send requests, check each answer, and return the statuses."""
    statuses: list[int] = []

    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=strategy)
    def check(case: Any) -> None:
        response = send(case)
        statuses.append(response.status_code)
        case.validate_response(response, checks=CHECKS)

    check()
    return statuses
