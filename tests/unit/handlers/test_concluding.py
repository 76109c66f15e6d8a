import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from handlers.adapters.cloudwatch_metrics import CloudWatchMetrics
from handlers.contract import layout, metrics
from handlers.contract.card import Quality
from handlers.contract.errors import QualityFailed, VerificationFailed
from handlers.contract.modes import ServingMode
from handlers.contract.records import Generation, Pointer, Run
from handlers.logic.concluding import POINTER_ATTEMPTS, Conclusion, PointerContended, readable_cause
from handlers.logic.profiles import Profile
from handlers.logic.profiling import profile_of
from handlers.logic.rollback import NothingToRollBack, roll_back
from tests.unit.handlers.datasets import card
from tests.unit.handlers.fakes import FakeClock, FakeMetrics, FakeObjects, FakeRecords, event

RUN = "20261123T060000Z"
OLD, OLDER = "20261122T060000Z", "20261121T060000Z"
#: What a run counts that scores eight of ten rows in ten minutes.
COUNTED = {
    metrics.RUN_SUCCEEDED: 1,
    metrics.ROWS_IN: 10,
    metrics.ROWS_SCORED: 8,
    metrics.ROWS_QUARANTINED: 2,
    metrics.ROWS_PUBLISHED: 8,
    metrics.RUN_SECONDS: 600,
}


def manifest(run_id, scored_at):
    return Generation(
        run_id, "v1", scored_at, scored_at, 1, 1, 0, 1, "string", "s3://data/results/", None, 2_000_000_000
    )


class World:
    """A run that claimed its slot and published its shards; the day before's generation is visible."""

    def __init__(self, mode=ServingMode.PRECOMPUTE):
        self.records, self.metrics, self.objects = FakeRecords(), FakeMetrics(), FakeObjects()
        self.clock = FakeClock(datetime(2026, 11, 23, 6, 10, 3, tzinfo=UTC))
        self.event = event("conclude_succeeded")
        execution = self.event["execution"]
        self.records.runs[RUN] = Run(RUN, execution, "schedule", "s", "running", "2026-11-23T06:00:03Z", 1_900_000_000)
        self.records.put_generation(manifest(OLDER, "2026-11-21T06:09:00Z"))
        self.records.put_generation(manifest(OLD, "2026-11-22T06:09:00Z"))
        self.records.current = Pointer(results=OLD, scores=OLD, previous_scores=OLDER, revision=4)
        for shard in self.event["published"]:
            self.receipt(shard["index"], shard["rows_scored"])
        for part in self.event["packed"]:
            key = layout.partition_receipt_key("m", RUN, part["partition"])
            self.objects.put("data", key, json.dumps(part).encode())
        self.conclusion = Conclusion(
            card=card(),
            mode=mode,
            bucket="data",
            objects=self.objects,
            records=self.records,
            metric_sink=self.metrics,
            clock=self.clock,
        )

    def receipt(self, index, scored):
        body = f'{{"index": {index}, "rows_scored": {scored}}}'
        self.objects.put("data", layout.receipt_key("m", RUN, index), body.encode())

    def conclude(self, changed=None):
        return self.conclusion.conclude(changed or self.event)


class TestSuccess:
    def test_a_verified_run_becomes_visible_and_the_generation_before_it_stays_for_rollback(self):
        world = World()
        assert world.conclude() == {"run_id": RUN, "status": "succeeded", "visible": True}
        assert world.records.current == Pointer(results=RUN, scores=RUN, previous_scores=OLD, revision=5)
        assert world.records.generations[RUN] == Generation(
            id=RUN,
            model_version="v7",
            scored_at="2026-11-23T06:09:12.345Z",
            published_at="2026-11-23T06:10:03Z",
            rows_in=10,
            rows_scored=8,
            rows_quarantined=2,
            rows_published=8,
            key_type="string",
            results_uri=f"s3://data/results/m/date=2026-11-23/run={RUN}/",
            quarantine_uri=f"s3://data/quarantine/churn/run={RUN}/rows.jsonl",
            expires_at=int(datetime(2026, 11, 24, 6, 9, 12, tzinfo=UTC).timestamp()),
            buckets=[1],
            compared={
                "against": OLD,
                "same_version": False,
                "coverage": 8.0,
                "mean_shift": None,
                "drift": None,
                "null_rise": None,
            },
            singles=0,
        )

    def test_a_generation_is_of_the_model_and_kept_as_long_as_when_its_execution_began(self):
        world = World()
        world.conclude({**world.event, "model_version": "v6", "retention_seconds": 60})
        shown = world.records.generations[RUN]
        kept_until = datetime(2026, 11, 23, 6, 10, 12, tzinfo=UTC)
        assert (shown.model_version, shown.expires_at) == ("v6", int(kept_until.timestamp()))

    def test_the_first_run_of_a_model_becomes_visible_too(self):
        world = World()
        world.records.current = Pointer()
        assert world.conclude()["visible"] is True
        assert world.records.current == Pointer(results=RUN, scores=RUN, revision=1)

    def test_ledger_and_metrics_say_what_happened(self):
        world = World()
        world.conclude()
        run = world.records.runs[RUN]
        assert (run.status, run.ended_at, run.error) == ("succeeded", "2026-11-23T06:10:03Z", None)
        assert run.report["rows_in"] == run.report["rows_scored"] + run.report["rows_quarantined"] == 10
        assert run.report["reasons"] == {"nan": 2}
        assert run.report["results_uri"].endswith(f"/date=2026-11-23/run={RUN}/")
        assert world.metrics.sent == [COUNTED]

    def test_a_mode_without_lookups_shows_results_and_leaves_scores_alone(self):
        world = World(ServingMode.BATCH)
        world.event["packed"] = world.event["prepared"]["partitions"] = []
        assert world.conclude()["visible"] is True
        assert world.records.current == Pointer(results=RUN, scores=OLD, previous_scores=OLDER, revision=5)

    def test_concluding_twice_changes_nothing_the_second_time(self):
        world = World()
        first = world.conclude()
        state = world.records.current, dict(world.records.generations), dict(world.records.runs)
        world.clock.advance(60)
        assert world.conclude() == first
        assert (world.records.current, world.records.generations, world.records.runs) == state
        assert len(world.metrics.sent) == 1

    @pytest.mark.parametrize("breaks_at", ["put_generation", "move_pointer", "put_run"])
    def test_a_crash_anywhere_and_a_retry_end_in_the_same_state(self, breaks_at):
        untouched = World()
        untouched.conclude()
        world = World()
        sound = getattr(world.records, breaks_at)

        def crash(*args, **kwargs):
            raise ConnectionError("gone")

        setattr(world.records, breaks_at, crash)
        with pytest.raises(ConnectionError):
            world.conclude()
        assert world.records.runs[RUN].status == "running"
        setattr(world.records, breaks_at, sound)
        assert world.conclude() == {"run_id": RUN, "status": "succeeded", "visible": True}
        assert world.records.current == untouched.records.current
        assert world.records.generations == untouched.records.generations
        assert world.records.runs == untouched.records.runs

    @pytest.mark.parametrize(
        "error", [EndpointConnectionError(endpoint_url="u"), ClientError({"Error": {"Code": "InternalFailure"}}, "Put")]
    )
    def test_what_cloudwatch_does_not_take_is_counted_by_the_log_and_fails_no_run(self, capsys, error):
        class Broken:
            calls = 0

            def put_metric_data(self, **arguments):
                self.calls += 1
                if self.calls <= 5:
                    raise error

        world, broken = World(), Broken()
        world.conclusion = replace(world.conclusion, metric_sink=CloudWatchMetrics(broken, stage="dev", model="m"))
        assert world.conclude() == {"run_id": RUN, "status": "succeeded", "visible": True}
        assert (world.records.runs[RUN].status, broken.calls) == ("succeeded", 1)
        line = json.loads(capsys.readouterr().out)
        counted = [metric["Name"] for metric in line["_aws"]["CloudWatchMetrics"][0]["Metrics"]]
        assert (line["Stage"], line["Model"], line["level"]) == ("dev", "m", "WARNING")
        assert {name: line[name] for name in counted} == COUNTED
        assert type(error).__name__ in line["cause"]

    def test_a_generation_older_than_the_visible_one_stays_invisible(self):
        world = World()
        world.records.put_generation(manifest("newer", "2026-11-23T06:09:13Z"))
        world.records.current = Pointer(results="newer", scores="newer", previous_scores=OLD, revision=9)
        assert world.conclude() == {"run_id": RUN, "status": "succeeded", "visible": False}
        assert world.records.current == Pointer(results="newer", scores="newer", previous_scores=OLD, revision=9)
        assert world.records.runs[RUN].status == "succeeded"

    def test_a_pointer_that_moves_meanwhile_is_read_again(self):
        world = World()
        world.records.before_move = [lambda records: setattr(records, "current", roll_back(records.current))]
        assert world.conclude()["visible"] is True
        # `held` says nothing about another generation than its own.
        moved = Pointer(results=RUN, scores=RUN, previous_scores=OLDER, revision=6, held=OLDER)
        assert world.records.current == moved

    def test_a_newer_run_that_wins_the_race_is_not_covered(self):
        world = World()
        world.records.put_generation(manifest("newer", "2026-11-23T06:09:13Z"))
        newer = Pointer(results="newer", scores="newer", previous_scores=OLD, revision=5)
        world.records.before_move = [lambda records: setattr(records, "current", newer)]
        assert world.conclude()["visible"] is False
        assert world.records.current == newer

    def test_a_pointer_that_never_holds_still_is_left_to_a_later_retry(self):
        def bump(records):
            records.current = replace(records.current, revision=records.current.revision + 1)

        world = World()
        world.records.before_move = [bump] * POINTER_ATTEMPTS
        with pytest.raises(PointerContended):
            world.conclude()
        assert world.records.runs[RUN].status == "running"

    def test_a_rollback_before_the_conclusion_was_recorded_is_not_undone_by_the_retry(self):
        world = World()
        sound, world.records.put_run = world.records.put_run, None
        with pytest.raises(TypeError):
            world.conclude()
        world.records.put_run = sound
        world.records.current = roll_back(world.records.current)
        world.conclude()
        assert world.records.current.scores == OLD


class TestVerification:
    @pytest.mark.parametrize(
        ("spoil", "says"),
        [
            (lambda e: e["prepared"].update(rows_in=11), "rows in 11 is not scored + quarantined 10"),
            (lambda e: e["prepared"].update(rows_valid=9), "rows valid 9 is not scored 8"),
            (lambda e: e["packed"][0].update(rows_published=7), "rows to look up 8 is not published 7"),
            (lambda e: e["packed"].pop(), "partitions planned [0] is not packed []"),
            (lambda e: e["published"].pop(), "shards prepared [0, 1] is not shards published [0]"),
            (lambda e: e["published"].append(e["published"][0]), "shards published [0, 0, 1]"),
        ],
    )
    def test_counts_that_do_not_add_up_keep_the_run_invisible(self, spoil, says):
        world = World()
        spoil(world.event)
        with pytest.raises(VerificationFailed) as failed:
            world.conclude()
        assert says in failed.value.message
        assert world.records.current.scores == OLD
        refused = world.records.generations[RUN]
        assert (refused.refused, refused.miscounted) == (failed.value.message, True)
        assert Generation.from_item(refused.to_item()) == refused
        assert world.metrics.sent == []
        with pytest.raises(VerificationFailed):
            world.conclude()
        assert world.records.generations[RUN] == refused, "a repeated delivery says the same"

    def test_a_missing_or_differing_receipt_keeps_the_run_invisible(self):
        world = World()
        world.objects.delete("data", [layout.receipt_key("m", RUN, 1)])
        with pytest.raises(VerificationFailed, match="receipts"):
            world.conclude()
        world.receipt(1, 2)
        with pytest.raises(VerificationFailed, match="receipts"):
            world.conclude()
        assert world.records.current.results == OLD

    def test_a_redrive_after_late_receipts_have_come_succeeds_as_if_they_had_been_there(self):
        untouched, world = World(), World()
        untouched.conclude()
        key = layout.receipt_key("m", RUN, 1)
        receipt = world.objects.get("data", key)
        world.objects.delete("data", [key])
        with pytest.raises(VerificationFailed):
            world.conclude()
        said = world.conclude(event("conclude_failed_lambda", error="VerificationFailed"))
        assert (said["status"], world.records.generations[RUN].miscounted) == ("failed", True)
        world.objects.put("data", key, receipt)
        assert world.conclude() == {"run_id": RUN, "status": "succeeded", "visible": True}
        assert world.records.generations == untouched.records.generations
        assert world.records.runs == untouched.records.runs

    def test_the_reason_of_a_run_of_thousands_of_shards_fits_into_an_item(self):
        world = World()
        world.event["prepared"]["shards"] = [{"index": index, "rows": 5} for index in range(3_100)]
        with pytest.raises(VerificationFailed):
            world.conclude()
        assert len(world.records.generations[RUN].refused) == 4_000

    def test_receipts_that_went_after_a_generation_was_shown_take_nothing_back(self):
        world = World()
        sound, world.records.put_run = world.records.put_run, None
        with pytest.raises(TypeError):
            world.conclude()
        world.records.put_run = sound
        world.objects.delete("data", [layout.receipt_key("m", RUN, 1)])
        assert world.conclude() == {"run_id": RUN, "status": "succeeded", "visible": True}
        assert world.records.generations[RUN].refused is None

    def test_a_run_whose_scores_were_deleted_makes_nothing_visible_when_it_is_redriven(self):
        world = World()
        deleted = replace(world.records.runs[RUN], status="failed", deleting="2026-11-23T06:10:00Z")
        world.records.put_run(deleted)
        with pytest.raises(VerificationFailed, match="is being deleted since 2026-11-23T06:10:00Z"):
            world.conclude()
        assert world.records.current.scores == OLD
        assert Run.from_item(deleted.to_item()) == deleted

    def test_a_mode_without_lookups_must_not_have_published_any(self):
        with pytest.raises(VerificationFailed, match="rows to look up 0 is not published 8"):
            World(ServingMode.BATCH).conclude()


def bodies(*shards):
    return [profile_of(shard).to_body() for shard in shards]


class TestQuality:
    """The visible generation has 100 rows around one half."""

    @pytest.fixture
    def world(self):
        world = World()
        visible = profile_of([number / 100 for number in range(100)]).to_body()
        world.records.put_generation(replace(manifest(OLD, "2026-11-22T06:09:00Z"), rows_scored=100, profile=visible))
        return world

    def shards(self, world, *shards):
        """Have the run score these predictions."""
        world.event["prepared"].update(
            rows_in=sum(map(len, shards)), rows_valid=sum(map(len, shards)), rows_quarantined=0
        )
        world.event["published"] = [{"index": index, "rows_scored": len(shard)} for index, shard in enumerate(shards)]
        world.event["prepared"]["shards"] = [{"index": index, "rows": len(shard)} for index, shard in enumerate(shards)]
        world.event["packed"][0]["rows_published"] = sum(map(len, shards))
        key = layout.partition_receipt_key("m", RUN, 0)
        world.objects.put("data", key, json.dumps(world.event["packed"][0]).encode())
        for published, profile in zip(world.event["published"], bodies(*shards), strict=True):
            body = json.dumps({**published, "profile": profile}).encode()
            world.objects.put("data", layout.receipt_key("m", RUN, published["index"]), body)

    def test_a_generation_is_seen_with_the_profile_of_all_its_shards(self, world):
        self.shards(world, [0.25] * 40, [0.75] * 60)
        assert world.conclude()["visible"] is True
        generation = world.records.generations[RUN]
        assert Profile.from_body(generation.profile).numbers.mean == pytest.approx(0.55)
        assert generation.compared["against"] == OLD
        assert generation.compared["coverage"] == 1.0
        assert generation.compared["drift"] == pytest.approx(0.35, abs=0.02)

    def test_a_generation_that_fails_stays_invisible_with_the_reason_and_the_numbers(self, world):
        self.shards(world, [0.25] * 20, [0.75] * 20)
        before = world.records.current
        reason = "40 rows are 40.0% of the 100 of generation 20261122T060000Z, at least 50.0% are asked for"
        with pytest.raises(QualityFailed, match=reason):
            world.conclude()
        assert world.records.current == before
        refused = world.records.generations[RUN]
        assert reason in refused.refused
        assert Generation.from_item(refused.to_item()) == refused
        assert world.metrics.sent == [], "the failure's own step counts it"
        with pytest.raises(QualityFailed):
            world.conclude()
        assert world.records.generations[RUN] == refused, "a repeated delivery says the same"

    def test_the_settings_of_the_model_decide(self, world):
        self.shards(world, [0.25] * 20, [0.75] * 20)
        lenient = replace(world.conclusion.card, quality=Quality(min_coverage=0.1))
        world.conclusion = replace(world.conclusion, card=lenient)
        assert world.conclude()["visible"] is True

    def test_a_refused_generation_that_somebody_made_visible_is_not_judged_again(self, world):
        self.shards(world, [0.25] * 20, [0.75] * 20)
        with pytest.raises(QualityFailed):
            world.conclude()
        world.records.put_generation(replace(world.records.generations[RUN], refused=None))
        world.records.current = Pointer(results=RUN, scores=RUN, previous_scores=OLD, revision=5)
        assert world.conclude() == {"run_id": RUN, "status": "succeeded", "visible": True}
        assert world.records.generations[RUN].compared["against"] == OLD

    def test_what_was_visible_and_was_followed_by_another_is_not_refused_by_a_late_retry(self, world):
        self.shards(world, [0.25] * 40, [0.75] * 60)
        sound, world.records.put_run = world.records.put_run, None
        with pytest.raises(TypeError):
            world.conclude()
        world.records.put_run = sound
        shown = world.records.generations[RUN]
        after = replace(shown, id="after", scored_at="2026-11-23T06:12:00Z", rows_scored=10_000)
        world.records.put_generation(after)
        world.records.current = Pointer(results="after", scores="after", previous_scores=RUN, revision=6)
        world.clock.advance(600)
        assert world.conclude() == {"run_id": RUN, "status": "succeeded", "visible": False}
        assert world.records.generations[RUN] == shown
        assert world.records.current.scores == "after"

    def test_a_generation_whose_scores_are_being_deleted_is_not_shown_by_a_redrive(self, world):
        self.shards(world, [0.25] * 40, [0.75] * 60)
        before = world.records.current
        world.records.put_generation(replace(manifest(RUN, "2026-11-23T06:09:12Z"), deleting="2026-11-23T06:10:00Z"))
        with pytest.raises(VerificationFailed, match="is being deleted since 2026-11-23T06:10:00Z"):
            world.conclude()
        assert world.records.current == before

    def test_an_expired_generation_is_nothing_to_compare_with(self, world):
        self.shards(world, [0.25] * 20, [0.75] * 20)
        world.records.put_generation(replace(world.records.generations[OLD], expires_at=1_000))
        assert world.conclude()["visible"] is True
        assert world.records.generations[RUN].compared is None

    def test_in_batch_the_newest_results_are_compared_with(self, world):
        self.shards(world, [0.25] * 20, [0.75] * 20)
        world.event["packed"] = world.event["prepared"]["partitions"] = []
        world.conclusion = replace(world.conclusion, mode=ServingMode.BATCH)
        world.records.current = Pointer(results=OLDER, scores=OLD, revision=4)
        assert world.conclude()["visible"] is True
        world.records.current = Pointer(results=OLD, scores=OLDER, revision=4)
        del world.records.runs[RUN], world.records.generations[RUN]
        with pytest.raises(QualityFailed):
            world.conclude()

    def test_no_row_may_be_in_two_shards(self, world):
        self.shards(world, [0.25] * 50, [0.75] * 50)
        for index, span in enumerate([[0, 50], [50, 99]]):
            key = layout.receipt_key("m", RUN, index)
            body = json.loads(world.objects.get("data", key))
            world.objects.put("data", key, json.dumps({**body, "span": span}).encode())
        with pytest.raises(VerificationFailed, match="shards 0 and 1 both have row 50"):
            world.conclude()

    def test_receipts_of_code_that_made_no_profiles_are_taken(self, world):
        world.records.put_generation(replace(world.records.generations[OLD], rows_scored=8))
        assert world.conclude()["visible"] is True
        assert world.records.generations[RUN].profile is None


class TestFailure:
    def test_a_failure_is_recorded_counted_and_leaves_the_old_scores_visible(self):
        world = World()
        before = world.records.current
        assert world.conclude(event("conclude_failed_lambda")) == {"run_id": RUN, "status": "failed", "visible": False}
        run = world.records.runs[RUN]
        assert (run.status, run.error, run.cause) == (
            "failed",
            "TooManyBadRows",
            "5 of 10 rows (50.00%) are bad, 1.00% are allowed",
        )
        assert run.ended_at == "2026-11-23T06:10:03Z"
        assert world.records.current == before
        assert world.metrics.sent == [{metrics.RUN_FAILED: 1}]

    def test_a_failed_transform_job_is_named_with_its_reason(self):
        world = World()
        world.conclude(event("conclude_failed_transform"))
        assert world.records.runs[RUN].cause == (
            f"transform job dev-churn-{RUN} Failed: ClientError: See job logs for more information"
        )
        assert world.records.runs[RUN].report["prepared"]["rows_quarantined"] == 2

    def test_a_failure_before_the_run_had_an_id_is_counted_all_the_same(self):
        world = World()
        assert world.conclude(event("conclude_failed_before_start")) == {
            "run_id": "",
            "status": "failed",
            "visible": False,
        }
        assert world.metrics.sent == [{metrics.RUN_FAILED: 1}]
        assert world.records.runs[RUN].status == "running"

    def test_a_foreign_execution_cannot_fail_the_run_of_the_one_that_owns_the_slot(self):
        world = World()
        world.conclude(event("conclude_failed_lambda", execution="arn:aws:states:us-east-1:1:execution:m:duplicate"))
        assert world.records.runs[RUN].status == "running"
        assert world.metrics.sent == [{metrics.RUN_FAILED: 1}]

    def test_a_run_that_has_succeeded_cannot_fail_afterwards(self):
        world = World()
        world.conclude()
        assert world.conclude(event("conclude_failed_lambda"))["status"] == "succeeded"
        assert world.records.runs[RUN].status == "succeeded"
        assert len(world.metrics.sent) == 1

    @pytest.mark.parametrize("breaks", ["metrics", "ledger"])
    @pytest.mark.parametrize("mode", [ServingMode.PRECOMPUTE, ServingMode.BATCH])
    def test_a_visible_run_that_could_not_say_so_is_not_recorded_as_failed(self, breaks, mode):
        world = World(mode)
        if mode is ServingMode.BATCH:
            world.event["packed"] = world.event["prepared"]["partitions"] = []
        target, name = (world.metrics, "put") if breaks == "metrics" else (world.records, "put_run")
        sound = getattr(target, name)
        setattr(target, name, None)
        for _ in range(5):  # the step and its retries
            with pytest.raises(TypeError):
                world.conclude()
        setattr(target, name, sound)
        world.metrics.sent.clear()
        said = event("conclude_failed_lambda", error="TypeError", cause="gone")
        assert world.conclude(said) == {"run_id": RUN, "status": "succeeded", "visible": True}
        run = world.records.runs[RUN]
        assert (run.status, run.error, run.report["rows_scored"], run.report["seconds"]) == ("succeeded", None, 8, 600)
        assert [values[metrics.RUN_SUCCEEDED] for values in world.metrics.sent] == [1]

    def test_a_run_that_was_seen_and_rolled_back_before_it_could_say_so_is_not_recorded_as_failed(self):
        world = World()
        sound, world.records.put_run = world.records.put_run, None
        with pytest.raises(TypeError):
            world.conclude()
        world.records.put_run = sound
        world.records.current = replace(roll_back(world.records.current), results="newer")
        said = world.conclude(event("conclude_failed_lambda"))
        assert said == {"run_id": RUN, "status": "succeeded", "visible": False}
        assert world.records.runs[RUN].status == "succeeded"

    def test_a_generation_that_never_came_before_readers_is_of_a_failed_run(self):
        world = World()
        world.records.move_pointer = lambda to, expected_revision: False
        with pytest.raises(PointerContended):
            world.conclude()
        assert world.conclude(event("conclude_failed_lambda"))["status"] == "failed"
        assert world.records.runs[RUN].status == "failed"

    def test_a_run_that_failed_and_is_redriven_can_still_succeed(self):
        world = World()
        world.conclude(event("conclude_failed_transform"))
        world.conclude()
        run = world.records.runs[RUN]
        assert (run.status, run.error, run.cause) == ("succeeded", None, None)

    @pytest.mark.parametrize("cause", ["plain words", "", "[1]", '{"other": 1}'])
    def test_a_cause_of_another_shape_is_kept_as_it_is(self, cause):
        assert readable_cause(cause) == cause

    def test_a_cause_is_cut_before_it_fills_the_ledger(self):
        assert len(readable_cause("x" * 40_000)) == 4_000


class TestRollback:
    def test_the_two_generations_change_places_under_a_new_revision(self):
        pointer = Pointer(results="c", scores="b", previous_scores="a", revision=7)
        assert roll_back(pointer) == Pointer(results="c", scores="a", previous_scores="b", revision=8, held="a")
        assert roll_back(roll_back(pointer)) == replace(pointer, revision=9, held="b")
        newest = Pointer(results="c", scores="c", previous_scores="b", revision=7)
        assert roll_back(roll_back(newest)) == replace(newest, revision=9)

    @pytest.mark.parametrize(
        ("pointer", "says"), [(Pointer(results="a"), "ever published"), (Pointer("a", "a", None, 1), "the only one")]
    )
    def test_there_must_be_something_to_roll_back_to(self, pointer, says):
        with pytest.raises(NothingToRollBack, match=says):
            roll_back(pointer)
