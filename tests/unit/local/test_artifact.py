"""Unpacking what claims to be a model."""

import io
import tarfile

import pytest

from turnout.local.sagemaker.artifact import BadArtifact, fetch, split_uri


class FakeS3:
    def __init__(self, data: bytes):
        self.data = data

    def download_file(self, bucket, key, path):
        with open(path, "wb") as file:
            file.write(self.data)


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
