"""Of when the data are: the newest file, or the newest time in a column, however it is written."""

from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
import pytest

from handlers.contract.card import Feature
from handlers.contract.errors import NoDataTime, TooManyBadRows, WrongColumnType
from tests.unit.handlers.datasets import Outcome, card, csv_text, jsonlines, parquet

#: The moment at which data sets are prepared in these tests.
NOW = datetime(2026, 11, 23, 6, 10, tzinfo=UTC)
OLD, NEW = datetime(2026, 11, 20, 8, 30, tzinfo=UTC), datetime(2026, 11, 21, 9, 15, 30, tzinfo=UTC)
NEWEST = "2026-11-21T09:15:30Z"
MAKERS = {"parquet": parquet, "csv": csv_text, "jsonlines": jsonlines}


def rows_of(*times):
    return [{"id": str(number), "x": 1.0, "at": time} for number, time in enumerate(times)]


def outcome(*times, input_format="parquet", **settings):
    body = MAKERS[input_format](rows_of(*times))
    return Outcome(card(data_time="at", input_format=input_format, **settings), {"f": body})


def as_of(*times, **settings):
    return outcome(*times, **settings).prepared["data_as_of"]


class TestFiles:
    def test_the_newest_file_says_how_old_the_data_are(self):
        files = {name: parquet([{"id": name, "x": 1.0}]) for name in "abc"}
        prepared = Outcome(card(), files, modified={"a": OLD, "b": NEW, "c": OLD}).prepared
        assert prepared["data_as_of"] == NEWEST

    def test_files_that_are_not_read_do_not_count(self):
        files = {"a": parquet([{"id": "a", "x": 1.0}]), "_SUCCESS": b""}
        assert Outcome(card(), files, modified={"a": OLD, "_SUCCESS": NEW}).prepared["data_as_of"] == (
            "2026-11-20T08:30:00Z"
        )


class TestColumns:
    def test_the_newest_row_counts_whatever_the_files_say(self):
        assert as_of(OLD, NEW, OLD) == NEWEST

    @pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
    @pytest.mark.parametrize("zone", [None, "UTC", "Asia/Tokyo"])
    def test_timestamps_of_every_unit_and_zone_are_instants(self, unit, zone):
        moments = [moment if zone else moment.replace(tzinfo=None) for moment in (OLD, NEW)]
        table = {"id": ["a", "b"], "x": [1.0, 2.0], "at": pa.array(moments, pa.timestamp(unit, zone))}
        assert Outcome(card(data_time="at"), {"f": parquet(table)}).prepared["data_as_of"] == NEWEST

    @pytest.mark.parametrize("input_format", MAKERS)
    @pytest.mark.parametrize(
        "text",
        ["2026-11-21T09:15:30Z", "2026-11-21 09:15:30", "2026-11-21T18:15:30+09:00", " 2026-11-21T09:15:30.000Z "],
    )
    def test_iso_text_is_read_and_without_an_offset_it_is_utc(self, input_format, text):
        assert as_of("2026-11-20T08:30:00Z", text, input_format=input_format) == NEWEST

    @pytest.mark.parametrize("input_format", MAKERS)
    @pytest.mark.parametrize("factor", [1, 10**3, 10**6, 10**9])
    def test_numbers_are_time_since_1970_in_whichever_unit(self, input_format, factor):
        times = [int(moment.timestamp()) * factor for moment in (OLD, NEW)]
        assert as_of(*times, input_format=input_format) == NEWEST

    def test_numbers_may_have_fractions(self):
        assert as_of(NEW.timestamp() + 0.25) == "2026-11-21T09:15:30.250Z"

    @pytest.mark.parametrize("day", [date(2026, 11, 21), "2026-11-21", "20261121"])
    def test_a_date_is_its_first_moment_in_utc(self, day):
        assert as_of(day) == "2026-11-21T00:00:00Z"

    @pytest.mark.parametrize("day", [date(2026, 11, 24), "2026-11-24"])
    def test_a_day_that_has_begun_elsewhere_is_now(self, day):
        body = parquet(rows_of(day))
        found = Outcome(card(data_time="at"), {"f": body}, now=datetime(2026, 11, 23, 10, tzinfo=UTC))
        assert found.prepared["data_as_of"] == "2026-11-23T10:00:00Z"

    def test_a_day_that_has_begun_nowhere_is_in_the_future(self):
        assert outcome(NEW.date(), date(2026, 11, 24)).codes == {2: ["time_in_future"]}

    def test_dictionary_encoded_times_are_read(self):
        at = pa.array(["2026-11-20", NEWEST, None]).dictionary_encode()
        table = {"id": ["a", "b", "c"], "x": [1.0, 2.0, 3.0], "at": at}
        assert Outcome(card(data_time="at"), {"f": parquet(table)}).prepared["data_as_of"] == NEWEST

    def test_a_feature_may_be_the_time_too(self):
        model = card(Feature("x"), Feature("at", "string"), data_time="at")
        prepared = Outcome(model, {"f": parquet(rows_of("2026-11-20", NEWEST))})
        assert (prepared.prepared["data_as_of"], prepared.shard(0)[1]) == (NEWEST, f'2,1,"{NEWEST}"')

    def test_the_newest_counts_over_all_files(self):
        files = {"a": parquet(rows_of(NEW)), "b": parquet([{"id": "b", "x": 1.0, "at": OLD}])}
        assert Outcome(card(data_time="at"), files).prepared["data_as_of"] == NEWEST


class TestBadTimes:
    @pytest.mark.parametrize("input_format", MAKERS)
    def test_empty_ones_are_ignored_and_their_rows_scored(self, input_format):
        found = outcome(None, NEWEST, None, input_format=input_format)
        assert (found.prepared["data_as_of"], found.prepared["rows_valid"]) == (NEWEST, 3)

    def test_a_row_of_the_future_is_refused_and_does_not_make_the_data_look_fresh(self):
        found = outcome(NEW, NOW + timedelta(minutes=6))
        assert found.codes == {2: ["time_in_future"]}
        assert found.prepared["data_as_of"] == NEWEST
        assert "is later than now (2026-11-23T06:10:00Z)" in found.quarantined[0]["reasons"][0]["message"]

    def test_clocks_may_differ_by_five_minutes_and_the_data_are_then_of_now(self):
        assert as_of(NEW, NOW + timedelta(minutes=5)) == "2026-11-23T06:10:00Z"

    def test_data_that_are_all_of_the_future_stop_the_run(self):
        with pytest.raises(TooManyBadRows, match="time_in_future 1"):
            outcome(NOW + timedelta(days=1))

    @pytest.mark.parametrize("time", ["yesterday", "2026-13-01", "1e400", True, [1], {"a": 1}, "20261399"])
    def test_what_is_no_time_is_refused_with_what_stood_there(self, time):
        found = outcome(NEWEST, time, input_format="jsonlines")
        assert found.codes == {2: ["not_a_time"]}
        assert found.quarantined[0]["reasons"][0]["column"] == "at"

    @pytest.mark.parametrize("number", [float("nan"), float("inf"), 1e308])
    def test_numbers_that_are_no_time_are_refused(self, number):
        assert outcome(NEW.timestamp(), number).codes == {2: ["not_a_time"]}

    def test_a_refused_row_does_not_count(self):
        body = parquet([{"id": "a", "x": 1.0, "at": OLD}, {"id": "b", "x": None, "at": NEW}])
        assert Outcome(card(data_time="at"), {"f": body}).prepared["data_as_of"] == "2026-11-20T08:30:00Z"

    @pytest.mark.parametrize("input_format", MAKERS)
    def test_a_column_without_any_time_stops_the_run_and_says_what_else_there_is(self, input_format):
        with pytest.raises(NoDataTime, match=r"'at' holds a time in none .*last-modified"):
            outcome(None, None, input_format=input_format)

    def test_a_column_that_can_hold_no_time_stops_the_run(self):
        with pytest.raises(WrongColumnType, match="'at' is bool, which holds no times"):
            outcome(True)
