"""The gate before the front door: what it is told, what it may do, and that it always answers."""

import json

import pytest

from handlers.contract.answering import ANSWERS, ASKS_THE_MODEL
from handlers.contract.env import GateEnv
from handlers.contract.gating import GateProperties
from handlers.contract.modes import ServingMode
from infra.constructs.gate import BadPace, Pace
from infra.constructs.gate_definition import (
    GRACE_SECONDS,
    LONGEST_POLL_SECONDS,
    MACHINE_TIMEOUT_SECONDS,
    SUBSTITUTIONS,
    gate_definition,
)
from tests.synth.cloudformation import text_of, texts_of
from tests.synth.conftest import EVERY_MODE, Served, Synth, Template, entry

STATES = gate_definition(poll_seconds=5)["States"]


def gate(template: Template) -> dict:
    return template.only("Custom::TurnoutGate")


def drain(template: Template) -> dict:
    return template.only("Custom::TurnoutDrain")


def allowed(template: Template, role: str) -> set[tuple[str, str]]:
    statements = template.starting_with(role, "AWS::IAM::Role")["Policies"][0]["PolicyDocument"]["Statement"]
    return {(a, place) for s in statements for a in texts_of(s["Action"]) for place in texts_of(s["Resource"])}


def environments(template: Template) -> dict[str, GateEnv]:
    """Return entry -> environment of the gate's functions."""
    functions = template.properties("AWS::Lambda::Function")
    return {
        f["Handler"].split(".")[1]: GateEnv.from_environ(
            {name: text_of(value) for name, value in f["Environment"]["Variables"].items()}
        )
        for f in functions
        if f["Handler"].split(".")[1] in ("gate", "prove", "answer")
    }


@pytest.mark.parametrize(("mode", "more"), EVERY_MODE)
def test_gate_and_drain_are_told_what_the_contract_says_and_called_by_one_function(
    mode: str, more: str, served: Served
):
    template = served(mode, more)
    for resource, kind in ((gate(template), "prove"), (drain(template), "drain")):
        of_its_kind = {"prove": {"LostAnswersAcknowledged"}, "drain": {"DrainSeconds", "Release"}}
        assert set(resource) == GateProperties.__required_keys__ | of_its_kind[kind] | {"ServiceTimeout"}
        assert (resource["Kind"], resource["Mode"]) == (kind, mode)
    assert gate(template)["ServiceToken"] == drain(template)["ServiceToken"]
    function = template.resources[gate(template)["ServiceToken"]["Fn::GetAtt"][0]]
    assert function["Properties"]["Handler"] == "handlers.gate.handler"


@pytest.mark.parametrize(("mode", "more"), EVERY_MODE)
def test_the_answer_is_the_gates_own_within_the_hour_that_cloudformation_waits(mode: str, more: str, served: Served):
    for resource in (gate(served(mode, more)), drain(served(mode, more))):
        assert int(resource["BoundSeconds"]) + GRACE_SECONDS == int(resource["ServiceTimeout"]) <= 3600
    assert MACHINE_TIMEOUT_SECONDS > 3600


@pytest.mark.parametrize("mode", ["precompute", "realtime"])
def test_a_look_that_fails_to_the_last_leaves_time_for_the_gates_own_answer(mode: str, served: Served):
    """The worst that can happen at the bound: a wait has just begun, and the look after it times out each time."""
    template = served(mode)
    timeout = {
        f["Handler"].split(".")[1]: f["Timeout"] for f in template.properties("AWS::Lambda::Function") if "Timeout" in f
    }
    look = STATES["Prove"]
    waits = [
        min(rule["IntervalSeconds"] * rule["BackoffRate"] ** number, rule["MaxDelaySeconds"])
        for rule in look["Retry"]
        for number in range(rule["MaxAttempts"])
    ]
    assert look["TimeoutSeconds"] == timeout["prove"]
    worst = (
        timeout["gate"] + LONGEST_POLL_SECONDS + (1 + len(waits)) * timeout["prove"] + sum(waits) + timeout["answer"]
    )
    assert worst <= GRACE_SECONDS


def test_no_pace_is_longer_than_the_grace_allows_for():
    Pace.from_settings(drain="600", gate_poll=str(LONGEST_POLL_SECONDS))
    with pytest.raises(BadPace, match=f"1 to {LONGEST_POLL_SECONDS}"):
        Pace.from_settings(drain=None, gate_poll=str(LONGEST_POLL_SECONDS + 1))


@pytest.mark.parametrize(
    ("mode", "wanted"),
    [("batch", 0), ("realtime", 0), ("serverless", 0), ("async", 0), ("precompute", 172800), ("hybrid", 172800)],
)
def test_only_modes_that_look_scores_up_want_a_fresh_generation(mode: str, wanted: int, served: Served):
    assert gate(served(mode))["FreshSeconds"] == str(wanted)


@pytest.mark.parametrize(
    ("mode", "settings", "said"),
    [
        ("precompute", "    on_stale: refuse\n", "true"),
        ("hybrid", "    on_stale: refuse\n", "true"),
        ("precompute", "    on_stale: serve\n", None),
        ("batch", "    on_stale: refuse\n", None),
    ],
)
def test_the_gate_knows_where_lookups_refuse_old_scores(mode: str, settings: str, said: str | None, served: Served):
    assert gate(served(mode, settings)).get("RefusesStale") == said


@pytest.mark.parametrize(
    ("settings", "said"), [("", "false"), ("    acknowledge: [lost-answers]\n", "true")], ids=["silent", "said"]
)
def test_the_gate_knows_whether_lost_answers_are_meant(settings: str, said: str, served: Served):
    assert gate(served("batch", settings))["LostAnswersAcknowledged"] == said


@pytest.mark.parametrize(("mode", "more"), EVERY_MODE)
def test_the_word_that_is_withdrawn_drains_nothing_again(mode: str, more: str, served: Served):
    silent, said = served(mode, more), served(mode, f"{more}    acknowledge: [lost-answers]\n")
    assert drain(silent) == drain(said)
    assert {name for name, value in gate(silent).items() if gate(said)[name] != value} == {"LostAnswersAcknowledged"}


@pytest.mark.parametrize(("mode", "more"), EVERY_MODE)
def test_its_functions_find_their_environment(mode: str, more: str, served: Served):
    template = served(mode, more)
    found = environments(template)
    assert set(found) == {"gate", "prove", "answer"}
    assert {env.mode for env in found.values()} == {mode}
    assert found["gate"].gate_machine.startswith("<GateMachine")
    assert found["prove"].gate_machine == found["answer"].gate_machine == ""
    assert found["prove"].samples_key.endswith(".json")
    assert bool(found["prove"].pipeline) == ("StateMachineArn" in template.body["Outputs"])
    assert bool(found["prove"].endpoint) == ("EndpointName" in template.body["Outputs"])
    assert found["prove"].fallback == (more.split()[3] if more else "serverless" if mode == "hybrid" else "")


def test_a_model_without_samples_tells_the_gate_so(synth: Synth):
    template = synth(entry(more="    artifact: s3://models-of-mine/churn/model.tar.gz\n"))["churn"]
    env = environments(template)["prove"]
    assert (env.samples_bucket, env.samples_key) == ("", "")


def test_an_artifact_in_s3_may_have_samples_in_the_repository(synth: Synth):
    settings = "    artifact: s3://models-of-mine/churn/model.tar.gz\n"
    kept = "    samples: model_code/other/artifact/sample_payloads.json\n"
    template = synth(entry("other"), entry("churn", mode="realtime", more=settings + kept))["churn"]
    assert environments(template)["prove"].samples_key.endswith(".json")


def test_the_samples_are_uploaded_as_they_are(synth: Synth):
    template = synth(entry(mode="realtime"))["churn"]
    key = environments(template)["prove"].samples_key
    sources = synth(entry(mode="realtime")).assets("churn")
    assert sources[key.removesuffix(".json")]["source"]["path"].endswith("sample_payloads.json")


def test_who_takes_the_question_may_hand_it_on_and_look_at_its_own_stack(served: Served):
    template = served("hybrid")
    (machine,) = [id for id in template.of_type("AWS::StepFunctions::StateMachine") if id.startswith("Gate")]
    assert allowed(template, "GateGateRole") - logs(template) == {
        ("states:StartExecution", f"<{machine}.Arn>"),
        ("cloudformation:DescribeStacks", "<AWS::StackId>"),
    }
    assert allowed(template, "GateAnswerRole") == logs(template)


def logs(template: Template) -> set[tuple[str, str]]:
    (group,) = [id for id in template.of_type("AWS::Logs::LogGroup") if id.startswith("Gate")]
    return {("logs:CreateLogStream", f"<{group}.Arn>"), ("logs:PutLogEvents", f"<{group}.Arn>")}


GROW = "sagemaker:UpdateEndpointWeightsAndCapacities"
ENDPOINT = r"arn:<AWS::Partition>:sagemaker:<AWS::Region>:<AWS::AccountId>:endpoint/"


@pytest.mark.parametrize(
    ("mode", "more", "asks"),
    [
        ("batch", "", set()),
        ("precompute", "", set()),
        ("realtime", "", {"sagemaker:DescribeEndpoint", "sagemaker:InvokeEndpoint", GROW}),
        ("serverless", "", {"sagemaker:DescribeEndpoint", "sagemaker:InvokeEndpoint"}),
        ("hybrid", "", {"sagemaker:DescribeEndpoint", "sagemaker:InvokeEndpoint"}),
        ("async", "", {"sagemaker:DescribeEndpoint", "sagemaker:InvokeEndpointAsync", GROW}),
    ],
)
def test_who_looks_may_ask_the_modes_own_endpoint_and_no_other(mode: str, more: str, asks: set[str], served: Served):
    template = served(mode, more)
    found = {(a, p) for a, p in allowed(template, "GateProveRole") if a.startswith("sagemaker:")}
    own = environments(template)["prove"].endpoint
    assert {action for action, _ in found} == asks
    # How many instances the endpoint has that this one replaces, it may see: one of any identity, but of this family.
    replaced = {("sagemaker:DescribeEndpoint", f"{ENDPOINT}{own[:-6]}??????")} if GROW in asks else set()
    assert {(action, place) for action, place in found if place != ENDPOINT + own} == replaced


@pytest.mark.parametrize(
    ("mode", "more", "most"),
    [
        ("realtime", "", 4),
        ("realtime", "    realtime: { instance_count: 3, max_instances: 3 }\n", 3),
        ("async", "    async: { max_instances: 7 }\n", 7),
        ("async", "    async: { instance_type: ml.t2.medium, max_instances: 7 }\n", 1),
        ("hybrid", "    hybrid: { fallback: realtime }\n", 4),
        ("serverless", "", 0),
        ("precompute", "", 0),
    ],
)
def test_the_gate_knows_how_far_an_endpoint_may_grow(mode: str, more: str, most: int, served: Served):
    assert environments(served(mode, more))["prove"].most_instances == most


@pytest.mark.parametrize(("mode", "more"), EVERY_MODE)
def test_only_a_mode_that_takes_the_model_away_looks_at_the_counts(mode: str, more: str, served: Served):
    reads = "cloudwatch:GetMetricData" in {action for action, _ in allowed(served(mode, more), "GateProveRole")}
    assert reads is (ANSWERS[ServingMode(mode)] and not ASKS_THE_MODEL[ServingMode(mode)])


@pytest.mark.parametrize(("mode", "starts"), [("batch", False), ("realtime", False), ("precompute", True)])
def test_who_looks_may_start_runs_where_a_generation_has_to_be_made(mode: str, starts: bool, served: Served):
    actions = {action for action, _ in allowed(served(mode), "GateProveRole")}
    assert ({"states:StartExecution", "states:DescribeExecution"} <= actions) is starts


def test_who_looks_writes_nothing(served: Served):
    actions = {action for action, _ in allowed(served("hybrid", EVERY_MODE[4][1]), "GateProveRole")}
    assert {a for a in actions if a.startswith(("dynamodb:", "s3:"))} == {
        "dynamodb:GetItem",
        "dynamodb:Query",
        "s3:GetObject",
        "s3:ListBucket",
    }


def test_the_machine_calls_its_two_functions_logs_and_is_traced(served: Served):
    template = served("realtime")
    machine = template.starting_with("GateMachine", "AWS::StepFunctions::StateMachine")
    assert set(machine["DefinitionSubstitutions"]) == set(SUBSTITUTIONS)
    assert machine["LoggingConfiguration"]["Level"] == "ALL"
    assert machine["TracingConfiguration"] == {"Enabled": True}
    invoked = {place for action, place in allowed(template, "GateRole") if action == "lambda:InvokeFunction"}
    assert invoked == {text_of(arn) for arn in machine["DefinitionSubstitutions"].values()}


# the machine as data


def test_a_look_is_repeated_until_there_is_a_verdict():
    assert STATES["Prove"]["Next"] == "Decided"
    assert STATES["Decided"]["Choices"] == [{"Variable": "$.state", "StringEquals": "proving", "Next": "Wait"}]
    assert STATES["Decided"]["Default"] == "Answer"
    assert STATES["Wait"] == {"Type": "Wait", "Seconds": 5, "Next": "Prove"}


def test_whatever_happens_to_a_look_cloudformation_is_answered():
    assert STATES["Prove"]["Catch"] == [{"ErrorEquals": ["States.ALL"], "ResultPath": "$.failure", "Next": "Failed"}]
    assert STATES["Failed"]["Default"] == "Answer"
    ends = [name for name, state in STATES.items() if state.get("End") or state["Type"] in ("Fail", "Succeed")]
    assert ends == ["Answer"]


def test_a_drain_whose_look_failed_looks_again_for_the_proved_mode_serves_by_then():
    assert STATES["Failed"]["Choices"] == [{"Variable": "$.kind", "StringEquals": "drain", "Next": "Prove"}]


def test_a_killed_look_is_repeated_and_an_answer_is_tried_for_a_long_time():
    retried = [error for rule in STATES["Prove"]["Retry"] for error in rule["ErrorEquals"]]
    assert {"Lambda.TooManyRequestsException", "States.ALL"} <= set(retried)
    (answer,) = STATES["Answer"]["Retry"]
    assert (answer["ErrorEquals"], answer["MaxAttempts"]) == (["States.ALL"], 10)


def test_the_definition_leaves_open_what_it_says():
    text = json.dumps(gate_definition(poll_seconds=1))
    assert all(f"${{{name}}}" in text for name in SUBSTITUTIONS)
    assert text.count("${") == len(SUBSTITUTIONS)


# its pace


def test_the_old_endpoint_stays_longer_than_a_request_may_take(served: Served):
    timeout = served("realtime").starting_with("FrontDoorHandler", "AWS::Lambda::Function")["Timeout"]
    assert int(drain(served("realtime"))["DrainSeconds"]) > timeout == 30


def test_the_pace_is_a_setting_of_the_command_line():
    assert Pace.from_settings(drain=None, gate_poll=None) == Pace(poll_seconds=5, drain_seconds=35)
    assert Pace.from_settings(drain="2", gate_poll="1") == Pace(poll_seconds=1, drain_seconds=2)


@pytest.mark.parametrize("text", ["", "fast", "-1", "0", "2.5", "601", "٣x"])
def test_a_pace_that_is_no_number_of_seconds_is_refused(text: str):
    with pytest.raises(BadPace, match=f"-c drain={text}"):
        Pace.from_settings(drain=text, gate_poll=None)
