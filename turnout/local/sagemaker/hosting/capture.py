"""Data capture: requests and answers of an endpoint as JSON Lines in S3, laid out and spelled as SageMaker does.

`DESTINATION/ENDPOINT/VARIANT/yyyy/mm/dd/hh/MM-SS-mmm-UUID.jsonl`, in UTC; one line per request that was answered.
"""

import base64
import json
import logging
import random
import threading
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from turnout.local.sagemaker.artifact import split_uri
from turnout.local.sagemaker.container import Answer
from turnout.local.sagemaker.ports import Cloud, Scope

logger = logging.getLogger("turnout.sagemaker")


class Place(NamedTuple):
    """Where lines go that are written together."""

    scope: Scope
    destination: str
    endpoint: str
    variant: str


class Captures:
    """Gathers lines and writes them when asked to."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._lines: dict[Place, list[str]] = {}
        self._lock = threading.Lock()

    def take(
        self,
        scope: Scope,
        endpoint: str,
        variant: str,
        config: Mapping[str, Any],
        body: bytes,
        given: Mapping[str, Any],
        answer: Answer,
    ) -> None:
        """Keep a request and its answer if the configuration wants it, by chance as often as it says."""
        settings = config.get("DataCaptureConfig")
        if not settings or not is_on(settings) or random.random() * 100 >= settings["InitialSamplingPercentage"]:
            return
        text = json.dumps(line(settings, body, given, answer, datetime.now(UTC)))
        place = Place(scope, settings["DestinationS3Uri"].rstrip("/"), endpoint, variant)
        with self._lock:
            self._lines.setdefault(place, []).append(text)

    def write(self) -> None:
        """Put what has come since the last time into S3, an object per variant. What S3 refuses is logged and lost."""
        from botocore.exceptions import BotoCoreError, ClientError

        with self._lock:
            taken, self._lines = self._lines, {}
        for place, lines in taken.items():
            folder = f"{place.destination}/{place.endpoint}/{place.variant}"
            bucket, key = split_uri(f"{folder}/{file_name(datetime.now(UTC))}")
            body = "".join(f"{text}\n" for text in lines).encode()
            try:
                self._cloud.client("s3", place.scope).put_object(Bucket=bucket, Key=key, Body=body)
            except (ClientError, BotoCoreError):
                logger.exception("data capture of endpoint %s", place.endpoint)


def is_on(settings: Mapping[str, Any]) -> bool:
    return settings.get("EnableCapture", True)


def summary(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return data capture as DescribeEndpoint shows it."""
    return {
        "EnableCapture": is_on(settings),
        "CaptureStatus": "Started" if is_on(settings) else "Stopped",
        "CurrentSamplingPercentage": settings["InitialSamplingPercentage"],
        "DestinationS3Uri": settings["DestinationS3Uri"],
        "KmsKeyId": settings.get("KmsKeyId", ""),
    }


def file_name(moment: datetime) -> str:
    return f"{moment:%Y/%m/%d/%H/%M-%S}-{moment.microsecond // 1000:03d}-{uuid.uuid4()}.jsonl"


def line(
    settings: Mapping[str, Any], body: bytes, given: Mapping[str, Any], answer: Answer, moment: datetime
) -> dict[str, Any]:
    """Return one captured request. `given`: the request's parameters."""
    modes = {option["CaptureMode"] for option in settings["CaptureOptions"]}
    data, answered = {}, answer.headers.get("content-type", "application/octet-stream")
    if modes & {"Input", "InputAndOutput"}:
        data["endpointInput"] = _side(settings, "INPUT", body, given.get("ContentType", "application/octet-stream"))
    if modes & {"Output", "InputAndOutput"}:
        data["endpointOutput"] = _side(settings, "OUTPUT", answer.body, answered)
    event = {"eventId": str(uuid.uuid4()), "inferenceTime": f"{moment:%Y-%m-%dT%H:%M:%SZ}"}
    if "InferenceId" in given:
        event["inferenceId"] = given["InferenceId"]
    if "CustomAttributes" in given:
        event["customAttributes"] = [given["CustomAttributes"]]
    return {"captureData": data, "eventMetadata": event, "eventVersion": "0"}


def _side(settings: Mapping[str, Any], mode: str, data: bytes, content_type: str) -> dict[str, str]:
    """Return one direction; content types that the configuration does not name are encoded as base64."""
    kind, named = content_type.partition(";")[0].strip(), settings.get("CaptureContentTypeHeader") or {}
    if kind in named.get("CsvContentTypes", []):
        encoding, text = "CSV", data.decode(errors="replace")
    elif kind in named.get("JsonContentTypes", []):
        encoding, text = "JSON", data.decode(errors="replace")
    else:
        encoding, text = "BASE64", base64.b64encode(data).decode()
    return {"observedContentType": content_type, "mode": mode, "data": text, "encoding": encoding}
