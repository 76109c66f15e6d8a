"""The transition table that plans are made from, against the templates that deploys are made from."""

import pytest

from turnout.switching.parts import ENDPOINTS, PIPELINE
from turnout.switching.transitions import pairs, transition

KNOWN = PIPELINE.types.union(*(part.types for part in ENDPOINTS.values()))
#: What every mode has of a type: the gate is a machine too.
ALWAYS = {"AWS::StepFunctions::StateMachine": 1}


def types_in(template) -> frozenset[str]:
    return frozenset(kind for kind in KNOWN if len(template.of_type(kind)) > ALWAYS.get(kind, 0))


@pytest.mark.parametrize("fallback", ["realtime", "serverless", "async"])
@pytest.mark.parametrize(("before", "after"), pairs())
def test_a_plan_names_the_types_that_templates_gain_and_lose(before, after, fallback, served):
    more = f"    hybrid: {{fallback: {fallback}}}\n"
    old, new = types_in(served(before.value, more)), types_in(served(after.value, more))
    switch = transition(before, after, fallback=fallback)
    assert switch.types_created == new - old
    assert switch.types_removed == old - new
