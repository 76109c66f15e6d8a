"""Answers of InvokeEndpointWithResponseStream, encoded as `application/vnd.amazon.eventstream`. Pure.

A message is: total length, length of the headers, CRC of these two, headers, payload, CRC of everything before.
A header is: length of its name, name, type 7 (text), length of its value, value. Numbers are big-endian.
"""

import json
import struct
import zlib

CONTENT_TYPE = "application/vnd.amazon.eventstream"
TEXT = 7
#: ErrorCode of ModelStreamError.
TIMED_OUT, BROKEN = "ModelInvocationTimeExceeded", "StreamBroken"


def part(data: bytes) -> bytes:
    """Return a PayloadPart event."""
    kind = {":event-type": "PayloadPart", ":content-type": "application/octet-stream", ":message-type": "event"}
    return _message(kind, data)


def model_stream_error(code: str, message: str) -> bytes:
    """Return the exception that ends a stream the model did not finish."""
    return _exception("ModelStreamError", {"Message": message[:2048], "ErrorCode": code})


def internal_stream_failure(message: str) -> bytes:
    return _exception("InternalStreamFailure", {"Message": message[:2048]})


def _exception(name: str, members: dict[str, str]) -> bytes:
    kind = {":exception-type": name, ":content-type": "application/json", ":message-type": "exception"}
    return _message(kind, json.dumps(members).encode())


def _message(headers: dict[str, str], payload: bytes) -> bytes:
    encoded = b"".join(_header(name, value) for name, value in headers.items())
    prelude = struct.pack("!II", 16 + len(encoded) + len(payload), len(encoded))
    message = prelude + struct.pack("!I", zlib.crc32(prelude)) + encoded + payload
    return message + struct.pack("!I", zlib.crc32(message))


def _header(name: str, value: str) -> bytes:
    name_bytes, value_bytes = name.encode(), value.encode()
    return struct.pack(f"!B{len(name_bytes)}sBH", len(name_bytes), name_bytes, TEXT, len(value_bytes)) + value_bytes
