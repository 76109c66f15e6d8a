"""Following a run: what Step Functions' history and S3 say becomes progress and a report."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from handlers.contract.records import Run
from turnout import runs
from turnout.deployed import Platform
from turnout.errors import RunFailed

BEGAN = datetime(2026, 11, 23, 6, 0, tzinfo=UTC)
RUN = Run(
    id="20261123T060000Z", execution="arn:e", trigger="schedule", slot="2026-11-23T06:00:00Z", status="succeeded",
    started_at="2026-11-23T06:00:01Z", expires_at=1, report={"rows_in": 3},
)  # fmt: skip


def entered(name, second):
    return {"timestamp": BEGAN + timedelta(seconds=second), "stateEnteredEventDetails": {"name": name}}


def left(name, second, output=None):
    details = {"name": name, "output": json.dumps(output or {})}
    return {"timestamp": BEGAN + timedelta(seconds=second), "stateExitedEventDetails": details}


STARTED = {"started": {"run_id": RUN.id}}
PREPARED = {**STARTED, "prepared": {"shards": [{"index": 0, "rows": 2}, {"index": 1, "rows": 1}]}}


class FakeAws:
    """Step Functions and S3 as `runs` sees them: one history per poll."""

    def __init__(self, polls, objects=0):
        self.polls = list(polls)
        self.objects = objects

    def client(self, service):
        return self

    def describe_execution(self, executionArn):
        self.status, self.events = self.polls.pop(0)
        return {"status": self.status}

    def get_paginator(self, name):
        return self

    def paginate(self, executionArn):
        return [{"events": self.events}]

    def list_objects_v2(self, Bucket, Prefix):
        self.prefix = Prefix
        return {"KeyCount": self.objects}

    def start_execution(self, stateMachineArn, input):
        self.started = json.loads(input)
        return {"executionArn": "arn:e"}


class FakeModel:
    name = "churn"
    state_machine = "arn:machine"

    def run(self, run_id):
        return RUN if run_id == RUN.id else None


PLATFORM = Platform("dev", "turnout-dev-platform", "http://api", "api", "bucket", "topic")


def followed(monkeypatch, aws):
    monkeypatch.setattr(runs.boto3, "client", aws.client)
    return list(runs.follow(FakeModel(), PLATFORM, "arn:e", sleep=lambda seconds: None, clock=lambda: 0.0))


def test_progress_counts_finished_shards_while_transforming(monkeypatch):
    transforming = [
        entered("Start", 0), left("Start", 1, STARTED), entered("Prepare", 1), left("Prepare", 3, PREPARED),
        entered("Transform", 3),
    ]  # fmt: skip
    aws = FakeAws([("RUNNING", transforming), ("SUCCEEDED", [*transforming, left("Transform", 9, PREPARED)])], 1)
    progress, end = followed(monkeypatch, aws)
    assert (progress.step, progress.done, progress.total) == ("Transform", 1, 2)
    assert aws.prefix == "work/churn/20261123T060000Z/transform/"
    assert end.seconds == {"Start": 1.0, "Prepare": 2.0, "Transform": 6.0}
    assert (end.status, end.run, end.duplicate) == ("SUCCEEDED", RUN, False)


def test_a_duplicate_is_told_apart(monkeypatch):
    history = [entered("Start", 0), left("Start", 1, STARTED), entered("Duplicate", 1), left("Duplicate", 1)]
    (end,) = followed(monkeypatch, FakeAws([("SUCCEEDED", history)]))
    assert end.duplicate


def test_a_failed_run_is_told_in_its_own_words():
    failed = Run(**{**RUN.__dict__, "status": "failed", "error": "TooManyBadRows", "cause": "4 of 10 rows"})
    with pytest.raises(RunFailed, match="TooManyBadRows: 4 of 10 rows"):
        runs.require_success(runs.Followed("FAILED", failed, duplicate=False))


def test_a_run_that_is_visible_has_succeeded_whatever_its_execution_says():
    broken_off = runs.Followed("FAILED", RUN, duplicate=False)
    assert runs.require_success(broken_off) is broken_off


def test_a_manual_trigger_has_a_slot_and_an_id_of_its_own(monkeypatch):
    aws = FakeAws([])
    monkeypatch.setattr(runs.boto3, "client", aws.client)
    assert runs.start(FakeModel(), now=BEGAN) == "arn:e"
    first = aws.started
    runs.start(FakeModel(), now=BEGAN)
    assert (first["trigger"], first["slot"]) == ("manual", "2026-11-23T06:00:00Z")
    assert len(first["id"]) == 6
    assert first["id"] != aws.started["id"]
