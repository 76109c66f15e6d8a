"""What the container calls: load the churn model, read a request, predict, write the answer.

The hooks are those of AWS's prebuilt scikit-learn container, so the same model.tar.gz runs there. That
container hands over `text/csv` and `application/json` bodies as text and every other type as bytes.
An exception's `status_code` is the HTTP status in this repository's own server and in AWS's newer images; the
scikit-learn image answers 500 to whatever is raised.
Parquet needs pyarrow, which AWS's scikit-learn images bring along (14.0.1 up to 1.5-2, 17.0.0 in 1.4-2-py312); it is
imported by the first request that carries any.
"""

import io
import json
from pathlib import Path

import joblib
import numpy as np

#: The order of columns in CSV, in lists and in the trained model. schema.yaml lists the same names.
FEATURES = (
    "recency_days",
    "purchase_days",
    "mean_amount_usd",
    "tenure_days",
    "mean_gap_days",
    "last_amount_usd",
    "cds_bought",
    "purchase_days_91d",
    "cohort_month",
)

#: Any customer will do; it is scored once before the container says that it is ready.
WARM_UP_ROW = (30.0, 3.0, 35.0, 300.0, 60.0, 20.0, 7.0, 1.0, 1.0)

#: predict_fn's promise, which lets our server answer requests that wait with one prediction. AWS's does not look.
ROW_BY_ROW = True


class BadRows(ValueError):
    """The body is not rows of the features, in order or by name."""

    status_code = 400


class UnsupportedContentType(ValueError):
    """The body's type is none that this model reads."""

    status_code = 415


class UnsupportedAccept(ValueError):
    """The asked-for type is none that this model writes."""

    status_code = 406


def model_fn(model_dir):
    """Return the classifier trained by train.py. Raises FileNotFoundError without `model.joblib`."""
    return joblib.load(Path(model_dir) / "model.joblib")


def model_warmup_fn(model_dir, model):
    """Predict once, so that the first caller does not wait for what scikit-learn does on its first call."""
    predict_fn(np.array([WARM_UP_ROW]), model)


def input_fn(body, content_type):
    """Return the body's rows as float64 of shape (rows, features). Raises BadRows or UnsupportedContentType."""
    read = READERS.get(_media_type(content_type))
    if read is None:
        raise UnsupportedContentType(f"{content_type} is not among {', '.join(READERS)}")
    try:
        rows = read(body)
    except BadRows:
        raise
    except ValueError as error:
        raise BadRows(str(error)) from error
    return _checked(rows)


def predict_fn(data, model):
    """Return each row's churn probability as float64 of shape (rows,).

    Each row's value is a sum over trees in a fixed order, so it does not depend on the rows around it.
    """
    return model.predict_proba(data)[:, 1]


def output_fn(prediction, accept):
    """Return the body and its content type. `repr` of a float is the shortest text that reads back as the same bits."""
    write = WRITERS.get(_media_type(accept))
    if write is None:
        raise UnsupportedAccept(f"{accept} is not among {', '.join(WRITERS)}")
    return write(prediction), accept


def _media_type(header):
    return header.partition(";")[0].strip().lower()


def _text(body):
    return body.decode("utf-8") if isinstance(body, bytes | bytearray) else body


def _rows_from_csv(body):
    lines = _text(body).splitlines()
    if not all(lines):
        raise BadRows("an empty line is no row")  # numpy would skip it, and predictions would slip by one
    return np.loadtxt(lines, delimiter=",", comments=None, dtype=np.float64, ndmin=2) if lines else _no_rows()


def _rows_from_json(body):
    document = json.loads(_text(body))
    if isinstance(document, dict):
        if set(document) != {"instances"}:
            raise BadRows('expected {"instances": [...]} or a list of rows')
        document = document["instances"]
    if not isinstance(document, list):
        raise BadRows("expected a list of rows")
    return _matrix(document)


def _rows_from_json_lines(body):
    return _matrix([json.loads(line) for line in _text(body).splitlines()])


def _rows_from_parquet(body):
    """Read FEATURES by name; other columns, such as Batch Transform's `row`, are no features."""
    import pyarrow
    import pyarrow.parquet

    try:
        file = pyarrow.parquet.ParquetFile(pyarrow.BufferReader(body))
        names = file.schema_arrow.names
        wrong = [name for name in FEATURES if names.count(name) != 1]
        if wrong:
            raise BadRows(f"the file lacks or has twice: {', '.join(wrong)}")
        table = file.read(columns=list(FEATURES), use_threads=False)
    except (pyarrow.ArrowException, OSError) as error:
        raise BadRows(f"not Parquet: {error}") from error
    types = pyarrow.types
    if not all(types.is_integer(kind) or types.is_floating(kind) for kind in table.schema.types):
        raise BadRows("every value must be a number")
    return np.column_stack([table.column(name).to_numpy() for name in FEATURES]).astype(np.float64)


def _matrix(rows):
    if not rows:
        return _no_rows()
    values = np.array([_in_order(number, row) for number, row in enumerate(rows, 1)])
    if values.dtype.kind not in "iuf":
        raise BadRows("every value must be a number")
    return values.astype(np.float64)


def _in_order(number, row):
    """Return one row's values in the order of FEATURES; `row` is a list in that order or an object by name."""
    if isinstance(row, list):
        if len(row) != len(FEATURES):
            raise BadRows(f"row {number} has {len(row)} values instead of {len(FEATURES)}")
        return row
    if not isinstance(row, dict):
        raise BadRows(f"row {number} is neither a list nor an object")
    if row.keys() != set(FEATURES):
        wrong = sorted(row.keys() ^ set(FEATURES))
        raise BadRows(f"row {number} lacks or does not know: {', '.join(wrong)}")
    return [row[name] for name in FEATURES]


def _no_rows():
    return np.empty((0, len(FEATURES)))


def _checked(rows):
    if rows.shape[0] == 0:
        raise BadRows("no rows")
    if rows.shape[1] != len(FEATURES):
        raise BadRows(f"rows have {rows.shape[1]} values instead of {len(FEATURES)}")
    if not np.isfinite(rows).all():
        row, column = np.argwhere(~np.isfinite(rows))[0]
        raise BadRows(f"row {row + 1}: {FEATURES[column]} is not a finite number")
    return rows


def _lines(values):
    return "".join(f"{value!r}\n" for value in values.tolist())


def _document(values):
    return json.dumps({"predictions": values.tolist()})


def _file(values):
    """Return Parquet with as many rows as came in, in the same order: the publisher counts and matches them."""
    import pyarrow
    import pyarrow.parquet

    out = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table({"prediction": values}), out, use_dictionary=False)
    return out.getvalue()


READERS = {
    "text/csv": _rows_from_csv,
    "application/json": _rows_from_json,
    "application/jsonlines": _rows_from_json_lines,
    "application/x-parquet": _rows_from_parquet,
}
WRITERS = {
    "text/csv": _lines,
    "application/json": _document,
    "application/jsonlines": _lines,
    "application/x-parquet": _file,
}
