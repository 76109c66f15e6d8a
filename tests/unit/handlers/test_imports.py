"""Which code may import what: handlers are staged alone, and the front door must start fast."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

HANDLERS = Path(__file__).resolve().parents[3] / "handlers"
FILES = {path.relative_to(HANDLERS).as_posix(): path for path in sorted(HANDLERS.rglob("*.py"))}
ARROW = {"columns", "data_times", "joining", "preparing", "profiling", "publishing", "reading", "results", "sharding"}
ARROW |= {"validation"}


def imported(path: Path) -> set[str]:
    """Return the dotted names that a file imports, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names.add(node.module)
    return names


def allowed(name: str) -> set[str]:
    """Return the packages beyond the standard library that a file may import."""
    part, _, rest = name.partition("/")
    if part == "contract":
        return {"handlers.contract"}
    if part == "logic":
        own = {"handlers.contract", "handlers.logic"}
        return own | {"pyarrow"} if rest.removesuffix(".py") in ARROW else own
    if part == "adapters":
        return {"handlers", "botocore"}
    return {"handlers"}


@pytest.mark.parametrize("name", FILES)
def test_a_handler_imports_only_what_its_folder_may(name):
    for module in imported(FILES[name]):
        if module.split(".")[0] in sys.stdlib_module_names:
            continue
        assert any(module == root or module.startswith(f"{root}.") for root in allowed(name)), (
            f"{name} imports {module}"
        )


@pytest.mark.parametrize("name", [name for name in FILES if name.startswith("logic/")])
def test_logic_reads_no_environment(name):
    assert "os" not in imported(FILES[name])


@pytest.mark.parametrize("entry", ["start", "conclude", "predict", "unknown_model", "gate", "prove", "answer"])
def test_entries_without_the_arrow_layer_start_without_pyarrow(entry):
    block = "import sys; sys.modules['pyarrow'] = None; "
    ended = subprocess.run(
        [sys.executable, "-c", f"{block}from handlers import {entry}; print({entry}.handler.__name__)"],
        cwd=HANDLERS.parent,
        capture_output=True,
        text=True,
    )
    assert (ended.stdout, ended.stderr) == ("handler\n", "")


@pytest.mark.parametrize(
    "entry", ["start", "prepare", "publish", "conclude", "predict", "unknown_model", "gate", "prove", "answer"]
)
def test_importing_an_entry_reads_no_environment_and_makes_no_client(entry):
    # Without a model's variables reading them raises; without a region or credentials so does making a client.
    bare = {"PATH": "", "HOME": "/nonexistent"}
    command = [sys.executable, "-c", f"from handlers import {entry}"]
    ended = subprocess.run(command, cwd=HANDLERS.parent, env=bare, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")
