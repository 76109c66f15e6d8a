"""What control does without a cloud."""

from pathlib import Path

import pytest
import yaml

from turnout.local.control import (
    ACCOUNT,
    REGION,
    LocalCloud,
    LocalCloudError,
    _belongs,
    api_url,
    environ,
    status,
    up,
)


@pytest.fixture
def cloud(tmp_path):
    return LocalCloud(tmp_path, 1, 4000, "http://127.0.0.1:4000", "2026-11-23T00:00:00Z")


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ("abc123", ""),
        ("https://abc123.execute-api.us-east-1.amazonaws.com", ""),
        ("https://abc123.execute-api.us-east-1.amazonaws.com/", "/"),
        ("https://abc123.execute-api.us-east-1.amazonaws.com/models/a%2Fb%25?x=%20", "/models/a%2Fb%25?x=%20"),
    ],
)
def test_addresses_are_translated_and_paths_kept(cloud, given, path):
    assert api_url(cloud, given) == f"http://127.0.0.1:4000/_aws/execute-api/abc123/$default{path}"


def test_the_environment_needs_nothing_from_home(cloud):
    variables = environ(cloud)
    assert variables["AWS_ENDPOINT_URL"] == cloud.endpoint
    assert variables["AWS_ACCESS_KEY_ID"] == "000000000000"
    assert variables["LOCALSTACK_HOST"] == "127.0.0.1:4000"
    assert variables["AWS_CONFIG_FILE"] == variables["AWS_SHARED_CREDENTIALS_FILE"] == "/dev/null"


def test_the_sagemaker_sdk_sends_nothing_home_and_asks_nobody_for_its_bucket(cloud):
    settings = yaml.safe_load(Path(environ(cloud)["SAGEMAKER_USER_CONFIG_OVERRIDE"]).read_text())
    modules = settings["SageMaker"]["PythonSDK"]["Modules"]
    assert modules == {"Session": {"DefaultS3Bucket": f"sagemaker-{REGION}-{ACCOUNT}"}, "TelemetryOptOut": True}


def test_a_record_of_another_process_is_no_running_cloud(tmp_path):
    record = '{"pid": 1, "port": 4000, "endpoint": "http://127.0.0.1:4000", "started_at": "x"}'
    (tmp_path / "local.json").write_text(record)
    assert status(tmp_path) is None


def test_only_processes_of_the_same_state_dir_are_touched(tmp_path):
    assert _belongs(f"python -m turnout.local.server --state-dir {tmp_path} --port 0", tmp_path)
    assert _belongs(f"python {tmp_path}/tmp/ministack-lambda-x/_worker.py", tmp_path)
    assert not _belongs(f"python -m turnout.local.server --state-dir {tmp_path}-other --port 0", tmp_path)
    assert not _belongs(f"vim {tmp_path}/notes", tmp_path)


def test_a_start_that_fails_says_which_log_to_read(tmp_path, monkeypatch):
    monkeypatch.setattr("turnout.local.control.sys.executable", "/bin/false")
    with pytest.raises(LocalCloudError, match=r"ended while starting.*local\.log"):
        up(tmp_path)
