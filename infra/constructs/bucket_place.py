"""A bucket as other constructs see it: its name, its ARN, and permissions on prefixes of it."""

from dataclasses import dataclass

from aws_cdk import Aws

from infra.constructs.permissions import Statement, allow


@dataclass(frozen=True)
class BucketPlace:
    """Prefixes end with a slash or are empty (the whole bucket)."""

    name: str
    arn: str

    @classmethod
    def named(cls, name: str) -> "BucketPlace":
        """Return a bucket that is not ours, by its name."""
        return cls(name, f"arn:{Aws.PARTITION}:s3:::{name}")

    def enumerate(self, prefix: str) -> Statement:
        return allow(["s3:ListBucket"], [self.arn], {"StringLike": {"s3:prefix": [f"{prefix}*"]}})

    def read(self, *prefixes: str) -> Statement:
        return allow(["s3:GetObject"], self._below(prefixes))

    def write(self, *prefixes: str) -> Statement:
        return allow(["s3:PutObject", "s3:AbortMultipartUpload"], self._below(prefixes))

    def delete(self, *prefixes: str) -> Statement:
        return allow(["s3:DeleteObject"], self._below(prefixes))

    def _below(self, prefixes: tuple[str, ...]) -> list[str]:
        return [f"{self.arn}/{prefix}*" for prefix in prefixes]
