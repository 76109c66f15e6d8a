"""Which objects a job reads, what their results are called, and which instance gets which."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from turnout.local.sagemaker.artifact import BadArtifact, split_uri
from turnout.local.sagemaker.transform.errors import JobFailed


class InputObject(NamedTuple):
    """`name` is where the result lies below S3OutputPath, without its `.out`."""

    bucket: str
    key: str
    name: str


@dataclass(frozen=True)
class Inputs:
    """A job's objects in key order, or in that of the manifest. All their keys begin with `base`."""

    bucket: str
    base: str
    objects: list[InputObject]


def location(uri: str) -> tuple[str, str]:
    """Return bucket and key. Raises JobFailed for what is no s3:// URI."""
    try:
        return split_uri(uri)
    except BadArtifact as error:
        raise JobFailed(f"ClientError: {error}") from error


def read_inputs(s3: Any, source: dict, role: str, region: str) -> Inputs:
    """Return the objects behind a job's S3DataSource. Raises JobFailed when there are none."""
    bucket, key = location(source["S3Uri"])
    if source["S3DataType"] == "ManifestFile":
        return manifest_inputs(_manifest(s3, bucket, key), source["S3Uri"])
    keys = list(_listed(s3, bucket, key))
    if not keys:
        raise JobFailed(
            f'ClientError: No S3 objects found under S3 URL "s3://{bucket}/{key}" given in input data source. '
            f"Please ensure that the bucket exists in the selected region ({region}), that objects "
            f'exist under that S3 prefix, and that the role "{role}" has "s3:ListBucket" permissions on '
            f'bucket "{bucket}".'
        )
    found = [InputObject(bucket, found, output_name(found, key)) for found in keys]
    return Inputs(bucket, key[: key.rfind("/") + 1], found)


def _listed(s3: Any, bucket: str, prefix: str) -> Iterator[str]:
    """Yield the keys under a prefix in their order, without the empty objects that stand for folders."""
    from botocore.exceptions import ClientError

    try:
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            yield from (o["Key"] for o in page.get("Contents", []) if not o["Key"].endswith("/"))
    except ClientError as error:
        raise JobFailed(f"ClientError: Failed to list s3://{bucket}/{prefix}: {error}") from error


def _manifest(s3: Any, bucket: str, key: str) -> bytes:
    from botocore.exceptions import ClientError

    try:
        return s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    except ClientError as error:
        raise JobFailed(f"ClientError: Failed to read the manifest s3://{bucket}/{key}: {error}") from error


def manifest_inputs(data: bytes, uri: str) -> Inputs:
    """Return the objects that a manifest names: `[{"prefix": "s3://bucket/some/"}, "suffix", ...]`.

    An object that is named twice is read once. Raises JobFailed for anything else.
    """
    try:
        entries = json.loads(data)
    except ValueError as error:
        raise _broken(uri, f"is not JSON ({error})") from None
    match entries:
        case [{"prefix": str() as prefix}, *suffixes] if prefix.startswith("s3://"):
            bucket, base = location(prefix)
        case _:
            raise _broken(uri, 'must be a list that begins with {"prefix": "s3://..."}')
    if not suffixes:
        raise _broken(uri, "names no objects")
    for suffix in suffixes:
        if not isinstance(suffix, str) or not suffix:
            raise _broken(uri, f"names an object by {json.dumps(suffix)[:80]}, which is no path")
    objects = [InputObject(bucket, base + suffix, suffix.lstrip("/")) for suffix in dict.fromkeys(suffixes)]
    return Inputs(bucket, base, objects)


def _broken(uri: str, problem: str) -> JobFailed:
    return JobFailed(f"ClientError: The manifest file {uri} {problem}.")


def output_name(key: str, prefix: str) -> str:
    """Return an object's path below the folder that the prefix names, or below the folder that the prefix is in."""
    rest = key[len(prefix) :]
    if prefix and not prefix.endswith("/") and not rest.startswith("/"):
        rest = key[prefix.rfind("/") + 1 :]
    return rest.lstrip("/")


def output_key(name: str, output_prefix: str) -> str:
    """Return where a result lies: the output prefix, a slash if it has none, the object's path, `.out`."""
    folder = output_prefix if not output_prefix or output_prefix.endswith("/") else output_prefix + "/"
    return f"{folder}{name}.out"


def deal(objects: list[InputObject], instances: int) -> list[list[InputObject]]:
    """Return each instance's share of the objects; instances without an object are left out."""
    shares = [objects[i::instances] for i in range(instances)]
    return [share for share in shares if share]
