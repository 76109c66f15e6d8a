"""Ages count from the data's own time, and each declared behaviour of a score that is older than it may be."""

import pytest

from handlers.contract import metrics
from handlers.contract.errors import ModelFailed, Throttled
from handlers.contract.records import Generation
from handlers.logic.lookup import RETRY_STALE_SECONDS
from tests.unit.handlers.fakes import event
from tests.unit.handlers.world import MODES, World, manifest

#: World's clock stands at 06:10:00 and its max_staleness is an hour.
AN_HOUR_AGO, TOO_OLD = "2026-11-23T05:10:00Z", "2026-11-23T05:09:59Z"


def world_of(mode="precompute", data_as_of=TOO_OLD, **settings):
    world = World(mode, **{**MODES[mode], **settings})
    world.records.put_generation(manifest(data_as_of=data_as_of))
    return world


def of(key, x=3):
    return {"key": key, "features": {"x": x}}


class TestAge:
    def test_it_counts_from_the_data_however_lately_they_were_scored(self):
        body = world_of().lookup("00001").body
        assert (body["scored_at"], body["data_as_of"]) == ("2026-11-23T06:09:30Z", TOO_OLD)
        assert (body["age_seconds"], body["stale"]) == (3_601, True)
        assert world_of(data_as_of=AN_HOUR_AGO).lookup("00001").body["stale"] is False

    def test_a_generation_without_a_time_of_its_data_counts_from_its_scoring(self):
        body = world_of(data_as_of=None).lookup("00001").body
        assert (body["data_as_of"], body["age_seconds"]) == ("2026-11-23T06:09:30Z", 30)

    def test_the_time_of_the_data_survives_the_table(self):
        generation = manifest(data_as_of=TOO_OLD)
        assert Generation.from_item(generation.to_item()) == generation

    def test_a_description_says_it_too(self):
        freshness = world_of(on_stale="refuse").ask(event("http_describe")).body["freshness"]
        assert (freshness["data_as_of"], freshness["age_seconds"], freshness["stale"]) == (TOO_OLD, 3_601, True)
        assert freshness["on_stale"] == "refuse"

    def test_batch_says_where_the_results_are_and_of_when_their_data(self):
        assert world_of("batch").lookup("00001").body["error"]["data_as_of"] == TOO_OLD

    def test_a_live_answer_is_of_the_moment_it_was_made_and_so_is_its_memory(self):
        world = world_of("hybrid")
        live = world.post(of("new")).body
        world.clock.advance(30)
        remembered = world.post(of("new")).body
        assert (live["source"], live["data_as_of"], live["age_seconds"]) == ("live", live["scored_at"], 0)
        assert (remembered["source"], remembered["data_as_of"]) == ("remembered", live["scored_at"])
        assert remembered["age_seconds"] == 30


class TestServe:
    @pytest.mark.parametrize("mode", ["precompute", "hybrid"])
    def test_an_old_score_is_served_and_says_that_it_is_stale(self, mode):
        world = world_of(mode)
        answered = world.post(of("00001"))
        assert (answered.status, answered.body["source"], answered.body["stale"]) == (200, "precomputed", True)
        assert answered.counts[metrics.STALE_ANSWERS] == 1
        assert world.endpoint.bodies == []


class TestRefuse:
    @pytest.mark.parametrize("mode", ["precompute", "hybrid"])
    def test_an_old_score_is_503_with_its_age_the_limit_and_when_to_come_again(self, mode):
        world = world_of(mode, on_stale="refuse")
        answered = world.post(of("00001"))
        error = answered.body["error"]
        assert (answered.status, error["code"], error["key"]) == (503, "stale_scores", "00001")
        assert (error["data_as_of"], error["age_seconds"], error["max_staleness_seconds"]) == (TOO_OLD, 3_601, 3_600)
        assert answered.headers == {"retry-after": str(RETRY_STALE_SECONDS)}
        assert error["retry_after_seconds"] == RETRY_STALE_SECONDS
        assert world.endpoint.bodies == []

    def test_what_was_declared_is_no_error_of_the_front_door(self):
        counts = world_of(on_stale="refuse").lookup("00001").counts
        assert (counts[metrics.ERRORS], counts[metrics.STALE_REFUSED]) == (0, 1)

    def test_an_unknown_key_stays_unknown(self):
        assert world_of(on_stale="refuse").lookup("absent").status == 404

    def test_of_several_each_is_refused_for_itself(self):
        answered = world_of(on_stale="refuse").post({"instances": [{"key": "00001"}, {"key": "absent"}]})
        codes = [entry["error"]["code"] for entry in answered.body["predictions"]]
        assert (answered.status, codes) == (200, ["stale_scores", "unknown_key"])

    def test_a_score_within_the_limit_is_served(self):
        assert world_of(on_stale="refuse", data_as_of=AN_HOUR_AGO).lookup("00001").status == 200

    def test_hybrid_still_asks_about_keys_without_a_score(self):
        world = world_of("hybrid", on_stale="refuse")
        answered = world.post({"instances": [of("00001"), of("new")]})
        first, second = answered.body["predictions"]
        assert (first["error"]["code"], second["source"]) == ("stale_scores", "live")


class TestLive:
    @pytest.fixture
    def world(self):
        return world_of("hybrid", on_stale="live")

    def test_the_model_is_asked_instead_and_its_answer_is_remembered(self, world):
        first, second = world.post(of("00001")), world.post(of("00001", x=100))
        assert (first.body["source"], first.body["prediction"], first.body["stale"]) == ("live", 1.5, False)
        assert (second.body["source"], second.body["prediction"]) == ("remembered", 1.5)
        assert len(world.endpoint.bodies) == 1

    def test_a_stale_score_is_no_miss(self, world):
        counts = world.post(of("00001")).counts
        assert (counts[metrics.MISSES], counts[metrics.HITS], counts[metrics.LIVE_CALLS]) == (0, 0, 1)

    def test_without_features_the_old_score_is_served_and_says_so(self, world):
        answered = world.lookup("00001")
        assert (answered.status, answered.body["source"], answered.body["stale"]) == (200, "precomputed", True)
        assert answered.cause is None

    def test_without_features_what_is_remembered_of_a_newer_moment_is_served(self, world):
        world.post(of("00001"))
        assert world.lookup("00001").body["source"] == "remembered"

    def test_what_is_remembered_too_long_is_asked_again(self, world):
        object.__setattr__(world.door, "remember_seconds", 86_400)
        world.post(of("00001"))
        world.clock.advance(3_601)
        assert world.post(of("00001")).body["source"] == "live"

    def test_a_score_within_the_limit_is_served_and_the_model_not_asked(self):
        world = world_of("hybrid", on_stale="live", data_as_of=AN_HOUR_AGO)
        assert world.post(of("00001")).body["source"] == "precomputed"
        assert world.endpoint.bodies == []

    @pytest.mark.parametrize(
        ("failure", "refused"), [(ModelFailed("broken"), None), (Throttled("busy", retry_after_seconds=1), 1)]
    )
    def test_a_model_that_fails_leaves_the_old_score_and_the_log_tells(self, world, failure, refused):
        world.endpoint.failures = [failure]
        answered = world.post(of("00001"))
        assert (answered.status, answered.body["prediction"], answered.body["stale"]) == (200, 0.25, True)
        assert failure.code in answered.cause
        assert answered.counts.get(metrics.LIVE_REFUSED) == refused

    def test_features_that_do_not_fit_leave_the_old_score(self, world):
        answered = world.post(of("00001", x=-1))
        assert (answered.status, answered.body["stale"]) == (200, True)
        assert "bad_features" in answered.cause

    def test_several_are_asked_about_in_one_call(self, world):
        instances = [of("00001", 1), {"key": "00002"}, of("new", 2), {"key": "absent"}]
        entries = world.post({"instances": instances}).body["predictions"]
        assert [entry.get("source") or entry["error"]["code"] for entry in entries] == [
            "live",
            "precomputed",
            "live",
            "unknown_key",
        ]
        assert len(world.endpoint.bodies) == 1


class TestLiveByQueue:
    @pytest.fixture
    def world(self):
        return world_of("hybrid", on_stale="live", fallback="async")

    def test_an_old_score_with_features_is_accepted_and_answered_later(self, world):
        accepted = world.post(of("00001"))
        assert accepted.status == 202
        world.queue.work()
        assert world.poll(accepted).body["source"] == "async"

    def test_in_a_list_the_old_score_without_features_is_known_meanwhile(self, world):
        accepted = world.post({"instances": [of("new"), {"key": "00001"}]})
        assert accepted.status == 202
        world.queue.work()
        sources = [(entry["source"], entry["stale"]) for entry in world.poll(accepted).body["predictions"]]
        assert sources == [("async", False), ("precomputed", True)]

    def test_past_the_cap_the_old_score_is_served(self, world):
        object.__setattr__(world.door, "max_live_per_minute", 0)
        answered = world.post(of("00001"))
        assert (answered.status, answered.body["stale"]) == (200, True)
        assert "live_limit_reached" in answered.cause
