"""Unpacking what claims to be a model."""

import io
import re
import tarfile

import pytest
from botocore.exceptions import ClientError

from turnout.local.sagemaker.artifact import BadArtifact, fetch, fetch_model, remove, split_uri


class FakeS3:
    """A bucket of one archive under any key, or of objects by key."""

    def __init__(self, data: bytes = b"", **objects: bytes):
        self.data, self.objects = data, {name.replace("__", "/"): body for name, body in objects.items()}

    def download_file(self, bucket, key, path):
        if self.objects and key not in self.objects:
            raise ClientError({"Error": {"Code": "404", "Message": "Not Found"}}, "HeadObject")
        with open(path, "wb") as file:
            file.write(self.objects.get(key, self.data))

    def get_paginator(self, operation):
        return self

    def paginate(self, Bucket, Prefix):
        return [{"Contents": [{"Key": key} for key in self.objects if key.startswith(Prefix)]}]


def archive(name: str, **member) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        info = tarfile.TarInfo(name)
        for field, value in member.items():
            setattr(info, field, value)
        info.size = 0 if member else 2
        tar.addfile(info, io.BytesIO(b"hi"))
    return out.getvalue()


def test_files_are_unpacked_and_the_archive_is_gone(tmp_path):
    fetch(FakeS3(archive("code/inference.py")), "s3://b/m.tar.gz", tmp_path / "model")
    assert (tmp_path / "model" / "code" / "inference.py").read_text() == "hi"
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize(
    "data",
    [
        archive("../outside"),
        archive("link", type=tarfile.SYMTYPE, linkname="../../outside"),
        b"no archive",
        archive("a")[:40],
    ],
    ids=["parent", "link", "text", "cut off"],
)
def test_archives_that_lead_outside_or_are_none_are_refused(tmp_path, data):
    folder = tmp_path / "deep" / "model"
    folder.parent.mkdir()
    with pytest.raises(BadArtifact, match="Failed to extract model data archive"):
        fetch(FakeS3(data), "s3://b/m.tar.gz", folder)
    assert not list(tmp_path.glob("outside*"))


def test_an_absolute_name_lands_inside(tmp_path):
    fetch(FakeS3(archive("/etc/outside")), "s3://b/m.tar.gz", tmp_path / "model")
    assert (tmp_path / "model" / "etc" / "outside").exists()


def test_a_uri_has_bucket_and_key():
    assert split_uri("s3://bucket/a/b#c?d") == ("bucket", "a/b#c?d")
    with pytest.raises(BadArtifact, match="not an s3:// URI"):
        split_uri("https://bucket/a")


@pytest.mark.parametrize(
    "host_and_bucket",
    [
        "s3.us-east-1.amazonaws.com/my.bucket",
        "s3-eu-west-1.amazonaws.com/my.bucket",
        "s3.cn-north-1.amazonaws.com.cn/my.bucket",
        "my.bucket.s3.us-east-1.amazonaws.com",
        "my.bucket.s3.dualstack.eu-west-1.amazonaws.com",
        "my.bucket.s3.amazonaws.com",
    ],
)
def test_the_https_url_of_an_object_has_them_too(host_and_bucket):
    assert split_uri(f"https://{host_and_bucket}/a/b%20c") == ("my.bucket", "a/b c")


def source(uri: str, kind: str, compression: str) -> dict:
    place = {"S3Uri": uri, "S3DataType": kind, "CompressionType": compression}
    return {"PrimaryContainer": {"ModelDataSource": {"S3DataSource": place}}}


def test_an_uncompressed_prefix_is_copied_with_its_folders(tmp_path):
    s3 = FakeS3(models__m__weights=b"w", models__m__code__inference=b"i", models__other=b"o")
    fetch_model(s3, source("s3://b/models/m/", "S3Prefix", "None"), tmp_path / "model")
    found = {str(path.relative_to(tmp_path / "model")) for path in (tmp_path / "model").rglob("*") if path.is_file()}
    assert found == {"weights", "code/inference"}
    remove(tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_an_uncompressed_object_keeps_its_name(tmp_path):
    fetch_model(FakeS3(m__weights=b"w"), source("s3://b/m/weights", "S3Object", "None"), tmp_path / "model")
    assert (tmp_path / "model" / "weights").read_bytes() == b"w"
    remove(tmp_path / "model")


def test_a_compressed_source_is_unpacked(tmp_path):
    fetch_model(FakeS3(archive("weights")), source("s3://b/m.tar.gz", "S3Object", "Gzip"), tmp_path / "model")
    assert (tmp_path / "model" / "weights").read_text() == "hi"
    remove(tmp_path / "model")


def test_each_container_of_a_pipeline_has_a_folder_of_its_own(tmp_path):
    model = {"Containers": [{"ModelDataUrl": "s3://b/m.tar.gz"}, {"Image": "no artifact"}]}
    fetch_model(FakeS3(archive("weights")), model, tmp_path / "model")
    assert (tmp_path / "model" / "container-1" / "weights").exists()
    assert list((tmp_path / "model" / "container-2").iterdir()) == []
    remove(tmp_path / "model")


@pytest.mark.parametrize("uri", ["s3://b/absent/", "s3://b/absent.tar.gz"])
def test_what_is_not_there_is_told_in_awss_words(tmp_path, uri):
    model = source(uri, "S3Prefix" if uri.endswith("/") else "S3Object", "None")
    words = f'Failed to download model data for container "container_1" from URL: "{uri}". Please ensure that there is'
    with pytest.raises(BadArtifact, match=re.escape(words)):
        fetch_model(FakeS3(other=b"x"), model, tmp_path / "model")


def test_a_key_that_leads_outside_is_refused(tmp_path):
    s3 = FakeS3(**{"m/../../outside": b"x"})
    with pytest.raises(BadArtifact, match="leads outside"):
        fetch_model(s3, source("s3://b/m/", "S3Prefix", "None"), tmp_path / "deep" / "model")
