"""CSV and JSON Lines through filter and join."""

import csv
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.local.sagemaker.transform.errors import BadData
from turnout.local.sagemaker.transform.formats import codec_for, format_row, parse_row

NUMBERED = {"InputFilter": "$[1:]", "JoinSource": "Input", "OutputFilter": "$[0,-1]"}
fields = st.lists(st.text(st.characters(blacklist_characters="\r\n\0", codec="utf-8")), min_size=2, max_size=6)


@given(fields)
def test_a_csv_row_survives_formatting_and_parsing(row):
    assert parse_row(format_row(row)) == row
    assert next(csv.reader([format_row(row)])) == row


@given(fields, st.floats(allow_nan=False, allow_infinity=False))
def test_the_number_column_never_reaches_the_model_and_comes_back_with_the_prediction(row, prediction):
    codec = codec_for("text/csv", NUMBERED)
    line = format_row(row)
    assert parse_row(codec.to_model([line])[0]) == row[1:]
    assert parse_row(codec.to_output([line], [repr(prediction)])[0]) == [row[0], repr(prediction)]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.integers(), st.dictionaries(st.text(), json_values, max_size=4), json_values)
def test_json_lines_keep_row_features_and_prediction_exactly(row, features, prediction):
    codec = codec_for(
        "application/jsonlines",
        {"InputFilter": "$.features", "JoinSource": "Input", "OutputFilter": "$['row','SageMakerOutput']"},
    )
    line = json.dumps({"row": row, "features": features})
    assert json.loads(codec.to_model([line])[0]) == features
    (out,) = codec.to_output([line], [json.dumps(prediction)])
    assert json.loads(out) == {"row": row, "SageMakerOutput": prediction}
    assert "\n" not in out


def test_json_that_is_no_object_is_joined_under_two_names():
    codec = codec_for("application/json", {"JoinSource": "Input"})
    assert json.loads(codec.to_output(["[1,2]"], ["3"])[0]) == {"SageMakerInput": [1, 2], "SageMakerOutput": 3}


def test_several_predictions_per_row_are_appended():
    codec = codec_for("text/csv", {"JoinSource": "Input"})
    assert codec.to_output(["1,a"], ["0.1,0.9"]) == ["1,a,0.1,0.9"]


@pytest.mark.parametrize("row", ['a,"b', 'a,"b"c', 'a,b"c"', '"a" ,b', '\ufeff"a",b'])
def test_quotes_that_break_rfc_4180_are_refused(row):
    with pytest.raises(BadData, match="Failed to parse line as CSV"):
        parse_row(row)


def test_quotes_are_kept_by_a_join_and_set_where_needed_by_a_filter():
    assert codec_for("text/csv", {"JoinSource": "Input"}).to_output(['"1","a,b"'], ["0.5"]) == ['"1","a,b",0.5']
    assert codec_for("text/csv", {"OutputFilter": "$[1,0]"}).to_output([], ['"1","a,b"']) == ['"a,b",1']
    assert codec_for("text/csv", {"InputFilter": "$[1:]"}).to_model(['1,"say ""hi""",2']) == ['"say ""hi""",2']


def test_a_field_may_be_large():
    assert parse_row(f'"{"x" * 1_000_000}",b') == ["x" * 1_000_000, "b"]


@given(st.lists(st.text(st.characters(exclude_characters=',"\r\n')), min_size=1), st.integers(-3, 5))
def test_the_short_way_through_plain_rows_gives_what_the_long_one_gives(row, start):
    codec = codec_for("text/csv", {"InputFilter": f"$[{start}:]"})
    assert codec.to_model([",".join(row)]) == [",".join(row[start:])]


@given(
    st.lists(st.text(st.characters(exclude_characters=',"\r\n')), min_size=3), st.lists(st.integers(-3, 2), min_size=1)
)
def test_the_short_way_to_positions_gives_what_the_long_one_gives(row, positions):
    codec = codec_for("text/csv", {"InputFilter": f"$[{','.join(map(str, positions))}]"})
    assert codec.to_model([",".join(row)]) == [",".join(row[position] for position in positions)]


def test_an_index_that_a_row_does_not_have_fails():
    with pytest.raises(BadData, match="index 2 of a record with 2 fields"):
        codec_for("text/csv", {"OutputFilter": "$[2]"}).to_output([], ["a,b"])
    with pytest.raises(BadData, match="index 2 of a record with 2 fields"):
        codec_for("text/csv", {"OutputFilter": "$[0,2]"}).to_output([], ["a,b"])


def test_the_reserved_name_is_overwritten():
    codec = codec_for("application/json", {"JoinSource": "Input"})
    assert codec.to_output(['{"SageMakerOutput":1,"a":2}'], ["3"]) == ['{"SageMakerOutput":3,"a":2}']


@pytest.mark.parametrize("line", ["", "nan", "NaN", '{"a":Infinity}', "[" * 100_000, "\ufeff{}", "{} {}", "{'a':1}"])
def test_what_is_no_json_is_refused(line):
    with pytest.raises(BadData, match="input record is not JSON"):
        codec_for("application/jsonlines", {"InputFilter": "$.a"}).to_model([line])


def test_text_that_utf8_cannot_hold_stays_escaped():
    codec = codec_for("application/json", {"InputFilter": "$.a"})
    assert codec.to_model(['{"a":"\\ud800é"}', '{"a":"é"}']) == ['"\\ud800\\u00e9"', '"é"']


def test_a_prediction_that_is_not_json_is_quoted():
    codec = codec_for("application/jsonlines", {"JoinSource": "Input"})
    with pytest.raises(BadData, match=r"prediction is not JSON.*oops"):
        codec.to_output(["{}"], ["oops"])


@pytest.mark.parametrize("processing", [{}, {"InputFilter": "$", "OutputFilter": "$"}, {"JoinSource": "None"}])
def test_without_processing_bytes_pass_untouched(processing):
    assert codec_for("text/csv", processing) is None
