"""Scores through the whole store, from packing to items to lookups: what went in comes out, and nothing else does."""

import json
import random
import string
from unittest.mock import patch

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from benchmarks.write_units import item_bytes
from handlers.adapters.score_table import ScoreTable
from handlers.contract.records import Generation
from handlers.logic import packing
from handlers.logic.buckets import hashes, key_bytes, part
from handlers.logic.packing import ROOM, pack
from handlers.logic.ports import StoredScore

TABLE, RUN, EXPIRES = "scores", "20261123T060000Z", 1_900_000_000
#: DynamoDB's own limits: bytes of an item and of a partition key, requests of one call.
LARGEST_ITEM, LARGEST_KEY, WRITES, READS = 400 * 1_024, 2_048, 25, 100


class LimitedTable:
    """DynamoDB with its limits: what breaks one is an error."""

    def __init__(self):
        self.items = {}

    def get_item(self, *, TableName, Key, ConsistentRead):
        found = self.items.get(named(Key))
        return {"Item": found} if found else {}

    def batch_get_item(self, *, RequestItems):
        names = [named(key) for key in RequestItems[TABLE]["Keys"]]
        assert 0 < len(names) <= READS
        assert len(set(names)) == len(names)
        return {"Responses": {TABLE: [self.items[name] for name in names if name in self.items]}}

    def batch_write_item(self, *, RequestItems):
        items = [request["PutRequest"]["Item"] for request in RequestItems[TABLE]]
        assert 0 < len(items) <= WRITES
        assert len({named(item) for item in items}) == len(items)
        assert max(map(item_bytes, items)) <= LARGEST_ITEM
        assert max(len(item["pk"]["S"].encode()) for item in items) <= LARGEST_KEY
        self.items |= {named(item): item for item in items}
        return {}


def named(item):
    return item["pk"]["S"], item["sk"]["S"]


def published(scores, partitions):
    """Return a store and the manifest of a generation of these scores, each in the partition of its key."""
    store, parts = ScoreTable(LimitedTable(), TABLE), [{} for _ in range(partitions)]
    for key, prediction in scores.items():
        parts[part(hashes([key_bytes(key)])[0], partitions)][key] = prediction
    packed = [pack(list(rows), list(rows.values()), partitions=partitions) for rows in parts]
    for partition, whole in enumerate(packed):
        store.put(RUN, partition, whole, expires_at=EXPIRES)
    counts, rows = [whole.buckets for whole in packed], len(scores)
    moments = ("2026-11-23T06:09:30Z", "2026-11-23T06:10:00Z")
    return store, Generation(RUN, "v7", *moments, rows, rows, 0, rows, "string", "s3://r/", None, EXPIRES, counts)


def crowd(seed, count):
    """Return predictions that stay within buckets, just so, and hardly deflate."""
    dice = random.Random(seed)
    texts = ("".join(dice.choices(string.ascii_letters + string.digits, k=1_000)) for _ in range(count))
    return {f"user#{number}": text for number, text in enumerate(texts)}


#: Keys that look like what the table's own keys are made of are among them.
like_ours = st.sampled_from(["0", "0.0", "1.0", "-", "bucket", "written", "#", f"{RUN}#0.0", "0#written", ""])
texts = st.text(st.characters(codec="utf-8"), max_size=20)
keys = st.one_of(texts, like_ours, st.uuids().map(str), st.integers(0, 999).map(str), texts.map(lambda t: t * 20))
sought = st.one_of(keys, st.text(st.characters(codec=None), max_size=3))
floats = st.floats(allow_nan=False, allow_infinity=False)
predictions = st.recursive(
    st.none() | st.booleans() | st.integers() | floats | st.text(st.characters(codec=None), max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
large = texts.map(lambda text: f"{text} large" * 300)
columns = st.one_of(
    st.dictionaries(keys, predictions, max_size=60),
    st.dictionaries(keys, floats, max_size=60),
    st.dictionaries(keys, predictions | large, max_size=30),
    st.dictionaries(keys, large, max_size=10),
    st.builds(crowd, st.integers(0, 9), st.integers(100, 130)),
)


@settings(max_examples=150, deadline=None)
@given(columns, st.lists(sought, max_size=120), st.integers(1, 5), st.sampled_from([150, ROOM, 5_000_000]))
@example(crowd(7, 800), ["user#800"], 1, 5_000_000)
def test_every_score_that_went_in_comes_out_as_it_was_and_no_other(scores, others, partitions, room):
    with patch.object(packing, "ROOM", room):  # little room makes many buckets of few scores
        store, generation = published(scores, partitions)
    found = store.get_many(generation, [*scores, *others])
    assert found.keys() == scores.keys()
    for key, prediction in scores.items():
        for score in (found[key], store.get(generation, key)):
            assert (json.dumps(score.prediction), score.expires_at) == (json.dumps(prediction), EXPIRES)
    assert all((store.get(generation, key) is None) == (key not in scores) for key in others)


@pytest.mark.parametrize("partitions", [1, 3])
def test_more_than_one_call_of_each_kind_is_shown_above(partitions):
    """Of the property's own means: with little room many buckets are written and read."""
    with patch.object(packing, "ROOM", 150):
        store, generation = published({f"k{number}": number / 7 for number in range(3_000)}, partitions)
    assert sum(generation.buckets) > READS
    found = store.get_many(generation, [f"k{number}" for number in range(3_001)])
    assert found == {f"k{number}": StoredScore(number / 7, EXPIRES) for number in range(3_000)}
