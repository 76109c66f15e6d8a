"""Defaults are AWS's, their oddities included."""

import io

import numpy as np
import pytest
from serving_codecs import UnsupportedAccept, UnsupportedContentType, default_input_fn, default_output_fn


def npy(array, **options) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, **options)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("body", "content_type", "shape"),
    [
        ("1,2\n3,4.5\n", "text/csv", (2, 2)),
        ("1,2\n", "text/csv", (2,)),
        ("[[1, 2], [3, 4.5]]", "application/json", (2, 2)),
    ],
)
def test_text_becomes_float32_and_one_csv_row_is_one_dimensional(body, content_type, shape):
    array = default_input_fn(body, content_type)
    assert (array.shape, array.dtype) == (shape, np.float32)


def test_npy_keeps_its_type_and_refuses_pickles():
    assert default_input_fn(npy(np.array([1, 2])), "application/x-npy").dtype == np.int64
    with pytest.raises(ValueError, match="allow_pickle"):
        default_input_fn(npy(np.array([{}], dtype=object), allow_pickle=True), "application/x-npy")


@pytest.mark.parametrize(
    ("body", "content_type"),
    [("1,x", "text/csv"), ('1,"2', "text/csv"), ("[1", "application/json"), ("[" * 60_000, "application/json")],
)
def test_unreadable_text_is_an_error(body, content_type):
    with pytest.raises(ValueError, match=r".+"):
        default_input_fn(body, content_type)


def test_predictions_are_written_so_that_they_read_back_the_same():
    values = np.array([0.1 + 0.2, 1 / 3])
    assert default_output_fn(values, "text/csv") == ("0.30000000000000004\n0.3333333333333333\n", "text/csv")
    assert default_output_fn(values, "application/json")[0] == "[0.30000000000000004, 0.3333333333333333]"
    assert (np.load(io.BytesIO(default_output_fn(values, "application/x-npy")[0])) == values).all()
    assert default_output_fn(np.array([[1.0, 2.0]]), "text/csv")[0] == "1.0,2.0\n"


def test_other_types_are_refused_with_the_status_that_http_has_for_it():
    with pytest.raises(UnsupportedContentType) as no_read:
        default_input_fn(b"", "text/plain")
    with pytest.raises(UnsupportedAccept) as no_write:
        default_output_fn([1], "text/plain")
    assert (no_read.value.status_code, no_write.value.status_code) == (415, 406)
