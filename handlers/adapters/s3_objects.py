"""`handlers.logic.ports.Objects` in S3."""

from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

from handlers.logic.ports import ObjectMissing, StoredObject

#: Objects that one DeleteObjects call takes.
DELETE_BATCH = 1_000


class S3Objects:
    def __init__(self, client: Any) -> None:
        self._client = client

    def list(self, bucket: str, prefix: str, after: str = "") -> Iterator[StoredObject]:
        """Yield objects as S3 lists them: in the order of their keys' UTF-8 bytes."""
        start = {"StartAfter": after} if after else {}
        for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix, **start):
            for entry in page.get("Contents", ()):
                yield StoredObject(entry["Key"], entry["Size"], entry["LastModified"])

    def get(self, bucket: str, key: str) -> bytes:
        try:
            return self._client.get_object(Bucket=bucket, Key=key)["Body"].read()
        except self._client.exceptions.NoSuchKey as error:
            raise ObjectMissing(f"s3://{bucket}/{key}") from error

    def get_range(self, bucket: str, key: str, start: int, stop: int) -> bytes:
        try:
            answer = self._client.get_object(Bucket=bucket, Key=key, Range=f"bytes={start}-{stop - 1}")
        except self._client.exceptions.NoSuchKey as error:
            raise ObjectMissing(f"s3://{bucket}/{key}") from error
        return answer["Body"].read()

    def put(self, bucket: str, key: str, body: bytes | BinaryIO) -> None:
        self._client.put_object(Bucket=bucket, Key=key, Body=body)

    def delete(self, bucket: str, keys: Sequence[str]) -> None:
        for start in range(0, len(keys), DELETE_BATCH):
            batch = [{"Key": key} for key in keys[start : start + DELETE_BATCH]]
            answer = self._client.delete_objects(Bucket=bucket, Delete={"Objects": batch, "Quiet": True})
            if answer.get("Errors"):
                raise OSError(f"S3 did not delete {answer['Errors'][0]}")
