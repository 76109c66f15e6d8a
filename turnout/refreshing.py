"""Asking for one key to be scored now, as any system of the user's own does: with an event."""

import json
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from handlers.contract.errors import RequestError
from handlers.contract.events import DETAIL_TYPE
from handlers.logic.moments import format_moment, utc_now
from handlers.logic.refreshing import read_detail, read_event
from turnout.deployed import Model
from turnout.errors import UserError

SOURCE = "turnout"


def ask(model: Model, key: str | int, features: dict[str, Any], data_as_of: str | None = None) -> str:
    """Put the event on the default bus and return its id. Raises UserError where it would come to nothing."""
    if "RefreshQueueUrl" not in model.outputs:
        raise UserError(
            f"Model '{model.name}' takes no events.", "Write `refresh: { on_event: true }` in models.yaml and deploy."
        )
    detail = {"model": model.name, "stage": model.stage, "key": key, "features": features}
    if data_as_of is not None:
        detail["data_as_of"] = data_as_of
    _require_scorable(detail)
    entry = {"Source": SOURCE, "DetailType": DETAIL_TYPE, "Detail": json.dumps(detail)}
    try:
        (put,) = boto3.client("events").put_events(Entries=[entry])["Entries"]
    except (BotoCoreError, ClientError) as error:
        raise UserError(f"The event could not be put: {error}.") from error
    if "EventId" not in put:
        raise UserError(f"EventBridge refused the event: {put.get('ErrorCode')}: {put.get('ErrorMessage')}.")
    return put["EventId"]


def _require_scorable(detail: dict[str, Any]) -> None:
    """Raise UserError for what the refreshing function would only leave in the dead-letter queue.

    Whether features fit the model's schema is seen there: its card is the functions' own.
    """
    now = utc_now()
    envelope = json.dumps({"id": "", "time": format_moment(now), "detail": detail})
    try:
        read_detail(read_event(envelope), now)
    except RequestError as error:
        raise UserError(f"Nothing was sent, the event could only become a dead letter: {error.message}.") from error
