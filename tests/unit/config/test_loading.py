"""What a readable models.yaml becomes."""

import time
from datetime import timedelta
from pathlib import Path

import pytest

from handlers.contract.modes import ServingMode
from turnout.config import artifact_problems, load
from turnout.config.specs import FeatureSpec, ModelSpec

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
MINIMAL = (HERE / "valid/minimal.yaml").read_text()


def test_three_lines_are_enough_beside_a_schema_file(read, workspace):
    churn = read(MINIMAL).models["churn"]
    assert churn.name == "churn"
    assert churn.mode is ServingMode.BATCH
    assert churn.schedule.cron == "0 6 * * ? *"
    assert churn.schedule.timezone == "UTC"
    assert (churn.key.column, churn.key.type) == ("customer_id", "string")
    assert list(churn.features) == ["recency", "frequency"]
    assert churn.output.prediction == "churn_probability"
    assert churn.code == workspace / "model_code/churn"
    assert churn.transform.instance_type == "ml.m5.large"


def test_every_short_form_means_its_long_form(read):
    models = read((HERE / "valid/short_forms.yaml").read_text()).models
    assert models["churn"].schedule.on_new_data
    assert models["churn"].features == {"recency": FeatureSpec(), "frequency": FeatureSpec()}
    typed = models["typed"]
    assert typed.schedule.at == "2030-01-01T00:00:00"
    assert [feature.type for feature in typed.features.values()] == ["float", "integer", "string", "float"]
    assert typed.features["c"].values == ["no", "yes"]
    assert typed.features["d"].max == 1.5
    assert models["third"].schedule.rate == "6 hours"
    assert models["third"].key.column == "0042"
    assert models["third"].code is None


def test_every_setting_can_be_written(read):
    config = read((HERE / "valid/everything.yaml").read_text())
    spec = config.models["churn"]
    assert set(ModelSpec.model_fields) - spec.model_fields_set == {"artifact", "image", "samples"}
    assert spec.transform.invocation_timeout == timedelta(minutes=15)
    assert spec.async_.expiry == timedelta(hours=2)
    assert spec.refresh.when_older_than == timedelta(hours=30)
    assert spec.environment["MAX_CONTENT_LENGTH"] == "20971520"
    assert config.models["third"].image.endswith("third:2026-11-23")
    assert config.platform.alarm_email == "oncall@example.com"


def test_models_yaml_wins_over_the_schema_file(read):
    spec = read(
        """
models:
  churn:
    mode: batch
    schedule: rate(1 day)
    key: id
    features: [spend]
    output: {prediction: risk}
"""
    ).models["churn"]
    assert (spec.key.column, list(spec.features), spec.output.prediction) == ("id", ["spend"], "risk")


def test_one_model_may_use_the_code_of_another(read):
    text = "models:\n  weekly: {mode: batch, schedule: rate(7 days), code: model_code/churn, max_staleness: 8d}\n"
    assert read(text).models["weekly"].key.column == "customer_id"


def test_paths_start_at_the_nearest_folder_upwards_that_holds_model_code(workspace):
    elsewhere = workspace / "some/where"
    elsewhere.mkdir(parents=True)
    (elsewhere / "models.yaml").write_text(MINIMAL)
    assert load(elsewhere / "models.yaml").models["churn"].code == workspace / "model_code/churn"


def test_the_root_can_be_given(workspace, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "models.yaml"
    elsewhere.write_text(MINIMAL)
    assert load(elsewhere, root=workspace).models["churn"].key.column == "customer_id"


def test_a_file_that_is_not_there_is_a_problem_with_a_remedy(workspace, refused):
    with pytest.raises(Exception, match=r"models\.yaml:1: cannot be read: No such file"):
        load(workspace / "models.yaml")


def test_text_that_is_not_utf8_names_its_line(workspace):
    (workspace / "models.yaml").write_bytes(b"models:\n  caf\xe9: {}\n")
    with pytest.raises(Exception, match=r"models\.yaml:2: is not UTF-8"):
        load(workspace / "models.yaml")


def test_problems_of_all_models_are_gathered_at_once(refused):
    error = refused(
        """
models:
  churn: {mode: batch, schedule: rate(1 days), transform: {max_payload: 5, instance_type: ml.c5.large}}
  typed: {mode: nonsense, tags: {aws:x: y}}
"""
    )
    assert {(problem.model, problem.key) for problem in error.problems} == {
        ("churn", "schedule.rate"),
        ("churn", "transform.max_payload"),
        ("churn", "transform.instance_type"),
        ("typed", "mode"),
        ("typed", "tags.aws:x"),
    }


def test_a_missing_artifact_is_no_load_error_but_is_known(read, workspace):
    config = read("models:\n  bare: {mode: batch, schedule: rate(1 day), key: id, features: [a]}\n")
    (problem,) = artifact_problems(config)
    assert str(problem) == (
        "models.yaml:2: model 'bare': model_code/bare/artifact is missing or empty.\n"
        "    Run `python model_code/bare/train.py`."
    )
    (workspace / "model_code/bare/artifact").mkdir()
    assert artifact_problems(config)
    (workspace / "model_code/bare/artifact/model.joblib").write_bytes(b"x")
    assert artifact_problems(config) == []


def test_missing_hooks_are_known_before_packing(read):
    reasons = [problem.reason for problem in artifact_problems(read(MINIMAL))]
    assert reasons == ["model_code/churn/inference.py is missing", "model_code/churn/artifact is missing or empty"]


def test_a_tarball_in_s3_needs_no_code_folder(read):
    config = read((HERE / "valid/short_forms.yaml").read_text())
    assert "third" not in {problem.model for problem in artifact_problems(config)}


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("max_staleness: 12h", "max_staleness"),
        ("schedule: rate(5 minutes)", "schedule"),
    ],
)
def test_what_is_legal_but_unwise_is_a_warning(read, line, key):
    schedule = "" if line.startswith("schedule") else "    schedule: rate(1 day)\n"
    (warning,) = read(f"models:\n  churn:\n    mode: batch\n{schedule}    {line}\n").warnings
    assert (warning.severity, warning.key) == ("warning", key)
    assert "warning: " in str(warning)


def test_the_repositorys_own_configuration_loads():
    config = load(ROOT / "models.yaml")
    assert config.models["churn"].mode is ServingMode.BATCH
    assert config.warnings == ()


def test_fifty_models_load_in_half_a_second(workspace):
    entries = [f"  m{i}: {{mode: precompute, schedule: rate(1 day), code: model_code/churn}}\n" for i in range(50)]
    (workspace / "models.yaml").write_text("models:\n" + "".join(entries))
    seconds = []
    for _ in range(3):
        begin = time.perf_counter()
        assert len(load(workspace / "models.yaml").models) == 50
        seconds.append(time.perf_counter() - begin)
    assert min(seconds) < 0.5


IN_S3 = """
models:
  churn:
    mode: realtime
    key: id
    features: [spend]
    artifact: s3://models-of-mine/churn/model.tar.gz
"""


def test_a_model_whose_endpoint_nobody_could_ask_is_a_warning(read, workspace):
    (warning,) = read(IN_S3).warnings
    assert (warning.severity, "no sample payloads" in warning.reason) == ("warning", True)
    assert "under `samples`" in warning.remedy
    assert read(IN_S3.replace("mode: realtime", "mode: batch\n    schedule: rate(1 day)")).warnings == ()
    (workspace / "checks.json").write_text("{}")
    config = read(IN_S3 + "    samples: checks.json\n")
    assert (config.warnings, config.models["churn"].samples) == ((), workspace / "checks.json")


def test_samples_that_are_not_there_are_refused(refused):
    (problem,) = [each for each in refused(IN_S3 + "    samples: checks.json\n").problems if each.key == "samples"]
    assert "there is no file 'checks.json'" in problem.reason


def test_training_that_kept_no_samples_is_told_so(read, workspace):
    text = IN_S3.replace("    artifact: s3://models-of-mine/churn/model.tar.gz\n", "")
    artifact = workspace / "model_code/churn/artifact"
    artifact.mkdir(exist_ok=True)
    assert read(text).warnings == (), "what is not trained yet is refused at synth"
    (artifact / "model.joblib").write_text("x")
    (warning,) = read(text).warnings
    assert "artifact/sample_payloads.json" in warning.remedy
    (artifact / "sample_payloads.json").write_text("{}")
    assert read(text).warnings == ()
