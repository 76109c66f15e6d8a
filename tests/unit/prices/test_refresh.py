"""Refreshing a table through the Price List Query API: boto3's own client, and answers in the API's shape.

Prices in the answers are those of eu-west-1 where a source states one, and plausible ones otherwise.
"""

import json
from datetime import date
from pathlib import Path

import boto3
import pytest
from botocore.stub import Stubber
from typer.testing import CliRunner

from turnout import cli, cost, prices
from turnout.config import STAGES
from turnout.config.specs import ModelSpec
from turnout.prices.catalogue import FREE, PLACES, SERVICES, Place
from turnout.prices.refresh import NotRefreshed, refresh, unit_price

RECORDED = json.loads((Path(__file__).parents[2] / "recorded/price_list_eu_west_1.json").read_text())
TODAY = date(2026, 12, 24)


@pytest.fixture
def folder(tmp_path):
    """A folder with the table of us-east-1 only."""
    (tmp_path / "us-east-1.json").write_text((prices.FOLDER / "us-east-1.json").read_text())
    return tmp_path


def client(recorded=RECORDED, *, fails_at=None, region="eu-west-1"):
    """Return boto3's own client, which answers from what was recorded and checks each request."""
    real = boto3.client("pricing", "us-east-1", aws_access_key_id="k", aws_secret_access_key="s")
    place = [{"Type": "TERM_MATCH", "Field": "regionCode", "Value": region}]
    stub = Stubber(real)
    for service in SERVICES:
        if service == fails_at:
            stub.add_client_error("get_products", "ThrottlingException", "Rate exceeded", 400)
            break
        token = {}
        for page in recorded.get(service, [{"FormatVersion": "aws_v1", "PriceList": []}]):
            asked = {"ServiceCode": service, "Filters": place, "FormatVersion": "aws_v1"}
            stub.add_response("get_products", page, {**asked, **token})
            token = {"NextToken": page["NextToken"]} if "NextToken" in page else {}
    stub.activate()
    return real


def without(*usages):
    """Return the recorded answers without the products of some usage types."""
    lost = tuple(f'"usagetype":"{usage}"' for usage in usages)
    return {
        service: [
            {**page, "PriceList": [t for t in page["PriceList"] if not any(u in t for u in lost)]} for page in pages
        ]
        for service, pages in RECORDED.items()
    }


def in_us_east_1():
    """Return the recorded answers as us-east-1 spells them: no Region before a usage type, but KMS's."""
    whole = json.dumps(RECORDED).replace("eu-west-1", "us-east-1")
    return json.loads(whole.replace('usagetype\\":\\"EU-', 'usagetype\\":\\"'))


def test_every_price_of_a_table_has_its_place_in_the_price_list():
    table = json.loads((prices.FOLDER / "us-east-1.json").read_text())
    keys = {f"{section}.{name}" for section, entries in table.items() for name in entries if section != "_meta"}
    assert {key for key in keys if not key.startswith("sagemaker_instance.")} == PLACES.keys() | FREE


@pytest.mark.parametrize("usage", ["KMS-Keys", "USE1-KMS-Keys", "EU-KMS-Keys", "APN1-KMS-Keys", "eu-west-1-KMS-Keys"])
def test_a_usage_type_begins_with_any_spelling_of_the_region(usage):
    place = Place("awskms", "KMS-Keys")
    assert place.holds({"usagetype": usage})
    assert not place.holds({"usagetype": f"{usage}-External"})
    assert not place.holds({"usagetype": f"Edge-{usage}"})
    assert not place.holds({"usagetype": f"IA-{usage}"})


def test_us_east_1_has_no_prefix_and_a_cheaper_class_of_table_is_not_taken_for_one(folder):
    """There `IA-WriteRequestUnits` stands beside `WriteRequestUnits`, and both look as if they were in a Region."""
    answers = client(in_us_east_1(), region="us-east-1")
    done = refresh("us-east-1", answers, TODAY, folder)
    assert not {key for key in done.kept if key.startswith("dynamodb.")}
    assert done.prices.get("dynamodb.write").usd == 0.705
    assert done.prices.get("dynamodb.write").confidence == "verified"
    assert done.prices.instance("ml.m5.xlarge").usd == 0.257


def test_a_region_gets_a_table_of_its_own(folder):
    done = refresh("eu-west-1", client(), TODAY, folder)
    table = prices.load("eu-west-1", folder)
    assert table.compiled == TODAY
    assert table.instance("ml.m5.xlarge").usd == 0.257
    assert table.get("dynamodb.write").usd == 0.705
    assert table.get("dynamodb.write").per == 1_000_000
    assert table.get("sagemaker_serverless.2048").each == 0.0000448
    assert table.get("kms.requests").usd == 0.03
    assert table.get("eventbridge.aws_service_events").usd == 0
    assert done.path == folder / "eu-west-1.json"
    assert "lambda.requests" in done.new
    assert not done.kept
    assert not list(folder.glob("*.draft"))


def test_free_tiers_are_skipped_and_the_first_step_is_taken(folder):
    table = refresh("eu-west-1", client(), TODAY, folder).prices
    assert table.get("dynamodb.storage").usd == 0.283
    assert table.get("step_functions.transition").usd == 0.025
    assert table.get("s3.storage").usd == 0.023
    assert table.get("cloudwatch.custom_metric").usd == 0.3


def test_every_price_says_where_and_when_it_was_read(folder):
    table = refresh("eu-west-1", client(), TODAY, folder).prices
    price = table.get("s3.put")
    assert price.source == ("AWS Price List Query API, AmazonS3, eu-west-1, 2026-12-24",)
    assert (price.as_of, price.confidence) == ("2026-12-24", "verified")


def test_a_type_that_costs_otherwise_in_transform_jobs_is_marked(folder):
    table = refresh("eu-west-1", client(), TODAY, folder).prices
    price = table.instance("ml.g4dn.xlarge")
    assert (price.usd, price.confidence) == (0.821, "medium")
    assert "but Tsform $0.83" in price.source[0]
    assert "sagemaker_instance.ml.t3.medium" not in table.entries


def test_what_aws_does_not_list_stays_unknown_in_a_new_table(folder):
    done = refresh("eu-west-1", client(), TODAY, folder)
    assert "sagemaker_serverless.3072" in done.unknown
    assert "sagemaker_instance.ml.c5.large" not in done.prices.entries
    with pytest.raises(prices.PriceMissing, match=r"3072 of eu-west-1 is not stated by any source"):
        done.prices.get("sagemaker_serverless.3072")


def test_what_aws_lists_no_more_is_kept_with_its_date_and_marked_in_a_table_that_had_it(folder):
    refresh("eu-west-1", client(), date(2026, 11, 24), folder)
    lost = without("EU-KMS-Keys", "eu-west-1-KMS-Keys", "EU-Host:ml.g4dn.xlarge", "EU-Tsform:ml.g4dn.xlarge")
    done = refresh("eu-west-1", client(lost), TODAY, folder)
    assert done.kept == ("kms.key", "sagemaker_instance.ml.g4dn.xlarge")
    price = done.prices.get("kms.key")
    assert (price.usd, price.as_of, price.confidence) == (1.0, "2026-11-24", "medium")
    assert price.source[-1] == "not confirmed by the AWS Price List Query API, eu-west-1, 2026-12-24"
    assert refresh("eu-west-1", client(), TODAY, folder).kept == ()


def test_a_price_that_is_listed_twice_and_differently_is_not_chosen_by_chance(folder):
    double = json.loads(json.dumps(RECORDED))
    (text,) = [text for text in double["awskms"][0]["PriceList"] if "KMS-Keys" in text]
    double["awskms"][0]["PriceList"].append(text.replace('"USD":"1.0000000000"', '"USD":"3.0000000000"'))
    done = refresh("eu-west-1", client(double), TODAY, folder)
    assert "kms.key" in done.unknown


def test_what_changed_is_told(folder):
    refresh("eu-west-1", client(), TODAY, folder)
    dearer = json.loads(json.dumps(RECORDED).replace("0.2570000000", "0.2680000000"))
    done = refresh("eu-west-1", client(dearer), TODAY, folder)
    assert done.changed == (("sagemaker_instance.ml.m5.xlarge", 0.257, 0.268),)
    assert not done.new
    assert "  sagemaker_instance.ml.m5.xlarge: $0.257 is $0.268 now (+4.3%)" in list(done.lines())
    assert done.to_body()["changed"] == {"sagemaker_instance.ml.m5.xlarge": {"before": 0.257, "after": 0.268}}


@pytest.mark.parametrize("service", ["AmazonSageMaker", "AWSXRay"])
def test_a_failure_in_the_midst_keeps_the_old_table(folder, service):
    refresh("eu-west-1", client(), TODAY, folder)
    before = (folder / "eu-west-1.json").read_bytes()
    with pytest.raises(NotRefreshed, match=r"Rate exceeded.*The table of eu-west-1 is as it was\."):
        refresh("eu-west-1", client(fails_at=service), TODAY, folder)
    assert (folder / "eu-west-1.json").read_bytes() == before


def test_an_answer_of_another_form_keeps_the_old_table(folder):
    refresh("eu-west-1", client(), TODAY, folder)
    before = (folder / "eu-west-1.json").read_bytes()
    broken = {**RECORDED, "AWSXRay": [{"FormatVersion": "aws_v1", "PriceList": ['{"product": {}}']}]}
    with pytest.raises(NotRefreshed, match="form that is not known"):
        refresh("eu-west-1", client(broken), TODAY, folder)
    assert (folder / "eu-west-1.json").read_bytes() == before


def test_a_region_that_aws_does_not_sell_in_gets_no_table(folder):
    empty = {service: [{"FormatVersion": "aws_v1", "PriceList": []}] for service in SERVICES}
    with pytest.raises(NotRefreshed, match=r"no SageMaker instance in Region 'eu-west-1'.*still no table"):
        refresh("eu-west-1", client(empty), TODAY, folder)
    assert prices.regions(folder) == ["us-east-1"]


def test_a_table_that_cannot_be_written_is_told_and_leaves_no_draft(folder):
    (folder / "eu-west-1.draft").mkdir()
    with pytest.raises(NotRefreshed, match="could not be written"):
        refresh("eu-west-1", client(), TODAY, folder)
    assert prices.regions(folder) == ["us-east-1"]


def test_a_price_in_another_currency_is_none():
    step = {"beginRange": "0", "endRange": "Inf", "pricePerUnit": {"CNY": "1.5"}}
    assert unit_price({"terms": {"OnDemand": {"a": {"priceDimensions": {"b": step}}}}}) is None
    assert unit_price({"terms": {"Reserved": {}}}) is None


def test_a_refreshed_table_prices_a_model(folder):
    table = refresh("eu-west-1", client(), TODAY, folder).prices
    spec = ModelSpec.model_validate(
        {
            "name": "churn",
            "mode": "realtime",
            "key": "id",
            "features": ["a"],
            "realtime": {"instance_type": "ml.m5.xlarge"},
        }
    )
    bill = cost.bill(spec.mode, spec, STAGES["dev"], cost.Workload(), table)
    (line,) = [line for line in bill.lines if line.what == "endpoint: instances"]
    assert line.usd == pytest.approx(730 * 0.257)
    assert bill.complete


def test_the_command_says_what_it_wrote_and_fails_in_one_line(folder, monkeypatch):
    monkeypatch.setattr("turnout.prices.refresh.refresh.__defaults__", (folder,))
    answers = [client(fails_at="AmazonS3"), client()]
    monkeypatch.setattr("boto3.client", lambda service, region: answers.pop())
    shown = CliRunner().invoke(cli.app, ["prices", "refresh", "--region", "eu-west-1"], catch_exceptions=False)
    assert "eu-west-1.json: " in shown.stdout
    assert "No price is known for: sagemaker_serverless.3072" in shown.stdout
    with pytest.raises(NotRefreshed, match="Rate exceeded"):
        CliRunner().invoke(cli.app, ["prices", "refresh", "--region", "eu-west-1"], catch_exceptions=False)


@pytest.mark.parametrize("broken", ["", '{"_meta": {"region"', "{}", "[]"])
def test_a_table_that_cannot_be_read_is_made_anew_and_that_is_told(folder, monkeypatch, broken):
    (folder / "eu-west-1.json").write_text(broken)
    monkeypatch.setattr("turnout.prices.refresh.refresh.__defaults__", (folder,))
    answers = client()
    monkeypatch.setattr("boto3.client", lambda service, region: answers)
    shown = CliRunner().invoke(cli.app, ["prices", "refresh", "--region", "eu-west-1"], catch_exceptions=False)
    assert shown.exit_code == 0
    assert f"The price table {folder / 'eu-west-1.json'} cannot be read" in shown.stdout
    assert "taken for none" in shown.stdout
    assert prices.load.__wrapped__("eu-west-1", folder).instance("ml.m5.xlarge").usd == 0.257


def test_the_pattern_itself_is_made_anew_by_another_table_and_not_without_one(folder):
    (folder / "us-east-1.json").write_text("{")
    with pytest.raises(NotRefreshed, match=r"No table in .* can be read.*Put us-east-1\.json back"):
        refresh("us-east-1", client(in_us_east_1(), region="us-east-1"), TODAY, folder)
    (folder / "us-east-1.json").write_text((prices.FOLDER / "us-east-1.json").read_text())
    refresh("eu-west-1", client(), TODAY, folder)
    (folder / "us-east-1.json").write_text("{")
    done = refresh("us-east-1", client(in_us_east_1(), region="us-east-1"), TODAY, folder)
    assert done.unreadable
    assert done.prices.get("dynamodb.write").usd == 0.705


def test_a_price_that_was_nothing_has_no_percentage(folder):
    refresh("eu-west-1", client(), TODAY, folder)
    table = json.loads((folder / "eu-west-1.json").read_text())
    table["kms"]["key"]["usd"] = 0
    (folder / "eu-west-1.json").write_text(json.dumps(table))
    assert "  kms.key: $0 is $1 now" in list(refresh("eu-west-1", client(), TODAY, folder).lines())
