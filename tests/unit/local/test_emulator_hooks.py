"""Every private name of ministack that the local cloud leans on."""

import ast
import importlib
import importlib.metadata
import re
from pathlib import Path
from types import FunctionType, SimpleNamespace

import pytest

from turnout.local import emulator
from turnout.local.faults import Faults


def test_the_installed_version_has_every_hook():
    emulator.check_hooks()


def test_the_tested_version_is_the_pinned_one():
    assert importlib.metadata.version("ministack") == emulator.TESTED_VERSION
    pins = (Path(__file__).parents[3] / "requirements" / "run.txt").read_text()
    assert f"ministack=={emulator.TESTED_VERSION}\n" in pins


def test_a_missing_hook_is_named_with_the_version_to_install():
    with pytest.raises(emulator.MissingHook, match=r"ministack\.app\.gone is missing; .*Worker\.gone.*==1\.5\.33"):
        emulator.check_hooks({"ministack.app": ["app", "gone"], "ministack.core.lambda_runtime": ["Worker.gone"]})


def test_a_hook_that_takes_other_parameters_is_named_with_both():
    with pytest.raises(emulator.MissingHook, match=r"parse_arn takes \(value\), not \(arn, strict\)"):
        emulator.check_hooks({"ministack.core.arn": ["parse_arn(arn, strict)"]})


def test_every_function_among_the_hooks_states_its_parameters():
    for module, hooks in emulator.HOOKS.items():
        for hook in hooks:
            target = importlib.import_module(module)
            for part in hook.partition("(")[0].split("."):
                target = getattr(target, part)
            assert "(" in hook or not isinstance(target, FunctionType), f"{module}.{hook}"


def test_only_the_emulator_module_and_the_server_know_ministack():
    folder = Path(emulator.__file__).parent
    knowing = {
        str(path.relative_to(folder))
        for path in folder.rglob("*.py")
        if re.search(r"^\s*(from|import) ministack", path.read_text(), re.M)
    }
    assert knowing <= {"emulator.py"}


def test_names_read_from_ministack_are_all_checked():
    listed = {
        (module, hook.partition("(")[0].split(".")[0]) for module, hooks in emulator.HOOKS.items() for hook in hooks
    }
    read = set(names_read())
    assert ("ministack.services.lambda_svc", "_esms") in read
    assert read - listed == set()


def names_read():
    """Yield module and name of every attribute of a module of ministack that `emulator.py` reads or sets."""
    tree = ast.parse(Path(emulator.__file__).read_text())
    held = dict(variables(tree))
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute):
            continue
        modules = modules_of(node.value) or held.get(getattr(node.value, "id", None), [])
        for module in modules:
            if hasattr(importlib.import_module(module), node.attr) or len(modules) == 1:
                yield module, node.attr


def variables(tree):
    """Yield the names of variables that hold modules of ministack; the file uses one name for one module."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Assign):
            continue
        target, value = node.targets[0], node.value
        if isinstance(target, ast.Name) and modules_of(value):
            yield target.id, modules_of(value)
        elif isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
            yield from ((t.id, modules_of(v)) for t, v in zip(target.elts, value.elts, strict=True) if modules_of(v))
        elif isinstance(target, ast.Tuple) and isinstance(value, ast.GeneratorExp) and modules_of(value.elt):
            names = [element.value for element in value.generators[0].iter.elts]
            (prefix,) = modules_of(value.elt)
            yield from ((t.id, [f"{prefix}{name}"]) for t, name in zip(target.elts, names, strict=True))


def modules_of(node):
    """Return the module that `_module(...)` gives, or the beginning of its name."""
    if not (isinstance(node, ast.Call) and getattr(node.func, "id", "") == "_module"):
        return []
    argument = node.args[0]
    return [f"ministack.{argument.value if isinstance(argument, ast.Constant) else argument.values[0].value}"]


def test_what_is_ignored_is_said_in_sentences():
    assert all(len(sentence) > 20 for sentence in emulator.ignored_here())
    assert {sentence.partition(": ")[0] for sentence in emulator.ignored_here()} == set(emulator.AREAS)


def test_an_alarm_that_breaks_stops_no_other(caplog):
    cloudwatch = importlib.import_module("ministack.services.cloudwatch")
    scaler = SimpleNamespace(tick=lambda: None)
    alarm = {
        "MetricName": "M",
        "Namespace": "N",
        "ComparisonOperator": "GreaterThanThreshold",
        "Threshold": 1.0,
        "Period": 60,
        "EvaluationPeriods": 1,
        "TreatMissingData": "notBreaching",
        "StateValue": "INSUFFICIENT_DATA",
    }
    with importlib.import_module("ministack.core.responses").request_scope("444455556666", "eu-west-1"):
        cloudwatch._alarms["broken"] = {**alarm, "AlarmName": "broken", "EvaluationPeriods": "many"}
        cloudwatch._alarms["well"] = {**alarm, "AlarmName": "well"}
        emulator.Alarms(scaler, Faults())._tick(all_alarms=True)
        states = {name: cloudwatch._alarms[name]["StateValue"] for name in ("broken", "well")}
        del cloudwatch._alarms["broken"], cloudwatch._alarms["well"]
    assert states == {"broken": "INSUFFICIENT_DATA", "well": "OK"}
    assert "alarm broken" in caplog.text
