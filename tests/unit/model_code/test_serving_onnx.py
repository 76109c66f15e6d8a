import json
import shutil
import subprocess
import sys
from pathlib import Path

import joblib
import numpy as np
import pytest
import serving_onnx
from export_onnx import NotExported, export
from serving_onnx import FEW_ROWS, ONNX, RECEIPT, quicken
from sklearn.datasets import make_classification
from sklearn.ensemble import (
    GradientBoostingClassifier,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

ROWS, LABELS = make_classification(600, 8, n_informative=6, n_classes=3, random_state=0)
ROWS = ROWS.astype(np.float64)
OTHERS = np.random.default_rng(1).normal(size=(300, 8)) * 2
SERVER = Path(__file__).parents[3] / "model_code/server"
SCRIPT = """
import joblib, sys
from pathlib import Path
ROW_BY_ROW = True
model_fn = lambda folder: joblib.load(Path(folder) / "model.joblib")
def predict_fn(data, model):
    return model.predict_proba(data)[:, 1] + 1000 * ("onnxruntime" in sys.modules)
"""


@pytest.fixture(scope="module")
def forest():
    return RandomForestClassifier(20, max_depth=5, random_state=0).fit(ROWS, LABELS)


@pytest.fixture(scope="module")
def exported(forest, tmp_path_factory) -> Path:
    """A folder laid out like /opt/ml/model, with a forest and its export."""
    folder = tmp_path_factory.mktemp("exported")
    (folder / "code").mkdir()
    (folder / "code/inference.py").write_text(SCRIPT)
    joblib.dump(forest, folder / "model.joblib")
    export(forest, ROWS, folder)
    return folder


@pytest.fixture
def copied(exported, tmp_path) -> Path:
    return Path(shutil.copytree(exported, tmp_path / "model"))


def loaded(folder: Path):
    return joblib.load(folder / "model.joblib")


@pytest.mark.parametrize(
    ("model", "dtype", "closer_than"),
    [
        (RandomForestClassifier(10, random_state=0), "float32", 1e-6),
        (RandomForestRegressor(10, random_state=0), "float32", 1e-6),
        (GradientBoostingClassifier(n_estimators=5), "float32", 1e-6),
        (make_pipeline(StandardScaler(), LogisticRegression()), "float64", 1e-14),
    ],
)
def test_an_export_answers_what_the_model_answers_within_its_tolerance(model, dtype, closer_than, tmp_path):
    model.fit(ROWS, LABELS)
    receipt = export(model, ROWS, tmp_path)
    name = "predict_proba" if hasattr(model, "predict_proba") else "predict"
    before = getattr(model, name)(OTHERS)
    assert quicken(model, tmp_path, row_by_row=False)
    after = getattr(model, name)(OTHERS)
    assert receipt.dtype == dtype
    assert after.shape == before.shape
    assert after.dtype == np.float64
    assert receipt.difference < closer_than
    assert np.abs(after - before).max() < closer_than
    alone = np.concatenate([getattr(model, name)(row[None]) for row in OTHERS])
    assert (alone.tobytes() == after.tobytes()) is receipt.row_by_row


def test_an_export_that_answers_a_row_alone_otherwise_is_not_used_by_a_script_that_promises_row_by_row(copied, caplog):
    receipt = json.loads((copied / RECEIPT).read_text())
    assert receipt["row_by_row"] is True
    assert quicken(loaded(copied), copied, row_by_row=True)
    (copied / RECEIPT).write_text(json.dumps(receipt | {"row_by_row": False}))
    assert not quicken(loaded(copied), copied, row_by_row=True)
    assert "other bits than among others" in caplog.text
    assert quicken(loaded(copied), copied, row_by_row=False)


def test_an_export_that_differs_by_more_than_the_tolerance_is_not_written_and_an_earlier_one_removed(copied, forest):
    with pytest.raises(NotExported, match=r"float64: predictions differ by .*; float32: predictions differ by .*1e-12"):
        export(forest, ROWS, copied, tolerance=1e-12)
    assert not (copied / ONNX).exists()
    assert not (copied / RECEIPT).exists()
    assert not quicken(loaded(copied), copied, row_by_row=False)


class Halved(RandomForestClassifier):
    def predict_proba(self, X):
        return super().predict_proba(X) / 2


def test_a_model_that_the_converter_cannot_take_is_not_exported(tmp_path):
    model = Halved(3).fit(ROWS, LABELS)
    with pytest.raises(NotExported, match="Halved"):
        export(model, ROWS, tmp_path)
    assert not list(tmp_path.iterdir())


def test_forests_are_compared_at_their_own_thresholds(forest, tmp_path):
    # In float64 the export splits elsewhere than scikit-learn, which casts rows to float32: only there does it show.
    assert export(forest, ROWS[:20], tmp_path).rows == 20 + 200
    assert json.loads((tmp_path / RECEIPT).read_text())["dtype"] == "float32"


def test_large_batches_and_whatever_is_unusual_go_to_the_model_itself(copied):
    model = loaded(copied)
    plain = loaded(copied)
    assert quicken(model, copied, row_by_row=False)
    many = np.resize(OTHERS, (FEW_ROWS + 1, 8))
    assert model.predict_proba(many).tobytes() == plain.predict_proba(many).tobytes()
    assert model.predict_proba(many[:FEW_ROWS]).tobytes() != plain.predict_proba(many[:FEW_ROWS]).tobytes()
    with pytest.raises(ValueError, match="expecting 8 features"):
        model.predict_proba(OTHERS[:, :3])
    with pytest.raises(ValueError, match="infinity"):
        model.predict_proba(np.full((1, 8), np.inf))
    assert model.predict_proba(OTHERS[:2].tolist()).shape == (2, 3)


def test_an_export_of_another_model_is_not_used(copied, caplog):
    other = RandomForestClassifier(20, max_depth=5, random_state=1).fit(ROWS, LABELS)
    assert not quicken(other, copied, row_by_row=False)
    assert "predict_proba" not in vars(other)
    assert "model.onnx is not used: predictions differ from the model's by" in caplog.text


def test_a_damaged_export_is_not_used(copied, caplog):
    (copied / ONNX).write_bytes(b"no model")
    assert not quicken(loaded(copied), copied, row_by_row=False)
    assert "onnxruntime cannot load it" in caplog.text


def test_without_onnxruntime_the_model_answers_by_itself(copied, caplog, monkeypatch):
    monkeypatch.setattr(serving_onnx.importlib.util, "find_spec", lambda name: None)
    assert not quicken(loaded(copied), copied, row_by_row=False)
    assert "it belongs into the image" in caplog.text


@pytest.mark.parametrize(("removed", "environ"), [((ONNX,), {}), ((RECEIPT,), {}), ((), {"TURNOUT_ONNX": "off"})])
def test_onnxruntime_is_not_even_imported_unless_opted_in(copied, start, removed, environ):
    for name in removed:
        (copied / name).unlink()
    container = start(model_dir=copied, TURNOUT_HOOKS="columnar", **environ).ready()
    answer = container.post(json.dumps(OTHERS[:1].tolist()), Content_Type="application/json", Accept="text/csv")
    assert float(answer.text) == loaded(copied).predict_proba(OTHERS[:1])[0, 1]
    assert serving_onnx.ONNX not in container.log


def test_the_container_answers_single_rows_with_the_export(copied, start):
    container = start(model_dir=copied, TURNOUT_HOOKS="columnar").ready()
    answer = container.post(json.dumps(OTHERS[:1].tolist()), Content_Type="application/json", Accept="text/csv")
    assert abs(float(answer.text) - 1000 - loaded(copied).predict_proba(OTHERS[:1])[0, 1]) < 1e-6
    assert "predict_proba of up to 1024 rows asks model.onnx" in container.log


@pytest.mark.parametrize(
    ("environ", "answering"),
    [
        ({}, "serving_onnx"),
        ({"TURNOUT_ONNX": "off"}, "serving_forest"),
        ({"TURNOUT_ONNX": "off", "TURNOUT_FOREST_LOOP": "off"}, "sklearn.ensemble._forest"),
    ],
)
@pytest.mark.parametrize(
    "own", ["", "model_warmup_fn = lambda folder, model: predict_fn(ROW, model)\n"], ids=["guessed", "own"]
)
def test_the_container_warms_up_what_will_answer(copied, start, environ, answering, own):
    script = SCRIPT.replace("    return", "    print('asked', model.predict_proba.__module__)\n    return")
    (copied / "code/inference.py").write_text(f"{script}import numpy as np\nROW = np.zeros((1, 8))\n{own}")
    log = start(model_dir=copied, TURNOUT_HOOKS="columnar", **environ).ready().log
    assert log.index(f"asked {answering}") < log.index("ready:")
    assert log.count("asked") == 1


def test_the_command_exports_a_code_folder_and_says_how_far_it_differs(exported, tmp_path):
    (tmp_path / "artifact").mkdir()
    shutil.copy(exported / "model.joblib", tmp_path / "artifact")
    shutil.copy(exported / "code/inference.py", tmp_path)
    np.save(tmp_path / "rows.npy", ROWS)
    command = [sys.executable, SERVER / "export_onnx.py", tmp_path, tmp_path / "rows.npy"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "float32, predictions within" in done.stdout
    assert (tmp_path / "artifact" / ONNX).stat().st_size > 1000
    refused = subprocess.run([*command, "--tolerance", "0"], capture_output=True, text=True)
    assert refused.returncode == 1
    assert refused.stderr.startswith("Not exported, the model serves as it is: float64: predictions differ by")
    assert not (tmp_path / "artifact" / ONNX).exists()
