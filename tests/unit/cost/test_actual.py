"""What AWS charged against the estimate: boto3's own client, and answers in the shape of Cost Explorer's."""

import json
from datetime import date
from pathlib import Path

import boto3
import pytest
from botocore.stub import Stubber
from typer.testing import CliRunner

from turnout import cli, documents, prices
from turnout.config import STAGES
from turnout.config.specs import ModelSpec
from turnout.cost import actual, fleet
from turnout.errors import UserError

RECORDED = json.loads((Path(__file__).parents[2] / "recorded/cost_explorer.json").read_text())
TODAY = date(2026, 11, 23)
ASKED = {
    "TimePeriod": {"Start": "2026-11-19", "End": "2026-11-23"},
    "Granularity": "DAILY",
    "Metrics": ["UnblendedCost"],
    "GroupBy": [{"Type": "TAG", "Key": "turnout:model"}, {"Type": "DIMENSION", "Key": "SERVICE"}],
    "Filter": {
        "And": [
            {"Tags": {"Key": "turnout:stage", "Values": ["prod"], "MatchOptions": ["EQUALS"]}},
            {"Not": {"Dimensions": {"Key": "RECORD_TYPE", "Values": ["Credit", "Refund", "Tax"]}}},
        ]
    },
}


def client(pages=RECORDED):
    """Return boto3's own client, which answers page by page and checks each request."""
    real = boto3.client("ce", "us-east-1", aws_access_key_id="k", aws_secret_access_key="s")
    stub = Stubber(real)
    token = {}
    for page in pages:
        stub.add_response("get_cost_and_usage", page, {**ASKED, **token})
        token = {"NextPageToken": page.get("NextPageToken")}
    stub.activate()
    return real


def spec(name, mode):
    entry = {"name": name, "mode": mode, "schedule": "rate(1 day)", "key": "id", "features": ["a"]}
    return ModelSpec.model_validate(entry)


MODELS = {"churn": spec("churn", "precompute"), "fraud": spec("fraud", "realtime"), "new": spec("new", "batch")}
FLEET = fleet(MODELS, STAGES["prod"], prices.load(), TODAY)


@pytest.fixture(scope="module")
def found():
    return actual.actual(FLEET, client(), TODAY, 4)


def row(found, name):
    (one,) = [row for row in found.rows if row.name == name]
    return one


def test_each_model_is_charged_with_what_its_tag_was_on(found):
    fraud = row(found, "fraud").charges
    assert fraud.by_service == {"Amazon SageMaker": pytest.approx(3 * 2.912), "AWS Lambda": pytest.approx(0.0112345678)}
    assert row(found, "churn").charges.usd == pytest.approx(2 * 0.02875 + 0.009985)
    assert row(found, "").charges.usd == pytest.approx(0.0331 + 0.0329 + 0.033 + 0.0328767123)


def test_a_month_is_reckoned_from_the_first_day_that_was_charged(found):
    """A model that was deployed two days ago is not taken for one that costs a fifteenth."""
    assert (row(found, "fraud").charges.days, row(found, "churn").charges.days) == (3, 2)
    assert row(found, "fraud").charged == pytest.approx((3 * 2.912 + 0.0112345678) * 30.4 / 3)
    assert row(found, "churn").charged == pytest.approx((2 * 0.02875 + 0.009985) * 30.4 / 2)


def test_the_estimate_stands_beside_the_charges_by_service(found):
    services = {service: (estimated, charged) for service, estimated, charged in row(found, "fraud").services()}
    estimated, charged = services["Amazon SageMaker"]
    assert charged == pytest.approx(2.912 * 30.4)
    assert estimated == pytest.approx(2 * (83.95 + 4.2), rel=0.01)
    assert sum(estimated for estimated, _ in services.values()) == pytest.approx(row(found, "fraud").estimate.monthly)


def test_what_has_no_charge_and_what_is_not_in_the_file_are_told(found):
    shown = documents.plain(list(actual.comparison(found)))
    (new,) = [line for line in shown.splitlines() if line.startswith("new ")]
    (gone,) = [line for line in shown.splitlines() if line.startswith("gone ")]
    assert "nothing" in new
    assert "not in the file" in gone
    assert [row.name for row in found.rows] == ["churn", "fraud", "gone", "new", ""]
    assert "AWS may still change 1 of them." in shown


def test_a_day_that_spans_two_pages_is_one_uncertain_day():
    *whole, last = RECORDED
    again = {"ResultsByTime": last["ResultsByTime"][-1:]}
    pages = [*whole, {**last, "NextPageToken": "more"}, again]
    assert last["ResultsByTime"][-1]["Estimated"]
    assert actual.actual(FLEET, client(pages), TODAY, 4).uncertain == 1


def changed(change):
    """Return the recorded answers, each day's result put through a function."""
    return [{**page, "ResultsByTime": [change(day) for day in page["ResultsByTime"]]} for page in RECORDED]


def test_days_that_aws_has_no_data_of_yet_are_told_and_not_divided_by():
    """What was charged on the 20th and 21st is that of two days, though the 22nd is over too."""
    found = actual.actual(
        FLEET, client(changed(lambda day: {**day, "Groups": []} if day["Estimated"] else day)), TODAY, 4
    )
    assert found.empty == 1
    assert (row(found, "fraud").charges.days, row(found, "churn").charges.days) == (2, 1)
    assert row(found, "fraud").charged == pytest.approx((2 * 2.912 + 0.0112345678) * 30.4 / 2)
    assert row(found, "churn").charged == pytest.approx((0.02875 + 0.009985) * 30.4)
    shown = " ".join(documents.plain(list(actual.comparison(found))).split())
    assert "Not counted, as AWS has no data yet: the last 1 of them." in shown
    assert "may still change" not in shown
    assert found.to_body()["days_without_data"] == 1


def test_a_model_that_is_charged_no_more_counts_to_the_last_day_with_data(found):
    assert found.empty == 0
    assert row(found, "gone").charges.days == 2


def test_what_cost_explorer_may_leave_out_is_taken_for_nothing():
    def without(day):
        bare = {name: value for name, value in day.items() if name != "Estimated" and (name != "Groups" or value)}
        nothing = [
            {"Keys": ["turnout:model$fraud", "AWS Lambda"]},
            {"Keys": ["turnout:model$fraud", "AWS Lambda"], "Metrics": {}},
            {"Keys": ["turnout:model$fraud", "AWS Lambda"], "Metrics": {"UnblendedCost": {}}},
            {"Keys": ["turnout:model$fraud", "AWS Lambda"], "Metrics": {"UnblendedCost": {"Amount": ""}}},
        ]
        return {**bare, "Groups": [*bare["Groups"], *nothing]} if "Groups" in bare else bare

    found = actual.actual(FLEET, client(changed(without)), TODAY, 4)
    assert found.uncertain == 0
    assert row(found, "fraud").charges.usd == pytest.approx(3 * 2.912 + 0.0112345678)


@pytest.mark.parametrize(
    "group",
    [
        {"Keys": ["turnout:model$fraud"], "Metrics": {}},
        {"Metrics": {}},
        {"Keys": ["turnout:model$", "AWS Lambda"], "Metrics": {"UnblendedCost": {"Amount": "much", "Unit": "USD"}}},
        {"Keys": ["turnout:model$", "AWS Lambda"], "Metrics": {"UnblendedCost": {"Amount": "NaN", "Unit": "USD"}}},
    ],
)
def test_an_answer_of_another_form_is_an_error_that_shows_it(group):
    with pytest.raises(UserError, match=r"answers in a form that is not known: \{'"):
        actual.actual(FLEET, client(changed(lambda day: {**day, "Groups": [group]})), TODAY, 4)


def test_a_day_without_its_date_is_an_answer_of_another_form():
    undated = [{"ResultsByTime": [{"Groups": RECORDED[0]["ResultsByTime"][1]["Groups"]}]}]
    with pytest.raises(UserError, match="answers in a form that is not known"):
        actual.actual(FLEET, client(undated), TODAY, 4)


def test_one_model_alone_is_not_compared_with_others():
    alone = actual.actual(
        fleet({"churn": MODELS["churn"]}, STAGES["prod"], prices.load(), TODAY), client(), TODAY, 4, alone=True
    )
    assert [row.name for row in alone.rows] == ["churn"]


def test_every_price_belongs_to_a_service_that_cost_explorer_names():
    sections = {key.partition(".")[0] for key in prices.load().entries}
    assert sections == {section for each in actual.SERVICES.values() for section in each}


def test_tags_that_were_never_activated_are_told():
    empty = [{**page, "ResultsByTime": [{**day, "Groups": []} for day in page["ResultsByTime"]]} for page in RECORDED]
    with pytest.raises(UserError, match=r"no charge with the tag turnout:stage=prod.*Activate turnout:stage and"):
        actual.actual(FLEET, client(empty), TODAY, 4)


def test_another_currency_is_refused():
    yuan = json.loads(json.dumps(RECORDED).replace('"USD"', '"CNY"'))
    with pytest.raises(UserError, match="answers in CNY"):
        actual.actual(FLEET, client(yuan), TODAY, 4)


@pytest.mark.parametrize("form", ["table", "json", "markdown", "html"])
def test_the_command_compares_in_every_form(form, tmp_path, monkeypatch):
    (tmp_path / "code").mkdir()
    (tmp_path / "models.yaml").write_text(
        "models:\n  fraud:\n    mode: realtime\n    key: id\n    features: [x]\n    code: code\n"
    )
    monkeypatch.chdir(tmp_path)
    answer = {**RECORDED[1]}
    monkeypatch.setattr(boto3, "client", lambda service, region: Answering(answer))
    shown = CliRunner().invoke(cli.app, ["cost", "--actual", "--format", form], catch_exceptions=False)
    assert shown.exit_code == 0
    assert "fraud" in shown.stdout
    if form == "json":
        assert [model["model"] for model in json.loads(shown.stdout)["models"]] == ["churn", "fraud", "gone", None]


class Answering:
    """Stands for a client where the day of the test decides what is asked."""

    def __init__(self, answer):
        self.answer = answer

    def get_cost_and_usage(self, **request):
        assert request["GroupBy"] == ASKED["GroupBy"]
        return self.answer


def test_how_far_to_look_back_means_nothing_without_what_aws_charged():
    shown = CliRunner().invoke(cli.app, ["cost", "--days", "5"])
    assert shown.exit_code == 2
    assert "--days" in shown.stderr


def test_two_comparisons_at_once_are_wrong_usage():
    assert CliRunner().invoke(cli.app, ["cost", "--actual", "--diff", "HEAD"]).exit_code == 2
