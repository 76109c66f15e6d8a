import re
from pathlib import Path

import pytest
from serving_settings import BadSetting, Settings, payload_mb


def test_an_empty_environment_gives_sagemakers_defaults():
    settings = Settings.from_environ({})
    assert settings.model_dir == Path("/opt/ml/model")
    assert (settings.host, settings.port, settings.module) == ("0.0.0.0", 8080, "inference")
    assert (settings.batch_strategy, settings.max_payload_mb) == ("MULTI_RECORD", 6)
    assert (settings.timeout_seconds, settings.default_accept) == (60, "application/json")


@pytest.mark.parametrize(
    ("environ", "threads"),
    [
        ({}, 8),
        ({"SAGEMAKER_MAX_CONCURRENT_TRANSFORMS": "2"}, 2),
        ({"SAGEMAKER_MAX_CONCURRENT_TRANSFORMS": "100"}, 8),
        ({"SAGEMAKER_MAX_CONCURRENT_TRANSFORMS": "0"}, 8),
        ({"SAGEMAKER_MODEL_SERVER_WORKERS": "20", "SAGEMAKER_MAX_CONCURRENT_TRANSFORMS": "2"}, 20),
    ],
)
def test_threads_are_what_was_asked_for_else_as_many_as_cores_and_callers_can_use(monkeypatch, environ, threads):
    monkeypatch.setattr("serving_machine.cores", lambda: 8)
    assert Settings.from_environ(environ).threads == threads


@pytest.mark.parametrize(
    "environ",
    [
        *({"SAGEMAKER_BIND_TO_PORT": port} for port in ("http", "99999", "65536", "²", "٨", "1" * 5_000, "80 ", "+80")),
        {"SAGEMAKER_BATCH_STRATEGY": "ALL"},
        {"SAGEMAKER_MAX_PAYLOAD_IN_MB": "-1"},
        {"SAGEMAKER_MODEL_SERVER_TIMEOUT": "9" * 12},
    ],
)
def test_a_value_that_makes_no_sense_is_refused_by_name(environ):
    with pytest.raises(BadSetting, match=next(iter(environ))):
        Settings.from_environ(environ)


@pytest.mark.parametrize(
    ("threads", "memory", "payload"),
    [
        (2, None, 6),
        (2, 4 * 2**30, 6),
        (32, 256 * 2**30, 3),  # Batch Transform takes 100 MB at once
        (2, 400 * 2**20, 5),
        (4, 64 * 2**20, 1),
        (200, None, 1),
    ],
)
def test_payloads_are_as_large_as_batch_transform_and_the_memory_allow(threads, memory, payload):
    assert payload_mb(threads, memory) == payload


def test_unnamed_hooks_and_switches_are_refused_by_name():
    for name in ("TURNOUT_HOOKS", "TURNOUT_FOREST_LOOP"):
        with pytest.raises(BadSetting, match=name):
            Settings.from_environ({name: "maybe"})


def test_features_are_names_in_order():
    assert Settings.from_environ({"TURNOUT_FEATURES": "b,a,c"}).features == ("b", "a", "c")
    assert Settings.from_environ({}).features == ()


def test_every_variable_that_the_server_reads_is_documented():
    root = Path(__file__).parents[3]
    read = re.findall(r'"((?:TURNOUT|SAGEMAKER)_\w+)"', (root / "model_code/server/serving_settings.py").read_text())
    page = (root / "docs/container-server.md").read_text()
    assert len(read) > 10
    assert [name for name in read if f"`{name}`" not in page] == []
