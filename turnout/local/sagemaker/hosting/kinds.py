"""What kind an endpoint is, what a configuration may say, and what no update can make of an endpoint.

Words in quotation marks in comments are AWS's; where no source has them, ours say the same.
"""

from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from typing import Any

from turnout.local.sagemaker import refusals
from turnout.local.sagemaker.api import is_uncompressed
from turnout.local.sagemaker.errors import Invalid, NotEmulated
from turnout.local.sagemaker.refusals import Refusal, is_given

SERVERLESS_MEMORY_MB = (1024, 2048, 3072, 4096, 5120, 6144)
#: Families with local storage whose names do not end in a d, as all others with it do.
LOCAL_STORAGE = ("g4dn", "g5")
#: What CreateEndpointConfig refuses although AWS does not.
REFUSED = (
    Refusal(("ShadowProductionVariants",), is_given, "ShadowProductionVariants are not emulated"),
    Refusal(("ExplainerConfig",), is_given, "ExplainerConfig is not emulated"),
    Refusal(
        ("ProductionVariants", "ModelName"),
        lambda name: not name,
        "Variants without ModelName (inference components) are not emulated",
    ),
    Refusal(("ProductionVariants", "InstancePools"), is_given, "InstancePools are not emulated"),
)
DESIRED_COUNT, DESIRED_WEIGHT = "DesiredInstanceCount", "DesiredWeight"


class Kind(StrEnum):
    REALTIME = "real-time"
    SERVERLESS = "serverless"
    ASYNC = "asynchronous"


def kind_of(config: Mapping[str, Any]) -> Kind:
    """Return the kind of endpoint that a configuration makes."""
    if config.get("AsyncInferenceConfig"):
        return Kind.ASYNC
    return Kind.SERVERLESS if is_serverless(config["ProductionVariants"][0]) else Kind.REALTIME


def is_serverless(variant: Mapping[str, Any]) -> bool:
    return "ServerlessConfig" in variant


def variant_named(config: Mapping[str, Any], name: str) -> dict | None:
    return next((v for v in config["ProductionVariants"] if v["VariantName"] == name), None)


# Configurations


def check_config(request: Mapping[str, Any], model: Callable[[str], Mapping[str, Any]]) -> None:
    """Raise what AWS refuses in CreateEndpointConfig beyond the request's shape. `model(name)` raises for strangers."""
    variants = request["ProductionVariants"]
    _check_emulated(request)
    _check_storage_key(request)
    names = [variant["VariantName"] for variant in variants]
    if len(set(names)) < len(names):
        raise Invalid("Production variant names must be unique within an endpoint configuration.")
    for variant in variants:
        _check_variant(variant)
        described = model(variant["ModelName"])
        if is_serverless(variant):
            _check_serverless(request, variant, described)


def _check_emulated(request: Mapping[str, Any]) -> None:
    if words := refusals.first(request, REFUSED):
        raise NotEmulated(f"{words}.")


def _check_storage_key(request: Mapping[str, Any]) -> None:
    """Raise Invalid for a key of volumes that instances with storage of their own do not have."""
    for variant in request["ProductionVariants"]:
        family = variant.get("InstanceType", "ml..").split(".")[1]
        if request.get("KmsKeyId") and (family in LOCAL_STORAGE or family.endswith("d")):
            raise Invalid(
                f"KmsKeyId cannot be given: variant {variant['VariantName']} uses {variant['InstanceType']}, which has "
                "local instance storage."
            )


def _check_variant(variant: Mapping[str, Any]) -> None:
    name, serverless = variant["VariantName"], is_serverless(variant)
    instances = [member for member in ("InstanceType", "InitialInstanceCount") if member in variant]
    if serverless and instances:
        raise Invalid(f"Production variant {name}: {' and '.join(instances)} cannot be given with ServerlessConfig.")
    if not serverless and len(instances) < 2:
        raise Invalid(f"Production variant {name} needs InstanceType and InitialInstanceCount, or ServerlessConfig.")
    if variant.get("ManagedInstanceScaling"):
        # "ManagedInstanceScaling is not supported with the given EndpointConfig setup."
        raise Invalid("ManagedInstanceScaling is not supported with the given EndpointConfig setup.")


def _check_serverless(request: Mapping[str, Any], variant: Mapping[str, Any], model: Mapping[str, Any]) -> None:
    settings, name = variant["ServerlessConfig"], variant["VariantName"]
    if len(request["ProductionVariants"]) > 1:
        raise Invalid("Serverless endpoints do not support several production variants.")
    if settings["MemorySizeInMB"] not in SERVERLESS_MEMORY_MB:
        allowed = ", ".join(map(str, SERVERLESS_MEMORY_MB))
        raise Invalid(f"MemorySizeInMB of variant {name} must be one of {allowed}; it is {settings['MemorySizeInMB']}.")
    if settings.get("ProvisionedConcurrency", 0) > settings["MaxConcurrency"]:
        raise Invalid(f"ProvisionedConcurrency of variant {name} must not be greater than its MaxConcurrency.")
    for member, value in (
        ("AsyncInferenceConfig", request.get("AsyncInferenceConfig")),
        ("DataCaptureConfig", request.get("DataCaptureConfig")),
        ("VpcConfig", request.get("VpcConfig")),
        ("a Model with VpcConfig", model.get("VpcConfig")),
        ("a Model with EnableNetworkIsolation", model.get("EnableNetworkIsolation")),
        ("a Model with an uncompressed ModelDataSource", is_uncompressed(model)),
        ("a Model of several containers", len(model.get("Containers", [])) > 1),
    ):
        if value:
            raise Invalid(f"Serverless endpoints do not support {member} (variant {name}).")


def check_capacity(
    config: Mapping[str, Any], name: str, count: int | None, serverless: Mapping[str, int] | None
) -> None:
    """Raise Invalid for a capacity that a variant cannot have: instances and serverless settings, where given."""
    variant = variant_named(config, name)
    if count is not None and is_serverless(variant):
        raise Invalid(f"Variant {name} is serverless: it has no DesiredInstanceCount.")
    if count == 0 and kind_of(config) != Kind.ASYNC:
        raise Invalid("DesiredInstanceCount 0 is for asynchronous endpoints only.")
    if serverless and not is_serverless(variant):
        raise Invalid(f"Variant {name} is not serverless: it has no ServerlessUpdateConfig.")
    if serverless:
        settings = {**variant["ServerlessConfig"], **serverless}
        if settings.get("ProvisionedConcurrency", 0) > settings["MaxConcurrency"]:
            raise Invalid(f"ProvisionedConcurrency of variant {name} must not be greater than its MaxConcurrency.")


# Updates


def check_update(endpoint: str, old: Mapping[str, Any], new: Mapping[str, Any], scaled: Iterable[str]) -> None:
    """Raise Invalid for an update that AWS does not make. `scaled`: variants registered as scalable targets."""
    _check_kind(endpoint, kind_of(old), kind_of(new))
    for name in scaled:
        before, after = variant_named(old, name), variant_named(new, name)
        if before is None:
            continue
        if after is None or after.get("InstanceType") != before.get("InstanceType"):
            what = "remove" if after is None else "change the instance type of"
            raise Invalid(
                f"Cannot {what} variant {name} of endpoint {endpoint} while it is registered as a scalable target; "
                "delete its scaling policies and deregister the target first."
            )


def _check_kind(endpoint: str, old: Kind, new: Kind) -> None:
    if old == new or (old, new) == (Kind.SERVERLESS, Kind.REALTIME):
        return
    if old == Kind.ASYNC:
        # "The AsyncInferenceConfig parameter cannot be removed from this endpoint ..."
        raise Invalid(
            f"The AsyncInferenceConfig parameter cannot be removed from this endpoint {endpoint}. "
            "To change the endpoint type, create a new endpoint."
        )
    if new == Kind.ASYNC:
        raise Invalid(
            f"The AsyncInferenceConfig parameter cannot be added to this endpoint {endpoint}. "
            "To change the endpoint type, create a new endpoint."
        )
    raise Invalid(f"Cannot convert instance-based endpoint {endpoint} to a serverless endpoint; create a new endpoint.")


def retained(
    summaries: Iterable[Mapping[str, Any]], config: Mapping[str, Any], retain: bool, excluded: Iterable[str]
) -> tuple[dict[str, int], dict[str, float]]:
    """Return instance count and weight of each variant after an update to `config`.

    `retain` is RetainAllVariantProperties, `excluded` the property types it does not hold for. Without it every
    update goes back to what the configuration says. Raises Invalid when a variant to be retained has no namesake.
    """
    current = {summary["VariantName"]: summary for summary in summaries}
    names = {variant["VariantName"] for variant in config["ProductionVariants"]}
    if retain and not names <= set(current):
        raise Invalid(f"RetainAllVariantProperties needs variants of the same names; new: {sorted(names)}.")
    counts, weights = {}, {}
    for variant in config["ProductionVariants"]:
        name = variant["VariantName"]
        before = current.get(name, {}) if retain else {}
        keeps_count = DESIRED_COUNT not in excluded and DESIRED_COUNT in before
        counts[name] = before[DESIRED_COUNT] if keeps_count else variant.get("InitialInstanceCount", 0)
        keeps_weight = DESIRED_WEIGHT not in excluded and DESIRED_WEIGHT in before
        weights[name] = before[DESIRED_WEIGHT] if keeps_weight else variant.get("InitialVariantWeight", 1.0)
    return counts, weights


def with_serverless(config: Mapping[str, Any], summaries: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return a configuration with the serverless settings that its variants had last, by their summaries."""
    variants = []
    for variant in config["ProductionVariants"]:
        last = summaries.get(variant["VariantName"], {}).get("CurrentServerlessConfig")
        variants.append({**variant, "ServerlessConfig": last} if last else variant)
    return {**config, "ProductionVariants": variants}
