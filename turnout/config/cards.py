"""From a model's specification to the card that its handlers read."""

from handlers.contract.card import Feature, ModelCard, Quality
from turnout.config.specs import LAST_MODIFIED, FeatureSpec, ModelSpec


def to_card(spec: ModelSpec, *, input_uri: str) -> ModelCard:
    """Return the card of a model. `input_uri` is `s3://bucket/prefix/`, or a prefix in the platform's data bucket."""
    return ModelCard(
        model=spec.name,
        key=spec.key.column,
        key_type=spec.key.type,
        features=[_feature(name, feature) for name, feature in spec.features.items()],
        input_uri=input_uri,
        input_format=spec.input.format,
        data_time=None if spec.input.data_time == LAST_MODIFIED else spec.input.data_time,
        prediction=spec.output.prediction,
        wire_format=spec.transform.wire_format,
        max_payload_mb=spec.transform.max_payload_mb,
        pass_key_to_model=spec.transform.pass_key_to_model,
        instance_count=spec.transform.instance_count,
        max_bad_fraction=spec.quality.max_bad_fraction,
        quality=Quality(**spec.quality.model_dump(exclude={"max_bad_fraction"})),
        retention_seconds=int(spec.keep_scores.total_seconds()),
        max_staleness_seconds=int(spec.max_staleness.total_seconds()),
        score_precision=spec.score_precision,
        description=spec.description,
        tags=dict(spec.tags),
    )


def _feature(name: str, spec: FeatureSpec) -> Feature:
    return Feature(
        name=name,
        type=spec.type,
        nullable=spec.nullable,
        minimum=spec.min,
        maximum=spec.max,
        values=spec.values,
        pattern=spec.pattern,
    )
