"""Every private name of ministack that the local cloud leans on."""

import importlib.metadata
import re
from pathlib import Path

import pytest

from turnout.local import emulator


def test_the_installed_version_has_every_hook():
    emulator.check_hooks()


def test_the_tested_version_is_the_pinned_one():
    assert importlib.metadata.version("ministack") == emulator.TESTED_VERSION
    pins = (Path(__file__).parents[3] / "requirements" / "run.txt").read_text()
    assert f"ministack=={emulator.TESTED_VERSION}\n" in pins


def test_a_missing_hook_is_named_with_the_version_to_install():
    with pytest.raises(emulator.MissingHook, match=r"ministack\.app\.gone, .*Worker\.gone.*==1\.5\.33"):
        emulator.check_hooks({"ministack.app": ["app", "gone"], "ministack.core.lambda_runtime": ["Worker.gone"]})


def test_only_the_emulator_module_and_the_server_know_ministack():
    folder = Path(emulator.__file__).parent
    knowing = {
        str(path.relative_to(folder))
        for path in folder.rglob("*.py")
        if re.search(r"^\s*(from|import) ministack", path.read_text(), re.M)
    }
    assert knowing <= {"emulator.py"}


def test_names_read_from_ministack_are_all_checked():
    text = Path(emulator.__file__).read_text()
    listed = {name.split(".")[0] for names in emulator.HOOKS.values() for name in names}
    read = set(
        re.findall(
            r"(?:app|runtime|service|cloudwatch|sfn|provisioners|actions|dynamodb|s3|eventbridge)\.(_[a-zA-Z0-9_]+)",
            text,
        )
    )
    read |= set(re.findall(r'_module\("[a-z_.]+"\)\.([a-zA-Z_]+)', text))
    assert read - listed - {"_data"} == set()


def test_what_is_ignored_is_said_in_sentences():
    assert all(len(sentence) > 20 for sentence in emulator.ignored_here())
