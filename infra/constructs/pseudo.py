"""CloudFormation's pseudo parameters, each asked of CDK once: every question is a round trip to its Node process."""

from functools import cache

from aws_cdk import Aws


@cache
def partition() -> str:
    return Aws.PARTITION


@cache
def region() -> str:
    return Aws.REGION


@cache
def account() -> str:
    return Aws.ACCOUNT_ID


@cache
def url_suffix() -> str:
    return Aws.URL_SUFFIX


def arn(service: str, resource: str) -> str:
    """Return an ARN in this stack's partition, region and account."""
    return f"arn:{partition()}:{service}:{region()}:{account()}:{resource}"


def s3_arn(place: str) -> str:
    """Return the ARN of a bucket, or of an object given as `bucket/key`."""
    return f"arn:{partition()}:s3:::{place}"
