"""Limits at their edges: the last legal value passes, the next one is refused."""

import pytest

from handlers.contract.modes import AVAILABLE, ServingMode
from turnout.config.capabilities import SCORES_IN_BATCH
from turnout.config.legality import check_fleet, check_model, check_name
from turnout.config.specs import ModelSpec

WHOLE = {"name": "churn", "mode": "batch", "schedule": "rate(1 day)", "key": "id", "features": ["a"]}


def findings(**settings):
    """Return key -> reason for an entry with these settings."""
    found = check_model(ModelSpec.model_validate({**WHOLE, **settings}))
    return {".".join(map(str, finding.path)): finding for finding in found}


def test_an_entry_of_defaults_is_legal():
    assert findings() == {}


def test_every_mode_says_whether_it_scores_in_batch():
    assert set(SCORES_IN_BATCH) == set(ServingMode)


@pytest.mark.parametrize("mode", ServingMode)
def test_a_mode_is_refused_until_it_is_available(mode):
    assert ("mode" in findings(mode=mode.value)) is (mode not in AVAILABLE)


@pytest.mark.parametrize("mode", ServingMode)
def test_the_modes_that_score_in_batch_need_a_schedule(mode):
    assert ("schedule" in findings(mode=mode.value, schedule=None)) is SCORES_IN_BATCH[mode]


@pytest.mark.parametrize("name", ["a", "churn", "churn-2", "a--b", "x" * 32])
def test_legal_names_pass(name):
    assert list(check_name(name)) == []


@pytest.mark.parametrize(
    "name", ["", "Churn", "2churn", "-churn", "churn-", "ch_urn", "x" * 33, "été", "a.b", "platform"]
)
def test_illegal_names_are_refused(name):
    assert list(check_name(name))


@pytest.mark.parametrize("name", ["Churn Model", "2churn", "churn-", "x" * 33, "été", "___"])
def test_the_name_that_is_suggested_is_legal(name):
    (finding,) = check_name(name)
    suggested = finding.remedy.removeprefix("Use ").partition(":")[0]
    assert list(check_name(suggested)) == []


@pytest.mark.parametrize(
    ("payload", "concurrent", "legal"), [(6, 2, True), (50, 2, True), (100, 1, True), (34, 3, False)]
)
def test_payload_times_concurrency_is_at_most_100(payload, concurrent, legal):
    transform = {"max_payload_mb": payload, "max_concurrent": concurrent}
    assert ("transform.max_concurrent" not in findings(transform=transform)) is legal


@pytest.mark.parametrize(
    "kind", ["ml.c5.large", "ml.t2.medium", "ml.r5.large", "ml.m6g.large", "ml.p4d.24xlarge", "junk", ""]
)
def test_types_that_only_serve_endpoints_are_refused_for_transform_and_the_suggestion_is_legal(kind):
    finding = findings(transform={"instance_type": kind})["transform.instance_type"]
    suggested = finding.remedy.removeprefix("Use ").partition(",")[0]
    framework = "pytorch" if suggested.startswith("ml.p") else "sklearn"
    assert "transform.instance_type" not in findings(transform={"instance_type": suggested}, framework=framework)


def test_the_image_must_run_on_the_instance():
    assert "transform.instance_type" in findings(transform={"instance_type": "ml.g5.xlarge"})
    assert findings(transform={"instance_type": "ml.g5.xlarge"}, framework="pytorch") == {}
    own = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/own:1"
    assert findings(transform={"instance_type": "ml.g5.xlarge"}, image=own) == {}


@pytest.mark.parametrize(
    ("section", "key", "lowest", "below", "highest", "above"),
    [
        ("transform", "invocation_timeout", "1s", "0s", "1h", "3601s"),
        ("async", "expiry", "60s", "59s", "6h", "21601s"),
        ("async", "invocation_timeout", "1s", "0s", "1h", "3601s"),
        ("streaming", "window", "1s", "0s", "5m", "301s"),
    ],
)
def test_durations_keep_to_the_limits_of_aws(section, key, lowest, below, highest, above):
    path = f"{section}.{key}"
    for legal in (lowest, highest):
        assert path not in findings(**{section: {key: legal}})
    for illegal in (below, above):
        assert findings(**{section: {key: illegal}})[path].link.startswith("https://docs.aws.amazon.com/")


def test_scores_outlive_their_freshness():
    assert findings(max_staleness="3d", keep_scores="3d") == {}
    assert "keep_scores" in findings(max_staleness="3d", keep_scores="2d")


@pytest.mark.parametrize("mode", sorted(AVAILABLE))
def test_only_hybrid_has_a_model_to_ask_in_place_of_old_scores(mode):
    settings = {"mode": mode, "schedule": "rate(1 day)"}
    found = findings(**settings, on_stale="live")
    assert ("on_stale" in found) == (mode != "hybrid")
    if found:
        assert found["on_stale"].remedy == "Use on_stale: serve, or mode: hybrid."
    for everywhere in ("serve", "refuse"):
        assert "on_stale" not in findings(**settings, on_stale=everywhere)


def test_a_run_that_age_starts_comes_before_answers_are_stale():
    assert findings(max_staleness="2d", refresh={"when_older_than": "47h"}) == {}
    found = findings(max_staleness="2d", refresh={"when_older_than": "2d"})["refresh.when_older_than"]
    assert found.remedy.startswith("Use 1d, or raise max_staleness")


@pytest.mark.parametrize("name", ["row", "SageMakerOutput", "sagemakerinput", " ", "a\nb", "x" * 256])
def test_feature_names_that_batch_transform_or_parquet_cannot_carry_are_refused(name):
    assert f"features.{name}" in findings(features=[name])


def test_the_name_key_is_taken_only_where_the_key_travels_under_it():
    assert findings(features=["key"]) == {}
    for wire, taken in (("csv", False), ("jsonlines", True), ("parquet", True)):
        travelling = {"wire_format": wire, "pass_key_to_model": True}
        assert ("features.key" in findings(features=["key"], transform=travelling)) is taken, wire


@pytest.mark.parametrize("column", ["scored_at", "model_version", "date", "run", "Date"])
def test_columns_that_the_results_use_are_refused_for_key_and_prediction(column):
    assert "key.column" in findings(key=column)
    assert "output.prediction" in findings(output={"prediction": column})


def test_the_prediction_is_not_called_like_the_key():
    assert "output.prediction" in findings(key="ID", output={"prediction": "id"})


@pytest.mark.parametrize(
    ("feature", "key"),
    [
        ({"min": 2, "max": 1}, "min"),
        ({"type": "string", "max": 1}, "max"),
        ({"type": "boolean", "pattern": "x"}, "pattern"),
        ({"type": "string", "pattern": "("}, "pattern"),
        ({"type": "integer", "values": [1.5]}, "values"),
        ({"type": "integer", "values": [True]}, "values"),
        ({"type": "float", "values": ["1"]}, "values"),
        ({"type": "boolean", "values": [0]}, "values"),
        ({"type": "string", "values": []}, "values"),
        ({"min": 0, "values": [-1]}, "values"),
    ],
)
def test_limits_that_no_row_could_meet_are_refused(feature, key):
    assert f"features.a.{key}" in findings(features={"a": feature})


@pytest.mark.parametrize(
    "feature",
    [
        {"min": 1, "max": 1},
        {"type": "integer", "values": [1, 2], "min": 1},
        {"type": "float", "values": [1, 2.5]},
        {"type": "boolean", "values": [True]},
        {"type": "string", "values": ["x"], "pattern": "[a-z]"},
    ],
)
def test_limits_that_rows_can_meet_pass(feature):
    assert findings(features={"a": feature}) == {}


@pytest.mark.parametrize(
    ("image", "legal"),
    [
        ("123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/churn:1.2", True),
        ("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn/churn@sha256:" + "a" * 64, True),
        ("123456789012.dkr.ecr.eu-west-1.amazonaws.com/churn", False),
        ("churn:1", False),
        ("public.ecr.aws/team/churn:1", False),
    ],
)
def test_images_come_from_ecr_and_are_pinned(image, legal):
    assert ("image" not in findings(image=image)) is legal


def test_a_tag_that_moves_is_a_warning():
    found = findings(image="123456789012.dkr.ecr.eu-west-1.amazonaws.com/churn:latest")
    assert found["image"].severity == "warning"


@pytest.mark.parametrize(
    ("location", "legal"),
    [
        ("s3://bucket/", True),
        ("s3://my.bucket-1/a/b/", True),
        ("s3://bucket", False),
        ("s3://bucket/a", False),
        ("s3://Bucket/a/", False),
        ("s3://a..b/a/", False),
        ("s3://ab/", False),
        ("https://bucket/a/", False),
    ],
)
def test_input_lies_under_an_s3_prefix(location, legal):
    assert ("input.location" not in findings(input={"location": location})) is legal


@pytest.mark.parametrize(
    ("artifact", "legal"),
    [("s3://bucket/m.tar.gz", True), ("s3://bucket/a/m.zip", False), ("s3://bucket/", False), ("m.tar.gz", False)],
)
def test_an_artifact_is_a_tarball_in_s3(artifact, legal):
    assert ("artifact" not in findings(artifact=artifact)) is legal


def test_sixteen_variables_of_1024_characters_are_the_most():
    assert findings(environment={f"V{i}": "x" * 1024 for i in range(16)}) == {}
    assert "environment" in findings(environment={f"V{i}": "" for i in range(17)})
    assert "environment.V" in findings(environment={"V": "x" * 1025})


@pytest.mark.parametrize("name", ["1A", "A-B", "", "É", "SAGEMAKER_PROGRAM", "TURNOUT_STAGE"])
def test_names_of_variables_that_are_illegal_or_taken_are_refused(name):
    assert f"environment.{name}" in findings(environment={name: ""})


def test_tags_keep_to_the_limits_of_aws():
    assert findings(tags={"k" * 128: "v" * 256, "größe": "a b_.:/=+-@"}) == {}
    assert "tags" in findings(tags={f"k{i}": "" for i in range(41)})
    for name, value in (
        ("k" * 129, ""),
        ("k", "v" * 257),
        ("", ""),
        ("a&b", ""),
        ("a", "b&c"),
        ("AWS:x", ""),
        ("turnout:x", ""),
    ):
        assert f"tags.{name}" in findings(tags={name: value})


@pytest.mark.parametrize(
    ("framework", "variable"), [("pytorch", "TS_MAX_REQUEST_SIZE"), ("huggingface", "MMS_MAX_REQUEST_SIZE")]
)
def test_large_bodies_are_a_warning_where_the_prebuilt_server_has_a_limit_of_its_own(framework, variable):
    large = {"framework": framework, "transform": {"max_payload_mb": 7}}
    found = findings(**large)["transform.max_payload_mb"]
    assert found.severity == "warning"
    assert f"environment.{variable}: '7340032'" in found.remedy
    assert findings(**large, environment={variable: "7340032"}) == {}
    assert findings(transform={"max_payload_mb": 7}) == {}


def test_a_parquet_file_is_one_request_and_takes_the_whole_payload_where_it_is_alone():
    assert findings(transform={"wire_format": "parquet"}) == {}
    assert findings(transform={"wire_format": "parquet", "max_payload_mb": 100, "max_concurrent": 1}) == {}
    assert "transform.max_concurrent" in findings(transform={"wire_format": "parquet", "max_payload_mb": 100})
    assert findings(transform={"wire_format": "parquet", "strategy": "SingleRecord"}) == {}
    assert "transform.strategy" in findings(transform={"wire_format": "parquet", "strategy": "MultiRecord"})


def test_xgboost_takes_large_bodies_only_when_told_so():
    large = {"framework": "xgboost", "transform": {"max_payload_mb": 7}}
    assert "transform.max_payload_mb" in findings(**large)
    assert findings(**large, environment={"MAX_CONTENT_LENGTH": "7340032"}) == {}
    assert findings(framework="xgboost") == {}


@pytest.mark.parametrize(
    "given", [{}, {"timezone": "UTC"}, {"rate": "1 day", "on_new_data": True}, {"on_new_data": False}]
)
def test_a_schedule_says_exactly_one_time(given):
    assert "schedule" in findings(schedule=given)


@pytest.mark.parametrize(
    ("marker", "legal"), [("_DONE", True), (".ready", True), ("done", False), ("_a/b", False), ("", False)]
)
def test_a_marker_is_a_name_that_is_not_read_as_data(marker, legal):
    assert ("schedule.marker" not in findings(schedule={"on_new_data": True, "marker": marker})) is legal


def test_a_bucket_of_ones_own_must_be_allowed_to_send_events():
    found = findings(schedule="on-new-data", input={"location": "s3://bucket/"})
    assert found["input.location"].severity == "warning"


@pytest.mark.parametrize("mode", sorted(AVAILABLE))
def test_events_score_keys_where_there_are_lookups_and_an_endpoint(mode):
    found = findings(mode=mode.value, refresh={"on_event": True}, input={"data_time": "at"})
    assert ("refresh.on_event" not in found) is (mode == ServingMode.HYBRID)
    assert mode == ServingMode.HYBRID or found["refresh.on_event"].remedy.startswith("Use mode: hybrid")
    assert "refresh.on_event" not in findings(mode=mode.value, refresh={"on_event": False, "window": "1s"})


@pytest.mark.parametrize(("fallback", "legal"), [("realtime", True), ("serverless", True), ("async", False)])
def test_events_score_keys_with_an_endpoint_that_answers_at_once(fallback, legal):
    settings = {"hybrid": {"fallback": fallback}, "input": {"data_time": "at"}}
    found = findings(mode="hybrid", refresh={"on_event": True}, **settings)
    assert ("refresh.on_event" not in found) is legal
    assert legal or "hybrid.fallback: serverless" in found["refresh.on_event"].remedy


def test_events_beside_files_that_say_themselves_how_old_they_are_is_a_warning_with_the_way_out():
    found = findings(mode="hybrid", refresh={"on_event": True})["refresh.on_event"]
    assert (found.severity, "input.data_time: <column>" in found.remedy) == ("warning", True)
    assert findings(mode="hybrid", refresh={"on_event": True}, input={"data_time": "at"}) == {}
    assert findings(mode="hybrid", refresh={"on_event": False}) == {}


@pytest.mark.parametrize(
    ("setting", "value", "legal"),
    [
        ("window", "0s", True),
        ("window", "5m", True),
        ("window", "301s", False),
        ("min_interval", "0s", True),
        ("min_interval", "1d", True),
        ("min_interval", "86401s", False),
    ],
)
def test_what_paces_events_has_its_bounds(setting, value, legal):
    found = findings(mode="hybrid", refresh={"on_event": True, setting: value})
    assert (f"refresh.{setting}" not in found) is legal


def test_more_models_than_one_api_has_routes_for_is_a_warning():
    assert list(check_fleet(fleet(59))) == []
    assert [finding.severity for finding in check_fleet(fleet(60))] == ["warning"]


def fleet(count, **settings):
    """Return that many models of the same settings."""
    return dict.fromkeys(map(str, range(count)), ModelSpec.model_validate({**WHOLE, **settings}))


@pytest.mark.parametrize("settings", [{"mode": "serverless"}, {"mode": "hybrid", "hybrid": {"fallback": "serverless"}}])
def test_a_region_takes_fifty_serverless_endpoints(settings):
    small = {**settings, "serverless": {"max_concurrency": 1}}
    assert list(check_fleet(fleet(50, **small))) == []
    (found,) = check_fleet(fleet(51, **small))
    assert (found.severity, "51 models" in found.reason) == ("warning", True)
    assert list(check_fleet(fleet(51, mode="realtime"))) == []


def test_serverless_endpoints_share_a_pool_of_concurrency():
    assert list(check_fleet(fleet(50, mode="serverless"))) == []
    (found,) = check_fleet(fleet(10, mode="serverless", serverless={"max_concurrency": 101}))
    assert "1010 requests in flight" in found.reason
    assert found.remedy.startswith("Use serverless.max_concurrency: 100 on average")


@pytest.mark.parametrize(
    ("settings", "refused"),
    [
        ({"mode": "serverless"}, False),
        ({"mode": "serverless", "network_isolation": False}, False),
        ({"mode": "serverless", "network_isolation": True}, True),
        ({"mode": "hybrid", "network_isolation": True}, True),
        ({"mode": "hybrid", "network_isolation": True, "hybrid": {"fallback": "realtime"}}, False),
        ({"mode": "async", "network_isolation": True}, False),
        ({"mode": "precompute", "network_isolation": True}, False),
    ],
)
def test_isolation_asked_for_by_name_is_refused_only_where_the_endpoint_has_none(settings, refused):
    found = findings(**settings)
    assert ("network_isolation" in found) is refused
    if refused:
        assert "realtime or async" in found["network_isolation"].remedy


@pytest.mark.parametrize(
    ("tag", "warned"), [("2.6.0-gpu-py312", True), ("1-cu124", True), ("cuda-12", True), ("1.2", False), ("cu", False)]
)
def test_an_image_built_for_a_gpu_is_a_warning_where_there_is_none(tag, warned):
    image = f"123456789012.dkr.ecr.eu-west-1.amazonaws.com/own:{tag}"
    assert ("image" in findings(mode="serverless", image=image)) is warned
    assert "image" not in findings(mode="realtime", image=image)


def test_scaling_follows_one_metric():
    both = {"concurrent_requests_per_model": 4, "invocations_per_instance": 100}
    assert "realtime.invocations_per_instance" in findings(realtime=both)
    assert findings(realtime={"invocations_per_instance": 100}) == {}


def test_types_on_credit_do_not_scale():
    assert findings(realtime={"instance_type": "ml.t2.medium"})["realtime.instance_type"].severity == "warning"
    assert findings(realtime={"instance_type": "ml.t2.medium", "max_instances": 1}) == {}
    trainium = {"instance_type": "ml.trn1.2xlarge", "max_instances": 4}
    assert "realtime.instance_type" not in {
        key for key, finding in findings(realtime=trainium).items() if "runs on credit" in finding.reason
    }


def test_an_asynchronous_endpoint_that_never_rests_is_a_warning():
    found = findings(mode="async", **{"async": {"instance_type": "ml.t2.medium"}})["async.instance_type"]
    assert (found.severity, "one instance is up day and night" in found.reason) == ("warning", True)


@pytest.mark.parametrize(
    ("settings", "where"),
    [
        ({"instance_count": 1}, "the endpoint has one instance,"),
        ({"max_instances": 1}, "the endpoint has one instance,"),
        ({}, "the endpoint has one instance in stage dev,"),
    ],
)
def test_one_instance_cannot_be_replaced_bit_by_bit(settings, where):
    one = {"mode": "realtime", "shift": "canary", "realtime": settings}
    found = findings(**one)["shift"]
    assert (found.severity, where in found.reason) == ("warning", True)
    assert findings(**{**one, "realtime": {"instance_count": 2}}) == {}
    assert findings(**{**one, "mode": "precompute"}) == {}
    assert findings(**{**one, "shift": "all-at-once"}) == {}


def test_samples_of_their_own_are_for_artifacts_in_s3():
    artifact = {"artifact": "s3://models/m.tar.gz", "samples": "samples/churn.json"}
    assert findings(**artifact) == {}
    assert "artifact/sample_payloads.json" in findings(samples="samples/churn.json")["samples"].reason


@pytest.mark.parametrize("mode", ["batch", "precompute", "hybrid"])
def test_rows_beyond_what_one_run_takes_are_refused_where_runs_are(mode):
    refused = findings(mode=mode, traffic={"entities": 200_000_000})["traffic.entities"]
    assert (refused.severity, "TooManyRows after some 155 million" in refused.reason) == ("error", True)
    warned = findings(mode=mode, traffic={"entities": 20_000_000})["traffic.entities"]
    assert (warned.severity, "`prepare` ends for want of memory or time" in warned.reason) == ("warning", True)
    assert findings(mode=mode, traffic={"entities": 15_000_000}) == {}
    assert findings(mode="serverless", schedule=None, traffic={"entities": 200_000_000}) == {}


@pytest.mark.parametrize(
    ("settings", "least"),
    [
        ({"schedule": "cron(0 6 1 * ? *)"}, "32d"),
        ({"schedule": "cron(0 6 * * ? *)", "max_staleness": "1h", "keep_scores": "2h"}, "25h"),
        ({"schedule": "rate(30 days)"}, "31d"),
        ({"schedule": "rate(1 hour)", "max_staleness": "1h", "keep_scores": "1h"}, "2h"),
        ({"schedule": "cron(0 6 1 * ? *)", "refresh": {"when_older_than": "30h"}}, None),
        ({"schedule": "rate(9 days)", "refresh": {"when_older_than": "30h"}, "keep_scores": "48h"}, None),
        ({"schedule": "rate(9 days)", "refresh": {"when_older_than": "47h"}, "keep_scores": "2d"}, None),
        (
            {
                "schedule": "rate(9 days)",
                "refresh": {"when_older_than": "20h"},
                "max_staleness": "1d",
                "keep_scores": "1d",
            },
            "25h",
        ),
        ({"schedule": "on-new-data", "max_staleness": "1h", "keep_scores": "1h"}, None),
    ],
)
def test_scores_are_kept_until_the_next_run_has_replaced_them(settings, least):
    found = findings(mode="precompute", **settings).get("keep_scores")
    assert (found and found.remedy) == (least and f"Use {least} or more, or run more often.")
    if least is not None:
        assert "keep_scores" not in findings(mode="precompute", **{**settings, "keep_scores": least})
    assert "keep_scores" not in findings(mode="batch", **settings)


@pytest.mark.parametrize("schedule", ["rate(1 day)", "cron(0 6 * * ? *)"])
def test_runs_that_come_after_answers_are_stale_are_warned_of(schedule):
    found = findings(schedule=schedule, max_staleness="1h")["max_staleness"]
    assert (found.severity, found.remedy) == ("warning", "Raise it above 1d.")
    refusing = findings(schedule=schedule, max_staleness="1h", on_stale="refuse")["max_staleness"]
    assert refusing.reason.startswith("lookups are refused after 1h but")
    assert findings(schedule=schedule, max_staleness="1d") == {}
    assert findings(schedule=schedule, max_staleness="1h", refresh={"when_older_than": "30m"}) == {}
