"""`handlers.logic.live_ports.Files` in S3."""

from typing import Any

from botocore.exceptions import ClientError

from handlers.adapters.store_errors import answered
from handlers.logic.live_ports import File
from handlers.logic.ports import ObjectMissing


class AsyncFiles:
    """Takes a client of S3 that signs with version 4 (clients.FILES).

    Without the right to list a bucket S3 answers 403 for an object that is not there, so the front door needs that
    right on its prefix.
    """

    def __init__(self, client: Any) -> None:
        self._client = client

    def look(self, uri: str) -> File | None:
        with answered():
            try:
                found = self._client.head_object(**_place(uri))
            except ClientError as error:
                if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
                    return None
                raise
        return File(found["ContentLength"], found["LastModified"])

    def get(self, uri: str) -> bytes:
        with answered():
            try:
                return self._client.get_object(**_place(uri))["Body"].read()
            except self._client.exceptions.NoSuchKey as error:
                raise ObjectMissing(uri) from error

    def put(self, uri: str, body: bytes) -> None:
        with answered():
            self._client.put_object(**_place(uri), Body=body)

    def upload_url(self, uri: str, seconds: int) -> str:
        return self._client.generate_presigned_url("put_object", Params=_place(uri), ExpiresIn=seconds)

    def download_url(self, uri: str, seconds: int) -> str:
        return self._client.generate_presigned_url("get_object", Params=_place(uri), ExpiresIn=seconds)


def _place(uri: str) -> dict[str, str]:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return {"Bucket": bucket, "Key": key}
