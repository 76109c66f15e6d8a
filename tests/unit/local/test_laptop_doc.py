"""docs/sagemaker-on-your-laptop.md says what to install and what to expect; its blocks are followed elsewhere."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from importlib import metadata
from pathlib import Path

import pytest
import typer
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from turnout import cli
from turnout.local.faults import TIME_SCALE
from turnout.local.sagemaker.hosting.endpoints import ROLLBACK_SECONDS

PAGE = (Path(__file__).parents[3] / "docs" / "sagemaker-on-your-laptop.md").read_text()
BLOCK = re.compile(r"^```(\w+)[^\n]*\n(.*?)^```$", re.M | re.S)
UP = typer.main.get_command(cli.app).commands["local"].commands["up"]


def blocks(language: str) -> list[str]:
    return [text for found, text in BLOCK.findall(PAGE) if found == language]


def modules() -> set[str]:
    """Return the modules that the page's programs import and its commands run with -m, without Python's own."""
    nodes = [node for text in blocks("python") for node in ast.walk(ast.parse(text))]
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    names |= {name for text in blocks("sh") for name in re.findall(r"\bpython3? -m (\w+)", text)}
    return {name.split(".")[0] for name in names} - sys.stdlib_module_names


def with_what_it_needs(name: str) -> Iterator[str]:
    """Yield a distribution and all that pip installs with it."""
    seen, waiting = set(), [canonicalize_name(name)]
    while waiting:
        if (one := waiting.pop()) in seen:
            continue
        seen.add(one)
        yield one
        needed = map(Requirement, metadata.distribution(one).requires or [])
        waiting += [canonicalize_name(each.name) for each in needed if not each.marker or each.marker.evaluate()]


@cache
def installed() -> set[str]:
    """Return the distributions that are there once every `pip install` of the page was run."""
    named = " ".join(re.findall(r"pip install ([^`\n]+)", PAGE)).split()
    return {each for name in named for each in with_what_it_needs(name.removeprefix("./"))}


@pytest.mark.parametrize("module", sorted(modules()))
def test_what_a_block_imports_or_runs_is_installed_by_the_page(module):
    made_by = {canonicalize_name(name) for name in metadata.packages_distributions()[module]}
    assert made_by & installed(), f"no pip install of the page brings {module}"


def test_commands_of_others_are_installed_by_the_page():
    assert "aws sagemaker" in PAGE
    assert "awscli" in installed()


def test_the_page_says_how_long_waits_are():
    (scale,) = [parameter.default for parameter in UP.params if parameter.name == "time_scale"]
    assert ("Waits are real by default" in PAGE) == (scale == 1)
    assert f"the {ROLLBACK_SECONDS} seconds in which a failed update rolls back" in PAGE
    assert f"`turnout local up --time-scale {TIME_SCALE:.0f}` shortens it, a minute to a second" in PAGE


def test_env_sets_nothing_away_from_the_folder_of_up(tmp_path):
    assert "`eval` sets nothing" in PAGE
    script = 'eval "$(turnout local env)"; echo "url=${AWS_ENDPOINT_URL-none}"'
    environment = {"PATH": f"{Path(sys.prefix) / 'bin'}:{os.environ['PATH']}", "HOME": str(tmp_path)}
    ran = subprocess.run(["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert ran.stdout == "url=none\n"
    assert "turnout local up" in ran.stderr
