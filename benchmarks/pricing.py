"""`turnout cost` on 50 models, start-up included, against a bare interpreter: `python -m benchmarks.pricing`."""

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from handlers.contract.modes import AVAILABLE

MODELS, ROUNDS, GOAL_SECONDS = 50, 7, 0.5
ENTRY = """  model-{number}:
    mode: {mode}
    schedule: rate(1 day)
    key: id
    features: [recency, frequency]
    code: model_code/one
    traffic: {{requests_per_month: {requests}, entities: {entities}, model_latency: 40ms}}
"""


def main(command: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_models(Path(folder))
        ours = [seconds_of(["-m", "turnout", command], folder) for _ in range(ROUNDS)]
        bare = [seconds_of(["-c", "pass"], folder) for _ in range(ROUNDS)]
    for place, clock in enumerate(("wall", "CPU")):
        seconds, floor = [each[place] for each in ours], statistics.median(each[place] for each in bare)
        middle, least, most = statistics.median(seconds), min(seconds), max(seconds)
        print(
            f"turnout {command}, {MODELS} models, {clock}: {middle:.2f} s ({least:.2f} to {most:.2f}), bare {floor:.2f}"
        )
    print(f"goal: {GOAL_SECONDS} s of wall")


def write_models(folder: Path) -> None:
    (folder / "model_code/one").mkdir(parents=True)
    modes = sorted(AVAILABLE)
    entries = (
        ENTRY.format(number=n, mode=modes[n % len(modes)], requests=10 ** (n % 7 + 2), entities=10 ** (n % 5 + 3))
        for n in range(MODELS)
    )
    (folder / "models.yaml").write_text("models:\n" + "".join(entries))


def seconds_of(arguments: list[str], folder: str) -> tuple[float, float]:
    """Return wall and CPU seconds of a fresh interpreter."""
    started, before = time.perf_counter(), cpu_seconds()
    settings = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}  # as on an engineer's machine: compiled once
    subprocess.run([sys.executable, *arguments], cwd=folder, env=settings, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started, cpu_seconds() - before


def cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main(*sys.argv[1:] or ["cost"])
