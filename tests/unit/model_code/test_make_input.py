import json
import math
from collections import Counter

import make_input
import pyarrow.parquet as pq
import pytest
from features import SCORING_CUTOFF, features_at
from inference import FEATURES


@pytest.fixture(scope="module")
def table() -> list[dict]:
    return make_input.rows()


@pytest.fixture
def copy(table) -> list[dict]:
    return [dict(row) for row in table]


def read(folder) -> list[dict]:
    return [row for path in sorted(folder.glob("part-*.parquet")) for row in pq.read_table(path).to_pylist()]


def test_the_data_set_holds_every_customer_once_with_the_models_features(table, transactions, tmp_path):
    paths = make_input.write(tmp_path, table, 4)
    assert [path.name for path in paths] == [f"part-0000{n}.parquet" for n in range(4)]
    stored = read(tmp_path)
    customers, features = features_at(transactions, SCORING_CUTOFF)
    assert [row["customer_id"] for row in stored] == customers.tolist()
    assert [[row[name] for name in FEATURES] for row in stored] == features.tolist()
    types = {field.name: str(field.type) for field in pq.read_schema(paths[0])}
    assert types["customer_id"] == "string"
    assert (types["cohort_month"], types["mean_gap_days"]) == ("int64", "double")


def test_writing_again_replaces_what_was_there_and_gives_the_same_bytes(table, tmp_path):
    make_input.write(tmp_path, table, 6)
    (tmp_path / make_input.REPORT).write_text("[]")
    make_input.write(tmp_path, table, 2)
    first = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    make_input.write(tmp_path, table, 2)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == first
    assert sorted(first) == ["part-00000.parquet", "part-00001.parquet"]


def test_a_hundred_rows_are_broken_in_ten_ways_and_all_others_are_left_alone(table, copy):
    broken = make_input.spoil(copy, 100)
    assert Counter(entry.way for entry in broken) == dict.fromkeys(make_input.WAYS, 10)
    assert broken[-1].row > 23_000  # spread over all files
    changed = {index + 1 for index, row in enumerate(copy) if row != table[index] or math.isnan(row["mean_amount_usd"])}
    assert changed == {entry.row for entry in broken}
    for entry in broken:
        before, after = table[entry.row - 1], copy[entry.row - 1]
        assert before["customer_id"] == entry.customer_id
        assert {name for name in before if before[name] != after[name]} == {entry.column}


def test_each_way_is_what_its_name_says(copy):
    by_way = {entry.way: copy[entry.row - 1][entry.column] for entry in make_input.spoil(copy, 10)}
    assert by_way["null_key"] is None
    assert by_way["empty_key"] == ""
    assert len(by_way["key_too_long"]) > 1536
    assert by_way["missing"] is None
    assert math.isnan(by_way["nan"])
    assert math.isinf(by_way["infinite"])
    assert by_way["below_minimum"] < 1
    assert by_way["above_maximum"] > 3650
    assert by_way["value_not_allowed"] not in (1, 2, 3)


def test_a_duplicated_keys_first_bearer_stays_sound(table, copy):
    broken = make_input.spoil(copy, 100)
    for entry in (entry for entry in broken if entry.way == "duplicate_key"):
        earlier = copy[entry.row - 2]
        assert earlier == table[entry.row - 2]
        assert earlier["customer_id"] == copy[entry.row - 1]["customer_id"]
    keys = Counter(row["customer_id"] for row in copy)
    assert [count for key, count in keys.items() if key and count > 1] == [2] * 10


def test_more_than_every_second_row_cannot_be_broken(copy):
    assert [entry.row for entry in make_input.spoil(copy[:20], 10)] == list(range(2, 21, 2))
    with pytest.raises(ValueError, match="cannot break 11 of 20 rows"):
        make_input.spoil(copy[:20], 11)


def test_the_command_lists_what_it_broke_beside_the_data(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("sys.argv", ["make_input.py", "--out", str(tmp_path), "--files", "3", "--break", "20"])
    make_input.main()
    listed = json.loads((tmp_path / "_broken.json").read_text())
    assert len(listed) == 20
    stored = read(tmp_path)
    assert len(stored) == 23_570
    assert stored[listed[0]["row"] - 1]["customer_id"] is None
    assert "23,570 customers at 1998-07-01, 20 of them broken, in 3 files" in capsys.readouterr().out
