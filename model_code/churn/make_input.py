"""Write the batch input: every customer's features at the scoring cut-off, as one Parquet data set of several files.

    python model_code/churn/make_input.py --out DIR [--files 4] [--break 100]

`--break N` spoils N rows in ten ways and lists them in DIR/_broken.json; readers of the data set skip names
that start with an underscore.
"""

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from dataset import load
from features import SCORING_CUTOFF, features_at
from inference import FEATURES

KEY = "customer_id"
#: Counts and whole days are integers in the data set, as in schema.yaml.
INTEGERS = {"recency_days", "purchase_days", "tenure_days", "cds_bought", "purchase_days_91d", "cohort_month"}
SCHEMA = pa.schema(
    [pa.field(KEY, pa.string())]
    + [pa.field(name, pa.int64() if name in INTEGERS else pa.float64()) for name in FEATURES]
)
REPORT = "_broken.json"

Row = dict[str, Any]

#: Way of breaking a row, named like the reason that the quarantine report must give -> the column it spoils, and what
#: it puts there given the row and the one before.
WAYS: dict[str, tuple[str, Callable[[Row, Row], Any]]] = {
    "null_key": (KEY, lambda row, before: None),
    "empty_key": (KEY, lambda row, before: ""),
    "duplicate_key": (KEY, lambda row, before: before[KEY]),
    "key_too_long": (KEY, lambda row, before: row[KEY] * 400),
    "missing": ("purchase_days", lambda row, before: None),
    "nan": ("mean_amount_usd", lambda row, before: float("nan")),
    "infinite": ("last_amount_usd", lambda row, before: float("inf")),
    "below_minimum": ("recency_days", lambda row, before: -row["recency_days"]),
    "above_maximum": ("tenure_days", lambda row, before: 99_999),
    "value_not_allowed": ("cohort_month", lambda row, before: 7),
}


@dataclass(frozen=True)
class Broken:
    """A spoiled row. `row` counts from 1 over the whole data set, files in order of their names."""

    row: int
    customer_id: str  # what it was before
    way: str
    column: str


def rows() -> list[Row]:
    """Return every customer with features at the scoring cut-off, ordered by customer_id."""
    customers, matrix = features_at(load(), SCORING_CUTOFF)
    columns = [matrix[:, index] for index in range(len(FEATURES))]
    typed = [
        column.astype(np.int64).tolist() if name in INTEGERS else column.tolist()
        for name, column in zip(FEATURES, columns, strict=True)
    ]
    return [dict(zip((KEY, *FEATURES), values, strict=True)) for values in zip(customers.tolist(), *typed, strict=True)]


def spoil(table: list[Row], count: int) -> list[Broken]:
    """Break `count` rows in place, spread over the data set, and return what was done, in order of rows.

    No two neighbours are touched, so a duplicated key's first bearer is a sound row. Raises ValueError when
    there are too few rows for that.
    """
    if count > len(table) // 2:
        raise ValueError(f"cannot break {count} of {len(table)} rows: at most every second one")
    broken = []
    for number in range(count):
        index = number * len(table) // count + 1  # steps of two or more: the row before is never broken itself
        way = list(WAYS)[number % len(WAYS)]
        column, spoiled = WAYS[way]
        row = table[index]
        broken.append(Broken(index + 1, row[KEY], way, column))
        row[column] = spoiled(row, table[index - 1])
    return broken


def write(out: Path, table: list[Row], files: int) -> list[Path]:
    """Write part-00000.parquet and so on, rows in order, and return their paths. Earlier parts are removed."""
    out.mkdir(parents=True, exist_ok=True)
    for stale in (*out.glob("part-*.parquet"), *out.glob(REPORT)):
        stale.unlink()
    paths = []
    for number, indices in enumerate(np.array_split(np.arange(len(table)), files)):
        path = out / f"part-{number:05d}.parquet"
        chunk = [table[index] for index in indices]
        pq.write_table(pa.Table.from_pylist(chunk, schema=SCHEMA), path)
        paths.append(path)
    return paths


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the churn model's batch input as Parquet.")
    parser.add_argument("--out", type=Path, required=True, help="folder of the data set; earlier parts are replaced")
    parser.add_argument("--files", type=int, default=4, help="number of files (default: %(default)s)")
    parser.add_argument("--break", type=int, default=0, dest="broken", metavar="N", help="spoil N rows in ten ways")
    options = parser.parse_args()
    table = rows()
    broken = spoil(table, options.broken) if options.broken else []
    paths = write(options.out, table, options.files)
    if broken:
        listed = json.dumps([asdict(row) for row in broken], indent=1)
        (options.out / REPORT).write_text(listed + "\n", encoding="utf-8")
    what = f"{len(table):,} customers at {SCORING_CUTOFF}, {len(broken)} of them broken"
    print(f"Wrote {what}, in {len(paths)} files: {options.out}")


if __name__ == "__main__":
    main()
