"""A bucket as other constructs see it: its name, its ARN, and permissions on prefixes of it."""

from dataclasses import dataclass
from typing import Self

from infra.constructs.permissions import Statement, allow
from infra.constructs.pseudo import s3_arn


@dataclass(frozen=True)
class BucketPlace:
    """Prefixes end with a slash or are empty (the whole bucket)."""

    name: str
    arn: str

    @classmethod
    def named(cls, name: str) -> Self:
        """Return a bucket that is not ours, by its name."""
        return cls(name, s3_arn(name))

    def enumerate(self, prefix: str) -> Statement:
        """Allow listing what lies below a prefix."""
        return allow(["s3:ListBucket"], [self.arn], {"StringLike": {"s3:prefix": [f"{prefix}*"]}})

    def notice_missing(self) -> Statement:
        """Allow S3 to answer a read of what is not there with 404.

        Without ListBucket it answers 403, which looks like a mistake in a policy and is retried. A read
        carries no prefix to compare, so this holds for the bucket.
        """
        return allow(["s3:ListBucket"], [self.arn])

    def read(self, *prefixes: str) -> Statement:
        return allow(["s3:GetObject"], self._below(prefixes))

    def write(self, *prefixes: str) -> Statement:
        return allow(["s3:PutObject", "s3:AbortMultipartUpload"], self._below(prefixes))

    def delete(self, *prefixes: str) -> Statement:
        return allow(["s3:DeleteObject"], self._below(prefixes))

    def _below(self, prefixes: tuple[str, ...]) -> list[str]:
        return [f"{self.arn}/{prefix}*" for prefix in prefixes]
