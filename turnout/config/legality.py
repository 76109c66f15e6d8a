"""What may stand together in one model's entry: AWS's limits and our own, each with its reason and the nearest way out.

Every rule is a generator over one ModelSpec that yields a Finding for each thing to mend; `RULES` lists them.
Rules see the whole entry, also the sub-settings of modes that are not active: a switch of mode must not be
the moment at which they turn out to be illegal.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from handlers.contract.modes import AVAILABLE, ServingMode
from handlers.contract.payloads import words
from handlers.contract.predictions import MAX_REQUEST_BYTES
from turnout import __version__
from turnout.advice.rules import Serving
from turnout.config import answers, images, instances, schedules, ways
from turnout.config.capabilities import (
    BATCH_TRANSFORM,
    ENDPOINT,
    ENDPOINT_SCALING,
    ENDPOINT_UPDATE,
    FAMILIES,
    LIMITS,
    MAX_SERVERLESS_ENDPOINTS,
    PRODUCTION_VARIANT,
    SCORES_IN_BATCH,
    SERVERLESS,
    SERVERLESS_POOL,
    TRANSFORM_JOB,
    TRANSFORM_RESOURCES,
    endpoint_of,
    may_scale,
    realtime_instances,
)
from turnout.config.problems import quote
from turnout.config.specs import LAST_MODIFIED, FeatureSpec, ModelSpec, PlatformSpec, ScheduleSpec, format_duration
from turnout.config.stages import STAGES

_API = "https://docs.aws.amazon.com/sagemaker/latest/APIReference/"
CONTAINER = f"{_API}API_ContainerDefinition.html"
TAG = f"{_API}API_Tag.html"
BUCKET_NAMES = "https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html"
BUCKET_EVENTS = "https://docs.aws.amazon.com/AmazonS3/latest/userguide/EventBridge.html"
XGBOOST_SERVER = "https://github.com/aws/sagemaker-xgboost-container"
TORCH_SERVER = "https://github.com/pytorch/serve/blob/master/docs/configuration.md"
MULTI_MODEL_SERVER = "https://github.com/awslabs/multi-model-server/blob/master/docs/configuration.md"
API_QUOTAS = "https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html"

NAME = re.compile(r"[a-z][a-z0-9-]{0,31}(?<!-)", re.ASCII)
RESERVED_NAMES = frozenset({"platform"})
RESERVED_FEATURES = frozenset({"row", "sagemakeroutput", "sagemakerinput"})  # members of Batch Transform's lines
RESERVED_COLUMNS = frozenset({"scored_at", "model_version", "date", "run"})  # columns and partitions of the results
RESERVED_VARIABLES = frozenset({"SAGEMAKER_PROGRAM", "SAGEMAKER_SUBMIT_DIRECTORY", "SAGEMAKER_BATCH"})
AT_ONCE = frozenset({"realtime", "serverless"})  # families of endpoints whose answer is that of the call
MILLION = 1_000_000
MAX_COLUMN_NAME = 255
MAX_VARIABLES = 16
MAX_TAGS = 40  # AWS takes 50; ten are left to Turnout and to the stack
ROUTES_PER_MODEL, MAX_ROUTES = 5, 300
FRONT_DOOR_SECONDS = 30  # after which the HTTP API gives up, and with it the front door

_BUCKET = re.compile(r"[a-z0-9](?!.*\.\.)[a-z0-9.-]{1,61}[a-z0-9]", re.ASCII)
_VARIABLE = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]{0,255}", re.ASCII)
_TAG_TEXT = re.compile(r"[\w\s.:/=+\-@]*")
_IMAGE = re.compile(
    r"[0-9]{12}\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com(\.cn)?/[a-z0-9][a-z0-9._/-]*"
    r"(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}|@sha256:[0-9a-f]{64})",
    re.ASCII,
)
_GPU_IMAGE = re.compile(r"\bgpu\b|cuda|[-_.]cu[0-9]{2,3}\b", re.ASCII)
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s.]+")
_LAYER = re.compile(r"arn:aws[a-z-]*:lambda:[a-z0-9-]+:[0-9]{12}:layer:[A-Za-z0-9_-]+:[0-9]+", re.ASCII)


Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Finding:
    """One thing to mend; `path` leads to its key inside the model's entry."""

    path: tuple[str | int, ...]
    reason: str
    remedy: str
    link: str | None = None
    severity: Severity = "error"


Findings = Iterator[Finding]


def check_model(spec: ModelSpec) -> list[Finding]:
    """Return everything that is wrong with one model's entry."""
    return [finding for rule in RULES for finding in rule(spec)]


def check_mode(spec: ModelSpec) -> list[Finding]:
    """Return what is wrong with the entry's mode, of an entry whose other settings have been checked."""
    return [finding for rule in MODE_RULES for finding in rule(spec)]


def refusals(entry: ModelSpec, spec: ModelSpec) -> list[Finding]:
    """Return the errors for which `entry` may not be what becomes of `spec`: all that are its mode's, and of the others
    those that `spec` does not have as well. What the answers want is not among them.
    """
    own = [finding for finding in check_mode(entry) if finding.severity == "error"]
    before = _errors(spec)
    return own + [finding for finding in _errors(entry) if finding not in own and finding not in before]


def _errors(spec: ModelSpec) -> list[Finding]:
    rules = (rule for rule in RULES if rule is not _answers)
    return [finding for rule in rules for finding in rule(spec) if finding.severity == "error"]


def fitting(spec: ModelSpec) -> list[Serving]:
    """Return the ways to serve that break no rule and are legal with the settings that they need."""
    return [way for way in answers.unbroken(spec) if not refusals(_served(spec, way), spec)]


def _served(spec: ModelSpec, way: Serving) -> ModelSpec:
    return ways.with_settings(spec, ways.needed(spec, way))


def check_name(name: str) -> Findings:
    """A model's name becomes part of stacks, jobs and URLs."""
    if name in RESERVED_NAMES:
        yield Finding((), f"the name {name!r} is taken by Turnout itself", f"Call it {name}-model or the like.")
    elif not NAME.fullmatch(name):
        reason = f"{quote(name)} cannot be a model's name: it becomes part of stack names, job names and URLs"
        remedy = f"Use {_legal_name(name)}: a-z first, then a-z, 0-9 and hyphens, at most 32 characters."
        yield Finding((), reason, remedy)


def _legal_name(name: str) -> str:
    words = re.sub("[^a-z0-9]+", "-", name.lower()).strip("-0123456789")[:32].strip("-")
    return words or "churn"


def _mode(spec: ModelSpec) -> Findings:
    if spec.mode not in AVAILABLE:
        words = ", ".join(sorted(mode.value for mode in AVAILABLE))
        reason = f"mode {spec.mode.value!r} is not available yet in Turnout {__version__}"
        yield Finding(("mode",), reason, f"Available: {words}.")


def _schedule(spec: ModelSpec) -> Findings:
    if spec.schedule is not None:
        yield from _schedule_form(spec.schedule)
    elif SCORES_IN_BATCH[spec.mode]:
        reason = f"mode {spec.mode.value!r} scores in batch and needs to know when"
        yield Finding(("schedule",), reason, "Write `schedule: cron(0 6 * * ? *)`, `rate(1 day)` or `on-new-data`.")


def _schedule_form(schedule: ScheduleSpec) -> Findings:
    forms = {"cron": schedules.check_cron, "rate": schedules.check_rate, "at": schedules.check_at}
    given = [form for form in forms if getattr(schedule, form) is not None] + ["on_new_data"] * schedule.on_new_data
    if len(given) != 1:
        what = f"gives {' and '.join(given)}" if given else "gives no time"
        yield Finding(("schedule",), f"the schedule {what}", "Give exactly one of cron, rate, at and on_new_data.")
    for form, check in forms.items():
        text = getattr(schedule, form)
        if text is not None and (wrong := check(text)):
            yield Finding(("schedule", form), *wrong, schedules.LINK)
    if wrong := schedules.check_timezone(schedule.timezone):
        yield Finding(("schedule", "timezone"), *wrong, schedules.LINK)
    if not re.fullmatch(r"[_.][^/]{0,200}", schedule.marker):
        reason = f"a marker named {quote(schedule.marker)} would be read as data"
        remedy = "Use a name that starts with _ or . and holds no slash, such as _SUCCESS."
        yield Finding(("schedule", "marker"), reason, remedy)


def _pace(spec: ModelSpec) -> Findings:
    """Warn where runs come less often than answers turn stale, or more often than a job can start."""
    if spec.schedule is None or (every := answers.interval(spec.schedule)) is None:
        return
    if spec.max_staleness < every and spec.refresh.when_older_than is None:
        renewed = (
            f"are renewed every {spec.schedule.rate}" if spec.schedule.rate else f"runs come up to {_apart(every)}"
        )
        what = "lookups are refused" if spec.on_stale == "refuse" else "answers turn stale"
        reason = f"{what} after {format_duration(spec.max_staleness)} but {renewed}"
        yield Finding(("max_staleness",), reason, f"Raise it above {format_duration(every)}.", None, "warning")
    if every < timedelta(minutes=10):
        starts = f"starts every {spec.schedule.rate}" if spec.schedule.rate else f"starts up to {_apart(every)}"
        reason = f"a transform job takes minutes to start, and this one {starts}"
        yield Finding(("schedule",), reason, "Use rate(10 minutes) or slower.", BATCH_TRANSFORM, "warning")


def _apart(every: timedelta) -> str:
    return f"{format_duration(every)} apart"


def _kept(spec: ModelSpec) -> Findings:
    """Refuse scores that vanish before the next run has replaced them: lookups would answer 404 until it has."""
    least = answers.kept_at_least(spec)
    if least is None or spec.keep_scores >= least:
        return
    every = _apart(answers.between_runs(spec))
    takes = format_duration(answers.run_time(spec))
    reason = f"scores vanish after {format_duration(spec.keep_scores)}, and runs come up to {every} and take {takes}"
    yield Finding(("keep_scores",), reason, f"Use {format_duration(least)} or more, or run more often.")


def _columns(spec: ModelSpec) -> Findings:
    """Key, features and prediction must be told apart in Batch Transform's lines and in the results."""
    if not spec.features:
        yield Finding(("features",), "there are no features", "List the columns that the model reads.")
    if spec.key.column in spec.features:
        reason = f"{quote(spec.key.column)} is the key and a feature: Turnout keeps keys from the model"
        remedy = "Remove it from the features, or set transform.pass_key_to_model: true if the model wants it."
        yield Finding(("features", spec.key.column), reason, remedy)
    prediction = spec.output.prediction
    if prediction.casefold() == spec.key.column.casefold():
        reason = f"the results would hold two columns named {quote(prediction)}"
        yield Finding(("output", "prediction"), reason, "Give the prediction a name of its own.")
    for path, name in ((("key", "column"), spec.key.column), (("output", "prediction"), prediction)):
        if name.casefold() in RESERVED_COLUMNS:
            reason = f"{quote(name)} is a column or partition that Turnout writes into the results itself"
            yield Finding(path, reason, f"Rename the column, such as {name}_value.")
        elif wrong := _bad_column(name):
            yield Finding(path, *wrong)


def _bad_column(name: str) -> tuple[str, str] | None:
    if name.strip() and name.isprintable() and len(name) <= MAX_COLUMN_NAME:
        return None
    return f"{quote(name)} cannot be a column name", f"Use 1 to {MAX_COLUMN_NAME} printable characters."


def _features(spec: ModelSpec) -> Findings:
    with_key = spec.transform.pass_key_to_model and spec.transform.wire_format != "csv"
    for name, feature in spec.features.items():
        if name.casefold() in RESERVED_FEATURES or (with_key and name == "key"):
            reason = f"{quote(name)} is a name that the lines of Batch Transform use themselves"
            yield Finding(("features", name), reason, f"Rename the column, such as {name}_value.", TRANSFORM_JOB)
        elif wrong := _bad_column(name):
            yield Finding(("features", name), *wrong)
        for key, reason, remedy in _feature_limits(feature):
            yield Finding(("features", name, key), reason, remedy)


def _feature_limits(feature: FeatureSpec) -> Iterator[tuple[str, str, str]]:
    for key in ("min", "max"):
        if getattr(feature, key) is not None and feature.type not in ("float", "integer"):
            yield key, f"a {feature.type} has no {key}", "Remove it, or make the type float or integer."
    if feature.min is not None and feature.max is not None and feature.min > feature.max:
        yield "min", f"min {feature.min:g} is above max {feature.max:g}: no row could pass", "Swap them."
    if feature.pattern is not None:
        yield from _pattern(feature)
    if feature.values is not None:
        yield from _values(feature)


def _pattern(feature: FeatureSpec) -> Iterator[tuple[str, str, str]]:
    if feature.type != "string":
        yield "pattern", f"a {feature.type} has no text to match", "Remove it, or make the type string."
    try:
        re.compile(feature.pattern or "")
    except (re.error, OverflowError, RecursionError) as error:
        yield "pattern", f"{quote(feature.pattern)} is no regular expression: {error}", "Mend the expression."


def _values(feature: FeatureSpec) -> Iterator[tuple[str, str, str]]:
    if not feature.values:
        yield "values", "no value is allowed, so no row could pass", "List the allowed values or remove the key."
    wrong = [value for value in feature.values or [] if not _is_a(feature.type, value)]
    if wrong:
        yield "values", f"{quote(wrong[0])} is not a {feature.type}", "List values of the feature's type; quote text."
    outside = [value for value in feature.values or [] if _is_a("float", value) and not _within(feature, value)]
    if outside:
        yield "values", f"{outside[0]} lies outside min and max", "Remove the value or widen the range."


def _is_a(kind: str, value: object) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    return isinstance(value, {"float": (int, float), "integer": int, "string": str}.get(kind, ()))


def _within(feature: FeatureSpec, value: float) -> bool:
    above = feature.min is None or value >= feature.min
    return above and (feature.max is None or value <= feature.max)


def _instance_types(spec: ModelSpec) -> Findings:
    words = {"transform": ("run batch transform", TRANSFORM_RESOURCES)}
    for family in FAMILIES.values():
        if family.instances is None:
            continue
        path = (family.section, "instance_type")
        chosen = _value(spec, path)
        what, link = words.get(family.instances, ("serve an endpoint", PRODUCTION_VARIANT))
        if chosen not in instances.legal(family.instances):
            remedy = f"Use {instances.nearest(chosen, family.instances)}, the nearest that it takes."
            yield Finding(path, f"{quote(chosen)} cannot {what}: {_why_not(chosen)}", remedy, link)
        elif spec.image is None and (wrong := _no_image(spec, chosen)):
            yield Finding(path, *wrong, images.LINK)


def _value(spec: ModelSpec, path: tuple[str, ...]) -> Any:
    """Return the value at a path as the file spells it."""
    value: Any = spec
    for step in path:
        value = getattr(value, {"async": "async_"}.get(step, step))
    return value


def _why_not(instance_type: str) -> str:
    if instance_type not in instances.legal("endpoint"):
        return "SageMaker has no such type"
    graviton = ", like all of Graviton" if images.processor(instance_type) == "arm64" else ""
    return f"SageMaker takes it for endpoints only{graviton}"


def _no_image(spec: ModelSpec, instance_type: str) -> tuple[str, str] | None:
    """Say why no prebuilt image runs on an instance type; None also where the version itself is unknown."""
    version = spec.framework_version or images.default_version(spec.framework)
    if version not in images.versions(spec.framework):
        return None
    try:
        images.image_name(spec.framework, version, instance_type)
    except images.ImageError as error:
        return error.reason, error.remedy
    return None


def _image(spec: ModelSpec) -> Findings:
    if spec.image is None:
        yield from _framework_version(spec)
        return
    for key in ("framework", "framework_version"):
        if key in spec.model_fields_set and getattr(spec, key) is not None:
            reason = f"`image` and `{key}` both say which container serves the model"
            yield Finding((key,), reason, f"Keep `image` and remove `{key}`, or the other way round.")
    if not _IMAGE.fullmatch(spec.image):
        remedy = "Write 123456789012.dkr.ecr.eu-west-1.amazonaws.com/repository:tag, or @sha256:... instead of :tag."
        reason = f"{quote(spec.image)} is not an image in ECR with a tag or digest; SageMaker pulls from ECR"
        yield Finding(("image",), reason, remedy, CONTAINER)
    elif spec.image.endswith(":latest"):
        reason = "the tag `latest` moves: two deployments of one configuration may run different code"
        yield Finding(("image",), reason, "Pin a tag that never moves, or a digest.", None, "warning")


def _framework_version(spec: ModelSpec) -> Findings:
    version = spec.framework_version
    if version is None or version in images.versions(spec.framework):
        return
    try:
        images.image_name(spec.framework, version, "ml.m5.large")
    except images.ImageError as error:
        yield Finding(("framework_version",), error.reason, error.remedy, images.LINK)


def _transform_limits(spec: ModelSpec) -> Findings:
    transform = spec.transform
    product = transform.max_payload_mb * transform.max_concurrent
    if product > 100:
        factors = f"max_payload_mb {transform.max_payload_mb} x max_concurrent {transform.max_concurrent}"
        fitting = 100 // transform.max_payload_mb
        remedy = f"Use max_concurrent: {fitting}, or max_payload_mb: {100 // transform.max_concurrent}."
        yield Finding(
            ("transform", "max_concurrent"), f"{factors} is {product} MB, and AWS allows 100", remedy, TRANSFORM_JOB
        )
    asked = "strategy" in transform.model_fields_set
    if transform.wire_format == "parquet" and asked and transform.strategy == "MultiRecord":
        reason = "a Parquet file goes to the container whole, and MultiRecord puts lines together"
        yield Finding(("transform", "strategy"), reason, "Remove the line, or use wire_format: csv.", TRANSFORM_JOB)
    if spec.framework in _BODIES and spec.image is None and transform.max_payload_mb > 6:
        yield from _server_body(spec, *_BODIES[spec.framework])


#: Prebuilt servers that refuse bodies above 6 MB with 413, whatever the job says: name, variable, source, and how sure
#: that is; newer releases of the last two may heed the job.
_BODIES = {
    "xgboost": ("XGBoost", "MAX_CONTENT_LENGTH", XGBOOST_SERVER, "error"),
    "pytorch": ("PyTorch", "TS_MAX_REQUEST_SIZE", TORCH_SERVER, "warning"),
    "huggingface": ("Hugging Face", "MMS_MAX_REQUEST_SIZE", MULTI_MODEL_SERVER, "warning"),
}


def _server_body(spec: ModelSpec, whose: str, variable: str, link: str, severity: str) -> Findings:
    if variable in spec.environment:
        return
    wanted = spec.transform.max_payload_mb * 1024 * 1024
    reason = f"SageMaker's {whose} container refuses bodies above 6 MB, and this is {spec.transform.max_payload_mb} MB"
    remedy = f"Set environment.{variable}: '{wanted}', or max_payload_mb: 6."
    yield Finding(("transform", "max_payload_mb"), reason, remedy, link, severity)


def _durations(spec: ModelSpec) -> Findings:
    for setting, limit in LIMITS.items():
        if not limit.duration:
            continue
        path = tuple(setting.split("."))
        value, least, most = _value(spec, path), timedelta(seconds=limit.least), timedelta(seconds=limit.most)
        if value is not None and not least <= value <= most:
            bounds = f"{format_duration(least)} to {format_duration(most)}"
            whose = "AWS allows" if limit.link else "allowed is"
            nearest = format_duration(min(max(value, least), most))
            yield Finding(path, f"{format_duration(value)}: {whose} {bounds}", f"Use {nearest}.", limit.link)
    if spec.keep_scores < spec.max_staleness:
        reason = f"scores would vanish after {format_duration(spec.keep_scores)}, before they count as stale"
        yield Finding(("keep_scores",), reason, f"Use {format_duration(spec.max_staleness)} or more.")


def _realtime_limits(spec: ModelSpec) -> Findings:
    live = spec.realtime
    if live.instance_count is not None and live.instance_count > live.max_instances:
        reason = f"instance_count {live.instance_count} is above max_instances {live.max_instances}"
        remedy = f"Use max_instances: {live.instance_count} or more."
        yield Finding(("realtime", "instance_count"), reason, remedy, ENDPOINT_SCALING)
    if live.invocations_per_instance is not None and "concurrent_requests_per_model" in live.model_fields_set:
        reason = "`concurrent_requests_per_model` and `invocations_per_instance` both say when to scale"
        remedy = "Keep one; requests in flight react sooner."
        yield Finding(("realtime", "invocations_per_instance"), reason, remedy, ENDPOINT_SCALING)
    if not may_scale(live.instance_type) and live.max_instances > (live.instance_count or 1):
        reason = f"{live.instance_type} runs on credit, and SageMaker does not scale such types"
        remedy = f"Use ml.m5.large, or max_instances: {live.instance_count or 1}."
        yield Finding(("realtime", "instance_type"), reason, remedy, ENDPOINT_SCALING, "warning")
    family = endpoint_of(spec)
    alone = [name for name, stage in STAGES.items() if realtime_instances(spec, stage) == 1]
    if family is not None and family.least_instances and alone and spec.shift != "all-at-once":
        where = "" if len(alone) == len(STAGES) else f" in stage {' and '.join(alone)}"
        moves = f"of which nothing can be {spec.shift}: only the front door shifts"
        reason = f"the endpoint has one instance{where}, {moves}"
        remedy = "Use realtime.instance_count: 2 or more, and as many max_instances."
        yield Finding(("shift",), reason, remedy, ENDPOINT_UPDATE, "warning")


def _async_limits(spec: ModelSpec) -> Findings:
    kind = spec.async_.instance_type
    if not may_scale(kind):
        reason = f"{kind} runs on credit, and SageMaker does not scale such types: one instance is up day and night"
        remedy = "Use ml.m5.large, which rests at none when nobody asks."
        yield Finding(("async", "instance_type"), reason, remedy, ENDPOINT_SCALING, "warning")


def _freshness(spec: ModelSpec) -> Findings:
    """What becomes of old scores must be something that the mode can do, and a run by age must come before they are."""
    if spec.on_stale == "live" and (endpoint_of(spec) is None or not SCORES_IN_BATCH[spec.mode]):
        reason = f"`live` is for scores with a model beside them; mode {spec.mode.value!r} has not both"
        yield Finding(("on_stale",), reason, "Use on_stale: serve, or mode: hybrid.")
    older_than = spec.refresh.when_older_than
    if older_than is not None and older_than >= spec.max_staleness:
        limit = format_duration(spec.max_staleness)
        reason = f"a run that age starts after {format_duration(older_than)} comes when answers are stale ({limit})"
        remedy = f"Use {format_duration(spec.max_staleness / 2)}, or raise max_staleness: a run takes minutes to hours."
        yield Finding(("refresh", "when_older_than"), reason, remedy)


def _refresh(spec: ModelSpec) -> Findings:
    """Scoring a key by event takes scores to put it beside, and a model that answers at once."""
    if not spec.refresh.on_event:
        return
    path, family = ("refresh", "on_event"), ENDPOINT[spec.mode](spec)
    if family is None or not SCORES_IN_BATCH[spec.mode]:
        reason = f"an event's key is scored by an endpoint, for lookups to find; mode {spec.mode.value!r} has not both"
        yield Finding(path, reason, "Use mode: hybrid, or on_event: false.")
    elif family not in AT_ONCE:
        reason = "an asynchronous endpoint answers later, and an event's key is scored at once"
        yield Finding(path, reason, "Use hybrid.fallback: serverless (or realtime), or on_event: false.")
    elif spec.input.data_time == LAST_MODIFIED:
        reason = "files that were extracted before an event and uploaded after it count as newer, and hide its score"
        remedy = "Name a column with each row's own time: input.data_time: <column>."
        yield Finding(path, reason, remedy, None, "warning")


def _serverless_limits(spec: ModelSpec) -> Findings:
    serverless = spec.serverless
    kept = serverless.provisioned_concurrency
    if kept is not None and kept > serverless.max_concurrency:
        reason = f"provisioned_concurrency {kept} is above max_concurrency {serverless.max_concurrency}"
        remedy = f"Use provisioned_concurrency: {serverless.max_concurrency} or less."
        yield Finding(("serverless", "provisioned_concurrency"), reason, remedy, PRODUCTION_VARIANT)


def _what_the_endpoint_lacks(spec: ModelSpec) -> Findings:
    """Refuse what was asked for by name and the mode's endpoint cannot do; mere defaults give way silently."""
    family = endpoint_of(spec)
    if family is None:
        return
    where = f"mode {spec.mode.value!r} keeps {family.what}"
    if spec.network_isolation and "network_isolation" in spec.model_fields_set and not family.network_isolation:
        remedy = "Use realtime or async, which isolate; or remove the line: isolation is on wherever there is any."
        yield Finding(("network_isolation",), f"{where}, which knows no network isolation", remedy, family.link)
    if spec.image is not None and not family.gpu and _GPU_IMAGE.search(spec.image):
        reason = f"{where}, which has no GPU, and the image is built for one"
        yield Finding(("image",), reason, "Use an image for CPUs, or mode realtime.", family.link, "warning")


def _traffic(spec: ModelSpec) -> Findings:
    """Refuse a mode that could not serve the traffic that is declared: each request would fail."""
    family, traffic = endpoint_of(spec) or FAMILIES["transform"], spec.traffic
    at_once = family.section in ("realtime", "serverless")
    if (latency := traffic.model_latency) is not None:
        longest = min(family.max_seconds, FRONT_DOOR_SECONDS) if at_once else family.max_seconds
        if latency.total_seconds() > longest:
            who = "the front door waits" if longest < family.max_seconds else f"{family.what} is given"
            reason = f"the model takes {latency.total_seconds():g} s for a request, and {who} {longest} s"
            remedy = _or_async(spec, "whose answers are fetched later") if at_once else "Make requests smaller."
            yield Finding(("traffic", "model_latency"), reason, remedy, family.link)
    most = min(family.max_body_bytes, MAX_REQUEST_BYTES) if at_once else family.max_body_bytes
    if traffic.payload_kb is not None and traffic.payload_kb * 1000 > most:
        reason = f"a request has {traffic.payload_kb:,.0f} KB, and {family.what} gets {words(most)} at most"
        remedy = _or_async(spec, "which takes uploads") if at_once else "Send less in one request."
        yield Finding(("traffic", "payload_kb"), reason, remedy, family.link)


def _or_async(spec: ModelSpec, why: str) -> str:
    """Return that mode async would do, or for which rule the answers do not want it."""
    broken = answers.against(spec.model_copy(update={"mode": ServingMode.ASYNC}))
    if not broken:
        return f"Use mode async, {why}."
    return f"Make requests smaller: mode async, {why}, contradicts `answers` ({broken[0].id})."


def _rows(spec: ModelSpec) -> Findings:
    """Refuse more rows than one run carries, and warn of more than its first step can hold."""
    from turnout.cost import pipeline_time  # here, as `turnout.cost` reads this module

    rows = spec.traffic.entities
    if rows is None or not SCORES_IN_BATCH[spec.mode]:
        return
    split = "Split the input: a model of its own for each part (docs/scores.md)."
    if rows > (most := pipeline_time.most_rows(spec.transform.instance_count)):
        reason = f"{rows:,} rows, and a run ends with TooManyRows after some {most // MILLION} million"
        yield Finding(("traffic", "entities"), reason, split)
    elif rows > pipeline_time.PREPARE_ROWS:
        holds = pipeline_time.PREPARE_ROWS // MILLION
        reason = f"{rows:,} rows, and `prepare` ends for want of memory or time after some {holds} million"
        yield Finding(("traffic", "entities"), reason, split, None, "warning")


def _answers(spec: ModelSpec) -> Findings:
    """Report a mode, or a schedule, that goes against what the entry answers to the advisor's questions."""
    severity: Severity = "error" if spec.strict else "warning"
    if broken := answers.against(spec):
        modes = ", ".join(dict.fromkeys(way.mode.value for way in fitting(spec)))
        remedy = f"Use {modes}" if modes else _nothing_fits(spec)
        for rule in broken:
            reason = f"mode {str(answers.serving(spec))!r} contradicts `answers`: {rule.because} ({rule.id})"
            yield Finding(("mode",), reason, f"{remedy}; `turnout advise {spec.name}` says why.", None, severity)
    elif SCORES_IN_BATCH[spec.mode] and (reason := answers.too_seldom(spec)):
        remedy = "Run more often, or let `answers.freshness` say that older ones do."
        yield Finding(("schedule",), reason, remedy, None, severity)


def _nothing_fits(spec: ModelSpec) -> str:
    """Return that no mode does what is asked, which single answers stand in the way, and which settings."""
    asked = [f"`answers.{name}`" for name in answers.answered(spec) if fitting(_without_answer(spec, name))]
    relax = f"change {' or '.join(asked)}" if asked else "change more than one"
    return f"No mode that this release deploys meets all answers: {relax}{_held_up(spec)}"


def _held_up(spec: ModelSpec) -> str:
    """Return which settings refuse modes that would meet the answers."""
    found = {way.mode: refusals(_served(spec, way), spec) for way in answers.unbroken(spec)}
    keys = dict.fromkeys(".".join(map(str, each.path)) for refused in found.values() for each in refused)
    return f"; {' and '.join(keys)} of the entry refuses {' and '.join(found)}" if keys else ""


def _without_answer(spec: ModelSpec, name: str) -> ModelSpec:
    return spec.model_copy(update={"answers": spec.answers.model_copy(update={name: None})})


def _places(spec: ModelSpec) -> Findings:
    if spec.artifact is not None:
        yield from _s3(("artifact",), spec.artifact, ".tar.gz", "s3://bucket/path/model.tar.gz", CONTAINER)
        if "code" in spec.model_fields_set and spec.code is not None:
            reason = "`artifact` and `code` both say where the model comes from"
            yield Finding(("code",), reason, "Keep one: `artifact` for a tarball in S3, `code` for a folder here.")
    elif spec.samples is not None:
        reason = "`samples` goes with `artifact`: a code folder keeps its samples in artifact/sample_payloads.json"
        yield Finding(("samples",), reason, "Remove it, or put the file there.")
    if spec.input.location is not None:
        yield from _s3(("input", "location"), spec.input.location, "/", "s3://bucket/prefix/", BUCKET_NAMES)
        if spec.schedule is not None and spec.schedule.on_new_data:
            reason = "a bucket of your own sends no events until you let it"
            remedy = "Turn on EventBridge notifications for the bucket, or leave location out."
            yield Finding(("input", "location"), reason, remedy, BUCKET_EVENTS, "warning")


def _s3(path: tuple[str, ...], uri: str, ending: str, form: str, link: str) -> Findings:
    bucket, slash, key = uri.removeprefix("s3://").partition("/")
    if not uri.startswith("s3://") or not slash:
        yield Finding(path, f"{quote(uri)} is not an S3 URI of the form {form}", f"Write {form}.", link)
    elif not _BUCKET.fullmatch(bucket):
        remedy = "Use 3 to 63 lower-case letters, digits, dots and hyphens."
        yield Finding(path, f"{quote(bucket)} cannot be a bucket's name", remedy, BUCKET_NAMES)
    elif not f"/{key}".endswith(ending):
        yield Finding(path, f"{quote(uri)} does not end with {ending}", f"Write {form}.", link)


def _environment(spec: ModelSpec) -> Findings:
    if len(spec.environment) > MAX_VARIABLES:
        reason = f"{len(spec.environment)} variables, and a transform job takes {MAX_VARIABLES}"
        yield Finding(("environment",), reason, "Put the rest into a file of the code folder.", TRANSFORM_JOB)
    for name, value in spec.environment.items():
        path = ("environment", name)
        if not _VARIABLE.fullmatch(name):
            remedy = "Use letters, digits and underscores, no digit first."
            yield Finding(path, f"{quote(name)} cannot be a variable's name", remedy, TRANSFORM_JOB)
        elif name in RESERVED_VARIABLES or name.startswith("TURNOUT_"):
            yield Finding(path, f"{name} is set by Turnout or by SageMaker", "Choose another name.")
        if len(value) > 1024:
            remedy = "Put long text into a file of the code folder."
            yield Finding(path, f"the value has {len(value)} characters, and a model takes 1024", remedy, CONTAINER)


def _tags(spec: ModelSpec) -> Findings:
    if len(spec.tags) > MAX_TAGS:
        reason = f"{len(spec.tags)} tags; AWS takes 50, ten of which are left to Turnout and your organisation"
        yield Finding(("tags",), reason, f"Keep {MAX_TAGS}.", TAG)
    for name, value in spec.tags.items():
        if name.lower().startswith(("aws:", "turnout:")):
            taken = name.partition(":")[0]
            yield Finding(("tags", name), f"tags that start with {taken}: are not yours to set", "Rename it.", TAG)
        elif not 1 <= len(name) <= 128 or len(value) > 256:
            sizes = f"{len(name)} and {len(value)}"
            reason = f"a tag's name has 1 to 128 characters and its value at most 256; here {sizes}"
            yield Finding(("tags", name), reason, "Shorten it.", TAG)
        elif not (_TAG_TEXT.fullmatch(name) and _TAG_TEXT.fullmatch(value)):
            reason = "AWS takes letters, digits, spaces and _ . : / = + - @ in tags"
            yield Finding(("tags", name), reason, "Remove the other characters.", TAG)


def check_platform(spec: PlatformSpec) -> Findings:
    """What all models share."""
    if spec.alarm_email is not None and not _EMAIL.fullmatch(spec.alarm_email):
        yield Finding(("alarm_email",), f"{quote(spec.alarm_email)} is not a mail address", "Write name@example.com.")
    if spec.arrow_layer_arn is not None and not _LAYER.fullmatch(spec.arrow_layer_arn):
        remedy = "Write arn:aws:lambda:REGION:ACCOUNT:layer:NAME:VERSION."
        yield Finding(("arrow_layer_arn",), f"{quote(spec.arrow_layer_arn)} is not a layer version's ARN", remedy)


def check_fleet(models: Mapping[str, ModelSpec]) -> Findings:
    """What all models of a Region share: the routes of one HTTP API, and SageMaker's serverless quotas."""
    fitting = (MAX_ROUTES - 1) // ROUTES_PER_MODEL
    if len(models) > fitting:
        reason = f"{len(models)} models need more than the {MAX_ROUTES} routes that an HTTP API has by default"
        yield Finding((), reason, f"Ask AWS to raise the quota before model {fitting + 1}.", API_QUOTAS, "warning")
    families = {name: endpoint_of(spec) for name, spec in models.items()}
    serverless = [models[name] for name, family in families.items() if family is not None and not family.instances]
    if len(serverless) > MAX_SERVERLESS_ENDPOINTS:
        reason = f"{len(serverless)} models keep a serverless endpoint, and a Region takes {MAX_SERVERLESS_ENDPOINTS}"
        remedy = "Move some to realtime or async, or ask AWS whether your account may have more."
        yield Finding((), reason, remedy, SERVERLESS, "warning")
    wanted = sum(spec.serverless.max_concurrency for spec in serverless)
    if wanted > SERVERLESS_POOL:
        reason = (
            f"serverless endpoints ask for {wanted} requests in flight together, and a Region has {SERVERLESS_POOL} "
            "for an account (500 in the smaller Regions)"
        )
        average = SERVERLESS_POOL // len(serverless)
        remedy = f"Use serverless.max_concurrency: {average} on average, or ask AWS to raise the quota."
        yield Finding((), reason, remedy, SERVERLESS, "warning")


RULES: tuple[Callable[[ModelSpec], Findings], ...] = (
    _mode,
    _schedule,
    _pace,
    _kept,
    _columns,
    _features,
    _instance_types,
    _image,
    _transform_limits,
    _durations,
    _realtime_limits,
    _async_limits,
    _serverless_limits,
    _freshness,
    _refresh,
    _what_the_endpoint_lacks,
    _traffic,
    _rows,
    _answers,
    _places,
    _environment,
    _tags,
)

#: Those of them that refuse a mode, whatever else the entry holds.
MODE_RULES: tuple[Callable[[ModelSpec], Findings], ...] = (_mode, _schedule, _what_the_endpoint_lacks, _traffic, _rows)
