"""The page stands alone, tells what `turnout cost` and `turnout advise` tell, and reckons as they do."""

import dataclasses
import itertools
import random
import re
import subprocess
import sys
from datetime import date, timedelta
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from turnout import cli, cost, prices
from turnout.config import STAGES
from turnout.config.specs import ModelSpec
from turnout.cost import fleet
from turnout.errors import UserError
from turnout.report import curves, page, pictures

TABLE, STAGE, TODAY = prices.load(), STAGES["dev"], date(2026, 11, 23)


@pytest.fixture(scope="module")
def script(html):
    return re.search(r"<script>(.*)</script>", html, re.S).group(1)


def any_figures(chance):
    return {
        "requests": chance.choice([0, chance.randrange(10**5), chance.randrange(10**9)]),
        "entities": chance.randrange(1, 10**8),
        "model_seconds": chance.choice([0.001, chance.uniform(0.001, 29), chance.uniform(30, 3000)]),
    }


def test_sliders_come_to_what_turnout_cost_says_to_the_cent(models, script, node):
    chance = random.Random(11)
    asked = [(name, any_figures(chance)) for name in models for _ in range(25)]
    calls = (f'reckoned("{name}", {figures})' for name, figures in asked)
    for (name, figures), shown in zip(asked, node(script, f"[{', '.join(calls)}]"), strict=True):
        spec = said(models[name], figures)
        work = dataclasses.replace(cost.workload_of(models[name]), **figures)
        for mode, bill in cost.bills(spec, STAGE, work, TABLE).items():
            if mode not in shown["usd"]:
                assert bill.refused
                continue
            assert (mode in shown["refused"]) == (bill.refused is not None), (mode, figures)
            if not bill.refused:
                assert shown["usd"][mode]["monthly"] == pytest.approx(bill.monthly, rel=1e-9, abs=0.001)
                assert shown["usd"][mode]["complete"] == bill.complete


def said(spec, figures):
    """Return an entry that declares what a slider is moved to."""
    changed = {"model_latency": timedelta(seconds=figures["model_seconds"])}
    return spec.model_copy(update={"traffic": spec.traffic.model_copy(update=changed)})


def test_the_page_draws_with_sliders_what_python_draws_without(models, script, node):
    name, figures = "churn", {"requests": 2_000_000, "entities": 4_000_000, "model_seconds": 0.3}
    shown = node(script, f'reckoned("{name}", {figures})')
    spec = said(models[name], figures)
    work = dataclasses.replace(cost.workload_of(spec), **figures)
    model = cost.ModelBills(name, spec.mode, work, cost.bills(spec, STAGE, work, TABLE))
    ages = curves.over_freshness(model, spec, STAGE, TABLE)
    assert shown["ages"]["names"] == pictures.freshness_names(ages["crossings"])
    assert points(shown["ages"]["drawn"]) == pytest.approx(points(pictures.freshness(ages, "realtime", None)), abs=0.11)
    where = curves.requests_grid(9000)  # the axis stays where the declared figure has put it
    assert len(where) == len(points(shown["requests"]["drawn"].split('class="curve')[1])) // 2
    assert ">now</text>" in shown["requests"]["drawn"]


def test_untouched_sliders_draw_the_pictures_that_stand_in_the_page(report, script, node):
    for part in report.parts:
        shown = node(script, f'reckoned("{part.model.name}", {{}})')
        drawn = pictures.break_even(part.requests, part.model.mode, part.model.work.requests)
        assert points(shown["requests"]["drawn"]) == pytest.approx(points(drawn), abs=0.11)
        assert shown["requests"]["names"] == pictures.requests_names(part.requests["crossings"])
        assert points(shown["ages"]["drawn"]) == pytest.approx(
            points(pictures.freshness(part.ages, part.model.mode, part.age)), abs=0.11
        )


def points(drawn):
    return [float(each) for each in re.findall(r"-?[0-9]+\.[0-9]+", drawn)]


def test_a_slider_in_the_middle_is_the_declared_figure_and_twenty_steps_are_tenfold(script, node):
    assert node(script, "[moved(123456, 0), moved(4000, 20), moved(4000, -20), moved(0, 20)]") == [
        123456,
        40000,
        400,
        10000,
    ]


class Outside(HTMLParser):
    """Gathers what a page would fetch."""

    def __init__(self):
        super().__init__()
        self.found, self.open = [], []

    def handle_starttag(self, tag, attributes):
        self.found += [value for name, value in attributes if name in ("src", "href", "srcset", "action")]
        if tag not in ("meta", "link", "input", "br", "path", "circle", "rect"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        if self.open and self.open[-1] == tag:
            self.open.pop()


def test_the_page_fetches_nothing_and_may_fetch_nothing(html):
    parser = Outside()
    parser.feed(html)
    assert parser.found == ["data:,"]
    assert parser.open == []
    assert "default-src 'none'" in html
    assert not re.search(r"url\(|@import|https?://(?!www\.w3\.org)|fetch\(|XMLHttpRequest", html)


def test_the_page_tells_the_fleets_bill_and_what_advice_makes_of_it(report, html, models):
    now = fleet(models, STAGE, TABLE, TODAY).monthly
    assert f"${now:,.2f}</b> a month as declared" in html
    advised = {part.model.name: part for part in report.parts}
    assert advised["churn"].advised.mode == "precompute"
    assert report.then == pytest.approx(sum(part.then for part in report.parts) + report.fleet.shared.monthly)
    assert f"precompute costs ${advised['churn'].then:,.2f} a month" in html
    assert "Lines to paste into models.yaml" in html
    assert advised["documents"].advised is None  # nothing is answered, so nothing is advised
    assert advised["documents"].then == advised["documents"].model.own.monthly


@pytest.fixture(scope="module")
def unpriced(models):
    """A report with one model more, whose advised mode has no price for what it is kept warm with."""
    warm = {"memory_mb": 4096, "provisioned_concurrency": 10}
    said = {"freshness": "now", "input": "request", "consumption": "waits", "latency": "20s", "cost": "low"}
    said["traffic_shape"] = "bursty"
    entry = {"name": "warm", "mode": "batch", "schedule": "rate(1 day)", "key": "id", "features": ["x"]}
    spec = ModelSpec.model_validate({**entry, "serverless": warm, "answers": said})
    return page.report({**models, "warm": spec}, STAGE, TABLE, TODAY)


def test_what_has_no_price_is_in_no_difference_of_the_page(report, unpriced):
    warm = next(part for part in unpriced.parts if part.model.name == "warm")
    assert warm.advice.best.mode == "serverless"
    assert warm.saved is None
    assert unpriced.fleet.monthly - unpriced.then == pytest.approx(report.fleet.monthly - report.then)
    shown, then = page.page(unpriced), f"{warm.advice.best.bill.monthly:,.2f}"
    assert re.search(rf"<td[^>]*>&gt;{then}</td>\s*<td[^>]*>unknown</td>", shown)
    assert f"serverless costs &gt; ${then} a month; what that saves is unknown, as a price is missing." in shown
    assert "What advice saves is unknown, as prices are missing, of: warm. They count as they are declared." in shown
    assert f"&gt; ${then} serverless, advised" in shown


def test_a_page_of_nothing_but_unknown_differences_has_no_sum_of_them(models, unpriced):
    warm = next(part for part in unpriced.parts if part.model.name == "warm")
    shown = page.page(page.report({"warm": warm.spec}, STAGE, TABLE, TODAY))
    assert "<b>unknown</b> a month as advised" in shown
    assert "<b>unknown</b> a year less" in shown


def test_bars_whose_difference_is_unknown_stand_behind_those_that_change():
    bars = [pictures.Bar("unknown", 900, 1, "realtime", "batch", (True, False))]
    bars += [pictures.Bar(f"m{number}", 10 + number, 10, "realtime", "batch") for number in range(20)]
    drawn = pictures.fleet(bars)
    assert "unknown" not in drawn
    assert re.search(r"&gt; \$[0-9.]+ , advised", drawn)


def test_what_an_entry_says_cannot_break_out_of_the_page(models):
    wild = "</script><b>"
    spec = models["churn"].model_copy(update={"name": wild})
    shown = page.page(page.report({wild: spec}, STAGE, TABLE, TODAY))
    assert shown.count("</script>") == 1
    assert "<b></" not in shown


def test_every_picture_is_a_file_of_its_own_and_names_its_crossings(report):
    found = page.files(report)
    assert {"fleet.svg", "break-even-churn.svg", "freshness-churn.svg"} <= found.keys()
    for drawn in found.values():
        ElementTree.fromstring(drawn)
    for name in pictures.requests_names(report.parts[0].requests["crossings"]):
        assert name.split(": ")[0] in "".join(ElementTree.fromstring(found["break-even-churn.svg"]).itertext())


def test_a_large_fleet_is_drawn_with_its_rest_as_one():
    bars = [pictures.Bar(f"m{number}", 10 + number, 10, "realtime", "batch") for number in range(50)]
    drawn = pictures.fleet(bars)
    assert drawn.count("<rect") == 2 * pictures.BARS
    assert "39 others" in drawn
    assert "m49" in drawn


def test_names_at_the_ends_of_curves_stand_apart():
    flat = {mode: [5.0, 5.0] for mode in ("batch", "precompute", "hybrid", "realtime", "serverless", "async")}
    drawn = pictures.names({"xs": [1.0, 10.0], "usd": flat, "crossings": []}, "batch", [1.0, 10.0])
    heights = sorted(float(each) for each in re.findall(r'y="([0-9.]+)"', drawn))
    assert all(after - before >= pictures.LABEL_HEIGHT - 0.1 for before, after in itertools.pairwise(heights))
    assert heights[-1] <= pictures.BOTTOM + 5


def test_the_command_writes_the_page_and_the_pictures(tmp_path, monkeypatch):
    (tmp_path / "code").mkdir()
    (tmp_path / "code/inference.py").write_text("def model_fn(folder): ...\n")
    (tmp_path / "models.yaml").write_text("models: {churn: {mode: realtime, key: id, features: [x], code: code}}\n")
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(cli.app, ["report", "-o", "out/page.html", "--pictures", "out/drawn"])
    assert done.exit_code == 0, done.output
    assert "out/page.html: 1 model(s), $" in done.output
    assert (tmp_path / "out/page.html").read_text().startswith("<!doctype html>")
    assert (tmp_path / "out/drawn/break-even-churn.svg").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("-o", "."), r"^\. cannot be written: Is a directory"),
        (("-o", "code/inference.py/page.html"), r"page\.html cannot be written: "),
        (("-o", "a" * 300), "a cannot be written: File name too long"),
        (("--pictures", "models.yaml"), r"models\.yaml/fleet\.svg cannot be written: "),
    ],
)
def test_a_place_that_cannot_be_written_is_one_line(tmp_path, monkeypatch, arguments, said):
    (tmp_path / "code").mkdir()
    (tmp_path / "code/inference.py").write_text("def model_fn(folder): ...\n")
    (tmp_path / "models.yaml").write_text("models: {churn: {mode: realtime, key: id, features: [x], code: code}}\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=said):
        CliRunner().invoke(cli.app, ["report", *arguments], catch_exceptions=False)


def test_a_missing_price_fails_loudly_after_the_page_is_written(tmp_path, monkeypatch):
    (tmp_path / "code").mkdir()
    (tmp_path / "code/inference.py").write_text("def model_fn(folder): ...\n")
    entry = "{mode: realtime, key: id, features: [x], code: code, realtime: {instance_type: ml.m5.24xlarge}}"
    (tmp_path / "models.yaml").write_text(f"models: {{churn: {entry}}}\n")
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(cli.app, ["report"])
    assert isinstance(done.exception, UserError)
    assert "sagemaker_instance.ml.m5.24xlarge" in str(done.exception)
    assert "1 model(s), > $" in done.stdout
    shown = (tmp_path / "turnout-report.html").read_text()
    assert "Prices are missing" in shown
    assert re.search(r"<b>&gt; \$[0-9.]+</b> a month as declared", shown)


def test_the_bill_and_the_advice_load_nothing_of_the_report():
    code = "import sys, turnout.cost, turnout.cost.text, turnout.advice.text; print('turnout.report' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"
