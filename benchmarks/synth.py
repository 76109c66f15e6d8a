"""Seconds that a synth takes, for 1, 10 and 50 models, and what they are spent on.

    python benchmarks/synth.py [--rounds 3]

Compared with the goals of docs/performance.md. The machine's noise is in the wall clock, so CPU seconds of the
whole process tree stand beside it. Figures are medians.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
COUNTS = (1, 10, 50)
#: Wall seconds, and milliseconds for each further model.
GOALS = {"10 models": 2.0, "10 models, validated": 5.5, "further model": 40.0, "further synth in one process": 0.5}

#: Runs in a fresh interpreter and prints seconds as JSON: imports, kernel, then per app constructs and synth.
BREAKDOWN = """
import json, os, sys, time
start = time.perf_counter()
from turnout.config import load, stage
config_imported = time.perf_counter()
import aws_cdk
cdk_imported = time.perf_counter()
from infra.stacks import add_stacks, new_app
imported = time.perf_counter()
config = load({config!r}, root={root!r})
loaded = time.perf_counter()
rounds = []
for number in range({rounds}):
    begun = time.perf_counter()
    app = new_app(os.path.join({out!r}, str(number)))
    made = time.perf_counter()
    add_stacks(app, config, stage=stage("dev"))
    built = time.perf_counter()
    app.synth()
    rounds.append([made - begun, built - made, time.perf_counter() - built])
print(json.dumps(dict(
    config_modules=config_imported - start, aws_cdk=cdk_imported - config_imported,
    infra_and_services=imported - cdk_imported, load=loaded - imported, rounds=rounds,
)))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="runs per figure, after one to warm up")
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        configs = {count: write_models(work / f"{count}-models", count) for count in COUNTS}
        runs = {
            (count, validate): time_app(config, work, validate=validate, rounds=rounds)
            for count, config in configs.items()
            for validate in (False, True)
        }
        show_runs(runs)
        show_breakdown(configs, work, rounds)


def write_models(root: Path, count: int) -> Path:
    """Write a repository of `count` models, half of them in each mode, and return its models.yaml."""
    lines = ["models:"]
    for number in range(count):
        code = root / "model_code" / f"model-{number}"
        (code / "artifact").mkdir(parents=True)
        (code / "artifact" / "model.bin").write_bytes(bytes([number]) * 100_000)
        (code / "inference.py").write_text("def model_fn(model_dir):\n    return model_dir\n")
        mode = ("batch", "precompute")[number % 2]
        lines += [f"  model-{number}:", f"    mode: {mode}", "    schedule: rate(1 day)", f"    code: {code}"]
        lines += ["    key: customer_id", "    features: [recency, frequency, monetary]"]
    path = root / "models.yaml"
    path.write_text("\n".join(lines) + "\n")
    return path


def time_app(config: Path, work: Path, *, validate: bool, rounds: int) -> tuple[float, float]:
    """Return wall and CPU seconds of `python -O app.py`, as cdk.json runs it."""
    environ = os.environ | {
        "CDK_CONTEXT_JSON": json.dumps({"config": str(config)}),
        "CDK_OUTDIR": str(work / "out" / config.parent.name),
        "CDK_VALIDATION": str(validate).lower(),
        "PYTHONDONTWRITEBYTECODE": "",
    }
    timed = [run([sys.executable, "-O", str(REPOSITORY / "app.py")], environ) for _ in range(rounds + 1)][1:]
    return median(wall for wall, _ in timed), median(cpu for _, cpu in timed)


def run(command: list[str], environ: dict[str, str]) -> tuple[float, float]:
    """Run a command and return its wall seconds and the CPU seconds of it and its children."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    subprocess.run(command, env=environ, check=True, capture_output=True, cwd=REPOSITORY)
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def show_runs(runs: dict[tuple[int, bool], tuple[float, float]]) -> None:
    print(f"{'python -O app.py':<28}{'wall s':>8}{'CPU s':>8}{'ms per further model':>24}")
    for (count, validate), (wall, cpu) in runs.items():
        fewer = max((c for c in COUNTS if c < count), default=None)
        further = ""
        if fewer:
            wall_before, cpu_before = runs[fewer, validate]
            more = count - fewer
            further = f"{(wall - wall_before) / more * 1000:.0f} ({(cpu - cpu_before) / more * 1000:.0f} CPU)"
        label = f"{count} model{'s' if count > 1 else ''}{', validated' if validate else ''}"
        print(f"{label:<28}{wall:>8.2f}{cpu:>8.2f}{further:>24}{against_goal(label, wall)}")
    further = (runs[50, False][0] - runs[10, False][0]) / 40 * 1000
    print(f"{'further model, 10 to 50':<28}{further:>5.0f} ms{against_goal('further model', further)}")


def against_goal(label: str, value: float) -> str:
    return f"   goal {GOALS[label]:g}: {value / GOALS[label]:.2f} of it" if label in GOALS else ""


def show_breakdown(configs: dict[int, Path], work: Path, rounds: int) -> None:
    print("\nwhere the seconds of an unvalidated synth go (one process, wall)")
    for count, config in configs.items():
        parts = breakdown(config, work / "in-process" / str(count), rounds + 1)
        first, *further = parts.pop("rounds")
        once = "  ".join(f"{name} {seconds:.2f}" for name, seconds in parts.items())
        print(f"{count:>3} models: {once}  App {first[0]:.2f}  constructs {first[1]:.2f}  synth {first[2]:.2f}")
        again = median(sum(parts) for parts in further)
        constructs, written = median(part[1] for part in further), median(part[2] for part in further)
        goal = against_goal("further synth in one process", again) if count == 1 else ""
        print(f"{'':>12}each further one: {again:.2f} (constructs {constructs:.2f}, synth {written:.2f}){goal}")


def breakdown(config: Path, out: Path, rounds: int) -> dict[str, Any]:
    script = BREAKDOWN.format(config=str(config), root=str(config.parent), out=str(out), rounds=rounds)
    environ = os.environ | {"CDK_VALIDATION": "false", "PYTHONDONTWRITEBYTECODE": "", "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run([sys.executable, "-O", "-c", script], env=environ, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    main()
