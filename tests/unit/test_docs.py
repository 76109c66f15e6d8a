"""Documentation is held to the code: commands, files and examples that it names exist."""

import json
import re
from pathlib import Path

import pytest
import typer

from benchmarks.growth import STEPS
from handlers.contract import errors, predictions
from turnout import cli, config

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")])


def test_the_readme_names_every_command():
    group = typer.main.get_command(cli.app)
    for name, command in group.commands.items():
        if not command.hidden:
            assert f"`turnout {name}" in README, name
    for name in group.commands["local"].commands:
        assert re.search(rf"turnout local {name}|`{name}`", README), name


def test_the_two_commands_stand_on_the_first_screen_and_exist():
    first_screen = "\n".join(README.splitlines()[:24])
    makefile = (ROOT / "Makefile").read_text()
    for target in ("demo", "test"):
        assert f"make {target}" in first_screen
        assert re.search(rf"^{target}:", makefile, re.M)
    assert "make test" in (ROOT / ".ci/run").read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_readmes_configuration_is_valid(tmp_path):
    text = re.search(r"```yaml\n(.*?)```", README, re.S).group(1)
    path = tmp_path / "models.yaml"
    path.write_text(text)
    loaded = config.load(path, root=ROOT)
    assert [str(spec.mode) for spec in loaded.models.values()] == ["batch"]


def test_commands_in_shell_blocks_are_commands_of_ours():
    known = typer.main.get_command(cli.app).commands
    for block in re.findall(r"```sh\n(.*?)```", README, re.S):
        for words in re.findall(r"^(?:eval \"\$\()?turnout (.+)$", block, re.M):
            first, *rest = words.split()
            assert first in known, words
            if first == "local":
                assert rest[0].rstrip('")') in known["local"].commands, words


def test_json_in_the_walk_is_json():
    walk = (ROOT / "docs/one-row.md").read_text()
    blocks = re.findall(r"```json\n(.*?)```", walk, re.S)
    assert len(blocks) >= 4
    for block in blocks:
        json.loads(block)


def test_the_contract_page_names_every_code_with_its_status():
    page = (ROOT / "docs/api.md").read_text()
    for error in errors.RequestError.__subclasses__():
        row = re.search(rf"^\| {error.http_status} \|.*`{error.code}`", page, re.M)
        assert row, f"{error.code} {error.http_status}"
    assert f"up to {predictions.MAX_INSTANCES}" in page


def test_the_runbook_tells_what_to_do_about_every_error_of_a_run():
    runbook = (ROOT / "docs/runbook.md").read_text()
    for name in errors.PERMANENT_RUN_ERRORS:
        assert f"`{name}`" in runbook, name


def test_the_contract_page_names_every_member_of_an_answer():
    page = (ROOT / "docs/api.md").read_text()
    for name in predictions.Prediction.__dataclass_fields__:
        assert f'"{name}"' in page, name


def test_the_table_of_growth_says_what_was_recorded():
    rows = [line.strip("| ").split(" | ") for line in (ROOT / "docs/performance.md").read_text().splitlines()]
    table = {cells[0]: cells[1:] for cells in rows if len(cells) == 10}
    for size in json.loads((ROOT / "docs/growth.json").read_text()):
        load, *seconds, peak, lookup, cpu = table[f"{size['rows']:,}"]
        per_million = [size["seconds"][step] * 1e6 / size["rows"] for step in STEPS]
        assert [float(value) for value in seconds] == pytest.approx(per_million, abs=0.5)
        assert (load, peak, cpu) == (
            f"{size['load']:.0f}", f"{size['peak_mb']:,.0f} MB", f"{size['lookup_cpu_us']:.0f}"
        )  # fmt: skip
        assert lookup == f"{size['lookup_ms']:.2f} / {size['lookup_p99_ms']:.1f}"
