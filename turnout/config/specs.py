"""The shape of `models.yaml`: every key, its type, its default and its meaning live here and nowhere else.

`turnout.config.load` reads a file into these; `docs/configuration.md` and the JSON Schema are generated from them.
Durations are written like `90s`, `15m`, `36h`, `7d`.
"""

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from handlers.contract.card import FeatureType, InputFormat, KeyType, WireFormat
from handlers.contract.modes import ServingMode


def parse_duration(value: Any) -> Any:
    """Turn `36h` into a timedelta. Raises ValueError that says which forms are accepted."""
    if isinstance(value, timedelta):
        return value
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    text = str(value).strip()
    if len(text) > 1 and text[:-1].isdigit() and text[-1] in units:
        return timedelta(seconds=int(text[:-1]) * units[text[-1]])
    raise ValueError(f"{value!r} is not a duration; write a whole number and s, m, h or d, such as 90s, 36h or 7d")


Duration = Annotated[timedelta, BeforeValidator(parse_duration)]


class Strict(BaseModel):
    """Refuses unknown keys and is immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class FeatureSpec(Strict):
    """One feature column of a model's schema."""

    type: FeatureType = Field("float", description="Type of the column.")
    nullable: bool = Field(False, description="Whether a row may leave the feature empty.")
    min: float | None = Field(None, description="Smallest allowed value, inclusive.")
    max: float | None = Field(None, description="Largest allowed value, inclusive.")
    values: list[Any] | None = Field(None, description="The only allowed values.")
    pattern: str | None = Field(None, description="Regular expression that the whole text must match.")


class KeySpec(Strict):
    """The column that identifies a row and by which predictions are looked up."""

    column: str = Field(description="Name of the key column.")
    type: KeyType | None = Field(None, description="string or integer; left out: as the input's column says.")


class ScheduleSpec(Strict):
    """When a run starts. Exactly one of `cron`, `rate`, `at` and `on_new_data`."""

    cron: str | None = Field(None, description="Six fields of EventBridge Scheduler's cron, such as `0 6 * * ? *`.")
    rate: str | None = Field(None, description="Such as `1 day` or `6 hours`.")
    at: str | None = Field(None, description="One moment, such as `2026-12-01T06:00:00`.")
    on_new_data: bool = Field(False, description="Start when an object named `marker` arrives under the input location.")
    timezone: str = Field("UTC", description="IANA time zone in which `cron` and `at` are read.")
    marker: str = Field("_SUCCESS", description="Object name that says a data set is complete (with `on_new_data`).")


class InputSpec(Strict):
    """Where rows to score come from."""

    location: str | None = Field(None, description="`s3://bucket/prefix/`; default: `input/<model>/` in the platform's data bucket.")
    format: InputFormat = Field("parquet", description="File format of the input.")


class OutputSpec(Strict):
    """What results are called."""

    prediction: str = Field("prediction", description="Name of the prediction column in the Parquet results.")


class TransformSpec(Strict):
    """Batch Transform settings."""

    instance_type: str = Field("ml.m5.large", description="Instance type; must be legal for transform jobs.")
    instance_count: int = Field(1, ge=1, le=100, description="Instances that share the shards.")
    wire_format: WireFormat = Field("csv", description="`csv` for scalar predictions, `jsonlines` for any JSON.")
    strategy: Literal["MultiRecord", "SingleRecord"] = Field("MultiRecord", description="How many records one request carries.")
    max_payload_mb: int = Field(6, ge=1, le=100, description="Largest request body in MB.")
    max_concurrent: int = Field(2, ge=1, le=100, description="Requests in flight per instance.")
    invocation_timeout: Duration = Field(timedelta(seconds=600), description="Time one request may take, 1s to 1h.")
    invocation_retries: int = Field(3, ge=0, le=3, description="Retries of one request.")
    pass_key_to_model: bool = Field(False, description="Send the key to the model as first column.")


class QualitySpec(Strict):
    """How much bad input a run tolerates."""

    max_bad_fraction: float = Field(0.01, ge=0, le=1, description="Share of rows that may be quarantined before the run stops.")


class RealtimeSpec(Strict):
    """Settings of mode `realtime`."""

    instance_type: str = Field("ml.m5.large", description="Instance type of the endpoint.")
    instance_count: int | None = Field(None, ge=1, description="Instances; default: the stage's minimum.")
    max_instances: int = Field(4, ge=1, description="Upper bound of autoscaling.")


class ServerlessSpec(Strict):
    """Settings of mode `serverless`."""

    memory_mb: Literal[1024, 2048, 3072, 4096, 5120, 6144] = Field(2048, description="Memory of one environment.")
    max_concurrency: int = Field(20, ge=1, le=200, description="Requests in flight.")
    provisioned_concurrency: int | None = Field(None, ge=1, le=200, description="Environments kept warm.")


class AsyncSpec(Strict):
    """Settings of mode `async`."""

    instance_type: str = Field("ml.m5.large", description="Instance type of the endpoint.")
    max_instances: int = Field(2, ge=1, description="Upper bound of scaling; the lower bound is 0.")
    expiry: Duration = Field(timedelta(hours=6), description="How long a request may wait, 60s to 6h.")


class HybridSpec(Strict):
    """Settings of mode `hybrid`."""

    fallback: Literal["realtime", "serverless", "async"] = Field("serverless", description="Who answers a miss.")
    remember: Duration = Field(timedelta(days=1), description="How long a live answer is kept.")
    max_live_per_minute: int = Field(600, ge=1, description="Cap on live calls.")


class StreamingSpec(Strict):
    """Settings of mode `streaming`."""

    window: Duration = Field(timedelta(seconds=5), description="Time that a micro-batch collects.")
    batch_size: int = Field(100, ge=1, le=10000, description="Records that a micro-batch holds at most.")


class TieredSpec(Strict):
    """Settings of mode `tiered`."""

    light: Literal["realtime", "serverless"] = Field("serverless", description="How the light model is served.")


class ModelSpec(Strict):
    """One entry under `models:`, after defaults, the schema file and the code folder have been filled in."""

    name: str
    mode: ServingMode
    schedule: ScheduleSpec | None
    key: KeySpec
    features: dict[str, FeatureSpec]
    description: str = ""
    code: Path | None = Field(None, description="Folder with inference.py and artifact/; default `model_code/<name>`.")
    artifact: str | None = Field(None, description="`s3://…/model.tar.gz` instead of a code folder.")
    framework: Literal["sklearn", "xgboost", "pytorch", "huggingface"] = "sklearn"
    framework_version: str | None = None
    image: str | None = Field(None, description="Container image URI instead of a framework's.")
    environment: dict[str, str] = Field(default_factory=dict)
    input: InputSpec = InputSpec()
    output: OutputSpec = OutputSpec()
    transform: TransformSpec = TransformSpec()
    quality: QualitySpec = QualitySpec()
    max_staleness: Duration = timedelta(days=2)
    keep_scores: Duration = timedelta(days=30)
    tags: dict[str, str] = Field(default_factory=dict)
    realtime: RealtimeSpec = RealtimeSpec()
    serverless: ServerlessSpec = ServerlessSpec()
    async_: AsyncSpec = Field(AsyncSpec(), alias="async")
    hybrid: HybridSpec = HybridSpec()
    streaming: StreamingSpec = StreamingSpec()
    tiered: TieredSpec = TieredSpec()


class PlatformSpec(Strict):
    """The `platform:` section: what all models share."""

    alarm_email: str | None = Field(None, description="Address subscribed to the alarm topic.")
    arrow_layer_arn: str | None = Field(None, description="Lambda layer with pyarrow, where AWS's public one is not offered.")


class Config(Strict):
    """A whole `models.yaml`."""

    path: Path
    models: dict[str, ModelSpec]
    platform: PlatformSpec = PlatformSpec()
