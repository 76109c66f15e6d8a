"""A model server process: started, asked, stopped, and gone with whoever started it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from turnout.local.sagemaker import guard
from turnout.local.sagemaker.container import Container, ContainerFailed, LogShipper, _process_environment
from turnout.local.sagemaker.transform.errors import BadData, ModelFailed

STAND_IN = Path(__file__).parents[2] / "integration" / "local" / "stand_in" / "serve.py"
CSV = {"Content-Type": "text/csv"}


@pytest.fixture
def model(tmp_path, monkeypatch):
    """A function that writes a stand-in model's settings and returns its folder."""
    monkeypatch.setenv("TURNOUT_MODEL_SERVER", str(STAND_IN))
    folder = tmp_path / "model"
    folder.mkdir()

    def write(settings: str) -> Path:
        (folder / "settings.json").write_text(settings)
        return folder

    return write


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def children_of(pid: int) -> list[int]:
    return [child.pid for child in psutil.Process(pid).children()]


def gone(pids, seconds=15) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and any(alive(pid) for pid in pids):
        time.sleep(0.05)
    return not any(alive(pid) for pid in pids)


def test_it_answers_until_it_is_left(model, tmp_path):
    with Container(model("{}"), {}, tmp_path / "log") as container:
        processes = [container._process.pid, *children_of(container._process.pid)]
        assert len(processes) == 2
        assert container.invoke(b"1,2\n3,4", CSV, timeout=5, retries=0) == b"3.0\n7.0"
        assert container.execution_parameters() == {}
    assert gone(processes)


def test_a_server_that_ends_at_start_is_quoted(model, tmp_path):
    with pytest.raises(ContainerFailed, match=r"exited with code 1: .*no estimator"):
        Container(model('{"crash": "no estimator"}'), {}, tmp_path / "log").__enter__()


def test_a_server_that_never_answers_is_given_up(tmp_path, monkeypatch):
    silent = tmp_path / "silent.py"
    silent.write_text("import time; print('loading for ever', flush=True); time.sleep(60)")
    monkeypatch.setenv("TURNOUT_MODEL_SERVER", str(silent))
    container = Container(tmp_path, {}, tmp_path / "log", start_seconds=1)
    with pytest.raises(ContainerFailed, match=r"/ping did not answer 200 within 1 s: loading for ever"):
        container.__enter__()
    assert gone([container._process.pid])


def test_server_errors_are_retried_and_client_errors_are_not(model, tmp_path):
    with Container(model('{"flaky": 2, "reject_on": "9"}'), {}, tmp_path / "log") as container:
        assert container.invoke(b"1", CSV, timeout=5, retries=2) == b"1.0"
        with pytest.raises(BadData, match="400 from /invocations: cannot score 9"):
            container.invoke(b"9", CSV, timeout=5, retries=3)
    assert (tmp_path / "log").read_text().count("POST") == 4


def test_retries_come_to_an_end(model, tmp_path):
    with (
        Container(model('{"fail_on": "9"}'), {}, tmp_path / "log") as container,
        pytest.raises(ModelFailed, match="500 from /invocations"),
    ):
        container.invoke(b"9", CSV, timeout=5, retries=1)
    assert (tmp_path / "log").read_text().count("POST") == 2


def test_a_slow_answer_times_out(model, tmp_path):
    with (
        Container(model('{"slow": 5}'), {}, tmp_path / "log") as container,
        pytest.raises(ModelFailed, match="TimeoutError"),
    ):
        container.invoke(b"1", CSV, timeout=0.3, retries=0)


def test_it_dies_with_its_starter_even_when_that_is_killed(model, tmp_path):
    code = f"""
import sys, time
sys.path.insert(0, {str(Path(__file__).parents[3])!r})
from pathlib import Path
from turnout.local.sagemaker.container import Container
container = Container(Path({str(model("{}"))!r}), {{}}, Path({str(tmp_path / "log")!r})).__enter__()
print(container._process.pid, flush=True)
time.sleep(60)
"""
    starter = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    guarding = int(starter.stdout.readline())
    processes = [guarding, *children_of(guarding)]
    assert all(alive(pid) for pid in processes)
    os.kill(starter.pid, signal.SIGKILL)
    starter.wait()
    starter.stdout.close()
    assert gone(processes)


def test_a_server_that_ignores_sigterm_is_killed(tmp_path, monkeypatch):
    stubborn = tmp_path / "stubborn.py"
    stubborn.write_text("import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + STAND_IN.read_text())
    (tmp_path / "settings.json").write_text("{}")
    monkeypatch.setenv("TURNOUT_MODEL_SERVER", str(stubborn))
    monkeypatch.setattr("turnout.local.sagemaker.container.GRACE_SECONDS", 0.5)
    with Container(tmp_path, {}, tmp_path / "log") as container:
        processes = [container._process.pid, *children_of(container._process.pid)]
    assert gone(processes, seconds=5)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process of its parent's death")
def test_it_dies_with_its_guard_even_when_that_is_killed(model, tmp_path):
    with Container(model("{}"), {}, tmp_path / "log") as container:
        guarding = container._process.pid
        processes = [guarding, *children_of(guarding)]
        os.kill(guarding, signal.SIGKILL)
        container._process.wait()
        assert gone(processes)


def test_the_hosts_secrets_do_not_reach_the_model(monkeypatch, tmp_path):
    monkeypatch.setenv("AWS_PROFILE", "production")
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    environment = _process_environment(tmp_path, {"SAGEMAKER_PROGRAM": "score.py"}, 1234)
    assert not {"AWS_PROFILE", "PYTHONPATH"} & set(environment)
    assert environment["AWS_SHARED_CREDENTIALS_FILE"] == environment["AWS_CONFIG_FILE"] == os.devnull
    assert (environment["SAGEMAKER_PROGRAM"], environment["OMP_WAIT_POLICY"]) == ("score.py", "PASSIVE")
    assert _process_environment(tmp_path, {"OMP_WAIT_POLICY": "ACTIVE"}, 1234)["OMP_WAIT_POLICY"] == "ACTIVE"
    assert environment["TURNOUT_MODEL_DIR"] == str(tmp_path)
    assert (environment["SAGEMAKER_BIND_TO_HOST"], environment["SAGEMAKER_BIND_TO_PORT"]) == ("127.0.0.1", "1234")


def test_its_answer_can_be_read_as_it_comes(model, tmp_path):
    with Container(model("{}"), {}, tmp_path / "log") as container:
        with container.stream(b"1,2", CSV, timeout=5) as streamed:
            assert (streamed.status, b"".join(streamed.chunks)) == (200, b"3.0")
        assert container.healthy()
        os.kill(container.pid, signal.SIGSTOP)
        assert container.healthy()  # the guard sleeps, the server answers
        for server in children_of(container.pid):
            os.kill(server, signal.SIGSTOP)
        assert not container.healthy()
        assert container.alive()
        for pid in (container.pid, *children_of(container.pid)):
            os.kill(pid, signal.SIGCONT)


HOARDER = """
import http.server, os, subprocess, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
    def do_POST(self):
        code = "data = bytearray(200_000_000); import time; time.sleep(60)"
        subprocess.run([sys.executable, "-c", code], start_new_session=True)
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["SAGEMAKER_BIND_TO_PORT"])), Handler).serve_forever()
"""


def serving(tmp_path, code: str) -> Callable[[int], list[str]]:
    """Return a command that runs this code."""
    script = tmp_path / "server.py"
    script.write_text(code)
    return lambda port: [sys.executable, str(script)]


def test_it_is_killed_when_its_descendants_hold_too_much_memory(tmp_path):
    with Container(tmp_path, {}, tmp_path / "log", command=serving(tmp_path, HOARDER), memory_mb=150) as container:
        processes = [container.pid, *children_of(container.pid)]
        with pytest.raises(ModelFailed, match="no answer from /invocations"):
            container.invoke(b"x", CSV, timeout=30, retries=0)
        assert gone(processes)
        assert not container.alive()
    assert "exceeded the memory limit of 150 MB" in (tmp_path / "log").read_text()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells which pages are shared")
def test_memory_that_processes_share_counts_once(monkeypatch):
    code = (
        "import os, time; data = bytearray(60_000_000); [os.fork() or time.sleep(60) for _ in range(3)]; time.sleep(60)"
    )
    family = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    deadline = time.monotonic() + 15
    while len(children_of(family.pid)) < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    members = [family.pid, *children_of(family.pid)]
    monkeypatch.setattr(guard, "_descendants", lambda: members)  # the suite has other children than these
    limit = 150 * 2**20
    assert sum(psutil.Process(pid).memory_info().rss for pid in members) > limit
    assert 0 < guard._memory(limit) < limit
    os.killpg(family.pid, signal.SIGKILL)
    family.wait()


LEAVER = (
    """
import os, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
"""
    + HOARDER
)


@pytest.mark.parametrize("killed", [True, False], ids=["server killed", "stopped"])
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux adopts orphans")
def test_descendants_that_left_the_group_end_too(tmp_path, killed):
    container = Container(tmp_path, {}, tmp_path / "log", command=serving(tmp_path, LEAVER)).__enter__()
    server = children_of(container.pid)[0]
    processes = [server, *children_of(server)]
    assert len(processes) == 2
    if killed:
        os.kill(server, signal.SIGKILL)
        assert gone(processes)
    container.stop()
    assert gone(processes)


def test_children_end_when_the_guard_is_killed(tmp_path):
    code = "import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n" + HOARDER
    container = Container(tmp_path, {}, tmp_path / "log", command=serving(tmp_path, code)).__enter__()
    server = children_of(container.pid)[0]
    processes = [server, *children_of(server)]
    os.kill(container.pid, signal.SIGKILL)
    container._process.wait()
    container.stop()
    assert gone(processes)


class Logs:
    """CloudWatch Logs, as far as a shipper goes: the messages, in their order."""

    exceptions = SimpleNamespace(ResourceAlreadyExistsException=KeyError)

    def __init__(self) -> None:
        self.messages: list[str] = []

    def create_log_group(self, **_) -> None: ...

    def create_log_stream(self, **_) -> None: ...

    def put_log_events(self, *, logEvents, **_) -> None:
        self.messages += [event["message"] for event in logEvents]


def test_a_line_that_is_still_being_written_is_shipped_whole(tmp_path):
    logs, log = Logs(), tmp_path / "log"
    shipper = LogShipper(logs, log, "group", "stream")
    log.write_text("first\nPO")
    shipper.start()
    deadline = time.monotonic() + 30
    while not logs.messages and time.monotonic() < deadline:
        time.sleep(0.05)
    with log.open("a") as file:
        file.write("ST /invocations\nwithout an end")
    shipper.close()
    assert logs.messages == ["first", "POST /invocations", "without an end"]
