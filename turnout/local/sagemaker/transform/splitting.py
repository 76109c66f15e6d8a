"""An object's bytes cut into the bodies of requests: SplitType x BatchStrategy x MaxPayloadInMB.

Bytes that no filter touches go out as they came, line ends included: the bodies of one object, put together, are
the object. A body is never larger than the payload limit, and with MultiRecord never smaller than it must be.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

from turnout.local.sagemaker.transform import framing
from turnout.local.sagemaker.transform.errors import BadData
from turnout.local.sagemaker.transform.formats import Codec, decoded, text_lines

MEGABYTE = 1024 * 1024
#: How much text is filtered in one go, and how large the chunks of a chunked request are.
BLOCK_BYTES = 256 * 1024
FRAMES: dict[str, Callable[[BinaryIO, int], Iterator[framing.Frame]]] = {
    "RecordIO": framing.recordio,
    "TFRecord": framing.tfrecord,
}


@dataclass(frozen=True)
class FileChunks:
    """A request body that is a whole file, read anew each time it is sent."""

    path: Path

    def __iter__(self) -> Iterator[bytes]:
        with self.path.open("rb") as file:
            yield from iter(lambda: file.read(BLOCK_BYTES), b"")


#: Bytes have a Content-Length; anything else goes out with `Transfer-Encoding: chunked`.
Body = bytes | tuple[bytes, ...] | FileChunks


class Batch(NamedTuple):
    """One request's body; `records` are the lines of input behind it when DataProcessing needs them."""

    body: Body
    records: list[str]


@dataclass(frozen=True)
class Splitter:
    """How a job cuts its objects. `max_bytes` of 0 means no limit and chunked requests."""

    split: str
    single: bool
    max_bytes: int
    codec: Codec | None

    @property
    def sends_one_record(self) -> bool:
        """Whether each request carries exactly one record."""
        return self.single or self.split == "None"

    def batches(self, path: Path) -> Iterator[Batch]:
        """Yield an object's batches in order. Raises BadData for what cannot be split or does not fit."""
        if self.split == "None":
            yield self._whole(path)
            return
        with path.open("rb") as file:
            if self.codec is not None:
                yield from self._filtered(file)
            else:
                yield from (Batch(self._body(body), []) for body in self._pieces(path, file))

    def _body(self, body: Body) -> Body:
        return (body,) if isinstance(body, bytes) and not self.max_bytes else body

    def _pieces(self, path: Path, file: BinaryIO) -> Iterator[Body]:
        if self.split in FRAMES:
            frames = FRAMES[self.split](file, self.max_bytes)
            return (frame.payload for frame in frames) if self.single else self._joined(frame.raw for frame in frames)
        if self.single:
            return self._lines(file)
        return self._blocks_of_lines(file) if self.max_bytes else iter([FileChunks(path)] if file.read(1) else [])

    def _whole(self, path: Path) -> Batch:
        size = path.stat().st_size
        if self.codec is not None:
            text = decoded(path.read_bytes()).rstrip("\r\n")
            (sent,) = self.codec.to_model([text])
            self._check_size(len(body := sent.encode()), "the object")
            return Batch(self._body(body), [text])
        self._check_size(size, "the object")
        return Batch(path.read_bytes() if self.max_bytes else FileChunks(path), [])

    def _check_size(self, size: int, what: str) -> None:
        if self.max_bytes and size > self.max_bytes:
            raise too_large(f"{what} has {size} bytes", self.max_bytes)

    def _lines(self, file: BinaryIO) -> Iterator[bytes]:
        size = self.max_bytes + 1 if self.max_bytes else -1
        for number, line in enumerate(iter(lambda: file.readline(size), b""), 1):
            if self.max_bytes and len(line) > self.max_bytes:
                raise too_large(f"record {number} has more bytes", self.max_bytes)
            yield line

    def _blocks_of_lines(self, file: BinaryIO) -> Iterator[bytes]:
        """Cut at the last newline that fits, without looking at each record."""
        while data := file.read(self.max_bytes + 1):
            if len(data) <= self.max_bytes:
                yield data
                return
            end = data.rfind(b"\n", 0, self.max_bytes) + 1
            if not end:
                raise too_large(f"the record at byte {file.tell() - len(data)} has more bytes", self.max_bytes)
            file.seek(end - len(data), 1)
            yield data[:end]

    def _joined(self, pieces: Iterable[bytes]) -> Iterator[bytes | tuple[bytes, ...]]:
        waiting, size = [], 0
        for number, piece in enumerate(pieces, 1):
            self._check_size(len(piece), f"record {number}")
            if self.max_bytes and size + len(piece) > self.max_bytes:
                yield b"".join(waiting)
                waiting, size = [], 0
            waiting.append(piece)
            size += len(piece)
        if waiting:
            yield b"".join(waiting) if self.max_bytes else tuple(waiting)

    def _filtered(self, file: BinaryIO) -> Iterator[Batch]:
        filling = _Filling(self)
        for lines in blocks_of_text(file):
            yield from filling.add(lines, self.codec.to_model(lines))
        yield from filling.rest()


class _Filling:
    """Collects filtered lines until a request is full."""

    def __init__(self, splitter: Splitter) -> None:
        self._splitter, self._max_bytes = splitter, splitter.max_bytes
        self._records: list[str] = []
        self._sent: list[bytes] = []
        self._size = self._count = 0

    def add(self, lines: list[str], sent: list[str]) -> Iterator[Batch]:
        block = ("\n".join(sent) + "\n").encode()
        if not self._splitter.single and self._fits(len(block)):
            self._take(lines, block)
            return
        for line, filtered in zip(lines, sent, strict=True):
            body = filtered.encode() + b"\n"
            self._splitter._check_size(len(body), f"record {self._count + 1}")
            if self._records and (self._splitter.single or not self._fits(len(body))):
                yield from self.rest()
            self._take([line], body)

    def _fits(self, size: int) -> bool:
        return not self._max_bytes or self._size + size <= self._max_bytes

    def _take(self, lines: list[str], body: bytes) -> None:
        self._records += lines
        self._sent.append(body)
        self._size += len(body)
        self._count += len(lines)

    def rest(self) -> Iterator[Batch]:
        if self._records:
            yield Batch(b"".join(self._sent) if self._max_bytes else tuple(self._sent), self._records)
        self._records, self._sent, self._size = [], [], 0


def blocks_of_text(file: BinaryIO) -> Iterator[list[str]]:
    """Yield a text file's lines in blocks, without their line ends. Raises BadData for bytes that are not UTF-8."""
    while lines := file.readlines(BLOCK_BYTES):
        yield text_lines(b"".join(lines))


def too_large(what: str, max_bytes: int) -> BadData:
    """Return the error for a record or object that does not fit into one request."""
    return BadData(f"Too much data for max payload size: {what}, MaxPayloadInMB allows {max_bytes // MEGABYTE} MB")
