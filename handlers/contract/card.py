"""The model's card: what pipeline and front door must know of a model beyond their environment.

It is a JSON object in S3, uploaded as a content-addressed asset at deploy time, because a Lambda
environment holds only 4 KB and a schema may have hundreds of features.
"""

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self

KeyType = Literal["string", "integer"]
FeatureType = Literal["float", "integer", "boolean", "string"]
InputFormat = Literal["parquet", "csv", "jsonlines"]
WireFormat = Literal["csv", "jsonlines", "parquet"]
Precision = Literal["float64", "float32"]


@dataclass(frozen=True)
class Feature:
    """One feature column. `minimum` and `maximum` are inclusive; `values` lists all; `pattern` must match whole."""

    name: str
    type: FeatureType = "float"
    nullable: bool = False
    minimum: float | None = None
    maximum: float | None = None
    values: list[Any] | None = None
    pattern: str | None = None


@dataclass(frozen=True)
class Quality:
    """What a generation must be like before anybody sees it (handlers.logic.quality). None: not looked at."""

    min_coverage: float = 0.5  # rows, as a share of the visible generation's
    max_mean_shift: float | None = 10.0  # standard deviations of the visible generation's predictions
    max_drift: float | None = None  # share of rows
    max_null_rise: float | None = 0.5  # share of rows
    allow_constant: bool = False
    across_versions: bool = False


@dataclass(frozen=True)
class ModelCard:
    """A model as the handlers see it.

    `wire_format` is what Batch Transform carries between S3 and the container: `csv` lines
    `row,feature,...` for scalar predictions, `jsonlines` objects `{"row", "features"}` for any JSON, `parquet` whole
    files with the columns `row` and features, none larger than `max_payload_mb` (10**6 bytes).
    `score_precision` is what lookups keep of a float; Parquet results keep all of it.
    `data_time` is the column that says of when a row is; None: the newest input file's own time counts.
    `key_type` of None means: as the input's column says (integer column, integer key).
    """

    model: str
    key: str
    features: list[Feature]
    input_uri: str
    key_type: KeyType | None = None
    input_format: InputFormat = "parquet"
    data_time: str | None = None
    prediction: str = "prediction"
    wire_format: WireFormat = "csv"
    max_payload_mb: int = 6
    pass_key_to_model: bool = False
    instance_count: int = 1
    max_bad_fraction: float = 0.01
    quality: Quality = field(default_factory=Quality)
    retention_seconds: int = 30 * 86400
    max_staleness_seconds: int = 2 * 86400
    score_precision: Precision = "float64"
    description: str = ""
    tags: dict[str, str] = field(default_factory=dict)

    def input_place(self, data_bucket: str) -> tuple[str, str]:
        """Return bucket and prefix of the input.

        An `input_uri` without `s3://` is a prefix in the platform's data bucket: the card is written at
        synth, when that bucket's name is not known yet.
        """
        if not self.input_uri.startswith("s3://"):
            return data_bucket, self.input_uri
        bucket, _, prefix = self.input_uri.removeprefix("s3://").partition("/")
        return bucket, prefix

    @property
    def feature_names(self) -> list[str]:
        return [feature.name for feature in self.features]

    def to_json(self) -> str:
        """Return the card with sorted keys, so that equal cards are equal bytes (and the same asset)."""
        return json.dumps(asdict(self), sort_keys=True, indent=1)

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        raw = json.loads(text)
        raw["features"] = [Feature(**feature) for feature in raw["features"]]
        raw["quality"] = Quality(**raw.get("quality", {}))
        return cls(**raw)
