"""Publishing scores: what a million take in write units, in CPU, and end to end, beside boto3's batch_writer.

    python benchmarks/publish.py [--rows 1000000] [--rounds 3] [--peer-rows 50000] [--local]

Publisher and peer run alternately against a server that takes every BatchWriteItem at once (a process of its own), so
that what is measured is the client: packing, serialising, signing, sending. The peer writes one item per score and is
scaled from `--peer-rows`. With `--local` both write into DynamoDB of the local cloud instead, from Batch Transform's
output files to the last item.
"""

import argparse
import json
import multiprocessing
import os
import random
import resource
import statistics
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, HTTPServer
from socketserver import ThreadingMixIn
from typing import Any

from benchmarks.write_units import item_bytes, read_units, write_units
from handlers.adapters.score_table import ScoreTable, items
from handlers.logic.packing import pack

GENERATION, EXPIRES, TABLE = "20261123T060000Z", 1_900_000_000, "scores"
MILLION = 1_000_000
#: Dollars per million write request units, us-east-1 (docs/performance.md).
DOLLARS = 0.625

KEYS: dict[str, Callable[[random.Random, int], str]] = {
    "0000001": lambda generator, number: f"{number:07d}",
    "user#00000001": lambda generator, number: f"user#{number:08d}",
    "10 random digits": lambda generator, number: f"{generator.randrange(10**10):010d}",
    "UUID": lambda generator, number: str(uuid.UUID(int=generator.getrandbits(128), version=4)),
}


def scores(rows: int, shape: str) -> dict[str, float]:
    generator = random.Random(7)
    return {KEYS[shape](generator, number): generator.random() for number in range(rows)}


def show_write_units(rows: int) -> None:
    print(
        f"{rows:,} scores\nkeys               precision  items   write units   $ / 1M   times fewer   read units (mean)"
    )
    for shape in KEYS:
        table = scores(rows, shape)
        for precision in ("float64", "float32"):
            stored = list(items(GENERATION, 0, pack(list(table), list(table.values()), precision=precision), EXPIRES))
            units = sum(map(write_units, stored))
            read = sum(read_units(item) * item_bytes(item) for item in stored) / sum(map(item_bytes, stored))
            dollars = units / len(table) * DOLLARS
            print(
                f"{shape:<18} {precision:<9} {len(stored):6,} {units:13,} {dollars:8.4f} {len(table) / units:13.1f}"
                f" {read:12.3f}"
            )


class Taker(BaseHTTPRequestHandler):
    """A DynamoDB that takes everything and keeps nothing."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        body = b'{"UnprocessedItems": {}}'
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/x-amz-json-1.0\r\ncontent-length: %d\r\n\r\n"
        self.wfile.write(head % len(body) + body)

    def log_message(self, *arguments: Any) -> None:
        """Stay silent."""


class Server(ThreadingMixIn, HTTPServer):
    daemon_threads = True


def take(port: Any) -> None:
    server = Server(("127.0.0.1", 0), Taker)
    port.put(server.server_port)
    server.serve_forever()


def measured(work: Callable[[], Any]) -> tuple[float, float]:
    """Return CPU and wall seconds."""
    before, began = time.process_time(), time.perf_counter()
    work()
    return time.process_time() - before, time.perf_counter() - began


def publish(table: dict[str, float]) -> None:
    """Pack and write as the publishing function does."""
    from handlers.adapters.clients import client

    packed = pack(list(table), list(table.values()))
    ScoreTable(client("dynamodb"), TABLE).put(GENERATION, 0, packed, expires_at=EXPIRES)


def publish_as_peers_do(table: dict[str, float]) -> None:
    import boto3

    store = boto3.resource("dynamodb").Table(TABLE)
    with store.batch_writer() as writer:
        for key, score in table.items():
            item = {"pk": f"{GENERATION}#{key}", "sk": "-", "score": Decimal(repr(score)), "expires_at": EXPIRES}
            writer.put_item(Item=item)


def compare(rows: int, peer_rows: int, rounds: int) -> None:
    ours, peers = [], []
    whole, part = scores(rows, "0000001"), scores(peer_rows, "0000001")
    publish(part), publish_as_peers_do(scores(100, "UUID"))  # clients made, code warm
    for _ in range(rounds):
        ours.append(tuple(value * MILLION / rows for value in measured(lambda: publish(whole))))
        peers.append(tuple(value * MILLION / peer_rows for value in measured(lambda: publish_as_peers_do(part))))
    for place, what in enumerate(("CPU", "wall")):
        mine, theirs = ([one[place] for one in runs] for runs in (ours, peers))
        ratio = statistics.median(theirs) / statistics.median(mine)
        print(
            f"{what:<5} seconds for 1M scores: ours {_spread(mine)}, boto3 batch_writer {_spread(theirs)}, "
            f"{ratio:.0f} times less"
        )
    print(
        f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MB, both tables of scores in it"
    )


def _spread(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def at_the_server(work: Callable[[], None]) -> None:
    """Do `work` with the environment pointing at a Taker in a process of its own."""
    context = multiprocessing.get_context("spawn")
    port = context.Queue()
    server = context.Process(target=take, args=(port,), daemon=True)
    server.start()
    try:
        os.environ |= {
            "AWS_ENDPOINT_URL_DYNAMODB": f"http://127.0.0.1:{port.get()}",
            "AWS_ACCESS_KEY_ID": "a",
            "AWS_SECRET_ACCESS_KEY": "s",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        work()
    finally:
        server.terminate()
        server.join()


def in_the_local_cloud(rows: int, peer_rows: int) -> None:
    """Time both from output files to written items in the local cloud's S3 and DynamoDB, in processes of their own."""
    import tempfile
    from pathlib import Path

    from turnout.local import control

    with tempfile.TemporaryDirectory() as state:
        cloud = control.up(Path(state))
        try:
            environment = {**os.environ, **control.environ(cloud)}
            times = {}
            for who, count in (("ours", rows), ("boto3", peer_rows)):
                command = [sys.executable, "-m", "benchmarks.publish_local", who, str(count)]
                ended = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
                times[who] = json.loads(ended.stdout)["seconds"] * MILLION / count
        finally:
            control.down(Path(state))
    ratio = times["boto3"] / times["ours"]
    print(
        f"local cloud, 1M scores: ours {times['ours']:.1f} s, boto3 batch_writer {times['boto3']:.0f} s, {ratio:.0f}x"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=MILLION)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peer-rows", type=int, default=50_000)
    parser.add_argument("--local", action="store_true")
    arguments = parser.parse_args()
    if arguments.local:
        in_the_local_cloud(arguments.rows, arguments.peer_rows)
        return
    show_write_units(arguments.rows)
    at_the_server(lambda: compare(arguments.rows, arguments.peer_rows, arguments.rounds))


if __name__ == "__main__":
    main()
