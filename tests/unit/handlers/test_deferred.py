"""Mode async, and hybrid that falls back to it: accepted with a place to look, answered there in every mode."""

import json
from dataclasses import replace

import pytest

from handlers.contract import metrics
from handlers.contract.errors import EndpointUnavailable, Throttled
from handlers.contract.layout import REQUEST_ID
from handlers.contract.modes import AVAILABLE
from handlers.contract.records import Flight, Request
from handlers.logic.deferred import KEEP, READ_BYTES, URL_SECONDS
from handlers.logic.families import INLINE_BYTES
from tests.unit.handlers.fakes import event
from tests.unit.handlers.world import MODES, World


@pytest.fixture
def world():
    return World("async")


def ask(key="k", x=3):
    return {"key": key, "features": {"x": x}}


def switch(world, mode):
    """Deploy another mode over what the table and the bucket hold."""
    changed = World(mode, **MODES[mode])
    for name in ("requests", "files", "flights", "queue", "clock", "records", "scores"):
        setattr(changed, name, getattr(world, name))
    object.__setattr__(changed.door, "clock", world.clock)
    return changed


class TestAccepting:
    def test_a_request_is_accepted_with_the_place_where_its_answer_will_be(self, world):
        answered = world.post(ask())
        request_id = answered.body["request"]
        assert (answered.status, answered.body["status"], answered.headers["retry-after"]) == (202, "pending", "1")
        assert REQUEST_ID.fullmatch(request_id)
        assert answered.headers["location"] == answered.body["location"]
        assert answered.body["location"] == f"/models/churn/predictions?request={request_id}"
        assert answered.counts == {
            metrics.ACCEPTED: 1,
            metrics.ERRORS: 0,
            metrics.PREDICTION_REQUESTS: 1,
            metrics.KEYLESS: 0,
            metrics.HITS: 0,
            metrics.MISSES: 0,
            metrics.STALE_ANSWERS: 0,
        }
        assert world.queue.queued == [{"id": request_id, "payload": b"3,\n", "expiry": 3_600, "invocation": 900}]

    def test_behind_a_named_stage_the_place_has_its_name(self, world):
        request = event("http_predict_key", body=json.dumps(ask()))
        request["requestContext"] = {**request["requestContext"], "stage": "prod"}
        assert world.ask(request).headers["location"].startswith("/prod/models/churn/predictions?request=")

    def test_the_record_is_written_before_the_model_is_asked(self, world):
        seen = []
        world.queue.before = lambda: seen.append(list(world.requests.stored))
        request_id = world.post(ask()).body["request"]
        assert seen == [[request_id]]

    def test_the_record_names_the_places_that_sagemaker_named(self, world):
        request_id = world.post(ask()).body["request"]
        record = world.requests.get(request_id)
        assert record.output_uri == f"s3://data/async/churn/output/{request_id}.out"
        assert record.failure_uri == f"s3://data/async/churn/failed/{request_id}-error.out"
        assert (record.created_at, record.waits_until) == ("2026-11-23T06:10:00Z", "2026-11-23T07:25:00Z")
        assert (record.keys, record.several, record.mode, record.model_version) == (["k"], False, "async", "v8")

    @pytest.mark.parametrize("failure", [Throttled("busy", retry_after_seconds=1), EndpointUnavailable("gone")])
    def test_what_could_not_be_queued_is_not_promised(self, world, failure):
        world.queue.failures = [failure]
        assert world.post(ask()).status == failure.http_status
        assert world.requests.stored == {}

    def test_a_large_body_goes_through_s3(self, world):
        many = {"instances": [{"features": {"x": 1, "s": "y" * 2_000}}] * 100}
        request_id = world.post(many).body["request"]
        uri = f"s3://data/async/churn/input/{request_id}"
        assert world.queue.queued[0]["payload"] == uri
        assert len(world.files.get(uri)) > INLINE_BYTES
        world.queue.work()
        assert f"s3://data/async/churn/output/{request_id}.out" in world.files.bodies

    def test_the_largest_inline_body_goes_inline(self, world):
        length = INLINE_BYTES - len('1,""\n')
        world.post({"features": {"x": 1, "s": "y" * length}})
        world.post({"features": {"x": 1, "s": "y" * (length + 1)}})
        inline, stored = (entry["payload"] for entry in world.queue.queued)
        assert (len(inline), stored.startswith("s3://")) == (INLINE_BYTES, True)

    def test_bad_features_are_refused_at_once(self, world):
        assert world.post({"features": {"x": -1}}).status == 422
        assert world.lookup("k").body["error"]["code"] == "features_needed"
        answered = world.post({"instances": [{"features": {"x": -1}}, {"key": "a"}]})
        codes = [entry["error"]["code"] for entry in answered.body["predictions"]]
        assert (answered.status, codes) == (200, ["bad_features", "features_needed"])
        assert world.queue.queued == []


class TestPolling:
    def test_an_answer_is_pending_then_there_and_there_again(self, world):
        accepted = world.post(ask())
        world.clock.advance(100)
        pending = world.poll(accepted)
        assert (pending.status, pending.body, pending.headers["retry-after"]) == (
            202,
            {**accepted.body, "retry_after_seconds": 10},
            "10",
        )
        assert metrics.ACCEPTED not in pending.counts
        world.queue.work()
        world.clock.advance(7)
        first, second = world.poll(accepted), world.poll(accepted)
        assert (first.status, first.body) == (
            200,
            {
                "model": "churn",
                "mode": "async",
                "key": "k",
                "prediction": 1.5,
                "source": "async",
                "model_version": "v8",
                "generation": None,
                "scored_at": "2026-11-23T06:11:40Z",
                "data_as_of": "2026-11-23T06:11:40Z",
                "age_seconds": 7,
                "stale": False,
            },
        )
        assert second.body == first.body

    def test_a_second_delivery_changes_nothing(self, world):
        accepted = world.post(ask())
        world.queue.work()
        first = world.poll(accepted).body
        world.queue.work()
        assert world.poll(accepted).body == first

    def test_several_instances_come_back_as_a_list_each_in_its_place(self, world):
        accepted = world.post({"instances": [ask("a", 1), {"features": {"x": -1}}, {"key": "bare"}, ask("d", 4)]})
        assert (accepted.status, world.queue.queued[0]["payload"]) == (202, b"1,\n4,\n")
        world.queue.work()
        answers = world.poll(accepted).body["predictions"]
        assert [entry.get("prediction") or entry["error"]["code"] for entry in answers] == [
            0.5,
            "bad_features",
            "features_needed",
            2.0,
        ]
        assert [entry.get("key") for entry in answers] == ["a", None, None, "d"]

    def test_a_list_of_one_comes_back_as_a_list(self, world):
        accepted = world.post({"instances": [ask()]})
        world.queue.work()
        assert len(world.poll(accepted).body["predictions"]) == 1

    @pytest.mark.parametrize("mode", sorted(AVAILABLE))
    @pytest.mark.parametrize("finish", ["before", "after"])
    def test_an_accepted_request_is_answered_in_whatever_mode_the_model_is_by_then(self, world, mode, finish):
        accepted = world.post(ask())
        if finish == "before":
            world.queue.work()
        changed = switch(world, mode)
        if finish == "after":
            assert changed.poll(accepted).status == 202
            world.queue.work()
        answered = changed.poll(accepted)
        assert (answered.status, answered.body["prediction"], answered.body["source"]) == (200, 1.5, "async")
        assert answered.body["mode"] == mode

    @pytest.mark.parametrize(
        ("text", "status", "code"),
        [
            ('Received client error (400) from primary with message "odd row"', 422, "model_refused"),
            ('Received server error (500) from primary with message "boom"', 502, "model_failed"),
        ],
    )
    def test_a_failure_says_what_the_container_said(self, world, text, status, code):
        accepted = world.post(ask())
        world.queue.fail(text)
        answered = world.poll(accepted)
        assert (answered.status, answered.body["error"]["code"]) == (status, code)
        assert text.split('"')[1] in answered.body["error"]["message"]

    def test_a_request_that_nobody_answered_in_time_has_expired(self, world):
        accepted = world.post(ask())
        world.clock.advance(3_600 + 900 - 1)
        assert world.poll(accepted).status == 202
        world.clock.advance(1)
        answered = world.poll(accepted)
        assert (answered.status, answered.body["error"]["code"]) == (410, "request_expired")
        world.queue.work()
        assert world.poll(accepted).status == 200

    def test_a_request_is_forgotten_after_a_while(self, world):
        accepted = world.post(ask())
        world.queue.work()
        world.clock.advance(3_600 + 900 + KEEP.total_seconds())
        assert world.poll(accepted).body["error"]["code"] == "unknown_request"

    @pytest.mark.parametrize("parameters", [None, {}, {"request": ""}, {"request": "00001"}, {"request": "../x"}])
    def test_an_id_that_is_none_is_404(self, world, parameters):
        answered = world.ask(event("http_poll", queryStringParameters=parameters))
        assert (answered.status, answered.body["error"]["code"]) == (404, "unknown_request")

    def test_a_key_that_looks_like_a_request_is_a_key(self):
        world = World("hybrid", **{**MODES["hybrid"], "fallback": "async"})
        accepted = world.post(ask())
        assert world.lookup(accepted.body["request"]).body["error"]["code"] == "unknown_key"

    @pytest.mark.parametrize(
        ("asked", "now", "output", "prediction"),
        [("jsonlines", "csv", b'"1"\n', "1"), ("csv", "jsonlines", b"yes\n", "yes")],
    )
    def test_an_answer_is_read_as_the_model_was_asked_whatever_its_format_is_by_then(
        self, world, asked, now, output, prediction
    ):
        world.card = replace(world.card, wire_format=asked)
        accepted = world.post(ask())
        world.queue.work(lambda body: output)
        world.card = replace(world.card, wire_format=now)
        answered = world.poll(accepted)
        assert (answered.status, answered.body["prediction"]) == (200, prediction)

    def test_a_record_of_before_formats_were_kept_is_read_as_the_card_says(self, world):
        accepted = world.post(ask())
        item = world.requests.get(accepted.body["request"]).to_item()
        del item["wire_format"]
        world.requests.put(Request.from_item(item))
        world.queue.work()
        assert world.poll(accepted).body["prediction"] == 1.5

    def test_an_answer_that_cannot_be_used_is_the_models_failure(self, world):
        accepted = world.post(ask())
        world.queue.work(lambda body: b"1\n2\n")
        assert world.poll(accepted).body["error"]["code"] == "model_failed"


class TestUploads:
    def test_an_upload_is_handed_out_put_and_asked_about(self, world):
        handed = world.upload().body
        assert handed["url"] == f"https://put/data/async/churn/input/{handed['upload']}?for={URL_SECONDS}"
        assert (handed["content_type"], handed["columns"], handed["expires_at"]) == (
            "text/csv",
            ["x", "s"],
            "2026-11-23T07:10:00Z",
        )
        uri = f"s3://data/async/churn/input/{handed['upload']}"
        world.files.put(uri, b"2,\n4,\n")
        accepted = world.post({"upload": handed["upload"]})
        assert (accepted.status, world.queue.queued[0]["payload"]) == (202, uri)
        world.queue.work()
        answers = world.poll(accepted).body["predictions"]
        assert [(entry["prediction"], entry["key"]) for entry in answers] == [(1.0, None), (2.0, None)]

    def test_a_large_answer_is_handed_out_by_url(self, world):
        handed = world.upload().body
        world.files.put(f"s3://data/async/churn/input/{handed['upload']}", b"2\n")
        accepted = world.post({"upload": handed["upload"]})
        world.queue.work()
        output = f"s3://data/async/churn/output/{accepted.body['request']}.out"
        world.files.sizes[output] = READ_BYTES + 1
        answered = world.poll(accepted)
        assert answered.status == 200
        assert answered.body["output_uri"] == f"https://get/{output.removeprefix('s3://')}?for={URL_SECONDS}"
        assert (answered.body["request"], answered.body["source"]) == (accepted.body["request"], "async")

    def test_many_small_predictions_are_handed_out_too_since_each_says_where_it_is_from(self, world):
        handed = world.upload().body
        world.files.put(f"s3://data/async/churn/input/{handed['upload']}", b"2\n" * 20_000)
        accepted = world.post({"upload": handed["upload"]})
        world.queue.work()
        assert "output_uri" in world.poll(accepted).body

    def test_nothing_uploaded_an_empty_upload_and_too_large_a_one_are_refused(self, world):
        upload_id = world.upload().body["upload"]
        uri = f"s3://data/async/churn/input/{upload_id}"
        codes = [world.post({"upload": name}).body["error"]["code"] for name in (upload_id, "../../x")]
        world.files.put(uri, b"")
        codes.append(world.post({"upload": upload_id}).body["error"]["code"])
        world.files.put(uri, b"1")
        world.files.sizes[uri] = 2**30 + 1
        codes.append(world.post({"upload": upload_id}).body["error"]["code"])
        assert codes == ["unknown_request", "unknown_request", "bad_body", "payload_too_large"]
        assert world.queue.queued == []

    @pytest.mark.parametrize(
        ("body", "status"),
        [
            ({}, 200),
            ({"content_type": "text/csv; charset=utf-8"}, 200),
            ({"content_type": "application/json"}, 400),
            ({"content_type": 1}, 400),
            ({"type": "text/csv"}, 400),
            ([], 400),
        ],
    )
    def test_an_upload_is_of_the_type_that_the_model_reads(self, world, body, status):
        assert world.upload(body).status == status


class TestHybrid:
    @pytest.fixture
    def world(self):
        return World("hybrid", **{**MODES["hybrid"], "fallback": "async"})

    def test_a_score_is_answered_at_once_and_a_miss_later(self, world):
        assert world.post(ask("00001")).status == 200
        accepted = world.post(ask())
        assert (accepted.status, accepted.counts[metrics.MISSES], accepted.counts[metrics.ACCEPTED]) == (202, 1, 1)
        world.queue.work()
        assert world.poll(accepted).body["source"] == "async"

    def test_an_answer_that_was_fetched_is_remembered(self, world):
        accepted = world.post(ask())
        world.queue.work()
        world.poll(accepted)
        answered = world.post(ask())
        assert (answered.status, answered.body["source"], answered.body["prediction"]) == (200, "remembered", 1.5)
        world.clock.advance(600)
        assert world.poll(accepted).status == 200
        assert world.post(ask()).status == 202

    def test_whoever_asks_for_the_same_key_gets_the_same_request(self, world):
        first = world.post(ask())
        world.clock.advance(3_000)
        assert world.post(ask()).body["request"] == first.body["request"]
        assert len(world.queue.queued) == 1

    @pytest.mark.parametrize("end", ["failed", "expired"])
    def test_after_a_failure_or_expiry_was_seen_the_key_is_asked_about_again(self, world, end):
        first = world.post(ask())
        if end == "failed":
            world.queue.fail("boom")
        else:
            world.clock.advance(4_499)
            object.__setattr__(world.flights.flights["k"], "lease_until", 2**60)
            world.clock.advance(1)
        assert world.poll(first).status in (410, 502)
        second = world.post(ask())
        assert (second.status, second.body["request"] != first.body["request"]) == (202, True)

    def test_what_could_not_be_queued_leaves_no_flight_behind(self, world):
        world.queue.failures = [Throttled("busy")]
        assert world.post(ask()).status == 429
        assert world.flights.flights == {}
        assert world.post(ask()).status == 202

    def test_several_instances_wait_together_with_what_is_known(self, world):
        accepted = world.post({"instances": [{"key": "00001"}, ask("a", 1), {"key": "bare"}, ask("b", 2)]})
        assert accepted.status == 202
        world.queue.work()
        answers = world.poll(accepted).body["predictions"]
        assert [entry.get("source") or entry["error"]["code"] for entry in answers] == [
            "precomputed",
            "async",
            "unknown_key",
            "async",
        ]

    def test_the_cap_holds_here_too(self):
        world = World("hybrid", fallback="async", remember_seconds=60, max_live_per_minute=1)
        bodies = [ask("a"), ask("b"), {"instances": [ask("c")]}]
        assert [world.post(body).status for body in bodies] == [202, 429, 429]

    def test_uploads_are_taken_and_count_for_the_cap(self):
        world = World("hybrid", fallback="async", remember_seconds=60, max_live_per_minute=1)
        statuses = []
        for _ in range(2):
            handed = world.upload().body
            world.files.put(f"s3://data/async/churn/input/{handed['upload']}", b"1,\n")
            statuses.append(world.post({"upload": handed["upload"]}).status)
        assert (statuses, len(world.queue.queued)) == ([202, 429], 1)

    def test_a_call_is_counted_when_the_model_will_be_asked_and_not_when_a_request_is_shared(self, world):
        assert [world.post(ask()).counts[metrics.LIVE_CALLS] for _ in range(2)] == [1, 0]

    def test_an_answer_that_nobody_fetched_is_not_handed_out_longer_than_it_would_be_remembered(self, world):
        first = world.post(ask())
        world.queue.work()
        world.clock.advance(599)
        assert world.post(ask()).body["request"] == first.body["request"]
        world.clock.advance(1)
        assert world.post(ask()).body["request"] != first.body["request"]

    def test_a_failure_that_nobody_fetched_is_not_handed_to_the_next_one(self, world):
        first = world.post(ask())
        world.queue.fail("boom")
        assert world.post(ask()).body["request"] != first.body["request"]

    def test_what_an_earlier_version_is_asked_is_nobody_elses_answer(self, world):
        first = world.post(ask())
        object.__setattr__(world.door, "model_version", "v9")
        second = world.post(ask())
        assert second.body["request"] != first.body["request"]
        world.queue.work()
        assert [world.poll(each).body["model_version"] for each in (first, second)] == ["v8", "v9"]
        assert world.flights.answers["k"].model_version == "v9"

    def test_nobody_is_sent_to_a_request_that_is_not_on_record(self, world):
        """The leader died between leading and recording, or its request was refused while others asked."""
        now = int(world.clock().timestamp() * 1000)
        world.flights.flights["k"] = Flight("20261123T061000Z-0123456789abcde", now + 30_000)
        accepted = world.post(ask())
        assert accepted.status == 202
        world.queue.work()
        assert world.poll(accepted).status == 200

    def test_a_leader_that_records_its_request_in_a_moment_is_shared(self, world):
        other = World("hybrid", **{**MODES["hybrid"], "fallback": "async"})
        first = other.post(ask())
        request = other.requests.get(first.body["request"])
        world.flights.flights["k"] = other.flights.flights["k"]
        sleep = world.clock.advance
        world.clock.advance = lambda seconds: (sleep(seconds), world.requests.put(request))
        assert world.post(ask()).body["request"] == request.id

    def test_a_key_that_is_listed_twice_is_asked_about_once(self, world):
        accepted = world.post({"instances": [ask("a", 1), ask("b", 2), ask("a", 5), {"features": {"x": 7}}]})
        assert world.queue.queued[0]["payload"] == b"1,\n2,\n7,\n"
        world.queue.work()
        answers = world.poll(accepted).body["predictions"]
        assert [(entry["key"], entry["prediction"]) for entry in answers] == [
            ("a", 0.5),
            ("b", 1),
            ("a", 0.5),
            (None, 3.5),
        ]

    def test_an_earlier_fallback_that_answers_at_once_is_waited_for_a_moment_only(self, world):
        now = int(world.clock().timestamp() * 1000)
        world.flights.flights["k"] = Flight("ab" * 16, now + 30_000)
        accepted = world.post(ask())
        assert accepted.status == 202
        world.queue.work()
        assert world.poll(accepted).body["prediction"] == 1.5

    def test_after_a_change_of_fallback_nobody_waits_for_what_was_accepted_before(self, world):
        """A request in the old queue may take hours; a model that answers at once is asked."""
        accepted = world.post(ask())
        changed = switch(world, "hybrid")
        assert changed.door.fallback == "serverless"
        answered = changed.post(ask())
        assert (answered.status, answered.body["source"], answered.body["prediction"]) == (200, "live", 1.5)
        world.queue.work()
        assert changed.poll(accepted).body["prediction"] == 1.5
