"""The Lambda asset holds `handlers/` and nothing else."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from infra.constructs import handler_code
from infra.constructs.handler_code import HANDLERS, python_of, stage_handlers
from infra.constructs.staging import Staging
from tests.synth.conftest import Served, Synth, Template, entry


def test_it_holds_every_handler_module_and_nothing_else(tmp_path: Path):
    staged = tmp_path / stage_handlers(Staging(tmp_path)).path
    sources = {name for name in names_of(staged) if not name.endswith(".pyc")}
    assert sources == {f"handlers/{path.relative_to(HANDLERS).as_posix()}" for path in HANDLERS.rglob("*.py")}
    assert [path.name for path in staged.iterdir()] == ["handlers"]


def test_it_has_the_same_digest_wherever_it_is_staged(tmp_path: Path):
    assert stage_handlers(Staging(tmp_path / "a")).digest == stage_handlers(Staging(tmp_path / "b")).digest


def test_other_code_has_another_digest(tmp_path: Path):
    source = tmp_path / "handlers"
    source.mkdir()
    (source / "start.py").write_text("one")
    before = stage_handlers(Staging(tmp_path / "out"), source)
    (source / "start.py").write_text("two")
    assert stage_handlers(Staging(tmp_path / "out"), source).digest != before.digest


def test_two_synths_at_once_do_not_disturb_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    staging = Staging(tmp_path)
    first = stage_handlers(staging)
    monkeypatch.setattr(Path, "exists", lambda self: False)  # the other synth finished in between
    assert stage_handlers(staging) == first
    assert [path.name for path in (tmp_path / "staging").iterdir()] == [first.digest[:32]]


def test_every_function_of_every_stack_runs_it(synth: Synth, served: Served, platform: Template):
    (digest,) = {
        name
        for part in ("churn", "platform")
        for name, file in synth(entry()).assets(part).items()
        if file["source"]["packaging"] == "zip"
    }
    for template in (served("hybrid"), platform):
        for function in template.properties("AWS::Lambda::Function"):
            assert function["Code"]["S3Key"] == f"{digest}.zip"


def test_every_function_names_a_handler_that_exists(precompute: Template, platform: Template):
    import importlib

    for template in (precompute, platform):
        for function in template.properties("AWS::Lambda::Function"):
            module, name = function["Handler"].rsplit(".", 1)
            assert callable(getattr(importlib.import_module(module), name))


OWN = f"python{sys.version_info.major}.{sys.version_info.minor}"


def names_of(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


class TestBytecode:
    """Functions cannot keep what they compile, so the asset brings it where the runtime's Python is at hand."""

    @pytest.fixture
    def staged(self, tmp_path: Path) -> Path:
        return tmp_path / stage_handlers(Staging(tmp_path), runtime=OWN).path

    def test_every_module_has_some(self, staged: Path):
        compiled = {name for name in names_of(staged) if name.endswith(f"{sys.implementation.cache_tag}.pyc")}
        assert len(compiled) == len(list(HANDLERS.rglob("*.py")))

    def test_it_is_what_runs_though_zipping_changed_every_date(self, staged: Path, tmp_path: Path):
        task = tmp_path / "task"
        shutil.copytree(staged, task)
        for path in task.rglob("*.py"):
            path.write_text("raise RuntimeError('compiled again')\n")
            os.utime(path, (315_532_800, 315_532_800))
        command = [sys.executable, "-B", "-c", "from handlers import predict; print(predict.__file__)"]
        ended = subprocess.run(command, cwd=task, capture_output=True, text=True, check=True)
        assert ended.stdout.strip() == str(task / "handlers/predict.py")

    def test_without_that_python_the_asset_is_the_source(self, tmp_path: Path):
        staged = tmp_path / stage_handlers(Staging(tmp_path), runtime="python3.99").path
        assert not [name for name in names_of(staged) if name.endswith(".pyc")]

    def test_a_command_that_does_not_run_is_no_python(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        shim = tmp_path / "python3.98"
        shim.write_text("#!/bin/sh\nexit 127\n")
        shim.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
        assert python_of("python3.98") is None

    def test_assets_with_and_without_are_told_apart_and_the_same_one_is_compiled_once(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        source = tmp_path / "handlers"
        source.mkdir()
        (source / "start.py").write_text("one = 1\n")
        staging = Staging(tmp_path / "out")
        plain, first = (stage_handlers(staging, source, runtime).digest for runtime in ("python3.99", OWN))
        monkeypatch.setattr(handler_code, "compiled", lambda *args: pytest.fail("compiled again"))
        assert stage_handlers(staging, source, OWN).digest == first != plain
