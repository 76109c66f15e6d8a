"""Event streams, read back by botocore's own decoder."""

import json

import pytest
from botocore.eventstream import EventStreamBuffer, EventStreamMessage

from turnout.local.sagemaker.hosting import streaming


def decoded(*messages: bytes) -> list[EventStreamMessage]:
    buffer = EventStreamBuffer()
    for message in messages:
        buffer.add_data(message)
    return list(buffer)


@pytest.mark.parametrize("data", [b"", b"text", bytes(range(256)) * 1000])
def test_a_part_carries_its_bytes(data):
    (event,) = decoded(streaming.part(data))
    assert event.payload == data
    assert event.headers == {
        ":event-type": "PayloadPart",
        ":content-type": "application/octet-stream",
        ":message-type": "event",
    }


def test_a_model_stream_error_has_its_code():
    first, error = decoded(streaming.part(b"a"), streaming.model_stream_error(streaming.BROKEN, "why"))
    assert first.payload == b"a"
    assert (error.headers[":message-type"], error.headers[":exception-type"]) == ("exception", "ModelStreamError")
    assert json.loads(error.payload) == {"Message": "why", "ErrorCode": "StreamBroken"}


def test_a_failure_of_ours_is_no_error_of_the_models():
    (failure,) = decoded(streaming.internal_stream_failure("x" * 5000))
    assert failure.headers[":exception-type"] == "InternalStreamFailure"
    assert len(json.loads(failure.payload)["Message"]) == 2048
