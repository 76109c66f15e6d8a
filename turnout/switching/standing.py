"""What stands now, in the terms of the entry: settings as the deployed stack's outputs tell them."""

from collections.abc import Callable, Mapping
from typing import Any

from turnout.config.capabilities import FamilyName
from turnout.config.specs import ModelSpec

#: Family -> setting of its section -> the output that tells it, and how to read that.
TOLD: dict[FamilyName, dict[str, tuple[str, Callable[[str], Any]]]] = {
    "realtime": {"instance_type": ("InstanceType", str), "instance_count": ("InstanceCount", int)},
    "serverless": {"memory_mb": ("MemoryMb", int), "provisioned_concurrency": ("ProvisionedConcurrency", int)},
    "async": {"instance_type": ("InstanceType", str)},
}
#: Settings whose output is left out where the entry leaves the setting out.
OPTIONAL = {"provisioned_concurrency"}


def as_deployed(spec: ModelSpec, family: FamilyName | None, outputs: Mapping[str, str]) -> ModelSpec:
    """Return the entry with what is deployed of hybrid's fallback and of the endpoint of `family`.

    What the outputs do not tell stays as the entry says: settings of the other families, and of the batch jobs.
    """
    changed: dict[str, Any] = {}
    if "Fallback" in outputs:
        changed["hybrid"] = spec.hybrid.model_copy(update={"fallback": outputs["Fallback"]})
    if family is not None:
        section = {"async": "async_"}.get(family, family)
        changed[section] = getattr(spec, section).model_copy(update=_told(family, outputs))
    return spec.model_copy(update=changed)


def _told(family: FamilyName, outputs: Mapping[str, str]) -> dict[str, Any]:
    told = {name: read(outputs[output]) for name, (output, read) in TOLD[family].items() if output in outputs}
    absent = {name: None for name in TOLD[family] if name in OPTIONAL and told and name not in told}
    return {**told, **absent}
