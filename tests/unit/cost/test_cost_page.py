"""docs/cost.md: the articles' figures to the cent, and the honest version beside them."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from handlers.contract.modes import ServingMode
from tests.unit.cost.arithmetic import worked_out
from turnout import cost, prices
from turnout.config import STAGES
from turnout.config.specs import ModelSpec
from turnout.cost import Workload

PAGE = (Path(__file__).parents[3] / "docs/cost.md").read_text()
PROD, TABLE = STAGES["prod"], prices.load()
MACHINE = "sagemaker_instance.ml.m5.large"


def spec():
    """The churn model of docs/invoices.md."""
    traffic = {"requests_per_month": 300_000, "entities": 1_000_000, "run_duration": "15m"}
    entry = {"name": "churn", "mode": "precompute", "schedule": "rate(1 day)", "key": "id", "features": ["a"]}
    return ModelSpec.model_validate({**entry, "traffic": traffic})


def bills(**given):
    return cost.bills(spec(), PROD, cost.workload_of(spec(), **given), TABLE)


def usd(bill, *starts):
    return sum(line.usd for line in bill.lines if line.kind == "monthly" and line.what.startswith(starts))


def row(start):
    """Return the cells of the page's row that begins so."""
    (line,) = [line for line in PAGE.splitlines() if line.startswith(f"| {start} |")]
    return [cell.strip().strip("*") for cell in line.strip("|").split("|")]


def test_the_program_gives_the_articles_figures_to_the_cent_at_their_prices():
    """Two replicas all day against fifteen minutes a day of a month of thirty, at ten cents an hour."""
    cents = replace(TABLE.instance("ml.m5.large"), usd=0.10)
    theirs = replace(TABLE, entries={**TABLE.entries, MACHINE: cents})
    work = Workload(runs=30, transform_minutes=15)
    always = cost.bill(ServingMode.REALTIME, spec(), PROD, work, theirs)
    daily = cost.bill(ServingMode.PRECOMPUTE, spec(), PROD, work, theirs)
    a_month, a_job = usd(always, "endpoint: instances"), usd(daily, "transform jobs")
    assert (round(a_month, 2), round(a_job, 2)) == (146.00, 0.75)
    assert f"{1 - a_job / a_month:.1%}" == "99.5%"
    assert round((a_month - a_job) * 10 * 12, 2) == 17_430.00


@pytest.mark.parametrize(
    ("start", "amount"),
    [
        ("two replicas, all day, a month", "146.00"),
        ("fifteen minutes a day, a month of 30 days", "0.75"),
        ("saved a month", "145.25"),
        ("ten models, a year", "17,430.00"),
    ],
)
def test_the_page_works_the_articles_figures_out(start, amount):
    _, arithmetic, shown = row(start)
    assert shown == amount == f"{worked_out(arithmetic):,.2f}"


def test_the_honest_version_is_what_the_program_charges():
    always, daily = (bills()[mode] for mode in (ServingMode.REALTIME, ServingMode.PRECOMPUTE))
    besides = usd(always, "endpoint") - usd(always, "endpoint: instances", "endpoint: volumes")
    expected = {
        "machines": (usd(always, "endpoint: instances"), usd(daily, "transform jobs")),
        "volumes": (usd(always, "endpoint: volumes"), 0),
        "endpoint, besides": (besides, 0),
        "runs": (0, usd(daily, "runs")),
        "watch": (0, usd(daily, "watch")),
        "table": (usd(always, "table"), usd(daily, "table")),
        "front door": (usd(always, "front door"), usd(daily, "front door")),
        r"**all**": (always.monthly, daily.monthly),
    }
    for start, amounts in expected.items():
        assert row(start)[2:4] == [f"{amount:,.2f}" if amount else "" for amount in amounts], start
    assert f"are {usd(daily, 'watch: metrics', 'watch: alarms'):.2f} of it" in row("watch")[4]
    metrics = [usd(bill, "front door: metrics") for bill in (always, daily)]
    assert "metrics are {:.2f} and {:.2f} of it".format(*metrics) in row("front door")[4]
    assert f"is {usd(daily, 'table: scores, writes'):.2f} of it" in row("table")[4]
    saved = always.monthly - daily.monthly
    assert f"saves {saved / always.monthly:.1%}, not 99.5 %".replace("%,", " %,") in PAGE
    assert f"${saved * 10 * 12:,.0f} a year" in PAGE


def test_sums_in_the_text_come_to_what_they_say():
    sums = re.findall(r"([0-9][0-9,. ×÷$]+) = \$([0-9.,]+[0-9])", PAGE)
    assert len(sums) == 2
    for arithmetic, shown in sums:
        assert f"{worked_out(arithmetic):,.2f}" == shown


def test_what_the_page_says_of_serverless_holds():
    now, later = bills(), bills(requests=3_000_000)
    assert f"costs ${now[ServingMode.SERVERLESS].monthly:.2f}, less than precomputing" in PAGE
    assert now[ServingMode.SERVERLESS].monthly < now[ServingMode.PRECOMPUTE].monthly
    serverless, precompute = later[ServingMode.SERVERLESS].monthly, later[ServingMode.PRECOMPUTE].monthly
    two = f"`serverless` costs ${serverless:.2f} and `precompute` ${precompute:.2f}"
    assert two in PAGE


def test_watching_costs_four_times_as_much_as_computing():
    daily = bills()[ServingMode.PRECOMPUTE]
    watched = [line for line in daily.lines if line.price in ("cloudwatch.custom_metric", "cloudwatch.alarm")]
    assert sum(line.usd for line in watched) / usd(daily, "transform jobs") == pytest.approx(4, abs=0.5)
    assert sum(line.units for line in watched if line.price == "cloudwatch.alarm") == 8
