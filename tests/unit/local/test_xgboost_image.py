"""XGBoost's image: a saved model without a script, and the matrices that scripts get."""

import json
import pickle
import struct

import numpy as np
import pytest

from tests.unit.local.prebuilt_images import ask, text

xgboost = pytest.importorskip("xgboost")

ROWS = np.array([[1.0, 2.0], [3.0, 4.0], [0.0, 1.0], [5.0, 0.0]])


@pytest.fixture(scope="module")
def booster():
    return xgboost.train({"objective": "reg:squarederror"}, xgboost.DMatrix(ROWS, ROWS.sum(axis=1)), 3)


@pytest.fixture(scope="module")
def expected(booster) -> list[float]:
    return booster.predict(xgboost.DMatrix(ROWS[:2])).tolist()


@pytest.fixture
def saved(booster, tmp_path) -> bytes:
    booster.save_model(tmp_path / "saved.json")
    return (tmp_path / "saved.json").read_bytes()


def numbers(answer, separator: str = ",") -> list[float]:
    return [float(number) for number in text(answer).strip().split(separator)]


def record(values: list[float]) -> bytes:
    """Return one RecordIO record of a dense float32 tensor, as Amazon's protobuf has it."""

    def field(number: int, content: bytes) -> bytes:
        return bytes([number << 3 | 2, len(content)]) + content

    tensor = field(1, struct.pack(f"<{len(values)}f", *values))
    message = field(1, field(1, b"values") + field(2, field(2, tensor)))
    return struct.pack("<II", 0xCED7230A, len(message)) + message + bytes(-len(message) % 4)


BODIES = [
    ("text/csv", b"1,2\n3,4\n"),
    ("text/csv; label_size=1", b"1,2\n3,4"),
    ("text/libsvm", b"0:1 1:2\n0:3 1:4"),
    (None, b"0 0:1 1:2\n0 0:3 1:4\n"),  # LIBSVM, with labels
    ("application/x-recordio-protobuf", record([1, 2]) + record([3, 4])),
]


def test_a_saved_model_reads_csv_libsvm_and_recordio(opened, saved, expected):
    container = opened("xgboost", files={"xgboost-model": saved})
    for content_type, body in BODIES:
        assert numbers(ask(container, body, content_type)) == pytest.approx(expected), content_type


def test_answers_are_one_line_or_json_and_one_a_line_in_a_transform_job(opened, saved, expected):
    container = opened("xgboost", files={"xgboost-model": saved})
    answer = ask(container, "1,2\n3,4", "text/csv", "application/json")
    scores = [prediction["score"] for prediction in json.loads(answer.body)["predictions"]]
    assert scores == pytest.approx(expected)
    assert ask(container, "1,2", "text/csv", "text/html").status == 406
    container.stop()
    batch = opened("xgboost", SAGEMAKER_BATCH="true")
    assert numbers(ask(batch, "1,2\n3,4", "text/csv", "application/json"), "\n") == pytest.approx(expected)


def test_what_cannot_be_read_is_415_and_what_cannot_be_scored_400(opened, booster):
    container = opened("xgboost", files={"xgboost-model": pickle.dumps(booster)})
    refused = ask(container, "{}", "application/json")
    assert (refused.status, text(refused)[:40]) == (415, "application/json is not an accepted Cont")
    assert ask(container, "a,b\nc,d", "text/csv").status == 415
    wide = ask(container, "1,2,3,4\n5,6,7,8", "text/csv")
    assert wide.status == 400
    assert "Unable to evaluate payload provided: Feature size of inference data 4" in text(wide)
    assert ask(container, "", "text/csv").status == 204


def test_bodies_above_max_content_length_are_413_and_the_limit_is_told(opened, saved):
    container = opened("xgboost", files={"xgboost-model": saved})
    assert container.execution_parameters() == {
        "MaxConcurrentTransforms": 1,
        "BatchStrategy": "MULTI_RECORD",
        "MaxPayloadInMB": 6,
    }
    assert ask(container, bytes(6_291_457), "text/csv").status == 413
    container.stop()
    raised = opened("xgboost", MAX_CONTENT_LENGTH="10485760")
    assert raised.execution_parameters()["MaxPayloadInMB"] == 10


def test_the_models_of_an_ensemble_are_averaged(opened, saved, expected):
    container = opened("xgboost", files={"one": saved, "two": saved})
    assert numbers(ask(container, "1,2\n3,4", "text/csv")) == pytest.approx(expected)


def test_a_script_gets_a_matrix_and_its_predictions_are_written(opened, saved, expected):
    script = """
    import os, xgboost
    from sagemaker_xgboost_container import encoder as xgb_encoders
    def model_fn(model_dir):
        return xgboost.Booster(model_file=os.path.join(model_dir, "xgboost-model"))
    """
    container = opened("xgboost", script, files={"xgboost-model": saved})
    answer = ask(container, b"0:1 1:2\n0:3 1:4", "text/libsvm", "application/json")
    assert json.loads(answer.body) == pytest.approx(expected)
    assert ask(container, "{}", "application/json").status == 500


def test_a_file_that_is_no_model_fails_the_container(opened):
    with pytest.raises(Exception, match="exited with code 1"):
        opened("xgboost", files={"xgboost-model": b"nothing of the kind"})
