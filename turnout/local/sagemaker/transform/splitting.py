"""Records of an object, and batches of records that fit into one request."""

from collections.abc import Iterator

from turnout.local.sagemaker.transform.errors import BadData

MEGABYTE = 1024 * 1024


def split_lines(data: bytes) -> list[bytes]:
    """Return the records of `SplitType: Line`, without their newline. A last empty line is no record."""
    if not data:
        return []
    records = data.split(b"\n")
    if not records[-1]:
        records.pop()
    return [record[:-1] if record.endswith(b"\r") else record for record in records]


def batches(records: list[bytes], max_bytes: int, single: bool) -> Iterator[tuple[int, int]]:
    """Yield `(start, end)` of consecutive batches whose newline-joined size stays within `max_bytes`.

    `single` puts one record into each batch (BatchStrategy SingleRecord); `max_bytes` of 0 means no limit.
    Raises BadData for a record that does not fit alone.
    """
    start, size = 0, 0
    for index, record in enumerate(records):
        needed = len(record) + 1
        if max_bytes and needed > max_bytes:
            raise BadData(
                f"record {index + 1} has {needed} bytes, more than MaxPayloadInMB allows ({max_bytes // MEGABYTE} MB)"
            )
        full = max_bytes and size + needed > max_bytes
        if index > start and (single or full):
            yield start, index
            start, size = index, 0
        size += needed
    if start < len(records):
        yield start, len(records)


def output_key(input_key: str, prefix: str, output_prefix: str) -> str:
    """Return where an object's result lies: the output prefix, the sub-folder under the input prefix, `.out`."""
    rest = input_key[len(prefix) :]
    if prefix and not prefix.endswith("/") and not rest.startswith("/"):
        rest = input_key[prefix.rfind("/") + 1 :]
    folder = output_prefix if not output_prefix or output_prefix.endswith("/") else output_prefix + "/"
    return f"{folder}{rest.lstrip('/')}.out"
