"""cdk-nag's AwsSolutions rules over every stack, each finding explained in `accepted`."""

import json
import re
from pathlib import Path

import pytest

from tests.synth.accepted import NAG, WILDCARDS
from tests.synth.conftest import EVERY_MODE, entry, write_code_folder

_IAM5 = re.compile(r"AwsSolutions-IAM5\[(Resource|Action)::(?P<what>.*)\]")
_DATA_BUCKET = re.compile(r"turnout-\w+-platform:ExportsOutputFnGetAttDataBucket\w+Arn[0-9A-F]{8}")


def findings(stage_name: str, tmp_path: Path, *, break_it: bool = False) -> set[str]:
    """Return the rules that the platform and models in every mode, with both triggers, violate."""
    from aws_cdk import Validations, aws_sqs
    from cdk_nag import AwsSolutionsChecks

    from infra.stacks import add_stacks, new_app
    from turnout.config import load, stage

    path = tmp_path / "models.yaml"
    modes = [(f"m{number}", *mode) for number, mode in enumerate(EVERY_MODE)]
    entries = [entry(name, mode=mode, more=more + "    shift: canary\n") for name, mode, more in modes]
    path.write_text("models:" + "".join(entries) + entry("risk", mode="batch", schedule="on-new-data"))
    for name in ("risk", *(name for name, _, _ in modes)):
        write_code_folder(tmp_path / "model_code" / name)
    app = new_app(tmp_path / "out")
    stack, _ = add_stacks(app, load(path, root=tmp_path), stage=stage(stage_name))
    if break_it:
        aws_sqs.CfnQueue(stack, "Unencrypted", sqs_managed_sse_enabled=False)
    Validations.of(app).add_plugins(AwsSolutionsChecks(app))
    with pytest.raises(RuntimeError, match="ValidationFailed"):  # there are always accepted findings
        app.synth()
    report = json.loads((tmp_path / "out" / "validation-report.json").read_text())
    return {violation["ruleName"] for plugin in report["pluginReports"] for violation in plugin["violations"]}


def explained(rule: str) -> bool:
    if found := _IAM5.fullmatch(rule):
        place = _DATA_BUCKET.sub("<DataBucket.Arn>", found["what"])
        return any(re.fullmatch(known.resource, place) for known in WILDCARDS)
    return rule in NAG


@pytest.mark.parametrize("stage", ["dev", "prod"])
def test_every_finding_is_explained(stage: str, tmp_path: Path):
    found = findings(stage, tmp_path)
    assert found
    assert not {rule for rule in found if not explained(rule)}


def test_what_is_not_explained_would_be_found_and_every_explanation_is_needed(tmp_path: Path):
    found = findings("dev", tmp_path, break_it=True)
    assert {"AwsSolutions-SQS2", "AwsSolutions-SQS4"} <= found
    assert set(NAG) <= found
