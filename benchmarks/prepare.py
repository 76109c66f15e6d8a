"""Preparing input: one million rows of twenty features through `handlers.logic.preparing`, by format.

    python benchmarks/prepare.py [--rows 1000000]

The floor is reading the same files into Arrow and nothing else, in the same run. Each case is a process of its own, so
that its peak memory is its own.
"""

import argparse
import json
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet

from handlers.contract.card import Feature, ModelCard
from handlers.contract.modes import ServingMode
from handlers.logic.ports import StoredObject
from handlers.logic.preparing import prepare

FEATURES = 20
FILES = 4
CASES = [
    ("parquet", "csv"),
    ("csv", "csv"),
    ("jsonlines", "csv"),
    ("parquet", "jsonlines"),
    ("parquet", "parquet"),
]
READERS = {"parquet": pa.parquet.read_table, "csv": pa.csv.read_csv, "jsonlines": pa.json.read_json}


class Folder:
    """`handlers.logic.ports.Objects` as files below one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def list(self, bucket: str, prefix: str, after: str = "") -> Iterator[StoredObject]:
        paths = sorted(path for path in self.root.rglob("*") if path.is_file())
        keys = ((path.relative_to(self.root).as_posix(), path.stat()) for path in paths)
        return (
            StoredObject(key, stat.st_size, datetime.fromtimestamp(stat.st_mtime, UTC))
            for key, stat in keys
            if key.startswith(prefix) and key > after
        )

    def get(self, bucket: str, key: str) -> bytes:
        return (self.root / key).read_bytes()

    def put(self, bucket: str, key: str, body) -> None:
        path = self.root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body if isinstance(body, bytes) else body.read())

    def delete(self, bucket: str, keys) -> None:
        for key in keys:
            (self.root / key).unlink()


def write_input(folder: Path, form: str, rows: int) -> None:
    random = np.random.default_rng(7)
    part = rows // FILES
    for number in range(FILES):
        columns = {"id": pa.array([f"{number * part + row:09d}" for row in range(part)])}
        columns |= {f"f{feature}": pa.array(random.normal(size=part)) for feature in range(FEATURES)}
        table = pa.table(columns)
        path = folder / f"part-{number}.{form}"
        if form == "parquet":
            pa.parquet.write_table(table, path)
        elif form == "csv":
            pa.csv.write_csv(table, path, pa.csv.WriteOptions(quoting_style="all_valid"))
        else:
            path.write_text("".join(json.dumps(row) + "\n" for row in table.to_pylist()))


def measure(form: str, wire: str, rows: int, results) -> None:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        (root / "input").mkdir()
        writer = multiprocessing.get_context("spawn").Process(target=write_input, args=(root / "input", form, rows))
        writer.start()
        writer.join()
        began = time.perf_counter()
        for path in sorted((root / "input").iterdir()):
            READERS[form](path)
        floor = time.perf_counter() - began
        features = [Feature(f"f{number}") for number in range(FEATURES)]
        card = ModelCard(
            model="m", key="id", features=features, input_uri="s3://b/input/", input_format=form, wire_format=wire
        )
        began = time.perf_counter()
        prepared = prepare(card, "20261123T060000Z", "b", Folder(root), mode=ServingMode.PRECOMPUTE)
        seconds = time.perf_counter() - began
        assert prepared["rows_valid"] == rows // FILES * FILES, prepared
        results.put((seconds, floor, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    rows = parser.parse_args().rows
    print(f"{rows:,} rows x {FEATURES} features\n{'input':<10} {'wire':<10} seconds  x reading  peak RSS MB")
    for form, wire in CASES:
        results = multiprocessing.get_context("spawn").Queue()
        worker = multiprocessing.get_context("spawn").Process(target=measure, args=(form, wire, rows, results))
        worker.start()
        seconds, floor, peak = results.get()
        worker.join()
        print(f"{form:<10} {wire:<10} {seconds:7.1f}  {seconds / floor:9.1f}  {peak:11,.0f}")


if __name__ == "__main__":
    main()
