"""What CreateTransformJob refuses beyond the shape of a request."""

from turnout.local.sagemaker.errors import Invalid, NotEmulated
from turnout.local.sagemaker.transform.filters import BadPath, parse
from turnout.local.sagemaker.transform.formats import CSV, JSON_TYPES, media_type
from turnout.local.sagemaker.transform.settings import DEFAULT_PAYLOAD_MB

MAX_PAYLOAD_MB = 100
MAX_PAYLOAD_TIMES_CONCURRENCY_MB = 100
MAX_INSTANCES = 100


def check_transform(request: dict) -> None:
    """Raise what AWS refuses beyond the request's shape, and what the local cloud does not have."""
    source, sink = request["TransformInput"], request["TransformOutput"]
    _check_source(source["DataSource"]["S3DataSource"]["S3DataType"])
    _check_payload(request.get("MaxPayloadInMB", DEFAULT_PAYLOAD_MB), request.get("MaxConcurrentTransforms", 1))
    if request["TransformResources"]["InstanceCount"] > MAX_INSTANCES:
        raise Invalid(f"InstanceCount must not exceed {MAX_INSTANCES}.")
    if request.get("BatchStrategy") == "MultiRecord" and source.get("SplitType", "None") == "None":
        raise Invalid("BatchStrategy MultiRecord needs SplitType Line, RecordIO or TFRecord.")
    _check_processing(request.get("DataProcessing") or {}, source, sink)
    if (request.get("DataCaptureConfig") or {}).get("GenerateInferenceId"):
        _check_type("GenerateInferenceId", "Accept", sink.get("Accept"))


def _check_source(kind: str) -> None:
    if kind == "AugmentedManifestFile":
        raise Invalid("S3DataType AugmentedManifestFile is not supported for transform jobs.")
    if kind not in ("S3Prefix", "ManifestFile"):
        raise NotEmulated(f"S3DataType {kind} is not emulated; use S3Prefix or ManifestFile.")


def _check_payload(megabytes: int, concurrency: int) -> None:
    if megabytes > MAX_PAYLOAD_MB:
        raise Invalid(f"MaxPayloadInMB must not exceed {MAX_PAYLOAD_MB} MB; it is {megabytes} MB.")
    if megabytes * concurrency > MAX_PAYLOAD_TIMES_CONCURRENCY_MB:
        raise Invalid(
            f"MaxConcurrentTransforms * MaxPayloadInMB must not exceed {MAX_PAYLOAD_TIMES_CONCURRENCY_MB} MB; "
            f"it is {megabytes * concurrency} MB."
        )


def _check_processing(processing: dict, source: dict, sink: dict) -> None:
    for name in ("InputFilter", "OutputFilter"):
        try:
            parse(processing.get(name, "$"))
        except BadPath as error:
            raise Invalid(f"{name}: {error}") from None
    joins = processing.get("JoinSource", "None") == "Input"
    filters_input, filters_output = (processing.get(n) not in (None, "$") for n in ("InputFilter", "OutputFilter"))
    if not (joins or filters_input or filters_output):
        return
    content = _check_type("DataProcessing", "ContentType", source.get("ContentType"))
    if joins and content != (accept := media_type(sink.get("Accept"))):
        raise Invalid(
            f"JoinSource Input needs ContentType and Accept to be equal; they are {content!r} and {accept!r}."
        )
    if filters_output:
        _check_type("OutputFilter", "Accept", sink.get("Accept"))
    split = source.get("SplitType", "None")
    if split not in ("None", "Line"):
        raise Invalid(f"DataProcessing needs SplitType None or Line, not {split}.")
    if content == CSV and split != "Line":
        raise Invalid("DataProcessing with text/csv needs SplitType Line.")
    if content == CSV and (joins or filters_output) and sink.get("AssembleWith", "None") != "Line":
        raise Invalid("JoinSource and OutputFilter with text/csv need AssembleWith Line.")


def _check_type(what: str, member: str, value: str | None) -> str:
    if (given := media_type(value)) not in (CSV, *JSON_TYPES):
        raise Invalid(f"{what} needs {member} {CSV} or {' or '.join(JSON_TYPES)}, not {given!r}.")
    return given
