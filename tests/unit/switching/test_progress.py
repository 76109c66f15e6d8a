"""What a deploy waits for, read from the gate's machine through fakes that answer as AWS does."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from turnout.switching import progress

NOW = datetime(2026, 11, 23, 6, 10, tzinfo=UTC)
MACHINE = "arn:aws:states:us-east-1:1:stateMachine:gate"


class CloudFormation:
    """A stack whose resources are spread over two pages."""

    def __init__(self, *logical_ids):
        self.logical_ids = logical_ids

    def get_paginator(self, name):
        assert name == "list_stack_resources"
        return self

    def paginate(self, StackName):
        for logical_id in self.logical_ids:
            yield {"StackResourceSummaries": [{"LogicalResourceId": logical_id, "PhysicalResourceId": MACHINE}]}


class StepFunctions:
    """One execution, which began 40 s ago; `looks` are what it has come to, oldest first."""

    def __init__(self, *looks, running=True):
        self.looks, self.running = looks, running

    def list_executions(self, stateMachineArn, statusFilter, maxResults):
        assert (stateMachineArn, statusFilter) == (MACHINE, "RUNNING")
        found = {"executionArn": "execution", "startDate": NOW - timedelta(seconds=40)}
        return {"executions": [found] * self.running}

    def get_execution_history(self, executionArn, reverseOrder, maxResults):
        events = [{"id": 1, "type": "ExecutionStarted"}]
        for number, look in enumerate(self.looks):
            left = {"name": "Prove", "output": json.dumps({"kind": "prove", "state": "proving", **look})}
            events.append({"id": 3 * number + 2, "stateExitedEventDetails": left})
            events.append({"id": 3 * number + 3, "stateEnteredEventDetails": {"name": "Wait"}})
        return {"events": events[::-1]}


@pytest.fixture
def aws(monkeypatch):
    def give(steps, *logical_ids):
        clients = {"cloudformation": CloudFormation(*logical_ids), "stepfunctions": steps}
        monkeypatch.setattr(progress.boto3, "client", lambda service: clients[service])

    return give


def test_the_last_look_says_what_is_awaited(aws):
    aws(StepFunctions({"reason": "it is Creating"}, {"reason": "it grows"}), "Table", "GateMachine1A2B3C4D")
    found = progress.awaited("turnout-dev-churn", now=NOW)
    assert str(found) == "the gate waits for proof, since 40 s: it grows"


def test_the_drain_is_told_from_the_gate(aws):
    aws(StepFunctions({"kind": "drain", "reason": "12 of 35 s waited"}), "GateMachine1A2B3C4D")
    assert str(progress.awaited("s", now=NOW)) == "the drain waits, since 40 s: 12 of 35 s waited"


def test_before_the_first_look_it_says_so(aws):
    aws(StepFunctions(), "GateMachine1A2B3C4D")
    assert progress.awaited("s", now=NOW).what == "it has not looked yet"


def test_where_nothing_is_asked_nothing_is_awaited(aws):
    aws(StepFunctions(running=False), "GateMachine1A2B3C4D")
    assert progress.awaited("s", now=NOW) is None
    aws(StepFunctions(), "Table")
    assert progress.awaited("s", now=NOW) is None, "a stack that has come no further yet"
