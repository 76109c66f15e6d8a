"""One instance's objects: from S3 to disk, through the container, and back to S3.

As many objects are under way as requests may be; together they keep to the job's MaxConcurrentTransforms. An object
is never in memory as a whole, only the bodies of its requests are.
"""

import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from turnout.local.sagemaker.data_log import DataLog
from turnout.local.sagemaker.transform.assembling import transform_object, unpack
from turnout.local.sagemaker.transform.errors import BadData, JobFailed, ObjectFailed
from turnout.local.sagemaker.transform.inputs import InputObject, location, output_key
from turnout.local.sagemaker.transform.sending import Requests
from turnout.local.sagemaker.transform.settings import TransformSettings

DOWNLOAD_CHUNK_BYTES = 1024 * 1024


@dataclass(frozen=True)
class Objects:
    """`check` is called often: it raises when the work is to end. `folder` is scratch space."""

    s3: Any
    output: dict
    settings: TransformSettings
    requests: Requests
    folder: Path
    log: DataLog
    check: Callable[[], None]

    def transform(self, objects: list[InputObject]) -> list[ObjectFailed]:
        """Transform them all; return what failed, in their order. Raises JobFailed or what `check` raises."""
        self.folder.mkdir(parents=True, exist_ok=True)
        workers = min(self.settings.concurrency, len(objects))
        with ThreadPoolExecutor(workers, thread_name_prefix="object") as pool:
            work = [pool.submit(self._failure, what) for what in objects]
            try:
                return [failure for future in work if (failure := future.result())]
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _failure(self, what: InputObject) -> ObjectFailed | None:
        self.check()
        try:
            self._transform(what)
        except ObjectFailed as error:
            self.check()
            self.log.write(*_told(what, error))
            return type(error)(f"{what.bucket}/{what.key}: {error}")
        return None

    def _transform(self, what: InputObject) -> None:
        scratch = self.folder / uuid.uuid4().hex
        source, result = scratch.with_suffix(".in"), scratch.with_suffix(".out")
        try:
            self._download(what, source)
            if self.settings.gzip:
                unpack(source, packed := scratch.with_suffix(".unpacked"))
                packed.replace(source)
            with result.open("wb") as sink:
                transform_object(source, sink, self.settings, self.requests.answers)
            self.check()
            self._upload(what, result)
        finally:
            for path in self.folder.glob(f"{scratch.name}.*"):
                path.unlink()

    def _download(self, what: InputObject, path: Path) -> None:
        from botocore.exceptions import ClientError

        try:
            body = self.s3.get_object(Bucket=what.bucket, Key=what.key)["Body"]
        except ClientError as error:
            raise BadData(f"Failed to read the object: {error}") from error
        with path.open("wb") as file:
            for chunk in body.iter_chunks(DOWNLOAD_CHUNK_BYTES):
                file.write(chunk)
                self.check()

    def _upload(self, what: InputObject, path: Path) -> None:
        from botocore.exceptions import ClientError

        bucket, prefix = location(self.output["S3OutputPath"])
        try:
            with path.open("rb") as body:
                self.s3.put_object(
                    Bucket=bucket,
                    Key=output_key(what.name, prefix),
                    Body=body,
                    **encryption(self.output.get("KmsKeyId")),
                )
        except ClientError as error:
            raise JobFailed(f"ClientError: Failed to upload to s3://{bucket}/{prefix}: {error}") from error


def _told(what: InputObject, error: ObjectFailed) -> list[str]:
    """Return the lines of the data log that say why an object failed, with all that the container said."""
    said = ["", "Message:", *error.answer.splitlines()] if error.answer else []
    return [f"{what.bucket}/{what.key}: {line}" for line in (error.message, *said)]


def encryption(key: str | None) -> dict[str, str]:
    """Return PutObject's arguments for a KMS key."""
    return {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key} if key else {}
