"""The runbook speaks of what can be seen: reasons that the gate gives, outputs, settings and ids that exist."""

import re
from pathlib import Path

from handlers.logic.proofs import STATUSES
from tests.synth.conftest import EVERY_MODE, Served

REPOSITORY = Path(__file__).resolve().parents[2]
RUNBOOK = (REPOSITORY / "docs/runbook.md").read_text()
SOURCES = ("logic/proofs.py", "logic/gating.py", "logic/samples.py", "contract/answering.py")


def section(title: str) -> str:
    return RUNBOOK.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def test_every_reason_that_it_explains_is_one_that_the_gate_gives():
    texts = "".join((REPOSITORY / "handlers" / name).read_text() for name in SOURCES)
    said = re.sub(r'"\s+f?"', "", texts)  # sentences are broken over lines
    statuses = re.compile(rf" is ({'|'.join(STATUSES)})$")
    reasons = [
        reason
        for row in section("The gate refused a deployment").splitlines()
        if row.startswith("| `")
        for reason in re.findall(r"`([^`]+)`", row.split("|")[1])
    ]
    assert len(reasons) >= 10
    for reason in reasons:
        for part in statuses.sub(" is ", reason).split("…"):
            assert part in said, reason


def test_the_resources_and_log_groups_that_it_names_exist(served: Served):
    there = {id for mode, more in EVERY_MODE for id in served(mode, more).resources}
    for named in ("GatePassed", "GateDrained", *re.findall(r"`…-(\w+)…`", RUNBOOK), *re.findall(r"…(\w+)…", RUNBOOK)):
        assert any(named in id for id in there | {"HttpApiAccessLogs"}), named


def test_the_outputs_that_it_names_exist(served: Served):
    outputs = {name for mode, more in EVERY_MODE for name in served(mode, more).body["Outputs"]}
    assert {"EndpointName", "ErrorTopicArn"} <= outputs
    assert all(name in RUNBOOK for name in ("EndpointName", "ErrorTopicArn"))


def test_the_settings_that_it_names_exist():
    from turnout.config.specs import ModelSpec

    sections = {"realtime": "realtime", "serverless": "serverless", "async": "async_", "hybrid": "hybrid"}
    named = re.findall(rf"`({'|'.join(sections)})\.(\w+)`", RUNBOOK)
    assert len(named) >= 5
    for name, setting in named:
        assert setting in ModelSpec.model_fields[sections[name]].annotation.model_fields, f"{name}.{setting}"
