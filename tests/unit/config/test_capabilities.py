"""The capability table against AWS's own descriptions: botocore's service models and CloudFormation's schemas."""

import functools
import typing

import annotated_types
import botocore.session
import pytest
from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER

from handlers.contract.layout import endpoint_name
from handlers.contract.modes import AVAILABLE, ServingMode
from handlers.contract.payloads import FAMILY_BYTES, MAX_UPLOAD_BYTES, MB, words
from turnout.config import STAGES, instances
from turnout.config.capabilities import (
    ENDPOINT,
    FAMILIES,
    LIMITS,
    MAX_ENDPOINT_NAME,
    SCORES_IN_BATCH,
    FamilyName,
    endpoint_family,
    realtime_instances,
)
from turnout.config.images import processor
from turnout.config.shape import inner, members
from turnout.config.specs import ModelSpec, ServerlessSpec

WHOLE = {"name": "churn", "mode": "batch", "schedule": "rate(1 day)", "key": "id", "features": ["a"]}
BOUNDED = sorted(LIMITS)


def spec(**settings):
    return ModelSpec.model_validate({**WHOLE, **settings})


@functools.cache
def service(name):
    return botocore.session.get_session().get_service_model(name)


def metadata(where, shape):
    """Return what botocore says of a shape, or of a member written as Operation.member."""
    operation, _, member = shape.partition(".")
    if member:
        return service(where).operation_model(operation).input_shape.members[member].metadata
    return service(where).shape_for(shape).metadata


def field_at(setting):
    """Return pydantic's field at the path of a setting."""
    section = ModelSpec
    *above, name = setting.split(".")
    for step in above:
        section = inner(members(section)[step].annotation)
    return members(section)[name]


@pytest.mark.parametrize("setting", [name for name in BOUNDED if LIMITS[name].shape])
def test_limits_are_those_of_botocore(setting):
    limit = LIMITS[setting]
    known = metadata(*limit.shape)
    assert (limit.least, limit.most) == (known.get("min"), known.get("max"))


@pytest.mark.parametrize("setting", BOUNDED)
def test_every_limit_holds_in_the_specs(setting):
    limit, field = LIMITS[setting], field_at(setting)
    bounds = {type(mark): mark for mark in field.metadata}
    if limit.duration:
        if field.default is not None:
            assert limit.least <= field.default.total_seconds() <= limit.most  # a rule of legality refuses the rest
        assert annotated_types.Ge not in bounds
    else:
        assert getattr(bounds.get(annotated_types.Ge), "ge", None) == limit.least
        assert getattr(bounds.get(annotated_types.Le), "le", None) == limit.most


def test_no_bound_of_a_live_mode_is_written_past_the_table():
    sections = {"transform", *(family.section for family in FAMILIES.values()), "hybrid", "streaming"}
    for section in sections:
        for name, field in members(inner(members(ModelSpec)[section].annotation)).items():
            if any(isinstance(mark, annotated_types.Ge | annotated_types.Le) for mark in field.metadata):
                assert f"{section}.{name}" in LIMITS


def test_memory_sizes_span_what_botocore_allows():
    sizes = typing.get_args(ServerlessSpec.model_fields["memory_mb"].annotation)
    known = metadata("sagemaker", "ServerlessMemorySizeInMB")
    assert (min(sizes), max(sizes)) == (known["min"], known["max"])


def test_the_front_door_and_the_plan_know_one_limit_per_family():
    from handlers.logic import families

    assert {name: family.max_body_bytes for name, family in FAMILIES.items()} == FAMILY_BYTES
    for word, family in families.FAMILIES.items():
        assert family.payload_bytes == FAMILIES[word].max_body_bytes
        assert family.payload.startswith(f"{words(FAMILY_BYTES[word])}, the limit of ")
    assert FAMILIES["async"].max_body_bytes == MAX_UPLOAD_BYTES


def test_a_megabyte_is_what_botocore_takes_for_one():
    """Of InvokeEndpoint's body AWS says 6 MB where botocore still says bytes."""
    body = service("sagemaker-runtime").operation_model("InvokeEndpoint").input_shape.members["Body"].metadata
    assert body["max"] == 6 * MB
    assert [words(size) for size in FAMILY_BYTES.values()] == ["100 MB", "25 MB", "4 MB", "1 GB"]


def test_every_mode_has_its_line():
    assert set(ENDPOINT) == set(SCORES_IN_BATCH) == set(ServingMode)
    assert set(FAMILIES) == set(typing.get_args(FamilyName))


@pytest.mark.parametrize("fallback", ["realtime", "serverless", "async"])
def test_hybrid_keeps_the_endpoint_of_its_fallback(fallback):
    assert endpoint_family(spec(mode="hybrid", hybrid={"fallback": fallback})) == fallback


@pytest.mark.parametrize(("mode", "family"), [("batch", None), ("precompute", None), ("realtime", "realtime")])
def test_a_mode_keeps_an_endpoint_or_none(mode, family):
    assert endpoint_family(spec(mode=mode)) == family


def test_families_hold_what_the_instance_lists_say():
    for family in FAMILIES.values():
        if family.instances is None:
            assert (family.gpu, family.graviton) == (False, False)
            continue
        kinds = {processor(name) for name in instances.legal(family.instances)}
        assert ("gpu" in kinds, "arm64" in kinds) == (family.gpu, family.graviton)


def schema(resource):
    return PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", resource).schema


def definition(resource, name):
    return schema(resource)["definitions"][name]["properties"]


def test_cloudformation_knows_what_the_table_speaks_of():
    config = "AWS::SageMaker::EndpointConfig"
    assert {"MaxConcurrency", "MemorySizeInMB", "ProvisionedConcurrency"} <= set(definition(config, "ServerlessConfig"))
    assert "MaxConcurrentInvocationsPerInstance" in definition(config, "AsyncInferenceClientConfig")
    assert {"EnableNetworkIsolation", "VpcConfig"} <= set(schema("AWS::SageMaker::Model")["properties"])
    assert {"MinCapacity", "MaxCapacity"} <= set(schema("AWS::ApplicationAutoScaling::ScalableTarget")["properties"])


def test_only_an_endpoints_name_makes_a_new_endpoint():
    """What the transition table rests on: everything of a model and a configuration is replaced on any change."""
    assert schema("AWS::SageMaker::Endpoint")["createOnlyProperties"] == ["/properties/EndpointName"]
    for resource in ("AWS::SageMaker::Model", "AWS::SageMaker::EndpointConfig"):
        fixed = {path.removeprefix("/properties/") for path in schema(resource)["createOnlyProperties"]}
        chosen = set(schema(resource)["properties"]) - {
            path.removeprefix("/properties/").partition("/")[0] for path in schema(resource)["readOnlyProperties"]
        }
        assert chosen - fixed <= {"Tags"}


def test_scaling_metrics_are_those_of_botocore():
    known = service("application-autoscaling").shape_for("MetricType").enum
    assert "SageMakerVariantConcurrentRequestsPerModelHighResolution" in known
    assert "SageMakerVariantInvocationsPerInstance" in known


def test_the_longest_endpoint_name_fits():
    longest = max(
        len(endpoint_name(stage, "x" * 32, family, "abcdef")) for stage in STAGES for family in FAMILIES if family
    )
    assert longest <= MAX_ENDPOINT_NAME == metadata("sagemaker", "EndpointName")["max"]


@pytest.mark.parametrize(
    ("stage", "settings", "count"),
    [
        ("dev", {}, 1),
        ("prod", {}, 2),
        ("prod", {"instance_count": 1}, 1),
        ("dev", {"instance_count": 3}, 3),
        ("prod", {"max_instances": 1}, 1),
    ],
)
def test_production_starts_with_two_instances_unless_the_entry_says_otherwise(stage, settings, count):
    assert realtime_instances(spec(mode="realtime", realtime=settings), STAGES[stage]) == count


def test_the_modes_of_this_release_are_those_with_a_way_to_run():
    for mode in AVAILABLE:
        family = ENDPOINT[mode](spec(mode=mode.value))
        assert SCORES_IN_BATCH[mode] or family in FAMILIES
