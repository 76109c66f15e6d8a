import json
import subprocess
import sys
from pathlib import Path

import joblib
import numpy as np
import pytest
import train
from features import CHECK_CUTOFF, TRAIN_CUTOFF, churned_after, features_at
from sklearn.metrics import roc_auc_score


@pytest.fixture(scope="module")
def metrics(trained) -> dict:
    return json.loads((trained / "metrics.json").read_text())


def test_the_model_beats_recency_alone_on_the_held_out_window(metrics):
    # Recency alone gives 0.818 and 0.0958; labels seen by accident would give an AUC near 1.
    assert metrics["recency_rule"]["auc"] + 0.01 < metrics["model"]["auc"] < 0.9
    assert metrics["model"]["brier"] < metrics["recency_rule"]["brier"] - 0.005
    base = metrics["check"]["base_rate"]
    assert metrics["model"]["brier"] < base * (1 - base)


def test_predicted_risk_is_what_happens(metrics):
    tenths = metrics["calibration"]
    assert sum(row["customers"] for row in tenths) == 23_570
    assert max(abs(row["predicted"] - row["observed"]) for row in tenths) < 0.06
    assert tenths[0]["observed"] < 0.5 < 0.95 < tenths[-1]["observed"]


def test_training_never_sees_the_held_out_window(transactions, trained):
    _, rows = features_at(transactions, CHECK_CUTOFF)
    without = train.fit(transactions.before(CHECK_CUTOFF))
    shipped = joblib.load(trained / "model.joblib")
    assert np.array_equal(without.predict_proba(rows), shipped.predict_proba(rows))


def test_the_threshold_would_catch_a_model_that_learnt_nothing(transactions, metrics, monkeypatch):
    def shuffled(*arguments):
        return np.random.default_rng(0).permutation(churned_after(*arguments))

    monkeypatch.setattr(train, "churned_after", shuffled)
    model = train.fit(transactions)
    customers, rows = features_at(transactions, CHECK_CUTOFF)
    auc = roc_auc_score(churned_after(transactions, customers, CHECK_CUTOFF), model.predict_proba(rows)[:, 1])
    assert auc < metrics["recency_rule"]["auc"]


def test_the_baseline_is_the_churn_rate_of_customers_with_like_recency(transactions):
    recency, churned = np.arange(100.0), np.repeat([0, 1], 50)
    rule = train.recency_rule(recency, churned, np.array([0.0, 47.0, 52.0, 500.0]))
    assert rule.tolist() == [0.0, 0.0, 1.0, 1.0]
    customers, rows = features_at(transactions, TRAIN_CUTOFF)
    on_itself = train.recency_rule(
        rows[:, train.RECENCY], churned_after(transactions, customers, TRAIN_CUTOFF), rows[:, train.RECENCY]
    )
    assert on_itself.mean() == pytest.approx(churned_after(transactions, customers, TRAIN_CUTOFF).mean())


def test_the_command_writes_the_same_bytes_again_and_prints_how_good_the_model_is(trained, tmp_path):
    script = Path(train.__file__)
    done = subprocess.run(
        [sys.executable, str(script), "--out", str(tmp_path)],
        capture_output=True, text=True, check=True, timeout=120,
        env={"OMP_NUM_THREADS": "3", "PYTHONHASHSEED": "7"},
    )  # fmt: skip
    for name in ("model.joblib", "metrics.json", "sample_payloads.json"):
        assert (tmp_path / name).read_bytes() == (trained / name).read_bytes(), name
    assert "23,570 customers, 69,659 transactions" in done.stdout
    assert "recency alone" in done.stdout
    assert "observed" in done.stdout
