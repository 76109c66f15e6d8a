"""The container's server against others, alternately: payloads, single rows, cores, start-up.

    python benchmarks/container.py [--rounds 5] [csv] [parquet] [cores] [rows] [start]

The others are FastAPI as its tutorial has it, and for payloads and start-up also MLflow's scoring server, AWS's sample
for images of your own (gunicorn and Flask, without its nginx) and multi-model-server with SageMaker's toolkit (Java).
Each has an environment of its own below .turnout/, ours with what model_code/Dockerfile installs, and ours once more
with onnxruntime. Servers are pinned to the first core and the client to the second, except for `cores` and `start`. CPU
is that of all threads of the server's processes, from the kernel's scheduler. Single answers are compared with
scikit-learn's: to the last bit, or within the export's tolerance where ONNX answers.
"""

import argparse
import http.client
import io
import json
import os
import random
import select
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import venv
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import joblib
import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

ROOT = Path(__file__).parents[1]
WORK = ROOT / ".turnout/benchmarks/container"
SERVER = ROOT / "model_code/server"
SKLEARN = "scikit-learn==1.9.1"
OURS = [SKLEARN, "-r", str(SERVER / "requirements.txt")]
#: What each server is installed with; the models have to be read by all of them.
PACKAGES = {
    "ours": OURS,
    "onnx": [*OURS, "onnxruntime==1.32.0", "onnx==1.23.2", "skl2onnx==1.20.0"],
    "fastapi": [SKLEARN, "numpy==2.4.6", "fastapi", "uvicorn", "pandas"],
    "byoc": [SKLEARN, "numpy==2.4.6", "flask", "gunicorn", "gevent", "packaging", "pandas"],
    "mlflow": [SKLEARN, "numpy==2.4.6", "mlflow"],
    "mms": [SKLEARN, "numpy==2.4.6", "multi-model-server==1.1.11", "sagemaker-inference==1.10.1", "setuptools<80"],
}
PEERS = ("fastapi", "byoc", "mlflow", "mms")
ALL_CORES = os.sched_getaffinity(0)
FEATURES = 20
NAMES = [f"f{number}" for number in range(FEATURES)]
PAYLOAD_ROWS = 33_135  # 6 MiB of CSV
SINGLE_ROWS = 2_000
CONNECTIONS = 32
SECONDS = 4.0
POSTS = 6  # of a payload in each round

LOG = "server.log"
#: What an answer of the ONNX model may differ by.
TOLERANCE = 1e-5

SCRIPT = """
import joblib
from pathlib import Path

ROW_BY_ROW = True

def model_fn(model_dir):
    return joblib.load(Path(model_dir) / "model.joblib")

def predict_fn(data, model):
    return model.predict_proba(data)[:, 1]
"""

FASTAPI = """
import io, os, sys
import joblib, numpy as np, pandas as pd
from fastapi import FastAPI, Request, Response

app = FastAPI()
model = joblib.load(os.path.join(os.environ["TURNOUT_MODEL_DIR"], "model.joblib"))

@app.get("/ping")
async def ping():
    return {}

@app.post("/invocations")
async def invocations(request: Request):
    if request.headers["content-type"] == "application/json":
        rows = np.array(await request.json())
        return {"predictions": model.predict_proba(rows)[:, 1].tolist()}
    rows = pd.read_csv(io.BytesIO(await request.body()), header=None).to_numpy()
    return Response(pd.Series(model.predict_proba(rows)[:, 1]).to_csv(index=False, header=False), media_type="text/csv")
"""

# scikit_bring_your_own of amazon-sagemaker-examples: CSV only, the model loaded by the first ping.
BYOC = """
import io, os
import flask, joblib, pandas as pd

app = flask.Flask(__name__)

class Scoring:
    model = None

    @classmethod
    def get(cls):
        if cls.model is None:
            cls.model = joblib.load(os.path.join(os.environ["TURNOUT_MODEL_DIR"], "model.joblib"))
        return cls.model

@app.route("/ping")
def ping():
    return flask.Response("\\n", status=200 if Scoring.get() is not None else 404, mimetype="application/json")

@app.route("/invocations", methods=["POST"])
def invocations():
    if flask.request.content_type != "text/csv":
        return flask.Response("CSV only", status=415, mimetype="text/plain")
    rows = pd.read_csv(io.StringIO(flask.request.data.decode("utf-8")), header=None)
    out = io.StringIO()
    pd.DataFrame({"results": Scoring.get().predict_proba(rows.to_numpy())[:, 1]}).to_csv(out, header=False, index=False)
    return flask.Response(out.getvalue(), status=200, mimetype="text/csv")
"""

# cloudpickle, because MLflow's default refuses to load a forest without a list of trusted types.
SAVE_FOR_MLFLOW = """
import os, sys
import joblib, mlflow.sklearn

folder, target = sys.argv[1:]
model = joblib.load(os.path.join(folder, "model.joblib"))
mlflow.sklearn.save_model(model, target, pyfunc_predict_fn="predict_proba", serialization_format="cloudpickle")
"""

# The toolkit's own start, but for the place of its configuration, which is in /etc.
MMS = """
import os
from sagemaker_inference import model_server

model_server.MMS_CONFIG_FILE = os.path.join(os.environ["TMPDIR"], "mms.properties")
model_server.start_model_server()
"""

EXPORT = """
import sys
from pathlib import Path
import joblib, numpy as np

sys.path.insert(0, sys.argv[1])
from export_onnx import export

folder, features = Path(sys.argv[2]), int(sys.argv[3])
rows = np.random.default_rng(3).normal(size=(2000, features))
print(export(joblib.load(folder / "model.joblib"), rows, folder))
"""


@dataclass
class Server:
    """A running server of either kind."""

    process: subprocess.Popen
    port: int
    log: Path

    def processes(self) -> list[psutil.Process]:
        """Return the processes of the server's session: MMS's Java outlives whoever started it."""
        return [process for process in psutil.process_iter() if session_of(process) == self.process.pid]

    def cpu_seconds(self) -> float:
        """Return the CPU time of all threads of all processes so far; the kernel counts nanoseconds."""
        return self._scheduled(0)

    def queued_seconds(self) -> float:
        """Return for how long threads that could have run had to wait for a core, added up."""
        return self._scheduled(1)

    def _scheduled(self, column: int) -> float:
        tasks = [task for process in self.processes() for task in Path(f"/proc/{process.pid}/task").iterdir()]
        return sum(int((task / "schedstat").read_text().split()[column]) for task in tasks) / 1e9

    def resident_mb(self) -> float:
        return sum(process.memory_info().rss for process in self.processes()) / 2**20

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)

    def post(self, connection: http.client.HTTPConnection, body: bytes, kind: str) -> bytes:
        connection.request("POST", "/invocations", body, {"Content-Type": kind, "Accept": kind})
        answer = connection.getresponse()
        content = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{answer.status}: {content[:300]}")
        return content


def python_of(kind: str) -> str:
    return str(WORK / kind / "bin/python")


def command(kind: str, model_dir: Path, port: int) -> list[str]:
    python = python_of(kind)
    mlflow = ["serve", "-m", str(model_dir / "mlflow"), "-p", str(port), "--env-manager", "local", "-w", "1"]
    return {
        "ours": [python, str(SERVER / "serve.py")],
        "onnx": [python, str(SERVER / "serve.py")],
        "fastapi": [python, "-m", "uvicorn", "fastapi_peer:app", "--port", str(port), "--log-level", "warning"],
        "byoc": [python, "-m", "gunicorn", "-k", "gevent", "-w", "1", "-b", f"127.0.0.1:{port}", "byoc_peer:app"],
        "mlflow": [python, "-m", "mlflow", "models", *mlflow],
        "mms": [python, "mms_peer.py"],
    }[kind]


def install() -> None:
    """Make each server's environment once; later runs find it there."""
    WORK.mkdir(parents=True, exist_ok=True)
    for kind, program in {"fastapi": FASTAPI, "byoc": BYOC, "mms": MMS}.items():
        (WORK / f"{kind}_peer.py").write_text(program)
    for kind, packages in PACKAGES.items():
        done = WORK / f"{kind}.installed"
        if not done.exists():
            venv.create(WORK / kind, with_pip=True, clear=True)
            subprocess.run([python_of(kind), "-m", "pip", "install", "-q", *packages], check=True)
            done.touch()


def write_models(folder: Path) -> dict[str, Path]:
    """Train a forest of 100 full trees and a logistic regression; return folders laid out like /opt/ml/model.

    Each is called `model`, as the toolkit wants it, and holds the model as MLflow saves it too; `exported` is the
    forest with its export to ONNX.
    """
    generator = np.random.default_rng(7)
    rows = generator.normal(size=(20_000, FEATURES))
    label = (rows[:, :5].sum(axis=1) + generator.normal(size=len(rows)) > 0).astype(int)
    models = {
        "forest": RandomForestClassifier(100, random_state=0),
        "logistic": make_pipeline(StandardScaler(), LogisticRegression()),
    }
    folders = {}
    for name, model in models.items():
        folders[name] = folder / name / "model"
        (folders[name] / "code").mkdir(parents=True)
        joblib.dump(model.fit(rows, label), folders[name] / "model.joblib")
        (folders[name] / "code/inference.py").write_text(SCRIPT)
        target = str(folders[name] / "mlflow")
        subprocess.run([python_of("mlflow"), "-c", SAVE_FOR_MLFLOW, str(folders[name]), target], check=True)
    exported = folder / "exported/model"
    shutil.copytree(folders["forest"], exported)
    subprocess.run([python_of("onnx"), "-c", EXPORT, str(SERVER), str(exported), str(FEATURES)], check=True)
    return folders | {"exported": exported}


def models(folders: dict[str, Path]) -> dict[str, Path]:
    return {name: folder for name, folder in folders.items() if name != "exported"}


def body_for(kind: str, body: bytes) -> bytes:
    """Return the CSV as this server wants it: MLflow takes the first line for names."""
    return ",".join(NAMES).encode() + b"\n" + body if kind == "mlflow" else body


def payload_rows() -> np.ndarray:
    return np.random.default_rng(11).normal(size=(PAYLOAD_ROWS, FEATURES)).round(6)


def as_csv(rows: np.ndarray) -> bytes:
    return "".join(",".join(f"{value:.6f}" for value in row) + "\n" for row in rows.tolist()).encode()


def as_json_lines(rows: np.ndarray) -> bytes:
    return "".join("[" + ",".join(f"{value:.6f}" for value in row) + "]\n" for row in rows.tolist()).encode()


def as_parquet(rows: np.ndarray) -> bytes:
    stream = io.BytesIO()
    pa.parquet.write_table(pa.table(dict(zip(NAMES, rows.T, strict=True))), stream)
    return stream.getvalue()


@contextmanager
def serving(kind: str, model_dir: Path, core: int | None = 0) -> Iterator[Server]:
    """Start a server, wait for its ping and end it afterwards. `core` is where it is pinned to."""
    port = free_port()
    scratch = tempfile.mkdtemp(prefix="container-server-")
    server = Server(_start(kind, model_dir, port, core, scratch), port, Path(scratch, LOG))
    try:
        wait_for_ping(server)
        yield server
    finally:
        end(server)
        shutil.rmtree(scratch)


def free_port() -> int:
    """Return a port that nobody listens on, below 32768: MMS takes no other."""
    while True:
        port = random.randrange(20_000, 32_768)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                return port


def session_of(process: psutil.Process) -> int | None:
    try:
        return os.getsid(process.pid)
    except ProcessLookupError:
        return None


def end(server: Server) -> None:
    """End the server's processes, those that it started included."""
    running = server.processes()
    for process in running:
        process.terminate()
    for process in psutil.wait_procs(running, 10)[1]:
        process.kill()
    server.process.wait(30)


def _start(kind: str, model_dir: Path, port: int, core: int | None, scratch: str) -> subprocess.Popen:
    environ = os.environ | {
        "PATH": f"{WORK / kind / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": str(WORK),
        "TMPDIR": scratch,  # MMS keeps its process id there, and does not start where it finds one
        "SAGEMAKER_BASE_DIR": str(model_dir.parent),
        "SAGEMAKER_MODEL_SERVER_WORKERS": "1" if kind == "mms" else "",
        "TURNOUT_MODEL_DIR": str(model_dir),
        "SAGEMAKER_BIND_TO_HOST": "127.0.0.1",
        "SAGEMAKER_BIND_TO_PORT": str(port),
        "TURNOUT_HOOKS": "columnar",
        "TURNOUT_FEATURES": ",".join(NAMES),
        "OMP_NUM_THREADS": "1",
    }
    environ.pop("PYTHONDONTWRITEBYTECODE", None)
    allowed = ALL_CORES if core is None else {core}
    with Path(scratch, LOG).open("w") as log:
        return subprocess.Popen(
            command(kind, model_dir, port),
            env=environ,
            cwd=WORK,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=lambda: os.sched_setaffinity(0, allowed),
        )


def wait_for_ping(server: Server) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if server.process.poll() is not None:
            raise RuntimeError(f"the server exited with {server.process.returncode}:\n{server.log.read_text()[-2000:]}")
        connection = server.connect()
        try:
            connection.request("GET", "/ping")
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass  # not listening yet
        finally:
            connection.close()
        time.sleep(0.002)
    raise RuntimeError("no ping in 120 s")


def predict_cpu(model_dir: Path, rows: np.ndarray, rounds: int) -> float:
    """Return the floor: CPU seconds of one `predict_proba` in this process, with one thread."""
    model = joblib.load(model_dir / "model.joblib")
    model.predict_proba(rows)
    return statistics.median(_cpu_of(lambda: model.predict_proba(rows)) for _ in range(rounds))


def _cpu_of(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def csv(folders: dict[str, Path], rounds: int) -> None:
    """CPU of one 6 MiB CSV payload beyond what `predict` itself takes."""
    rows = payload_rows()
    body = as_csv(rows)
    kinds = ("ours", *PEERS)
    print(f"\n{len(body) / 2**20:.1f} MiB of CSV, {len(rows):,} rows: CPU ms per payload, medians of {rounds}")
    print(f"{'model':<10}{'server':<10}{'CPU':>8}{'floor':>8}{'beyond':>8}{'least':>8}{'most':>8}{'x ours':>8}")
    for name, folder in models(folders).items():
        taken = {kind: [] for kind in ("floor", *kinds)}
        with ExitStack() as stack:
            servers = {kind: stack.enter_context(serving(kind, folder)) for kind in kinds}
            for _ in range(rounds):
                taken["floor"].append(predict_cpu(folder, rows, 1) * 1e3)
                for kind, server in servers.items():
                    taken[kind].append(payload_cpu(server, body_for(kind, body), "text/csv") * 1e3)
        floor = statistics.median(taken["floor"])
        ours = statistics.median(taken["ours"]) - floor
        for kind in kinds:
            typical = statistics.median(taken[kind])
            beyond, least, most = (value - floor for value in (typical, min(taken[kind]), max(taken[kind])))
            print(
                f"{name:<10}{kind:<10}{typical:>8.1f}{floor:>8.1f}{beyond:>8.1f}{least:>8.1f}{most:>8.1f}"
                f"{beyond / ours:>8.1f}"
            )


def payload_cpu(server: Server, body: bytes, kind: str) -> float:
    """Return the server's CPU seconds for one payload, the mean of a few after two that warm up."""
    connection = server.connect()
    for _ in range(2):
        server.post(connection, body, kind)
    before = server.cpu_seconds()
    for _ in range(POSTS):
        server.post(connection, body, kind)
    return (server.cpu_seconds() - before) / POSTS


def parquet(folders: dict[str, Path], rounds: int) -> None:
    """The same rows as Parquet, CSV and JSON Lines, into our server and out of it in the same format."""
    rows = payload_rows()
    forms = {
        "application/vnd.apache.parquet": as_parquet(rows),
        "text/csv": as_csv(rows),
        "application/jsonlines": as_json_lines(rows),
    }
    print(f"\n{len(rows):,} rows, same format in and out: CPU ms per payload beyond predict, medians of {rounds}")
    print(f"{'format':<34}{'MiB in':>8}{'CPU ms':>8}{'x Parquet':>11}")
    with serving("ours", folders["logistic"]) as server:
        taken = {kind: [] for kind in forms}
        for _ in range(rounds):
            for kind, body in forms.items():
                taken[kind].append(payload_cpu(server, body, kind))
    floor = predict_cpu(folders["logistic"], rows, rounds)
    beyond = {kind: (statistics.median(values) - floor) * 1e3 for kind, values in taken.items()}
    for kind, body in forms.items():
        ratio = beyond[kind] / beyond["application/vnd.apache.parquet"]
        print(f"{kind:<34}{len(body) / 2**20:>8.1f}{beyond[kind]:>8.1f}{ratio:>11.1f}")


def cores(folders: dict[str, Path], rounds: int) -> None:
    """Rows a second of two callers at once on all cores, against two threads that do nothing but predict."""
    os.sched_setaffinity(0, ALL_CORES)
    rows = payload_rows()
    body = as_csv(rows)
    print(f"\ntwo callers at once, unpinned, one copy of the model: rows/s, medians of {rounds}")
    print(
        f"{'model':<10}{'2 x floor':>12}{'ours':>12}{'fastapi':>12}{'ours/floor':>12}{'ours/fastapi':>14}{'MB ours':>9}"
    )
    for name, folder in models(folders).items():
        with serving("ours", folder, None) as ours, serving("fastapi", folder, None) as peer:
            rates = {"ours": [], "fastapi": [], "floor": []}
            for _ in range(rounds):
                rates["floor"].append(two_predictions(folder, rows) * len(rows))
                for kind, server in (("ours", ours), ("fastapi", peer)):
                    rates[kind].append(two_callers(server, body) * len(rows))
            memory = ours.resident_mb()
        floor, mine, other = (statistics.median(rates[kind]) for kind in ("floor", "ours", "fastapi"))
        print(
            f"{name:<10}{floor:>14,.0f}{mine:>14,.0f}{other:>14,.0f}{mine / floor:>14.0%}{mine / other:>14.1f}"
            f"{memory:>14.0f}"
        )


def two_predictions(model_dir: Path, rows: np.ndarray) -> float:
    """Return predictions of the whole payload a second, of wall time, by two threads in this process."""
    model = joblib.load(model_dir / "model.joblib")

    def predict() -> None:
        for _ in range(POSTS):
            model.predict_proba(rows)

    return twice_at_once(predict)


def two_callers(server: Server, body: bytes) -> float:
    """Return payloads a second, of wall time, by two callers."""

    def call() -> None:
        connection = server.connect()
        for _ in range(POSTS):
            server.post(connection, body, "text/csv")

    return twice_at_once(call)


def twice_at_once(work: Callable[[], None]) -> float:
    threads = [threading.Thread(target=work) for _ in range(2)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return 2 * POSTS / (time.perf_counter() - began)


def rows(folders: dict[str, Path], rounds: int) -> None:
    """Single different rows, as JSON, over one connection and over 32."""
    folder = folders["forest"]
    values = np.random.default_rng(13).normal(size=(SINGLE_ROWS, FEATURES))
    model = joblib.load(folder / "model.joblib")
    # scikit-learn's own answers, asked one row at a time like the servers.
    expected = [model.predict_proba(values[number : number + 1])[0, 1].item() for number in range(SINGLE_ROWS)]
    requests = [single_request(json.dumps([row]).encode()) for row in values.tolist()]
    print(
        f"\nforest of 100 trees, {SINGLE_ROWS:,} different rows one by one, every answer checked; medians of {rounds}"
    )
    print(
        f"{'connections':<13}{'server':<10}{'rows/s':>9}{'p50 ms':>9}{'p99 ms':>9}{'least p99':>10}{'wrong':>7}"
        f"{'CPU us/row':>12}{'waited':>8}{'x rows/s':>10}{'x CPU':>7}"
    )
    with (
        serving("ours", folder) as ours,
        serving("onnx", folders["exported"]) as onnx,
        serving("fastapi", folder) as peer,
    ):
        servers = {"ours": (ours, 0.0), "onnx": (onnx, TOLERANCE), "fastapi": (peer, 0.0)}
        for connections in (1, CONNECTIONS):
            seen = {kind: [] for kind in servers}
            for _ in range(rounds):
                for kind, (server, tolerance) in servers.items():
                    seen[kind].append(drive(server, requests, expected, connections, tolerance))
            medians = {kind: [statistics.median(column) for column in zip(*seen[kind], strict=True)] for kind in seen}
            for kind, (rate, p50, p99, wrong, cpu, waited) in medians.items():
                best = min(result[2] for result in seen[kind])
                print(
                    f"{connections:<13}{kind:<10}{rate:>9,.0f}{p50:>9.2f}{p99:>9.2f}{best:>10.2f}{wrong:>7.0f}{cpu:>12.0f}"
                    f"{waited:>8.0%}{rate / medians['fastapi'][0]:>10.1f}{medians['fastapi'][4] / cpu:>7.1f}"
                )


def single_request(body: bytes) -> bytes:
    head = "POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAccept: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def drive(
    server: Server, requests: list[bytes], expected: list[float], connections: int, tolerance: float
) -> tuple[float, float, float, int, float, float]:
    """Keep every connection busy. Return rows/s, p50 and p99 in ms, wrong answers, CPU us per row, and `waited`.

    `waited` is the share of the time in which threads of the server could have run while others had the core.
    """
    poll = select.epoll()
    sockets = {}
    for _ in range(connections):
        opened = socket.create_connection(("127.0.0.1", server.port))
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sockets[opened.fileno()] = opened
        poll.register(opened.fileno(), select.EPOLLIN)
    asked: dict[int, tuple[int, float]] = {}
    latencies, wrong, number = [], 0, 0
    cpu, queued = server.cpu_seconds(), server.queued_seconds()
    began = time.perf_counter()

    def ask(handle: int) -> None:
        nonlocal number
        index = number % len(requests)
        number += 1
        asked[handle] = (index, time.perf_counter())
        sockets[handle].sendall(requests[index])

    for handle in sockets:
        ask(handle)
    while time.perf_counter() < began + SECONDS:
        for handle, _ in poll.poll():
            prediction = read_prediction(sockets[handle])
            index, when = asked[handle]
            latencies.append(time.perf_counter() - when)
            wrong += abs(prediction - expected[index]) > tolerance
            ask(handle)
    took = time.perf_counter() - began
    used, waited = server.cpu_seconds() - cpu, server.queued_seconds() - queued
    for opened in sockets.values():
        opened.close()
    latencies.sort()
    p99 = latencies[int(len(latencies) * 0.99)]
    count = len(latencies)
    return count / took, latencies[count // 2] * 1e3, p99 * 1e3, wrong, used / count * 1e6, waited / took


def read_prediction(connection: socket.socket) -> float:
    answer = connection.recv(65536)
    while b"]}" not in answer:
        answer += connection.recv(65536)
    if not answer.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(answer[:300])
    return float(answer[answer.rindex(b"[") + 1 : answer.rindex(b"]")])


def start(folders: dict[str, Path], rounds: int) -> None:
    """Seconds from the start of the process to a ping with 200, and to the first prediction."""
    os.sched_setaffinity(0, ALL_CORES)
    print(f"\nstart with the logistic model, unpinned: medians of {rounds}")
    print(f"{'server':<10}{'ping s':>9}{'prediction s':>14}{'first prediction ms':>21}{'MB':>6}")
    seen = {kind: [] for kind in ("ours", *PEERS)}
    body = as_csv(np.full((2, FEATURES), 0.5))  # the toolkit makes one row one-dimensional, which models refuse
    for _ in range(rounds + 1):
        for kind, results in seen.items():
            began = time.perf_counter()
            with serving(kind, folders["logistic"], None) as server:
                ping = time.perf_counter()
                server.post(server.connect(), body_for(kind, body), "text/csv")
                predicted = time.perf_counter()
                results.append((ping - began, predicted - began, (predicted - ping) * 1e3, server.resident_mb()))
    for kind, results in seen.items():
        ping, predicted, first, memory = (statistics.median(column) for column in zip(*results[1:], strict=True))
        print(f"{kind:<10}{ping:>9.2f}{predicted:>14.2f}{first:>21.1f}{memory:>6.0f}")


CASES = {"csv": csv, "parquet": parquet, "cores": cores, "rows": rows, "start": start}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("cases", nargs="*", metavar="case", help=f"of {', '.join(CASES)}; all of them if none is named")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    sys.stdout.reconfigure(line_buffering=True)
    install()
    os.environ["OMP_NUM_THREADS"] = "1"
    folder = Path(tempfile.mkdtemp(prefix="container-"))
    try:
        folders = write_models(folder)
        for name in arguments.cases or CASES:
            os.sched_setaffinity(0, {max(ALL_CORES)})
            CASES[name](folders, arguments.rounds)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
