"""Python that is translated says the same in JavaScript, or is refused with its place."""

import math
import random
import sys

import pytest

from turnout.report.javascript import RUNTIME, Untranslatable, javascript

HERE = sys.modules[__name__]


def rounding(value, step=3):
    """Return a few values by way of what formulas are written in."""
    total, seen = 0.0, []
    for _ in range(step):
        total += value // 2 if value % 2 else value**0.5
        seen.append(f"{total:,.2f}")
    return [math.ceil(total), sorted(seen, key=lambda each: -len(each)), not seen, {"a": value}["a"]]


def numbers(value):
    return [f"{value:g}", f"{value:,.6g}", f"{value:.3g}", f"{value:.1%}", f"{value:,.0f}", f"{value:,.2f}"]


def tails(values):
    return [math.erfc(each) for each in values]


def pairs(table):
    least = min(table["one"], 9)
    return [[name, amount] for name, amount in table.items() if amount is not None and amount > least], sum(
        amount for amount in table.values()
    )


def with_(case, new="x"):
    delete = case or new
    delete += 0
    return delete


def opened(path):
    with path:
        return 1


def misspelt(value):
    return vlaue  # noqa: F821


def positional(value):
    return with_(value, new=3)


def test_numbers_are_written_as_python_writes_them_halves_aside(node):
    chance = random.Random(3)
    values = [0, 1, -12.51, 1234567.891, 1e-7, 0.00012345, 99999.97, 1e16, 999999.9, 1000000]
    values += [chance.uniform(-1, 1) * 10 ** chance.randrange(-8, 12) for _ in range(300)]
    shown = node(RUNTIME + javascript([numbers]), f"{values}.map(test_javascript$numbers)")
    assert shown == [numbers(value) for value in values]


def test_the_error_function_is_pythons(node):
    values = [step / 37 for step in range(-300, 600)]
    shown = node(RUNTIME + javascript([tails]), f"test_javascript$tails({values})")
    assert shown == pytest.approx(tails(values), rel=1e-11, abs=1e-15)


def test_loops_and_tables_come_to_the_same(node):
    table = {"one": 1, "two": 5, "three": 12}
    shown = node(RUNTIME + javascript([pairs]), "test_javascript$pairs({one: 1, two: 5, three: 12})")
    assert shown == list(pairs(table))


def test_words_that_javascript_keeps_are_renamed(node):
    assert node(RUNTIME + javascript([with_]), 'test_javascript$with_("", 4)') == 4


@pytest.mark.parametrize(
    ("function", "what"), [(opened, "With"), (misspelt, "vlaue"), (positional, "keyword new"), (rounding, "BinOp")]
)
def test_what_has_no_translation_is_refused_with_its_place(function, what):
    with pytest.raises(Untranslatable, match=rf"test_javascript\.py.*{what}"):
        javascript([function])
