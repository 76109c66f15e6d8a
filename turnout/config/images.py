"""Which prebuilt SageMaker inference image serves a framework, without importing the SageMaker SDK.

`images.json` beside this module is an extract of the SDK's own table, for the frameworks, versions and
processors that Turnout offers. `refresh` rewrites it from the installed SDK; tests compare every URI with the
SDK's `image_uris.retrieve`, and differ from it on purpose in one place: the SDK gives some Graviton
instances (ml.m8g.large) an image for x86, or silently another version; here both are refused.
"""

import difflib
import functools
import json
import re
from importlib import metadata
from pathlib import Path
from typing import Any

LINK = "https://docs.aws.amazon.com/sagemaker/latest/dg/pre-built-docker-containers-frameworks.html"
TABLE = Path(__file__).with_name("images.json")

#: sklearn 1.9-0 holds scikit-learn 1.9.0 on Python 3.12: models pickled by scikit-learn 1.9.x load in it.
DEFAULT_VERSIONS = {"sklearn": "1.9-0", "xgboost": "3.2-0", "pytorch": "2.6.0", "huggingface": "5.5.3"}

#: The oldest version of each framework that is worth offering.
_OLDEST = {"sklearn": (1, 0), "xgboost": (1, 5), "pytorch": (2, 0), "huggingface": (4, 26)}
_ARM_TAGS = {"sklearn": "{}-arm64-cpu-py3", "xgboost": "{}-arm64"}  # spelled in the SDK's code, not in its table
_KINDS = {"cpu": "an x86 CPU", "gpu": "a GPU", "arm64": "Graviton", "inf": "Inferentia", "trn": "Trainium"}
_GRAVITON = re.compile(r"[a-z]+[0-9]+g[a-z]*")


class ImageError(ValueError):
    """No prebuilt image fits. `reason` says why, `remedy` names the nearest legal choice."""

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(f"{reason}. {remedy}")
        self.reason = reason
        self.remedy = remedy


def default_version(framework: str) -> str:
    """Return the image version used where models.yaml names none. Raises ImageError for an unknown framework."""
    if framework not in DEFAULT_VERSIONS:
        raise ImageError(f"there is no prebuilt image for {framework!r}", f"Write one of {_words(DEFAULT_VERSIONS)}.")
    return DEFAULT_VERSIONS[framework]


def versions(framework: str) -> list[str]:
    """Return the versions that a framework's images exist in, oldest first. Raises ImageError."""
    default_version(framework)
    return list(_table()["frameworks"][framework])


def processor(instance_type: str) -> str:
    """Return what an instance computes with: cpu, gpu, arm64 (Graviton), or inf and trn (Neuron)."""
    family = instance_type.removeprefix("ml.").partition(".")[0]
    if family.startswith(("inf", "trn")):
        return family[:3]
    if _GRAVITON.fullmatch(family):
        return "arm64"
    return "gpu" if family[:1] in ("g", "p") else "cpu"


def image_uri(framework: str, version: str | None, region: str, instance_type: str) -> str:
    """Return the full image URI for one region. A version of None means the default. Raises ImageError."""
    registries = accounts(framework, version, instance_type)
    if region not in registries:
        remedy = f"Deploy to one of {_words(registries)}, or set `image`."
        raise ImageError(f"AWS publishes no {framework} image in region {region}", remedy)
    suffix = _table()["dns_suffixes"].get(region, "amazonaws.com")
    name = image_name(framework, version, instance_type)
    return f"{registries[region]}.dkr.ecr.{region}.{suffix}/{name}"


def image_name(framework: str, version: str | None, instance_type: str) -> str:
    """Return `repository:tag`, the part of the URI that is the same in every region. Raises ImageError."""
    entry = _entry(framework, version, instance_type)
    return f"{entry['repository']}:{entry['tag']}"


def accounts(framework: str, version: str | None = None, instance_type: str = "ml.m5.large") -> dict[str, str]:
    """Return the registry's account for every region that has the image. Raises ImageError."""
    return dict(_table()["registries"][_entry(framework, version, instance_type)["registry"]])


def _entry(framework: str, version: str | None, instance_type: str) -> dict[str, str]:
    known = versions(framework)
    version = version or default_version(framework)
    if version not in known:
        close = difflib.get_close_matches(version, known, 1, 0.4)
        remedy = f"Use {close[0] if close else known[-1]}; there are {_words(known)}."
        raise ImageError(f"SageMaker has no inference image {framework} {version}", remedy)
    kind = processor(instance_type)
    images = _table()["frameworks"][framework][version]
    if kind not in images:
        raise ImageError(*_no_such_processor(framework, version, instance_type, kind))
    return images[kind]


def _no_such_processor(framework: str, version: str, instance_type: str, kind: str) -> tuple[str, str]:
    others = [v for v, images in _table()["frameworks"][framework].items() if kind in images]
    reason = f"{instance_type} runs on {_KINDS[kind]}, and {framework} {version} has no image for that"
    older = f", framework_version {others[-1]}" if others else ""
    return reason, f"Use a CPU instance such as ml.m5.large{older}, or your own `image`."


def _words(names: Any) -> str:
    return ", ".join(names)


@functools.cache
def _table() -> dict[str, Any]:
    return json.loads(TABLE.read_text())


def refresh(path: Path = TABLE) -> None:
    """Rewrite the table from the installed sagemaker-core, reading its JSON files only. Needs botocore for suffixes."""
    sdk = metadata.distribution("sagemaker-core")
    folder = Path(str(sdk.locate_file("sagemaker/core/image_uri_config")))
    registries: list[dict[str, str]] = []
    frameworks = {}
    for framework in DEFAULT_VERSIONS:
        source = json.loads((folder / f"{framework}.json").read_text())
        frameworks[framework] = _extract(framework, source, registries)
    regions = sorted({region for registry in registries for region in registry})
    table = {
        "source": f"sagemaker-core {sdk.version}",
        "frameworks": frameworks,
        "registries": [dict(sorted(registry.items())) for registry in registries],
        "dns_suffixes": _suffixes(regions),
    }
    path.write_text(json.dumps(table, indent=1) + "\n")
    _table.cache_clear()


def _extract(framework: str, source: dict, registries: list[dict[str, str]]) -> dict[str, dict[str, Any]]:
    """Return version -> processor -> repository, tag and index into `registries` (which grows)."""
    out: dict[str, dict[str, Any]] = {}
    for scope in ("inference", "inference_graviton"):
        for version, entry in source.get(scope, {}).get("versions", {}).items():
            if not _offered(framework, version):
                continue
            base, entry = _newest_pytorch(entry) if framework == "huggingface" else ("", entry)
            for kind in _processors(scope, source[scope], entry):
                image = {"repository": entry["repository"], "tag": _tag(framework, version, base, kind, entry)}
                image["registry"] = _index(entry["registries"], registries)
                out.setdefault(version, {})[kind] = image
    return dict(sorted(out.items(), key=lambda item: _order(item[0])))


def _order(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall("[0-9]+", version))


def _offered(framework: str, version: str) -> bool:
    return len(_order(version)) > 1 and _order(version) >= _OLDEST[framework]


def _newest_pytorch(entry: dict) -> tuple[str, dict]:
    """Return the newest PyTorch that a Transformers version comes with, and its entry."""
    bases = [name for name in entry if name.startswith("pytorch")]
    newest = max(bases, key=_order)
    return newest.removeprefix("pytorch"), entry[newest]


def _processors(scope: str, config: dict, entry: dict) -> list[str]:
    if scope == "inference_graviton":
        return ["arm64"]
    return config.get("processors") or entry.get("processors") or ["cpu", "gpu"]  # xgboost: one image for both


def _tag(framework: str, version: str, base: str, kind: str, entry: dict) -> str:
    """Return an image's tag, put together as the SDK does."""
    if kind == "arm64" and framework in _ARM_TAGS:
        return _ARM_TAGS[framework].format(version)
    if framework == "xgboost" and not entry.get("processors"):
        return version
    container = (entry.get("container_version") or {}).get("cpu" if kind == "arm64" else kind)
    if kind == "arm64":
        container = f"{container}-sagemaker"
    prefix = f"{base}-transformers{version}" if base else entry.get("tag_prefix", version)
    python = (entry.get("py_versions") or [None])[-1]
    return "-".join(part for part in (prefix, "cpu" if kind == "arm64" else kind, python, container) if part)


def _index(registry: dict[str, str], registries: list[dict[str, str]]) -> int:
    if registry not in registries:
        registries.append(registry)
    return registries.index(registry)


def _suffixes(regions: list[str]) -> dict[str, str]:
    """Return the DNS suffix of every region whose suffix is not amazonaws.com."""
    import botocore.session  # needed here only: loading it costs more than all of this module

    partitions = botocore.session.get_session().get_data("partitions")["partitions"]
    found = {}
    for region in regions:
        home = next(part for part in partitions if re.fullmatch(part["regionRegex"], region))
        found[region] = home["outputs"]["dnsSuffix"]
    return {region: suffix for region, suffix in found.items() if suffix != "amazonaws.com"}
