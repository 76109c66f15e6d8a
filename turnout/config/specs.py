"""The shape of `models.yaml`: every key, its type, its default and its meaning live here and nowhere else.

`turnout.config.load` reads a file into these; `docs/configuration.md` and the JSON Schema are generated from them.
Durations are written like `90s`, `15m`, `36h`, `7d`. Types are strict: the text `"1"` is not the number 1.
"""

import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from handlers.contract.card import FeatureType, InputFormat, KeyType, WireFormat
from handlers.contract.modes import ServingMode
from turnout.config.capabilities import within
from turnout.config.problems import Problem, quote

DURATION_FORM = r"^[0-9]{1,6}[smhd]$"


def refuse(reason: str, remedy: str, **details: Any) -> PydanticCustomError:
    """Return the error of a value that cannot be read; braces in the texts are left alone."""
    return PydanticCustomError("turnout", "{reason}", {"reason": reason, "remedy": remedy, **details})


def parse_duration(value: Any) -> Any:
    """Turn `36h` into a timedelta. Raises ValueError that says which forms are accepted."""
    if isinstance(value, timedelta):
        return value
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    if isinstance(value, str) and re.fullmatch(DURATION_FORM, value, re.ASCII):
        return timedelta(seconds=int(value[:-1]) * units[value[-1]])
    raise refuse(f"{quote(value)} is not a duration", "Write a whole number and s, m, h or d, such as 90s, 36h or 7d.")


LATENCY_FORM = r"^[0-9]{1,6}(ms|s|m)$"


def parse_latency(value: Any) -> Any:
    """Turn `120ms` into a timedelta. Raises ValueError that says which forms are accepted."""
    if isinstance(value, timedelta):
        return value
    if isinstance(value, str) and (match := re.fullmatch(r"([0-9]{1,6})(ms|s|m)", value, re.ASCII)):
        return timedelta(milliseconds=int(match[1]) * {"ms": 1, "s": 1000, "m": 60_000}[match[2]])
    raise refuse(f"{quote(value)} is not a latency", "Write a whole number and ms, s or m, such as 120ms or 2s.")


WAIT_FORM = r"^[0-9]{1,6}(ms|s|m|h|d)$"


def parse_wait(value: Any) -> Any:
    """Turn `300ms` or `6h` into a timedelta. Raises ValueError that says which forms are accepted."""
    if isinstance(value, timedelta):
        return value
    if isinstance(value, str) and (match := re.fullmatch(r"([0-9]{1,6})(ms|s|m|h|d)", value, re.ASCII)):
        sizes = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
        return timedelta(milliseconds=int(match[1]) * sizes[match[2]])
    remedy = "Write a whole number and ms, s, m, h or d, such as 300ms or 6h."
    raise refuse(f"{quote(value)} is not a time", remedy)


def parse_freshness(value: Any) -> Any:
    """Turn `now` into no time at all, and other texts as `parse_wait` does."""
    return timedelta(0) if value == "now" else parse_wait(value)


def format_duration(value: timedelta) -> str:
    """Return a duration in the form that `parse_duration` reads, in its largest whole unit."""
    seconds = int(value.total_seconds())
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds and seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def format_wait(value: timedelta) -> str:
    """Return a time in the form that `parse_wait` reads, and no time at all as `now`."""
    if value % timedelta(seconds=1):
        return f"{value // timedelta(milliseconds=1)}ms"
    return format_duration(value) if value else "now"


def expand_schedule(value: Any) -> Any:
    """Turn `cron(...)`, `rate(...)`, `at(...)` and `on-new-data` into the mapping form."""
    if not isinstance(value, str):
        return value
    if value == "on-new-data":
        return {"on_new_data": True}
    if match := re.fullmatch(r"(cron|rate|at)\((.*)\)", value.strip(), re.DOTALL):
        return {match[1]: match[2]}
    forms = "cron(0 6 * * ? *), rate(1 day), at(2026-12-01T06:00:00) or on-new-data"
    raise refuse(f"{quote(value)} is not a schedule", f"Write {forms}.")


def expand_key(value: Any) -> Any:
    """Turn `key: customer_id` into the mapping form."""
    return {"column": value} if isinstance(value, str) else value


def expand_feature(value: Any) -> Any:
    """Turn `age: integer` and `age:` into the mapping form."""
    return {} if value is None else {"type": value} if isinstance(value, str) else value


def expand_features(value: Any) -> Any:
    """Turn a list of names (all floats) into the mapping form. Raises ValueError for a name that stands twice."""
    if not isinstance(value, list):
        return value
    expanded: dict[str, Any] = {}
    for index, name in enumerate(value):
        if not isinstance(name, str):
            remedy = "List names, or write a mapping of name to type."
            raise refuse(f"{quote(name)} is not a column name", remedy, at=index)
        if name in expanded:
            raise refuse(f"feature {quote(name)} stands twice", "Remove one of the two.", at=index)
        expanded[name] = {}
    return expanded


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration, json_schema_input_type=Annotated[str, Field(pattern=DURATION_FORM)]),
]
Latency = Annotated[
    timedelta,
    BeforeValidator(parse_latency, json_schema_input_type=Annotated[str, Field(pattern=LATENCY_FORM)]),
]
Wait = Annotated[
    timedelta, BeforeValidator(parse_wait, json_schema_input_type=Annotated[str, Field(pattern=WAIT_FORM)])
]
Freshness = Annotated[
    timedelta,
    BeforeValidator(
        parse_freshness, json_schema_input_type=Annotated[str, Field(pattern=WAIT_FORM.replace("^", "^now$|^"))]
    ),
]
TransformInstance = Annotated[str, Field(json_schema_extra={"instances": "transform"})]
EndpointInstance = Annotated[str, Field(json_schema_extra={"instances": "endpoint"})]
S3Folder = Annotated[str, Field(json_schema_extra={"pattern": r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/(.*/)?$"})]
S3Archive = Annotated[str, Field(json_schema_extra={"pattern": r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/.+\.tar\.gz$"})]


class Strict(BaseModel):
    """Refuses unknown keys and other types than the stated ones, and is immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False, defer_build=True)


class FeatureSpec(Strict):
    """One feature column. Short form: its type, such as `age: integer`; left empty, it is a float."""

    type: FeatureType = Field("float", description="Type of the column.")
    nullable: bool = Field(False, description="Whether a row may leave the feature empty.")
    min: float | None = Field(None, description="Smallest allowed value, inclusive; numbers only.")
    max: float | None = Field(None, description="Largest allowed value, inclusive; numbers only.")
    values: list[Any] | None = Field(None, description="The only allowed values, each of the feature's type.")
    pattern: str | None = Field(None, description="Regular expression that the whole text must match; strings only.")


class KeySpec(Strict):
    """The column that identifies a row and by which predictions are looked up. Short form: `key: customer_id`."""

    column: str = Field(min_length=1, description="Name of the key column.")
    type: KeyType | None = Field(
        None, description="`string` keeps keys as they stand (`00001`); left out: as the input's column says."
    )


class ScheduleSpec(Strict):
    """When a run starts. Exactly one of `cron`, `rate`, `at` and `on_new_data`.

    Short forms: `cron(0 6 * * ? *)`, `rate(1 day)`, `at(2026-12-01T06:00:00)`, `on-new-data`.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [
                {"required": [form], "properties": {form: given}}
                for form, given in {
                    "cron": {"type": "string"},
                    "rate": {"type": "string"},
                    "at": {"type": "string"},
                    "on_new_data": {"const": True},
                }.items()
            ]
        }
    )

    cron: str | None = Field(None, description="The six fields of EventBridge Scheduler's cron, such as `0 6 * * ? *`.")
    rate: str | None = Field(None, description="Such as `1 day` or `6 hours`; the first run starts at deployment.")
    at: str | None = Field(None, description="One moment, such as `2026-12-01T06:00:00`.")
    on_new_data: bool = Field(
        False, description="Start when an object named `marker` arrives under the input location."
    )
    timezone: str = Field("UTC", description="IANA time zone in which `cron` and `at` are read.")
    marker: str = Field("_SUCCESS", description="Object name that says a data set is complete (with `on_new_data`).")


#: `input.data_time` where the input's objects say it themselves, by when they were written.
LAST_MODIFIED = "last-modified"


class InputSpec(Strict):
    """Where rows to score come from."""

    location: S3Folder | None = Field(
        None, description="`s3://bucket/prefix/`; default: `input/<model>/` in the platform's data bucket."
    )
    format: InputFormat = Field("parquet", description="File format of the input.")
    data_time: str = Field(
        LAST_MODIFIED,
        min_length=1,
        description="What says how old the data are: `last-modified`, the newest input object's own time, or the name "
        "of a column that holds a time, of which the newest counts.",
    )


class OutputSpec(Strict):
    """What results are called."""

    prediction: str = Field("prediction", description="Name of the prediction column in the Parquet results.")


class TransformSpec(Strict):
    """Batch Transform settings, used by the modes that score in batch."""

    instance_type: TransformInstance = Field(
        "ml.m5.large", description="Instance type; must be legal for transform jobs."
    )
    instance_count: int = Field(1, **within("transform.instance_count"), description="Instances that share the shards.")
    wire_format: WireFormat = Field(
        "csv",
        description="How rows travel to the container: `csv` for scalar predictions, `jsonlines` for any JSON, "
        "`parquet` in whole files and for any JSON, with a container that reads and writes them.",
    )
    strategy: Literal["MultiRecord", "SingleRecord"] = Field(
        "MultiRecord",
        description="How many records one request carries; lines are what is split, a Parquet file is one request.",
    )
    max_payload_mb: int = Field(6, **within("transform.max_payload_mb"), description="Largest request body in MB.")
    max_concurrent: int = Field(
        2,
        **within("transform.max_concurrent"),
        description="Requests in flight per instance; times `max_payload_mb` at most 100.",
    )
    invocation_timeout: Duration = Field(timedelta(seconds=600), description="Time one request may take, 1s to 1h.")
    invocation_retries: int = Field(3, **within("transform.invocation_retries"), description="Retries of one request.")
    pass_key_to_model: bool = Field(
        False, description="Send the key to the model: as first column (`csv`) or under the name `key`."
    )


class QualitySpec(Strict):
    """What a run's rows and predictions must be like before anybody sees them.

    All but `max_bad_fraction` compare with the visible generation, from 100 rows on; a generation that fails stays
    invisible, with the reason and the numbers.
    """

    max_bad_fraction: float = Field(
        0.01, ge=0, le=1, description="Share of rows that may be quarantined before the run stops."
    )
    min_coverage: float = Field(
        0.5, ge=0, le=1, description="Rows scored, as a share of the visible generation's; 0: any number will do."
    )
    max_mean_shift: float | None = Field(
        10.0,
        gt=0,
        description="How far the mean of numbers may move, in standard deviations of the visible generation's "
        "predictions.",
    )
    max_drift: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Share of rows by which the distribution may differ: of numbers the largest difference between the "
        "two distribution functions, of labels the rows that changed theirs.",
    )
    max_null_rise: float | None = Field(
        0.5, gt=0, le=1, description="By what share of rows predictions that are null or hold one may become more."
    )
    allow_constant: bool = Field(
        False, description="Whether all predictions may be the same; labels (text, booleans, whole numbers) always may."
    )
    across_versions: bool = Field(
        False, description="Whether mean, distribution and nulls are also compared between two versions of the model."
    )


class RefreshSpec(Strict):
    """What renews predictions beside the schedule."""

    when_older_than: Duration | None = Field(
        None,
        description="Age of the data behind the visible results from which a run starts by itself; below "
        "`max_staleness`, so that it is over in time.",
    )
    on_event: bool = Field(
        False,
        description="Whether an EventBridge event `Refresh Prediction` with a key and its features has that one key "
        "scored again at once. Needs an endpoint that answers at once: `hybrid` with `realtime` or `serverless`; and, "
        "lest files that were uploaded after an event hide its score, a column as `input.data_time`.",
    )
    window: Duration = Field(
        timedelta(0), description="Time that events collect before the model is asked about all of them, 0s to 5m."
    )
    min_interval: Duration = Field(
        timedelta(minutes=1), description="A key is not scored by event again within this time, 0s to 1d."
    )
    max_per_minute: int = Field(
        600,
        **within("refresh.max_per_minute"),
        description="Cap on keys scored by event in a minute; what is beyond waits its turn.",
    )


class RealtimeSpec(Strict):
    """Settings of mode `realtime`, and of `hybrid` where it falls back to `realtime`."""

    instance_type: EndpointInstance = Field("ml.m5.large", description="Instance type of the endpoint.")
    instance_count: int | None = Field(
        None,
        **within("realtime.instance_count"),
        description="Instances to start with, and the lower bound of autoscaling; default: the stage's minimum "
        "(dev 1, prod 2).",
    )
    max_instances: int = Field(
        4, **within("realtime.max_instances"), description="Upper bound of autoscaling; equal to the lower: none."
    )
    concurrent_requests_per_model: int = Field(
        4,
        **within("realtime.concurrent_requests_per_model"),
        description="Requests in flight per instance that autoscaling aims at, measured every ten seconds.",
    )
    invocations_per_instance: int | None = Field(
        None,
        **within("realtime.invocations_per_instance"),
        description="Requests a minute per instance to aim at instead, measured every minute.",
    )
    scale_in_cooldown: Duration = Field(
        timedelta(minutes=5), description="Time after a scaling before instances are removed, 0s to 1h."
    )
    scale_out_cooldown: Duration = Field(
        timedelta(minutes=1), description="Time after a scaling before more are added, 0s to 1h."
    )


class ServerlessSpec(Strict):
    """Settings of mode `serverless`, and of `hybrid` where it falls back to `serverless`."""

    memory_mb: Literal[1024, 2048, 3072, 4096, 5120, 6144] = Field(
        2048, description="Memory of one environment; processors come in proportion."
    )
    max_concurrency: int = Field(
        20, **within("serverless.max_concurrency"), description="Requests in flight; beyond it callers get 429."
    )
    provisioned_concurrency: int | None = Field(
        None,
        **within("serverless.provisioned_concurrency"),
        description="Environments kept warm; at most `max_concurrency`; left out: none.",
    )


class AsyncSpec(Strict):
    """Settings of mode `async`, and of `hybrid` where it falls back to `async`."""

    instance_type: EndpointInstance = Field("ml.m5.large", description="Instance type of the endpoint.")
    max_instances: int = Field(
        2, **within("async.max_instances"), description="Upper bound of scaling; the lower bound is 0."
    )
    max_concurrent_per_instance: int = Field(
        4, **within("async.max_concurrent_per_instance"), description="Requests in flight per instance."
    )
    backlog_per_instance: int = Field(
        5, **within("async.backlog_per_instance"), description="Waiting requests per instance that scaling aims at."
    )
    expiry: Duration = Field(timedelta(hours=6), description="How long a request may wait, 60s to 6h.")
    invocation_timeout: Duration = Field(
        timedelta(minutes=15), description="Time that the model may take for one request, 1s to 1h."
    )
    scale_in_cooldown: Duration = Field(
        timedelta(minutes=5), description="Time after a scaling before instances are removed, 0s to 1h."
    )


class HybridSpec(Strict):
    """Settings of mode `hybrid`. The endpoint's own settings stand in the section that `fallback` names."""

    fallback: Literal["realtime", "serverless", "async"] = Field("serverless", description="Who answers a miss.")
    remember: Duration = Field(timedelta(days=1), description="How long a live answer is kept.")
    max_live_per_minute: int = Field(
        600, **within("hybrid.max_live_per_minute"), description="Cap on live calls; beyond it callers get 429."
    )


class StreamingSpec(Strict):
    """Settings of mode `streaming`."""

    window: Duration = Field(timedelta(seconds=5), description="Time that a micro-batch collects, at most 5m.")
    batch_size: int = Field(
        100, **within("streaming.batch_size"), description="Records that a micro-batch holds at most."
    )


class TieredSpec(Strict):
    """Settings of mode `tiered`."""

    light: Literal["realtime", "serverless"] = Field("serverless", description="How the light model is served.")


class TrafficSpec(Strict):
    """What is expected of the model: `turnout cost` and `turnout advise` reckon with it and assume the rest."""

    requests_per_month: int | None = Field(None, ge=0, description="Requests for predictions a month.")
    peak_per_second: float | None = Field(None, ge=0, description="Requests a second at the peak; assumed: ten means.")
    payload_kb: float | None = Field(None, ge=0, description="Size of one request in KB; assumed: 1.")
    answer_kb: float | None = Field(None, ge=0, description="Size of one answer in KB; assumed: 0.5.")
    model_latency: Latency | None = Field(
        None, description="Time that the model takes for one request, such as `120ms`; assumed: 100ms."
    )
    entities: int | None = Field(None, ge=0, description="Rows that one run scores; assumed: 100,000.")
    runs_per_month: float | None = Field(
        None, ge=0, description="Runs a month; left out: as the schedule says, or 30.4 where it says none."
    )
    run_duration: Duration | None = Field(
        None, description="Time that each instance of one transform job is paid for; left out: from `entities`."
    )
    changed_fraction: float | None = Field(
        None, ge=0, le=1, description="Share of the scores that differ from those of the run before; assumed: all."
    )
    covered: float | None = Field(
        None, ge=0, le=1, description="Share of the requests whose key has a score; assumed: 0.95."
    )
    keys: Literal["numbers", "ids", "uuids"] | None = Field(
        None, description="What keys look like, which decides how many share an item; assumed: `ids`."
    )
    score_bytes: float | None = Field(
        None, ge=0, description="Size of one score, compressed among others; assumed: 7.8 (a float), or 4 in `float32`."
    )


class AnswersSpec(Strict):
    """What is asked of the model: five questions and two more, each with what the answers mean in docs/advice.md.

    `turnout advise` finds the mode from them, and a mode that contradicts them is a warning, or an error with
    `strict: true`.
    """

    freshness: Freshness | None = Field(
        None, description="How old a prediction may be when it is used, such as `5m`, `6h` or `7d`; `now`: not at all."
    )
    input: Literal["stored", "mostly-stored", "request", "upload", "stream"] | None = Field(
        None, description="Where the inputs come from."
    )
    consumption: Literal["waits", "later", "whole-set", "stream"] | None = Field(
        None, description="How predictions are used."
    )
    cost: Literal["high", "medium", "low"] | None = Field(None, description="How much the bill matters.")
    failure: Literal["last-answer", "retry", "default", "must-answer"] | None = Field(
        None, description="What happens if a prediction cannot be made."
    )
    traffic_shape: Literal["steady", "bursty", "periodic", "mixed"] | None = Field(
        None, description="How requests come."
    )
    latency: Wait | None = Field(
        None, description="How long it may take from asking to having the answer, such as `300ms`, `5s` or `6h`."
    )


ScheduleText = Annotated[str, Field(pattern=r"^(cron\(.+\)|rate\(.+\)|at\(.+\)|on-new-data)$")]
Schedule = Annotated[ScheduleSpec, BeforeValidator(expand_schedule, json_schema_input_type=ScheduleText | ScheduleSpec)]
Key = Annotated[
    KeySpec, BeforeValidator(expand_key, json_schema_input_type=Annotated[str, Field(min_length=1)] | KeySpec)
]
Feature = Annotated[
    FeatureSpec, BeforeValidator(expand_feature, json_schema_input_type=FeatureType | FeatureSpec | None)
]
FeatureNames = Annotated[list[str], Field(min_length=1, json_schema_extra={"uniqueItems": True})]
FeatureTypes = Annotated[dict[str, Feature], Field(min_length=1)]
Features = Annotated[
    dict[str, Feature], BeforeValidator(expand_features, json_schema_input_type=FeatureNames | FeatureTypes)
]


class ModelSpec(Strict):
    """One entry under `models:`, after defaults, the schema file and the code folder have been filled in."""

    name: str = Field(description="The entry's key: lower-case letters, digits and hyphens, at most 32 characters.")
    mode: Annotated[ServingMode, Field(strict=False)] = Field(
        description="The one serving setting: how predictions of this model are made and served."
    )
    schedule: Schedule | None = Field(
        None,
        description="When a run starts. Required by the modes that score in batch; the others leave it alone.",
    )
    shift: Literal["all-at-once", "canary", "linear"] = Field(
        "all-at-once",
        description="How requests move to a new version of the front door: `canary` a tenth first, `linear` a tenth "
        "after the other; both go back by themselves when the model's alarms ring.",
    )
    acknowledge: list[Literal["lost-answers"]] = Field(
        [],
        description="What a switch may take from clients: `lost-answers` allows a mode that refuses requests which the "
        "mode before answered.",
    )
    key: Key = Field(description="Key column.")
    features: Features = Field(
        description="Feature columns in the model's order: a list of names (floats), or name to type or settings."
    )
    description: str = Field("", max_length=256, description="One sentence for people, shown by the front door.")
    code: Annotated[Path, Field(strict=False)] | None = Field(
        None,
        description="Folder with inference.py, schema.yaml and artifact/; default `model_code/<name>`. Paths start at "
        "the nearest folder, from the file's own upwards, that holds `model_code/`.",
    )
    artifact: S3Archive | None = Field(None, description="`s3://bucket/model.tar.gz` instead of a code folder.")
    samples: Annotated[Path, Field(strict=False)] | None = Field(
        None,
        description="File with sample payloads and the predictions expected of them, for `artifact`; a code folder has "
        "its own, `artifact/sample_payloads.json`. The gate asks an endpoint for them before clients meet it.",
    )
    framework: Literal["sklearn", "xgboost", "pytorch", "huggingface"] = Field(
        "sklearn", description="Whose prebuilt SageMaker inference image serves the model."
    )
    framework_version: str | None = Field(
        None, description="Version of that image, such as `1.9-0`; default: the one that this release was built with."
    )
    image: str | None = Field(None, description="Container image URI in ECR instead of a framework's image.")
    environment: dict[str, str] = Field(
        default_factory=dict, description="Environment variables of the container, at most 16."
    )
    network_isolation: bool = Field(
        True,
        description="Whether the container runs without any network; `serverless` knows no isolation and runs without.",
    )
    input: InputSpec = Field(InputSpec.model_construct(), description="Where rows to score come from.")
    output: OutputSpec = Field(OutputSpec.model_construct(), description="What results are called.")
    transform: TransformSpec = Field(TransformSpec.model_construct(), description="Batch Transform settings.")
    quality: QualitySpec = Field(
        QualitySpec.model_construct(),
        description="What a run's rows and predictions must be like before anybody sees them.",
    )
    max_staleness: Duration = Field(
        timedelta(days=2), description="Age from which an answer is marked stale and the alarm rings."
    )
    on_stale: Literal["serve", "live", "refuse"] = Field(
        "serve",
        description="What happens to a lookup whose score is older than `max_staleness`: `serve` answers with "
        "`stale: true`, `live` (`hybrid` only) asks the model where the request has features, `refuse` answers 503.",
    )
    refresh: RefreshSpec = Field(
        RefreshSpec.model_construct(), description="What renews predictions beside the schedule."
    )
    keep_scores: Duration = Field(
        timedelta(days=30),
        description="How long generations of scores stay in the table; at least `max_staleness`, and until the next "
        "run has replaced them.",
    )
    score_precision: Literal["float64", "float32"] = Field(
        "float64",
        description="What lookups keep of a prediction that is a float: every bit, or with `float32` seven digits at "
        "two thirds of the write units. Results in S3 keep every bit.",
    )
    tags: dict[str, str] = Field(
        default_factory=dict, description="Tags on every resource of the model's stack, at most 40."
    )
    realtime: RealtimeSpec = Field(RealtimeSpec.model_construct(), description="Settings of mode `realtime`.")
    serverless: ServerlessSpec = Field(ServerlessSpec.model_construct(), description="Settings of mode `serverless`.")
    async_: AsyncSpec = Field(AsyncSpec.model_construct(), alias="async", description="Settings of mode `async`.")
    hybrid: HybridSpec = Field(HybridSpec.model_construct(), description="Settings of mode `hybrid`.")
    streaming: StreamingSpec = Field(StreamingSpec.model_construct(), description="Settings of mode `streaming`.")
    tiered: TieredSpec = Field(TieredSpec.model_construct(), description="Settings of mode `tiered`.")
    traffic: TrafficSpec = Field(TrafficSpec.model_construct(), description="What is expected of the model.")
    answers: AnswersSpec = Field(AnswersSpec.model_construct(), description="What is asked of the model.")
    strict: bool = Field(False, description="Whether a mode that contradicts `answers` is refused, not only warned of.")


class SchemaSpec(Strict):
    """`schema.yaml` in a model's code folder: what the training code knows about its columns."""

    key: Key | None = Field(None, description="Key column, unless models.yaml says.")
    features: Features | None = Field(None, description="Feature columns, unless models.yaml says.")
    prediction: str | None = Field(None, description="Name of the prediction column, unless models.yaml says.")


class PlatformSpec(Strict):
    """The `platform:` section: what all models share."""

    alarm_email: str | None = Field(None, description="Address subscribed to the alarm topic.")
    arrow_layer_arn: str | None = Field(
        None, description="Lambda layer with pyarrow, where AWS's public one is not offered."
    )


class Config(Strict):
    """A whole `models.yaml`. Relative paths in it start at `root`; `warnings` do not stop a deployment."""

    path: Path
    root: Path
    models: dict[str, ModelSpec]
    platform: PlatformSpec = PlatformSpec.model_construct()
    warnings: tuple[Problem, ...] = ()
