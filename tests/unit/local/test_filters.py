"""The JSONPath subset of DataProcessing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.local.sagemaker.transform.errors import BadData
from turnout.local.sagemaker.transform.filters import BadPath, parse, select, select_fields

DOCUMENT = {"id": 7, "features": {"a": 1, "b": 2}, "list": [10, 20, 30], "odd name": {"x-y": "z"}}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("$", DOCUMENT),
        ("$.id", 7),
        ("$.features", {"a": 1, "b": 2}),
        ("$.features.b", 2),
        ("$['odd name']['x-y']", "z"),
        ('$["id"]', 7),
        ("$['id','features']", {"id": 7, "features": {"a": 1, "b": 2}}),
        ("$.list[0]", 10),
        ("$.list[-1]", 30),
        ("$.list[0,2]", [10, 30]),
        ("$.list[1:]", [20, 30]),
        ("$.list[:-1]", [10, 20]),
        ("$.list[0,1:]", [10, 20, 30]),
        ("$.list[ 2 , :-1 ]", [30, 10, 20]),
        ("$.list[:]", [10, 20, 30]),
        ("$.list[7:]", []),
        ("$.features.['b','a']", {"b": 2, "a": 1}),
        ("$.list[*]", [10, 20, 30]),
        ("$.features.*", [1, 2]),
    ],
)
def test_paths_select(path, expected):
    assert select(DOCUMENT, parse(path)) == expected


@pytest.mark.parametrize(
    "path", ["", "id", "$..id", "$[?(@.a)]", "$.list[::2]", "$['a", "$.a b", "$[id]", "$.", "$[]", "$[0,]", "$[-]"]
)
def test_what_dataprocessing_does_not_know_is_refused(path):
    with pytest.raises(BadPath, match=r"JSONPath"):
        parse(path)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("$.nobody", "nobody, which the record does not have"),
        ("$['id','nobody']", "nobody"),
        ("$.list[3]", "index 3 of a record with 3 fields"),
        ("$.id[0]", "no array"),
        ("$.list.x", "no JSON object"),
    ],
)
def test_what_a_record_does_not_have_is_said(path, message):
    with pytest.raises(BadData, match=message):
        select(DOCUMENT, parse(path))


@given(st.lists(st.text(), min_size=1), st.integers(-3, 3), st.integers(-3, 3))
def test_slices_are_those_of_python(fields, start, end):
    assert select_fields(fields, parse(f"$[{start}:{end}]")) == fields[start:end]


@given(st.lists(st.text(), min_size=2))
def test_first_and_last_stay_a_row(fields):
    assert select_fields(fields, parse("$[0,-1]")) == [fields[0], fields[-1]]
    assert select_fields(fields, parse("$[0]")) == [fields[0]]
