"""A cold start of the lookup handler beside boto3's resource: imports and the first answer over TLS, CPU and memory.

    python -m benchmarks.cold [--rounds 9]

Each start is a fresh interpreter as Lambda has it: no hooks of site-packages, nothing written, and on the path the
asset as it is staged for deployment, with bytecode for this Python. `ours` is the whole handler (`benchmarks.lookup`
says what that is) with three reads at its first request: pointer, manifest, bucket. The peer, which has bytecode too,
reads one item. `source only` is the asset of a machine without the runtime's Python. One certificate is trusted.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

from benchmarks.lookup import EVENT, KEY, environment, self_signed, start_server
from infra.constructs.handler_code import stage_handlers
from infra.constructs.staging import Staging

COLD = """
import json, os, resource, sys
{prepare}
answer = handle()
with open("/proc/self/status") as status:
    rss = next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmRSS"))
usage = resource.getrusage(resource.RUSAGE_SELF)
numbers = [(usage.ru_utime + usage.ru_stime) * 1000, rss]
os.write(2, json.dumps([answer, numbers]).encode())
"""

OURS = f"from handlers import predict\nhandle = lambda: predict.handler({EVENT!r}, None)"
BOTO3 = f"""
import boto3
table = boto3.resource("dynamodb").Table("scores")
def handle():
    item = table.get_item(Key={{"pk": "alone#{KEY}", "sk": "-"}})["Item"]
    return {{"statusCode": 200, "body": json.dumps({{"score": float(item["score"])}})}}
"""
BARE = "handle = lambda: {'statusCode': 200}"


def cold(rounds: int, folder: Path) -> dict[str, list[tuple[float, float]]]:
    """Return CPU milliseconds and resident megabytes of each round, by what was started."""
    certificate = self_signed(folder)
    server, port = start_server(certificate)
    libraries = Path(sysconfig.get_paths()["purelib"])
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    compiled = folder / stage_handlers(Staging(folder), runtime=version).path
    source = folder / stage_handlers(Staging(folder), runtime="none").path
    starts = {
        "bare python": (BARE, folder / "nothing"),
        "ours": (OURS, compiled),
        "ours, source only": (OURS, source),
        "boto3 resource": (BOTO3, libraries),
    }
    subprocess.run([sys.executable, "-m", "compileall", "-q", *map(str, libraries.glob("boto*"))], check=True)
    found = {name: [] for name in starts}
    for turn in range(rounds + 1):
        for name, (prepare, path) in starts.items():
            environ = {**os.environ, **environment(port, certificate), "PYTHONPATH": str(path)}
            command = [sys.executable, "-S", "-s", "-B", "-c", COLD.format(prepare=prepare)]
            ended = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=True)
            answer, numbers = json.loads(ended.stderr)
            assert answer["statusCode"] == 200, answer
            found[name] += [numbers] if turn else []  # the first round fills the page cache
    server.terminate()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = cold(arguments.rounds, Path(folder))
    middle = {name: [statistics.median(column) for column in zip(*runs, strict=True)] for name, runs in found.items()}
    for name, runs in found.items():
        cpu, rss = middle[name]
        low, high = min(run[0] for run in runs), max(run[0] for run in runs)
        print(f"cold  {name:<18} {cpu:6.0f} ms CPU ({low:.0f} to {high:.0f}), RSS {rss:.1f} MB")
    print(f"cold  boto3 resource / ours {middle['boto3 resource'][0] / middle['ours'][0]:.1f}")


if __name__ == "__main__":
    main()
