"""Features and labels of customers at a cut-off day. Meaning and units of each feature: schema.yaml.

Features see only purchases before the cut-off, labels only those from it on; neither function can look
at the other's side, because the first thing each does is to drop it.
"""

from dataclasses import dataclass

import numpy as np
from dataset import END, Transactions
from inference import FEATURES

#: Length of the silence that counts as churn. Three in four gaps between a customer's purchase days are
#: shorter (median 34 days, upper quartile 94), so it is unusual without being final, and the 18 months
#: of data hold a window to learn from and a later one to check on.
HORIZON_DAYS = 91
RECENT_DAYS = 91

#: Features of the check begin where the labels of the training end: no day serves both.
CHECK_CUTOFF = END - HORIZON_DAYS
TRAIN_CUTOFF = CHECK_CUTOFF - HORIZON_DAYS
#: Batch input is computed from the whole history.
SCORING_CUTOFF = END


@dataclass(frozen=True)
class Purchases:
    """One entry per customer and day with a purchase, in that order. `owner` is an index into `customers`."""

    customers: np.ndarray  # text, sorted, unique
    owner: np.ndarray
    day: np.ndarray  # int64, days since 1970-01-01
    dollars: np.ndarray
    cds: np.ndarray


def purchase_days(transactions: Transactions) -> Purchases:
    """Return one entry per customer and day, amounts added up."""
    customers, owner = np.unique(transactions.customer, return_inverse=True)
    pairs = np.column_stack([owner, transactions.day.astype(np.int64)])
    days, inverse = np.unique(pairs, axis=0, return_inverse=True)
    inverse = inverse.reshape(-1)
    return Purchases(
        customers,
        days[:, 0],
        days[:, 1],
        np.bincount(inverse, transactions.dollars, len(days)),
        np.bincount(inverse, transactions.cds, len(days)),
    )


def features_at(transactions: Transactions, cutoff: np.datetime64) -> tuple[np.ndarray, np.ndarray]:
    """Return customers (sorted) and their features as float64 of shape (customers, FEATURES).

    A customer without a purchase before `cutoff` is not known yet and has no row.
    """
    known = purchase_days(transactions.before(cutoff))
    today = cutoff.astype("datetime64[D]").astype(np.int64)
    count = np.bincount(known.owner).astype(np.float64)
    last_entry = np.cumsum(count).astype(np.int64) - 1
    first_entry = last_entry - count.astype(np.int64) + 1
    first, last = known.day[first_entry], known.day[last_entry]
    tenure = (today - first).astype(np.float64)
    recent = known.owner[known.day >= today - RECENT_DAYS]
    columns = {
        "recency_days": today - last,
        "purchase_days": count,
        "mean_amount_usd": np.bincount(known.owner, known.dollars) / count,
        "tenure_days": tenure,
        "mean_gap_days": np.where(count > 1, (last - first) / np.maximum(count - 1, 1), tenure),
        "last_amount_usd": known.dollars[last_entry],
        "cds_bought": np.bincount(known.owner, known.cds),
        "purchase_days_91d": np.bincount(recent, minlength=len(known.customers)),
        "cohort_month": first.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64) % 12 + 1,
    }
    return known.customers, np.column_stack([columns[name].astype(np.float64) for name in FEATURES])


def churned_after(transactions: Transactions, customers: np.ndarray, cutoff: np.datetime64) -> np.ndarray:
    """Return 1 for each of `customers` that buys nothing in the HORIZON_DAYS from `cutoff` on, else 0."""
    buyers = transactions.between(cutoff, cutoff + HORIZON_DAYS).customer
    return (~np.isin(customers, buyers)).astype(np.int64)
