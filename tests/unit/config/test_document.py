"""YAML as a tree with lines."""

import pytest

from turnout.config.document import parse


def plain(text):
    tree, problems = parse(text, "f.yaml")
    assert problems == []
    return tree.plain()


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("yes", "yes"),
        ("no", "no"),
        ("on", "on"),
        ("true", True),
        ("False", False),
        ("0042", "0042"),
        ("12:30", "12:30"),
        ("2026-12-01", "2026-12-01"),
        ("1_000", "1_000"),
        ("0x1f", "0x1f"),
        ("42", 42),
        ("-7", -7),
        ("1.50", 1.5),
        ("1e3", 1000.0),
        (".inf", ".inf"),
        ("~", None),
        ("", None),
        ("'42'", "42"),
        ('"true"', "true"),
        ("٣", "٣"),
    ],
)
def test_scalars_mean_what_yaml_1_2_says(written, meant):
    value = plain(f"a: {written}\n")["a"]
    assert value == meant
    assert type(value) is type(meant)


def test_a_value_knows_the_line_of_its_key():
    tree, _ = parse("a:\n  b: 1\n  c:\n    - x\n    - y\n", "f.yaml")
    assert tree.place(("a", "b")) == ("f.yaml", 2)
    assert tree.place(("a", "c", 1)) == ("f.yaml", 5)
    assert tree.place(("a", "nowhere", "deeper")) == ("f.yaml", 1)


def test_an_alias_repeats_its_anchor():
    assert plain("a: &x {n: 1}\nb: *x\n") == {"a": {"n": 1}, "b": {"n": 1}}


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, "key 'a' stands twice, first in line 1"),
        ("a: !!python/object:os.system x\n", 1, "tag 'tag:yaml.org,2002:python/object:os.system' is not understood"),
        ("a: 1\n---\nb: 1\n", 3, "a second YAML document starts here"),
        ("a: &x [*x]\n", 1, "alias *x stands inside what it repeats"),
        ("\na: *x\n", 2, "alias *x has no anchor &x above it"),
        ("? [a]\n: b\n", 1, "a key is not plain text"),
    ],
)
def test_what_no_configuration_needs_is_refused_with_its_line(text, line, reason):
    _, problems = parse(text, "f.yaml")
    assert (problems[0].line, problems[0].reason) == (line, reason)


@pytest.mark.parametrize("text", ["[" * 100_000, "- " * 100_000, "? " * 100_000, "{a: " * 100_000])
def test_endless_nesting_is_a_problem_and_not_the_end_of_the_process(text):
    tree, (problem,) = parse(text, "f.yaml")
    assert tree is None
    assert problem.reason == "too much is nested or repeated here"


def test_aliases_cannot_multiply_without_end():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    tree, (problem,) = parse("\n".join(lines), "f.yaml")
    assert tree is None
    assert problem.line == 6


@pytest.mark.parametrize("text", ["a: b: c", "\ta: 1", "a: [1", "x: \x00", '"', "%YAML 9.9\n---\na"])
def test_what_is_no_yaml_is_one_problem(text):
    tree, problems = parse(text, "f.yaml")
    assert tree is None
    assert len(problems) == 1
    assert problems[0].reason.startswith("not valid YAML")
