"""The price table: every price with its source, and loud where there is none."""

import json
import re
from datetime import date, timedelta
from pathlib import Path

import pytest

from turnout import cli, prices
from turnout.prices import FOLDER, PriceMissing
from turnout.prices.table import STALE_DAYS, parse

ROOT = Path(__file__).resolve().parents[3]
CONFIDENCES = ("verified", "medium", "low", "derived", "from memory", "unknown")


@pytest.mark.parametrize("region", prices.regions())
def test_every_price_has_its_source_its_date_and_how_sure_it_is(region):
    table = json.loads((FOLDER / f"{region}.json").read_text())
    assert table["_meta"]["region"] == region
    for section, entries in table.items():
        for name, entry in entries.items() if section != "_meta" else ():
            assert set(entry) == {"usd", "per", "unit", "source", "as_of", "confidence"}, f"{section}.{name}"
            assert entry["source"]
            assert re.match("20[0-9]{2}", entry["as_of"])
            assert entry["per"] >= 1
            assert entry["confidence"] in CONFIDENCES
            assert (entry["usd"] is None) is (entry["confidence"] == "unknown")


def test_a_price_is_for_so_many_units():
    price = prices.load().get("lambda.requests")
    assert (price.usd, price.per, price.unit) == (0.20, 1_000_000, "request")
    assert price.each == pytest.approx(0.0000002)


def test_an_unknown_instance_type_names_the_nearest_known():
    with pytest.raises(
        PriceMissing, match=r"ml\.m5\.24xlarge of us-east-1 is not in the table.*ml\.m5\.4xlarge at \$0\.9"
    ):
        prices.load().instance("ml.m5.24xlarge")
    with pytest.raises(PriceMissing, match=r"nearest known is sagemaker_instance\.ml\.g5\.12xlarge"):
        prices.load().instance("ml.g5.16xlarge")


def test_a_price_that_no_source_states_is_missing_and_not_nothing():
    with pytest.raises(
        PriceMissing, match=r"sagemaker_serverless\.provisioned of us-east-1 is not stated by any source"
    ):
        prices.load().get("sagemaker_serverless.provisioned")


def test_a_price_of_another_unit_is_no_neighbour():
    """What a GB costs says nothing of what a GB for a second costs, however alike the names are."""
    entry = {"usd": 3.0, "per": 1, "unit": "GB", "source": ["a list"], "as_of": "2026", "confidence": "low"}
    lost = {**entry, "usd": None, "unit": "GB-second"}
    prices_of = {"warm": lost, "warmth": entry}
    table = parse({"_meta": {"region": "r", "compiled": "2026-01-02"}, "a": prices_of})
    assert table.nearest("a.warm") is None
    with pytest.raises(PriceMissing) as told:
        table.get("a.warm")
    assert "nearest" not in str(told.value)
    of_the_unit = {**entry, "unit": "GB-second"}
    alike = parse({"_meta": {"region": "r", "compiled": "2026-01-02"}, "a": {**prices_of, "warmer": of_the_unit}})
    assert alike.nearest("a.warm") == "a.warmer"


def test_a_misspelt_price_names_its_neighbour():
    with pytest.raises(PriceMissing, match=r"dynamodb\.write"):
        prices.load().get("dynamodb.writes")


def test_a_region_without_a_table_says_how_to_get_one():
    with pytest.raises(PriceMissing, match=r"'mars-1'.*turnout prices refresh --region mars-1"):
        prices.load("mars-1")


def test_an_old_table_says_how_old_it_is():
    table = prices.load()
    fresh, old = (table.compiled + timedelta(days=STALE_DAYS + more) for more in (0, 1))
    assert table.stale(fresh) is None
    assert f"{STALE_DAYS + 1} days old" in table.stale(old)
    assert table.age_days(old) == STALE_DAYS + 1


def test_a_table_of_days_to_come_is_told_but_not_one_of_tomorrow():
    """It is tomorrow elsewhere."""
    table = prices.load()
    day_before, two_before = (table.compiled - timedelta(days=days) for days in (1, 2))
    assert table.stale(day_before) is None
    assert f"are of {table.compiled}, and it is {two_before}: run" in table.stale(two_before)


WHOLE = (FOLDER / "us-east-1.json").read_text()


def with_price(**changed):
    """Return a whole table with another entry for Lambda's requests."""
    table = json.loads(WHOLE)
    table["lambda"]["requests"] |= changed
    return json.dumps(table)


@pytest.fixture
def command(tmp_path, monkeypatch):
    """Run a command as the shell would, where us-east-1 has another table; return its exit code."""
    (tmp_path / "code").mkdir()
    (tmp_path / "models.yaml").write_text(
        "models:\n  churn: {mode: realtime, key: id, features: [x], code: code}\n",
    )
    monkeypatch.chdir(tmp_path)
    original = prices.load.__wrapped__

    def run(text, *arguments):
        (tmp_path / "us-east-1.json").write_text(text)
        monkeypatch.setattr(prices, "load", lambda region: original(region, tmp_path))
        monkeypatch.setattr("sys.argv", ["turnout", *arguments])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        return stopped.value.code

    return run


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (WHOLE[: len(WHOLE) // 2], "JSONDecodeError"),
        ("", "JSONDecodeError"),
        ('"prices"', "TypeError"),
        ("[]", "TypeError"),
        ("{}", "KeyError('_meta')"),
        (WHOLE.replace('"compiled"', '"complied"'), "KeyError('compiled')"),
        (WHOLE.replace('"compiled": "', '"compiled": "the '), "Invalid isoformat string"),
        (with_price(usd=-0.2), "lambda.requests is -0.2 USD for 1000000"),
        (with_price(usd="0.2"), "lambda.requests is '0.2' USD for 1000000"),
        (with_price(usd=float("nan")), "lambda.requests is nan USD"),
        (with_price(usd=True), "lambda.requests is True USD"),
        (with_price(per=0), "lambda.requests is 0.2 USD for 0"),
        (with_price().replace('"unit": "request"', '"units": "request"'), "KeyError('unit')"),
        (json.dumps({**json.loads(WHOLE), "lambda": "free"}), "AttributeError"),
    ],
)
def test_a_table_that_is_none_is_one_line_that_names_the_file_and_what_to_do(command, tmp_path, capsys, text, said):
    for arguments in (("cost",), ("advise",), ("report",)):
        assert command(text, *arguments) == 1
        told = capsys.readouterr().err
        assert told.startswith(f"turnout: The price table {tmp_path / 'us-east-1.json'} cannot be read: ")
        assert said in told
        assert "run `turnout prices refresh --region us-east-1`" in told


def test_a_table_is_read_as_it_is_written():
    entry = {"usd": 3.0, "per": 10, "unit": "thing", "source": ["a list"], "as_of": "2026", "confidence": "low"}
    table = parse(
        {"_meta": {"region": "r", "compiled": "2026-01-02"}, "a": {"b.c": entry, "d": {**entry, "usd": None}}}
    )
    assert (table.region, table.compiled) == ("r", date(2026, 1, 2))
    assert table.get("a.b.c").each == 0.3
    assert table.unknown == {"a.d": "thing"}


def test_prices_live_nowhere_else():
    """A figure of the table that is rare enough to be nothing else stands in no module."""
    rare = {"0.0000133334", "1.33334e-05", "0.115", "0.7364", "0.625", "0.0000002", "83.95"}
    for path in [
        *(ROOT / "turnout").rglob("*.py"),
        *(ROOT / "handlers").rglob("*.py"),
        *(ROOT / "infra").rglob("*.py"),
    ]:
        found = {number for number in rare if re.search(rf"(?<![0-9.]){re.escape(number)}(?![0-9])", path.read_text())}
        assert not found, path
