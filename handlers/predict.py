"""The front door: one URL per model, the same in every mode. Import nothing here that a hit does not use."""

import os
import time
import zlib
from functools import cache
from typing import Any

from handlers.adapters.dynamodb_http import reader
from handlers.adapters.records_table import RecordsTable
from handlers.adapters.score_table import ScoreTable
from handlers.contract import metrics
from handlers.contract.env import PredictEnv
from handlers.contract.errors import RequestError
from handlers.contract.key_hash import key_hash
from handlers.contract.modes import ServingMode
from handlers.logic.answers import Answer, answer, carried, refusal
from handlers.logic.lookup import Door, Visible
from handlers.logic.moments import utc_now
from handlers.logic.predictors import PREDICTORS
from handlers.logic.telemetry import emf_line

#: One request in so many leaves its key's hash in the log, so that a plan can tell what another mode would answer.
KEY_SAMPLE = 10


@cache
def environment() -> PredictEnv:
    return PredictEnv.from_environ(os.environ)


@cache
def door() -> Door:
    env = environment()
    dynamodb = reader()
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
        card=card,
        live=live,
        later=later,
        fallback=env.fallback,
        remember_seconds=env.remember_seconds,
        max_live_per_minute=env.max_live_per_minute,
        on_stale=env.on_stale,
        overlaid=env.overlaid,
    )


@cache
def card() -> Any:
    """Return the model's card: for descriptions, and for what goes to the model."""
    from handlers.adapters.card_store import load_card
    from handlers.adapters.clients import FAST, client
    from handlers.adapters.s3_objects import S3Objects

    return load_card(S3Objects(client("s3", FAST)), environment().spec_bucket, environment().spec_key)


@cache
def live() -> Any:
    """Return what asking the model needs; only requests that go live import it."""
    import secrets

    from handlers.adapters.clients import FAST, LIVE, client
    from handlers.adapters.live_table import LiveTable
    from handlers.adapters.sagemaker_endpoint import SageMakerEndpoint
    from handlers.logic.families import FAMILIES
    from handlers.logic.live import Live

    env = environment()
    return Live(
        card=card(),
        family=FAMILIES[PREDICTORS[ServingMode(env.mode)].family(door())],
        endpoint=SageMakerEndpoint(client("sagemaker-runtime", LIVE), env.endpoint),
        flights=LiveTable(client("dynamodb", FAST), env.table),
        monotonic=time.monotonic,
        sleep=time.sleep,
        new_id=lambda: secrets.token_hex(16),
    )


@cache
def later() -> Any:
    """Return what asynchronous requests need; in every mode, for those that an earlier mode accepted."""
    import secrets

    from handlers.adapters.async_files import AsyncFiles
    from handlers.adapters.clients import FAST, FILES, client
    from handlers.adapters.live_table import LiveTable, RequestLedger
    from handlers.adapters.sagemaker_endpoint import SageMakerQueue
    from handlers.contract.layout import request_id
    from handlers.logic.deferred import Later

    env = environment()
    dynamodb = client("dynamodb", FAST)
    return Later(
        card=card(),
        queue=lambda: SageMakerQueue(client("sagemaker-runtime", FAST), env.endpoint),
        requests=RequestLedger(dynamodb, env.table),
        files=AsyncFiles(client("s3", FILES)),
        flights=LiveTable(dynamodb, env.table),
        new_id=lambda now: request_id(now, secrets.token_hex(8)),
        data_bucket=env.data_bucket,
        expiry_seconds=env.async_expiry_seconds,
        invocation_seconds=env.async_invocation_seconds,
        endpoint=env.endpoint,
        sleep=time.sleep,
    )


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answer one HTTP API request (payload 2.0) and write its one log line."""
    started = time.perf_counter()
    made, failure = _answer(event)
    answered, response = carried(made)
    print(_log_line(event, answered, failure, (time.perf_counter() - started) * 1000), flush=True)
    return response


def _answer(event: dict[str, Any]) -> tuple[Answer, str | None]:
    """Return the answer, and the stack trace if something unforeseen happened: callers never see that."""
    try:
        return answer(door(), event), None
    except Exception:  # noqa: BLE001 the last resort of a process that must answer
        import traceback

        message = f"something went wrong on our side; quote request {_request_id(event)}"
        return refusal(RequestError(message, request_id=_request_id(event))), traceback.format_exc()


def _request_id(event: dict[str, Any]) -> str | None:
    return (event.get("requestContext") or {}).get("requestId")


def _is_sampled(request_id: str | None) -> bool:
    """Tell whether a request is one of the 1 in KEY_SAMPLE whose key's hash is logged: by its id, so by chance."""
    return zlib.crc32((request_id or "").encode()) % KEY_SAMPLE == 0


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
    if answered.key is not None and _is_sampled(fields["request_id"]):
        fields["key_hash"] = key_hash(env.model, answered.key)
    counts = {metrics.REQUESTS: 1.0, **answered.counts, metrics.HANDLER_MILLISECONDS: round(milliseconds, 3)}
    return emf_line(
        counts, stage=env.stage, model=env.model, milliseconds_since_epoch=int(time.time() * 1000), fields=fields
    )
