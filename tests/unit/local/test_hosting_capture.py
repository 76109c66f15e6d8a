"""Captured requests: what is kept, how it is spelled, where it goes."""

import base64
import json
import re
from datetime import UTC, datetime

import pytest

from turnout.local.sagemaker.container import Answer
from turnout.local.sagemaker.hosting.capture import Captures, file_name, line, summary
from turnout.local.sagemaker.ports import Scope

HERE = Scope("000000000000", "us-east-1")
NOW = datetime(2026, 11, 23, 7, 5, 3, 42_000, UTC)
GIVEN = {"ContentType": "text/csv", "InferenceId": "i", "CustomAttributes": "a=b"}
ANSWER = Answer(200, b'{"x": 1}', {"content-type": "application/json; charset=utf-8"})
BOTH = [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}]


def settings(percent: int = 100, options: list | None = None, **more) -> dict:
    return {
        "InitialSamplingPercentage": percent,
        "DestinationS3Uri": "s3://bucket/captured/",
        "CaptureOptions": options or BOTH,
        "CaptureContentTypeHeader": {"CsvContentTypes": ["text/csv"], "JsonContentTypes": ["application/json"]},
        **more,
    }


class FakeStorage:
    def __init__(self):
        self.objects = {}

    def client(self, service, scope):
        return self

    def put_object(self, Bucket, Key, Body):
        self.objects[f"{Bucket}/{Key}"] = Body


def taken(config: dict, times: int = 1) -> FakeStorage:
    storage = FakeStorage()
    captures = Captures(storage)
    for _ in range(times):
        captures.take(HERE, "e", "v", config, b"1,2", GIVEN, ANSWER)
    captures.write()
    captures.write()
    return storage


def test_a_line_is_spelled_as_sagemaker_spells_it():
    found = line(settings(), b"1,2", GIVEN, ANSWER, NOW)
    assert found["captureData"] == {
        "endpointInput": {"observedContentType": "text/csv", "mode": "INPUT", "data": "1,2", "encoding": "CSV"},
        "endpointOutput": {
            "observedContentType": "application/json; charset=utf-8",
            "mode": "OUTPUT",
            "data": '{"x": 1}',
            "encoding": "JSON",
        },
    }
    event = found["eventMetadata"]
    assert (event["inferenceTime"], event["inferenceId"]) == ("2026-11-23T07:05:03Z", "i")
    assert event["customAttributes"] == ["a=b"]
    assert found["eventVersion"] == "0"


def test_types_that_are_not_named_are_base64():
    found = line(settings(CaptureContentTypeHeader={}), b"1,2", GIVEN, ANSWER, NOW)["captureData"]["endpointInput"]
    assert (found["encoding"], base64.b64decode(found["data"])) == ("BASE64", b"1,2")


@pytest.mark.parametrize(
    ("mode", "sides"),
    [
        ("Input", {"endpointInput"}),
        ("Output", {"endpointOutput"}),
        ("InputAndOutput", {"endpointInput", "endpointOutput"}),
    ],
)
def test_only_the_sides_that_are_wanted_are_kept(mode, sides):
    assert set(line(settings(options=[{"CaptureMode": mode}]), b"", GIVEN, ANSWER, NOW)["captureData"]) == sides


def test_lines_that_came_together_are_one_object_under_the_hour():
    ((key, body),) = taken({"DataCaptureConfig": settings()}, 3).objects.items()
    folder, _, name = key.rpartition("/")
    assert re.fullmatch(r"bucket/captured/e/v/\d{4}/\d\d/\d\d/\d\d", folder)
    assert re.fullmatch(r"\d\d-\d\d-\d{3}-[0-9a-f-]{36}\.jsonl", name)
    assert len([json.loads(text) for text in body.decode().splitlines()]) == 3
    assert file_name(NOW).startswith("2026/11/23/07/05-03-042-")


@pytest.mark.parametrize("config", [{}, {"DataCaptureConfig": settings(0)}])
def test_nothing_is_kept_unasked(config):
    assert taken(config, 50).objects == {}


def test_capture_can_be_off_and_is_shown_so():
    off = settings(EnableCapture=False)
    assert taken({"DataCaptureConfig": off}).objects == {}
    assert (summary(off)["CaptureStatus"], summary(settings())["CaptureStatus"]) == ("Stopped", "Started")
    assert summary(settings(20))["CurrentSamplingPercentage"] == 20


def test_about_as_many_are_kept_as_the_percentage_says():
    ((_, body),) = taken({"DataCaptureConfig": settings(30)}, 2000).objects.items()
    assert 450 < len(body.splitlines()) < 750  # five standard deviations around 600 are 100
