"""The warm lookup handler beside boto3's resource and the bare round trip: CPU per request, over TLS and without.

    python -m benchmarks.lookup [--requests 2000] [--rounds 7]

A DynamoDB that knows a few items answers from a process of its own. Between two requests there are PAUSE microseconds
that are not counted: in a closed loop the server never falls asleep, and waking it is part of what a request costs
whoever sends it.
`ours` is the whole of `handlers.predict` (routing, two cached reads, one GetItem, JSON, log line with metrics); the
peer is the usual tutorial handler, `Table.get_item` and nothing else. `round trip` sends and receives the bytes of one
GetItem over a kept connection, with neither signature nor JSON: what is left when all else costs nothing. All of them
take turns. The pointer is cached as it is in production, where connections are TLS.
Cold starts and small Lambdas: `benchmarks.cold`, `benchmarks.throttled`.
"""

import argparse
import json
import multiprocessing
import os
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from handlers.adapters.attributes import to_attributes
from handlers.adapters.score_table import items
from handlers.contract.env import PredictEnv
from handlers.contract.records import Generation, Pointer
from handlers.logic.packing import pack

MODEL, GENERATION, EXPIRES, KEYS = "churn", "20261123T060000Z", 2**40, 270
KEY = "0000100"
PAUSE = 300


def stored() -> dict[str, bytes]:
    """Return what the table holds as whole HTTP answers, by partition key."""
    scores = {f"{number:07d}": 1 / (number + 1.5) for number in range(KEYS)}
    packed = pack(list(scores), list(scores.values()))
    (bucket,) = items(GENERATION, 0, packed, EXPIRES)
    moment = "2026-11-23T06:00:00Z"
    manifest = Generation(GENERATION, "v7", moment, moment, 1, 1, 0, 1, "string", "s3://", None, EXPIRES, [1])
    found = {
        "POINTER": to_attributes(Pointer(GENERATION, GENERATION, None, 1).to_item()),
        "GENERATION": to_attributes(manifest.to_item()),
        bucket["pk"]["S"]: {**bucket, "b": {"B": b64encode(bucket["b"]["B"]).decode()}},
        f"alone#{KEY}": to_attributes({"pk": f"alone#{KEY}", "sk": "-", "score": "0.25"}),
    }
    return {name: _http(json.dumps({"Item": item}).encode()) for name, item in found.items()}


def _http(body: bytes) -> bytes:
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/x-amz-json-1.0\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def answer_requests(ports: Any, certificate: str | None) -> None:
    """Serve one connection after the other, as fast as Python can: it must not be what is measured."""
    answers = [(name.encode(), whole) for name, whole in stored().items()]
    listening = socket.create_server(("127.0.0.1", 0))
    ports.put(listening.getsockname()[1])
    context = None
    if certificate:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate)
    while True:
        connection, _ = listening.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            _converse(context.wrap_socket(connection, server_side=True) if context else connection, answers)
        except OSError:
            continue


def _converse(connection: socket.socket, answers: list[tuple[bytes, bytes]]) -> None:
    data = b""
    while more := connection.recv(65_536):
        data += more
        head, found, body = data.partition(b"\r\n\r\n")
        if not found:
            continue
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        if len(body) < length:
            continue
        connection.sendall(next((whole for name, whole in answers if b'"' + name + b'"' in body), _http(b"{}")))
        data = b""


def environment(port: int, certificate: str | None = None) -> dict[str, str]:
    env = PredictEnv(
        "dev", MODEL, "precompute", "v7", "scores", 2**30, "s3://", "b", "k", "b", "", "", 0, 0, 3_600, 900
    )
    scheme = "https" if certificate else "http"
    found = {
        **env.to_environ(),
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "s",
        "AWS_SESSION_TOKEN": "t" * 300,
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL_DYNAMODB": f"{scheme}://localhost:{port}",
    }
    return {**found, "AWS_CA_BUNDLE": certificate} if certificate else found


EVENT = {
    "version": "2.0",
    "routeKey": f"GET /models/{MODEL}/predictions/{{key+}}",
    "rawPath": f"/models/{MODEL}/predictions/{KEY}",
    "pathParameters": {"key": KEY},
    "headers": {"host": "x"},
    "requestContext": {"requestId": "Uj3kWhPpoAMEPQg=", "stage": "$default", "domainName": "x"},
}


def ours() -> Callable[[], Any]:
    from handlers import predict

    return lambda: predict.handler(EVENT, None)


def boto3_resource() -> Callable[[], Any]:
    import boto3

    table = boto3.resource("dynamodb").Table("scores")

    def handle() -> dict[str, Any]:
        item = table.get_item(Key={"pk": f"alone#{KEY}", "sk": "-"})["Item"]
        return {"statusCode": 200, "body": json.dumps({"score": float(item["score"])})}

    return handle


def round_trip() -> Callable[[], Any]:
    """Send and receive the bytes of a GetItem over a kept connection, and nothing else."""
    endpoint = urlsplit(os.environ["AWS_ENDPOINT_URL_DYNAMODB"])
    connection = socket.create_connection(("127.0.0.1", endpoint.port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if endpoint.scheme == "https":
        context = ssl.create_default_context(cafile=os.environ["AWS_CA_BUNDLE"])
        connection = context.wrap_socket(connection, server_hostname="localhost")
    body = json.dumps({"TableName": "scores", "Key": {"pk": {"S": f"{GENERATION}#0.0"}}}).encode()
    request = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\nx: %s\r\n\r\n" % (len(body), b"x" * 700) + body

    def exchange() -> bytes:
        connection.sendall(request)
        return connection.recv(65_536)

    return exchange


HANDLERS = {"round trip": round_trip, "ours": ours, "boto3 resource": boto3_resource}


def serve(name: str) -> None:
    """Be one handler: answer each line on stdin, `N` requests, with CPU microseconds per request."""
    handle = HANDLERS[name]()
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # log lines are written, but nobody reads them
    for line in sys.stdin:
        spent = 0.0
        for _ in range(int(line)):
            until = time.perf_counter() + PAUSE / 1e6
            while time.perf_counter() < until:
                pass
            began = time.process_time()
            handle()
            spent += time.process_time() - began
        print(spent / int(line) * 1e6, file=answers, flush=True)


def warm(requests: int, rounds: int, scheme: str, certificate: str | None) -> None:
    handlers, servers = {}, []
    for name in HANDLERS:
        server, port = start_server(certificate)
        servers.append(server)
        command = [sys.executable, "-m", "benchmarks.lookup", "--serve", name]
        env = {**os.environ, **environment(port, certificate)}
        handlers[name] = subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    times = {name: [] for name in HANDLERS}
    for turn in range(rounds + 1):
        for name, process in handlers.items():
            process.stdin.write(f"{requests}\n")
            process.stdin.flush()
            spent = float(process.stdout.readline())
            times[name] += [spent] if turn else []  # the first round warms up
    for process in handlers.values():
        process.stdin.close()
        process.wait()
    for server in servers:
        server.terminate()
    middle = {name: statistics.median(found) for name, found in times.items()}
    for name, found in times.items():
        print(f"{scheme:<6} {name:<16} {middle[name]:8.0f} us CPU ({min(found):.0f} to {max(found):.0f})")
    print(f"{scheme:<6} boto3 resource / ours {middle['boto3 resource'] / middle['ours']:.1f}")
    print(f"{scheme:<6} ours / round trip {middle['ours'] / middle['round trip']:.1f}")


def self_signed(folder: Path) -> str:
    """Write a certificate for localhost and return its file."""
    file = folder / "localhost.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(file), "-out", str(folder / "cert.pem")]
    subprocess.run(command, check=True, capture_output=True)
    file.write_text(file.read_text() + (folder / "cert.pem").read_text())
    return str(file)


def start_server(certificate: str | None = None) -> tuple[Any, int]:
    context = multiprocessing.get_context("spawn")
    ports = context.Queue()
    server = context.Process(target=answer_requests, args=(ports, certificate), daemon=True)
    server.start()
    return server, ports.get()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--serve", choices=HANDLERS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve(arguments.serve)
        return
    with tempfile.TemporaryDirectory() as folder:
        for scheme, certificate in (("http", None), ("https", self_signed(Path(folder)))):
            warm(arguments.requests, arguments.rounds, scheme, certificate)


if __name__ == "__main__":
    main()
