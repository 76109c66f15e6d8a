"""Which image is which, and whose command runs instead."""

import json
import sys

import pytest

from turnout.local.sagemaker.container import ContainerFailed
from turnout.local.sagemaker.containers.images import filled_in, own_command, prebuilt

ECR = "763104351884.dkr.ecr.eu-west-1.amazonaws.com"


@pytest.fixture
def table(tmp_path, monkeypatch):
    """A function that writes the local cloud's table of images."""
    path = tmp_path / "images.json"
    monkeypatch.setenv("TURNOUT_LOCAL_IMAGES", str(path))
    return lambda entries: path.write_text(json.dumps(entries))


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.9-0", "scikit-learn"),
        ("450853457545.dkr.ecr.cn-north-1.amazonaws.com.cn/sagemaker-scikit-learn:1.2-1-cpu-py3", "scikit-learn"),
        (f"{ECR}/sagemaker-xgboost:3.2-0", "xgboost"),
        (f"{ECR}/pytorch-inference:2.6.0-cpu-py312", "pytorch"),
        (f"{ECR}/pytorch-inference-arm64:2.6.0-cpu-py312-ubuntu22.04-sagemaker", "pytorch"),
        (f"{ECR}/huggingface-pytorch-inference:2.6.0-transformers5.5.3-cpu-py312-ubuntu22.04", "huggingface"),
        (f"{ECR}/huggingface-pytorch-inference@sha256:0123", "huggingface"),
        (f"{ECR}/pytorch-training:2.6.0-cpu-py312", None),
        (f"{ECR}/mine/pytorch-inference:1", None),
        ("sagemaker-scikit-learn:1", None),
        ("example.com/any:1", None),
        ("", None),
    ],
)
def test_an_image_is_known_by_its_repository_in_any_account_and_region(image, expected):
    assert prebuilt(image, {}) == expected
    assert own_command(image, {}) is None


def test_a_models_own_command_comes_before_everything(table):
    table({"*": "from the table"})
    environment = {"TURNOUT_LOCAL_COMMAND": "python '{model_dir}/my server.py' --port={port}"}
    assert prebuilt(f"{ECR}/pytorch-inference:2", environment) is None
    command = own_command(f"{ECR}/pytorch-inference:2", environment)
    assert filled_in(command, "/work/model", 8081) == ["python", "/work/model/my server.py", "--port=8081"]


def test_the_table_is_read_from_top_to_bottom(table):
    table({"*/mine:2*": ["{python}", "two.py"], "*/mine:*": "serve --port {port}"})
    assert filled_in(own_command(f"{ECR}/mine:2.1", {}), "/m", 1) == [sys.executable, "two.py"]
    assert own_command(f"{ECR}/mine:1", {}) == ["serve", "--port", "{port}"]
    assert own_command(f"{ECR}/other:1", {}) is None


def test_the_table_can_say_that_an_image_is_a_copy_of_one_of_aws(table):
    table({"registry.example.com/ml/sklearn-mirror:*": "scikit-learn"})
    assert prebuilt("registry.example.com/ml/sklearn-mirror:1.9", {}) == "scikit-learn"
    assert own_command("registry.example.com/ml/sklearn-mirror:1.9", {}) is None


def test_a_table_that_is_no_json_is_named(table, tmp_path):
    (tmp_path / "images.json").write_text("{")
    with pytest.raises(ContainerFailed, match=r"images\.json is no JSON"):
        prebuilt("any", {})


def test_without_a_table_there_are_no_commands(monkeypatch, tmp_path):
    monkeypatch.setenv("TURNOUT_LOCAL_IMAGES", str(tmp_path / "absent.json"))
    assert own_command("any", {}) is None
