"""The promise: a mode is one word, and changing it moves nothing that a client or another model can see."""

import itertools
import re
from pathlib import Path

import pytest

from handlers.contract.modes import AVAILABLE
from tests.synth.cloudformation import statements_of, texts_of, waits_for
from tests.synth.conftest import EVERY_MODE, Served, Synth, Template, entry, without_identity, write_code_folder

#: What a switch leaves as it is, to the letter: what callers hold on to, and what data lies in.
UNTOUCHED = {
    "AWS::ApiGatewayV2::Integration",
    "AWS::ApiGatewayV2::Route",
    "AWS::DynamoDB::Table",
    "AWS::Lambda::Permission",
    "AWS::Logs::LogGroup",
}
MODES = [mode.value for mode in sorted(AVAILABLE)]
PAIRS = list(itertools.permutations(MODES, 2))

#: What a switch is about: groups of resources, by the start of their logical ids, and who has them.
GROUPS = {
    "pipeline": r"Serving(Pipeline|Trigger|Freshness)",
    "realtime": "ServingRealtime",
    "serverless": "ServingServerless",
    "async": "ServingAsync",
    "alarms on runs": "Alarms(RunFailed|Execution|Stale|TriggerLost)",
    "alarms on calls": "AlarmsEndpoint(Errors|Slow)",
    "alarms on refusals": "AlarmsLiveRefused",
    "alarms on concurrency": "AlarmsEndpointFull",
    "alarms on the queue": "AlarmsRequests",
}
SCORED = {"pipeline", "alarms on runs"}
ON_CALLS = {"alarms on calls", "alarms on refusals"}
HAS = {
    "batch": SCORED,
    "precompute": SCORED,
    "hybrid": SCORED | {"serverless", "alarms on concurrency"} | ON_CALLS,
    "realtime": {"realtime"} | ON_CALLS,
    "serverless": {"serverless", "alarms on concurrency"} | ON_CALLS,
    "async": {"async", "alarms on the queue", "alarms on refusals"},
}


def ids(template: Template) -> dict[str, str]:
    """Return logical id -> type, leaving out what a release of the front door is meant to exchange.

    Alarms on an endpoint come without its identity: each endpoint has its own.
    """
    exchanged = re.compile(r"FrontDoor(Version|HandlerRole)[0-9a-f]{10}")
    own = re.compile(r"(Alarms(?:Endpoint|Requests)[A-Z][a-z]+)[0-9a-f]{6}[0-9A-F]{8}")
    return {own.sub(r"\1", id): r["Type"] for id, r in template.resources.items() if not exchanged.match(id)}


def group_of(id: str) -> str | None:
    return next((group for group, start in GROUPS.items() if re.match(start, id)), None)


def front_door_role(template: Template) -> tuple[str, dict]:
    """Return logical id and resource of the role that the published version works under."""
    role = template.starting_with("FrontDoorHandler", "AWS::Lambda::Function")["Role"]["Fn::GetAtt"][0]
    return role, template.resources[role]


def test_every_available_mode_is_served_and_no_other():
    from infra.serving import SERVING

    assert set(SERVING) == AVAILABLE


def test_every_mode_offers_what_a_stack_asks_of_it(served: Served):
    from infra.serving import SERVING
    from infra.serving.base import Serving

    assert all(issubclass(serving, Serving) for serving in SERVING.values())
    for mode in MODES:
        assert served(mode).body["Outputs"]["Mode"]["Value"] == mode


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_has_what_the_table_says_and_nothing_else(mode: str, served: Served):
    assert {group for id in ids(served(mode)) if (group := group_of(id))} == HAS[mode]


@pytest.mark.parametrize(("before", "after"), PAIRS)
def test_a_switch_creates_removes_and_keeps_what_the_table_says(before: str, after: str, served: Served):
    old, new = ids(served(before)), ids(served(after))
    assert {group_of(id) for id in set(new) - set(old)} == HAS[after] - HAS[before]
    assert {group_of(id) for id in set(old) - set(new)} == HAS[before] - HAS[after]
    assert {group_of(id) for id in set(old) & set(new)} == (HAS[before] & HAS[after]) | {None}


@pytest.mark.parametrize(("before", "after"), PAIRS)
def test_a_switch_leaves_routes_table_logs_and_outputs_as_they_are(before: str, after: str, served: Served):
    old, new = served(before), served(after)
    for id, kind in ids(old).items():
        if kind in UNTOUCHED and id in new.resources:
            assert old.resources[id] == new.resources[id], id
    names = {"FrontDoorName", "ModelVersion", "PredictUrl", "TableName"}
    assert {n: old.body["Outputs"][n] for n in names} == {n: new.body["Outputs"][n] for n in names}


@pytest.mark.parametrize(("before", "after"), PAIRS)
def test_a_switch_moves_the_alias_to_a_new_version_of_the_same_function(before: str, after: str, served: Served):
    old, new = served(before).only("AWS::Lambda::Alias"), served(after).only("AWS::Lambda::Alias")
    assert old["FunctionName"] == new["FunctionName"]
    assert old["FunctionVersion"] != new["FunctionVersion"]


@pytest.mark.parametrize(("before", "after"), PAIRS)
def test_the_version_that_answers_never_loses_a_right_during_a_switch(before: str, after: str, served: Served):
    """A role that changes does so under another id: CloudFormation deletes the old one after the alias has moved."""
    (old_id, old), (new_id, new) = front_door_role(served(before)), front_door_role(served(after))
    assert (old_id == new_id) == (old["Properties"] == new["Properties"])


@pytest.mark.parametrize(("before", "after"), PAIRS)
def test_an_endpoint_that_stays_keeps_its_rights_and_is_not_updated(before: str, after: str, served: Served):
    old, new = served(before), served(after)
    for family in {"realtime", "serverless", "async"} & HAS[before] & HAS[after]:
        for id in old.resources:
            if group_of(id) == family:
                assert old.resources[id] == new.resources[id], id


@pytest.mark.parametrize("family", ["realtime", "serverless", "async"])
def test_hybrid_falls_back_to_the_very_endpoint_that_the_familys_own_mode_has(family: str, served: Served):
    alone, hybrid = served(family), served("hybrid", f"    hybrid: {{ fallback: {family} }}\n")
    settings = f"    hybrid: {{ fallback: {family} }}\n"
    assert served(family, settings).text == alone.text  # settings of another mode change nothing
    kept = [id for id in alone.resources if group_of(id) == family]
    assert len(kept) >= 4
    assert all(hybrid.resources[id] == alone.resources[id] for id in kept)


def test_ways_to_score_share_their_pipeline(served: Served):
    """In place: the machine, its functions and their log; the trigger and the model are not even touched."""
    batch, precompute, hybrid = (served(mode) for mode in ("batch", "precompute", "hybrid"))
    for id in batch.resources:
        if re.match("ServingTrigger", id):
            assert batch.resources[id] == precompute.resources[id] == hybrid.resources[id]
    assert {id for id in ids(hybrid) if group_of(id) == "pipeline"} == {
        id for id in ids(batch) if group_of(id) == "pipeline"
    }


@pytest.mark.parametrize(("mode", "more"), EVERY_MODE)
def test_the_front_door_moves_last_and_the_clean_up_waits(mode: str, more: str, served: Served):
    """In CloudFormation's order: all that the mode needs, the gate, the front door, the drain; then the clean-up."""
    template = served(mode, more)
    (gate,) = template.of_type("Custom::TurnoutGate")
    (drain,) = template.of_type("Custom::TurnoutDrain")
    (alias,) = template.of_type("AWS::Lambda::Alias")
    (version,) = template.of_type("AWS::Lambda::Version")
    serving = {id for id in template.resources if id.startswith("Serving")}
    function = next(id for id in template.of_type("AWS::Lambda::Function") if id.startswith("FrontDoorHandler"))
    assert serving <= waits_for(template, gate)
    assert gate in template.resources[function]["DependsOn"]
    assert {function, version} <= waits_for(template, alias)
    assert alias in template.resources[drain]["DependsOn"]


def test_every_release_of_the_front_door_is_drained(served: Served):
    """Its old version and role are deleted in the clean-up, whether or not an endpoint goes."""

    def release(more: str = "") -> str:
        return served("precompute", more).only("Custom::TurnoutDrain")["Release"]

    assert release() != release("    max_staleness: 3d\n")
    assert release() == release("    transform: { max_concurrent: 1 }\n")


@pytest.mark.parametrize(("mode", "more"), EVERY_MODE)
def test_nothing_that_the_gate_waits_for_waits_for_the_front_door(mode: str, more: str, served: Served):
    template = served(mode, more)
    (gate,) = template.of_type("Custom::TurnoutGate")
    assert not {id for id in waits_for(template, gate) if id.startswith("FrontDoor")}
    assert not [id for id in template.resources if id in waits_for(template, id)]


@pytest.mark.parametrize(("mode", "more"), EVERY_MODE)
def test_the_front_doors_role_is_there_before_the_gate_has_finished(mode: str, more: str, served: Served):
    """IAM needs a moment until everybody knows a new role, and the gate takes longer than that moment."""
    template = served(mode, more)
    role, _ = front_door_role(template)
    assert not {id for id in waits_for(template, role) if id.startswith("Gate")}


@pytest.mark.parametrize(("mode", "more"), EVERY_MODE)
def test_logical_ids_say_families_of_endpoints_and_no_modes(mode: str, more: str, served: Served):
    words = re.compile("|".join(MODES), re.IGNORECASE)
    said = {id for id in served(mode, more).resources if words.search(id)}
    assert {id for id in said if not re.match("Serving(Realtime|Serverless|Async)", id)} == set()


def test_a_role_that_is_allowed_something_else_is_another_role(served: Served):
    def grants(template: Template) -> set[str]:
        _, role = front_door_role(template)
        return {
            f"{action} {place}"
            for statement in statements_of(role)
            for action in texts_of(statement["Action"])
            for place in texts_of(statement["Resource"])
        }

    small, large = served("realtime"), served("realtime", "    realtime: { instance_type: ml.m5.xlarge }\n")
    assert grants(small) != grants(large)
    assert front_door_role(small)[0] != front_door_role(large)[0]
    assert front_door_role(small)[0] == front_door_role(served("realtime", "    realtime: { max_instances: 9 }\n"))[0]


FAMILIES = ["realtime", "serverless", "async"]
#: Settings that make another SageMaker model, or have it run on something else.
ANOTHER = {
    "environment": "    environment: { A: b }\n",
    "image": "    framework_version: 1.4-2-py312\n",
    "image of one's own": "    image: 111122223333.dkr.ecr.eu-west-1.amazonaws.com/mine/churn:7\n",
    "artifact": "    artifact: s3://models-of-mine/churn/model.tar.gz\n",
    "instances": "    realtime: { instance_type: ml.m5.xlarge }\n    async: { instance_type: ml.m5.xlarge }\n"
    "    serverless: { memory_mb: 4096 }\n",
}
#: Settings that an endpoint takes while it serves.
IN_PLACE = {
    "realtime": "    realtime: { instance_count: 3, concurrent_requests_per_model: 9 }\n",
    "serverless": "    serverless: { max_concurrency: 7, provisioned_concurrency: 2 }\n",
    "async": "    async: { max_instances: 7, max_concurrent_per_instance: 2, backlog_per_instance: 3 }\n",
}


def endpoint_name(template: Template) -> str:
    return template.only("AWS::SageMaker::Endpoint")["EndpointName"]


def own_ids(template: Template, family: str) -> set[str]:
    """Return the logical ids of what belongs to the endpoint alone; the topics belong to whoever listens."""
    kept = re.compile(r"ServingAsync(Success|Error)|AlarmsLiveRefused")
    return {id for id in template.resources if group_of(id) in (family, *ENDPOINT_ALARMS) and not kept.match(id)}


ENDPOINT_ALARMS = ("alarms on calls", "alarms on concurrency", "alarms on the queue")


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("more", ANOTHER.values(), ids=ANOTHER)
def test_another_model_is_another_endpoint_and_nothing_of_the_old_one_is_touched(
    more: str, family: str, served: Served
):
    """Updated in place, the endpoint that serves would have the new model before the gate has proved it."""
    old, new = served(family), served(family, more)
    assert endpoint_name(old) != endpoint_name(new)
    assert own_ids(old, family)
    assert not own_ids(old, family) & own_ids(new, family)
    assert {without_identity(id)[:-8] for id in own_ids(old, family) if id.startswith("Serving")} == {
        without_identity(id)[:-8] for id in own_ids(new, family) if id.startswith("Serving")
    }


def test_isolation_is_part_of_what_a_model_is(served: Served):
    open_network = "    network_isolation: false\n"
    for family, changes in (("realtime", True), ("async", True), ("serverless", False)):
        assert (endpoint_name(served(family)) != endpoint_name(served(family, open_network))) is changes


def test_a_model_that_was_trained_again_stands_beside_the_old_one_in_hybrid_too(synth: Synth, tmp_path_factory):
    from infra.stacks import add_stacks, new_app
    from turnout.config import load, stage

    root = tmp_path_factory.mktemp("retrained")
    write_code_folder(root / "model_code/churn")
    text = "models:" + entry(mode="hybrid", more="    hybrid: { fallback: realtime }\n")
    (root / "models.yaml").write_text(text)
    names = {}
    for weights in ("1", "2", "1"):
        (root / "model_code/churn/artifact/weights.json").write_text(weights)
        app = new_app(tmp_path_factory.mktemp("assembly"))
        add_stacks(app, load(root / "models.yaml", root=root), stage=stage("dev"))
        app.synth()
        template = Template(Path(app.outdir) / "turnout-dev-churn.template.json")
        assert names.setdefault(weights, endpoint_name(template)) == endpoint_name(template)
    assert len(set(names.values())) == 2


@pytest.mark.parametrize("family", FAMILIES)
def test_counts_and_limits_are_changed_in_place(family: str, served: Served):
    old, new = served(family), served(family, IN_PLACE[family])
    assert old.text != new.text
    assert own_ids(old, family) == own_ids(new, family)
    assert endpoint_name(old) == endpoint_name(new)


def test_what_listens_to_asynchronous_answers_keeps_its_topics(served: Served):
    old, new = served("async"), served("async", ANOTHER["environment"])
    assert set(old.of_type("AWS::SNS::Topic")) == set(new.of_type("AWS::SNS::Topic"))


def test_the_mode_tags_only_what_it_costs(precompute: Template):
    tagged = {
        resource["Type"]
        for resource in precompute.resources.values()
        if any(tag["Key"] == "turnout:mode" for tag in resource["Properties"].get("Tags", []))
    }
    assert tagged == {"AWS::SageMaker::Model"}
    assert (
        '"turnout:mode"'
        in precompute.starting_with("ServingPipeline", "AWS::StepFunctions::StateMachine")["DefinitionString"]
    )


def test_changing_one_model_leaves_the_templates_of_the_others_byte_for_byte(synth: Synth):
    before = synth(entry("churn"), entry("risk"), entry("price", mode="batch")).templates
    changed = entry("churn", mode="realtime", schedule="rate(6 hours)", more="    max_staleness: 3d\n")
    after = synth(changed, entry("risk"), entry("price", mode="batch")).templates
    assert set(before) == set(after)
    different = {name for name in before if before[name].text != after[name].text}
    assert different == {"turnout-dev-churn"}


def test_adding_a_model_adds_one_stack_and_changes_none(synth: Synth):
    before = synth(entry("churn")).templates
    after = synth(entry("churn"), entry("risk", mode="async")).templates
    assert set(after) - set(before) == {"turnout-dev-risk"}
    assert all(after[name].text == template.text for name, template in before.items())
