"""Modes realtime and serverless: the model is asked at the moment of the request."""

import base64

import pytest

from handlers.contract import metrics
from handlers.contract.card import Feature
from handlers.contract.errors import (
    EndpointUnavailable,
    ModelFailed,
    ModelRefused,
    ModelTimeout,
    RequestExpired,
    Throttled,
)
from handlers.contract.predictions import MAX_BODY_BYTES, MAX_REQUEST_BYTES
from handlers.logic.answers import Answer, carried
from handlers.logic.families import FAMILIES
from handlers.logic.model_errors import LONGEST, by_failure_file, by_status, in_short
from tests.unit.handlers.fakes import event
from tests.unit.handlers.world import World

LIVE_MODES = ["realtime", "serverless"]


@pytest.fixture(params=LIVE_MODES)
def world(request):
    return World(request.param)


def test_features_are_answered_by_the_model_with_the_key_given_back(world):
    answered = world.post({"key": "00001", "features": {"x": 3, "s": None}})
    assert (answered.status, answered.body) == (
        200,
        {
            "model": "churn",
            "mode": world.door.mode,
            "key": "00001",
            "prediction": 1.5,
            "source": "live",
            "model_version": "v8",
            "generation": None,
            "scored_at": "2026-11-23T06:10:00Z",
            "data_as_of": "2026-11-23T06:10:00Z",
            "age_seconds": 0,
            "stale": False,
        },
    )
    assert (answered.counts[metrics.LIVE_CALLS], answered.counts[metrics.HITS]) == (1, 0)
    assert world.endpoint.bodies == [b"3,\n"]


def test_features_need_no_key(world):
    assert world.post({"features": {"x": 3}}).body["key"] is None


def test_a_key_is_given_back_in_the_type_that_the_schema_says():
    world = World("realtime")
    world.card = world.card.__class__(**{**world.card.__dict__, "key_type": "integer"})
    assert world.post({"key": "42", "features": {"x": 1}}).body["key"] == 42


def test_several_instances_go_in_one_call_and_bad_ones_are_refused_in_their_places(world):
    answered = world.post(
        {
            "instances": [
                {"key": "a", "features": {"x": 1}},
                {"features": {"x": -1}},
                {"key": "b"},
                {"features": {"x": 4}},
            ]
        }
    )
    first, below, bare, last = answered.body["predictions"]
    assert (answered.status, world.endpoint.bodies) == (200, [b"1,\n4,\n"])
    assert [first["prediction"], last["prediction"]] == [0.5, 2.0]
    assert (below["error"]["code"], below["error"]["reasons"][0]["code"]) == ("bad_features", "below_minimum")
    assert bare["error"]["code"] == "features_needed"


def test_a_lookup_says_which_features_to_send_and_where(world):
    answered = world.lookup("00001")
    error = answered.body["error"]
    assert (answered.status, error["code"], error["mode"]) == (422, "features_needed", world.door.mode)
    assert (error["send_features"], error["send_to"]) == (["x", "s"], "POST /models/churn/predictions")
    assert error["send_body"] == {"key": "00001", "features": {"x": "<float>", "s": "<string>"}}
    assert world.endpoint.bodies == []


def test_every_wrong_feature_is_named(world):
    error = world.post({"features": {"x": "3", "s": "a\nb", "X": 1}}).body["error"]
    assert [reason["code"] for reason in error["reasons"]] == ["not_a_number", "line_break", "unknown_feature"]
    assert "and 2 more" in error["message"]


@pytest.mark.parametrize(
    ("failure", "status", "wait"),
    [
        (Throttled("busy", retry_after_seconds=1), 429, "1"),
        (EndpointUnavailable("gone", retry_after_seconds=5), 503, "5"),
        (ModelTimeout("slow", retry_after_seconds=1), 504, "1"),
        (ModelRefused("no"), 422, None),
        (ModelFailed("broken"), 502, None),
    ],
)
@pytest.mark.parametrize("body", [{"features": {"x": 1}}, {"instances": [{"features": {"x": 1}}, {"key": "bare"}]}])
def test_what_goes_wrong_in_the_call_is_the_requests_status(world, failure, status, wait, body):
    world.endpoint.failures = [failure]
    answered = world.post(body)
    assert (answered.status, answered.body["error"]["code"]) == (status, failure.code)
    assert answered.headers.get("retry-after") == wait
    assert answered.counts.get(metrics.LIVE_REFUSED, 0) == (status == 429)
    assert answered.counts[metrics.ERRORS] == (status >= 500)


@pytest.mark.parametrize("answer", [b"1\n2\n", b"", b"nan\n", b"\xff"])
def test_an_answer_that_holds_no_prediction_per_instance_is_the_models_failure(world, answer):
    world.endpoint.answer = lambda body: answer
    answered = world.post({"features": {"x": 1}})
    assert (answered.status, answered.body["error"]["code"]) == (502, "model_failed")


@pytest.mark.parametrize("family", [family for family in FAMILIES.values() if not family.later])
def test_more_than_the_endpoint_takes_is_413_and_names_the_limit(family, monkeypatch):
    world = World(family.word)
    monkeypatch.setitem(FAMILIES, family.word, family.__class__(family.word, False, 6, family.payload))
    assert world.post({"features": {"x": 123}}).status == 200
    answered = world.post({"features": {"x": 12345}})
    assert (answered.status, answered.body["error"]["code"]) == (413, "payload_too_large")
    assert (answered.body["error"]["limit_bytes"], family.payload in answered.body["error"]["message"]) == (6, True)
    assert len(world.endpoint.bodies) == 1


def test_the_limits_are_those_of_sagemaker():
    assert [(family.word, family.payload_bytes) for family in FAMILIES.values()] == [
        ("realtime", 26_214_400),
        ("serverless", 4_194_304),
        ("async", 1_073_741_824),
    ]


def test_a_serverless_model_refuses_four_megabytes_before_sagemaker_does():
    text = "x" * 45_000
    body = {"instances": [{"features": {"x": 1, "s": text}}] * 95}
    answered = World("serverless").post(body)
    assert (answered.status, answered.body["error"]["limit_bytes"]) == (413, 4 * 2**20)
    assert World("realtime").post(body).status == 200


def test_a_body_beyond_five_megabytes_is_413_in_every_mode():
    body = '{"features": {"s": "' + "x" * MAX_REQUEST_BYTES + '"}}'
    for mode in ("batch", "precompute", "realtime"):
        answered = World(mode).post(body)
        assert (answered.status, answered.body["error"]["limit_bytes"]) == (413, MAX_REQUEST_BYTES)
        assert "5 MB" in answered.body["error"]["message"]


def test_a_body_is_as_large_as_it_was_sent_whatever_its_letters_and_however_it_arrives():
    text = '{"features": {"s": "' + "\u20ac" * 2_000_000 + '"}}'
    sent = len(text.encode())
    for body, more in ((text, {}), (base64.b64encode(text.encode()).decode(), {"isBase64Encoded": True})):
        error = World("realtime").post(body, **more).body["error"]
        assert (error["code"], error["bytes"]) == ("payload_too_large", sent)
        assert f"the body has {sent:,} bytes" in error["message"]


def test_the_base64_of_a_body_does_not_count():
    text = '{"features": {"x": 1, "s": "' + "x" * (MAX_REQUEST_BYTES - 31) + '"}}'
    assert len(text) == MAX_REQUEST_BYTES
    body = base64.b64encode(text.encode()).decode()
    assert World("realtime").post(body, isBase64Encoded=True).status == 200


@pytest.mark.parametrize(("length", "status"), [(MAX_BODY_BYTES - 5_000, 200), (MAX_BODY_BYTES - 50, 413)])
def test_an_answer_that_lambda_cannot_carry_is_413(length, status):
    answered, response = carried(Answer(200, {"x": "y" * length}))
    assert (answered.status, response["statusCode"]) == (status, status)
    assert (answered.body.get("error", {}).get("code") == "payload_too_large") == (status == 413)


def test_quotes_count_twice_in_an_answer_since_lambda_writes_it_as_a_string():
    assert carried(Answer(200, {"x": ["", ""] * 550_000}))[0].status == 413


def test_a_mode_without_uploads_says_which_has_them(world):
    for answered in (world.upload(), world.post({"upload": "20261123T061000Z-0123456789abcde"})):
        assert (answered.status, answered.body["error"]["code"]) == (409, "not_servable_live")
        assert "async" in answered.body["error"]["hint"]


@pytest.mark.parametrize(
    "body", [{"upload": 1}, {"upload": "a", "key": "b"}, {"upload": None}, {"instances": [], "upload": "a"}]
)
def test_an_upload_is_asked_about_by_its_id_alone(world, body):
    assert world.post(body).body["error"]["code"] == "bad_body"


def test_a_model_that_is_given_the_key_insists_on_one():
    world = World("realtime", features=(Feature("x"),))
    world.card = world.card.__class__(**{**world.card.__dict__, "pass_key_to_model": True})
    error = world.post({"features": {"x": 1}}).body["error"]
    assert (error["code"], error["reasons"][0]["code"]) == ("bad_features", "null_key")


def test_what_is_computed_at_the_moment_of_the_request_has_no_freshness(world):
    assert world.ask(event("http_describe")).body["freshness"] is None


class TestMessages:
    def test_a_stack_trace_does_not_leave_the_house(self):
        text = 'bad row\nTraceback (most recent call last):\n  File "/opt/x.py", line 3, in f\nKeyError: 1'
        assert in_short(text) == "bad row"
        page = "<!doctype html>\n<html lang=en>\n<title>500</title>\n<h1>Internal Server Error</h1>"
        in_log = "(what the script raised stands in the container's log)"
        assert in_short(page) == f"500 Internal Server Error {in_log}"
        assert in_short('oops\n  File "/opt/ml/code/inference.py", line 12, in predict_fn\n    x') == "oops"

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ('{"error": {"code": "bad_body", "message": "row 1 is odd"}}', "row 1 is odd"),
            ('{"error": "row 1 is odd"}', "row 1 is odd"),
            ('{"message": "row 1 is odd"}', "row 1 is odd"),
            ('{"error": {"code": 1}}', '{"error": {"code": 1}}'),
            ("[1]", "[1]"),
            ("[" * 100_000, "[" * (LONGEST - 3) + "..."),
        ],
    )
    def test_of_a_json_error_its_message_is_told(self, text, said):
        assert in_short(text) == said

    def test_a_long_message_is_cut(self):
        assert len(in_short("x " * 5_000)) == LONGEST

    @pytest.mark.parametrize(
        ("status", "text", "kind"),
        [
            (400, "bad", ModelRefused),
            (415, "", ModelRefused),
            (500, "bad", ModelFailed),
            (503, "busy", ModelFailed),
            (504, "", ModelTimeout),
            (0, "Your invocation timed out while waiting for a response from container primary", ModelTimeout),
            (500, "Your invocation timed out", ModelTimeout),
        ],
    )
    def test_the_containers_status_decides_whose_fault_it_is(self, status, text, kind):
        error = by_status(status, text)
        assert (type(error), error.details["model_status"]) == (kind, status)
        assert text in error.message or kind is ModelTimeout

    @pytest.mark.parametrize(
        ("text", "kind", "says"),
        [
            (
                'Received client error (400) from primary with message "row 1 is odd". See https://x',
                ModelRefused,
                "row 1",
            ),
            ('Received server error (500) from primary with message "boom "a" b"', ModelFailed, 'boom "a" b'),
            ("Amazon SageMaker could not download the input", ModelFailed, "could not download"),
            ("The request expired: it waited longer than 60 seconds", RequestExpired, "in time"),
            ("", ModelFailed, "the model failed"),
        ],
    )
    def test_a_failure_file_is_understood(self, text, kind, says):
        error = by_failure_file(text)
        assert type(error) is kind
        assert says in error.message
