"""The quarantine file: one JSON line per refused row, with its number, its reasons and what it held."""

import json
import math
from collections import Counter
from tempfile import SpooledTemporaryFile
from typing import Any, BinaryIO

from handlers.logic.validation import Reason

#: Bytes that stay in memory before the file goes to /tmp.
SPOOL_BYTES = 32 * 2**20


class Quarantine:
    """Collects refused rows and counts them by reason; a row with two reasons counts for both."""

    def __init__(self) -> None:
        self._file = SpooledTemporaryFile(max_size=SPOOL_BYTES)  # noqa: SIM115 (closed by `close`)
        self.rows = 0
        self.reasons: Counter[str] = Counter()

    def add(
        self, *, row: int, file: str, line: int | None, key: Any, reasons: list[Reason], values: dict[str, Any] | str
    ) -> None:
        """Refuse one row. `row` counts from 1 over the data set; `values` is the line itself when it is no row."""
        record = {
            "row": row,
            "file": file,
            "line": line,
            "key": _plain(key),
            "reasons": [reason.to_json() for reason in reasons],
            "values": values if isinstance(values, str) else {name: _plain(value) for name, value in values.items()},
        }
        # ASCII, so that even a lone surrogate from a JSON Lines file can be written down.
        self._file.write(json.dumps(record, default=str).encode() + b"\n")
        self.rows += 1
        self.reasons.update({reason.code for reason in reasons})

    def body(self) -> BinaryIO:
        self._file.seek(0)
        return self._file

    def close(self) -> None:
        self._file.close()


def _plain(value: Any) -> Any:
    """Return NaN and infinities as text, because JSON has no such numbers."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
