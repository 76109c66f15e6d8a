"""The container's code is loaded by path, as in a container: its folders come first on `sys.path`."""

import http.client
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SERVE = ROOT / "model_code/server/serve.py"
sys.path[:0] = [str(ROOT / "model_code/churn"), str(ROOT / "model_code/server")]


@dataclass
class Response:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


@dataclass
class Container:
    """A server process and its log."""

    process: subprocess.Popen
    log_path: Path

    @property
    def log(self) -> str:
        return self.log_path.read_text()

    @property
    def port(self) -> int:
        return int(re.search(r"listening on 127\.0\.0\.1:(\d+)", self.log)[1])

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)

    def request(self, method: str, path: str, body: bytes | str | None = None, **headers: str) -> Response:
        connection = self.connect()
        body = body.encode() if isinstance(body, str) else body
        try:
            connection.request(method, path, body, {name.replace("_", "-"): text for name, text in headers.items()})
            answer = connection.getresponse()
            return Response(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def post(self, body: bytes | str, **headers: str) -> Response:
        return self.request("POST", "/invocations", body, **headers)

    def ping(self) -> int:
        return self.request("GET", "/ping").status

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Poll until the condition holds; fail with the container's log when it does not."""
        deadline = time.monotonic() + 30
        while not condition():
            assert time.monotonic() < deadline, f"{what} did not happen; the log says:\n{self.log}"
            time.sleep(0.01)

    def accepts(self) -> bool:
        """Return whether new connections are taken."""
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def listening(self) -> "Container":
        self.until(lambda: "listening on" in self.log or self.process.poll() is not None, "listening")
        return self

    def ready(self) -> "Container":
        self.listening()
        self.until(lambda: self.process.poll() is not None or self.ping() == 200, "a ping with status 200")
        return self

    def exit_code(self) -> int:
        return self.process.wait(timeout=30)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Container]]:
    """Start containers from a script's text (or a ready model folder) and end them after the test."""
    running: list[Container] = []

    def begin(
        script: str | None = None, model_dir: Path | None = None, arguments: Sequence[str] = (), **environ: str
    ) -> Container:
        folder = model_dir or tmp_path / "model"
        if script is not None:
            (folder / "code").mkdir(parents=True, exist_ok=True)
            (folder / "code/inference.py").write_text(script)
        log_path = tmp_path / f"container-{len(running)}.log"
        own = {
            "TURNOUT_MODEL_DIR": str(folder),
            "SAGEMAKER_BIND_TO_HOST": "127.0.0.1",
            "SAGEMAKER_BIND_TO_PORT": "0",
            "GATE": str(tmp_path / "gate"),
        }
        foreign = ("SAGEMAKER_", "PYTHONUNBUFFERED", "OMP_")
        inherited = {name: text for name, text in os.environ.items() if not name.startswith(foreign)}
        with log_path.open("w") as log:
            process = subprocess.Popen(
                [sys.executable, str(SERVE), *arguments],
                env=inherited | own | environ,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        running.append(Container(process, log_path))
        return running[-1]

    yield begin
    for container in running:
        container.process.kill()
        container.process.wait()


@pytest.fixture(scope="session")
def transactions():
    import dataset

    return dataset.load()


@pytest.fixture(scope="session")
def trained(transactions, tmp_path_factory) -> Path:
    """A folder laid out like /opt/ml/model: the trained model and, under code/, the script."""
    folder = tmp_path_factory.mktemp("churn")
    # A process of its own, as users train: a pickle's bytes also tell which strings the process happens to share.
    subprocess.run([sys.executable, ROOT / "model_code/churn/train.py", "--out", folder], check=True, timeout=120)
    (folder / "code").mkdir()
    (folder / "code/inference.py").write_bytes((ROOT / "model_code/churn/inference.py").read_bytes())
    return folder
