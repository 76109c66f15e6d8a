"""The advisor agrees with every decision of the articles, and with their tables of latency and traffic."""

import pytest

from handlers.contract.modes import AVAILABLE
from tests.unit.advice.examples import ALL, PAGE, Example, fill, said


@pytest.mark.parametrize("example", ALL, ids=lambda example: example.name)
def test_the_advice_is_the_expected_one(example: Example):
    assert said(example) == example.expected


@pytest.mark.parametrize("example", [each for each in ALL if each.until_then], ids=lambda example: example.name)
def test_a_mode_that_is_not_available_is_named_and_not_recommended(example: Example):
    advice = example.advice()
    assert advice.fits is not None
    assert advice.fits.mode == example.wanted
    assert advice.best is None or advice.best.mode in AVAILABLE


def test_the_page_shows_the_advisors_own_answers(golden):
    golden(fill(PAGE.read_text()), PAGE)
