"""Changing one word of models.yaml."""

import pytest

from turnout.config import ConfigError, edit_mode

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
    ],
)
def test_what_cannot_be_changed_is_said(text, model, mode, message):
    with pytest.raises(ConfigError, match=message):
        edit_mode(text, model, mode)
