"""Lookups under the CPU quota of a small Lambda: milliseconds as the caller sees them, beside boto3's resource.

    python -m benchmarks.throttled [--calls 250] [--rounds 3] [--memory 128 256 512 1769]

A function of 1,769 MB has one vCPU, and CPU grows with memory (AWS, "Configure Lambda function memory"): each handler
runs in a cgroup of its own whose CFS quota is that share of a period of 20 ms. It is built and asked once before the
quota falls on it, as Lambda's initialisation runs at full speed; then calls come with random pauses of 20 to 60 ms. The
store is `benchmarks.lookup`'s server, outside the quota, over plain HTTP. The groups and the store go before all else
that the machine does, as a function's CPU is its own. Needs root and cgroup v1's cpu controller.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.lookup import HANDLERS, environment, start_server

CONTROLLER = Path("/sys/fs/cgroup/cpu")
FULL_MEMORY, PERIOD_US = 1_769, 20_000
PAUSES = (0.02, 0.06)
MOST_SHARES = 262_144
PEERS = ("ours", "boto3 resource")


def serve(name: str) -> None:
    """Be one handler: answer `group calls` on stdin with the milliseconds of each call, made within that cgroup."""
    handle = HANDLERS[name]()
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # log lines are written, but nobody reads them
    handle()
    for line in sys.stdin:
        group, calls = line.split()
        (Path(group) / "tasks").write_text(str(os.getpid()))
        took = []
        for _ in range(int(calls)):
            time.sleep(random.uniform(*PAUSES))
            began = time.perf_counter()
            handle()
            took.append((time.perf_counter() - began) * 1000)
        print(json.dumps(took), file=answers, flush=True)


def quota(name: str, memory: int) -> Path:
    """Return a cgroup that has the CPU of so many MB."""
    group = CONTROLLER / f"turnout-{os.getpid()}-{name.split()[0]}-{memory}"
    group.mkdir()
    (group / "cpu.shares").write_text(str(MOST_SHARES))
    (group / "cpu.cfs_period_us").write_text(str(PERIOD_US))
    (group / "cpu.cfs_quota_us").write_text(str(max(1_000, PERIOD_US * memory // FULL_MEMORY)))
    return group


def measure(calls: int, rounds: int, memories: list[int]) -> dict[tuple[int, str], list[float]]:
    processes, servers = {}, []
    for name in PEERS:
        server, port = start_server()
        servers.append(server)
        os.setpriority(os.PRIO_PROCESS, server.pid, -20)
        command = [sys.executable, "-m", "benchmarks.throttled", "--serve", name]
        env = {**os.environ, **environment(port)}
        processes[name] = subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    took = {(memory, name): [] for memory in memories for name in PEERS}
    quotas = {key: quota(key[1], key[0]) for key in took}
    for _ in range(rounds):
        for (memory, name), group in quotas.items():
            processes[name].stdin.write(f"{group} {calls}\n")
            processes[name].stdin.flush()
            took[memory, name] += json.loads(processes[name].stdout.readline())
    for process in processes.values():
        process.stdin.close()
        process.wait()
    for server in servers:
        server.terminate()
    for group in quotas.values():
        group.rmdir()
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=250)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory", type=int, nargs="+", default=[128, 256, 512, FULL_MEMORY])
    parser.add_argument("--serve", choices=PEERS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve(arguments.serve)
        return
    for (memory, name), times in measure(arguments.calls, arguments.rounds, arguments.memory).items():
        hundredths = statistics.quantiles(times, n=100)
        p50, p95, p99 = (hundredths[place - 1] for place in (50, 95, 99))
        print(f"{memory:>5} MB  {name:<15} p50 {p50:6.2f}  p95 {p95:6.2f}  p99 {p99:6.2f} ms")


if __name__ == "__main__":
    main()
