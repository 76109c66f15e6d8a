"""Records, batches and output names of Batch Transform."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.local.sagemaker.transform.errors import BadData
from turnout.local.sagemaker.transform.splitting import MEGABYTE, batches, output_key, split_lines

records_of_bytes = st.lists(st.binary(min_size=1, max_size=30).filter(lambda r: not set(r) & set(b"\r\n")), max_size=50)


@given(records_of_bytes, st.booleans())
def test_lines_come_back_whatever_the_last_newline(records, newline):
    data = b"\n".join(records) + (b"\n" if newline and records else b"")
    assert split_lines(data) == records


def test_windows_line_ends_are_not_data():
    assert split_lines(b"a\r\nb\r\n") == [b"a", b"b"]


@given(records_of_bytes, st.integers(31, 200), st.booleans())
def test_batches_cover_every_record_once_in_order_and_fit(records, limit, single):
    spans = list(batches(records, limit, single))
    assert [i for a, b in spans for i in range(a, b)] == list(range(len(records)))
    assert all(len(b"\n".join(records[a:b])) + 1 <= limit for a, b in spans)
    assert all(b - a == 1 for a, b in spans) or not single


@given(records_of_bytes, st.integers(31, 200))
def test_batches_are_as_large_as_they_can_be(records, limit):
    spans = list(batches(records, limit, single=False))
    for (a, b), (c, _) in pairwise(spans):
        assert len(b"\n".join(records[a:b])) + 1 + len(records[c]) + 1 > limit


def test_no_limit_means_one_batch():
    assert list(batches([b"x" * 10] * 5, 0, single=False)) == [(0, 5)]


def test_a_record_larger_than_the_payload_is_refused():
    with pytest.raises(BadData, match=r"record 2 has .* more than MaxPayloadInMB allows \(1 MB\)"):
        list(batches([b"x", b"y" * MEGABYTE], MEGABYTE, single=False))


@pytest.mark.parametrize(
    ("key", "prefix", "output", "expected"),
    [
        ("in/a.csv", "in/", "out/", "out/a.csv.out"),
        ("in/a.csv", "in/", "out", "out/a.csv.out"),
        ("in/a.csv", "in", "out/", "out/a.csv.out"),
        ("in/sub/b.csv", "in/", "out/", "out/sub/b.csv.out"),
        ("in/a.csv", "in/a.csv", "out/", "out/a.csv.out"),
        ("in/part-1.csv", "in/part-", "out/", "out/part-1.csv.out"),
        ("a.csv", "", "", "a.csv.out"),
    ],
)
def test_the_output_name_keeps_the_folder_below_the_input_prefix(key, prefix, output, expected):
    assert output_key(key, prefix, output) == expected
