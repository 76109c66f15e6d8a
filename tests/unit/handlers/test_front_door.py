import base64
import json
import re
import shlex

import pytest

from handlers.contract import metrics
from handlers.contract.card import Feature
from handlers.contract.errors import BadKey, StoreUnavailable
from handlers.contract.modes import AVAILABLE, ServingMode
from handlers.contract.predictions import MAX_INSTANCES, MAX_KEY_BYTES
from handlers.contract.records import Pointer
from handlers.logic.lookup import POINTER_SECONDS
from handlers.logic.predictors import PREDICTORS
from handlers.logic.requests import path_key
from tests.unit.handlers.fakes import event
from tests.unit.handlers.world import EXPIRES, MODES, NEXT, RUN, World, manifest

PATHS = event("lookup_paths")


@pytest.fixture
def world():
    return World()


class TestHits:
    def test_a_lookup_says_where_its_prediction_comes_from_and_how_old_it_is(self, world):
        answered = world.ask(event("http_lookup"))
        assert (answered.status, answered.body) == (
            200,
            {
                "model": "churn",
                "mode": "precompute",
                "key": "00001",
                "prediction": 0.25,
                "source": "precomputed",
                "model_version": "v7",
                "generation": RUN,
                "scored_at": "2026-11-23T06:09:30Z",
                "data_as_of": "2026-11-23T06:09:30Z",
                "age_seconds": 30,
                "stale": False,
            },
        )

    def test_post_and_get_give_the_same_answer(self, world):
        assert world.ask(event("http_predict_key")).body == world.ask(event("http_lookup")).body

    def test_several_instances_are_answered_in_order_each_for_itself(self, world):
        answered = world.ask(event("http_predict_instances"))
        assert answered.status == 200
        first, absent, third = answered.body["predictions"]
        assert (first["key"], first["prediction"], third["prediction"]) == ("00001", 0.25, [1, "x"])
        error = absent["error"]
        assert (error["code"], error["key"], error["generation"]) == ("unknown_key", "absent", RUN)
        assert error["message"] == f"generation {RUN} has no score for key 'absent'"
        assert all(mode in error["hint"] for mode in ("hybrid", "realtime", "serverless", "async"))

    def test_a_list_of_one_is_answered_as_a_list(self, world):
        assert len(world.post({"instances": [{"key": "00001"}]}).body["predictions"]) == 1

    def test_the_same_key_twice_is_answered_twice(self, world):
        answered = world.post({"instances": [{"key": "00001"}] * 3})
        assert [entry["prediction"] for entry in answered.body["predictions"]] == [0.25] * 3

    def test_a_base64_body_is_read(self):
        world = World(scores={"ünï/çode": 1})
        assert world.ask(event("http_predict_base64")).body["prediction"] == 1

    def test_integer_columns_answer_with_integers_however_they_are_asked(self):
        world = World(key_type="integer", scores={"42": 0.5})
        for answered in (world.lookup("42"), world.post({"key": 42}), world.post({"key": "42"})):
            assert (answered.body["key"], answered.body["prediction"]) == (42, 0.5)
        assert world.lookup("042").status == 404

    def test_keys_are_compared_as_text(self, world):
        assert world.lookup("1").status == 404
        assert world.post({"key": 1}).status == 404
        assert World(scores={"1": 0.5}).post({"key": 1}).body["key"] == "1"

    def test_an_answer_becomes_stale_after_its_limit_and_not_at_it(self, world):
        world.clock.advance(3_570)
        at_limit = world.lookup("00001")
        world.clock.advance(1)
        after = world.lookup("00001")
        assert (at_limit.body["age_seconds"], at_limit.body["stale"]) == (3_600, False)
        assert (after.body["age_seconds"], after.body["stale"]) == (3_601, True)
        assert after.counts[metrics.STALE_ANSWERS] == 1

    def test_age_is_never_negative(self, world):
        world.clock.advance(-60)
        assert world.lookup("00001").body["age_seconds"] == 0

    def test_a_new_generation_is_seen_after_two_seconds_at_most_and_the_pointer_is_not_read_more_often(self, world):
        world.lookup("00001")
        world.records.put_generation(manifest(NEXT))
        world.scores.put_one_by_one(NEXT, {"00001": 0.75}, expires_at=EXPIRES)
        world.records.current = Pointer(results=NEXT, scores=NEXT, previous_scores=RUN, revision=2)
        world.clock.advance(POINTER_SECONDS - 0.001)
        assert world.lookup("00001").body["generation"] == RUN
        assert world.records.pointer_reads == 1
        world.clock.advance(0.001)
        assert world.lookup("00001").body["prediction"] == 0.75
        assert world.records.pointer_reads == 2


class TestMisses:
    def test_an_unknown_key_is_404_with_the_key_and_the_generation(self, world):
        answered = world.lookup("absent")
        assert (answered.status, answered.body["error"]["code"], answered.body["error"]["key"]) == (
            404,
            "unknown_key",
            "absent",
        )
        assert (answered.counts[metrics.MISSES], answered.counts[metrics.HITS]) == (1, 0)
        assert answered.counts[metrics.ERRORS] == 0

    def test_a_score_that_has_expired_is_not_served(self, world):
        world.scores.put_one_by_one(RUN, {"old": 1}, expires_at=int(world.clock.now.timestamp()))
        assert world.lookup("old").status == 404

    def test_nothing_is_served_before_the_first_run(self, world):
        world.records.current = Pointer()
        answered = world.lookup("00001")
        assert (answered.status, answered.body["error"]["code"]) == (409, "not_scored_yet")

    def test_a_generation_that_has_expired_is_not_served(self, world):
        world.records.put_generation(manifest(expires_at=int(world.clock.now.timestamp())))
        answered = world.lookup("00001")
        assert (answered.status, answered.body["error"]["code"]) == (409, "not_scored_yet")
        assert answered.body["error"]["generation"] == RUN

    def test_features_without_a_key_cannot_be_looked_up(self, world):
        answered = world.post({"features": {"x": 1}})
        assert (answered.status, answered.body["error"]["code"]) == (400, "bad_key")

    def test_a_store_that_does_not_answer_is_503_with_retry_after_and_its_cause_only_in_the_log(self, world):
        def broken(generation, key):
            raise StoreUnavailable("try again") from ConnectionError("10.0.0.7 refused")

        world.scores.get = broken
        answered = world.lookup("00001")
        assert (answered.status, answered.headers) == (503, {"retry-after": "1"})
        assert answered.body == {"error": {"code": "store_unavailable", "message": "try again", "mode": "precompute"}}
        assert answered.counts[metrics.ERRORS] == 1
        assert "10.0.0.7" in answered.cause


class TestBatch:
    @pytest.mark.parametrize("name", ["http_lookup", "http_predict_key", "http_predict_instances"])
    def test_predictions_are_not_servable_and_the_answer_says_where_they_are(self, name):
        answered = World(ServingMode.BATCH).ask(event(name))
        error = answered.body["error"]
        assert (answered.status, error["code"]) == (409, "not_servable_live")
        assert error["results_uri"] == f"s3://data/results/churn/date=2026-11-23/run={RUN}/"
        assert (error["generation"], error["scored_at"]) == (RUN, "2026-11-23T06:09:30Z")
        assert "precompute" in error["hint"]

    def test_before_the_first_run_it_names_the_place_where_results_will_be(self):
        world = World(ServingMode.BATCH)
        world.records.current = Pointer()
        error = world.lookup("00001").body["error"]
        assert (error["results_uri"], error["generation"]) == ("s3://data/results/churn/", None)

    def test_a_wrong_body_is_still_a_wrong_body(self):
        assert World(ServingMode.BATCH).post("{").status == 400


class TestBadRequests:
    @pytest.mark.parametrize(
        ("body", "says"),
        [
            ("", "the body is empty"),
            ("{", "the body is not JSON"),
            ('{"key": NaN}', "NaN is no JSON number"),
            ("[" * 100_000, "the body is nested too deeply"),
            ('{"key": ' + "1" * 5_000 + "}", "a number of too many digits"),
            ('{"features": {"x": -' + "1" * 5_000 + "}}", "a number of too many digits"),
            ("[]", "the body must be a JSON object, not list"),
            ("null", "not null"),
            ("{}", "the body is empty"),
            ('{"id": 1}', "the body has unknown members: 'id'; known are 'key' and 'features'"),
            ('{"key": "a", "Features": {}}', "unknown members: 'Features'"),
            ('{"key": "a", "instances": []}', "the body has 'instances' and also 'key'"),
            ('{"instances": {}}', "'instances' must be a list"),
            ('{"instances": []}', "at least one instance"),
            ('{"instances": ["a"]}', "instance 0 must be a JSON object, not string"),
            ('{"instances": [{"key": "a"}, {"x": 1}]}', "instance 1 has unknown members: 'x'"),
            ('{"key": "a", "features": [1]}', "'features' of the body must be a JSON object, not list"),
        ],
    )
    def test_a_bad_body_is_400_and_says_why(self, world, body, says):
        answered = world.post(body)
        assert (answered.status, answered.body["error"]["code"]) == (400, "bad_body")
        assert says in answered.body["error"]["message"]
        assert not re.search(r"sys\.|recursion|codec", answered.body["error"]["message"])

    @pytest.mark.parametrize("body", ["%%%", base64.b64encode(b"\xff").decode()])
    def test_a_body_that_is_not_base64_of_text_is_400(self, world, body):
        assert world.post(body, isBase64Encoded=True).body["error"]["code"] == "bad_body"

    def test_a_request_without_a_body_is_400(self, world):
        request = event("http_predict_key")
        del request["body"]
        assert world.ask(request).body["error"]["code"] == "bad_body"

    @pytest.mark.parametrize(
        ("key", "says"),
        [
            (True, "not boolean"),
            (None, "not null"),
            (1.5, "not number"),
            ([1], "not list"),
            ("", "the key is empty"),
            ("\ud800", "cannot be written as UTF-8"),
            ("ü" * 769, "the key has 1,538 bytes in UTF-8; at most 1,536 are allowed"),
            (10**2_000, "2,001 bytes"),
        ],
    )
    def test_a_bad_key_is_400_and_says_why(self, world, key, says):
        answered = world.post({"key": key})
        assert (answered.status, answered.body["error"]["code"]) == (400, "bad_key")
        assert says in answered.body["error"]["message"]

    def test_the_longest_key_is_allowed(self, world):
        assert world.post({"key": "k" * MAX_KEY_BYTES}).status == 404

    def test_too_many_instances_are_413(self, world):
        assert world.post({"instances": [{"key": "00001"}] * MAX_INSTANCES}).status == 200
        answered = world.post({"instances": [{"key": "00001"}] * (MAX_INSTANCES + 1)})
        assert (answered.status, answered.body["error"]["limit"]) == (413, MAX_INSTANCES)

    @pytest.mark.parametrize(
        "route", ["HEAD /models/churn/predictions/{key+}", "$default", "POST /models/churn2/predictions"]
    )
    def test_a_route_that_is_none_of_ours_is_404(self, world, route):
        answered = world.ask(event("http_lookup", routeKey=route))
        assert (answered.status, answered.body["error"]["code"]) == (404, "unknown_route")


class TestPaths:
    @pytest.mark.parametrize("path", PATHS, ids=[f"{path['sent']} by {path['by']}" for path in PATHS])
    def test_the_key_is_what_stands_in_the_data_whichever_gateway_decoded_the_path(self, path):
        assert path_key(event("http_lookup", pathParameters={"key": path["pathParameter"]})) == path["key"]

    @pytest.mark.parametrize("parameters", [None, {}, {"key": ""}])
    def test_a_lookup_without_a_key_is_refused(self, parameters):
        with pytest.raises(BadKey):
            path_key(event("http_lookup", pathParameters=parameters))


class TestDescribe:
    def test_a_model_describes_its_mode_version_freshness_schema_and_call(self, world):
        answered = world.ask(event("http_describe"))
        body = answered.body
        assert answered.status == 200
        assert (body["model"], body["mode"], body["model_version"], body["description"]) == (
            "churn",
            "precompute",
            "v8",
            "risk",
        )
        assert body["freshness"] == {
            "generation": RUN,
            "model_version": "v7",
            "scored_at": "2026-11-23T06:09:30Z",
            "data_as_of": "2026-11-23T06:09:30Z",
            "age_seconds": 30,
            "max_staleness_seconds": 3_600,
            "on_stale": "serve",
            "stale": False,
            "rows": 3,
            "results_uri": f"s3://data/results/churn/date=2026-11-23/run={RUN}/",
        }
        assert body["schema"] == {
            "key": {"column": "id", "type": "string"},
            "features": [
                {"name": "x", "type": "float", "nullable": False, "minimum": 0},
                {"name": "s", "type": "string", "nullable": True},
            ],
            "prediction": "prediction",
        }
        assert "--aws-sigv4" in body["curl"]
        assert body["curl"].endswith(
            "https://a1b2c3d4e5.execute-api.us-east-1.amazonaws.com/models/churn/predictions/KEY"
        )

    def test_behind_a_local_gateway_the_call_has_its_port(self, world):
        assert (
            world.ask(event("http_describe_local"))
            .body["curl"]
            .endswith("http://a1b2c3d4e5.execute-api.localhost:4566/models/churn/predictions/KEY")
        )

    def test_before_the_first_run_there_is_no_freshness(self, world):
        world.records.current = Pointer()
        assert world.ask(event("http_describe")).body["freshness"] is None

    def test_a_batch_model_is_as_fresh_as_its_results(self):
        world = World(ServingMode.BATCH)
        world.records.current = Pointer(results=RUN, scores=None, revision=1)
        assert world.ask(event("http_describe")).body["freshness"]["generation"] == RUN


STATUSES = {
    "http_lookup": (200, 409, 422),
    "http_predict_key": (200, 409, 422),
    "http_predict_instances": (200, 409),
    "http_describe": (200,),
    "http_poll": (404,),
    "http_upload": (200, 409),
}


class TestModes:
    def test_every_mode_that_can_be_deployed_has_a_predictor(self):
        assert set(PREDICTORS) == AVAILABLE

    @pytest.mark.parametrize("mode", sorted(PREDICTORS))
    def test_every_mode_answers_the_same_requests_with_json_and_known_codes(self, mode):
        world = World(mode, **MODES[mode])
        for name, statuses in STATUSES.items():
            response = world.ask(event(name)).to_response()
            assert response["headers"]["content-type"] == "application/json"
            assert isinstance(json.loads(response["body"]), dict)
            assert response["statusCode"] in statuses, name

    @pytest.mark.parametrize("mode", sorted(PREDICTORS))
    def test_every_mode_describes_how_it_is_asked_with_a_call_to_paste(self, mode):
        body = World(mode, **MODES[mode]).ask(event("http_describe")).body
        family = {"batch": None, "precompute": None, "hybrid": "serverless"}.get(mode, mode)
        assert (body["mode"], body["asking"]["endpoint_family"]) == (mode, family)
        assert body["asking"]["limits"]["instances"] == MAX_INSTANCES
        assert ("live_calls_per_minute" in body["asking"]["limits"]) == (mode == "hybrid")
        assert body["asking"]["answers"].startswith("later" if mode == "async" else "at once")
        assert ("-d '" in body["curl"]) == (mode in ("realtime", "serverless", "async"))
        assert len(body["routes"]) == 5

    def test_the_call_to_paste_is_one_that_the_model_answers(self):
        world = World("realtime", features=(Feature("x", minimum=2), Feature("s", "string", values=["it's"])))
        curl = world.ask(event("http_describe")).body["curl"]
        words = shlex.split(curl.replace('${AWS_SESSION_TOKEN:+-H "x-amz-security-token: $AWS_SESSION_TOKEN"}', ""))
        assert world.post(words[words.index("-d") + 1]).body["prediction"] == 1.0
