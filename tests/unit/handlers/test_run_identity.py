import pytest

from handlers.contract import metrics
from handlers.contract.errors import PERMANENT_RUN_ERRORS, BadTrigger
from handlers.contract.layout import RUN_ID
from handlers.logic.run_identity import checked_trigger, run_id_of, start_run
from tests.unit.handlers.fakes import FakeClock, FakeMetrics, FakeRecords, event


class World:
    def __init__(self) -> None:
        self.records, self.metrics, self.clock = FakeRecords(), FakeMetrics(), FakeClock()

    def start(self, trigger):
        return start_run(
            trigger,
            stage="dev",
            model="churn",
            data_bucket="data",
            records=self.records,
            metric_sink=self.metrics,
            clock=self.clock,
        )


@pytest.fixture
def world():
    return World()


@pytest.mark.parametrize(
    ("name", "run_id"),
    [
        ("trigger_schedule", "20261123T060000Z"),
        ("trigger_manual", "20261123T061231Z-k3v9qa"),
        ("trigger_new_data", "20261123T060744Z-4b9cd7"),
    ],
)
def test_a_slot_is_named_by_its_second_in_utc_and_its_id(name, run_id):
    assert run_id_of(event(name)) == run_id
    assert RUN_ID.fullmatch(run_id)


def test_a_slot_with_an_offset_is_the_same_moment_in_utc():
    assert run_id_of(event("trigger_schedule", slot="2026-11-23T07:00:00+01:00")) == "20261123T060000Z"
    assert run_id_of(event("trigger_schedule", slot="2026-11-23T06:00:00")) == "20261123T060000Z"


def test_the_first_trigger_claims_the_slot_and_learns_where_its_files_go(world):
    assert world.start(event("trigger_schedule")) == {
        "run_id": "20261123T060000Z",
        "duplicate": False,
        "job_name": "dev-churn-20261123T060000Z",
        "started_at": "2026-11-23T06:10:00Z",
        "shards_uri": "s3://data/work/churn/20261123T060000Z/shards/",
        "transform_uri": "s3://data/work/churn/20261123T060000Z/transform/",
    }
    run = world.records.runs["20261123T060000Z"]
    assert (run.status, run.trigger, run.slot) == ("running", "schedule", "2026-11-23T06:00:00Z")
    assert run.expires_at > world.clock().timestamp() + 30 * 86400
    assert world.metrics.sent == []


def test_the_same_execution_gets_its_own_claim_again(world):
    first = world.start(event("trigger_schedule"))
    world.clock.advance(90)
    assert world.start(event("trigger_schedule")) == first
    assert world.metrics.sent == []


def test_a_second_execution_for_the_slot_is_a_duplicate_and_counted(world):
    world.start(event("trigger_schedule"))
    second = world.start(event("trigger_schedule", execution="arn:aws:states:us-east-1:1:execution:m:other"))
    assert second["duplicate"] is True
    assert second["run_id"] == "20261123T060000Z"
    assert world.metrics.sent == [{metrics.RUN_DUPLICATE: 1}]
    assert "6f1c2f4e" in world.records.runs["20261123T060000Z"].execution


def test_a_manual_run_in_the_second_of_a_schedule_is_another_run(world):
    world.start(event("trigger_schedule"))
    manual = event("trigger_manual", slot="2026-11-23T06:00:00Z")
    assert world.start(manual)["duplicate"] is False


@pytest.mark.parametrize(
    ("trigger", "says"),
    [
        (None, "a trigger is a JSON object, not NoneType"),
        ([], "not list"),
        ({}, "'trigger' must be a non-empty string; 'slot' must be a non-empty string; 'execution'"),
        (
            {"trigger": "cron", "slot": "x", "execution": "e"},
            "'trigger' is 'cron'; known are schedule, manual, new_data, gate",
        ),
        ({"trigger": "manual", "slot": "soon", "execution": "e"}, "'slot' is 'soon', which is not an ISO 8601 time"),
        ({"trigger": "manual", "slot": 5, "execution": "e"}, "'slot' must be a non-empty string"),
        ({"trigger": "manual", "slot": "2026-11-23", "execution": "e", "id": ""}, "'id' must be a non-empty string"),
    ],
)
def test_what_is_no_trigger_is_refused_with_what_is_wrong(world, trigger, says):
    with pytest.raises(BadTrigger) as refused:
        world.start(trigger)
    assert says in refused.value.message
    assert world.records.runs == {}


def test_a_bad_trigger_is_not_worth_a_retry():
    assert BadTrigger.__name__ in PERMANENT_RUN_ERRORS


def test_a_trigger_is_returned_as_it_came():
    assert checked_trigger(event("trigger_new_data")) == event("trigger_new_data")
