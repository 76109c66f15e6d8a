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


def test_a_prediction_that_is_not_json_is_quoted():
    codec = codec_for("application/jsonlines", {"JoinSource": "Input"})
    with pytest.raises(BadData, match=r"prediction is not JSON.*oops"):
        codec.to_output(["{}"], ["oops"])


@pytest.mark.parametrize("processing", [{}, {"InputFilter": "$", "OutputFilter": "$"}, {"JoinSource": "None"}])
def test_without_processing_bytes_pass_untouched(processing):
    assert codec_for("text/csv", processing) is None
