"""Single keys scored by event: the newest data win, storms wait, nothing is lost, and what is poison is said."""

import itertools
import json
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.contract import metrics
from handlers.contract.card import Feature
from handlers.contract.errors import (
    EndpointUnavailable,
    ModelFailed,
    ModelRefused,
    ModelTimeout,
    PayloadTooLarge,
    StoreUnavailable,
    Throttled,
)
from handlers.contract.records import Pointer, Refreshed
from handlers.logic import refreshing
from handlers.logic.families import FAMILIES
from handlers.logic.moments import format_moment, milliseconds, parse_moment
from handlers.logic.refreshing import Desk, Message, refresh
from tests.unit.handlers.datasets import card
from tests.unit.handlers.fakes import FakeClock
from tests.unit.handlers.live_fakes import FakeEndpoint, halved
from tests.unit.handlers.world import EXPIRES, MODES, NEXT, RUN, World, manifest

NOW = "2026-11-23T06:10:00Z"


class FakeOverlay:
    def __init__(self):
        self.entries: dict[str, Refreshed] = {}
        self.calls: dict[str, int] = {}
        self.failures = []
        self.largest = 1_000

    def refreshed(self, keys):
        if self.failures:
            raise self.failures.pop(0)
        return {key: self.entries[key] for key in keys if key in self.entries}

    def refresh(self, key, entry, now):
        if len(str(entry.prediction)) > self.largest:
            raise PayloadTooLarge("too large")
        there = self.entries.get(key)
        if there and there.expires_at > now and there.data_as_of >= entry.data_as_of:
            no_later = there.arrived >= entry.arrived and there.model_version == entry.model_version
            if there.data_as_of > entry.data_as_of or no_later:
                return False
        self.entries[key] = Refreshed.from_item(entry.to_item(key))
        return True

    def take_turns(self, minute, wanted, limit, *, expires_at):
        taken = max(0, min(wanted, limit - self.calls.get(minute, 0)))
        self.calls[minute] = self.calls.get(minute, 0) + taken
        return taken


class FakeBacklog:
    def __init__(self):
        self.pauses: dict[str, int] = {}
        self.letters = []
        self.failing = False

    def postpone(self, pauses):
        if self.failing:
            raise StoreUnavailable("no")
        self.pauses |= pauses

    def give_up(self, message, error):
        if self.failing:
            raise StoreUnavailable("no")
        self.letters.append((message.id, error.code))


class BeyondDoubles:
    """Answers what JSON can write and no double holds where x is 4, else 0.5."""

    def invoke(self, body, content_type):
        return b"".join(b"1e999\n" if json.loads(line)["x"] == 4 else b"0.5\n" for line in body.splitlines())


class Office:
    """A desk with everything around it in memory, and messages as SQS would number them."""

    def __init__(self, **settings):
        self.clock, self.endpoint = FakeClock(), FakeEndpoint()
        self.overlay, self.backlog = FakeOverlay(), FakeBacklog()
        self.numbers = itertools.count(1)
        values = {"min_interval_seconds": 60, "max_per_minute": 600, **settings}
        self.desk = Desk(
            model_version="v8",
            card=card(Feature("x", minimum=0), retention_seconds=86_400),
            family=FAMILIES["realtime"],
            endpoint=self.endpoint,
            overlay=self.overlay,
            backlog=self.backlog,
            clock=self.clock,
            monotonic=self.clock.monotonic,
            jitter=lambda: 1.0,
            **values,
        )

    def event(self, key="a", x=1.0, data_as_of=None, receives=1, event=None, body=None, **detail):
        number = next(self.numbers)
        detail = {"model": "m", "key": key, "features": {"x": x}, **detail}
        if data_as_of is not None:
            detail["data_as_of"] = data_as_of
        envelope = {"id": event or f"e{number}", "time": format_moment(self.clock())[:19] + "Z", "detail": detail}
        arrived = milliseconds(self.clock()) + number
        return Message(f"m{number}", f"h{number}", body or json.dumps(envelope), arrived, receives)

    def refresh(self, *messages):
        return refresh(self.desk, messages)

    def predictions(self):
        return {key: entry.prediction for key, entry in self.overlay.entries.items()}

    def rows(self):
        return sum(len(body.splitlines()) for body in self.endpoint.bodies)


def counts(done):
    names = (
        metrics.REFRESHED,
        metrics.REFRESH_SKIPPED,
        metrics.REFRESH_POSTPONED,
        metrics.REFRESH_REJECTED,
    )
    return tuple(done.counts[name] for name in names)


@pytest.fixture
def office():
    return Office()


class TestWhichEventCounts:
    def test_a_batch_is_one_call_and_each_key_gets_its_own_answer(self, office):
        done = office.refresh(office.event("a", 1.0), office.event("b", 3.0), office.event(7, 5.0))
        assert (counts(done), done.kept, len(office.endpoint.bodies)) == ((3, 0, 0, 0), [], 1)
        assert office.predictions() == {"a": 0.5, "b": 1.5, "7": 2.5}
        entry = office.overlay.entries["a"]
        assert (entry.data_as_of, entry.scored_at, entry.model_version) == ("2026-11-23T06:10:00.000Z", NOW, "v8")
        assert entry.expires_at == office.clock().timestamp() + 86_400

    def test_of_events_for_one_key_in_a_batch_only_the_newest_is_scored(self, office):
        newest = office.event("a", 9.0, "2026-11-23T06:09:00.500Z")
        done = office.refresh(
            office.event("a", 1.0, "2026-11-23T06:09:00Z"), newest, office.event("a", 2.0, "2026-11-23")
        )
        assert (counts(done), office.rows(), office.predictions()) == ((1, 2, 0, 0), 1, {"a": 4.5})

    def test_an_event_of_the_same_second_that_arrives_later_is_the_newer_one(self):
        office = Office(min_interval_seconds=0)
        office.refresh(office.event("a", 1.0))
        done = office.refresh(office.event("a", 3.0))
        assert (counts(done), office.predictions()) == ((1, 0, 0, 0), {"a": 1.5})

    def test_duplicates_and_late_events_change_nothing_and_cost_no_call(self, office):
        first = office.event("a", 4.0, "2026-11-23T06:09:00Z")
        office.refresh(first)
        office.clock.advance(3600)
        delivered_again = office.event("a", 4.0, "2026-11-23T06:09:00Z", event="e1")
        late = office.event("a", 8.0, "2026-11-23T06:08:59.999Z")
        done = office.refresh(first, delivered_again, late)
        assert (counts(done), len(office.endpoint.bodies)) == ((0, 3, 0, 0), 1)
        assert office.predictions() == {"a": 2.0}

    def test_after_a_new_model_version_an_event_that_is_sent_again_is_scored_at_once(self, office):
        first = office.event("a", 4.0, "2026-11-23T06:09:00Z")
        office.refresh(first)
        office.desk = replace(office.desk, model_version="v9")
        late = office.event("a", 8.0, "2026-11-23T06:08:59Z")
        assert counts(office.refresh(late)) == (0, 1, 0, 0), "newer data stay, whichever version scored them"
        assert counts(office.refresh(first)) == (1, 0, 0, 0)
        assert office.overlay.entries["a"].model_version == "v9"
        assert counts(office.refresh(first)) == (0, 1, 0, 0)

    def test_what_somebody_newer_wrote_while_the_model_was_asked_stays(self, office):
        newer = Refreshed(0.9, "v8", "2026-11-23T06:09:30.000Z", NOW, 2**31, "other", 1)
        office.endpoint.before = lambda: office.overlay.entries.update(a=newer)
        done = office.refresh(office.event("a", 4.0, "2026-11-23T06:09:00Z"))
        assert (counts(done), office.predictions()) == ((0, 1, 0, 0), {"a": 0.9})

    def test_an_entry_that_has_expired_is_none(self, office):
        office.refresh(office.event("a", 4.0, "2026-11-23T06:09:00Z"))
        office.clock.advance(86_400)
        done = office.refresh(office.event("a", 6.0, "2026-11-23T06:08:00Z"))
        assert (counts(done), office.predictions()) == ((1, 0, 0, 0), {"a": 3.0})

    @given(st.permutations(range(12)), st.lists(st.integers(1, 5), min_size=3, max_size=6), st.data())
    def test_in_whatever_order_and_however_often_events_come_the_newest_data_win(self, order, sizes, data):
        """Whatever is kept comes again; in the end each key has the answer of its newest data."""
        office = Office(min_interval_seconds=60, max_per_minute=3)
        made = [office.event(f"k{n % 3}", float(n), f"2026-11-23T05:{n:02d}:00Z") for n in range(12)]
        queue = [made[place] for place in order] + data.draw(st.lists(st.sampled_from(made), max_size=6))
        for turn in range(200):
            size = sizes[turn % len(sizes)]
            batch, queue = queue[:size], queue[size:]
            kept = office.refresh(*batch).kept
            queue += [replace(message, receives=message.receives + 1) for message in batch if message.id in kept]
            office.clock.advance(20)
            if not queue:
                break
        assert not queue
        assert office.predictions() == {"k0": 4.5, "k1": 5.0, "k2": 5.5}


class TestStorms:
    def test_a_key_that_was_scored_a_moment_ago_waits_and_then_gets_its_newest_answer(self, office):
        office.refresh(office.event("a", 1.0))
        office.clock.advance(10)
        storm = [office.event("a", float(x)) for x in range(2, 50)]
        done = office.refresh(*storm)
        assert (counts(done), done.kept) == ((0, 47, 1, 0), [storm[-1].id])
        assert office.backlog.pauses == {storm[-1].handle: 51}
        office.clock.advance(51)
        assert counts(office.refresh(storm[-1])) == (1, 0, 0, 0)
        assert (office.predictions(), len(office.endpoint.bodies)) == ({"a": 24.5}, 2)

    def test_beyond_the_minutes_cap_events_wait_for_later_minutes_and_none_is_lost(self):
        office = Office(max_per_minute=3)
        office.clock.advance(20)
        events = [office.event(f"k{n}", float(n)) for n in range(5)]
        done = office.refresh(*events)
        assert (counts(done), office.rows()) == ((3, 0, 2, 0), 3)
        assert done.kept == ["m4", "m5"], "those that have waited longest go first"
        assert set(office.backlog.pauses.values()) == {101}, "to the next minute, and spread over the one after"
        assert counts(office.refresh(*events[3:])) == (0, 0, 2, 0)
        office.clock.advance(60)
        assert counts(office.refresh(*events[3:])) == (2, 0, 0, 0)

    def test_the_longer_a_backlog_waits_the_wider_it_is_spread(self):
        office = Office(max_per_minute=1)
        office.refresh(office.event("a"))
        office.refresh(office.event("b", receives=5), office.event("c", receives=500))
        assert list(office.backlog.pauses.values()) == [60 + 5 * 60 + 1, 60 + 15 * 60 + 1]

    @pytest.mark.parametrize("failure", [Throttled("busy"), EndpointUnavailable("gone"), ModelTimeout("slow")])
    def test_a_model_that_has_no_time_is_asked_again_ever_more_patiently(self, office, failure):
        pauses = []
        for receives in (1, 2, 3, 9):
            office.endpoint.failures = [failure]
            done = office.refresh(office.event("a", receives=receives), office.event("b", receives=receives))
            assert counts(done) == (0, 0, 2, 0)
            pauses.append(office.backlog.pauses.popitem()[1])
        assert pauses == [3, 5, 9, 513]
        assert len(office.endpoint.bodies) == 4, "once for each batch"

    def test_a_busy_endpoint_never_makes_an_event_poison(self, office):
        office.endpoint.failures = [Throttled("busy")]
        assert counts(office.refresh(office.event(receives=900))) == (0, 0, 1, 0)
        assert office.backlog.pauses.popitem()[1] <= 901

    def test_nothing_is_asked_when_the_function_is_about_to_end(self, office):
        def slow_and_refusing(body):
            office.clock.advance(20)
            raise ModelRefused("no")

        office.endpoint.answer = slow_and_refusing
        done = office.refresh(*(office.event(f"k{n}") for n in range(8)))
        assert len(office.endpoint.bodies) == 2
        assert counts(done) == (0, 0, 8, 0)


class TestPoison:
    @pytest.mark.parametrize(
        ("body", "code"),
        [
            ("{", "bad_body"),
            ("[1]", "bad_body"),
            ('{"id": "e", "time": "2026-11-23T06:00:00Z"}', "bad_body"),
            ('{"id": "e", "time": "2026-11-23T06:00:00Z", "detail": {"features": {"x": NaN}}}', "bad_body"),
            ("[" * 100_000, "bad_body"),
        ],
    )
    def test_what_is_no_event_is_rejected(self, office, body, code):
        message = office.event(body=body)
        done = office.refresh(message, office.event("good"))
        assert (counts(done), done.kept) == ((1, 0, 0, 1), [])
        assert office.backlog.letters == [(message.id, code)]

    @pytest.mark.parametrize(
        ("detail", "code"),
        [
            ({"key": None}, "bad_key"),
            ({"key": ""}, "bad_key"),
            ({"key": True}, "bad_key"),
            ({"key": "k" * 2000}, "bad_key"),
            ({"features": None}, "bad_body"),
            ({"features": {"x": -1}}, "bad_features"),
            ({"features": {"x": "text"}}, "bad_features"),
            ({"features": {}}, "bad_features"),
            ({"features": {"x": 1, "y": 1}}, "bad_features"),
            ({"data_asof": NOW}, "bad_body"),
            ({"data_as_of": "yesterday"}, "bad_body"),
            ({"data_as_of": 17}, "bad_body"),
            ({"data_as_of": "2026-11-23T06:16:00Z"}, "bad_body"),
            ({"data_as_of": "0001-01-01T00:00:00+10:00"}, "bad_body"),
        ],
    )
    def test_what_the_front_door_would_refuse_is_rejected_and_told_without_values(self, office, detail, code):
        done = office.refresh(office.event(**detail))
        assert (counts(done), office.endpoint.bodies) == ((0, 0, 0, 1), [])
        assert office.backlog.letters == [("m1", code)]
        assert (done.rejected[0]["code"], done.rejected[0]["message"]) == (code, "m1")
        assert "text" not in json.dumps(done.rejected)

    @pytest.mark.parametrize("key", ["abc", "007", "1_000", "1.0", 2**63])
    def test_a_key_that_is_no_whole_number_is_rejected_where_the_data_s_are(self, office, key):
        office.desk = replace(office.desk, card=replace(office.desk.card, key_type="integer"))
        assert counts(office.refresh(office.event(key), office.event("7"), office.event(-8))) == (2, 0, 0, 1)
        assert office.backlog.letters == [("m1", "bad_key")]
        assert set(office.predictions()) == {"7", "-8"}

    def test_a_prediction_that_the_table_cannot_hold_is_rejected_and_the_others_are_kept(self, office):
        office.overlay.largest = 3
        done = office.refresh(office.event("a", 1.0), office.event("b", 0.0625), office.event("c", 3.0))
        assert (counts(done), done.kept, set(office.predictions())) == ((2, 0, 0, 1), [], {"a", "c"})
        assert office.backlog.letters == [("m2", "payload_too_large")]

    def test_events_without_key_or_features_are_rejected(self, office):
        for member in ("key", "features"):
            body = json.loads(office.event().body)
            del body["detail"][member]
            office.refresh(office.event(body=json.dumps(body)))
        assert [code for _, code in office.backlog.letters] == ["bad_body", "features_needed"]

    def test_the_one_row_that_the_model_refuses_is_found_and_the_others_are_scored(self, office):
        def picky(body):
            if b"13\n" in body:
                raise ModelRefused("not this one")
            return halved(body)

        office.endpoint.answer = picky
        done = office.refresh(*(office.event(f"k{n}", float(n)) for n in range(100)))
        assert counts(done) == (99, 0, 0, 1)
        assert office.backlog.letters == [("m14", "model_refused")]
        assert "k13" not in office.predictions()
        assert len(office.endpoint.bodies) <= 15
        assert "k13" not in json.dumps(done.rejected)
        assert done.rejected[0]["event"] == "e14"

    def test_a_prediction_larger_than_any_double_is_its_own_events_fault(self, office):
        model = card(Feature("x"), wire_format="jsonlines", retention_seconds=86_400)
        office.desk = replace(office.desk, card=model, endpoint=BeyondDoubles())
        done = office.refresh(office.event("good", 2.0), office.event("bad", 4.0))
        assert (counts(done), office.predictions()) == ((1, 0, 1, 0), {"good": 0.5})

    def test_more_than_the_endpoint_takes_at_once_goes_in_parts(self, office):
        office.desk = replace(office.desk, family=replace(FAMILIES["realtime"], payload_bytes=10))
        done = office.refresh(*(office.event(f"k{n}", 1.0) for n in range(20)))
        assert counts(done) == (20, 0, 0, 0)
        assert max(map(len, office.endpoint.bodies)) <= 10

    def test_a_row_that_breaks_the_model_is_given_up_after_ten_receives_and_the_others_are_scored(self, office):
        def breaking(body):
            if b"13\n" in body:
                raise ModelFailed("crashed")
            return halved(body)

        office.endpoint.answer = breaking
        events = [office.event(f"k{n}", float(n)) for n in range(100)]
        assert counts(office.refresh(*events)) == (99, 0, 1, 0)
        assert counts(office.refresh(replace(events[13], receives=9))) == (0, 0, 1, 0)
        assert counts(office.refresh(replace(events[13], receives=10))) == (0, 0, 0, 1)
        assert office.backlog.letters == [("m14", "model_failed")]

    def test_a_model_that_is_down_is_left_alone_after_a_few_calls(self, office):
        office.endpoint.failures = [ModelFailed("down")] * 1000
        done = office.refresh(*(office.event(f"k{n}") for n in range(100)))
        assert counts(done) == (0, 0, 100, 0)
        assert len(office.endpoint.bodies) == refreshing.MOST_FAILURES

    def test_an_event_that_waited_for_days_is_said_to_be_too_old_rather_than_forgotten(self, office):
        event = office.event(data_as_of=NOW)
        office.clock.advance(timedelta(days=3).total_seconds() - 1)
        assert counts(office.refresh(event)) == (1, 0, 0, 0)
        office.clock.advance(2)
        office.refresh(event)
        assert office.backlog.letters == [("m1", "request_expired")]


class TestStoresThatDoNotAnswer:
    def test_without_the_overlay_the_batch_waits(self, office):
        office.overlay.failures = [StoreUnavailable("no")]
        done = office.refresh(office.event("a"), office.event("b"))
        assert (counts(done), office.endpoint.bodies) == ((0, 0, 2, 0), [])
        assert "store_unavailable" in done.causes[0]

    def test_a_letter_that_cannot_be_left_keeps_its_event_in_the_queue(self, office):
        office.backlog.failing = True
        done = office.refresh(office.event(key=""))
        assert (counts(done), done.kept) == ((0, 0, 1, 0), ["m1"])

    def test_an_event_that_cannot_be_postponed_is_kept_all_the_same(self, office):
        office.endpoint.failures, office.backlog.failing = [Throttled("busy")], True
        done = office.refresh(office.event())
        assert done.kept == ["m1"]
        assert "by itself" in done.causes[-1]


def overlaid(mode="hybrid", **settings):
    return World(mode, **{**MODES.get(mode, {}), "overlaid": True, **settings})


def entry(prediction=0.75, data_as_of="2026-11-23T06:09:31.000Z", **changes):
    values = {
        "prediction": prediction,
        "model_version": "v8",
        "data_as_of": data_as_of,
        "scored_at": "2026-11-23T06:09:35Z",
        "expires_at": EXPIRES,
        "event": "e",
        "arrived": 1,
    }
    return Refreshed(**{**values, **changes})


class TestLookups:
    """The visible generation is of v7, its data of 06:09:30; now is 06:10; v8 is deployed."""

    def test_a_key_that_was_scored_by_event_answers_with_that_and_the_others_as_before(self):
        world = overlaid()
        world.scores.overlay["00001"] = entry()
        one = world.lookup("00001").body
        assert (one["prediction"], one["source"], one["model_version"], one["generation"]) == (
            0.75,
            "refreshed",
            "v8",
            None,
        )
        assert (one["data_as_of"], one["age_seconds"], one["stale"]) == ("2026-11-23T06:09:31.000Z", 29, False)
        both = world.post({"instances": [{"key": "00002"}, {"key": "00001"}]})
        assert [body["source"] for body in both.body["predictions"]] == ["precomputed", "refreshed"]
        assert (both.counts[metrics.HITS], both.counts[metrics.MISSES]) == (2, 0)

    def test_a_key_of_no_generation_is_a_hit_and_the_model_is_not_asked(self):
        world = overlaid()
        world.scores.overlay["new"] = entry()
        answered = world.post({"key": "new", "features": {"x": 3}})
        assert (answered.body["source"], world.endpoint.bodies) == ("refreshed", [])
        assert answered.counts[metrics.HITS] == 1

    @pytest.mark.parametrize("expired", [False, True])
    def test_it_answers_also_where_no_generation_does(self, expired):
        world = overlaid()
        if expired:
            world.records.put_generation(manifest(expires_at=1))
        else:
            world.records.current = Pointer()
        world.scores.overlay["7"] = entry()
        world.card = replace(world.card, key_type="integer")
        answered = world.lookup("7")
        assert (answered.status, answered.body["key"], answered.body["source"]) == (200, 7, "refreshed")
        assert world.lookup("8").body["error"]["code"] == "unknown_key"
        assert world.post({"key": "8", "features": {"x": 3}}).body["source"] == "live"

    @pytest.mark.parametrize("visible", [True, False])
    def test_an_entry_under_a_key_that_the_data_cannot_have_answers_with_it_as_it_is(self, visible):
        world = overlaid()
        world.card = replace(world.card, key_type="integer")
        world.records.put_generation(replace(manifest(), key_type="integer"))
        if not visible:
            world.records.current = Pointer()
        world.scores.overlay["abc"] = entry()
        answered = world.lookup("abc")
        assert (answered.status, answered.body["key"], answered.body["source"]) == (200, "abc", "refreshed")

    @pytest.mark.parametrize(
        "older",
        [
            {"data_as_of": "2026-11-23T06:09:30.000Z"},
            {"data_as_of": "2026-11-23T06:09:29.999Z"},
            {"expires_at": 1},
            {"model_version": "v6"},
            {"model_version": "v8", "scored_at": "2026-11-23T06:09:30Z"},
        ],
        ids=["as old as the generation", "older", "expired", "of a version long gone", "scored before the generation"],
    )
    def test_what_a_generation_has_superseded_does_not_count(self, older):
        world = overlaid()
        world.scores.overlay["00001"] = entry(**older)
        assert world.lookup("00001").body["source"] == "precomputed"

    def test_of_the_generations_own_version_only_the_data_decide(self):
        world = overlaid()
        world.scores.overlay["00001"] = entry(model_version="v7", scored_at="2026-11-23T06:09:00Z")
        assert world.lookup("00001").body["source"] == "refreshed"

    def test_a_newer_generation_supersedes_it_and_an_event_after_its_data_survives_it(self):
        world = overlaid()
        world.scores.overlay = {"00001": entry(), "00002": entry(data_as_of="2026-11-23T06:12:00.000Z")}
        newer = replace(manifest(NEXT, scored_at="2026-11-23T06:15:00Z"), model_version="v8")
        world.records.put_generation(replace(newer, data_as_of="2026-11-23T06:11:00Z"))
        world.scores.put_one_by_one(NEXT, {"00001": 0.1, "00002": 0.2}, expires_at=EXPIRES)
        world.records.current = Pointer(results=NEXT, scores=NEXT, previous_scores=RUN, revision=2)
        world.clock.now = parse_moment("2026-11-23T06:16:00Z")
        found = world.post({"instances": [{"key": "00001"}, {"key": "00002"}]}).body["predictions"]
        assert [(body["source"], body["prediction"]) for body in found] == [("precomputed", 0.1), ("refreshed", 0.75)]

    def test_a_fresh_entry_answers_where_the_generation_is_too_old_and_a_stale_one_does_not(self):
        world = overlaid(on_stale="refuse")
        world.scores.overlay["00001"] = entry(data_as_of="2026-11-23T07:09:31.000Z")
        world.clock.now = parse_moment("2026-11-23T07:30:00Z")
        assert world.lookup("00001").status == 200
        assert world.lookup("00002").body["error"]["code"] == "stale_scores"
        world.clock.advance(3600)
        assert world.lookup("00001").body["error"]["code"] == "stale_scores"

    def test_models_without_events_do_not_read_the_overlay(self):
        world = World("hybrid", **MODES["hybrid"])
        world.scores.overlay["00001"] = entry()
        assert world.lookup("00001").body["source"] == "precomputed"
