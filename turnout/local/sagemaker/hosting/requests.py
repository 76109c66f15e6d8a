"""Requests to SageMaker's runtime: headers read as parameters and checked by botocore's own model of the service."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

from turnout.local.sagemaker import validation
from turnout.local.sagemaker.errors import CallInvalid, Invalid

RUNTIME = "sagemaker-runtime"
CUSTOM_ATTRIBUTES = "X-Amzn-SageMaker-Custom-Attributes"
#: Parameters that reach the container and the headers that carry them there; SageMaker strips all others.
PASSED = {
    "ContentType": "Content-Type",
    "Accept": "Accept",
    "CustomAttributes": CUSTOM_ATTRIBUTES,
    "InferenceId": "X-Amzn-SageMaker-Inference-Id",
    "SessionId": "X-Amzn-SageMaker-Session-Id",
}


@dataclass(frozen=True)
class Request:
    """A request as it came in: header names in lower case."""

    endpoint: str
    body: bytes
    headers: Mapping[str, str]

    def parameters(self, operation: str) -> Mapping[str, Any]:
        """Return what the operation was given besides endpoint and body, by API name. Raises CallInvalid."""
        values = ((member, self.headers.get(header)) for member, header in _headers(operation))
        return _checked(operation, self.endpoint, tuple((member, value) for member, value in values if value))


def passed(parameters: Mapping[str, Any]) -> dict[str, str]:
    """Return the headers for the container."""
    return {header: parameters[name] for name, header in PASSED.items() if name in parameters}


@cache
def _headers(operation: str) -> tuple[tuple[str, str], ...]:
    members = (
        (name, member.serialization) for name, member in validation.input_shape(operation, RUNTIME).members.items()
    )
    return tuple((name, where["name"].lower()) for name, where in members if where.get("location") == "header")


@lru_cache(1024)  # clients send the same headers again and again
def _checked(operation: str, endpoint: str, given: tuple[tuple[str, str], ...]) -> Mapping[str, Any]:
    """Check all but the body, whose bound in the model (6 MiB) is not the service's (25 MiB since 2025)."""
    request = validation.typed(operation, {"EndpointName": endpoint, "Body": b"", **dict(given)}, RUNTIME)
    try:
        checked = validation.check(operation, request, RUNTIME)
    except Invalid as error:
        raise CallInvalid(error.message) from error
    return {name: value for name, value in checked.items() if name not in ("EndpointName", "Body")}
