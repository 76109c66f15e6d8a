"""Starts, stops and asks the local cloud. Nothing here prints; problems are LocalCloudError with one clear line."""

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from turnout.errors import UserError
from turnout.local.faults import TIME_SCALE
from turnout.local.sagemaker.artifact import remove

ACCOUNT, REGION = "000000000000", "us-east-1"
START_SECONDS = 60
STOP_SECONDS = 30
ROOT = Path(__file__).resolve().parents[2]
SAGEMAKER_SDK_SETTINGS = Path(__file__).with_name("sagemaker_sdk.yaml")


class LocalCloudError(UserError):
    """The local cloud could not do what was asked; the message says which log to read where one helps."""


@dataclass(frozen=True)
class LocalCloud:
    """A running local cloud."""

    state_dir: Path
    pid: int
    port: int
    endpoint: str
    started_at: str

    @property
    def log_file(self) -> Path:
        return log_file(self.state_dir)


def log_file(state_dir: Path) -> Path:
    return state_dir / "logs" / "local.log"


def up(state_dir: Path, port: int | None = None, persist: bool = False, time_scale: float = TIME_SCALE) -> LocalCloud:
    """Start the local cloud of `state_dir`, or return the one that already runs there.

    `time_scale`: seconds of AWS's waiting that pass in one second; 1 is as on AWS, the default suits tests and drills.
    What a crash left behind is cleared first. Raises LocalCloudError when it does not come up.
    """
    state_dir = Path(state_dir).resolve()
    with _alone(state_dir):
        if (cloud := status(state_dir)) is not None:
            return cloud
        _clear_leftovers(state_dir)
        return _start(state_dir, port, persist, time_scale)


@contextlib.contextmanager
def _alone(state_dir: Path) -> Iterator[None]:
    """Let one process at a time start or stop the cloud of a state directory."""
    state_dir.mkdir(parents=True, exist_ok=True)
    with (state_dir / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _start(state_dir: Path, port: int | None, persist: bool, time_scale: float) -> LocalCloud:
    log = log_file(state_dir)
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "turnout.local.server", "--state-dir", str(state_dir), "--port", str(port or 0)]
    command += ["--time-scale", str(time_scale)]
    with log.open("ab") as out:
        process = subprocess.Popen(
            [*command, "--persist"] if persist else command,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    try:
        return _wait_until_up(process, state_dir)
    except BaseException:  # an interrupt too: whoever started it may be gone before it answers
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        raise


def _wait_until_up(process: subprocess.Popen, state_dir: Path) -> LocalCloud:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise LocalCloudError(f"the local cloud ended while starting{_last_line(state_dir)}")
        if (cloud := _recorded(state_dir)) is not None:
            return cloud
        time.sleep(0.05)
    raise LocalCloudError(f"the local cloud did not answer within {START_SECONDS} s{_last_line(state_dir)}")


def _last_line(state_dir: Path) -> str:
    log = log_file(state_dir)
    lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    return f": {lines[-1]} (log: {log})" if lines else f" (log: {log})"


def down(state_dir: Path) -> bool:
    """Stop the local cloud of `state_dir`; return whether one was running. Leaves no process and no temporary file."""
    state_dir = Path(state_dir).resolve()
    if not state_dir.exists():
        return False
    with _alone(state_dir):
        cloud = status(state_dir)
        if cloud is not None:
            os.kill(cloud.pid, signal.SIGTERM)
            _wait_for_end(cloud.pid, state_dir)
        _clear_leftovers(state_dir)
    return cloud is not None


def _wait_for_end(pid: int, state_dir: Path) -> None:
    """Wait for a clean stop; who takes longer is killed with the leftovers."""
    deadline = time.monotonic() + STOP_SECONDS
    while time.monotonic() < deadline and _is_ours(pid, state_dir):
        time.sleep(0.05)


def status(state_dir: Path) -> LocalCloud | None:
    """Return the local cloud that runs for `state_dir`, or None."""
    state_dir = Path(state_dir).resolve()
    cloud = _recorded(state_dir)
    if cloud is None or not _is_ours(cloud.pid, state_dir):
        return None
    return cloud


def require(state_dir: Path) -> LocalCloud:
    """Return the running local cloud. Raises LocalCloudError that says how to start it."""
    cloud = status(state_dir)
    if cloud is None:
        raise LocalCloudError(f"no local cloud is running for {state_dir}; start it with `turnout local up`")
    return cloud


def reset(cloud: LocalCloud) -> None:
    """Forget all resources; the process stays."""
    _post(cloud, "/_turnout/reset", {})


def describe(cloud: LocalCloud) -> dict[str, Any]:
    """Return `{pid, now, clock_offset_seconds, the faults by name, time_scale, counts, versions, ignored}`.

    `counts` and `versions` are by name; `ignored` is sentences, each of which begins with the part that it is about.
    """
    return _ask(cloud, urllib.request.Request(f"{cloud.endpoint}/_turnout/status"))


def client(cloud: LocalCloud, service: str) -> Any:
    """Return a boto3 client of this cloud."""
    import boto3

    keys = {"aws_access_key_id": ACCOUNT, "aws_secret_access_key": "local", "region_name": REGION}
    return boto3.session.Session(**keys).client(service, endpoint_url=cloud.endpoint)


def environ(cloud: LocalCloud) -> dict[str, str]:
    """Return the variables with which plain `cdk`, `aws`, boto3, the SageMaker SDK and others talk to this cloud."""
    return {
        "AWS_ENDPOINT_URL": cloud.endpoint,
        "AWS_ACCESS_KEY_ID": ACCOUNT,
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "CDK_DEFAULT_ACCOUNT": ACCOUNT,
        "CDK_DEFAULT_REGION": REGION,
        "CDK_VALIDATION": "false",  # costs seconds at every synth; `make test` runs it
        "CDK_DISABLE_VERSION_CHECK": "1",
        "CDK_DISABLE_LEGACY_EXPORT_WARNING": "1",
        "JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION": "20",
        "LOCALSTACK_HOST": f"127.0.0.1:{cloud.port}",
        "SAGEMAKER_USER_CONFIG_OVERRIDE": str(SAGEMAKER_SDK_SETTINGS),
        "SAGEMAKER_VALIDATE_ROLE": "false",  # any role will do here, as IAM is not enforced; the SDK looks for it
    }


def api_url(cloud: LocalCloud, url_or_api_id: str) -> str:
    """Return the address under which this cloud serves an HTTP API: its id, or any URL below its AWS address.

    The path is kept byte for byte, escapes included.
    """
    parts = urlsplit(url_or_api_id)
    if not parts.netloc:
        return f"{cloud.endpoint}/_aws/execute-api/{url_or_api_id}/$default"
    api_id, rest = parts.netloc.split(".")[0], url_or_api_id.split(parts.netloc, 1)[1]
    return f"{cloud.endpoint}/_aws/execute-api/{api_id}/$default{rest}"


def advance_schedule(cloud: LocalCloud, schedule: str) -> list[dict[str, str]]:
    """Hurry the scheduler's clock to a schedule's next occurrence; the scheduler then fires it as usual.

    `schedule` is its name or ARN, its target's ARN, the stack that owns it, or `stack/logical id prefix`.
    Returns `{schedule, arn, scheduled_time}` of everything that fired, the wanted one first. Raises LocalCloudError
    when none or several match.
    """
    return _post(cloud, "/_turnout/clock", {"advance_to_next": schedule})["fired"]


def advance_clock(cloud: LocalCloud, seconds: float) -> list[dict[str, str]]:
    """Move the scheduler's clock forward; returns what fired, as `advance_schedule` does."""
    return _post(cloud, "/_turnout/clock", {"advance_seconds": seconds})["fired"]


def age_metric(cloud: LocalCloud, metric: str, seconds: float) -> None:
    """Make every value of a metric so far that much older: alarms look back on real time, and then see newer ones."""
    _post(cloud, "/_turnout/metrics", {"metric": metric, "older_by_seconds": seconds})


def set_faults(
    cloud: LocalCloud,
    scheduler_deliveries: int = 1,
    async_deliveries: int = 1,
    async_ttl_seconds: float = 0.0,
    endpoint_starts: str = "",
    throttled_table: str = "",
    throttled_seconds: float = 0.0,
    time_scale: float | None = None,
) -> dict[str, Any]:
    """Say what goes wrong from now on; what is not named goes back to normal, but for the time scale.

    `scheduler_deliveries`, `async_deliveries`: how often EventBridge Scheduler delivers a firing, and how often an
    asynchronous request reaches the model; both promise at least once, not once. `async_ttl_seconds`: above 0, no
    asynchronous request waits longer. `endpoint_starts`: "fail", instances cannot be had; "never", they do not come
    up until this is cleared. `throttled_table`: its writes are refused for `throttled_seconds`. `time_scale`:
    seconds of AWS's waiting (scaling, cooldowns, bake times) that pass in one second. Returns what holds now.
    """
    request = {name: value for name, value in locals().items() if name != "cloud"}
    return _post(cloud, "/_turnout/faults", request)


def _post(cloud: LocalCloud, path: str, body: dict) -> dict:
    return _ask(cloud, urllib.request.Request(f"{cloud.endpoint}{path}", json.dumps(body).encode(), method="POST"))


def _ask(cloud: LocalCloud, request: urllib.request.Request) -> dict:
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        detail = json.loads(error.read() or b"{}").get("error", error.reason)
        raise LocalCloudError(detail) from error
    except OSError as error:
        raise LocalCloudError(f"the local cloud does not answer: {error} (log: {cloud.log_file})") from error


def _recorded(state_dir: Path) -> LocalCloud | None:
    try:
        record = json.loads((state_dir / "local.json").read_text())
    except (FileNotFoundError, ValueError):
        return None
    return LocalCloud(state_dir, record["pid"], record["port"], record["endpoint"], record["started_at"])


def _clear_leftovers(state_dir: Path) -> None:
    """End what a killed cloud left running and remove its scratch files."""
    for pid in processes(state_dir):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    (state_dir / "local.json").unlink(missing_ok=True)
    remove(state_dir / "tmp")


def _belongs(command: str, state_dir: Path) -> bool:
    """A server started for this state dir, or a Lambda worker or container that runs from its scratch space."""
    return f"{state_dir}/tmp/" in command or ("turnout.local.server" in command and f" {state_dir} " in f"{command} ")


def processes(state_dir: Path) -> list[int]:
    """Return the pids of everything that runs for `state_dir`: the server, Lambda workers, containers."""
    state_dir = Path(state_dir).resolve()
    return [pid for pid, command in _processes() if _belongs(command, state_dir) and pid != os.getpid()]


def _is_ours(pid: int, state_dir: Path) -> bool:
    return any(pid == other and _belongs(command, state_dir) for other, command in _processes())


def _processes() -> Iterator[tuple[int, str]]:
    """Yield pid and command line of every process; one that has ended but is not collected has none."""
    if not Path("/proc/self/cmdline").exists():
        yield from _processes_by_ps()
        return
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):  # it may end while we look
                yield int(entry.name), (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")


def _processes_by_ps() -> Iterator[tuple[int, str]]:
    listing = subprocess.run(["ps", "-axww", "-o", "pid=,command="], capture_output=True, text=True, check=True).stdout
    for line in listing.splitlines():
        pid, _, command = line.strip().partition(" ")
        yield int(pid), command
