"""One object through the model: split, filter, send, join, assemble. The sending is a function passed in."""

import gzip
import shutil
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from turnout.local.sagemaker.transform.errors import BadData
from turnout.local.sagemaker.transform.formats import text_lines
from turnout.local.sagemaker.transform.settings import TransformSettings
from turnout.local.sagemaker.transform.splitting import Batch

#: Sends batches, possibly several at a time, and gives each back with its answer in the same order.
Answers = Callable[[Iterable[Batch]], Iterator[tuple[Batch, bytes]]]


def transform_object(source: Path, sink: BinaryIO, settings: TransformSettings, answers: Answers) -> None:
    """Write the bytes of the object's `.out`. Raises ObjectFailed when no complete result can be made."""
    first = 1
    for batch, answer in answers(settings.splitter.batches(source)):
        records = _processed(batch, answer, settings, first)
        part = answer if records is None else "\n".join(records).encode()
        sink.write(part)
        if settings.assemble_line and (records or not part.endswith(b"\n")):
            sink.write(b"\n")
        first += len(batch.records)


def _processed(batch: Batch, answer: bytes, settings: TransformSettings, first: int) -> list[str] | None:
    """Return the records that one answer adds to the result, None when its bytes are not to be looked into.

    `first` is the number of the batch's first record.
    """
    codec, marker, count = settings.splitter.codec, settings.marker, len(batch.records)
    reads_answers = codec is not None and codec.reads_answers
    if not reads_answers and marker is None:
        return None
    one = settings.splitter.sends_one_record or count == 1
    predictions = codec.predictions(answer, one) if codec is not None else text_lines(answer)
    if reads_answers:
        if codec.join and len(predictions) != count:
            raise BadData(
                f"Fail to join: the number of records differs: records {first} to {first + count - 1} ({count}) "
                f"were sent, {len(predictions)} came back"
            )
        predictions = codec.to_output(batch.records, predictions)
    return marker.mark(predictions) if marker else predictions


def unpack(packed: Path, unpacked: Path) -> None:
    """Write what a gzip file holds, one or several members. Raises BadData when it is none."""
    try:
        with gzip.open(packed, "rb") as source, unpacked.open("wb") as sink:
            shutil.copyfileobj(source, sink, 1024 * 1024)
    except (OSError, EOFError, zlib.error) as error:
        raise BadData(f"the object is not gzip: {error}") from None
