"""The main job, end to end, on the local cloud: what `make demo` runs.

Every step does the real thing and then checks it from outside; the first check that fails ends the
demo with exit code 1. Nothing is left running, whatever happens.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from turnout.errors import UserError

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / ".turnout" / "demo"
MODEL, STAGE = "churn", "dev"
BROKEN_ROWS, FILES = 100, 4
WAIT_SECONDS = 120


class DemoFailed(UserError):
    """A step's outcome was not what it must be."""


def check(claim: str, holds: bool, found: object = "") -> None:
    """Raise DemoFailed unless `claim` holds."""
    if not holds:
        raise DemoFailed(f"The demo expected: {claim}. Found: {found}", f"Logs are in {WORK}.")


@dataclass
class Demo:
    """Runs the steps and remembers what the closing table needs. `follow` shows one run's progress to its end."""

    console: Console
    follow: Callable
    seconds: list[tuple[str, float]] = field(default_factory=list)
    report: dict = field(default_factory=dict)
    lookup: dict = field(default_factory=dict)

    def run(self, *, keep: bool = False) -> None:
        """Run every step. Raises UserError at the first one that is not as it must be."""
        from turnout.config import edit_mode
        from turnout.local import control

        shutil.rmtree(WORK, ignore_errors=True)
        WORK.mkdir(parents=True)
        config = WORK / "models.yaml"
        config.write_text(edit_mode((ROOT / "models.yaml").read_text(), MODEL, "batch"))
        with self._step("train the sample model"):
            self._train()
        # A cancelled job ends like an interrupted one: what was started is stopped.
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
        try:
            with self._step("start the local cloud"):
                cloud = control.up(WORK / "cloud")
                os.environ.update(control.environ(cloud))
                self._say(f"AWS on {cloud.endpoint}, SageMaker included")
            self._serve(cloud, config)
        finally:
            if not keep:
                control.down(WORK / "cloud")
        left = control.processes(WORK / "cloud")
        check("nothing of the local cloud to run", keep or not left, left)
        self._summary("the local cloud still runs" if keep else "nothing is left running")

    def _serve(self, cloud, config: Path) -> None:
        from turnout import deployed

        with self._step("cdk bootstrap"):
            self._cdk("bootstrap", "aws://000000000000/us-east-1")
        with self._step("cdk deploy --all (mode: batch)"):
            self._cdk("deploy", "--all", "--require-approval", "never")
        platform = deployed.find_platform(STAGE)
        with self._step("put the input in S3"):
            self._upload_input(platform)
        with self._step("the schedule fires (twice for one slot); the pipeline runs") as parts:
            first = self._scheduled_run(cloud, platform, parts)
        with self._step("look at the results"):
            scores = self._read_results(first)
            self._ask_in_batch_mode(platform, sorted(scores)[0], first)
        with self._step("change one word (batch → precompute) and deploy again"):
            self._switch(config)
        with self._step("the schedule fires again; the pipeline publishes a generation") as parts:
            second = self._scheduled_run(cloud, platform, parts)
        with self._step("call the same URL again"):
            self._ask_in_precompute_mode(platform, scores, second)

    def _train(self) -> None:
        self._python("model_code/churn/train.py")

    def _upload_input(self, platform) -> None:
        import boto3

        from handlers.contract.layout import input_prefix

        folder = WORK / "input"
        self._python(
            "model_code/churn/make_input.py", "--out", str(folder), "--files", str(FILES), "--break", str(BROKEN_ROWS)
        )
        files = sorted(folder.glob("*.parquet"))
        check(f"{FILES} Parquet files", len(files) == FILES, files)
        s3 = boto3.client("s3")
        for path in files:
            s3.upload_file(str(path), platform.data_bucket, input_prefix(MODEL) + path.name)
        place = f"s3://{platform.data_bucket}/{input_prefix(MODEL)}"
        self._say(f"{len(files)} files in {place}, {BROKEN_ROWS} rows broken on purpose")

    def _scheduled_run(self, cloud, platform, parts: dict[str, float]):
        """Hurry the clock to the next slot and follow the run that the schedule starts. Return its ledger entry.

        `parts` takes the seconds of the pipeline's steps.
        """
        from turnout import deployed, runs
        from turnout.local import control

        model = deployed.find_model(STAGE, MODEL)
        before = {execution["executionArn"] for execution in runs.executions(model)}
        jobs_before = self._transform_jobs()
        control.set_faults(cloud, scheduler_deliveries=2)
        (fired, *_) = control.advance_schedule(cloud, f"{model.stack}/ServingTrigger")
        control.set_faults(cloud, scheduler_deliveries=1)
        self._say(
            f"the clock was hurried to {fired['scheduled_time']}; the schedule delivered twice, as at-least-once allows"
        )
        started = self._wait(lambda: [e for e in runs.executions(model) if e["executionArn"] not in before], count=2)
        followed = [self.follow(model, platform, execution["executionArn"]) for execution in started]
        worked = [end for end in followed if not end.duplicate]
        check("one of the two executions to do the work", len(worked) == 1, [end.status for end in followed])
        runs.require_success(worked[0])
        new_jobs = self._transform_jobs() - jobs_before
        check("one transform job for the slot", len(new_jobs) == 1, new_jobs)
        for step in ("Prepare", "Transform", "Publish", "Conclude"):
            parts[f"  of these {step}"] = worked[0].seconds[step]
        run = worked[0].run
        self.report = run.report
        self._say(f"two executions, one job, one generation: {run.id}")
        return run

    def _read_results(self, run) -> dict[str, float]:
        """Return key -> prediction from the Parquet results in S3, after checking the counts."""
        import boto3
        import pyarrow.parquet as pq

        bucket, _, prefix = run.report["results_uri"].removeprefix("s3://").partition("/")
        s3 = boto3.client("s3")
        keys = [item["Key"] for item in s3.list_objects_v2(Bucket=bucket, Prefix=prefix)["Contents"]]
        folder = WORK / "results"
        folder.mkdir(exist_ok=True)
        for key in keys:
            s3.download_file(bucket, key, str(folder / Path(key).name))
        table = pq.read_table(folder)
        self._say(f"{len(keys)} Parquet files, {table.num_rows} rows in {run.report['results_uri']}")
        shown = Table(*table.column_names, box=None)
        for row in table.slice(0, 3).to_pylist():
            shown.add_row(*(_short(value) for value in row.values()))
        self.console.print(shown)
        check("as many results as rows scored", table.num_rows == run.report["rows_scored"], table.num_rows)
        check(
            "every row in is scored or quarantined",
            run.report["rows_in"] == run.report["rows_scored"] + run.report["rows_quarantined"],
            run.report,
        )
        self._say(f"{run.report['rows_quarantined']} rows set aside in {run.report['quarantine_uri']}:")
        self._say("  " + ", ".join(f"{count} {code}" for code, count in sorted(run.report["reasons"].items())))
        check(f"{BROKEN_ROWS} rows quarantined", run.report["rows_quarantined"] == BROKEN_ROWS, run.report)
        key_name, prediction_name = table.column_names[:2]
        return dict(zip(table[key_name].to_pylist(), table[prediction_name].to_pylist(), strict=True))

    def _ask_in_batch_mode(self, platform, key: str, run) -> None:
        from turnout.front_door import FrontDoor

        answer = FrontDoor(platform.api_url).lookup(MODEL, key)
        self._say(f"GET /models/{MODEL}/predictions/{key} → {answer.status}")
        self.console.print_json(data=answer.body)
        check(
            "409 not_servable_live",
            answer.status == 409 and answer.body["error"]["code"] == "not_servable_live",
            answer,
        )
        check(
            "the answer to say where the results are", run.report["results_uri"] in json.dumps(answer.body), answer.body
        )

    def _switch(self, config: Path) -> None:
        from turnout.config import edit_mode

        before = config.read_text()
        after = edit_mode(before, MODEL, "precompute")
        changed = [pair for pair in zip(before.splitlines(), after.splitlines(), strict=True) if pair[0] != pair[1]]
        check("one line of models.yaml to change", len(changed) == 1, changed)
        config.write_text(after)
        self._say(f"{changed[0][0].strip()}   becomes   {changed[0][1].strip()}")
        self._cdk("deploy", "--all", "--require-approval", "never")

    def _ask_in_precompute_mode(self, platform, scores: dict[str, float], run) -> None:
        from turnout.front_door import FrontDoor

        door = FrontDoor(platform.api_url)
        sample = sorted(scores)[:: max(1, len(scores) // 50)]
        for key in sample:
            answer = door.lookup(MODEL, key)
            check(f"200 for key {key}", answer.status == 200, answer)
            check(
                f"the same score for {key} as in Parquet, to the last bit",
                answer.body["prediction"] == scores[key],
                answer,
            )
            check("the new generation", answer.body["generation"] == run.id, answer.body)
        self._say(f"{len(sample)} keys answered, each equal to the Parquet result to the last bit")
        answer = door.lookup(MODEL, sample[0])
        self.lookup = answer.body
        check("404 for a key nobody has", door.lookup(MODEL, "no-such-customer").status == 404)

    def _summary(self, left: str) -> None:
        table = Table("what", "value", title="What happened", box=None, title_justify="left")
        for name in ("rows_in", "rows_scored", "rows_quarantined", "rows_published"):
            table.add_row(name.replace("_", " "), f"{self.report[name]:,}")
        for step, seconds in self.seconds:
            table.add_row(step, f"{seconds:.1f} s")
        self.console.print()
        self.console.print(table)
        self.console.print("A lookup's answer:")
        self.console.print_json(data=self.lookup)
        self._bill()
        self.console.print(f"Every step was verified; {left}.")

    def _bill(self) -> None:
        """Show what a month of this would cost in AWS, by the rows of the run, for every mode."""
        from datetime import date

        from turnout import config, prices
        from turnout.cost import fleets, text

        spec = config.load(WORK / "models.yaml", root=ROOT).models[MODEL]
        table, stage = prices.load(), config.stage(STAGE)
        priced = fleets.fleet({MODEL: spec}, stage, table, date.today(), entities=self.report["rows_scored"])
        (model,) = priced.models
        check("a known price for each line of the bill", model.own.complete, model.own.missing)
        self.console.print("\nWhat a month of this would cost in AWS, by list prices:")
        for line in text.side_by_side(model):
            self.console.print(line, markup=False)
        rows, requests = self.report["rows_scored"], model.work.requests
        self.console.print(
            f"{rows:,} rows a run as here, {requests:,.0f} requests assumed; `turnout cost {MODEL}` says all.\n"
        )

    def _transform_jobs(self) -> set[str]:
        import boto3

        pages = boto3.client("sagemaker").get_paginator("list_transform_jobs").paginate()
        return {job["TransformJobName"] for page in pages for job in page["TransformJobSummaries"]}

    def _wait(self, probe: Callable[[], list], *, count: int) -> list:
        deadline = time.monotonic() + WAIT_SECONDS
        while len(found := probe()) < count:
            check(f"{count} executions within {WAIT_SECONDS} s", time.monotonic() < deadline, found)
            time.sleep(0.2)
        return found

    def _python(self, script: str, *arguments: str) -> None:
        self._command([sys.executable, str(ROOT / script), *arguments], Path(script).stem, echo=True)

    def _cdk(self, *arguments: str) -> None:
        cdk = ROOT / "node_modules" / ".bin" / "cdk"
        context = ["-c", f"config={WORK / 'models.yaml'}", "-c", f"stage={STAGE}"]
        context += ["-c", "drain=1", "-c", "gate_poll=1"]  # seconds; nobody else calls, so nobody is waited for
        command = [str(cdk), *arguments, *context, "--output", str(WORK / "cdk.out"), "--progress", "events"]
        self._command(command, f"cdk-{arguments[0]}")

    def _command(self, command: list[str], name: str, *, echo: bool = False) -> None:
        """Run `command`, keep its output in a log, and show the log's end when it fails."""
        log = WORK / f"{name}.log"
        # CDK's template validation costs seconds and runs in `make test`; here it would only repeat.
        environment = {**os.environ, "CDK_VALIDATION": "false", "VIRTUAL_ENV": sys.prefix}
        with self.console.status(f"{name} …"), log.open("a") as sink:
            ended = subprocess.run(
                command, cwd=ROOT, env=environment, stdout=sink, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
            )
        text = log.read_text()
        if echo:
            self.console.print(text.rstrip(), markup=False, style="dim")
        check(f"{name} to succeed (log: {log})", ended.returncode == 0, "\n" + "\n".join(text.splitlines()[-25:]))

    def _say(self, text: str) -> None:
        self.console.print(f"  {text}", markup=False)

    @contextmanager
    def _step(self, title: str) -> Iterator[dict[str, float]]:
        """Time a step; what it puts into the dict it is given is listed below it."""
        self.console.print(f"[bold]▸ {title}[/]")
        began, parts = time.monotonic(), {}
        yield parts
        took = time.monotonic() - began
        self.seconds += [(title, took), *parts.items()]
        self.console.print(f"  [green]✓[/] {took:.1f} s")


def _short(value: object) -> str:
    return value.isoformat(timespec="seconds") if hasattr(value, "isoformat") else str(value)
