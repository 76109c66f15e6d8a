from pathlib import Path

import pytest
from serving_settings import BadSetting, Settings


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
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    assert Settings.from_environ(environ).threads == threads


@pytest.mark.parametrize(
    "environ",
    [{"SAGEMAKER_BIND_TO_PORT": "http"}, {"SAGEMAKER_BATCH_STRATEGY": "ALL"}, {"SAGEMAKER_MAX_PAYLOAD_IN_MB": "-1"}],
)
def test_a_value_that_makes_no_sense_is_refused_by_name(environ):
    with pytest.raises(BadSetting, match=next(iter(environ))):
        Settings.from_environ(environ)
