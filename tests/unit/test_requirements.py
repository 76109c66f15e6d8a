"""The lists of requirements agree with each other."""

import ast
import importlib.metadata
import sys
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = ROOT / "requirements"
#: What `make demo` runs, and the frameworks that models bring along where they want them.
RUN = ("app.py", "handlers", "infra", "model_code/churn", "turnout")
BROUGHT = {"xgboost", "torch", "transformers"}


def pins(name: str) -> set[str]:
    lines = (REQUIREMENTS / name).read_text().splitlines()
    return {line for line in lines if line and not line.startswith("#")}


def test_the_local_cloud_alone_has_the_versions_that_everything_has():
    assert pins("local.txt") < pins("run.txt")


def test_what_is_installed_directly_is_pinned_alike_for_what_comes_along():
    constraints = pins("constraints.txt")
    for name in ("local.txt", "run.txt"):
        assert {pin for pin in pins(name) if pin not in constraints} == set(), name


def test_what_make_demo_runs_imports_only_what_make_demo_installs():
    installed = {canonicalize_name(name) for name in along([pin.partition("==")[0] for pin in pins("run.txt")])}
    homes = importlib.metadata.packages_distributions()
    files = [path for part in RUN for path in ([ROOT / part] if part.endswith(".py") else (ROOT / part).rglob("*.py"))]
    ours = {path.stem for path in files} | {Path(part).stem for part in RUN}
    for path in files:
        for module in imported(path) - ours - set(sys.stdlib_module_names) - BROUGHT:
            found = {canonicalize_name(name) for name in homes.get(module, [])}
            assert found & installed, f"{path.relative_to(ROOT)} imports {module}"


def along(names: list[str]) -> set[str]:
    """Return packages with all that come along when they are installed."""
    found: set[str] = set()
    while names:
        name = names.pop()
        if name not in found:
            found.add(name)
            wanted = map(Requirement, importlib.metadata.requires(name) or [])
            names += [each.name for each in wanted if each.marker is None or each.marker.evaluate({"extra": ""})]
    return found


def imported(path: Path) -> set[str]:
    return {name.partition(".")[0] for name in _imported(ast.parse(path.read_text()))}


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module
