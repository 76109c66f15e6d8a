"""docs/invoices.md: five whole bills, worked out as the page writes them, against what the program charges."""

import re
from pathlib import Path

import pytest

from tests.unit.cost.arithmetic import worked_out
from turnout import config, cost, prices

PAGE = (Path(__file__).parents[3] / "docs/invoices.md").read_text()
INVOICES = PAGE.split("\n## ")[1:]
HALF = 0.0000006  # of the last digit that the page shows


@pytest.fixture(params=INVOICES, ids=lambda invoice: invoice.partition("\n")[0])
def invoice(request):
    return request.param


@pytest.fixture
def bill(invoice, tmp_path):
    """The program's bill of the entry that the invoice shows."""
    text = re.search(r"```yaml\n(.*?)```", invoice, re.S)[1]
    folder = tmp_path / re.search(r"code: (\S+)", text)[1]
    folder.mkdir(parents=True)
    (folder / "schema.yaml").write_text("key: id\nfeatures: [x]\n")
    (tmp_path / "models.yaml").write_text(text)
    (spec,) = config.load(tmp_path / "models.yaml").models.values()
    return cost.bills(spec, config.stage("prod"), cost.workload_of(spec), prices.load())[spec.mode]


def rows(invoice):
    """Return (line, arithmetic, USD) of both tables, without heads and sums."""
    found = re.findall(r"^\| (.+?) \| (.+?) \| (.+?) \|$", invoice, re.M)
    return [row for row in found if row[1] != "arithmetic" and not row[0].startswith("**")]


def test_there_are_five_of_different_modes(tmp_path):
    modes = [re.search(r"mode: (\w+)", invoice)[1] for invoice in INVOICES]
    assert len(set(modes)) == len(modes) == 5


def test_each_line_comes_to_what_the_program_charges(invoice, bill):
    lines = {line.what: line for line in bill.lines}
    for what, arithmetic, usd in rows(invoice):
        assert worked_out(arithmetic) == pytest.approx(lines[what].usd, rel=1e-4, abs=HALF), what
        assert float(usd.replace(",", "")) == pytest.approx(lines[what].usd, rel=1e-6, abs=HALF), what


def test_no_line_that_costs_anything_is_left_out(invoice, bill):
    assert bill.refused is None
    assert bill.complete
    assert {row[0] for row in rows(invoice)} == {line.what for line in bill.lines if line.usd}


def test_each_line_ends_with_the_price_of_the_table(invoice, bill):
    table, lines = prices.load(), {line.what: line for line in bill.lines}
    for what, arithmetic, _ in rows(invoice):
        price = table.get(lines[what].price)
        _, _, end = arithmetic.rpartition("$")
        assert worked_out(end) == pytest.approx(price.each), what


@pytest.mark.parametrize("kind", ["a month", "once"])
def test_the_lines_add_up_to_the_sum(invoice, bill, kind):
    table = re.search(
        rf"^\| {kind} \| arithmetic .*?^\| \*\*{kind}\*\* \| .*? \| \*\*([0-9.,]+)\*\* \|", invoice, re.S | re.M
    )
    shown = float(table[1].replace(",", ""))
    assert sum(float(usd.replace(",", "")) for _, _, usd in rows(table[0])) == pytest.approx(shown, abs=0.0051)
    assert shown == round(bill.monthly if kind == "a month" else bill.once, 2)
