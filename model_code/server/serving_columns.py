"""Tables of numbers to and from bytes, a column or a body at a time: no Python per row or value.

pyarrow does the work where it is installed and the body is large enough to pay for it; numpy and the standard library
do it otherwise, with the same bits and the same text. numpy and pyarrow are imported in the functions, because a script
with hooks of its own may run without them.

`Columns` are the hooks of a script that brings none, where TURNOUT_HOOKS is "columnar": rows always two-dimensional and
float64, and besides JSON, CSV and npy also JSON Lines and Parquet, both ways.
"""

import importlib.util
import io
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

try:
    import orjson
except ImportError:  # read by the standard library, which takes longer
    orjson = None

JSON = "application/json"
CSV = "text/csv"
NPY = "application/x-npy"
JSON_LINES = ("application/jsonlines", "application/x-jsonlines", "application/json-lines")
PARQUET = ("application/vnd.apache.parquet", "application/x-parquet")

#: Bytes of text from which on pyarrow is faster, its import once left aside.
LARGE_TEXT = 2**16
#: Numbers from which on pyarrow writes text faster.
MANY_NUMBERS = 2**10
#: Rows that are written at a time: Arrow's text ends at 2 GB.
ROWS_AT_ONCE = 2**20
#: Letters that are checked at a time.
AT_ONCE = 2**17
#: Bytes that pyarrow's CSV reader takes at a time; measured, larger and smaller are slower.
BLOCK_BYTES = 2**20


class NotColumnar(ValueError):
    """The text is not a plain table of numbers, or pyarrow is missing: read it in another way."""


class BadTable(ValueError):
    """The body is not a table of numbers as the model needs it."""

    status_code = 400


class Unsupported(ValueError):
    """A content type that cannot be read (415) or written (406)."""

    def __init__(self, message: str, status_code: int) -> None:
        super().__init__(message)
        self.status_code = status_code


def csv_matrix(body: bytes, dtype: Any) -> Any:
    """Return the values of CSV without header, quotes or empty cells as an array of shape (rows, columns).

    Every value is read as the nearest float64 and then turned into `dtype`. Raises NotColumnar.
    """
    if not has_pyarrow() or b"\r" in body:
        raise NotColumnar("a carriage return, or no pyarrow")
    import pyarrow as pa
    import pyarrow.csv

    names = [str(number) for number in range(body.partition(b"\n")[0].count(b",") + 1)]
    try:
        table = pa.csv.read_csv(
            pa.py_buffer(body),
            pa.csv.ReadOptions(use_threads=False, column_names=names, block_size=BLOCK_BYTES),
            pa.csv.ParseOptions(quote_char=False, ignore_empty_lines=False),
            pa.csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.float64()), null_values=[], strings_can_be_null=False
            ),
        )
    except pa.ArrowException as error:
        raise NotColumnar(str(error)) from error
    return _matrix(table.columns, dtype)


def numbers_as_text(values: Any, within: str, between: str) -> str:
    """Return whole numbers or float64 of shape (rows,) or (rows, columns) as Python's `repr` writes them.

    `within` stands between the values of a row, `between` between rows.
    """
    table = values.reshape(len(values), -1)
    if table.size < MANY_NUMBERS or not has_pyarrow():
        return between.join(within.join(map(repr, row)) for row in table.tolist())
    parts = (table[start : start + ROWS_AT_ONCE] for start in range(0, len(table), ROWS_AT_ONCE))
    return between.join(_joined(part, within, between) for part in parts)


def _joined(table: Any, within: str, between: str) -> str:
    import pyarrow as pa
    import pyarrow.compute

    columns = [_texts(column) for column in table.T]
    rows = pa.compute.binary_join_element_wise(*columns, within) if len(columns) > 1 else columns[0]
    return pa.compute.binary_join(pa.ListArray.from_arrays([0, len(rows)], rows), between)[0].as_py()


def _texts(column: Any) -> Any:
    """Return each number's `repr` as an Arrow array."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute

    column = np.ascontiguousarray(column)
    text = pa.array(column).cast(pa.string())
    if column.dtype.kind != "f":
        return text
    size = np.abs(column)
    # Outside these limits, and for whole numbers, pyarrow's notation differs from Python's.
    different = ~((size >= 1e-4) & (size < 1e10)) | (column == np.trunc(column))
    if not different.any():
        return text
    return pa.compute.replace_with_mask(text, different, pa.array(_reprs(column[different]), pa.string()))


def _reprs(values: Any) -> list[str]:
    """Return each float's `repr`; class labels are few, so that each different value is written once."""
    import numpy as np

    once, where = np.unique(values.view(np.int64), return_inverse=True)  # bits, because -0.0 equals 0.0
    return np.array(list(map(repr, once.view(np.float64).tolist())), dtype=object)[where].tolist()


def has_pyarrow() -> bool:
    """Return whether pyarrow is installed, without importing it."""
    return importlib.util.find_spec("pyarrow") is not None


@dataclass(frozen=True)
class Columns:
    """Hooks of the same meaning as the script's. `features` names the columns wanted of bodies that have names."""

    features: tuple[str, ...] = ()

    def input_fn(self, body: bytes | bytearray, content_type: str) -> Any:
        """Return the rows as float64 of shape (rows, features). Raises BadTable or Unsupported."""
        kind = _media_type(content_type)
        if kind == CSV:
            rows = _read_csv(body)
        elif kind == JSON:
            rows = self._read_json(body)
        elif kind in JSON_LINES:
            rows = self._read_json_lines(body)
        elif kind in PARQUET:
            rows = self._read_parquet(body)
        elif kind == NPY:
            rows = _read_npy(body)
        else:
            raise Unsupported(f"{content_type} is not among {', '.join(_known())}", 415)
        return self._checked(rows)

    def output_fn(self, prediction: Any, accept: str) -> tuple[str | bytes, str]:
        """Return the predictions, one or a row of several for each row that came in. Raises Unsupported."""
        import numpy as np

        kind = _media_type(accept)
        values = np.asarray(prediction)
        if kind == CSV:
            return _lines(values, ("", "")), accept
        if kind in JSON_LINES:
            return _lines(values, ("[", "]") if values.ndim > 1 else ("", "")), accept
        if kind == JSON:
            return '{"predictions": ' + _json(values) + "}", accept
        if kind in PARQUET:
            return _write_parquet(values), accept
        if kind == NPY:
            return _write_npy(values), accept
        raise Unsupported(f"{accept} is not among {', '.join(_known())}", 406)

    def _checked(self, rows: Any) -> Any:
        import numpy as np

        if rows.ndim != 2 or rows.dtype.kind not in "iufb":
            raise BadTable("expected rows of numbers, all of one length")
        if not rows.size:
            raise BadTable("rows without values" if len(rows) else "no rows")
        if self.features and rows.shape[1] != len(self.features):
            raise BadTable(f"rows have {rows.shape[1]} values instead of {len(self.features)}")
        return rows.astype(np.float64, copy=False)

    def _read_json(self, body: bytes | bytearray) -> Any:
        try:
            document = _document(body)
        except RecursionError as error:
            raise BadTable("the body is nested too deeply") from error
        except ValueError as error:
            raise BadTable(f"not JSON: {error}") from error
        if isinstance(document, dict) and set(document) == {"instances"}:
            document = document["instances"]
        return self._from_rows(document)

    def _read_json_lines(self, body: bytes | bytearray) -> Any:
        """Lists of numbers are CSV in brackets, and read as such where they are plain."""
        inside = _inside_brackets(bytes(body))
        if inside is not None:
            try:
                return csv_matrix(inside, "float64")
            except NotColumnar:
                pass  # what follows reads it, or says what is wrong
        try:
            return self._from_rows([json.loads(line, parse_int=float) for line in body.splitlines()])
        except RecursionError as error:
            raise BadTable("a line is nested too deeply") from error
        except ValueError as error:
            raise BadTable(f"not JSON Lines: {error}") from error

    def _from_rows(self, rows: Any) -> Any:
        import numpy as np

        if not isinstance(rows, list):
            raise BadTable("expected a list of rows")
        if rows and isinstance(rows[0], dict):
            self._need_names()
            try:
                rows = [[row[name] for name in self.features] for row in rows]
            except (KeyError, TypeError) as error:
                raise BadTable(f"every row needs all of {', '.join(self.features)}: {error!r}") from error
        try:
            return np.array(rows)
        except ValueError as error:
            raise BadTable("expected rows of numbers, all of one length") from error

    def _read_parquet(self, body: bytes | bytearray) -> Any:
        if not has_pyarrow():
            raise Unsupported("this container has no pyarrow, which reads Parquet", 415)
        import pyarrow as pa
        import pyarrow.parquet

        self._need_names()
        try:
            file = pa.parquet.ParquetFile(pa.BufferReader(body))
            missing = set(self.features) - set(file.schema_arrow.names)
            if missing:
                raise BadTable(f"the Parquet file has no column {', '.join(sorted(missing))}")
            table = file.read(columns=list(self.features), use_threads=False)
            return _matrix([_numeric(name, table.column(name)) for name in self.features], "float64")
        except pa.ArrowException as error:
            raise BadTable(f"not Parquet: {error}") from error

    def _need_names(self) -> None:
        """Refuse to guess an order: a column moved by one would give wrong predictions silently."""
        if not self.features:
            raise BadTable("this body has named columns; TURNOUT_FEATURES has to say which the model takes, in order")


def _numeric(name: str, column: Any) -> Any:
    import pyarrow as pa

    if column.null_count:
        raise BadTable(f"column {name} has {column.null_count} empty values")
    if not (pa.types.is_floating(column.type) or pa.types.is_integer(column.type) or pa.types.is_boolean(column.type)):
        raise BadTable(f"column {name} is {column.type}, not numbers")
    return column.cast(pa.float64())


def _matrix(columns: Sequence[Any], dtype: Any) -> Any:
    """Return Arrow columns without nulls as one array, rows first."""
    import numpy as np

    out = np.empty((len(columns[0]), len(columns)), dtype)
    for number, column in enumerate(columns):
        out[:, number] = column.to_numpy()
    return out


def _read_csv(body: bytes | bytearray) -> Any:
    import numpy as np

    if len(body) >= LARGE_TEXT:
        try:
            return csv_matrix(bytes(body), np.float64)
        except NotColumnar:
            pass  # what follows reads it, or says what is wrong
    try:
        lines = body.decode().splitlines()
        if not all(lines):
            raise BadTable("an empty line is no row")  # numpy would skip it, and predictions would slip by one
        return np.loadtxt(lines, delimiter=",", comments=None, ndmin=2) if lines else np.empty((0, 0))
    except ValueError as error:
        raise BadTable(f"not CSV of numbers: {error}") from error


def _inside_brackets(body: bytes) -> bytes | None:
    """Return `[1, 2]\\n[3, 4]` without its brackets and blanks; None if the body is small or not of this form.

    Nothing is returned that is no JSON: pyarrow's CSV reader, which gets it, takes more than that for a number.
    """
    import numpy as np

    if len(body) < LARGE_TEXT or body.translate(None, b"0123456789.-+eE,[] \n"):
        return None
    text = body.removesuffix(b"\n")
    if b" " in text:
        text = text.replace(b", ", b",")
        if b" " in text:
            return None  # blanks elsewhere are rare, and might part two numbers
    is_plain = _is_framed(np.frombuffer(text, np.uint8)) and all(map(_has_numbers_of_json, _parts(text)))
    return text.translate(None, b"[]") if is_plain else None


def _parts(text: bytes) -> Iterator[Any]:
    """Yield letters as numbers, as many at a time as a processor's cache holds. Any four in a row are in one part."""
    import numpy as np

    for start in range(0, len(text), AT_ONCE):
        yield np.frombuffer(text, np.uint8, min(AT_ONCE + 3, len(text) - start), start)


_COMMA, _OPEN, _CLOSE, _BREAK, _MINUS, _PLUS, _POINT, _ZERO, _EXPONENT = b",[]\n-+.0e"


def _is_framed(letters: Any) -> bool:
    """Return whether each line is in brackets and has no others."""
    import numpy as np

    opens, closes, breaks = (np.flatnonzero(letters == mark) for mark in (_OPEN, _CLOSE, _BREAK))
    if not len(opens) == len(closes) == len(breaks) + 1:
        return False
    whole = opens[0] == 0 and closes[-1] == len(letters) - 1
    return bool(whole and (closes[:-1] + 1 == breaks).all() and (breaks + 1 == opens[1:]).all())


def _has_numbers_of_json(letters: Any) -> bool:
    """Return whether what stands between brackets and commas begins and goes on as JSON's numbers do.

    `+1`, `01`, `.5` and `1.` do not. What is no number in CSV either (`1e`, `1-2`) is left to who reads that.
    """
    is_digit = letters - _ZERO < 10  # unsigned: whatever is below "0" becomes large
    is_minus = letters == _MINUS
    before = (letters == _COMMA) | (letters == _OPEN)
    point = letters[1:-1] == _POINT
    wrong = before[:-1] & ~(is_digit | is_minus)[1:]
    wrong |= is_minus[:-1] & ~is_digit[1:]
    wrong[1:] |= point & ~(is_digit[:-2] & is_digit[2:])
    before[1:] |= is_minus[1:] & before[:-1]
    wrong[1:] |= before[:-2] & (letters[1:-1] == _ZERO) & is_digit[2:]
    wrong |= (letters[1:] == _PLUS) & (letters[:-1] | 32 != _EXPONENT)
    return not wrong.any()


def _read_npy(body: bytes | bytearray) -> Any:
    import numpy as np

    try:
        return np.load(io.BytesIO(body), allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise BadTable(f"not npy: {error}") from error


def _write_npy(values: Any) -> bytes:
    import numpy as np

    stream = io.BytesIO()
    np.save(stream, values, allow_pickle=False)
    return stream.getvalue()


def _lines(values: Any, brackets: tuple[str, str]) -> str:
    """Return one line per prediction; labels that are text are written as JSON strings."""
    opening, closing = brackets
    if not len(values):
        return ""
    if values.dtype.kind in "fiu":
        between = closing + "\n" + opening
        return opening + numbers_as_text(_wide(values), ",", between) + closing + "\n"
    rows = values.reshape(len(values), -1).tolist()
    return "".join(f"{opening}{','.join(json.dumps(value) for value in row)}{closing}\n" for row in rows)


def _document(body: bytes | bytearray) -> Any:
    """Return what the JSON says. orjson is several times faster; what it refuses, the standard library may take."""
    if orjson is not None:
        try:
            return orjson.loads(body)
        except ValueError:
            pass  # NaN, say
    return json.loads(body)


def _json(values: Any) -> str:
    if values.size < MANY_NUMBERS:
        return json.dumps(_wide(values).tolist())
    if values.dtype.kind in "fiu" and values.ndim == 1 and bool((abs(values) < math.inf).all()):
        return f"[{numbers_as_text(_wide(values), '', ', ')}]"
    return json.dumps(values.tolist())


def _wide(values: Any) -> Any:
    """Return floats as float64, which is what a reader of the text takes them for."""
    return values.astype("float64", copy=False) if values.dtype.kind == "f" else values


def _write_parquet(values: Any) -> bytes:
    """Return the predictions as Parquet, rows in the order in which they came: column `prediction`, or one for each."""
    if not has_pyarrow():
        raise Unsupported("this container has no pyarrow, which writes Parquet", 406)
    import pyarrow as pa
    import pyarrow.parquet

    if values.ndim == 1:
        table = pa.table({"prediction": pa.array(values)})
    else:
        table = pa.table({f"prediction_{number}": pa.array(column) for number, column in enumerate(values.T)})
    stream = io.BytesIO()
    pa.parquet.write_table(table, stream)
    return stream.getvalue()


def _media_type(header: str) -> str:
    return header.partition(";")[0].strip().lower()


def _known() -> tuple[str, ...]:
    return (CSV, JSON, JSON_LINES[0], PARQUET[0], NPY)
