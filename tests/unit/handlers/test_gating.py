import json
from dataclasses import replace

import pytest

from handlers.contract.answering import ANSWERS, ASKS_THE_MODEL, LOOKS_UP, Counts
from handlers.contract.errors import PERMANENT_RUN_ERRORS
from handlers.contract.modes import AVAILABLE, ServingMode
from handlers.logic import gating
from handlers.logic.gating_ports import EndpointState, ExecutionState, ModelAnswered, NotReady
from handlers.logic.proofs import LOOKS, STATUSES, WANTED, Wanted, execution_name, wanted_of
from handlers.logic.run_identity import run_id_of
from tests.unit.handlers.fakes import event
from tests.unit.handlers.gates import RIGHT, SAMPLES, World

ENDPOINT = "dev-m-realtime-1a2b3c"
REQUEST = event("cfn_gate_update")["RequestId"]


@pytest.fixture
def world():
    return World()


def verdict(proof):
    return proof["state"], proof["reason"]


# The tables


def test_every_mode_says_what_it_must_prove():
    assert WANTED.keys() == AVAILABLE
    assert LOOKS.keys() == set(Wanted)


@pytest.mark.parametrize(
    ("mode", "fallback", "wanted"),
    [
        ("batch", "", ()),
        ("precompute", "", (Wanted.GENERATION,)),
        ("hybrid", "realtime", (Wanted.ENDPOINT_SYNC, Wanted.GENERATION)),
        ("hybrid", "serverless", (Wanted.ENDPOINT_SYNC, Wanted.GENERATION)),
        ("hybrid", "async", (Wanted.ENDPOINT_ASYNC, Wanted.GENERATION)),
        ("realtime", "", (Wanted.ENDPOINT_SYNC,)),
        ("serverless", "", (Wanted.ENDPOINT_SYNC,)),
        ("async", "", (Wanted.ENDPOINT_ASYNC,)),
    ],
)
def test_a_mode_proves_what_it_will_answer_from(mode, fallback, wanted):
    assert wanted_of(mode, fallback) == wanted


def test_every_status_that_sagemaker_knows_means_something():
    from botocore.session import Session

    operation = Session().get_service_model("sagemaker").operation_model("DescribeEndpoint")
    assert set(operation.output_shape.members["EndpointStatus"].enum) == STATUSES.keys()


# What CloudFormation asks


def test_a_request_becomes_a_proof_with_a_deadline(world):
    proof = world.asked()
    assert (proof["kind"], proof["request_type"], proof["old_mode"]) == ("prove", "Update", "precompute")
    assert (proof["started_at"], proof["deadline"]) == ("2026-11-23T06:10:00Z", "2026-11-23T06:25:00Z")
    assert proof["physical_id"] == "dev-m-prove"


def test_the_resource_keeps_its_name_so_that_cloudformation_never_deletes_an_old_one(world):
    assert world.asked("Create")["physical_id"] == world.asked()["physical_id"]


def test_a_deletion_is_answered_at_once_without_asking_what_the_stack_does(world):
    def never(stack_id):
        raise AssertionError("asked")

    assert gating.decided_at_once(world.asked("Delete"), never)["state"] == "proved"


@pytest.mark.parametrize("status", ["UPDATE_ROLLBACK_IN_PROGRESS", "ROLLBACK_IN_PROGRESS"])
def test_what_a_rollback_restores_is_not_proved_again(world, status):
    decided = gating.decided_at_once(world.asked(), lambda stack_id: status)
    assert decided["state"] == "proved"
    assert "goes back" in decided["reason"]


def test_who_was_accepted_before_a_rollback_is_waited_for(world):
    assert gating.decided_at_once(world.asked(Kind="drain"), lambda stack_id: "UPDATE_ROLLBACK_IN_PROGRESS") is None


def test_an_update_is_proved(world):
    assert gating.decided_at_once(world.asked(), lambda stack_id: "UPDATE_IN_PROGRESS") is None


def test_a_mode_is_not_proved_again_when_only_the_word_under_acknowledge_is_gone(world):
    old = dict(world.asked()["properties"], LostAnswersAcknowledged="true")
    decided = gating.decided_at_once(world.asked(old=old), lambda stack_id: "UPDATE_IN_PROGRESS")
    assert (decided["state"], "acknowledge" in decided["reason"]) == ("proved", True)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"LostAnswersAcknowledged": "true", "Mode": "precompute"}, {}),
        ({"LostAnswersAcknowledged": "true", "ModelVersion": "v6"}, {}),
        ({"LostAnswersAcknowledged": "true", "RefusesStale": "true"}, {}),
        ({"LostAnswersAcknowledged": "true"}, {"RefusesStale": "true"}),
        ({}, {}),
        ({}, {"LostAnswersAcknowledged": "true"}),
        ({"LostAnswersAcknowledged": "true"}, {"Kind": "drain"}),
    ],
)
def test_whatever_else_has_changed_is_proved(world, old, new):
    old = dict(world.asked()["properties"]) | old
    proof = world.asked(old=old, **new)
    assert gating.decided_at_once(proof, lambda stack_id: "UPDATE_IN_PROGRESS") is None


def test_batch_needs_no_proof(world):
    proof = world.asked(old={"Mode": "batch"}, Mode="batch", Endpoint="")
    assert verdict(world.look(proof)) == ("proved", "mode batch needs no proof")


@pytest.mark.parametrize("old", ["precompute", "hybrid", "realtime", "serverless", "async"])
def test_a_switch_that_silences_a_model_must_be_acknowledged(world, old):
    asked = {"Mode": "batch", "Endpoint": ""}
    state, reason = verdict(world.look(world.asked(old={"Mode": old}, **asked)))
    assert (state, "write `acknowledge: [lost-answers]`" in reason) == ("failed", True)
    said = world.look(world.asked(old={"Mode": old}, LostAnswersAcknowledged="true", **asked))
    assert said["state"] == "proved"
    assert world.look(world.asked("Create", **asked))["state"] == "proved"


QUIET, COVERED = Counts(), Counts(requests=500, hits=500, keyless=0)
#: What the front door counted, where a switch to precompute would leave somebody without an answer, or may.
LOSSES = {
    "a key without a score": Counts(requests=500, hits=499, misses=1, keyless=0),
    "a prediction without a key": Counts(requests=500, hits=499, misses=0, keyless=1),
    "what an older front door did not tell apart": Counts(requests=500, hits=499, misses=0),
    "live requests, of which no count says whose key has a score": Counts(requests=500, keyless=0),
    "a few lookups among live requests": Counts(requests=500, hits=10, keyless=0),
}
TO_LOOKUPS = {"Mode": "precompute", "Endpoint": ""}


@pytest.mark.parametrize("old", ["hybrid", "realtime", "serverless", "async"])
@pytest.mark.parametrize("counts", LOSSES.values(), ids=LOSSES)
def test_a_switch_that_takes_the_model_away_must_be_acknowledged(world, old, counts):
    world.show()
    world.traffic.counted = counts
    state, reason = verdict(world.look(world.asked(old={"Mode": old}, **TO_LOOKUPS)))
    assert (state, "write `acknowledge: [lost-answers]`" in reason) == ("failed", True)
    assert "it got 500 requests: " in reason
    found = f"{counts.hits} keys had a score, {counts.misses} had none"
    assert (found in reason) is (LOOKS_UP[old] and counts.hits > 0), "hits of an earlier mode say nothing here"
    said = world.look(world.asked(old={"Mode": old}, LostAnswersAcknowledged="true", **TO_LOOKUPS))
    assert said["state"] == "proved"


@pytest.mark.parametrize("old", ["realtime", "serverless", "async"])
@pytest.mark.parametrize("counts", [COVERED, Counts(requests=500, hits=90_000, keyless=0)], ids=["as many", "more"])
def test_hits_of_an_earlier_mode_excuse_no_live_request(world, old, counts):
    """A request may look many keys up, so not even more hits than requests show that none of these was live."""
    world.show()
    world.traffic.counted = counts
    state, reason = verdict(world.look(world.asked(old={"Mode": old}, **TO_LOOKUPS)))
    assert (state, f"mode {old} looks no key up" in reason) == ("failed", True)


@pytest.mark.parametrize(
    ("old", "counts"),
    [
        ("hybrid", COVERED),
        ("hybrid", Counts(requests=500, hits=1_500, keyless=0)),
        *((old, QUIET) for old in ("hybrid", "realtime", "serverless", "async")),
    ],
)
def test_a_switch_to_lookups_that_takes_nothing_needs_no_word(world, old, counts):
    world.show()
    world.traffic.counted = counts
    assert world.look(world.asked(old={"Mode": old}, **TO_LOOKUPS))["state"] == "proved"


@pytest.mark.parametrize("old", ["batch", "precompute"])
def test_counts_are_not_asked_for_where_the_model_answered_nobody(world, old):
    world.show()
    assert world.look(world.asked(old={"Mode": old}, **TO_LOOKUPS))["state"] == "proved"
    assert world.traffic.reads == 0


def test_counts_are_read_once_however_long_the_proof_takes(world):
    world.traffic.counted = COVERED
    assert world.look(world.asked(old={"Mode": "hybrid"}, **TO_LOOKUPS), times=5)["state"] == "proving"
    assert world.traffic.reads == 1


def test_the_tables_of_who_is_answered_agree():
    assert ANSWERS.keys() == ASKS_THE_MODEL.keys() == LOOKS_UP.keys() == set(ServingMode)
    assert all(ANSWERS[mode] for mode, looks_up in LOOKS_UP.items() if looks_up)
    assert all(ANSWERS[mode] for mode, asks in ASKS_THE_MODEL.items() if asks)


def test_a_mode_that_nobody_knows_is_an_error(world):
    with pytest.raises(ValueError, match="turbo"):
        world.look(world.asked(Mode="turbo"))


# Endpoints that answer at once


@pytest.mark.parametrize("mode", ["realtime", "serverless"])
def test_an_endpoint_that_predicts_as_training_did_is_proved(world, mode):
    world.in_service()
    assert verdict(world.look(world.asked(Mode=mode))) == (
        "proved",
        f"endpoint {ENDPOINT} answers 2 samples as training did, to the last bit",
    )
    assert world.endpoints.asked == [(ENDPOINT, b"0.1,1\n2.5,2\n", "text/csv")]


def test_an_endpoint_is_proved_on_the_first_deployment_too(world):
    world.in_service()
    world.endpoints.answer = b"1\n2\n"
    assert world.look(world.asked("Create"))["state"] == "failed"


def test_a_prediction_that_differs_in_the_last_bit_is_named(world):
    world.in_service()
    world.endpoints.answer = b"0.3\n0.5\n"
    state, reason = verdict(world.look(world.asked()))
    assert state == "failed"
    assert "sample row 1 (id 'a') is answered with 0.3, and training wrote 0.30000000000000004" in reason


@pytest.mark.parametrize("answer", [b"0.5\n", b"", b"a,b\nnan\n", b"\xff\xfe"])
def test_an_answer_that_is_not_one_prediction_per_row_fails_and_says_so(world, answer):
    world.in_service()
    world.endpoints.answer = answer
    state, reason = verdict(world.look(world.asked()))
    assert state == "failed"
    assert "in a form that nobody can read" in reason or "sample row 1" in reason


@pytest.mark.parametrize("status", ["Creating", "Updating", "SystemUpdating", "RollingBack"])
def test_an_endpoint_that_is_changing_is_waited_for(world, status):
    world.endpoints.states[ENDPOINT] = EndpointState(status, "m-config-new", "")
    assert verdict(world.look(world.asked())) == ("proving", f"endpoint {ENDPOINT} is {status}")
    assert world.endpoints.asked == []


@pytest.mark.parametrize("status", ["Failed", "OutOfService", "Deleting", "UpdateRollbackFailed", "NewlyInvented"])
def test_an_endpoint_that_is_broken_fails_at_once_with_sagemakers_reason(world, status):
    world.endpoints.states[ENDPOINT] = EndpointState(status, "", "The primary container did not pass the ping check")
    state, reason = verdict(world.look(world.asked()))
    assert (state, status in reason) == ("failed", True)


def test_an_update_that_sagemaker_rolled_back_silently_is_noticed(world):
    world.endpoints.states[ENDPOINT] = EndpointState("InService", "m-config-old", "Request to service failed")
    state, reason = verdict(world.look(world.asked(), times=5))
    assert state == "failed"
    assert "configuration m-config-old instead of m-config-new" in reason
    assert "Request to service failed" in reason
    assert world.endpoints.asked == []


def test_a_stale_read_of_the_configuration_does_not_fail_a_deployment(world):
    world.in_service("m-config-old")
    proof = world.look(world.asked())
    world.in_service()
    assert (proof["state"], world.look(proof)["state"]) == ("proving", "proved")


def test_an_endpoint_that_somebody_deleted_is_named_with_the_command_that_makes_it_again(world):
    state, reason = verdict(world.look(world.asked(), times=5))
    assert state == "failed"
    assert f"create-endpoint --endpoint-name {ENDPOINT} --endpoint-config-name m-config-new" in reason


def test_an_endpoint_that_is_not_ready_is_asked_again(world):
    world.in_service()
    world.endpoints.answer = NotReady("ThrottlingException: Rate exceeded")
    proof = world.look(world.asked())
    assert proof["state"] == "proving"
    assert "Rate exceeded" in proof["reason"]
    world.endpoints.answer = RIGHT
    assert world.look(proof)["state"] == "proved"


def test_a_container_that_refuses_the_samples_is_believed_at_the_third_time(world):
    world.in_service()
    world.endpoints.answer = ModelAnswered(500, "worker died")
    proof = world.look(world.asked(), times=2)
    assert (proof["state"], proof["suspicions"]) == ("proving", 2)
    state, reason = verdict(world.look(proof))
    assert state == "failed"
    assert "HTTP 500: worker died" in reason
    assert f"/aws/sagemaker/Endpoints/{ENDPOINT}" in reason


def test_a_hiccup_that_passes_is_forgotten(world):
    world.in_service()
    world.endpoints.answer = ModelAnswered(500, "worker died")
    proof = world.look(world.asked(), times=2)
    world.endpoints.answer = NotReady("loading")
    assert world.look(proof)["suspicions"] == 0


def test_a_model_without_samples_is_proved_by_being_in_service_and_the_reason_says_so():
    world = World(samples=None)
    world.in_service()
    state, reason = verdict(world.look(world.asked()))
    assert (state, "no sample_payloads.json" in reason) == ("proved", True)
    assert world.endpoints.asked == []


@pytest.mark.parametrize(
    ("samples", "says"),
    [
        ({}, 'not a JSON object with "rows"'),
        ({"rows": []}, "at least one row"),
        ({"rows": [1]}, "row 1 is not an object"),
        ({"rows": [{"features": {"x": 1.0, "n": 1}}]}, "row 1 lacks 'p'"),
        ({"rows": [*SAMPLES["rows"], {"features": {"x": 1.0}, "p": 1}]}, "row 3 lacks the feature 'n'"),
        ({"rows": [{"features": [1.0, 1], "p": 1}]}, "'features' is not an object"),
    ],
)
def test_samples_that_training_did_not_write_are_refused_with_the_row(samples, says):
    world = World(samples=samples)
    world.in_service()
    state, reason = verdict(world.look(world.asked()))
    assert (state, says in reason) == ("failed", True), reason


def test_more_samples_than_a_request_carries_are_cut_not_refused():
    world = World(samples={"rows": SAMPLES["rows"][:1] * 40_000})
    world.in_service()
    world.endpoints.answer = RIGHT.splitlines(keepends=True)[0] * 10_000
    assert world.look(world.asked())["state"] == "proved"
    assert len(world.endpoints.asked[0][1]) <= 100_000


# Another model of the same mode: a new endpoint in the place of one that load has made larger

REPLACED = "dev-m-realtime-0f0f0f"
REPLACING = {"Mode": "realtime", "Endpoint": REPLACED, "EndpointConfig": "m-config-old"}


def test_a_new_endpoint_grows_to_the_size_of_the_one_it_replaces_before_it_is_asked(world):
    world.in_service(instances=1)
    world.in_service("m-config-old", REPLACED, instances=3)
    proof = world.look(world.asked(old=REPLACING))
    assert verdict(proof) == ("proving", f"endpoint {ENDPOINT} grows to 3 instances, as many as {REPLACED} has")
    assert (world.endpoints.grown, world.endpoints.asked) == ([(ENDPOINT, 3)], [])
    proof = world.look(proof)
    assert verdict(proof) == ("proving", f"endpoint {ENDPOINT} is Updating")
    world.in_service(instances=3)
    assert (world.look(proof)["state"], len(world.endpoints.grown)) == ("proved", 1)


def test_it_grows_no_further_than_it_may(world):
    world.in_service(instances=1)
    world.in_service("m-config-old", REPLACED, instances=9)
    world.look(world.asked(old=REPLACING))
    assert world.endpoints.grown == [(ENDPOINT, 4)]


@pytest.mark.parametrize(
    ("old", "instances", "most"),
    [(REPLACED, 1, 4), (REPLACED, 0, 4), ("dev-m-async-0f0f0f", 3, 4), (ENDPOINT, 3, 4), (REPLACED, 3, 0), ("", 3, 4)],
    ids=["as large", "at rest", "another family", "the same endpoint", "serverless", "none"],
)
def test_it_stays_as_it_is_where_nothing_larger_is_replaced(old, instances, most):
    world = World(most_instances=most)
    world.in_service("m-config-old", old, instances=instances)
    world.in_service(instances=1)
    assert world.look(world.asked(old={**REPLACING, "Endpoint": old}))["state"] == "proved"
    assert world.endpoints.grown == []


def test_an_old_endpoint_that_somebody_deleted_keeps_nothing_from_being_proved(world):
    world.in_service(instances=1)
    assert world.look(world.asked(old=REPLACING))["state"] == "proved"


def test_a_proof_fails_with_sagemakers_reason_where_there_are_no_more_instances(world):
    world.in_service(instances=1)
    world.in_service("m-config-old", REPLACED, instances=3)
    proof = world.look(world.asked(old=REPLACING))
    world.in_service(instances=1, reason="Unable to provision requested ML compute capacity")
    state, reason = verdict(world.look(proof, times=3))
    assert (state, "did not come to 3 instances" in reason) == ("failed", True)
    assert "Unable to provision" in reason
    assert len(world.endpoints.grown) == 1


def test_an_endpoint_that_its_own_scaling_is_changing_is_asked_again(world):
    world.in_service(instances=1)
    world.in_service("m-config-old", REPLACED, instances=3)

    def busy(name, instances):
        raise NotReady("Cannot update in-progress endpoint")

    grow, world.endpoints.grow = world.endpoints.grow, busy
    proof = world.look(world.asked(old=REPLACING))
    assert (proof["state"], "cannot grow yet" in proof["reason"]) == ("proving", True)
    world.endpoints.grow = grow
    assert "grows to 3" in world.look(proof)["reason"]


def test_a_failure_after_an_update_in_place_does_not_say_that_clients_noticed_nothing(world):
    world.in_service("m-config-old")
    asked = world.asked(old={"Mode": "realtime", "Endpoint": ENDPOINT, "EndpointConfig": "m-config-old"})
    told = json.loads(gating.answer_of(world.look(asked, times=5)))["Reason"]
    assert told.endswith(
        "Mode realtime still answers, with the model that it had; counts and limits of its endpoint go back."
    )
    beside = json.loads(gating.answer_of(world.look(world.asked(old=REPLACING), times=5)))["Reason"]
    assert beside.endswith("Clients have noticed nothing: mode realtime still answers them.")


# Endpoints that answer later


def test_an_asynchronous_endpoint_is_asked_once_and_its_answer_is_waited_for(world):
    world.in_service()
    proof = world.look(world.asked(Mode="async"), times=3)
    assert (proof["state"], len(world.endpoints.queued)) == ("proving", 1)
    assert "has not answered the samples yet" in proof["reason"]
    world.answer(proof["asked"]["output"])
    assert world.look(proof)["state"] == "proved"


def test_a_repeated_look_at_an_asynchronous_endpoint_uses_the_same_file(world):
    world.in_service()
    proof = world.asked(Mode="async")
    assert world.look(proof)["asked"] == world.look(proof)["asked"]
    assert len(world.endpoints.queued[0][2]) <= 32


def test_an_asynchronous_prediction_that_differs_fails(world):
    world.in_service()
    proof = world.look(world.asked(Mode="async"))
    world.answer(proof["asked"]["output"], b"0.30000000000000004\n0.25\n")
    assert "sample row 2 (id 'b') is answered with 0.25" in world.look(proof)["reason"]


def test_an_asynchronous_failure_is_told_in_the_models_words(world):
    world.in_service()
    proof = world.look(world.asked(Mode="async"))
    world.answer(proof["asked"]["failure"], b"row 1 has 3 values instead of 2")
    state, reason = verdict(world.look(proof, times=3))
    assert (state, "3 values instead of 2" in reason) == ("failed", True)


# Generations


def test_a_fresh_generation_of_the_model_version_is_enough(world):
    world.show(age=3600)
    proof = world.look(world.asked(Mode="precompute", Endpoint=""))
    assert proof["state"] == "proved"
    assert world.executions.started == {}


@pytest.mark.parametrize(("version", "age", "says"), [("v6", 60, "of model version v6"), ("v7", 3601, "3601 s old")])
def test_a_generation_that_is_old_or_of_another_model_is_made_anew(world, version, age, says):
    world.show(version=version, age=age)
    proof = world.look(world.asked(Mode="precompute", Endpoint=""))
    assert (proof["state"], says in proof["reason"]) == ("proving", True)
    assert list(world.executions.started) == [f"gate-{REQUEST}"]


def test_the_run_that_the_gate_starts_is_waited_for_until_its_generation_is_visible(world):
    proof = world.look(world.asked(Mode="precompute", Endpoint=""))
    trigger = world.executions.started[f"gate-{REQUEST}"]
    run_id = run_id_of(trigger)
    assert (trigger["trigger"], run_id in proof["reason"]) == ("gate", True)
    assert "has not begun" in world.look(proof)["reason"]
    world.run(run_id, "running", proof["execution"])
    world.clock.advance(40)
    assert verdict(world.look(proof)) == ("proving", f"run {run_id} makes a generation, since 40 s")
    world.run(run_id, "succeeded", proof["execution"])
    world.show(run_id)
    assert world.look(proof)["state"] == "proved"
    assert len(world.executions.started) == 1


def test_a_trigger_of_the_gate_is_one_that_the_pipeline_takes(world):
    from handlers.logic.run_identity import checked_trigger

    world.look(world.asked(Mode="precompute", Endpoint=""))
    trigger = world.executions.started[f"gate-{REQUEST}"]
    assert checked_trigger({**trigger, "execution": "arn"})["trigger"] == "gate"


def test_a_run_that_failed_fails_the_gate_with_its_error_and_cause(world):
    proof = world.look(world.asked(Mode="precompute", Endpoint=""))
    run_id = run_id_of(world.executions.started[f"gate-{REQUEST}"])
    world.run(run_id, "failed", proof["execution"], error="TooManyBadRows", cause="70 of 100 rows are bad.")
    state, reason = verdict(world.look(proof))
    assert state == "failed"
    assert f"run {run_id} failed: TooManyBadRows: 70 of 100 rows are bad. `turnout runs`" in reason
    assert "TooManyBadRows" in PERMANENT_RUN_ERRORS


@pytest.mark.parametrize("status", ["FAILED", "ABORTED", "TIMED_OUT"])
@pytest.mark.parametrize("claimed", [True, False])
def test_an_execution_that_ended_without_a_record_fails_the_gate(world, status, claimed):
    proof = world.look(world.asked(Mode="precompute", Endpoint=""))
    if claimed:
        world.run(run_id_of(world.executions.started[f"gate-{REQUEST}"]), "running", proof["execution"])
    world.executions.states[proof["execution"]] = ExecutionState(status, json.dumps({"errorMessage": "no table"}))
    state, reason = verdict(world.look(proof))
    assert (state, f"ended {status}" in reason, "no table" in reason) == ("failed", True, True)


def test_a_run_whose_generation_was_set_aside_does_not_pass(world):
    proof = world.look(world.asked(Mode="precompute", Endpoint=""))
    world.run(run_id_of(world.executions.started[f"gate-{REQUEST}"]), "succeeded", proof["execution"])
    world.show("20261123T070000Z", version="v6")
    state, reason = verdict(world.look(proof))
    assert (state, "generation 20261123T070000Z of model version v6 is visible" in reason) == ("failed", True)


LOOKED_UP = {"Mode": "precompute", "Endpoint": ""}


def test_old_data_that_were_scored_a_moment_ago_are_proof_unless_lookups_refuse_them(world):
    world.show(age=1, data_age=3_601)
    assert world.look(world.asked(**LOOKED_UP))["state"] == "proved"
    refusing = world.asked(RefusesStale="true", **LOOKED_UP)
    state, reason = verdict(world.look(refusing))
    assert (state, "is 3601 s old, more than 3600 s, so run" in reason) == ("proving", True)
    world.show(age=1, data_age=3_600)
    assert world.look(refusing)["state"] == "proved"


@pytest.mark.parametrize(("data_age", "state"), [(3_600, "proved"), (3_601, "failed")])
def test_a_run_that_makes_what_lookups_would_refuse_does_not_pass(world, data_age, state):
    proof = world.look(world.asked(RefusesStale="true", **LOOKED_UP))
    run_id = run_id_of(world.executions.started[f"gate-{REQUEST}"])
    world.run(run_id, "succeeded", proof["execution"])
    world.show(run_id, age=1, data_age=data_age)
    looked = world.look(proof)
    assert looked["state"] == state
    assert state == "proved" or "data that are 3601 s old already, more than 3600 s" in looked["reason"]


def test_a_run_may_take_longer_than_scores_are_fresh_where_they_are_served_all_the_same(world):
    proof = world.look(world.asked(**LOOKED_UP))
    run_id = run_id_of(world.executions.started[f"gate-{REQUEST}"])
    world.run(run_id, "succeeded", proof["execution"])
    world.show(run_id, age=4_000)
    assert world.look(proof)["state"] == "proved"


def test_the_first_deployment_awaits_no_generation(world):
    assert world.look(world.asked("Create", Mode="precompute", Endpoint=""))["state"] == "proved"
    assert world.executions.started == {}


def test_no_generation_is_made_where_none_is_wanted(world):
    assert world.look(world.asked(Mode="precompute", Endpoint="", FreshSeconds="0"))["state"] == "proved"
    assert world.executions.started == {}


def test_hybrid_proves_its_endpoint_first_and_asks_it_once():
    world = World(fallback="realtime")
    world.endpoints.states[ENDPOINT] = EndpointState("Creating", "m-config-new", "")
    proof = world.look(world.asked(Mode="hybrid"))
    assert (proof["state"], world.executions.started) == ("proving", {})
    world.in_service()
    proof = world.look(proof, times=3)
    assert (proof["state"], len(world.endpoints.asked), len(world.executions.started)) == ("proving", 1, 1)
    world.show()
    assert world.look(proof)["state"] == "proved"


# Time


def test_a_proof_is_given_up_at_its_deadline_with_what_was_awaited_last(world):
    world.endpoints.states[ENDPOINT] = EndpointState("Creating", "m-config-new", "")
    proof = world.look(world.asked())
    world.clock.advance(900)
    state, reason = verdict(world.look(proof))
    assert (state, reason) == (
        "failed",
        f"the proof was given up after 900 s; the last thing awaited was: endpoint {ENDPOINT} is Creating",
    )


def test_what_is_proved_in_the_last_second_is_proved(world):
    proof = world.asked()
    world.in_service()
    world.clock.advance(900)
    assert world.look(proof)["state"] == "proved"


def test_execution_names_hold_only_what_step_functions_allows():
    assert execution_name("a:b/c d") == "gate-a-b-c-d"
    assert len(execution_name("x" * 200)) == 80


# The drain

LEAVING = {"Endpoint": "dev-m-async-1a2b3c", "Mode": "async"}


def test_an_endpoint_that_leaves_is_kept_as_long_as_answers_take(world):
    proof = world.asked(old=LEAVING, Kind="drain", Mode="batch", Endpoint="")
    proof = world.look(proof)
    assert verdict(proof) == (
        "proving",
        "requests under way may still need the old front door: 0 of 35 s waited",
    )
    world.clock.advance(35)
    assert verdict(world.look(proof)) == ("proved", "nobody waits for endpoint dev-m-async-1a2b3c any more")


@pytest.mark.parametrize("old", [{"Endpoint": "", "Mode": "precompute"}, {"Endpoint": ENDPOINT, "Mode": "hybrid"}])
def test_where_no_endpoint_leaves_only_the_old_front_door_is_waited_for(world, old):
    world.request(0)
    proof = world.look(world.asked(old=old, Kind="drain"))
    assert proof["state"] == "proving"
    world.clock.advance(35)
    assert world.look(proof)["state"] == "proved"


def test_a_first_deployment_has_nothing_to_drain(world):
    assert world.look(world.asked("Create", Kind="drain"))["state"] == "proved"


def test_an_endpoint_is_kept_until_its_queued_requests_are_answered(world):
    first, second = world.request(0), world.request(1)
    proof = world.asked(old=LEAVING, Kind="drain", Mode="batch", Endpoint="")
    world.clock.advance(40)
    proof = world.look(proof)
    assert (proof["state"], "2 asynchronous requests" in proof["reason"]) == ("proving", True)
    world.answer(second.output_uri)
    assert first.id in world.look(proof)["reason"]
    world.answer(first.failure_uri)
    assert world.look(proof)["state"] == "proved"


@pytest.mark.parametrize("end", ["", ".out"])
def test_answers_from_before_the_oldest_request_that_waits_are_not_listed(world, end):
    for number in range(10_000):
        world.answer(f"s3://data/async/m/output/20261122T000000Z-{number:015x}{end}")
    waiting = world.request(0)
    world.requests.stored[:] = [replace(waiting, output_uri=waiting.output_uri + end)]
    proof = world.asked(old=LEAVING, Kind="drain", Mode="batch", Endpoint="")
    world.clock.advance(40)
    assert (world.look(proof)["state"], world.objects.listed) == ("proving", 0)
    world.answer(waiting.output_uri + end)
    assert (world.look(proof)["state"], world.objects.listed) == ("proved", 1)


def test_a_drain_looks_on_after_a_look_that_failed(world):
    waiting = world.request(0, waits=5000)
    caught = {"Error": "Lambda.Unknown", "Cause": json.dumps({"errorMessage": "Task timed out after 90.00 seconds"})}
    proof = {**world.asked(old=LEAVING, Kind="drain", Mode="batch", Endpoint=""), "failure": caught}
    world.clock.advance(899)
    seen = world.look(proof)
    assert (seen["state"], "failure" in seen, waiting.id in seen["reason"]) == ("proving", False, True)


def test_a_drain_whose_looks_fail_to_the_last_lets_the_endpoint_go_at_the_deadline_without_a_look(world):
    caught = {"Error": "Lambda.Unknown", "Cause": json.dumps({"errorMessage": "Task timed out after 90.00 seconds"})}
    proof = {**world.asked(old=LEAVING, Kind="drain", Mode="batch", Endpoint=""), "failure": caught}
    world.clock.advance(900)
    seen = gating.looked(proof, {}, world.clock)
    answer = json.loads(gating.answer_of(seen))
    assert answer["Status"] == "SUCCESS"
    assert answer["Reason"] == (
        "the old endpoint is let go after 900 s although nobody could look who still waits: "
        "Lambda.Unknown: Task timed out after 90.00 seconds"
    )


def test_requests_that_the_new_endpoint_has_accepted_do_not_keep_the_old_one(world):
    world.request(0, waits=5000, endpoint=ENDPOINT)
    proof = world.asked(old=LEAVING, Kind="drain", Mode="async")
    world.clock.advance(40)
    assert world.look(proof)["state"] == "proved"


def test_requests_that_sagemaker_has_dropped_keep_nothing(world):
    world.request(0, waits=20)
    proof = world.asked(old=LEAVING, Kind="drain", Mode="batch", Endpoint="")
    world.clock.advance(40)
    assert world.look(proof)["state"] == "proved"


def test_an_endpoint_is_let_go_at_the_deadline_and_the_reason_says_who_waited(world):
    world.request(0, waits=5000)
    proof = world.asked(old=LEAVING, Kind="drain", Mode="batch", Endpoint="")
    world.clock.advance(900)
    state, reason = verdict(world.look(proof))
    assert (state, "is let go after 900 s although 1 asynchronous requests" in reason) == ("proved", True)


# The answer


def test_a_proof_is_answered_with_success_and_its_reason(world):
    world.in_service()
    proof = world.look(world.asked())
    assert json.loads(gating.answer_of(proof)) == {
        "Status": "SUCCESS",
        "Reason": proof["reason"],
        "PhysicalResourceId": "dev-m-prove",
        "StackId": proof["stack_id"],
        "RequestId": REQUEST,
        "LogicalResourceId": "GateProof5A2B1C3D",
        "NoEcho": False,
        "Data": {},
    }


def test_a_failure_says_who_still_answers_clients(world):
    answer = json.loads(gating.answer_of(world.look(world.asked(), times=5)))
    assert answer["Status"] == "FAILED"
    assert answer["Reason"].endswith("Clients have noticed nothing: mode precompute still answers them.")


def test_a_step_that_step_functions_caught_is_a_failure_with_its_text(world):
    caught = {"Error": "ClientError", "Cause": json.dumps({"errorMessage": "AccessDenied on Describe"})}
    answer = json.loads(gating.answer_of({**world.asked(), "failure": caught}))
    assert answer["Status"] == "FAILED"
    assert "the gate itself failed: ClientError: AccessDenied on Describe" in answer["Reason"]


@pytest.mark.parametrize("state", [None, "proving", "nonsense"])
def test_without_a_verdict_nothing_passes(world, state):
    assert json.loads(gating.answer_of({**world.asked(), "state": state}))["Status"] == "FAILED"


@pytest.mark.parametrize("text", ["x" * 100_000, "\u00e9\u2603\U0001f600" * 9_000, '"\\' * 9_000])
@pytest.mark.parametrize("state", ["failed", "proved"])
def test_an_answer_is_never_longer_than_cloudformation_takes(world, text, state):
    answer = gating.answer_of({**world.asked(), "state": state, "reason": text})
    assert len(answer) <= 4_096
    assert json.loads(answer)["Reason"]


def test_a_drain_that_fails_says_that_nothing_is_gone(world):
    proof = {**world.asked(Kind="drain"), "failure": {"Error": "StoreUnavailable", "Cause": "throttled"}}
    assert "Nothing was taken away" in json.loads(gating.answer_of(proof))["Reason"]
