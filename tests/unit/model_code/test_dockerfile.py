"""The image is built where there is a Docker; here its file is read, and what it would run is run."""

import json
import re
import shlex
from pathlib import Path

MODEL_CODE = Path(__file__).parents[3] / "model_code"
LINES = re.sub(r"\\\n", "", re.sub(r"^#.*\n", "", (MODEL_CODE / "Dockerfile").read_text(), flags=re.M)).splitlines()


def instructions(name: str) -> list[str]:
    return [line.partition(" ")[2] for line in LINES if line.startswith(f"{name} ")]


def copied() -> dict[str, list[Path]]:
    """Return, per target, the files that COPY takes for the sample model."""
    found = {}
    for line in instructions("COPY"):
        source, target = line.replace("${MODEL}", "churn").split()
        found[target] = sorted(MODEL_CODE.glob(source))
    return found


def environment() -> dict[str, str]:
    return dict(pair.split("=", 1) for line in instructions("ENV") for pair in shlex.split(line))


def test_every_file_that_is_copied_exists_and_the_server_is_whole():
    files = copied()
    assert all(files.values()), files
    assert {path.name for path in files["/opt/server/"]} == {path.name for path in (MODEL_CODE / "server").glob("*.py")}


def test_whatever_is_installed_was_copied_before():
    [install] = [line for line in instructions("RUN") if line.startswith("pip")]
    lists = re.findall(r"-r (\S+)", install)
    assert lists == [target for target in copied() if target.endswith(".txt")]
    positions = [LINES.index(f"RUN {install}"), *(n for n, line in enumerate(LINES) if any(x in line for x in lists))]
    assert positions[0] == max(positions)


def test_the_image_has_the_versions_that_the_suite_runs_with():
    pinned = set((MODEL_CODE / "server/requirements.txt").read_text().splitlines()[1:])
    assert pinned <= set((MODEL_CODE.parent / "requirements/constraints.txt").read_text().splitlines())


def test_the_server_is_the_first_process_so_that_it_gets_the_signals():
    [entry] = instructions("ENTRYPOINT")
    assert json.loads(entry)[0] == "python"
    assert not instructions("CMD")


def test_what_the_image_runs_serves_a_model_without_hooks_of_its_own(start):
    [entry] = map(json.loads, instructions("ENTRYPOINT"))
    assert Path(entry[1]).parent == Path("/opt/server")
    script = "class M:\n    predict = staticmethod(lambda data: data.sum(axis=1))\nmodel_fn = lambda model_dir: M"
    container = start(script, arguments=("serve",), **environment()).ready()
    answer = container.post("[1, 2]\n[3, 4.5]\n", Content_Type="application/jsonlines", Accept="text/csv")
    assert (answer.status, answer.text) == (200, "3.0\n7.5\n")


def test_the_settings_in_the_image_are_known_to_the_server():
    known = (MODEL_CODE / "server/serving_settings.py").read_text()
    assert [name for name in environment() if not name.startswith("PYTHON") and f'"{name}"' not in known] == []


def test_the_example_in_the_file_names_a_model_that_exists():
    [name] = re.findall(r"--build-arg MODEL=(\w+)", (MODEL_CODE / "Dockerfile").read_text())
    assert (MODEL_CODE / name / "requirements.txt").exists()
