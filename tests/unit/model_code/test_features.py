from pathlib import Path

import features
import numpy as np
import pytest
import yaml
from dataset import END, Transactions
from features import CHECK_CUTOFF, HORIZON_DAYS, SCORING_CUTOFF, TRAIN_CUTOFF, churned_after, features_at
from hypothesis import given, settings
from hypothesis import strategies as st
from inference import FEATURES

SCHEMA = Path(features.__file__).with_name("schema.yaml")


def history(*purchases: tuple[str, str, int, float]) -> Transactions:
    customer, day, cds, dollars = zip(*purchases, strict=True)
    return Transactions(np.array(customer), np.array(day, "datetime64[D]"), np.array(cds), np.array(dollars))


def row_of(customers, rows, customer) -> dict:
    return dict(zip(FEATURES, rows[list(customers).index(customer)].tolist(), strict=True))


EXAMPLE = history(
    ("00001", "1997-01-05", 2, 20.0),
    ("00001", "1997-01-05", 1, 10.0),  # same day: one purchase day
    ("00001", "1997-02-04", 4, 60.0),
    ("00001", "1997-06-01", 1, 9.0),  # the cut-off day itself is not seen
    ("00002", "1997-03-02", 1, 12.5),
    ("00003", "1997-06-20", 1, 1.0),  # unknown before the cut-off
)
CUTOFF = np.datetime64("1997-06-01")


def test_features_are_what_the_schema_describes():
    customers, rows = features_at(EXAMPLE, CUTOFF)
    assert customers.tolist() == ["00001", "00002"]
    assert row_of(customers, rows, "00001") == {
        "recency_days": 117,
        "purchase_days": 2,
        "mean_amount_usd": 45.0,
        "tenure_days": 147,
        "mean_gap_days": 30,
        "last_amount_usd": 60.0,
        "cds_bought": 7,
        "purchase_days_91d": 0,
        "cohort_month": 1,
    }
    once = row_of(customers, rows, "00002")
    assert once["mean_gap_days"] == once["tenure_days"] == once["recency_days"] == 91
    assert once["purchase_days_91d"] == 1


def test_churn_is_silence_within_the_horizon_and_nowhere_else():
    late = np.datetime64("1997-06-01") + HORIZON_DAYS
    buys = history(
        ("a", "1997-05-31", 1, 1.0), ("b", "1997-06-01", 1, 1.0), ("c", str(late - 1), 1, 1.0), ("d", str(late), 1, 1.0)
    )
    assert churned_after(buys, np.array(list("abcd")), CUTOFF).tolist() == [1, 0, 0, 1]


def altered_after(transactions: Transactions, cutoff: np.datetime64, seed: int) -> Transactions:
    """Return the history with everything from the cut-off on moved, repriced, handed to others or dropped."""
    rng = np.random.default_rng(seed)
    before, after = transactions.before(cutoff), transactions.between(cutoff, END)
    picked = rng.integers(0, len(after), len(after) // 2)
    return Transactions(
        np.concatenate([before.customer, rng.permutation(after.customer)[picked]]),
        np.concatenate([before.day, cutoff + rng.integers(0, 400, len(picked))]),
        np.concatenate([before.cds, rng.integers(1, 90, len(picked))]),
        np.concatenate([before.dollars, rng.uniform(0, 900, len(picked))]),
    )


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), cutoff=st.sampled_from([TRAIN_CUTOFF, CHECK_CUTOFF]))
def test_whatever_happens_from_the_cutoff_on_features_stay_the_same(transactions, seed, cutoff):
    customers, rows = features_at(transactions, cutoff)
    other_customers, other_rows = features_at(altered_after(transactions, cutoff, seed), cutoff)
    assert (customers == other_customers).all()
    assert (rows == other_rows).all()


def test_labels_do_see_what_happens_from_the_cutoff_on(transactions):
    customers, _ = features_at(transactions, CHECK_CUTOFF)
    altered = altered_after(transactions, CHECK_CUTOFF, seed=1)
    assert (
        churned_after(transactions, customers, CHECK_CUTOFF) != churned_after(altered, customers, CHECK_CUTOFF)
    ).any()


def test_the_windows_follow_each_other_and_end_with_the_data():
    assert TRAIN_CUTOFF + HORIZON_DAYS == CHECK_CUTOFF
    assert CHECK_CUTOFF + HORIZON_DAYS == SCORING_CUTOFF == END


def test_the_schema_names_the_features_in_the_models_order():
    schema = yaml.safe_load(SCHEMA.read_text())
    assert tuple(schema["features"]) == FEATURES
    assert schema["key"] == {"column": "customer_id", "type": "string"}
    assert schema["prediction"] == "churn_probability"


@pytest.mark.parametrize("cutoff", [TRAIN_CUTOFF, CHECK_CUTOFF, SCORING_CUTOFF])
def test_every_customer_meets_the_schema(transactions, cutoff):
    schema = yaml.safe_load(SCHEMA.read_text())["features"]
    _, rows = features_at(transactions, cutoff)
    assert rows.shape == (23_570, len(FEATURES))
    assert np.isfinite(rows).all()
    for name, column in zip(FEATURES, rows.T, strict=True):
        rule = schema[name]
        assert column.min() >= rule.get("min", -np.inf), name
        assert column.max() <= rule.get("max", np.inf), name
        assert set(column) <= set(rule.get("values", column)), name
        assert rule["type"] == "float" or (column == column.round()).all(), name
