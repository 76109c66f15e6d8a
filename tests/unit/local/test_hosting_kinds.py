"""What AWS refuses of endpoint configurations and updates, without any process."""

import contextlib

import pytest

from turnout.local.sagemaker.errors import Invalid, NotEmulated
from turnout.local.sagemaker.hosting.kinds import (
    Kind,
    check_capacity,
    check_config,
    check_update,
    kind_of,
    retained,
    with_serverless,
)

ASYNC = {"OutputConfig": {"S3OutputPath": "s3://b/out/"}}
SERVERLESS = {"MemorySizeInMB": 2048, "MaxConcurrency": 5}


def variant(name="AllTraffic", kind="ml.m5.large", **more) -> dict:
    return {"VariantName": name, "ModelName": "m", "InstanceType": kind, "InitialInstanceCount": 1, **more}


def serverless(**settings) -> dict:
    return {"VariantName": "AllTraffic", "ModelName": "m", "ServerlessConfig": {**SERVERLESS, **settings}}


def config(*variants, **more) -> dict:
    return {"EndpointConfigName": "c", "ProductionVariants": list(variants or [variant()]), **more}


REALTIME, LESS, QUEUED = config(), config(serverless()), config(AsyncInferenceConfig=ASYNC)
CONFIGS = {Kind.REALTIME: REALTIME, Kind.SERVERLESS: LESS, Kind.ASYNC: QUEUED}
#: Pairs that UpdateEndpoint makes; all others are refused.
LEGAL = {*((kind, kind) for kind in Kind), (Kind.SERVERLESS, Kind.REALTIME)}


def test_a_configuration_tells_the_kind_of_its_endpoint():
    assert {kind: kind_of(found) for kind, found in CONFIGS.items()} == {kind: kind for kind in Kind}


@pytest.mark.parametrize("old", Kind)
@pytest.mark.parametrize("new", Kind)
def test_an_endpoint_changes_its_kind_only_one_way(old, new):
    if (old, new) in LEGAL:
        assert check_update("e", CONFIGS[old], CONFIGS[new], ()) is None
    else:
        with pytest.raises(Invalid):
            check_update("e", CONFIGS[old], CONFIGS[new], ())


@pytest.mark.parametrize(
    ("new", "words"),
    [
        (config(variant(kind="ml.m5.xlarge")), "change the instance type of variant AllTraffic"),
        (config(variant("Other")), "remove variant AllTraffic"),
    ],
)
def test_a_scalable_target_holds_type_and_variant(new, words):
    with pytest.raises(Invalid, match=words):
        check_update("e", REALTIME, new, ["AllTraffic"])
    assert check_update("e", REALTIME, new, []) is None


def test_a_scalable_target_lets_another_model_through():
    assert check_update("e", REALTIME, config(variant(ModelName="other")), ["AllTraffic"]) is None


@pytest.mark.parametrize(
    ("wrong", "model", "error", "words"),
    [
        (config(variant(), variant()), {}, Invalid, "must be unique"),
        (config({"VariantName": "A", "ModelName": "m"}), {}, Invalid, "needs InstanceType"),
        (
            config(variant(kind="ml.g5.xlarge"), KmsKeyId="k"),
            {},
            Invalid,
            "ml.g5.xlarge, which has local instance storage",
        ),
        (config(variant(kind="ml.m5d.large"), KmsKeyId="k"), {}, Invalid, "ml.m5d.large, which has local instance"),
        (config({**serverless(), "InstanceType": "ml.m5.large"}), {}, Invalid, "cannot be given with ServerlessConfig"),
        (config(serverless(MemorySizeInMB=1500)), {}, Invalid, "must be one of 1024, 2048"),
        (config(serverless(ProvisionedConcurrency=6)), {}, Invalid, "must not be greater than its MaxConcurrency"),
        (config(serverless(), variant("B")), {}, Invalid, "several production variants"),
        (config(serverless(), AsyncInferenceConfig=ASYNC), {}, Invalid, "do not support AsyncInferenceConfig"),
        (config(serverless(), DataCaptureConfig={"x": 1}), {}, Invalid, "do not support DataCaptureConfig"),
        (LESS, {"VpcConfig": {"Subnets": ["s"]}}, Invalid, "a Model with VpcConfig"),
        (LESS, {"EnableNetworkIsolation": True}, Invalid, "a Model with EnableNetworkIsolation"),
        (
            config(variant(ManagedInstanceScaling={"Status": "ENABLED"})),
            {},
            Invalid,
            "ManagedInstanceScaling is not supported with the given EndpointConfig setup",
        ),
        (config({"VariantName": "A", **variant(), "ModelName": ""}), {}, NotEmulated, "inference components"),
        (config(ShadowProductionVariants=[variant()]), {}, NotEmulated, "ShadowProductionVariants"),
    ],
)
def test_what_no_endpoint_can_be_is_refused(wrong, model, error, words):
    with pytest.raises(error, match=words):
        check_config(wrong, lambda name: model)


@pytest.mark.parametrize("right", [REALTIME, LESS, QUEUED, config(KmsKeyId="k"), config(variant(kind="ml.g5.xlarge"))])
def test_what_an_endpoint_can_be_is_not(right):
    assert check_config(right, lambda name: {"EnableNetworkIsolation": False}) is None


NOW = [{"VariantName": "AllTraffic", "DesiredInstanceCount": 4, "DesiredWeight": 2.0}]


@pytest.mark.parametrize(
    ("retain", "excluded", "count", "weight"),
    [
        (False, [], 1, 1.0),
        (True, [], 4, 2.0),
        (True, ["DesiredInstanceCount"], 1, 2.0),
        (True, ["DesiredWeight"], 4, 1.0),
    ],
)
def test_an_update_resets_capacity_unless_it_is_retained(retain, excluded, count, weight):
    assert retained(NOW, REALTIME, retain, excluded) == ({"AllTraffic": count}, {"AllTraffic": weight})


def test_retaining_needs_the_same_variant_name():
    with pytest.raises(Invalid, match="variants of the same names"):
        retained(NOW, config(variant("Other")), True, [])


def test_serverless_settings_outlive_a_restart():
    one, two = {"MemorySizeInMB": 1024, "MaxConcurrency": 5}, {"MemorySizeInMB": 1024, "MaxConcurrency": 9}
    variants = [{"VariantName": "a", "ServerlessConfig": one}, {"VariantName": "b", "InitialInstanceCount": 1}]
    saved = {"a": {"CurrentServerlessConfig": two}, "b": {"CurrentInstanceCount": 3}}
    found = with_serverless({"ProductionVariants": variants}, saved)["ProductionVariants"]
    assert found == [{"VariantName": "a", "ServerlessConfig": two}, variants[1]]
    assert with_serverless({"ProductionVariants": variants}, {})["ProductionVariants"] == variants


CAPACITY = {
    "ProductionVariants": [
        {"VariantName": "instances", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1},
        {"VariantName": "serverless", "ServerlessConfig": {"MemorySizeInMB": 1024, "MaxConcurrency": 5}},
    ]
}


@pytest.mark.parametrize(
    ("name", "count", "serverless", "words"),
    [
        ("instances", 0, None, "for asynchronous endpoints only"),
        ("instances", 1, {"MaxConcurrency": 2}, "is not serverless"),
        ("serverless", 1, None, "has no DesiredInstanceCount"),
        ("serverless", None, {"ProvisionedConcurrency": 6}, "must not be greater than its MaxConcurrency"),
        ("serverless", None, {"MaxConcurrency": 7, "ProvisionedConcurrency": 6}, None),
    ],
)
def test_each_kind_of_variant_has_capacities_of_its_own(name, count, serverless, words):
    context = pytest.raises(Invalid, match=words) if words else contextlib.nullcontext()
    with context:
        check_capacity(CAPACITY, name, count, serverless)
