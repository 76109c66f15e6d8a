"""Files that `cdk deploy` uploads to the bootstrap bucket, named by the digest of their content.

They are staged below the app's output folder and registered with the stack's synthesizer directly. CDK's `Asset`
construct would hash and copy each of them once more, which costs more than most resources of a model do.
"""

from dataclasses import dataclass
from pathlib import Path

from aws_cdk import FileAssetPackaging, Stack

from infra.constructs.permissions import Statement, allow
from infra.constructs.pseudo import s3_arn


@dataclass(frozen=True)
class StagedFile:
    """A file, or a folder to be zipped. `path` is relative to the output folder; `digest` stands for the content."""

    path: Path
    digest: str
    folder: bool = False


@dataclass(frozen=True)
class FileAsset:
    """Where a staged file lies once the stack is deployed."""

    bucket: str
    key: str

    @property
    def uri(self) -> str:
        return f"s3://{self.bucket}/{self.key}"

    @property
    def arn(self) -> str:
        return s3_arn(f"{self.bucket}/{self.key}")

    @property
    def read(self) -> Statement:
        return allow(["s3:GetObject"], [self.arn])


class Uploads:
    """One stack's uploads."""

    def __init__(self, stack: Stack) -> None:
        self._synthesizer = stack.synthesizer

    def add(self, file: StagedFile) -> FileAsset:
        """Have a file uploaded with the stack. The key keeps the file's last suffix (of a folder: `.zip`)."""
        packaging = FileAssetPackaging.ZIP_DIRECTORY if file.folder else FileAssetPackaging.FILE
        place = self._synthesizer.add_file_asset(
            file_name=file.path.as_posix(), source_hash=file.digest, packaging=packaging
        )
        return FileAsset(place.bucket_name, place.object_key)
