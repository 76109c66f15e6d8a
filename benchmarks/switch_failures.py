"""Ten things that go wrong in the midst of a switch, each under load: who is served, what it says, how it is mended.

    python -m benchmarks.switch_failures [--only NAME ...] [--json FILE]

After each failure the old mode must still answer (or, where the failure is survived, the new one), no request may
have been answered otherwise than promised, and one `cdk deploy` after the cause is gone must complete the switch.
"""

import argparse
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import boto3
import psutil
from rich.console import Console
from rich.table import Table

from benchmarks.switch_drill import MARGIN_SECONDS, MODEL, ROOT, STAGE, Deployed, Drill, end_cleanly, end_of
from handlers.contract.layout import stack_name
from turnout import deployed
from turnout.load import Load, Report, report_of, until
from turnout.local import control

STACK = stack_name(STAGE, MODEL)
RECOVERY = "cdk deploy --all"


@dataclass(frozen=True)
class Failure:
    """One thing that goes wrong while `old` gives way to `new`.

    `during` is a context in which the deploy runs: it breaks something on the way in and mends it on the way out.
    `survived`: the switch must succeed all the same; otherwise it must be rolled back. `says` must stand in what
    CloudFormation or the CLI showed.
    """

    name: str
    old: str
    new: str
    during: Callable[[Drill], Any]
    survived: bool = False
    says: str = ""
    shift: str = "all-at-once"
    deploy: Callable[[Drill], Deployed] = Drill.deploy


@dataclass(frozen=True)
class Outcome:
    """What came of a failure. `wrong` lists everything that should not be."""

    name: str
    switch: str
    ended: str  # the stack's status
    message: str
    requests: int
    recovery: str
    wrong: list[str]


# What goes wrong


@contextmanager
def edited(path: Path, change: Callable[[str], str]) -> Iterator[None]:
    before = path.read_text()
    path.write_text(change(before))
    try:
        yield
    finally:
        path.write_text(before)


def crashing_container(drill: Drill) -> Any:
    """Have the container raise when it loads the model."""
    crash = (
        "def model_fn(model_dir):\n    raise RuntimeError('this build has no model in it')\n\n\ndef _unused_model_fn("
    )
    return edited(drill.code / "inference.py", lambda text: text.replace("def model_fn(", crash))


def differing_sample(drill: Drill) -> Any:
    """Have training expect another prediction than the model makes: one of them, by one in the last place."""

    def change(text: str) -> str:
        samples = json.loads(text)
        samples["rows"][3]["churn_probability"] += 2**-40
        return json.dumps(samples)

    return edited(drill.code / "artifact" / "sample_payloads.json", change)


@contextmanager
def endpoint_that_never_comes_up(drill: Drill) -> Iterator[None]:
    """Have no instance ever come up, and CloudFormation's hours of patience pass in seconds."""
    control.set_faults(drill.cloud, endpoint_starts="never", time_scale=600)
    try:
        yield
    finally:
        control.set_faults(drill.cloud, time_scale=60)


@contextmanager
def bad_input(drill: Drill) -> Iterator[None]:
    """Add a file in which every row is bad, and have the next run be necessary."""
    bucket, key = deployed.find_platform(STAGE).data_bucket, "input/churn/spoiled.parquet"
    drill.upload("spoiled.parquet", spoiled((drill.work / "input" / "input.parquet").read_bytes()))
    try:
        with new_version(drill):
            yield
    finally:
        boto3.client("s3").delete_object(Bucket=bucket, Key=key)


def spoiled(body: bytes) -> bytes:
    import io

    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    table = pq.read_table(io.BytesIO(body))
    place = table.column_names.index("recency_days")
    table = table.set_column(place, "recency_days", pc.negate(table["recency_days"]))
    place = table.column_names.index("customer_id")
    keys = pa.array([f"spoiled-{number}" for number in range(len(table))])
    out = io.BytesIO()
    pq.write_table(table.set_column(place, "customer_id", keys), out)
    return out.getvalue()


@contextmanager
def new_version(drill: Drill) -> Iterator[None]:
    """Make a new version of the same model, so that no generation is fresh enough and the gate starts a run."""
    (drill.code / "artifact" / "build.txt").write_text(f"{time.time_ns()}\n")
    yield


@contextmanager
def killed_gate(drill: Drill) -> Iterator[None]:
    """Kill each process that looks for the gate while it looks, the first three times."""
    with new_version(drill), _beside(lambda: _kill_provers(drill, times=3)):
        yield


def _kill_provers(drill: Drill, times: int) -> None:
    killed: set[int] = set()

    def provers() -> list[psutil.Process]:
        found = psutil.Process(drill.cloud.pid).children(recursive=True)
        return [process for process in found if process.pid not in killed and _is_prover(process)]

    while len(killed) < times:
        victim = until(provers, "a process of the gate to kill", 300)[0]
        killed.add(victim.pid)
        victim.kill()


def _is_prover(process: psutil.Process) -> bool:
    try:
        return "GateProve" in process.environ().get("AWS_LAMBDA_FUNCTION_NAME", "")
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False


@contextmanager
def throttled_table(drill: Drill) -> Iterator[None]:
    """Have DynamoDB refuse the table's writes for twenty seconds, from when the gate's run begins."""
    table = deployed.find_model(STAGE, MODEL).table_name

    def throttle() -> None:
        until(_gate_runs, "the gate's run", 300)
        control.set_faults(drill.cloud, throttled_table=table, throttled_seconds=20)

    with new_version(drill), _beside(throttle):
        yield
    control.set_faults(drill.cloud)


def _gate_runs() -> bool:
    model = deployed.find_model(STAGE, MODEL)
    return any(run.trigger == "gate" and run.status == "running" for run in model.runs(5))


@contextmanager
def deleted_endpoint(drill: Drill) -> Iterator[None]:
    """Delete the old mode's endpoint by hand, as soon as the front door has moved and before CloudFormation does."""
    sagemaker = boto3.client("sagemaker")
    (name,) = [entry["EndpointName"] for entry in sagemaker.list_endpoints()["Endpoints"]]

    def delete() -> None:
        until(_is_draining, "the drain", 300)
        sagemaker.delete_endpoint(EndpointName=name)

    with _beside(delete):
        yield


def _is_draining() -> bool:
    events = boto3.client("cloudformation").describe_stack_events(StackName=STACK)["StackEvents"]
    newest = next((event for event in events if event["ResourceType"] == "Custom::TurnoutDrain"), None)
    return newest is not None and newest["ResourceStatus"] == "UPDATE_IN_PROGRESS"


@contextmanager
def ringing_alarm(drill: Drill) -> Iterator[None]:
    """Have the front door's alarm on errors ring as soon as the new mode answers some, until that is heard.

    Time passes more slowly meanwhile, so that a canary's five minutes are long enough to be seen.
    """
    cloudwatch, load = boto3.client("cloudwatch"), drill.running
    name, asked = _resource_named("AlarmsFrontDoorErrors"), len(load.sent)

    def heard() -> bool:
        cloudwatch.set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="the drill rings it")
        return _status() != "UPDATE_IN_PROGRESS"

    def ring() -> None:
        until(lambda: any(one.mode not in (None, drill.mode) for one in load.sent[asked:]), "a shifted request", 300)
        until(heard, "the shift to be taken back", 60)

    control.set_faults(drill.cloud, time_scale=20)
    try:
        with _beside(ring):
            yield
    finally:
        control.set_faults(drill.cloud, time_scale=60)
        cloudwatch.set_alarm_state(AlarmName=name, StateValue="OK", StateReason="the drill has looked at it")


def _resource_named(beginning: str) -> str:
    """Return the name of the stack's resource whose logical id begins so."""
    pages = boto3.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=STACK)
    resources = [resource for page in pages for resource in page["StackResourceSummaries"]]
    (found,) = [r["PhysicalResourceId"] for r in resources if r["LogicalResourceId"].startswith(beginning)]
    return found


@contextmanager
def nothing(drill: Drill) -> Iterator[None]:
    yield


@contextmanager
def _beside(work: Callable[[], None]) -> Iterator[None]:
    """Do something on another thread meanwhile; what goes wrong there is raised at the end."""
    wrong: list[BaseException] = []

    def guarded() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 raised below, on the thread that waits
            wrong.append(error)

    thread = threading.Thread(target=guarded, daemon=True)
    thread.start()
    yield
    thread.join(30)
    if wrong:
        raise wrong[0]
    if thread.is_alive():
        raise RuntimeError("what was to go wrong did not come to it before the deploy had ended")


def killed_cdk(drill: Drill) -> Deployed:
    """Kill the CLI and all its children once CloudFormation works on the change set, then deploy again."""
    begin = time.monotonic()
    process = drill.cdk_started("deploy", "--all", "--require-approval", "never")
    until(lambda: _status() == "UPDATE_IN_PROGRESS" or process.poll() is not None, "the change set to start", 300)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    again = drill.deploy()  # has nothing to change, and so does not wait for what is still under way
    until(lambda: not _status().endswith("IN_PROGRESS"), "the killed deploy to end", 300)
    note = "the killed deploy went on in CloudFormation"
    return Deployed(begin, time.monotonic(), again.code, again.output, note)


def two_deploys(drill: Drill) -> Deployed:
    """Run the same deploy twice at once; return the one that lost, or the second if both won."""
    begin = time.monotonic()
    command = ("deploy", "--all", "--require-approval", "never")
    processes = [drill.cdk_started(*command, out=f"cdk.out.{number}") for number in range(2)]
    ended = [(process.communicate()[0], process.returncode) for process in processes]
    output, code = max(ended, key=lambda end: end[1])
    wins = sum(code == 0 for _, code in ended)
    note = f"{wins} of 2 deploys succeeded" + (f"; the other: {end_of(output)}" if wins == 1 else "")
    return Deployed(begin, time.monotonic(), 0 if wins else code, output, note)


FAILURES = (
    Failure("quarantine", "batch", "precompute", bad_input, says="TooManyBadRows"),
    Failure("throttled", "batch", "precompute", throttled_table, survived=True),
    Failure("gate-killed", "precompute", "hybrid", killed_gate, survived=True),
    Failure("crash", "precompute", "realtime", crashing_container, says="this build has no model in it"),
    Failure("sample", "precompute", "realtime", differing_sample, says="training wrote"),
    Failure("timeout", "precompute", "realtime", endpoint_that_never_comes_up, says="Endpoint"),
    Failure("cdk-killed", "precompute", "realtime", nothing, survived=True, deploy=killed_cdk),
    Failure("endpoint-deleted", "realtime", "precompute", deleted_endpoint, survived=True),
    Failure("two-deploys", "precompute", "realtime", nothing, survived=True, deploy=two_deploys),
    Failure("alarm", "precompute", "realtime", ringing_alarm, says="Activated alarms: <", shift="canary"),
)


def suffer(drill: Drill, load: Load, failure: Failure) -> Outcome:
    """Have one failure happen under load, then recover with one deploy. The drill stands in the new mode afterwards."""
    wrong: list[str] = []
    if drill.shift != failure.shift:
        drill.shift_by(failure.shift)
    if drill.mode != failure.old:
        wrong += _faults(drill.switch(load, failure.old), "on the way there")
    standing, begin = drill.standing(), time.monotonic()
    time.sleep(MARGIN_SECONDS)
    drill.write_mode(failure.new)
    with failure.during(drill):
        done = failure.deploy(drill)
        time.sleep(MARGIN_SECONDS)
        end = load.settle()
        now = deployed.find_model(STAGE, MODEL).mode
    wanted = failure.new if failure.survived else failure.old
    if now != wanted:
        wrong.append(f"mode {now} is deployed, not {wanted}")
    report = report_of(
        load,
        failure.old,
        now,
        begin=begin,
        deploy=done.begin,
        deployed=done.end,
        end=end,
        shifted_to=drill.shifted_to(failure.new),
    )
    wrong += _faults(report, "meanwhile")
    wrong += [f"{what} changed" for what, value in drill.standing().items() if value != standing[what]]
    ended, message = _status(), _message(done, begin_of=done)
    if failure.says not in message:
        wrong.append(f"{failure.says!r} does not stand in the message")
    drill.mode = now
    recovery = "none needed"
    if now != failure.new:
        recovery = RECOVERY
        wrong += _faults(drill.switch(load, failure.new), "during recovery")
    requests = len(load.between(begin, time.monotonic()))
    return Outcome(failure.name, f"{failure.old} → {failure.new}", ended, message, requests, recovery, wrong)


def _faults(report: Report, when: str) -> list[str]:
    return [f"{when}: {count} x {fault}" for fault, count in report.faults.items()]


def _status() -> str:
    return boto3.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"][0]["StackStatus"]


def _message(done: Deployed, begin_of: Deployed) -> str:
    """Return what CloudFormation says of the first resource that failed in the deploy, else the CLI's last words."""
    since = time.time() - (time.monotonic() - begin_of.begin)
    pages = boto3.client("cloudformation").get_paginator("describe_stack_events").paginate(StackName=STACK)
    failed = [
        f"{event['LogicalResourceId']} {event['ResourceStatus']}: {event['ResourceStatusReason']}"
        for page in pages
        for event in page["StackEvents"]
        if event["Timestamp"].timestamp() >= since
        and event["ResourceStatus"].endswith("FAILED")
        and "cancelled" not in event.get("ResourceStatusReason", "cancelled")
    ]
    if failed:
        return failed[-1]  # newest first: the last one is the cause
    return done.note or (end_of(done.output) if done.code else "the switch went through")


def table_of(outcomes: list[Outcome]) -> Table:
    table = Table(title="Failures in the midst of a switch", title_justify="left", box=None, pad_edge=False)
    for name in ("failure", "switch", "stack", "requests", "recovery", "wrong"):
        table.add_column(name, no_wrap=name != "wrong")
    for one in outcomes:
        cells = (one.name, one.switch, one.ended, f"{one.requests:,}", one.recovery, "; ".join(one.wrong) or "nothing")
        table.add_row(*cells)
    return table


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=[failure.name for failure in FAILURES], help="just these")
    parser.add_argument("--rate", type=float, default=25.0, help="requests a second (default: %(default)s)")
    parser.add_argument("--work", type=Path, default=ROOT / ".turnout" / "failures", help="folder for what it makes")
    parser.add_argument("--json", type=Path, help="write the outcomes there")
    options = parser.parse_args()
    end_cleanly()
    chosen = [failure for failure in FAILURES if not options.only or failure.name in options.only]
    outcomes = []
    with Drill(options.work, rate=options.rate).ready() as drill:
        load = drill.load()
        try:
            for failure in chosen:
                outcome = suffer(drill, load, failure)
                outcomes.append(outcome)
                drill.say(f"{outcome.name}: {outcome.ended}, wrong: {'; '.join(outcome.wrong) or 'nothing'}")
                drill.say(f"    {outcome.message}")
        finally:
            load.stop()
    console = Console() if sys.stdout.isatty() else Console(width=160)
    console.print(table_of(outcomes))
    if options.json:
        options.json.write_text(json.dumps([asdict(outcome) for outcome in outcomes], indent=1) + "\n")
    return 1 if any(outcome.wrong for outcome in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
