"""Who may touch what of live and asynchronous requests: items of the model's table and files under `async/<model>/`."""

from handlers.contract import layout
from handlers.contract.records import FLIGHT, LIVE, MINUTE, REQUEST
from infra.constructs.parts import Parts
from infra.constructs.permissions import Statement
from infra.constructs.score_permissions import on_items


def poll_requests(parts: Parts) -> list[Statement]:
    """Allow finding an asynchronous request and its answer, and ending its flight: all outlive a switch of mode."""
    table = parts.scores.arn
    return [
        on_items(table, ["GetItem"], REQUEST),
        on_items(table, ["DeleteItem"], f"{FLIGHT}*"),
        *read_answers(parts),
    ]


def read_answers(parts: Parts) -> list[Statement]:
    """Allow reading what SageMaker wrote for asynchronous requests, and noticing that it is not there yet."""
    name = parts.spec.name
    prefixes = layout.async_output_prefix(name), layout.async_failure_prefix(name)
    return [parts.data.notice_missing(), parts.data.read(*prefixes)]


def accept_requests(parts: Parts) -> list[Statement]:
    """Allow taking asynchronous requests: their record, and payloads that are large or that clients upload.

    A presigned upload has the rights of who signed it; SageMaker asks that the caller may read the payload.
    """
    inputs = layout.async_input_key(parts.spec.name, "")
    return [
        on_items(parts.scores.arn, ["PutItem", "DeleteItem"], REQUEST),
        parts.data.read(inputs),
        parts.data.write(inputs),
    ]


def answer_requests(parts: Parts) -> list[Statement]:
    """Allow an asynchronous endpoint its own files."""
    name = parts.spec.name
    written = layout.async_output_prefix(name), layout.async_failure_prefix(name)
    return [
        parts.data.enumerate(layout.async_root(name)),
        parts.data.read(layout.async_input_key(name, "")),
        parts.data.write(*written),
    ]


def remember_answers(parts: Parts) -> list[Statement]:
    """Allow remembering live answers, one flight per key, and counting live calls of a minute."""
    table = parts.scores.arn
    return [
        on_items(table, ["BatchGetItem", "PutItem"], f"{LIVE}*"),
        on_items(table, ["GetItem", "BatchGetItem", "PutItem"], f"{FLIGHT}*"),
        on_items(table, ["UpdateItem"], f"{MINUTE}*"),
    ]
