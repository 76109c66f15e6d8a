"""Mode hybrid: looked up, remembered or asked; one flight per key, a cap per minute."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from handlers.contract import metrics
from handlers.contract.errors import ModelFailed, ModelRefused, StoreUnavailable, Throttled
from handlers.contract.records import Flight, Pointer, Remembered
from handlers.logic.hybrid import LEASE_MILLISECONDS
from tests.unit.handlers.fakes import RealClock
from tests.unit.handlers.world import EXPIRES, MODES, NEXT, World, manifest


def hybrid(**settings):
    return World("hybrid", **{**MODES["hybrid"], **settings})


@pytest.fixture
def world():
    return hybrid()


def new(key="new", x=3):
    return {"key": key, "features": {"x": x}}


class TestWhereAnswersComeFrom:
    def test_a_score_is_served_and_the_model_not_asked_even_with_features(self, world):
        answered = world.post({"key": "00001", "features": {"x": 9}})
        assert (answered.body["source"], answered.body["prediction"]) == ("precomputed", 0.25)
        assert (answered.counts[metrics.HITS], world.endpoint.bodies) == (1, [])

    def test_a_miss_goes_to_the_model_and_is_remembered(self, world):
        first, second = world.post(new()), world.post(new(x=100))
        assert (first.body["source"], first.body["prediction"], first.body["generation"]) == ("live", 1.5, None)
        assert (second.body["source"], second.body["prediction"]) == ("remembered", 1.5)
        assert (second.body["model_version"], second.body["scored_at"]) == ("v8", "2026-11-23T06:10:00Z")
        assert len(world.endpoint.bodies) == 1
        assert world.flights.flights == {}
        counted = [metrics.MISSES, metrics.LIVE_CALLS, metrics.REMEMBERED, metrics.HITS]
        assert [first.counts[name] for name in counted] == [1, 1, 0, 0]
        assert [second.counts[name] for name in counted] == [1, 0, 1, 0]

    def test_what_is_remembered_also_answers_lookups(self, world):
        world.post(new())
        assert world.lookup("new").body["source"] == "remembered"

    def test_a_remembered_answer_expires(self, world):
        world.post(new())
        world.clock.advance(599)
        assert world.post(new()).body["age_seconds"] == 599
        world.clock.advance(1)
        assert world.post(new()).body["source"] == "live"

    def test_what_an_earlier_version_of_the_model_said_is_asked_again(self, world):
        world.post({"key": "k", "features": {"x": 3}})
        object.__setattr__(world.door, "model_version", "v9")
        answered = world.post({"key": "k", "features": {"x": 3}})
        assert (answered.body["source"], answered.body["model_version"]) == ("live", "v9")

    def test_a_newer_generation_wins_over_a_remembered_answer(self, world):
        world.post(new())
        world.records.put_generation(manifest(NEXT))
        world.scores.put_one_by_one(NEXT, {"new": 0.75}, expires_at=EXPIRES)
        world.records.current = Pointer(results=NEXT, scores=NEXT, revision=2)
        world.clock.advance(3)
        answered = world.post(new())
        assert (answered.body["source"], answered.body["prediction"]) == ("precomputed", 0.75)

    def test_a_miss_without_features_says_which_to_send(self, world):
        answered = world.lookup("new")
        error = answered.body["error"]
        assert (answered.status, error["code"], error["send_features"]) == (404, "unknown_key", ["x", "s"])
        assert error["send_body"]["key"] == "new"
        assert answered.counts[metrics.MISSES] == 1

    def test_before_the_first_generation_every_key_is_a_miss(self, world):
        world.records.current = Pointer()
        assert world.post(new("00001")).body["source"] == "live"
        assert world.lookup("absent").body["error"]["generation"] is None

    def test_features_without_a_key_go_live_and_are_not_remembered(self, world):
        assert [world.post({"features": {"x": 1}}).body["source"] for _ in range(2)] == ["live", "live"]
        assert (len(world.endpoint.bodies), world.flights.answers) == (2, {})

    def test_keys_of_integer_columns_are_one_key_however_they_are_asked(self):
        world = World("hybrid", key_type="integer", scores={"1": 0.5}, **MODES["hybrid"])
        answers = [world.post(new(key)).body for key in ("42", 42)]
        assert [(answer["key"], answer["source"]) for answer in answers] == [(42, "live"), (42, "remembered")]

    def test_several_instances_are_answered_from_everywhere_with_one_call(self, world):
        world.post(new("kept", 8))
        instances = [
            {"key": "00001"},
            new("kept"),
            new("a", 1),
            new("b", 2),
            {"key": "bare"},
            new("c", -1),
            new("a", 7),
        ]
        instances.append({"features": {"x": 5}})
        answered = world.post({"instances": instances})
        found = [entry.get("source") or entry["error"]["code"] for entry in answered.body["predictions"]]
        assert found == ["precomputed", "remembered", "live", "live", "unknown_key", "bad_features", "live", "live"]
        assert world.endpoint.bodies[1:] == [b"1,\n2,\n5,\n"]
        assert [entry.get("prediction") for entry in answered.body["predictions"]][6:] == [0.5, 2.5]
        assert answered.counts[metrics.LIVE_CALLS] == 1
        assert world.flights.flights == {}


class TestLimits:
    def test_the_cap_refuses_until_the_next_minute(self):
        world = hybrid(max_live_per_minute=2)
        world.clock.advance(20)
        assert [world.post(new(f"k{number}")).status for number in range(3)] == [200, 200, 429]
        answered = world.post(new("k9"))
        assert (answered.headers["retry-after"], answered.body["error"]["limit_per_minute"]) == ("40", 2)
        assert (answered.body["error"]["code"], answered.counts[metrics.LIVE_REFUSED]) == ("live_limit_reached", 1)
        assert world.post(new("k0")).body["source"] == "remembered"
        world.clock.advance(40)
        assert world.post(new("k9")).status == 200

    def test_past_the_cap_what_is_known_is_still_answered(self):
        world = hybrid(max_live_per_minute=0)
        answered = world.post({"instances": [{"key": "00001"}, new()]})
        hit, refused = answered.body["predictions"]
        assert (answered.status, hit["prediction"], refused["error"]["code"]) == (200, 0.25, "live_limit_reached")
        assert answered.counts[metrics.LIVE_REFUSED] == 1

    def test_the_cap_holds_exactly_however_many_ask_at_once(self):
        world = hybrid(max_live_per_minute=7)
        with ThreadPoolExecutor(32) as pool:
            statuses = [made.status for made in pool.map(lambda number: world.post(new(f"k{number}")), range(200))]
        assert (statuses.count(200), statuses.count(429), len(world.endpoint.bodies)) == (7, 193, 7)


class TestFlights:
    def test_a_thousand_misses_for_one_key_at_once_cause_one_call(self):
        world = hybrid(clock=RealClock())
        gate = threading.Barrier(1_000)

        def ask(number):
            gate.wait(30)
            return world.post(new()).body

        world.endpoint.before = lambda: threading.Event().wait(0.05)
        with ThreadPoolExecutor(1_000) as pool:
            bodies = list(pool.map(ask, range(1_000)))
        assert len(world.endpoint.bodies) == 1
        assert {body["prediction"] for body in bodies} == {1.5}
        assert sorted(body["source"] for body in bodies) == ["live"] + ["remembered"] * 999

    def test_an_answer_that_lands_between_looking_and_leading_is_taken(self, world):
        led = world.flights.lead

        def lead(key, flight, now):
            world.flights.remember(key, Remembered(0.5, "v8", "2026-11-23T06:10:00Z", EXPIRES))
            return led(key, flight, now)

        world.flights.lead = lead
        assert world.post(new()).body["prediction"] == 0.5
        assert (world.endpoint.bodies, world.flights.flights) == ([], {})

    def someone_leads(self, world, key="new", milliseconds=LEASE_MILLISECONDS):
        now = int(world.clock.now.timestamp() * 1000)
        return world.flights.lead(key, Flight("someone", now + milliseconds), now)

    def meanwhile(self, world, after, do):
        """Let something happen once the door has waited for a while."""
        moment = world.clock.now.timestamp() + after

        def sleep(seconds):
            world.clock.advance(seconds)
            if world.clock.now.timestamp() >= moment:
                do()

        live = world.live()
        object.__setattr__(live, "sleep", sleep)
        object.__setattr__(world.door, "live", lambda: live)

    def test_the_end_of_a_lease_lets_the_next_one_lead(self, world):
        self.someone_leads(world, milliseconds=1_000)
        answered = world.post(new())
        assert (answered.status, answered.body["source"], world.flights.flights) == (200, "live", {})
        assert world.clock.now >= datetime(2026, 11, 23, 6, 10, 1, tzinfo=UTC)

    def test_who_waits_gets_the_leaders_answer(self, world):
        self.someone_leads(world)
        kept = Remembered(0.5, "v8", "2026-11-23T06:10:00Z", EXPIRES)
        self.meanwhile(world, 1, lambda: world.flights.remember("new", kept))
        assert (world.post(new()).body["source"], world.endpoint.bodies) == ("remembered", [])

    def test_who_waits_gets_the_leaders_failure(self, world):
        flight = self.someone_leads(world)
        failure = '{"code": "throttled", "message": "busy", "retry_after_seconds": 1}'
        failed = Flight("someone", flight.lease_until, failure)
        self.meanwhile(world, 1, lambda: world.flights.extend("new", failed))
        answered = world.post(new())
        assert (answered.status, answered.body["error"]["code"], answered.headers["retry-after"]) == (
            429,
            "throttled",
            "1",
        )
        assert world.endpoint.bodies == []

    def test_a_failed_leader_releases_the_flight_for_whoever_comes_next(self, world):
        world.endpoint.failures = [ModelFailed("broken")]
        assert world.post(new()).status == 502
        assert world.post(new()).body["source"] == "live"

    def test_a_refusal_is_the_leaders_own_others_ask_with_their_features(self, world):
        self.someone_leads(world)
        self.meanwhile(world, 1, lambda: world.flights.land("new", "someone"))
        assert world.post(new()).body["source"] == "live"
        world.endpoint.failures = [ModelRefused("odd")]
        assert world.post(new("other")).status == 422
        assert world.flights.flights == {}

    def test_who_has_waited_as_long_as_an_api_lets_is_told_to_come_again(self, world):
        self.someone_leads(world)
        answered = world.post(new())
        assert (answered.status, answered.body["error"]["code"], answered.headers["retry-after"]) == (
            504,
            "model_timeout",
            "1",
        )
        assert world.clock.now < datetime(2026, 11, 23, 6, 10, 28, tzinfo=UTC)

    def test_who_has_waited_long_starts_no_call_that_could_outlast_the_api(self, world):
        self.someone_leads(world)
        self.meanwhile(world, 10, lambda: world.flights.land("new", "someone"))
        assert (world.post(new()).status, world.endpoint.bodies) == (504, [])

    def test_waiting_for_one_key_does_not_keep_the_others_of_a_request(self, world):
        self.someone_leads(world)
        answered = world.post({"instances": [new(), new("free", 2)]})
        waited, free = answered.body["predictions"]
        assert (answered.status, waited["error"]["code"], free["prediction"]) == (200, "model_timeout", 1.0)

    def test_two_requests_that_want_each_others_keys_do_not_block(self):
        world = hybrid(clock=RealClock())
        first = {"instances": [new("a", 1), new("b", 2)]}
        second = {"instances": [new("b", 2), new("a", 1)]}
        world.endpoint.before = lambda: threading.Event().wait(0.05)
        with ThreadPoolExecutor(2) as pool:
            bodies = [made.body["predictions"] for made in pool.map(world.post, [first, second])]
        assert [entry["prediction"] for entry in bodies[0]] == [0.5, 1.0]
        assert [entry["prediction"] for entry in bodies[1]] == [1.0, 0.5]
        assert sum(len(body.splitlines()) for body in world.endpoint.bodies) == 2

    def test_an_unforeseen_failure_leaves_no_flight_behind(self, world):
        def broken():
            raise ZeroDivisionError

        world.endpoint.before = broken
        with pytest.raises(ZeroDivisionError):
            world.post(new())
        assert world.flights.flights == {}

    def test_an_answer_goes_out_even_if_it_cannot_be_remembered(self, world):
        def full(key, answer):
            raise StoreUnavailable("no") from ConnectionError("10.0.0.7")

        world.flights.remember = full
        answered = world.post(new())
        assert (answered.status, answered.body["prediction"]) == (200, 1.5)
        assert "10.0.0.7" in answered.cause

    def test_waiters_get_an_answer_also_where_nothing_is_to_be_remembered(self):
        world = hybrid(remember_seconds=0, clock=RealClock())
        world.endpoint.before = lambda: threading.Event().wait(0.05)
        with ThreadPoolExecutor(20) as pool:
            bodies = [made.body for made in pool.map(lambda _: world.post(new()), range(20))]
        assert (len(world.endpoint.bodies), {body["prediction"] for body in bodies}) == (1, {1.5})

    def test_a_throttled_leader_is_the_failure_of_all_who_wait_after_one_call(self):
        world = hybrid(clock=RealClock())
        world.endpoint.failures = [Throttled("busy", retry_after_seconds=1)]
        gate = threading.Barrier(10)

        def ask(_):
            gate.wait(10)
            return world.post(new()).status

        world.endpoint.before = lambda: threading.Event().wait(0.5)
        with ThreadPoolExecutor(10) as pool:
            statuses = list(pool.map(ask, range(10)))
        assert (statuses.count(429), len(world.endpoint.bodies)) == (10, 1)
