"""Changing one word of models.yaml."""

import os

import pytest

from turnout.config import ConfigError, edit_mode, write_whole

TEXT = """\
# what we serve
models:
  churn: # the first
    mode: batch  # one word
    schedule: rate(1 day)

  "other-one": {schedule: rate(1 day), mode: 'batch'}
  größe:
    description: "mode: batch"
    mode: !!str batch
"""


@pytest.mark.parametrize(
    ("model", "before", "after"),
    [
        ("churn", "    mode: batch  # one word\n", "    mode: precompute  # one word\n"),
        ("other-one", "mode: 'batch'}", "mode: 'precompute'}"),
        ("größe", "mode: !!str batch\n", "mode: !!str precompute\n"),
    ],
)
def test_one_word_changes_and_everything_else_stays(model, before, after):
    assert TEXT.count(before) == 1
    assert edit_mode(TEXT, model, "precompute") == TEXT.replace(before, after)


def test_an_anchor_that_nobody_refers_to_stays():
    text = "models: {a: {mode: &m batch}, b: {mode: batch}}"
    assert edit_mode(text, "a", "hybrid") == text.replace("&m batch", "&m hybrid")


def test_there_and_back_again_is_the_same_text():
    assert edit_mode(edit_mode(TEXT, "churn", "precompute"), "churn", "batch") == TEXT


def test_line_ends_of_windows_stay():
    text = TEXT.replace("\n", "\r\n")
    assert edit_mode(text, "churn", "precompute") == text.replace("mode: batch  #", "mode: precompute  #")


@pytest.mark.parametrize(
    ("text", "model", "mode", "message"),
    [
        (TEXT, "churm", "precompute", "Did you mean 'churn'"),
        (TEXT, "churn", "precomputed", "is no mode"),
        ("models: {churn: {}}", "churn", "batch", "the entry has no mode"),
        ("models: {churn: batch}", "churn", "batch", "the entry has no mode"),
        ("models: [", "churn", "batch", "not valid YAML"),
        ("", "churn", "batch", "there is no such model"),
        ("models: {a: &a {mode: batch}, churn: *a}", "churn", "batch", "not a word of its own"),
        ('models: {churn: {mode: "b\\x61tch"}}', "churn", "batch", "written with escapes"),
        ("models: {a: {mode: &m batch}, b: {mode: *m}}", "a", "hybrid", "with it would change models.b.mode"),
        ("models: {a: {mode: &m batch, description: *m}}", "a", "hybrid", "would change models.a.description"),
        ("models: {a: &a {mode: batch}, b: *a}", "a", "hybrid", "would change models.b.mode"),
        ("models: {a: {mode: &m batch}, b: {tags: {as: [*m, x]}}}", "a", "hybrid", "would change models.b.tags.as.0"),
    ],
)
def test_what_cannot_be_changed_is_said(text, model, mode, message):
    with pytest.raises(ConfigError, match=message):
        edit_mode(text, model, mode)


def test_a_file_is_replaced_whole_and_keeps_its_rights_and_its_link(tmp_path):
    real, link = tmp_path / "real.yaml", tmp_path / "models.yaml"
    real.write_text("old")
    real.chmod(0o640)
    link.symlink_to(real)
    write_whole(link, "new\r\n")
    assert real.read_bytes() == b"new\r\n"
    assert link.is_symlink()
    assert real.stat().st_mode & 0o777 == 0o640
    assert sorted(path.name for path in tmp_path.iterdir()) == ["models.yaml", "real.yaml"]


def test_a_write_that_fails_leaves_the_file_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "models.yaml"
    path.write_text("old")

    def full(*arguments):
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        write_whole(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("start", ["", "\ufeff", "# größe 🚂\r\n"])
def test_what_comes_before_the_word_does_not_move_it(start):
    text = f"{start}models:\r\n  churn:\r\n    mode: batch # why\r\n"
    assert edit_mode(text, "churn", "hybrid") == text.replace("batch", "hybrid")
