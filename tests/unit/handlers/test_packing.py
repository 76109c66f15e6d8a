"""Buckets and what goes into them: whatever the keys and predictions, what was packed is found, and nothing else is."""

import json
import math
import random
import string
import struct
import uuid

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.write_units import KILOBYTE, item_bytes, read_units, write_units
from handlers.adapters.score_table import items
from handlers.contract.errors import VerificationFailed
from handlers.logic import packing
from handlers.logic.buckets import ABSENT, ELSEWHERE, UnknownLayout, encode, find, hashes, key_bytes, part, place
from handlers.logic.packing import LARGEST_BUCKET, pack


def looked_up(packed, key, partitions=1, partition=0):
    """Look a key up as a reader does that knows only how many buckets there are."""
    buckets = [0] * partitions
    buckets[partition] = packed.buckets
    at = place(key_bytes(key), buckets)
    if at is None:
        return dict(packed.singles).get(key, ABSENT)
    found = find(dict(packed.bodies)[at[1]], key_bytes(key)) if at[1] in dict(packed.bodies) else ABSENT
    return dict(packed.singles)[key] if found is ELSEWHERE else found


def same(one, other):
    """Compare as JSON does: 1 is not 1.0, and -0.0 is not 0.0."""
    return json.dumps(one) == json.dumps(other)


#: Half surrogates and bytes that the layout uses itself are among the characters.
anything = st.text(st.characters(codec=None), max_size=20)
near = st.text("ab\xff\n\x00", max_size=4)
uuids = st.uuids().map(str)
keys = st.one_of(anything, near, uuids, st.integers(0, 999).map(str), near.map(lambda text: text * 300))
predictions = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | anything,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(anything, inner, max_size=3),
    max_leaves=8,
)
#: What stands among floats: most are kept beside them.
APART = [0, 1, -1, 10**30, True, None, "1", [0.5], {"a": 1}, "large " * 300]
columns = st.one_of(
    st.dictionaries(keys, predictions, max_size=60),
    st.dictionaries(keys, st.floats(allow_nan=False, allow_infinity=False), max_size=60),
    st.dictionaries(uuids, st.integers(), max_size=60),
    st.dictionaries(keys, st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from(APART), max_size=60),
    st.dictionaries(keys, st.just("large " * 300) | predictions, max_size=20),
)


@settings(max_examples=300, deadline=None)
@given(columns, st.lists(keys), st.integers(0, 6))
def test_what_is_packed_is_found_and_nothing_else(scores, others, copies):
    scores = {f"{key}{copy}" if copy else key: value for copy in range(copies + 1) for key, value in scores.items()}
    packed = pack(list(scores), list(scores.values()))
    assert packed.rows == len(scores)
    for key, prediction in scores.items():
        assert same(looked_up(packed, key), prediction), key
    for key in others:
        assert (looked_up(packed, key) is ABSENT) == (key not in scores)
    assert max((len(body) for _, body in packed.bodies), default=0) <= LARGEST_BUCKET


@settings(max_examples=100, deadline=None)
@given(columns, st.randoms())
def test_the_order_of_the_rows_changes_no_byte(scores, generator):
    rows = list(scores.items())
    whole = pack([key for key, _ in rows], [value for _, value in rows])
    generator.shuffle(rows)
    again = pack([key for key, _ in rows], [value for _, value in rows])
    assert (again.bodies, sorted(again.singles)) == (whole.bodies, sorted(whole.singles))


@settings(max_examples=100, deadline=None)
@given(columns, st.lists(keys))
def test_keys_that_all_hash_alike_are_told_apart(scores, others):
    """A hash decides where to look, never what is found: with one hash for all keys nothing changes."""
    ordered = sorted(scores, key=key_bytes)
    texts = [json.dumps(scores[key]).encode() for key in ordered]
    bucket = encode([key_bytes(key) for key in ordered], texts, "j")
    for key, prediction in scores.items():
        assert same(find(bucket, key_bytes(key)), prediction)
    assert all(find(bucket, key_bytes(key)) is ABSENT for key in others if key not in scores)


@pytest.mark.parametrize(
    ("written", "values"),
    [
        ("01744405000000ff61ff62ff636000810bf60c10d00000", [0.25, -0.0]),
        ("01746605000000ff61ff62ff0000803e0000003f", [0.25, 0.5]),
        ("01746a05000000ff61ff62ff310a0a", [1, ELSEWHERE]),
    ],
)
def test_buckets_that_were_written_before_floats_had_exceptions_are_read(written, values):
    found = [find(bytes.fromhex(written), key) for key in (b"a", b"b")]
    assert list(map(repr, found)) == list(map(repr, values))


def test_a_uuid_that_lies_across_two_others_is_absent():
    one, two = sorted(uuid.uuid5(uuid.NAMESPACE_OID, name) for name in "ab")
    across = uuid.UUID(bytes=one.bytes[8:] + two.bytes[:8])
    bucket = encode([str(one).encode(), str(two).encode()], [0.25, 0.5], "d")
    assert find(bucket, str(across).encode()) is ABSENT
    assert find(bucket, str(two).encode()) == 0.5


def test_keys_that_crowd_into_one_bucket_get_more_buckets_until_each_fits(monkeypatch):
    monkeypatch.setattr(packing, "_bucket_count", lambda column: 1)
    generator = random.Random(1)
    scores = {str(uuid.UUID(int=generator.getrandbits(128))): generator.random() for _ in range(20_000)}
    packed = pack(list(scores), list(scores.values()))
    assert packed.buckets > 1
    assert max(len(body) for _, body in packed.bodies) <= LARGEST_BUCKET
    assert all(looked_up(packed, key) == value for key, value in list(scores.items())[::500])


def test_keys_that_cannot_be_spread_become_items_of_their_own(monkeypatch):
    monkeypatch.setattr(packing, "hashes", lambda encoded: [7] * len(encoded))
    scores = {"".join(random.Random(number).choices(string.printable, k=1_500)): number for number in range(400)}
    packed = pack(list(scores), list(scores.values()))
    assert (packed.buckets, packed.bodies, dict(packed.singles)) == (0, [], scores)


class TestSizes:
    def packed(self, rows, key, value=None):
        generator = random.Random(3)
        names = [key(number) for number in range(rows)]
        return pack(names, [value(number) if value else generator.random() for number in range(rows)])

    def items(self, packed):
        return list(items("20261123T060000Z", 0, packed, 1_900_000_000))

    @pytest.mark.parametrize(
        "key", [lambda n: f"{n:07d}", lambda n: f"user#{n:08d}", lambda n: str(uuid.uuid5(uuid.NAMESPACE_OID, str(n)))]
    )
    def test_a_bucket_is_read_for_one_read_unit(self, key):
        stored = self.items(self.packed(60_000, key))
        assert sum(read_units(item) > 0.5 for item in stored) <= 2
        assert sum(map(item_bytes, stored)) / len(stored) > 2.5 * KILOBYTE, "and is not kept small for nothing"

    def test_a_million_scores_take_14_thousand_write_units(self):
        packed = self.packed(100_000, lambda number: f"{number:07d}")
        assert sum(map(write_units, self.items(packed))) < 1_400

    def test_float32_takes_a_third_less(self):
        names = [f"{number:07d}" for number in range(100_000)]
        values = [number / 3 for number in range(100_000)]
        narrow = pack(names, values, precision="float32")
        assert sum(map(write_units, self.items(narrow))) < 900
        assert looked_up(narrow, "0000001") == struct.unpack("<f", struct.pack("<f", 1 / 3))[0]

    @pytest.mark.parametrize("precision", ["float64", "float32"])
    @pytest.mark.parametrize(("every", "most"), [(20_000, 1.01), (1_000, 1.03), (20, 1.15)])
    def test_integers_among_floats_leave_the_floats_packed(self, precision, every, most):
        generator = random.Random(3)
        names = [f"{number:07d}" for number in range(40_000)]
        floats = [generator.random() for _ in names]
        with_integers = [number % 2 if number % every == 7 else value for number, value in enumerate(floats)]
        plain, mixed = (pack(names, values, precision=precision) for values in (floats, with_integers))
        units = [sum(map(write_units, self.items(packed))) for packed in (plain, mixed)]
        assert units[1] <= most * units[0]
        assert looked_up(mixed, "0000007") == 1
        assert type(looked_up(mixed, "0000007")) is int
        assert looked_up(mixed, "0000008") == looked_up(plain, "0000008")
        if precision == "float64":
            assert all(same(looked_up(mixed, names[at]), with_integers[at]) for at in range(0, 2_000, 3))

    def test_a_bucket_without_exceptions_is_one_of_the_first_layout(self):
        mixed = self.packed(20_000, str, lambda number: 1 if number == 7 else number / 3)
        versions = [body[0] for _, body in mixed.bodies]
        assert (versions.count(2), versions.count(1)) == (1, len(versions) - 1)

    def test_what_float32_cannot_hold_keeps_float64(self):
        packed = pack(["a", "b"], [1e300, 0.1], precision="float32")
        assert (looked_up(packed, "a"), looked_up(packed, "b")) == (1e300, 0.1)

    def test_integers_keep_every_digit_also_where_float32_is_declared(self):
        packed = pack(["a", "b"], [2**53 + 1, 10**40], precision="float32")
        assert (looked_up(packed, "a"), looked_up(packed, "b")) == (2**53 + 1, 10**40)

    def test_vectors_of_768_numbers_are_items_of_their_own(self):
        generator = random.Random(5)
        packed = self.packed(500, str, lambda number: [generator.random() for _ in range(768)])
        assert (packed.buckets, packed.bodies, packed.items) == (0, [], 500)

    def test_predictions_of_many_lengths_keep_buckets_within_a_read_unit(self):
        generator = random.Random(9)
        packed = self.packed(20_000, str, lambda number: "x" * min(1_000, int(generator.paretovariate(1))))
        stored = self.items(packed)
        assert sum(read_units(item) > 0.5 for item in stored) < 0.005 * len(stored)

    def test_no_rows_are_no_items(self):
        assert (pack([], []).buckets, pack([], []).items) == (0, 0)


class TestRefusals:
    def test_a_key_that_was_scored_twice_is_counted(self):
        with pytest.raises(VerificationFailed, match="1 keys were scored more than once"):
            pack(["a", "b", "a"], [1.0, 2.0, 3.0])

    @pytest.mark.parametrize("prediction", [math.nan, math.inf, [math.nan]])
    def test_what_json_cannot_carry_is_not_packed(self, prediction):
        with pytest.raises(ValueError, match="not JSON compliant"):
            pack(["a"], [prediction])

    def test_a_bucket_of_a_later_layout_is_refused(self):
        body = encode([b"a"], [0.5], "d")
        with pytest.raises(UnknownLayout):
            find(b"\x03" + body[1:], b"a")


def test_a_hash_is_the_same_for_ever():
    assert hashes([b"00001", "日本".encode()]) == [0xE4697E72A7A0CA39, 0xE83335CFE1549B3A]


def test_parts_are_even_and_independent_of_the_buckets_in_them():
    numbers = hashes(str(number).encode() for number in range(30_000))
    counts = [0] * 3
    for number in numbers:
        counts[part(number, 3)] += 1
    assert max(counts) - min(counts) < 600
