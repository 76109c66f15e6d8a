"""A transform job's settings as the data plane needs them, read from a CreateTransformJob request."""

from dataclasses import dataclass
from typing import Any, Self

from turnout.local.sagemaker.transform.errors import BadData
from turnout.local.sagemaker.transform.formats import codec_for
from turnout.local.sagemaker.transform.marking import Marker, marker_for
from turnout.local.sagemaker.transform.splitting import MEGABYTE, Splitter

DEFAULT_PAYLOAD_MB = 6
DEFAULT_TIMEOUT_SECONDS = 600
DEFAULT_RETRIES = 3
NO_PROCESSING = {"InputFilter": "$", "OutputFilter": "$", "JoinSource": "None"}
STRATEGIES = {"SingleRecord": "SINGLE_RECORD", "MultiRecord": "MULTI_RECORD"}


@dataclass(frozen=True)
class TransformSettings:
    """What to do with each object. Times are seconds."""

    splitter: Splitter
    gzip: bool
    assemble_line: bool
    marker: Marker | None
    headers: dict[str, str]
    concurrency: int
    timeout: float
    retries: int

    @classmethod
    def from_request(cls, request: dict, offered: dict) -> Self:
        """Read a job. `offered` is the container's answer to /execution-parameters: the request wins over it.

        Raises BadData for an offer that makes no sense.
        """
        client = request.get("ModelClientConfig") or {}
        source, sink = request["TransformInput"], request["TransformOutput"]
        payload_mb = request.get("MaxPayloadInMB", _offered(offered, "MaxPayloadInMB", DEFAULT_PAYLOAD_MB))
        headers = {"Content-Type": source.get("ContentType"), "Accept": sink.get("Accept")}
        return cls(
            splitter=Splitter(
                split=source.get("SplitType", "None"),
                single=_strategy(request, offered) == "SINGLE_RECORD",
                max_bytes=MEGABYTE * payload_mb,
                codec=codec_for(source.get("ContentType"), request.get("DataProcessing") or {}),
            ),
            gzip=source.get("CompressionType", "None") == "Gzip",
            assemble_line=sink.get("AssembleWith", "None") == "Line",
            marker=marker_for(request),
            headers={name: value for name, value in headers.items() if value},
            concurrency=request.get("MaxConcurrentTransforms") or _offered(offered, "MaxConcurrentTransforms", 1) or 1,
            timeout=float(client.get("InvocationsTimeoutInSeconds", DEFAULT_TIMEOUT_SECONDS)),
            retries=int(client.get("InvocationsMaxRetries", DEFAULT_RETRIES)),
        )

    def describe(self) -> str:
        """Return the line with which SageMaker begins a job's data log."""
        strategy = STRATEGIES["SingleRecord" if self.splitter.single else "MultiRecord"]
        megabytes = self.splitter.max_bytes // MEGABYTE
        return f"MaxConcurrentTransforms={self.concurrency}, MaxPayloadInMB={megabytes}, BatchStrategy={strategy}"


def with_defaults(job: dict[str, Any]) -> dict[str, Any]:
    """Return a job as its description and its events show it: what was not set has its default."""
    return {
        **job,
        "TransformInput": {"CompressionType": "None", "SplitType": "None", **job["TransformInput"]},
        "TransformOutput": {"AssembleWith": "None", "KmsKeyId": "", **job["TransformOutput"]},
    }


def _strategy(request: dict, offered: dict) -> str:
    if "BatchStrategy" in request:
        return STRATEGIES[request["BatchStrategy"]]
    strategy = offered.get("BatchStrategy") or STRATEGIES["MultiRecord"]
    if strategy not in STRATEGIES.values():
        raise BadData(f"/execution-parameters offers the BatchStrategy {strategy!r}")
    return strategy


def _offered(offered: dict, name: str, default: int) -> int:
    value = offered.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise BadData(f"/execution-parameters offers the {name} {value!r}")
    return value
