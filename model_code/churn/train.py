"""Train the churn model on one period, check it on a later one, and write what the container needs.

    python model_code/churn/train.py [--out DIR]

The same data give the same bytes, run after run.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from dataset import BEGIN, CUSTOMERS, END, TRANSACTIONS, Transactions, load
from features import CHECK_CUTOFF, HORIZON_DAYS, SCORING_CUTOFF, TRAIN_CUTOFF, churned_after, features_at
from inference import FEATURES, predict_fn
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import brier_score_loss, roc_auc_score
from threadpoolctl import threadpool_limits

RECENCY = FEATURES.index("recency_days")
SAMPLE_ROWS = 20


def fit(transactions: Transactions) -> HistGradientBoostingClassifier:
    """Return the classifier, trained on features before TRAIN_CUTOFF and labels before CHECK_CUTOFF."""
    customers, rows = features_at(transactions, TRAIN_CUTOFF)
    # Longer silence must never lower the risk, and buying more often must never raise it.
    sign = {"recency_days": 1, "purchase_days": -1, "purchase_days_91d": -1}
    model = HistGradientBoostingClassifier(
        learning_rate=0.08,
        max_iter=80,
        max_leaf_nodes=6,
        min_samples_leaf=100,
        l2_regularization=1.0,
        monotonic_cst=[sign.get(name, 0) for name in FEATURES],
        early_stopping=False,
        random_state=0,
    )
    # The model remembers how many threads it was trained with; one, so that every machine writes the same bytes.
    with threadpool_limits(1):
        return model.fit(rows, churned_after(transactions, customers, TRAIN_CUTOFF))


def check(model: HistGradientBoostingClassifier, transactions: Transactions) -> dict[str, Any]:
    """Return how the model and a rule that knows only recency do on the held-out window."""
    train_customers, train_rows = features_at(transactions, TRAIN_CUTOFF)
    train_churned = churned_after(transactions, train_customers, TRAIN_CUTOFF)
    customers, rows = features_at(transactions, CHECK_CUTOFF)
    churned = churned_after(transactions, customers, CHECK_CUTOFF)
    probability = predict_fn(rows, model)
    rule = recency_rule(train_rows[:, RECENCY], train_churned, rows[:, RECENCY])
    return {
        "train": {"cutoff": str(TRAIN_CUTOFF), "customers": len(train_rows), "base_rate": float(train_churned.mean())},
        "check": {"cutoff": str(CHECK_CUTOFF), "customers": len(rows), "base_rate": float(churned.mean())},
        "model": scores(churned, probability),
        "recency_rule": scores(churned, rule),
        "calibration": calibration(churned, probability),
    }


def recency_rule(train_recency: np.ndarray, train_churned: np.ndarray, recency: np.ndarray) -> np.ndarray:
    """Return the baseline: the training window's churn rate among the tenth of customers with similar recency."""
    edges = np.quantile(train_recency, np.linspace(0, 1, 11)[1:-1])
    bins = np.digitize(train_recency, edges)
    rates = np.array([train_churned[bins == index].mean() for index in range(10)])
    return rates[np.digitize(recency, edges)]


def scores(churned: np.ndarray, probability: np.ndarray) -> dict[str, float]:
    """Return ranking quality (AUC, 0.5 is chance) and mean squared error (Brier, 0 is best)."""
    return {
        "auc": float(roc_auc_score(churned, probability)),
        "brier": float(brier_score_loss(churned, probability)),
    }


def calibration(churned: np.ndarray, probability: np.ndarray) -> list[dict[str, float]]:
    """Return, for tenths of the customers by predicted risk, what was predicted and what happened."""
    tenths = np.array_split(np.argsort(probability, kind="stable"), 10)
    return [
        {
            "customers": len(tenth),
            "predicted": float(probability[tenth].mean()),
            "observed": float(churned[tenth].mean()),
        }
        for tenth in tenths
    ]


def sample_payloads(model: HistGradientBoostingClassifier, transactions: Transactions) -> dict[str, Any]:
    """Return a few customers at the scoring cut-off with the predictions that a container must give for them."""
    customers, rows = features_at(transactions, SCORING_CUTOFF)
    picked = np.linspace(0, len(rows) - 1, SAMPLE_ROWS).astype(int)
    return {
        "features": list(FEATURES),
        "rows": [
            {
                "customer_id": str(customers[index]),
                "features": dict(zip(FEATURES, rows[index].tolist(), strict=True)),
                "churn_probability": predict_fn(rows[index : index + 1], model).item(),
            }
            for index in picked
        ],
    }


def report(metrics: dict[str, Any]) -> str:
    """Return the metrics as the lines that a person reads."""
    train, held_out = metrics["train"], metrics["check"]
    lines = [
        f"CDNOW: {CUSTOMERS:,} customers, {TRANSACTIONS:,} transactions, {BEGIN} to {END - 1}",
        f"Churn: no purchase in the {HORIZON_DAYS} days from the cut-off on",
        f"Trained at {train['cutoff']}: {train['base_rate']:.1%} of {train['customers']:,} churned",
        f"Checked at {held_out['cutoff']}: {held_out['base_rate']:.1%} of {held_out['customers']:,} churned",
        "",
        f"{'on the held-out window':<24}{'AUC':>8}{'Brier':>9}",
        *(
            f"{label:<24}{metrics[key]['auc']:>8.4f}{metrics[key]['brier']:>9.5f}"
            for label, key in (("model", "model"), ("recency alone", "recency_rule"))
        ),
        "",
        f"{'tenth by risk':<16}{'customers':>10}{'predicted':>11}{'observed':>10}",
        *(
            f"{number:<16}{row['customers']:>10,}{row['predicted']:>11.3f}{row['observed']:>10.3f}"
            for number, row in enumerate(metrics["calibration"], 1)
        ),
    ]
    return "\n".join(lines)


def write(out: Path, transactions: Transactions) -> dict[str, Any]:
    """Train, check and write model.joblib, metrics.json and sample_payloads.json under `out`. Return the metrics."""
    model = fit(transactions)
    metrics = check(model, transactions)
    out.mkdir(parents=True, exist_ok=True)
    joblib.dump(model, out / "model.joblib")
    for name, document in (("metrics", metrics), ("sample_payloads", sample_payloads(model, transactions))):
        (out / f"{name}.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return metrics


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the churn model, check it on a later period, write artifact/.")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "artifact", help="default: %(default)s")
    out = parser.parse_args().out
    print(report(write(out, load())))
    print(f"\nWrote {out}")


if __name__ == "__main__":
    main()
