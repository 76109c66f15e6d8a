"""One object through the model: split, filter, send, join, assemble. The sending is a function passed in."""

import gzip
from collections.abc import Callable, Iterable

from turnout.local.sagemaker.transform.errors import BadData
from turnout.local.sagemaker.transform.settings import TransformSettings
from turnout.local.sagemaker.transform.splitting import batches, split_lines

#: Sends request bodies, possibly several at a time, and gives the answers back in the same order.
Send = Callable[[Iterable[bytes]], Iterable[bytes]]


def transform_object(data: bytes, settings: TransformSettings, send: Send) -> bytes:
    """Return the bytes of the object's `.out`. Raises ObjectFailed when no complete result can be made."""
    data = _decompressed(data) if settings.gzip else data
    if not settings.by_line:
        return _whole(data, settings, send)
    if not (records := split_lines(data)):
        return b""
    if settings.codec is None:
        spans = batches(records, settings.max_payload_bytes, settings.single_record)
        return _assembled(list(send(b"\n".join(records[a:b]) + b"\n" for a, b in spans)), settings)
    return _processed([_text(record) for record in records], settings, send)


def _processed(lines: list[str], settings: TransformSettings, send: Send) -> bytes:
    codec = settings.codec
    payload = [line.encode() for line in codec.to_model(lines)]
    spans = list(batches(payload, settings.max_payload_bytes, settings.single_record))
    answers = send(b"\n".join(payload[a:b]) + b"\n" for a, b in spans)
    parts = []
    for (a, b), answer in zip(spans, answers, strict=True):
        predictions = [_text(line) for line in split_lines(answer)]
        if len(predictions) != b - a:
            raise BadData(
                f"Fail to join: the number of records differs: records {a + 1} to {b} ({b - a}) were sent, "
                f"{len(predictions)} came back"
            )
        parts.append("\n".join(codec.to_output(lines[a:b], predictions)).encode())
    return _assembled(parts, settings)


def _whole(data: bytes, settings: TransformSettings, send: Send) -> bytes:
    if settings.codec is not None:
        text = _text(data).rstrip("\r\n")
        (answer,) = send([settings.codec.to_model([text])[0].encode()])
        return _assembled([settings.codec.to_output([text], [_text(answer).rstrip("\r\n")])[0].encode()], settings)
    if settings.max_payload_bytes and len(data) > settings.max_payload_bytes:
        raise BadData(f"the object has {len(data)} bytes, more than MaxPayloadInMB allows, and SplitType is None")
    return _assembled(list(send([data])), settings)


def _assembled(parts: list[bytes], settings: TransformSettings) -> bytes:
    if not settings.assemble_line:
        return b"".join(parts)
    return b"".join(part if part.endswith(b"\n") or not part else part + b"\n" for part in parts)


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise BadData("the data is not UTF-8, which filters and joins need") from None


def _decompressed(data: bytes) -> bytes:
    try:
        return gzip.decompress(data)
    except (OSError, EOFError) as error:
        raise BadData(f"the object is not gzip: {error}") from None
