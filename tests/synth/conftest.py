"""Templates for the tests: one CDK kernel for the session, each configuration synthesised once."""

import json
import os
import re
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

# Read by CDK's Node process when it starts. Its own validation costs seconds per synth; test_app runs with it.
os.environ.setdefault("CDK_VALIDATION", "false")
os.environ.setdefault("JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION", "20")

MODEL = """
  {name}:
    mode: {mode}
    schedule: {schedule}
    key: customer_id
    features: [recency, frequency]
"""


def entry(name: str = "churn", mode: str = "precompute", schedule: str = "rate(1 day)", more: str = "") -> str:
    """Return one entry of models.yaml; `more` are further lines, indented by four."""
    return MODEL.format(name=name, mode=mode, schedule=schedule) + more


def without_identity(logical_id: str) -> str:
    """Return a logical id without the identity of an endpoint, which follows upon the family's name."""
    return re.sub(r"^(Serving(?:Realtime|Serverless|Async))[0-9a-f]{6}", r"\1", logical_id)


class Template:
    """A synthesised template as plain data."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.text = path.read_text()

    @cached_property
    def body(self) -> dict[str, Any]:
        return json.loads(self.text)

    @property
    def resources(self) -> dict[str, dict[str, Any]]:
        return self.body["Resources"]

    def of_type(self, kind: str) -> dict[str, dict[str, Any]]:
        """Return logical id -> resource."""
        return {id: resource for id, resource in self.resources.items() if resource["Type"] == kind}

    def properties(self, kind: str) -> list[dict[str, Any]]:
        return [resource.get("Properties", {}) for resource in self.of_type(kind).values()]

    def only(self, kind: str) -> dict[str, Any]:
        """Return the properties of the one resource of a type."""
        (properties,) = self.properties(kind)
        return properties

    def starting_with(self, prefix: str, kind: str) -> dict[str, Any]:
        """Return the properties of the one resource of a type whose logical id, an identity left out, starts so."""
        (resource,) = [r for id, r in self.of_type(kind).items() if without_identity(id).startswith(prefix)]
        return resource["Properties"]


class Assembly:
    """What one synth wrote."""

    def __init__(self, outdir: Path, stage: str) -> None:
        self.outdir, self.stage = outdir, stage

    def __getitem__(self, part: str) -> Template:
        return Template(self.outdir / f"turnout-{self.stage}-{part}.template.json")

    @property
    def templates(self) -> dict[str, Template]:
        return {
            path.name.removesuffix(".template.json"): Template(path) for path in self.outdir.glob("*.template.json")
        }

    def assets(self, part: str) -> dict[str, Any]:
        return json.loads((self.outdir / f"turnout-{self.stage}-{part}.assets.json").read_text())["files"]


Synth = Callable[..., Assembly]
Served = Callable[..., Template]

#: Modes, and hybrid with each endpoint that it may fall back to, and with events that score single keys.
EVERY_MODE = (
    ("batch", ""),
    ("precompute", ""),
    ("hybrid", ""),
    ("hybrid", "    hybrid: { fallback: realtime }\n"),
    ("hybrid", "    hybrid: { fallback: async }\n"),
    ("realtime", ""),
    ("serverless", ""),
    ("async", ""),
    ("hybrid", "    hybrid: { fallback: realtime }\n    refresh: { on_event: true, window: 5s }\n"),
)


@pytest.fixture(scope="session")
def synth(tmp_path_factory: pytest.TempPathFactory) -> Synth:
    """Return a function that synthesises entries of models.yaml, remembering what it has done before.

    Every model gets the same small code folder unless its entry names another artifact.
    """
    from infra.stacks import add_stacks, new_app
    from turnout.config import load, stage

    done: dict[tuple, Assembly] = {}
    root = tmp_path_factory.mktemp("repository")

    def run(
        *entries: str,
        stage_name: str = "dev",
        region: str | None = None,
        account: str | None = None,
        platform: str = "",
    ) -> Assembly:
        key = (entries, stage_name, region, account, platform)
        if key not in done:
            text = "models:" + "".join(entries) + platform
            outdir = tmp_path_factory.mktemp("assembly")
            app = new_app(outdir)
            config = load(_write(root, text), root=root)
            add_stacks(app, config, stage=stage(stage_name), region=region, account=account)
            app.synth()
            done[key] = Assembly(outdir, stage_name)
        return done[key]

    return run


def _write(root: Path, text: str) -> Path:
    for line in text.splitlines():
        if line.startswith("  ") and not line.startswith("   ") and line.rstrip().endswith(":"):
            write_code_folder(root / "model_code" / line.strip(" :"))
    path = root / "models.yaml"
    path.write_text(text)
    return path


def write_code_folder(folder: Path) -> None:
    (folder / "artifact").mkdir(parents=True, exist_ok=True)
    (folder / "artifact" / "weights.json").write_text(json.dumps({"model": folder.name}))
    (folder / "artifact" / "sample_payloads.json").write_text(json.dumps({"features": [], "rows": []}))
    (folder / "inference.py").write_text("def model_fn(model_dir):\n    return model_dir\n")
    (folder / "requirements.txt").write_text("scikit-learn==1.9.0\n")
    (folder / "train.py").write_text("raise SystemExit('only on the engineer machine')\n")


@pytest.fixture(scope="session")
def served(synth: Synth) -> Callable[..., Template]:
    """Return a function that gives the template of one model in a mode, with further lines of its entry."""
    return lambda mode, more="", **how: synth(entry(mode=mode, more=more), **how)["churn"]


@pytest.fixture(scope="session")
def batch(synth: Synth) -> Template:
    return synth(entry(mode="batch"))["churn"]


@pytest.fixture(scope="session")
def precompute(synth: Synth) -> Template:
    return synth(entry(mode="precompute"))["churn"]


@pytest.fixture(scope="session")
def platform(synth: Synth) -> Template:
    return synth(entry())["platform"]
