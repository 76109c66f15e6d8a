"""cfn-lint over every template that the suite can synthesise."""

import json
from pathlib import Path

import pytest

from tests.synth.conftest import Synth, entry

#: Rules that are off, and why.
OFF = {
    "W3005": "The gate waits for the whole construct that serves a mode, whatever its properties name of it.",
    "W6001": "PredictUrl repeats the platform's API id on purpose: `cdk deploy` prints a URL that works.",
}
EVERY_FORM = (
    entry("risk", mode="batch", schedule="on-new-data"),
    entry("price", schedule='{ cron: "0 6 * * ? *", timezone: Europe/Berlin }', more="    tags: { team: growth }\n"),
    entry("mixed", mode="hybrid"),
    entry("mixed-busy", mode="hybrid", more="    hybrid: { fallback: realtime }\n    refresh: { on_event: true }\n"),
    entry("mixed-late", mode="hybrid", more="    hybrid: { fallback: async }\n"),
    entry("busy", mode="realtime", more="    realtime: { invocations_per_instance: 700 }\n    shift: canary\n"),
    entry("warm", mode="serverless", more="    serverless: { provisioned_concurrency: 2 }\n    shift: linear\n"),
    entry("late", mode="async"),
)


def problems(path: Path, regions: list[str]) -> list[str]:
    from cfnlint.api import ManualArgs, lint

    config = ManualArgs(regions=regions, ignore_checks=list(OFF))
    return [f"{match.rule.id} {match.message}" for match in lint(path.read_text(), config=config)]


@pytest.mark.parametrize(("stage", "region"), [("dev", None), ("prod", "eu-west-1")])
def test_every_template_is_clean(synth: Synth, stage: str, region: str | None):
    templates = synth(*EVERY_FORM, stage_name=stage, region=region).templates
    assert len(templates) == len(EVERY_FORM) + 1
    for name, template in templates.items():
        assert problems(template.path, [region or "us-east-1"]) == [], name


def test_a_mistake_would_be_found(synth: Synth, tmp_path: Path):
    body = dict(synth(entry())["churn"].body)
    body["Resources"]["Wrong"] = {"Type": "AWS::SQS::Queue", "Properties": {"Nmae": "x"}}
    path = tmp_path / "wrong.template.json"
    path.write_text(json.dumps(body))
    assert any(problem.startswith("E3002") for problem in problems(path, ["us-east-1"]))
