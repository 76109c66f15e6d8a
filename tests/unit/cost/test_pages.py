"""Bills as Markdown and HTML, and the difference to an earlier `models.yaml` as a comment on a pull request."""

import json
import re
import subprocess
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from typer.testing import CliRunner

from turnout import cli, documents, prices
from turnout.config import STAGES
from turnout.config.specs import ModelSpec
from turnout.cost import Workload, bill, differences
from turnout.documents import Folded, Heading, Items, Strong, Table, Text
from turnout.errors import UserError

BEFORE = """
models:
  churn:
    mode: realtime
    schedule: rate(1 day)
    key: id
    features: [x]
    code: code
    traffic: {requests_per_month: 300000, entities: 1000000, run_duration: 15m}
  fraud:
    mode: realtime
    key: id
    features: [x]
    code: code
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A repository whose first commit has two models in `models.yaml`."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code/inference.py").write_text("def model_fn(folder): ...\n")
    (tmp_path / "models.yaml").write_text(BEFORE)
    monkeypatch.chdir(tmp_path)
    for name in ("GIT_AUTHOR", "GIT_COMMITTER"):
        monkeypatch.setenv(f"{name}_NAME", "someone")
        monkeypatch.setenv(f"{name}_EMAIL", "someone@example.com")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    for words in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-qm", "two models"]):
        subprocess.run(["git", *words], check=True)
    return tmp_path


def call(*arguments):
    return CliRunner().invoke(cli.app, ["cost", *arguments], catch_exceptions=False)


def rows(text):
    """Return the cells of Markdown's table rows by their first cell."""
    found = [re.split(r"(?<!\\) \| ", line[2:-2]) for line in text.splitlines() if line.startswith("| ")]
    return {cells[0]: cells[1:] for cells in found}


class Reader(HTMLParser):
    """Collects tags that do not close, addresses that are fetched, and the text."""

    def __init__(self, text):
        super().__init__()
        self.open, self.fetched, self.text = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        if tag not in ("meta", "br"):
            self.open.append(tag)
        self.fetched += [value for name, value in attributes if name in ("src", "href")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_markdown_marks_the_declared_mode_and_shows_every_line_of_its_bill(project):
    shown = call("--format", "markdown").stdout
    body = json.loads(call("--format", "json").stdout)
    churn = body["models"][0]
    head = rows(shown)["USD a month"]
    cells = dict(zip(head, rows(shown)["churn"], strict=True))
    assert cells["precompute"] == f"{churn['modes']['precompute']['usd']:,.2f}"
    assert cells["realtime"] == rf"**\~{churn['modes']['realtime']['usd']:,.2f}**"
    for line in churn["modes"]["realtime"]["lines"]:
        assert line["what"] in shown
    assert f"${body['usd']:,.2f} a month" in shown
    assert "<details><summary>churn: realtime" in shown


def test_an_illegal_mode_is_struck_out_with_its_reason(project):
    slow = BEFORE.replace("run_duration: 15m", "run_duration: 15m, model_latency: 40s").replace(
        "mode: realtime", "mode: batch", 1
    )
    (project / "models.yaml").write_text(slow)
    shown = call("churn", "--format", "markdown").stdout
    assert dict(zip(rows(shown)["USD a month"], rows(shown)["churn"], strict=True))["realtime"] == "—"
    (reason,) = re.findall(r"- churn: realtime — (.*)", shown)
    assert "40" in reason
    assert "ten times the rows a run" in shown


def test_html_is_one_page_that_fetches_nothing_and_says_what_markdown_says(project):
    page = Reader(call("--format", "html").stdout)
    assert page.open == []
    assert page.fetched == []
    assert "churn: realtime, $" in page.text
    for cell in rows(call("--format", "markdown").stdout)["churn"]:
        assert cell.replace("*", "").replace("\\", "") in page.text
    assert "color-scheme: light dark" in page.text


def test_what_is_written_into_a_document_stands_there_as_it_is():
    blocks = [
        Heading("a < b"),
        Text("*not bold* and `code|<x>` and <script>"),
        Items(("x_y_z",)),
        Table(("a|b", "n"), ((Strong("c~"), "1"),)),
        Folded("d & e", (Text("inner"),)),
    ]
    shown = documents.markdown(blocks)
    assert r"\*not bold\* and `code|<x>` and \<script\>" in shown
    assert r"| a\|b | n |" in shown
    assert r"| **c\~** | 1 |" in shown
    assert "<summary>d &amp; e</summary>" in shown
    page = documents.page("t & u", blocks)
    assert "<title>t &amp; u</title>" in page
    assert "<code>code|&lt;x&gt;</code> and &lt;script&gt;" in page
    assert '<td><strong>c~</strong></td><td class="n">1</td>' in page
    assert "c~   1" in documents.plain(blocks)


def test_a_pull_request_is_told_what_a_switch_changes(project):
    (project / "models.yaml").write_text(BEFORE.replace("mode: realtime", "mode: precompute", 1))
    body = json.loads(call("--diff", "HEAD", "--format", "json").stdout)
    churn, fraud = body["models"]
    assert (churn["action"], churn["before"]["mode"], churn["after"]["mode"]) == ("switched", "realtime", "precompute")
    assert churn["usd"] == pytest.approx(churn["after"]["usd"] - churn["before"]["usd"], abs=0.011)
    assert churn["once_usd"] > 0
    assert fraud["action"] == "unchanged"
    assert body["usd"] == pytest.approx(body["usd_after"] - body["usd_before"], abs=0.011)
    shown = call("--diff", "HEAD").stdout
    assert shown.startswith(f"{differences.MARKER}\n")
    assert f"−${-body['usd']:,.2f} a month against `HEAD`" in shown
    assert "1 model costs what it did." in shown
    kind, *_ = rows(shown)["churn"]
    assert kind == "realtime → precompute"
    assert rows(shown)["endpoint"][1] == "0.00"


def test_the_parts_that_differ_make_up_the_difference(project):
    (project / "models.yaml").write_text(BEFORE.replace("mode: realtime", "mode: hybrid", 1))
    (churn, _) = json.loads(call("--diff", "HEAD", "--format", "json").stdout)["models"]
    parts = sum(part["after"] - part["before"] for part in churn["parts"])
    assert parts == pytest.approx(churn["usd"], abs=0.01 * (len(churn["parts"]) + 2))


def test_a_difference_that_lacks_a_price_is_unknown_and_in_no_sum(project):
    rare = "features: [x]\n    realtime: {instance_type: ml.m5.24xlarge}"
    (project / "models.yaml").write_text(BEFORE.replace("features: [x]", rare, 1))
    body = json.loads(CliRunner().invoke(cli.app, ["cost", "--diff", "HEAD", "--format", "json"]).stdout)
    churn, fraud = body["models"]
    assert (churn["usd"], churn["complete"], fraud["usd"]) == (None, False, 0)
    assert (body["usd"], body["usd_is_without"]) == (0, ["churn"])
    shown = CliRunner().invoke(cli.app, ["cost", "--diff", "HEAD"]).stdout
    assert rows(shown)["churn"][3:5] == ["**unknown**", ""]
    assert "That is without what is unknown, as prices are missing: churn." in shown
    assert re.search(r"\$[0-9.]+ a month before, > \$[0-9.]+ after", shown.replace("\\", ""))


def test_a_price_that_was_missing_before_too_hides_no_difference(project):
    rare = BEFORE.replace("features: [x]", "features: [x]\n    realtime: {instance_type: ml.m5.24xlarge}", 1)
    (project / "models.yaml").write_text(rare)
    subprocess.run(["git", "commit", "-qam", "a type without a price"], check=True)
    (project / "models.yaml").write_text(rare.replace("requests_per_month: 300000", "requests_per_month: 900000"))
    body = json.loads(CliRunner().invoke(cli.app, ["cost", "--diff", "HEAD", "--format", "json"]).stdout)
    assert body["models"][0]["usd"] > 600_000 * 1e-6  # for the HTTP API alone
    assert body["usd_is_without"] == []


def test_new_removed_and_changed_models_are_told_apart(project):
    later = BEFORE.replace("fraud", "ranking").replace("requests_per_month: 300000", "requests_per_month: 900000")
    (project / "models.yaml").write_text(later)
    shown = call("--diff", "main").stdout
    assert rows(shown)["churn"][0] == "realtime (changed)"
    assert (rows(shown)["fraud"][0], rows(shown)["fraud"][2]) == ("realtime (removed)", "")
    assert rows(shown)["ranking"][:2] == ["realtime (new)", ""]
    assert rows(shown)["ranking"][-1] != ""  # a first deployment costs something once
    only = json.loads(call("churn", "--diff", "main", "--format", "json").stdout)
    assert [model["model"] for model in only["models"]] == ["churn"]


def test_a_file_that_did_not_change_changes_no_bill(project):
    shown = call("--diff", "HEAD").stdout
    assert "±$0.00 a month" in shown
    assert "No model's bill changes." in shown
    assert "2 models cost what they did." in shown


def test_the_earlier_file_is_read_with_the_cards_that_it_had(project):
    """A card that came later may not change what was before."""
    without = BEFORE.replace("    key: id\n    features: [x]\n", "")
    (project / "code/schema.yaml").write_text("key: id\nfeatures: [x]\n")
    (project / "models.yaml").write_text(without)
    subprocess.run(["git", "add", "."], check=True)
    subprocess.run(["git", "commit", "-qm", "cards"], check=True)
    (project / "code/schema.yaml").unlink()
    (project / "models.yaml").write_text(BEFORE)
    assert "No model's bill changes." in call("--diff", "HEAD").stdout
    assert "No model's bill changes." in call("--diff", "HEAD~1").stdout


def test_everything_is_new_where_the_file_was_not_there_yet(project):
    (project / "elsewhere.yaml").write_text(BEFORE)
    shown = call("--diff", "HEAD", "--config", "elsewhere.yaml").stdout
    assert [rows(shown)[name][0] for name in ("churn", "fraud")] == ["realtime (new)"] * 2


def test_what_models_share_is_new_where_the_file_was_not_there_yet_and_not_with_one_more_model(project):
    (project / "elsewhere.yaml").write_text(BEFORE)
    first = ("--diff", "HEAD", "--config", "elsewhere.yaml")
    body = json.loads(call(*first, "--format", "json").stdout)
    assert (body["usd_before"], body["usd"]) == (0, body["usd_after"])
    shown = call(*first).stdout
    assert f"+${body['usd_after']:,.2f} a month" in shown
    assert "$0.00 a month before" in shown
    assert re.search(r"with what the models share \(\$[0-9.]+, new as well\)", shown)
    (project / "models.yaml").write_text(BEFORE.replace("fraud", "ranking"))
    later = json.loads(call("ranking", "--diff", "HEAD", "--format", "json").stdout)
    assert later["usd_before"] > 0


def test_a_repository_with_links_and_files_kept_from_archives_is_read_whole(project):
    """`git archive` leaves out what `export-ignore` names, and a tar filter refuses links that point elsewhere."""
    (project / ".gitattributes").write_text("models.yaml export-ignore\ncode export-ignore\n")
    (project / "data").symlink_to("/var/empty")
    (project / "up").symlink_to("../../elsewhere")
    subprocess.run(["git", "add", "."], check=True)
    subprocess.run(["git", "commit", "-qm", "links"], check=True)
    (project / "staged").write_text("not committed yet")
    subprocess.run(["git", "add", "staged"], check=True)
    assert "No model's bill changes." in call("--diff", "HEAD").stdout
    status = subprocess.run(["git", "status", "--porcelain"], check=True, capture_output=True, text=True)
    assert status.stdout == "A  staged\n"


@pytest.mark.parametrize("ref", ["no-such-branch", "--output=x", ""])
def test_a_commit_that_git_does_not_know_is_told(project, ref):
    with pytest.raises(UserError) as told:
        call("--diff", ref)
    assert told.value.message == f"There is no commit '{ref}' here."
    assert "fetch it first (`fetch-depth: 0` in CI)" in told.value.remedy
    assert not (project / "x").exists()


def test_a_folder_that_is_no_repository_is_told_by_gits_own_words(project):
    (project / ".git").rename(project / "not-git")
    with pytest.raises(UserError, match=r"git could not tell: .*not a git repository"):
        call("--diff", "HEAD")


def test_an_earlier_file_that_was_not_valid_is_told_by_its_own_name(project):
    (project / "models.yaml").write_text(BEFORE.replace("realtime", "realtimes", 1))
    subprocess.run(["git", "commit", "-qam", "broken"], check=True)
    (project / "models.yaml").write_text(BEFORE)
    with pytest.raises(UserError) as told:
        call("--diff", "HEAD")
    assert str(told.value).startswith("models.yaml was not valid at HEAD:\nmodels.yaml:4:")


def test_a_difference_of_many_times_is_told_in_times_and_others_in_percent():
    spec = ModelSpec.model_validate({"name": "m", "mode": "realtime", "key": "id", "features": ["a"]})
    little = bill(spec.mode, spec, STAGES["dev"], Workload(), prices.load())
    much = replace(little, lines=little.lines * 12)
    assert differences.Difference("m", little, much).percent == "12 times"
    assert differences.Difference("m", much, little).percent == "−91.7%"
    assert differences.Difference("m", None, little).percent == ""
