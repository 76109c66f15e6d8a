"""A transform job's settings as the data plane needs them, read from a CreateTransformJob request."""

from dataclasses import dataclass
from typing import Self

from turnout.local.sagemaker.transform.formats import Codec, codec_for
from turnout.local.sagemaker.transform.splitting import MEGABYTE

DEFAULT_PAYLOAD_MB = 6
DEFAULT_TIMEOUT_SECONDS = 600
DEFAULT_RETRIES = 3


@dataclass(frozen=True)
class TransformSettings:
    """What to do with each object. `max_payload_bytes` of 0 means no limit; times are seconds."""

    content_type: str | None
    accept: str | None
    by_line: bool
    single_record: bool
    gzip: bool
    max_payload_bytes: int
    concurrency: int
    assemble_line: bool
    codec: Codec | None
    timeout: float
    retries: int

    @classmethod
    def from_request(cls, request: dict, offered: dict) -> Self:
        """Read a job. `offered` is the container's answer to /execution-parameters: the request wins over it."""
        client = request.get("ModelClientConfig") or {}
        source, sink = request["TransformInput"], request["TransformOutput"]
        strategy = request.get("BatchStrategy") or {"SINGLE_RECORD": "SingleRecord"}.get(offered.get("BatchStrategy"))
        payload_mb = _first(request.get("MaxPayloadInMB"), offered.get("MaxPayloadInMB"), DEFAULT_PAYLOAD_MB)
        return cls(
            content_type=source.get("ContentType"),
            accept=sink.get("Accept"),
            by_line=source.get("SplitType", "None") == "Line",
            single_record=strategy == "SingleRecord",
            gzip=source.get("CompressionType", "None") == "Gzip",
            max_payload_bytes=int(payload_mb) * MEGABYTE,
            concurrency=int(request.get("MaxConcurrentTransforms") or offered.get("MaxConcurrentTransforms") or 1),
            assemble_line=sink.get("AssembleWith", "None") == "Line",
            codec=codec_for(source.get("ContentType"), request.get("DataProcessing") or {}),
            timeout=float(client.get("InvocationsTimeoutInSeconds", DEFAULT_TIMEOUT_SECONDS)),
            retries=int(client.get("InvocationsMaxRetries", DEFAULT_RETRIES)),
        )


def _first(*values):
    return next(value for value in values if value is not None)
