"""The front door: one URL per model, the same in every mode. Import nothing here that a hit does not use."""

import os
import time
from functools import cache
from typing import Any

from handlers.adapters.clients import FAST, client
from handlers.adapters.records_table import RecordsTable
from handlers.adapters.score_table import ScoreTable
from handlers.contract import metrics
from handlers.contract.env import PredictEnv
from handlers.contract.errors import RequestError
from handlers.logic.answers import Answer, answer, refusal
from handlers.logic.lookup import Door, Visible
from handlers.logic.moments import utc_now
from handlers.logic.telemetry import emf_line


@cache
def environment() -> PredictEnv:
    return PredictEnv.from_environ(os.environ)


@cache
def door() -> Door:
    env = environment()
    dynamodb = client("dynamodb", FAST)
    return Door(
        stage=env.stage,
        model=env.model,
        mode=env.mode,
        model_version=env.model_version,
        max_staleness_seconds=env.max_staleness_seconds,
        results_uri=env.results_uri,
        visible=Visible(RecordsTable(dynamodb, env.table), time.monotonic),
        scores=ScoreTable(dynamodb, env.table),
        clock=utc_now,
    )


@cache
def card() -> Any:
    """Return the model's card; only GET /models/{model} reads it, so S3 is imported only there."""
    from handlers.adapters.card_store import load_card
    from handlers.adapters.s3_objects import S3Objects

    return load_card(S3Objects(client("s3", FAST)), environment().spec_bucket, environment().spec_key)


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answer one HTTP API request (payload 2.0) and write its one log line."""
    started = time.perf_counter()
    answered, failure = _answer(event)
    print(_log_line(event, answered, failure, (time.perf_counter() - started) * 1000), flush=True)
    return answered.to_response()


def _answer(event: dict[str, Any]) -> tuple[Answer, str | None]:
    """Return the answer, and the stack trace if something unforeseen happened: callers never see that."""
    try:
        return answer(door(), event, card), None
    except Exception:  # noqa: BLE001 the last resort of a process that must answer
        import traceback

        message = f"something went wrong on our side; quote request {_request_id(event)}"
        return refusal(RequestError(message, request_id=_request_id(event))), traceback.format_exc()


def _request_id(event: dict[str, Any]) -> str | None:
    return (event.get("requestContext") or {}).get("requestId")


def _log_line(event: dict[str, Any], answered: Answer, failure: str | None, milliseconds: float) -> str:
    env = environment()
    fields = {
        "level": "ERROR" if answered.status >= 500 else "INFO",
        "request_id": _request_id(event),
        "route": event.get("routeKey"),
        "status": answered.status,
        "mode": env.mode,
    }
    if "error" in answered.body:
        fields["error"] = answered.body["error"]["code"]
    if answered.cause:
        fields["cause"] = answered.cause
    if failure:
        fields["stack"] = failure
    counts = {metrics.REQUESTS: 1.0, **answered.counts, metrics.HANDLER_MILLISECONDS: round(milliseconds, 3)}
    return emf_line(
        counts, stage=env.stage, model=env.model, milliseconds_since_epoch=int(time.time() * 1000), fields=fields
    )
