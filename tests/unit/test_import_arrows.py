"""Folders say where code runs; their imports may not say otherwise."""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from handlers.contract.modes import ServingMode

REPOSITORY = Path(__file__).resolve().parents[2]
OURS = {"handlers", "infra", "turnout", "model_code", "tests", "benchmarks"}
STANDARD = set(sys.stdlib_module_names) | {"__future__"}


def modules(folder: str) -> list[Path]:
    return sorted(path for path in (REPOSITORY / folder).rglob("*.py") if "__pycache__" not in path.parts)


def imported(path: Path) -> Iterator[str]:
    """Yield the full names that a module imports, wherever in it the import stands."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def strays(folder: str, allowed: tuple[str, ...]) -> list[str]:
    """Return `file: import` for imports of a folder that are neither standard library nor allowed."""
    return [
        f"{path.relative_to(REPOSITORY)}: {name}"
        for path in modules(folder)
        for name in imported(path)
        if name.split(".")[0] not in STANDARD
        and not name.startswith(tuple(f"{prefix}." for prefix in allowed))
        and name not in allowed
    ]


def test_contract_needs_the_standard_library_and_itself():
    assert strays("handlers/contract", ("handlers.contract",)) == []


def test_handlers_need_what_lambda_has_and_what_ships_with_them():
    assert strays("handlers", ("handlers", "boto3", "botocore", "pyarrow")) == []


def test_logic_knows_no_aws():
    known = ("handlers.contract", "handlers.logic", "pyarrow")
    assert strays("handlers/logic", known) == []


def test_only_adapters_talk_to_aws():
    for path in modules("handlers"):
        if "adapters" not in path.parts:
            assert not [name for name in imported(path) if name.split(".")[0] in ("boto3", "botocore")], path


def loaded_by(module: str, seen: set[str] | None = None) -> set[str]:
    """Return everything that a module of ours loads when it is imported, by name, its own modules followed."""
    seen = set() if seen is None else seen
    path = REPOSITORY / Path(*module.split(".")).with_suffix(".py")
    if module in seen or not path.exists():
        return seen
    seen.add(module)
    for node in ast.parse(path.read_text()).body:
        for name in _names(node):
            seen.add(name.split(".")[0]) if not name.startswith("handlers.") else loaded_by(name, seen)
    return seen


def _names(node: ast.stmt) -> list[str]:
    """Return the modules that a statement may load; `from a import b` may load `a` and `a.b`."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return []


@pytest.mark.parametrize("entry", ["start", "conclude", "predict", "unknown_model", "gate", "prove", "answer"])
def test_functions_without_the_pyarrow_layer_do_not_load_pyarrow(entry: str):
    assert "pyarrow" not in loaded_by(f"handlers.{entry}")


@pytest.mark.parametrize("entry", ["prepare", "publish"])
def test_the_check_on_pyarrow_sees_it_where_it_is(entry: str):
    assert "pyarrow" in loaded_by(f"handlers.{entry}")


def test_infra_needs_cdk_the_configuration_and_the_contract():
    assert strays("infra", ("aws_cdk", "constructs", "infra", "turnout.config", "handlers.contract")) == []


def test_infra_leaves_out_the_bindings_that_cost_a_synth_its_seconds():
    """`aws_lambda` loads all of EC2, `aws_stepfunctions_tasks` half of CDK."""
    heavy = {"aws_lambda", "aws_ec2", "aws_stepfunctions_tasks", "aws_s3_deployment"}
    for path in modules("infra"):
        assert not heavy & {part for name in imported(path) for part in name.split(".")}, path


def test_the_app_needs_no_more_than_infra():
    names = [name for name in imported(REPOSITORY / "app.py") if name.split(".")[0] not in STANDARD]
    assert all(name.startswith(("infra.", "turnout.config")) for name in names)


def test_turnout_never_loads_cdk():
    found = [
        f"{path.relative_to(REPOSITORY)}: {name}"
        for path in modules("turnout")
        for name in imported(path)
        if name.split(".")[0] in ("aws_cdk", "constructs", "jsii", "infra")
    ]
    assert found == []


def test_only_infra_the_app_and_tests_load_cdk():
    for folder in ("handlers", "turnout", "model_code"):
        for path in modules(folder):
            assert not [name for name in imported(path) if name.split(".")[0] == "aws_cdk"], path


def test_model_code_imports_nothing_of_ours():
    found = [
        f"{path.relative_to(REPOSITORY)}: {name}"
        for path in modules("model_code")
        for name in imported(path)
        if name.split(".")[0] in OURS
    ]
    assert found == []


def test_nothing_of_ours_imports_model_code():
    for folder in ("handlers", "infra", "turnout"):
        for path in modules(folder):
            assert not [name for name in imported(path) if name.split(".")[0] == "model_code"], path


MODE_NAMES = {mode.name for mode in ServingMode}
MODE_WORDS = {mode.value for mode in ServingMode}


def mode_comparisons(source: str) -> list[int]:
    """Return the lines on which something is compared with a mode, or a `match` has one as a case."""
    lines = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Compare):
            lines += [node.lineno for side in (node.left, *node.comparators) if _is_mode(side)]
        elif isinstance(node, ast.MatchValue) and _is_mode(node.value):
            lines.append(node.value.lineno)
    return lines


def _is_mode(node: ast.expr) -> bool:
    """Tell `ServingMode.BATCH`, and the word of a mode next to something called mode."""
    return (
        isinstance(node, ast.Attribute)
        and node.attr in MODE_NAMES
        and isinstance(node.value, ast.Name)
        and node.value.id == "ServingMode"
    )


@pytest.mark.parametrize("folder", ["handlers", "infra", "turnout"])
def test_no_module_compares_a_mode(folder: str):
    """Each layer has one table keyed by mode; a comparison would be a second one."""
    found = {
        f"{path.relative_to(REPOSITORY)}:{line}"
        for path in modules(folder)
        for line in mode_comparisons(path.read_text())
    }
    assert found == set()


@pytest.mark.parametrize("folder", ["handlers", "infra", "turnout"])
def test_no_module_compares_something_called_mode_with_a_word(folder: str):
    words = "|".join(MODE_WORDS)
    pattern = re.compile(rf"""\bmode(\.value)?\s*(==|!=)|(==|!=)\s*["']({words})["']""")
    found = [str(path.relative_to(REPOSITORY)) for path in modules(folder) if pattern.search(path.read_text())]
    assert found == []


def test_the_check_on_modes_sees_what_it_should():
    assert mode_comparisons("if mode == ServingMode.BATCH: pass") == [1]
    assert mode_comparisons("match mode:\n case ServingMode.HYBRID: pass") == [2]
    assert mode_comparisons("TABLE = {ServingMode.BATCH: 1}") == []
