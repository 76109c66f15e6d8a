"""One model server process behind SageMaker's container contract: /ping, /invocations, /execution-parameters."""

import contextlib
import http.client
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from turnout.local.sagemaker.transform.errors import BadData, ModelFailed

GUARD = Path(__file__).with_name("guard.py")
SERVER = Path(__file__).resolve().parents[3] / "model_code" / "server" / "serve.py"
PING_TIMEOUT_SECONDS = 2
GRACE_SECONDS = 10
QUOTED_LOG_LINES = 5
CHUNK = 2**16
#: Of the host's environment: where to find things, and in which language.
KEPT_VARIABLES = ("PATH", "HOME", "XDG_CACHE_HOME", "LANG", "LC_ALL", "TMPDIR")
#: A model must not find the credentials of whoever runs the local cloud.
NO_HOST_CREDENTIALS = {
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
}


class ContainerFailed(Exception):
    """The model server did not come up; the message quotes the last lines of its log."""


class Answer(NamedTuple):
    """What the model server said. Header names are in lower case."""

    status: int
    body: bytes
    headers: dict[str, str]


class Streamed(NamedTuple):
    """An answer of which only the head has come; `chunks` gives the body as it arrives. Header names are lower case."""

    status: int
    headers: dict[str, str]
    chunks: Iterator[bytes]


#: Returns the command that serves a model, given the port that it has to listen on.
Command = Callable[[int], Sequence[str]]


def server_path() -> Path:
    """Return the model server's script; `TURNOUT_MODEL_SERVER` replaces it (tests use a stand-in)."""
    return Path(os.environ.get("TURNOUT_MODEL_SERVER") or SERVER)


def own_server(port: int) -> Sequence[str]:
    """Return the command of this repository's model server; it reads the port from its environment."""
    return [sys.executable, str(server_path())]


class Container:
    """A running model server. Use as a context manager; leaving it ends the process and its children."""

    def __init__(
        self,
        model_dir: Path,
        environment: Mapping[str, str],
        log_file: Path,
        start_seconds: float = 120,
        command: Command = own_server,
        memory_mb: int = 0,
    ) -> None:
        """`memory_mb` is what the server and its children may hold together before they are killed; 0 is no limit."""
        self.log_file = log_file
        self._start_seconds = start_seconds
        self._command, self._memory_mb = command, memory_mb
        self._port = _free_port()
        self._environment = _process_environment(model_dir, environment, self._port)
        self._process: subprocess.Popen | None = None
        self._ending = threading.Lock()
        self._idle: queue.SimpleQueue[http.client.HTTPConnection] = queue.SimpleQueue()

    def __enter__(self) -> "Container":
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        guard = [sys.executable, "-S", "-E", str(GUARD), str(GRACE_SECONDS), str(self._memory_mb)]
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [*guard, *self._command(self._port)],
                env=self._environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        try:
            self._wait_for_ping()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_) -> None:
        self.stop()

    def stop(self) -> None:
        """End the server: SIGTERM, then SIGKILL after the grace period. Safe to call from another thread."""
        process = self._process
        if process is None:
            return
        process.stdin.close()
        try:
            process.wait(GRACE_SECONDS + 5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        with self._ending:
            if not process.stdout.closed:
                self._end_what_the_guard_left()
                process.stdout.close()

    def _end_what_the_guard_left(self) -> None:
        """Kill the command's process group when the guard itself was killed and could not do it."""
        if self._process.returncode >= 0:
            return
        os.set_blocking(self._process.stdout.fileno(), False)
        if group := (self._process.stdout.read() or b"").strip():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(int(group), signal.SIGKILL)

    def _wait_for_ping(self) -> None:
        deadline = time.monotonic() + self._start_seconds
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise ContainerFailed(f"the model server exited with code {self._process.returncode}{self.last_log()}")
            if self._ping():
                return
            time.sleep(0.05)
        raise ContainerFailed(f"/ping did not answer 200 within {self._start_seconds:g} s{self.last_log()}")

    def _ping(self) -> bool:
        try:
            return self._request("GET", "/ping", None, {}, PING_TIMEOUT_SECONDS).status == 200
        except (OSError, http.client.HTTPException):
            return False

    def last_log(self) -> str:
        """Return `: line | line ...`, the end of the log, or nothing when the log is empty."""
        lines = self.log_file.read_text(errors="replace").strip().splitlines() if self.log_file.exists() else []
        return ": " + " | ".join(lines[-QUOTED_LOG_LINES:]) if lines else ""

    def execution_parameters(self) -> dict:
        """Return the container's own settings, or nothing when it does not offer them."""
        try:
            answer = self._request("GET", "/execution-parameters", None, {}, PING_TIMEOUT_SECONDS)
            return json.loads(answer.body) if answer.status == 200 else {}
        except (OSError, http.client.HTTPException, ValueError):
            return {}

    def invoke(self, body: bytes, headers: Mapping[str, str], timeout: float, retries: int) -> bytes:
        """Send one request. Retries answers of 5xx and broken connections, never a 4xx.

        Raises BadData for a 4xx and ModelFailed for what is still failing after the retries.
        """
        for attempt in range(retries + 1):
            try:
                status, answer, _ = self.send(body, headers, timeout)
            except (OSError, http.client.HTTPException) as error:
                problem = f"no answer from /invocations ({type(error).__name__}: {error})"
            else:
                if 200 <= status < 300:
                    return answer
                problem = f"{status} from /invocations: {_excerpt(answer)}"
                if 400 <= status < 500:
                    raise BadData(problem)
            if attempt < retries:
                time.sleep(min(0.1 * 2**attempt, 1.0))
        raise ModelFailed(problem)

    def send(self, body: bytes, headers: Mapping[str, str], timeout: float) -> Answer:
        """Send one request to /invocations, once. Raises OSError (TimeoutError too) or HTTPException."""
        return self._request("POST", "/invocations", body, headers, timeout)

    @contextlib.contextmanager
    def stream(self, body: bytes, headers: Mapping[str, str], timeout: float) -> Iterator[Streamed]:
        """Send one request to /invocations and hand over its answer as it arrives.

        `timeout` bounds each wait for the next bytes. Raises OSError (TimeoutError too) or HTTPException, from the
        chunks as well.
        """
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=timeout)
        try:
            connection.request("POST", "/invocations", body, dict(headers))
            response = connection.getresponse()
            yield Streamed(response.status, _lower(response.getheaders()), iter(lambda: response.read1(CHUNK), b""))
        finally:
            connection.close()

    def healthy(self) -> bool:
        """Whether the process runs and answers its ping within SageMaker's two seconds."""
        return self.alive() and self._ping()

    @property
    def pid(self) -> int | None:
        """The process that the server and its children descend from; None before the start."""
        return self._process.pid if self._process is not None else None

    def alive(self) -> bool:
        """Whether the process runs; one that ends by itself has crashed."""
        return self._process is not None and self._process.poll() is None

    def _request(self, method: str, path: str, body, headers: Mapping[str, str], timeout: float) -> Answer:
        connection = self._idle_connection(timeout)
        if connection is not None:
            try:
                return self._exchange(connection, method, path, body, headers)
            except ConnectionError:
                pass  # the server had closed the idle connection: that is no failed request
        fresh = http.client.HTTPConnection("127.0.0.1", self._port, timeout=timeout)
        return self._exchange(fresh, method, path, body, headers)

    def _exchange(self, connection, method: str, path: str, body, headers: Mapping[str, str]) -> Answer:
        try:
            connection.request(method, path, body, dict(headers))
            response = connection.getresponse()
            answer = response.read()
        except BaseException:
            connection.close()
            raise
        self._idle.put(connection)
        return Answer(response.status, answer, _lower(response.getheaders()))

    def _idle_connection(self, timeout: float) -> http.client.HTTPConnection | None:
        try:
            connection = self._idle.get_nowait()
        except queue.Empty:
            return None
        connection.timeout = timeout
        if connection.sock is not None:
            connection.sock.settimeout(timeout)
        return connection


def _process_environment(model_dir: Path, environment: Mapping[str, str], port: int) -> dict[str, str]:
    """Return what a container would see: the model's environment, of the host's only where to find things."""
    kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    return {
        **kept,
        **NO_HOST_CREDENTIALS,
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",  # the model's folder is read-only
        # OpenMP's threads spin while they wait: beside all else that runs here, 2 ms of prediction become a second.
        "OMP_WAIT_POLICY": "PASSIVE",
        **environment,
        "TURNOUT_MODEL_DIR": str(model_dir),
        "SM_MODEL_DIR": str(model_dir),
        "SAGEMAKER_BIND_TO_HOST": "127.0.0.1",
        "SAGEMAKER_BIND_TO_PORT": str(port),
    }


def _lower(headers: list[tuple[str, str]]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers}


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def _excerpt(body: bytes) -> str:
    return " ".join(body[:300].decode(errors="replace").split())


class LogShipper(threading.Thread):
    """Copies a log file to CloudWatch Logs, line by line, until it is closed. Also a context manager."""

    def __init__(self, logs, log_file: Path, group: str, stream: str) -> None:
        super().__init__(daemon=True, name=f"ship-{stream}")
        self._logs, self._file, self._group, self._stream = logs, log_file, group, stream
        self._done = threading.Event()

    def __enter__(self) -> "LogShipper":
        self.start()
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def run(self) -> None:
        self._create()
        position, finished = 0, False
        while not finished:
            finished = self._done.wait(1.0)
            position = self._ship(position, finished)

    def close(self) -> None:
        """Ship what is left and end."""
        self._done.set()
        self.join(10)

    def _create(self) -> None:
        for create, names in (
            (self._logs.create_log_group, {"logGroupName": self._group}),
            (self._logs.create_log_stream, {"logGroupName": self._group, "logStreamName": self._stream}),
        ):
            try:
                create(**names)
            except self._logs.exceptions.ResourceAlreadyExistsException:
                continue

    def _ship(self, position: int, finished: bool) -> int:
        """Ship what follows `position` and return where that ends; a line without its end waits, unless finished."""
        if not self._file.exists():
            return position
        with self._file.open("rb") as file:
            file.seek(position)
            data = file.read()
        if not finished:
            data = data[: data.rfind(b"\n") + 1]
        lines = data.decode(errors="replace").splitlines()
        now = int(time.time() * 1000)
        events = [{"timestamp": now, "message": line} for line in lines if line.strip()]
        for start in range(0, len(events), 1000):
            self._logs.put_log_events(
                logGroupName=self._group, logStreamName=self._stream, logEvents=events[start : start + 1000]
            )
        return position + len(data)
