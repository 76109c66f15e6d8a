"""The page's sliders reckon with the formulas of turnout.cost, as a JavaScript engine runs them."""

import dataclasses
import itertools
import random

import pytest

from handlers.contract.modes import AVAILABLE, ServingMode
from turnout import cost, prices
from turnout.config import STAGES
from turnout.config.specs import ModelSpec
from turnout.cost import Workload
from turnout.report import formulas

TABLE = prices.load()
BASE = {"name": "churn", "mode": "precompute", "schedule": "rate(1 day)", "key": "id", "features": ["a"]}
ENTRIES = [
    ModelSpec.model_validate({**BASE, **settings})
    for settings in (
        {},
        {"schedule": None, "mode": "serverless"},
        {"schedule": {"on_new_data": True}, "keep_scores": "30d", "score_precision": "float32"},
        {"hybrid": {"fallback": "realtime"}, "transform": {"instance_type": "ml.c5.4xlarge", "instance_count": 7}},
        {"hybrid": {"fallback": "async"}, "async": {"max_instances": 4, "max_concurrent_per_instance": 3}},
        {"realtime": {"instance_type": "ml.g5.xlarge", "max_instances": 40, "invocations_per_instance": 600}},
        {"realtime": {"instance_type": "ml.t2.medium"}, "max_staleness": "30d", "keep_scores": "40d"},
        {"serverless": {"memory_mb": 6144, "provisioned_concurrency": 3}},
        {"hybrid": {"fallback": "realtime"}, "refresh": {"on_event": True}, "max_staleness": "30m"},
        {"refresh": {"when_older_than": "20m"}, "transform": {"wire_format": "jsonlines"}},
    )
]


def any_workload(chance: random.Random) -> Workload:
    return Workload(
        requests=chance.choice([0, 1, chance.randrange(10**6), chance.randrange(10**9)]),
        peak_per_second=chance.choice([None, chance.uniform(0, 5000)]),
        payload_kb=chance.uniform(0, 5000),
        answer_kb=chance.uniform(0, 50),
        model_seconds=chance.choice([0.001, chance.uniform(0, 30)]),
        entities=chance.choice([0, 1, chance.randrange(10**4), chance.randrange(10**8)]),
        runs=chance.uniform(0, 3000),
        covered=chance.random(),
        transform_minutes=chance.choice([None, chance.uniform(0, 1000)]),
        key_bytes=chance.uniform(1, 40),
        score_bytes=chance.choice([None, chance.uniform(0, 4000)]),
    )


@pytest.fixture(scope="module")
def cases():
    chance = random.Random(6)
    stages = itertools.cycle(STAGES.values())
    return [(mode, spec, next(stages), any_workload(chance)) for spec in ENTRIES for mode in sorted(AVAILABLE) * 12]


@pytest.fixture(scope="module")
def reckoned(cases, node) -> list[list[dict]]:
    """Return the lines that node makes of each case."""
    calls = (
        f'lines("{mode}", {formulas.entry(spec, mode)}, {formulas.stage(stage)}, {formulas.work(work)}, prices)'
        for mode, spec, stage, work in cases
    )
    kinds = set().union(*(formulas.kinds(spec) for _, spec, _, _ in cases))
    prices = f"const prices = {formulas.prices(TABLE, kinds)};"
    return node(f"{formulas.program()}\n{prices}", f"[{', '.join(calls)}]")


def test_every_line_of_the_page_is_the_line_of_the_bill(cases, reckoned):
    for (mode, spec, stage, work), shown in zip(cases, reckoned, strict=True):
        entry, _ = cost.entry_for(spec, mode)
        wanted = cost.bill(mode, entry, stage, work, TABLE).lines
        assert [(line["what"], line["price"], line["kind"]) for line in shown] == [
            (line.what, line.price, line.kind) for line in wanted
        ]
        assert [line["usd"] is None for line in shown] == [line.usd is None for line in wanted]
        assert [line["usd"] or 0 for line in shown] == pytest.approx(
            [line.usd or 0 for line in wanted], rel=1e-9, abs=1e-9
        )


def test_every_sum_of_the_page_is_the_bills_to_the_cent(cases, reckoned):
    for (mode, spec, stage, work), shown in zip(cases, reckoned, strict=True):
        entry, _ = cost.entry_for(spec, mode)
        total = sum(line["usd"] or 0 for line in shown if line["kind"] == "monthly")
        assert total == pytest.approx(cost.bill(mode, entry, stage, work, TABLE).monthly, rel=1e-9, abs=0.001)


def test_a_price_that_the_table_lacks_is_unknown_in_the_page_too(cases, node):
    mode, spec, stage, work = next(case for case in cases if case[0] == "realtime")
    figures = f"{formulas.entry(spec, mode)}, {formulas.stage(stage)}, {formulas.work(work)}"
    shown = node(formulas.program(), f'lines("{mode}", {figures}, {{}})')
    assert {line["usd"] for line in shown} == {None}


def test_a_mode_takes_requests_as_long_as_the_entry_may_declare(cases):
    assert formulas.longest(ENTRIES[0], ServingMode.REALTIME) == 30
    assert formulas.longest(ENTRIES[0], ServingMode.ASYNC) == 3600
    in_vpc = ENTRIES[0].model_copy(update={"network_isolation": True})
    assert formulas.longest(in_vpc, ServingMode.SERVERLESS) is None


def test_every_figure_of_a_workload_reaches_the_page():
    names = {field.name for field in dataclasses.fields(Workload)} - {"notes"}
    assert all(f'"{name}"' in formulas.work(Workload()) for name in names)
