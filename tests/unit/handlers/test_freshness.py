"""Each look reports the age of the data, and starts a run when it is time to and not more often."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import boto3
import pytest

from handlers import freshness
from handlers.adapters.clients import client
from handlers.adapters.executions import StateMachine
from handlers.adapters.records_table import RecordsTable
from handlers.contract.env import FreshnessEnv
from handlers.contract.metrics import DATA_AGE_SECONDS
from handlers.contract.modes import ServingMode
from handlers.contract.records import Pointer, Run
from handlers.logic.freshness import FIRST_PAUSE, LONGEST_PAUSE, Freshness
from handlers.logic.moments import format_moment
from handlers.logic.rollback import roll_back
from handlers.logic.run_identity import TRIGGERS, run_id_of
from tests.unit.handlers.conftest import TABLE
from tests.unit.handlers.fakes import FakeClock, FakeMetrics, FakeRecords
from tests.unit.handlers.world import NEXT, RUN, manifest

LIMIT = 3_600
#: The fake clock stands at 06:10:00.
YOUNG, OLD = "2026-11-23T05:10:00Z", "2026-11-23T05:09:59Z"


class FakePipeline:
    def __init__(self):
        self.running, self.started = False, []

    def created(self):
        return datetime(2026, 11, 23, 6, tzinfo=UTC)

    def is_running(self):
        return self.running

    def start(self, name, event):
        self.started.append((name, event))
        return f"arn:{name}"


class Looking:
    """A model with one visible generation, and everything that a look needs in memory."""

    def __init__(self, data_as_of=OLD, mode="precompute", limit=LIMIT):
        self.records, self.metrics, self.clock = FakeRecords(), FakeMetrics(), FakeClock()
        self.pipeline = FakePipeline()
        self.shows(manifest(data_as_of=data_as_of))
        self.freshness = Freshness(ServingMode(mode), limit, self.records, self.pipeline, self.metrics, self.clock)

    def shows(self, generation):
        self.records.put_generation(generation)
        self.records.current = Pointer(results=generation.id, scores=generation.id, revision=1)

    def look(self):
        return self.freshness.look(format_moment(self.clock()))

    def ran(self, trigger="age", status="failed"):
        """Record a run of this moment."""
        slot = format_moment(self.clock())
        run_id = run_id_of({"trigger": trigger, "slot": slot})
        self.records.put_run(Run(run_id, "arn", trigger, slot, status, slot, 2_000_000_000))


@pytest.fixture
def looking():
    return Looking()


class TestAge:
    def test_every_look_reports_the_age_of_the_data_behind_what_is_visible(self, looking):
        assert looking.look()["age_seconds"] == 3_601
        assert looking.metrics.sent == [{DATA_AGE_SECONDS: 3_601}]

    @pytest.mark.parametrize(("mode", "generation"), [("batch", NEXT), ("precompute", RUN), ("hybrid", RUN)])
    def test_what_is_visible_is_what_the_mode_serves(self, looking, mode, generation):
        looking = Looking(mode=mode)
        looking.records.put_generation(manifest(NEXT))
        looking.records.current = Pointer(results=NEXT, scores=RUN, revision=2)
        assert looking.look()["generation"] == generation

    def test_before_the_first_results_it_counts_from_the_creation_of_the_pipeline(self, looking):
        looking.records.current = Pointer()
        found = looking.look()
        assert (found["generation"], found["data_as_of"], found["age_seconds"]) == (None, None, 600)
        assert looking.metrics.sent == [{DATA_AGE_SECONDS: 600}]


class TestRuns:
    def test_age_starts_a_run_of_the_look_s_own_slot(self, looking):
        found = looking.look()
        event = {"trigger": "age", "slot": "2026-11-23T06:10:00Z"}
        assert looking.pipeline.started == [("age-20261123T061000Z", event)]
        assert found["started"] == "arn:age-20261123T061000Z"
        assert event["trigger"] in TRIGGERS

    def test_a_look_that_is_delivered_twice_starts_the_same_execution_twice(self, looking):
        looking.look()
        looking.look()
        first, second = looking.pipeline.started
        assert first == second

    @pytest.mark.parametrize(
        ("change", "why"),
        [
            ({"limit": 0}, "does not want"),
            ({"data_as_of": YOUNG}, "young enough"),
        ],
    )
    def test_none_is_started_where_none_is_wanted_or_needed(self, change, why):
        looking = Looking(**change)
        assert why in looking.look()["why"]
        assert looking.pipeline.started == []

    def test_none_is_started_while_one_is_under_way(self, looking):
        looking.pipeline.running = True
        assert "under way" in looking.look()["why"]
        assert looking.pipeline.started == []

    def test_none_is_started_before_there_are_any_data(self, looking):
        looking.records.current = Pointer()
        assert "nothing is visible" in looking.look()["why"]
        assert looking.pipeline.started == []

    def test_one_is_started_where_what_was_visible_is_deleted_or_has_expired(self, looking):
        looking.shows(manifest(data_as_of=YOUNG, expires_at=int(looking.clock().timestamp())))
        assert "has expired" in looking.look()["why"]
        del looking.records.generations[RUN]
        found = looking.look()
        assert (found["generation"], found["age_seconds"]) == (None, 600), "its slot was 06:00"
        assert "has expired" in found["why"]
        assert len(looking.pipeline.started) == 2

    def test_what_is_deleted_and_cannot_be_renewed_is_tried_with_pauses(self, looking):
        del looking.records.generations[RUN]
        for _ in range(24 * 12):
            if looking.look()["started"]:
                looking.ran()
            looking.clock.advance(300)
        assert 6 <= len(looking.pipeline.started) <= 8

    def test_what_somebody_went_back_to_stays_until_another_run_is_visible(self, looking):
        newest = manifest(NEXT, data_as_of=OLD)
        looking.shows(newest)
        looking.records.current = roll_back(replace(looking.records.current, previous_scores=RUN))
        assert "somebody went back to generation 20261123T060000Z" in looking.look()["why"]
        assert looking.pipeline.started == []
        looking.records.current = roll_back(looking.records.current)
        assert looking.look()["started"]

    def test_going_back_holds_nothing_once_a_run_is_visible(self, looking):
        looking.records.current = replace(looking.records.current, held=RUN)
        assert looking.look()["started"] is None
        looking.records.put_generation(manifest(NEXT, data_as_of=OLD))
        looking.records.current = replace(looking.records.current, results=NEXT, scores=NEXT, previous_scores=RUN)
        assert looking.look()["started"]

    def test_what_somebody_went_back_to_is_renewed_once_it_answers_nobody(self, looking):
        looking.shows(manifest(data_as_of=OLD, expires_at=int(looking.clock().timestamp())))
        looking.records.current = replace(looking.records.current, held=RUN)
        assert looking.look()["started"]

    @pytest.mark.parametrize("status", ["failed", "succeeded"])
    def test_a_run_that_left_the_data_old_is_tried_again_after_a_pause(self, looking, status):
        looking.ran(status=status)
        looking.clock.advance(FIRST_PAUSE.total_seconds() - 1)
        assert "due at 2026-11-23T06:25:00Z" in looking.look()["why"]
        looking.clock.advance(1)
        assert looking.look()["started"]

    def test_looks_every_five_minutes_over_a_week_of_failures_start_few_runs(self, looking):
        for _ in range(7 * 24 * 12):
            if looking.look()["started"]:
                looking.ran()
            looking.clock.advance(300)
        slots = [datetime.fromisoformat(event["slot"]) for _, event in looking.pipeline.started]
        pauses = [later - earlier for earlier, later in pairwise(slots)]
        assert pauses[:4] == [FIRST_PAUSE * factor for factor in (1, 2, 4, 8)]
        assert max(pauses) == LONGEST_PAUSE
        assert len(slots) <= 14

    def test_newer_data_end_the_pauses(self, looking):
        for _ in range(8):
            looking.ran()
            looking.clock.advance(60)
        looking.shows(manifest(NEXT, data_as_of=format_moment(looking.clock())))
        looking.clock.advance(LIMIT + 1)
        assert looking.look()["started"]

    def test_runs_that_age_did_not_start_are_no_tries(self, looking):
        looking.ran("manual")
        looking.ran("schedule")
        assert looking.look()["started"]


class TestAdapters:
    @pytest.fixture
    def machine(self, aws):
        trust = {"Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "states"}}]}
        iam = boto3.client("iam")
        role = iam.create_role(RoleName="machine", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
        definition = {"StartAt": "A", "States": {"A": {"Type": "Succeed"}}}
        sfn = client("stepfunctions")
        return sfn.create_state_machine(name="p", definition=json.dumps(definition), roleArn=role)["stateMachineArn"]

    def test_a_machine_says_when_it_was_made_and_whether_it_runs(self, machine):
        pipeline = StateMachine(client("stepfunctions"), machine)
        assert datetime.now(UTC) - pipeline.created() < timedelta(minutes=1)
        assert not pipeline.is_running()
        execution = pipeline.start("age-1", {"trigger": "age"})
        assert pipeline.is_running()
        assert pipeline.start("age-1", {"trigger": "age"}) == execution

    def test_the_newest_runs_are_those_of_the_newest_slots(self, aws):
        records = RecordsTable(client("dynamodb"), TABLE)
        ids = ["20261121T060000Z", "20261123T060000Z-aaaaaa", "20261122T060000Z"]
        for run_id in ids:
            records.put_run(Run(run_id, "arn", "age", "slot", "failed", "start", 2_000_000_000))
        assert [run.id for run in records.newest_runs(2)] == [ids[1], ids[2]]

    def test_the_newest_runs_are_as_many_as_asked_for_beyond_a_page_of_dynamodb(self, aws):
        records, report = RecordsTable(client("dynamodb"), TABLE), {"prepared": "x" * 50_000}
        ids = [f"20261123T06{number:02}00Z" for number in range(30)]
        for run_id in ids:
            records.put_run(Run(run_id, "arn", "age", "slot", "failed", "start", 2_000_000_000, report=report))
        assert [run.id for run in records.newest_runs(29)] == ids[:0:-1]

    def test_a_look_puts_its_finding_into_the_log(self, machine, monkeypatch, capsys):
        env = FreshnessEnv("dev", "m", "precompute", TABLE, machine, LIMIT)
        for name, value in env.to_environ().items():
            monkeypatch.setenv(name, value)
        freshness.freshness.cache_clear()
        found = freshness.handler({"slot": "2026-11-23T06:10:00Z"}, None)
        freshness.freshness.cache_clear()
        assert json.loads(capsys.readouterr().out) == found
        (point, *_) = client("cloudwatch").list_metrics(Namespace="Turnout")["Metrics"]
        assert point["MetricName"] == DATA_AGE_SECONDS
