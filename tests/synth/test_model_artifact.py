"""`model.tar.gz`: what is in it, and that it is the same bytes every time."""

import gzip
import os
import tarfile
from pathlib import Path

import pytest

from infra.constructs.model_artifact import Artifact, artifact_in_s3, build_artifact, members
from infra.constructs.staging import Staging
from tests.synth.conftest import Synth, entry, write_code_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "churn"
    write_code_folder(folder)
    (folder / "inference.py").write_text("import features\n")
    (folder / "features.py").write_text("from encoders.text import encode\nFEATURES = []\n")
    (folder / "encoders").mkdir()
    (folder / "encoders" / "__init__.py").write_text("")
    (folder / "encoders" / "text.py").write_text("encode = str\n")
    (folder / "make_input.py").write_text("import features\n")
    (folder / "artifact" / "deep").mkdir()
    (folder / "artifact" / "deep" / "vocabulary.txt").write_text("a\nb\n")
    return folder


def built(folder: Path, out: Path) -> tuple[Artifact, bytes]:
    artifact = build_artifact(folder, Staging(out))
    return artifact, (out / artifact.file.path).read_bytes()


def test_artifact_lies_at_the_root_and_code_below_code(folder: Path, tmp_path: Path):
    artifact, _ = built(folder, tmp_path / "out")
    with tarfile.open(tmp_path / "out" / artifact.file.path) as tar:
        assert tar.getnames() == [
            "code/encoders/__init__.py",
            "code/encoders/text.py",
            "code/features.py",
            "code/inference.py",
            "code/requirements.txt",
            "deep/vocabulary.txt",
            "sample_payloads.json",
            "weights.json",
        ]


def test_training_byte_code_and_hidden_files_stay_at_home(folder: Path):
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "inference.py").write_text("")
    (folder / ".secret.py").write_text("")
    (folder / "artifact" / ".DS_Store").write_text("")
    (folder / "schema.yaml").write_text("")
    shipped = set(members(folder))
    assert not {"code/train.py", "code/make_input.py"} & shipped
    assert not [name for name in shipped if "pycache" in name or "/." in f"/{name}" or name.endswith(".yaml")]


def test_the_same_content_is_the_same_bytes_whatever_the_machine_says_of_the_files(folder: Path, tmp_path: Path):
    first = built(folder, tmp_path / "first")
    for number, path in enumerate(sorted(folder.rglob("*"), reverse=True)):
        os.utime(path, (number, number))
        path.chmod(0o700)
    assert built(folder, tmp_path / "second") == first


def test_no_owner_time_or_mode_of_this_machine_is_in_it(folder: Path, tmp_path: Path):
    _, data = built(folder, tmp_path / "out")
    assert data[4:8] == b"\0\0\0\0"  # gzip's time
    assert data[3] == 0  # gzip's flags: no file name
    (tmp_path / "model.tar").write_bytes(gzip.decompress(data))
    with tarfile.open(tmp_path / "model.tar") as tar:
        for member in tar:
            assert (member.mtime, member.uid, member.gid, member.uname, member.mode) == (0, 0, 0, "", 0o644)


@pytest.mark.parametrize("changed", ["artifact/weights.json", "inference.py", "encoders/text.py", "requirements.txt"])
def test_any_change_of_what_ships_is_another_version(folder: Path, tmp_path: Path, changed: str):
    before, _ = built(folder, tmp_path / "out")
    (folder / changed).write_text("something else\n")
    after, _ = built(folder, tmp_path / "out")
    assert before.version != after.version


def test_a_renamed_file_is_another_version(folder: Path, tmp_path: Path):
    before, _ = built(folder, tmp_path / "out")
    (folder / "artifact" / "weights.json").rename(folder / "artifact" / "weights2.json")
    assert built(folder, tmp_path / "out")[0].version != before.version


def test_a_change_of_what_stays_at_home_is_not(folder: Path, tmp_path: Path):
    before, _ = built(folder, tmp_path / "out")
    for name in ("train.py", "make_input.py"):
        (folder / name).write_text("something else\n")
    assert built(folder, tmp_path / "out")[0].version == before.version


def test_contents_that_were_staged_before_are_not_compressed_again(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    before, data = built(folder, tmp_path / "out")
    monkeypatch.setattr("infra.constructs.model_artifact.compress", lambda tar: pytest.fail("compressed again"))
    assert built(folder, tmp_path / "out") == (before, data)


def test_sagemaker_sees_a_tar_gz(synth: Synth):
    (key,) = [
        destination["objectKey"]
        for file in synth(entry()).assets("churn").values()
        if file["source"]["path"].endswith("model.tar.gz")
        for destination in file["destinations"].values()
    ]
    assert key.endswith(".tar.gz")


def test_the_version_is_what_the_file_is_called_by(synth: Synth):
    template = synth(entry())["churn"]
    version = template.body["Outputs"]["ModelVersion"]["Value"]
    assert len(version) == 12
    assert any(digest.startswith(version) for digest in synth(entry()).assets("churn"))


def test_an_archive_in_s3_has_the_version_of_its_uri():
    assert artifact_in_s3("s3://b/one.tar.gz").version != artifact_in_s3("s3://b/two.tar.gz").version
    assert artifact_in_s3("s3://b/one.tar.gz") == artifact_in_s3("s3://b/one.tar.gz")
