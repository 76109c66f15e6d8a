"""What CreateTransformJob refuses beyond the shape of a request."""

from turnout.local.sagemaker.errors import Invalid, NotEmulated
from turnout.local.sagemaker.transform.filters import BadPath, parse
from turnout.local.sagemaker.transform.formats import CSV, JSON_TYPES, media_type

MAX_PAYLOAD_TIMES_CONCURRENCY_MB = 100


def check_transform(request: dict) -> None:
    """Raise what AWS refuses beyond the request's shape, and what the local cloud does not have."""
    source, sink = request["TransformInput"], request["TransformOutput"]
    split = source.get("SplitType", "None")
    data = source["DataSource"].get("S3DataSource") or {}
    if data.get("S3DataType") != "S3Prefix":
        raise NotEmulated(f"S3DataType {data.get('S3DataType')} is not emulated; use S3Prefix.")
    if split not in ("None", "Line"):
        raise NotEmulated(f"SplitType {split} is not emulated; use None or Line.")
    payload = request.get("MaxPayloadInMB", 6) * max(request.get("MaxConcurrentTransforms", 1), 1)
    if payload > MAX_PAYLOAD_TIMES_CONCURRENCY_MB:
        raise Invalid(
            f"MaxConcurrentTransforms * MaxPayloadInMB must not exceed {MAX_PAYLOAD_TIMES_CONCURRENCY_MB} MB; "
            f"it is {payload} MB."
        )
    if request.get("BatchStrategy") == "MultiRecord" and split == "None":
        raise Invalid("BatchStrategy MultiRecord needs SplitType Line, RecordIO or TFRecord.")
    _check_processing(request.get("DataProcessing") or {}, source, sink)


def _check_processing(processing: dict, source: dict, sink: dict) -> None:
    for name in ("InputFilter", "OutputFilter"):
        try:
            parse(processing.get(name, "$"))
        except BadPath as error:
            raise Invalid(f"{name}: {error}") from None
    filters = [processing.get(name) for name in ("InputFilter", "OutputFilter")]
    joins = processing.get("JoinSource", "None") == "Input"
    if not joins and all(path in (None, "$") for path in filters):
        return
    content, accept = media_type(source.get("ContentType")), media_type(sink.get("Accept"))
    if content not in (CSV, *JSON_TYPES):
        raise Invalid(f"DataProcessing needs ContentType {CSV} or {' or '.join(JSON_TYPES)}, not {content!r}.")
    if joins and content != accept:
        raise Invalid(
            f"JoinSource Input needs ContentType and Accept to be equal; they are {content!r} and {accept!r}."
        )
    lines = source.get("SplitType", "None") == "Line" and sink.get("AssembleWith", "None") == "Line"
    if joins and content == CSV and not lines:
        raise Invalid("JoinSource Input with text/csv needs SplitType Line and AssembleWith Line.")
