"""One model through every switch of mode, by plain `cdk deploy`, under a load that never stops.

    python benchmarks/switch_drill.py [--modes batch,precompute,...] [--pairs N] [--shift linear]
                                      [--fallback async] [--json FILE]

It starts a local cloud of its own, deploys the churn model and a bystander, and walks through all ordered pairs of
modes in the fewest deploys (30 for six modes). After each switch it holds every answer against what the mode
promises, and the front door, the bystander and the platform against what they were. It ends with a table and, if
anything was wrong, with exit code 1.
"""

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pyarrow.parquet as pq
from rich.console import Console

from handlers.contract.layout import input_prefix, stack_name
from turnout import deployed, runs
from turnout.config import edit_mode
from turnout.load import Load, Report, cycle, pairs, questions_of, report_of, table_of, tour
from turnout.local import control

ROOT = Path(__file__).resolve().parents[1]
STAGE, MODEL, BYSTANDER = "dev", "churn", "bystander"
MODES = ("batch", "precompute", "hybrid", "realtime", "serverless", "async")
#: Seconds of load before a deploy and after it.
MARGIN_SECONDS = 3.0
#: Seconds for which the old version of the front door is kept; AWS takes 35, for a request may take 30. On a loaded
#: machine one takes more than two.
DRAIN_SECONDS = 6
#: What belongs to one version of the front door, behind the alias: each mode has its own.
OF_ONE_VERSION = ("AWS::Lambda::Version", "AWS::IAM::Role", "AWS::IAM::Policy")
#: Customers in the input beside those of the sample payloads.
OTHER_ROWS = 500

CONFIG = """\
# What the switch drill deploys.
models:
  churn:
    mode: batch
    shift: {shift}
    schedule: at(2099-01-01T00:00:00) # never while the drill runs
    code: {code}
    acknowledge: [lost-answers] # the tour goes through batch, where nobody is answered
    realtime: {{ instance_count: 1, max_instances: 2 }}
    serverless: {{ max_concurrency: 50 }}
    hybrid: {{ fallback: {fallback}, max_live_per_minute: 100000 }}
  bystander:
    mode: precompute
    schedule: at(2099-01-01T00:00:00)
    code: model_code/churn
"""


class DrillFailed(RuntimeError):
    """The stage for the drill could not be set; nothing was measured."""


@dataclass(frozen=True)
class Deployed:
    """How a `cdk deploy` ended. Moments are seconds of `time.monotonic`; `note` is what the output does not tell."""

    begin: float
    end: float
    code: int
    output: str
    note: str = ""


@dataclass
class Drill:
    """A local cloud of its own with the churn model in it. Use it as `with Drill(work).ready() as drill`."""

    work: Path
    console: Console = field(default_factory=lambda: Console(stderr=True))
    rate: float = 25.0
    seed: int = 0
    mode: str = "batch"
    shift: str = "all-at-once"
    fallback: str = "realtime"
    cloud: Any = None
    running: Load | None = None

    @property
    def config(self) -> Path:
        return self.work / "models.yaml"

    @property
    def code(self) -> Path:
        """The model's code folder: a copy, so that a drill may spoil it."""
        return self.work / "model_code" / MODEL

    @contextmanager
    def ready(self) -> Iterator["Drill"]:
        """Set the stage: everything deployed in `batch`, one run done. Afterwards nothing is left running."""
        saved = dict(os.environ)
        self._write_files()
        self.cloud = control.up(self.work / "cloud")
        os.environ.update(control.environ(self.cloud))
        try:
            self.say(f"a local cloud on {self.cloud.endpoint}")
            self._checked(self.cdk("bootstrap", "aws://000000000000/us-east-1"))
            self._checked(self.deploy())
            self._put_input()
            yield self
        finally:
            control.down(self.work / "cloud")
            os.environ.clear()
            os.environ.update(saved)

    def _write_files(self) -> None:
        shutil.rmtree(self.work, ignore_errors=True)
        self.work.mkdir(parents=True)
        if not (ROOT / "model_code/churn/artifact/sample_payloads.json").exists():
            subprocess.run([sys.executable, "model_code/churn/train.py"], cwd=ROOT, check=True, capture_output=True)
        shutil.copytree(ROOT / "model_code" / MODEL, self.code, ignore=shutil.ignore_patterns("__pycache__"))
        self.config.write_text(CONFIG.format(code=self.code.resolve(), shift=self.shift, fallback=self.fallback))

    def _put_input(self) -> None:
        """Put the samples' customers and some more in S3, and score them once."""
        folder = self.work / "input"
        command = [sys.executable, "model_code/churn/make_input.py", "--out", str(folder), "--files", "1"]
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
        samples = {row["customer_id"] for row in self.samples()["rows"]}
        table = pq.read_table(folder)
        keys = table["customer_id"].to_pylist()
        chosen = [place for place, key in enumerate(keys) if key in samples or place < OTHER_ROWS]
        pq.write_table(table.take(chosen), folder / "input.parquet")
        for model in (MODEL, BYSTANDER):
            self.upload("input.parquet", (folder / "input.parquet").read_bytes(), model=model)
        model, platform = deployed.find_model(STAGE, MODEL), deployed.find_platform(STAGE)
        *_, ended = runs.follow(model, platform, runs.start(model))
        runs.require_success(ended)

    def upload(self, name: str, body: bytes, *, model: str = MODEL) -> None:
        bucket = deployed.find_platform(STAGE).data_bucket
        boto3.client("s3").put_object(Bucket=bucket, Key=input_prefix(model) + name, Body=body)

    def samples(self) -> dict[str, Any]:
        return json.loads((self.code / "artifact" / "sample_payloads.json").read_text())

    def load(self) -> Load:
        """Start the load; the caller stops it."""
        path = ROOT / "model_code/churn/artifact/sample_payloads.json"
        columns = {"key": "customer_id", "prediction": "churn_probability"}
        questions = questions_of(MODEL, path, **columns, fallback=self.fallback)
        self.running = Load(deployed.find_platform(STAGE).api_url, questions, rate=self.rate, seed=self.seed).start()
        return self.running

    def deploy(self, *arguments: str) -> Deployed:
        return self.cdk("deploy", "--all", "--require-approval", "never", *arguments)

    def cdk(self, *arguments: str) -> Deployed:
        """Run the real CDK CLI to its end, whatever that is."""
        begin = time.monotonic()
        process = self.cdk_started(*arguments)
        output, _ = process.communicate()
        return Deployed(begin, time.monotonic(), process.returncode, output)

    def cdk_started(self, *arguments: str, out: str = "cdk.out") -> subprocess.Popen[str]:
        """Start the CDK CLI in a process group of its own; its output is one stream of text."""
        context = {"config": self.config, "stage": STAGE, "drain": DRAIN_SECONDS, "gate_poll": 1}
        pairs_of = [word for name, value in context.items() for word in ("-c", f"{name}={value}")]
        # cdk.json takes the app's Python from VIRTUAL_ENV.
        environment = {**os.environ, "CDK_VALIDATION": "false", "VIRTUAL_ENV": sys.prefix}
        return subprocess.Popen(
            [str(ROOT / "node_modules/.bin/cdk"), *arguments, *pairs_of, "--output", str(self.work / out)],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def write_mode(self, mode: str) -> None:
        """Change the one word."""
        self.config.write_text(edit_mode(self.config.read_text(), MODEL, mode))

    def shift_by(self, shift: str) -> None:
        """Change how requests move to a new version, and deploy that alone."""
        self.shift = shift
        self.config.write_text(re.sub(r"shift: \S+", f"shift: {shift}", self.config.read_text()))
        self._checked(self.deploy())

    def shifted_to(self, mode: str) -> str | None:
        """Return the mode to which a deploy shifts requests step by step, None if it moves them at once."""
        return mode if self.shift != "all-at-once" else None

    def switch(self, load: Load, new: str) -> Report:
        """Change the word, deploy, and return what clients got meanwhile and what else there is to complain about."""
        old, before = self.mode, self.standing()
        begin = time.monotonic()
        time.sleep(MARGIN_SECONDS)
        self.write_mode(new)
        done = self.deploy()
        time.sleep(MARGIN_SECONDS)
        end = load.settle()
        report = report_of(
            load,
            old,
            new,
            begin=begin,
            deploy=done.begin,
            deployed=done.end,
            end=end,
            shifted_to=self.shifted_to(new),
        )
        if not done.code:
            self.mode = new
        else:
            report.faults[f"cdk deploy ended with {done.code}: {end_of(done.output)}"] = 1
        for what, value in self.standing().items():
            if value != before[what]:
                report.faults[f"{what} changed: {_difference(before[what], value)}"] = 1
        return report

    def standing(self) -> dict[str, Any]:
        """Return what no switch may change: URL and ids of the front door, the other stacks' last updates."""
        client = boto3.client("cloudformation")
        stack = stack_name(STAGE, MODEL)
        pages = client.get_paginator("list_stack_resources").paginate(StackName=stack)
        resources = {
            entry["LogicalResourceId"]: entry["PhysicalResourceId"]
            for page in pages
            for entry in page["StackResourceSummaries"]
            if entry["LogicalResourceId"].startswith("FrontDoor") and entry["ResourceType"] not in OF_ONE_VERSION
        }
        outputs = {o["OutputKey"]: o["OutputValue"] for o in _described(client, stack)["Outputs"]}
        return {
            "the front door": resources,
            "the URL": outputs["PredictUrl"],
            **{f"stack {part}": _updated(client, stack_name(STAGE, part)) for part in (BYSTANDER, "platform")},
        }

    def say(self, text: str) -> None:
        self.console.print(f"{time.strftime('%H:%M:%S')} {text}", markup=False, highlight=False)

    def _checked(self, done: Deployed) -> None:
        if done.code:
            raise DrillFailed(f"cdk ended with {done.code}:\n{done.output[-4000:]}")


def _described(client: Any, stack: str) -> dict[str, Any]:
    return client.describe_stacks(StackName=stack)["Stacks"][0]


def _updated(client: Any, stack: str) -> str:
    described = _described(client, stack)
    return str(described.get("LastUpdatedTime", described["CreationTime"]))


def _difference(before: Any, after: Any) -> str:
    if not isinstance(before, dict):
        return f"{before} → {after}"
    return ", ".join(
        f"{name}: {before.get(name)} → {after.get(name)}"
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    )


def end_of(output: str) -> str:
    """Return what matters of the CLI's output: its last errors, or else its last lines."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    telling = [line for line in lines if "FAILED" in line or "rror" in line] or lines
    return " | ".join(telling[-4:])[-1200:]


def end_cleanly() -> None:
    """Have a terminated drill stop its cloud, as an interrupted one does."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))


def walked(modes: Sequence[str], count: int | None = None) -> list[tuple[str, str]]:
    """Return the switches to make, in order: all ordered pairs, or the first `count` of them.

    The walk begins in batch, where the stage is set, even if that is none of the modes.
    """
    walk = tour(modes, start="batch" if "batch" in modes else None)
    switches = pairs(walk if walk[0] == "batch" else ["batch", *walk])
    return switches[:count]


def run(drill: Drill, switches: Sequence[tuple[str, str]]) -> list[Report]:
    """Make the switches one after the other under one load and return their accounts."""
    reports: list[Report] = []
    load = drill.load()
    try:
        for number, (old, new) in enumerate(switches, 1):
            report = drill.switch(load, new)
            reports.append(report)
            sent = report.before.sent + report.during.sent + report.after.sent
            verdict = "clean" if report.clean else f"{sum(report.faults.values())} FAULTS"
            drill.say(f"{number}/{len(switches)} {old} → {new}: {report.seconds:.1f} s, {sent} requests, {verdict}")
            for fault, count in report.faults.items():
                drill.say(f"    {count} x {fault}")
    finally:
        load.stop()
    return reports


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--modes", default=",".join(MODES), help="modes to tour (default: all six)")
    parser.add_argument("--pairs", type=int, help="stop after so many switches")
    parser.add_argument("--cycle", action="store_true", help="visit each mode once instead of taking every pair")
    parser.add_argument("--shift", default="all-at-once", help="all-at-once, canary or linear (default: %(default)s)")
    parser.add_argument("--fallback", default="realtime", help="hybrid's: realtime, serverless or async")
    parser.add_argument("--rate", type=float, default=25.0, help="requests a second (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the order of requests")
    parser.add_argument("--work", type=Path, default=ROOT / ".turnout" / "drill", help="folder for everything it makes")
    parser.add_argument("--json", type=Path, help="write the accounts of all switches there")
    options = parser.parse_args()
    end_cleanly()
    modes = options.modes.split(",")
    switches = pairs(cycle(modes))[: options.pairs] if options.cycle else walked(modes, options.pairs)
    # Narrower than this, a pipe's 80 columns for one, the table would be cut.
    console = Console() if sys.stdout.isatty() else Console(width=110)
    settings = {"rate": options.rate, "seed": options.seed, "shift": options.shift, "fallback": options.fallback}
    with Drill(options.work, **settings).ready() as drill:
        reports = run(drill, switches)
    console.print(table_of(reports))
    sent = sum(part.sent for report in reports for part in (report.before, report.during, report.after))
    faults = sum(sum(report.faults.values()) for report in reports)
    console.print(f"{len(reports)} switches, {sent:,} requests, {faults} faults.")
    if options.json:
        options.json.write_text(json.dumps([report.to_body() for report in reports], indent=1) + "\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
