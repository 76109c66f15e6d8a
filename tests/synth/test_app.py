"""`app.py` as the CDK command line runs it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.synth.conftest import entry, write_code_folder

REPOSITORY = Path(__file__).resolve().parents[2]


def run_app(tmp_path: Path, **context: str) -> subprocess.CompletedProcess:
    """Run app.py the way the CDK command line does, with a context and an output folder."""
    environ = os.environ | {
        "CDK_CONTEXT_JSON": json.dumps(context),
        "CDK_OUTDIR": str(tmp_path / "out"),
        "CDK_VALIDATION": "false",
    }
    for name in [name for name in environ if name.startswith("AWS_")]:
        del environ[name]
    return subprocess.run(
        [sys.executable, REPOSITORY / "app.py"], cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=120
    )


def configuration(tmp_path: Path, *entries: str) -> str:
    """Write a models.yaml whose models have code folders of their own, and return its path."""
    lines = []
    for text in entries:
        name = text.split(":")[0].strip()
        write_code_folder(tmp_path / "code" / name)
        lines.append(f"{text}    code: {tmp_path / 'code' / name}\n")
    path = tmp_path / "models.yaml"
    path.write_text("models:" + "".join(lines))
    return str(path)


def without_banner(text: str) -> str:
    """Leave out what CDK's Node process says about the version of Node."""
    return "\n".join(line for line in text.splitlines() if not line.startswith("b'!!"))


def test_it_writes_one_template_per_stack(tmp_path: Path):
    done = run_app(tmp_path, config=configuration(tmp_path, entry("churn"), entry("risk")), stage="prod")
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (tmp_path / "out").glob("*.template.json")} == {
        "turnout-prod-platform.template.json",
        "turnout-prod-churn.template.json",
        "turnout-prod-risk.template.json",
    }


def test_account_and_region_make_the_stacks_belong_there(tmp_path: Path):
    config = configuration(tmp_path, entry("churn"))
    done = run_app(tmp_path, config=config, account="111122223333", region="eu-west-1")
    assert done.returncode == 0, done.stderr
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    environments = {a["environment"] for a in manifest["artifacts"].values() if a["type"] == "aws:cloudformation:stack"}
    assert environments == {"aws://111122223333/eu-west-1"}


def test_the_gates_pace_reaches_the_stack(tmp_path: Path):
    done = run_app(tmp_path, config=configuration(tmp_path, entry("churn")), drain="2", gate_poll="1")
    assert done.returncode == 0, done.stderr
    template = (tmp_path / "out" / "turnout-dev-churn.template.json").read_text()
    assert '"DrainSeconds": "2"' in template
    assert '\\"Seconds\\": 1,' in template


def test_a_mistake_in_the_configuration_is_one_message_and_no_traceback(tmp_path: Path):
    config = configuration(tmp_path, entry("churn", more="    colour: blue\n"))
    done = run_app(tmp_path, config=config)
    message = without_banner(done.stderr)
    assert done.returncode == 1
    assert "colour" in message
    assert "Traceback" not in message
    assert not list((tmp_path / "out").glob("*.template.json"))


def test_a_model_that_was_not_trained_is_refused(tmp_path: Path):
    config = configuration(tmp_path, entry("churn"))
    shutil.rmtree(tmp_path / "code" / "churn" / "artifact")
    done = run_app(tmp_path, config=config)
    assert done.returncode == 1
    assert "artifact is missing or empty" in done.stderr


@pytest.mark.parametrize(
    ("context", "said"),
    [
        ({"stage": "staging"}, "no stage 'staging'"),
        ({"region": "cn-north-1"}, "platform.arrow_layer_arn"),
        ({"drain": "soon"}, "-c drain=soon: write whole seconds"),
        ({"gate_poll": "0"}, "-c gate_poll=0"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_without_a_traceback(tmp_path: Path, context: dict[str, str], said: str):
    done = run_app(tmp_path, config=configuration(tmp_path, entry("churn")), **context)
    message = without_banner(done.stderr)
    assert done.returncode == 1
    assert said in message
    assert "Traceback" not in message


def test_the_real_command_line_synthesises_with_cdks_own_validation(tmp_path: Path):
    """The one test that pays for CDK's validation, with findings as errors."""
    environ = {k: v for k, v in os.environ.items() if k not in ("CDK_VALIDATION", "VIRTUAL_ENV")}
    environ |= {"VIRTUAL_ENV": sys.prefix, "HOME": str(tmp_path), "CDK_DISABLE_CLI_TELEMETRY": "1"}
    config = configuration(
        tmp_path,
        entry("churn"),
        entry("risk", mode="batch", schedule="on-new-data"),
        entry("busy", mode="realtime", more="    shift: canary\n"),
        entry("cold", mode="serverless"),
        entry("late", mode="hybrid", more="    hybrid: { fallback: async }\n"),
    )
    done = subprocess.run(
        [
            REPOSITORY / "node_modules" / ".bin" / "cdk",
            *("synth", "--quiet", "--output", tmp_path / "out", "-c", f"config={config}", "-c", "stage=prod"),
            *("-c", "@aws-cdk/core:validateAgainstDefaultRules=true"),
        ],
        cwd=REPOSITORY,
        env=environ,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "out" / "validation-report.json").read_text())
    assert report["pluginReports"] == []
    assert len(list((tmp_path / "out").glob("*.template.json"))) == 6


def test_a_mode_that_contradicts_its_answers_is_told_at_synth_and_stops_it_where_strict(tmp_path: Path):
    contradiction = entry("churn", mode="batch") + "    answers: {consumption: waits}\n"
    loose = run_app(tmp_path, config=configuration(tmp_path, contradiction))
    assert loose.returncode == 0, loose.stderr
    assert "warning: model 'churn', key 'mode': mode 'batch' contradicts `answers`" in loose.stderr
    strict = run_app(tmp_path, config=configuration(tmp_path, contradiction + "    strict: true\n"))
    assert strict.returncode == 1
    assert "(files-answer-nobody)" in strict.stderr
