"""The promise: a mode is one word, and changing it moves nothing that a client or another model can see."""

import re

import pytest

from handlers.contract.modes import AVAILABLE, ServingMode
from tests.synth.conftest import Synth, Template, entry

#: What callers hold on to, or what data lies in.
CLIENT_FACING = {
    "AWS::ApiGatewayV2::Integration",
    "AWS::ApiGatewayV2::Route",
    "AWS::DynamoDB::Table",
    "AWS::Lambda::Alias",
    "AWS::Lambda::Permission",
}


def ids(template: Template) -> dict[str, str]:
    """Return logical id -> type, leaving out the published versions, which are meant to change."""
    return {id: r["Type"] for id, r in template.resources.items() if r["Type"] != "AWS::Lambda::Version"}


def test_every_available_mode_is_served_and_no_other():
    from infra.serving import SERVING

    assert set(SERVING) == AVAILABLE


def test_every_mode_offers_what_a_stack_asks_of_it(synth: Synth):
    from infra.serving import SERVING
    from infra.serving.base import Serving

    assert all(issubclass(serving, Serving) for serving in SERVING.values())
    for mode in SERVING:
        assert synth(entry(mode=mode.value))["churn"].body["Outputs"]["Mode"]["Value"] == mode.value


def test_a_switch_keeps_every_logical_id_and_output(batch: Template, precompute: Template):
    assert ids(batch) == ids(precompute)
    assert set(batch.body["Outputs"]) == set(precompute.body["Outputs"])


def test_a_switch_leaves_routes_table_and_outputs_as_they_are(batch: Template, precompute: Template):
    for id, kind in ids(batch).items():
        if kind in CLIENT_FACING - {"AWS::Lambda::Alias"}:
            assert batch.resources[id] == precompute.resources[id], id
    same = {name: value for name, value in batch.body["Outputs"].items() if name != "Mode"}
    assert same == {name: value for name, value in precompute.body["Outputs"].items() if name != "Mode"}


def test_a_switch_moves_the_alias_to_a_new_version_of_the_same_function(batch: Template, precompute: Template):
    before, after = batch.only("AWS::Lambda::Alias"), precompute.only("AWS::Lambda::Alias")
    assert before["FunctionName"] == after["FunctionName"]
    assert before["FunctionVersion"] != after["FunctionVersion"]


@pytest.mark.parametrize("mode", ServingMode)
def test_no_logical_id_says_the_mode(mode: ServingMode, batch: Template, precompute: Template):
    for template in (batch, precompute):
        said = [id for id in template.resources if re.search(mode.value, id, re.IGNORECASE)]
        assert not said


def test_the_mode_tags_only_what_it_costs(precompute: Template):
    tagged = {
        resource["Type"]
        for resource in precompute.resources.values()
        if any(tag["Key"] == "turnout:mode" for tag in resource["Properties"].get("Tags", []))
    }
    assert tagged == {"AWS::SageMaker::Model"}
    assert '"turnout:mode"' in precompute.only("AWS::StepFunctions::StateMachine")["DefinitionString"]


def test_changing_one_model_leaves_the_templates_of_the_others_byte_for_byte(synth: Synth):
    before = synth(entry("churn"), entry("risk"), entry("price", mode="batch")).templates
    changed = entry("churn", mode="batch", schedule="rate(6 hours)", more="    max_staleness: 3d\n")
    after = synth(changed, entry("risk"), entry("price", mode="batch")).templates
    assert set(before) == set(after)
    different = {name for name in before if before[name].text != after[name].text}
    assert different == {"turnout-dev-churn"}


def test_adding_a_model_adds_one_stack_and_changes_none(synth: Synth):
    before = synth(entry("churn")).templates
    after = synth(entry("churn"), entry("risk")).templates
    assert set(after) - set(before) == {"turnout-dev-risk"}
    assert all(after[name].text == template.text for name, template in before.items())
