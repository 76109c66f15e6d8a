"""Listing, showing and deleting generations, against moto in process."""

import json
from dataclasses import replace

import boto3
import pytest
from moto import mock_aws
from typer.testing import CliRunner

from handlers.adapters.clients import client
from handlers.adapters.records_table import RecordsTable
from handlers.adapters.score_table import WRITTEN, ScoreTable
from handlers.contract.errors import VerificationFailed
from handlers.contract.modes import AVAILABLE, ServingMode
from handlers.contract.records import PK, SK, Generation, Pointer, Run
from handlers.logic.concluding import Conclusion
from handlers.logic.packing import pack
from handlers.logic.profiling import profile_of
from tests.unit.handlers.datasets import card
from tests.unit.handlers.fakes import FakeClock, FakeMetrics, FakeObjects, event
from turnout import cli, deployed, generations
from turnout.errors import UserError

A, B, C = "20261121T060000Z", "20261122T060000Z", "20261123T060000Z"
LATER = 4_000_000_000
KEYS = [f"k{number}" for number in range(900)]


@pytest.fixture
def model(monkeypatch):
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        boto3.client("dynamodb").create_table(
            TableName="scores",
            BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": PK, "KeyType": "HASH"}, {"AttributeName": SK, "KeyType": "RANGE"}],
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in (PK, SK)],
        )
        yield deployed.Model("churn", "dev", "turnout-dev-churn", "precompute", "v1", "arn:machine", "scores", "door")


def manifest(name, **more):
    values = {"profile": profile_of([0.25, 0.75]).to_body(), "singles": 0, **more}
    moment = f"{name[:4]}-{name[4:6]}-{name[6:8]}T06:05:00Z"
    return Generation(name, "v1", moment, moment, 900, 900, 0, 900, "string", "s3://b/r/", None, LATER, **values)


def put_scores(model, name, predictions, **more):
    """Write scores as the publisher does, and their manifest."""
    client.cache_clear()
    table = ScoreTable(client("dynamodb"), model.table_name)
    packed = pack(KEYS, predictions)
    table.put(name, 0, packed, expires_at=LATER)
    generation = manifest(name, buckets=[packed.buckets], **{"singles": len(packed.singles), **more})
    model.put_generation(generation)
    return table, generation


def items_of(model, name):
    items = boto3.resource("dynamodb").Table(model.table_name).scan()["Items"]
    return [item for item in items if item["pk"].startswith(f"{name}#")]


@pytest.fixture
def three(model):
    """C is visible, B came before it, A before that."""
    for name in (A, B, C):
        model.put_generation(manifest(name))
    model.move_pointer(Pointer(), Pointer(results=C, scores=C, previous_scores=B, revision=1))
    return model


def states(model):
    return {entry["generation"]: entry["state"] for entry in generations.described(model, 10)}


def test_generations_come_newest_first_with_their_states(three):
    three.put_generation(replace(manifest("20261120T060000Z"), refused="all predictions are 0.5"))
    three.put_generation(replace(manifest("20261119T060000Z"), expires_at=1))
    three.put_generation(replace(manifest("20261118T060000Z"), deleting="2026-11-23T06:00:00Z"))
    assert list(states(three).items()) == [
        (C, "visible"),
        (B, "previous"),
        (A, "kept"),
        ("20261120T060000Z", "refused"),
        ("20261119T060000Z", "expired"),
        ("20261118T060000Z", "deleting"),
    ]
    assert len(generations.described(three, 2)) == 2


def test_a_mode_without_lookups_shows_its_newest_results(three):
    batch = replace(three, mode="batch")
    batch.move_pointer(batch.pointer(), Pointer(results=B, scores=A, previous_scores=C, revision=2))
    assert states(batch) == {C: "kept", B: "visible", A: "kept"}
    assert generations.make_visible(batch, C, accept_refused=False) == (B, C)
    assert batch.pointer() == Pointer(results=C, scores=A, previous_scores=C, revision=3, held=C)


def test_a_list_is_as_long_as_asked_for_beyond_a_page_of_dynamodb(model):
    wide = profile_of([f"{number:04}" * 8 for number in range(50)]).to_body()  # 1.7 KB each: a page holds 600
    ids = [f"20261121T{number // 60:02}{number % 60:02}00Z" for number in range(700)]
    with boto3.resource("dynamodb").Table(model.table_name).batch_writer() as writer:
        for name in ids:
            writer.put_item(Item=manifest(name, profile=wide).to_item())
    assert [generation.id for generation in model.generations(700)] == ids[::-1]
    assert [generation.id for generation in model.generations(699)] == ids[:0:-1]
    assert len(model.generations(1000)) == 700


def test_what_predictions_look_like_is_told_without_what_only_machines_read(three):
    three.put_generation(replace(manifest(A), profile=profile_of(["a", "b", "a"]).to_body()))
    newest, _, oldest = generations.described(three, 10)
    assert newest["predictions"] == {
        "types": {"number": 2}, "nulls": 0, "mean": 0.5, "deviation": 0.25, "smallest": 0.25, "largest": 0.75,
        "quantiles": {"0.05": 0.25, "0.5": 0.75, "0.95": 0.75},
    }  # fmt: skip
    assert oldest["predictions"]["labels"] == {"a": 2, "b": 1}


def test_any_kept_generation_can_be_shown_and_the_way_back_is_a_rollback(three):
    assert generations.make_visible(three, A, accept_refused=False) == (C, A)
    assert three.pointer() == Pointer(results=C, scores=A, previous_scores=C, revision=2, held=A)
    assert generations.show_previous(three) == (A, C)
    assert (three.pointer().scores, three.pointer().held) == (C, None), "nobody goes back to the newest"


@pytest.mark.parametrize(
    ("name", "more", "says"),
    [
        (C, {}, f"generation {C} is visible already"),
        ("nonsense", None, "there is no generation nonsense, or none any more"),
        (A, {"expires_at": 1}, f"generation {A} has expired"),
        (A, {"deleting": "2026-11-23T06:00:00Z"}, "is being deleted since 2026-11-23T06:00:00Z"),
        (A, {"rows_published": 0}, "has no scores to look up"),
        (A, {"refused": "40 rows"}, f"generation {A} was refused: 40 rows Show it all the same with --accept-refused."),
    ],
)
def test_what_cannot_be_shown_is_refused_and_nothing_moves(three, name, more, says):
    if more is not None:
        three.put_generation(replace(manifest(name), **more))
    before = three.pointer()
    with pytest.raises(UserError) as refused:
        generations.make_visible(three, name, accept_refused=False)
    assert says in str(refused.value)
    assert three.pointer() == before


#: What a rollback says in modes that have none, with `--to` and without.
NO_LOOKUPS = "this mode has no lookups. `--to` chooses which results are the newest."
NOTHING_HERE = "there is nothing to roll back here. Put the old mode or model version back and deploy."
NO_ROLLBACK = {
    ServingMode.BATCH: (NO_LOOKUPS, None),
    ServingMode.PRECOMPUTE: (None, None),
    ServingMode.HYBRID: (None, None),
    ServingMode.REALTIME: (NOTHING_HERE, NOTHING_HERE),
    ServingMode.SERVERLESS: (NOTHING_HERE, NOTHING_HERE),
    ServingMode.ASYNC: (NOTHING_HERE, NOTHING_HERE),
}


@pytest.mark.parametrize("arguments", [(), ("--to", A)], ids=["previous", "to"])
@pytest.mark.parametrize("mode", sorted(AVAILABLE))
def test_a_rollback_says_so_where_a_mode_has_none_and_moves_nothing(three, monkeypatch, mode, arguments):
    served = replace(three, mode=mode.value)
    monkeypatch.setattr(deployed, "find_model", lambda stage, name: served)
    before, says = three.pointer(), NO_ROLLBACK[mode][bool(arguments)]
    ended = CliRunner().invoke(cli.app, ["rollback", "churn", *arguments])
    if says is None:
        assert (ended.exit_code, three.pointer() == before) == (0, False)
    else:
        assert isinstance(ended.exception, UserError)
        assert str(ended.exception).endswith(says)
        assert three.pointer() == before


def test_a_rollback_does_not_lead_to_scores_that_have_expired_or_gone(three):
    three.put_generation(replace(manifest(B), expires_at=1))
    with pytest.raises(UserError, match=f"generation {B} has expired"):
        generations.show_previous(three)
    three.delete_generation(B)
    with pytest.raises(UserError, match=f"no generation {B}, or none any more"):
        generations.show_previous(three)
    assert three.pointer().scores == C


def test_a_refused_generation_that_is_accepted_is_one_like_any_other(three):
    newest = "20261124T060000Z"
    three.put_generation(manifest(newest, refused="40 rows"))
    assert generations.make_visible(three, newest, accept_refused=True) == (C, newest)
    assert three.pointer() == Pointer(results=newest, scores=newest, previous_scores=C, revision=2)
    generations.show_previous(three)
    assert generations.make_visible(three, newest, accept_refused=False) == (C, newest)


def test_an_older_one_that_is_accepted_does_not_become_the_newest_results(three):
    three.put_generation(manifest(A, refused="40 rows"))
    generations.make_visible(three, A, accept_refused=True)
    assert three.pointer() == Pointer(results=C, scores=A, previous_scores=C, revision=2, held=A)


def test_a_refused_first_generation_can_be_accepted(model):
    model.put_generation(manifest(A, refused="all predictions are 0.5"))
    assert generations.make_visible(model, A, accept_refused=True) == (None, A)
    assert model.pointer() == Pointer(results=A, scores=A, revision=1)


def test_deleting_takes_every_item_of_a_generation_and_none_of_another(three):
    mixed = ["long" * 300 if number % 9 == 0 else number / 7 for number in range(len(KEYS))]
    put_scores(three, A, mixed)
    store, kept = put_scores(three, f"{A[:-1]}Z-abc123", mixed)
    assert len(items_of(three, A)) > 100
    news = []
    assert generations.delete(three, A, news.append) >= 100
    assert items_of(three, A) == []
    assert three.generation(A) is None
    assert news[-1] >= 100
    assert [store.get(kept, key).prediction for key in KEYS] == mixed


def test_a_generation_without_single_items_is_deleted_without_reading_the_table(three, monkeypatch):
    put_scores(three, A, [number / 7 for number in range(900)])
    noted = {PK: f"{A}#0", SK: WRITTEN}  # how far a packer came
    boto3.resource("dynamodb").Table(three.table_name).put_item(Item=noted)
    monkeypatch.setattr(deployed.Model, "keys_beginning", None)
    generations.delete(three, A, lambda items: None)
    assert items_of(three, A) == []


def test_a_deletion_that_broke_is_taken_up_again_and_its_generation_is_never_shown(three, monkeypatch):
    put_scores(three, A, [number / 7 for number in range(900)])
    whole = deployed.Model.delete_items

    def broken(self, names, progress):
        whole(self, [next(iter(names)), next(iter(names))], progress)
        raise ConnectionError("gone")

    monkeypatch.setattr(deployed.Model, "delete_items", broken)
    with pytest.raises(ConnectionError):
        generations.delete(three, A, lambda items: None)
    assert states(three)[A] == "deleting"
    with pytest.raises(UserError, match="is being deleted since"):
        generations.make_visible(three, A, accept_refused=True)
    monkeypatch.setattr(deployed.Model, "delete_items", whole)
    generations.delete(three, A, lambda items: None)
    assert items_of(three, A) == []
    assert A not in states(three)


FAILED = Run(A, "e", "manual", "s", "failed", "2026-11-21T06:00:00Z", LATER, error="VerificationFailed")


def put_run(model, run):
    boto3.resource("dynamodb").Table(model.table_name).put_item(Item=run.to_item())


def conclude_without_receipts(model):
    """Have run C end, of whose receipts none is there."""
    client.cache_clear()
    Conclusion(
        card=card(),
        mode=ServingMode.PRECOMPUTE,
        bucket="data",
        objects=FakeObjects(),
        records=RecordsTable(client("dynamodb"), model.table_name),
        metric_sink=FakeMetrics(),
        clock=FakeClock(),
    ).conclude(event("conclude_succeeded"))


def test_a_generation_whose_counts_are_wrong_is_listed_is_never_accepted_and_is_deleted_whole(three):
    run = replace(FAILED, id=C)
    put_run(three, run)
    three.move_pointer(three.pointer(), Pointer(results=B, scores=B, previous_scores=A, revision=2))
    put_scores(three, run.id, ["long" * 300, *[number / 7 for number in range(899)]])
    three.delete_generation(run.id)
    with pytest.raises(VerificationFailed):
        conclude_without_receipts(three)
    newest, *_ = generations.described(three, 10)
    assert (newest["generation"], newest["state"], newest["miscounted"]) == (run.id, "refused", True)
    for accept in (False, True):
        with pytest.raises(UserError, match=f"{run.id} cannot be accepted, its counts do not add up: receipts"):
            generations.make_visible(three, run.id, accept_refused=accept)
    left = len(items_of(three, run.id))
    assert left > 1 + sum(three.generation(run.id).buckets), "the manifest knows of fewer"
    assert generations.delete(three, run.id, lambda items: None) == left
    assert (items_of(three, run.id), three.generation(run.id)) == ([], None)
    with pytest.raises(VerificationFailed, match="is being deleted since"):  # the execution is redriven
        conclude_without_receipts(three)
    assert three.generation(run.id) is None


def test_what_a_run_left_that_failed_before_it_had_a_manifest_is_deleted(three):
    put_run(three, replace(FAILED, id=f"{A[:-1]}Z-abc123"))
    kept, other = put_scores(three, f"{A[:-1]}Z-abc123", [number / 7 for number in range(900)])
    put_scores(three, A, ["long" * 300 if number % 9 == 0 else number / 7 for number in range(900)])
    noted = {PK: f"{A}#0", SK: WRITTEN}
    boto3.resource("dynamodb").Table(three.table_name).put_item(Item=noted)
    three.delete_generation(A)
    put_run(three, replace(FAILED, error="NotAllWritten"))
    assert generations.delete(three, A, lambda items: None) > 100
    assert items_of(three, A) == []
    assert three.run(A).deleting is not None
    assert kept.get(other, KEYS[0]).prediction == 0.0


def test_without_a_manifest_a_run_under_way_and_what_somebody_sees_stay(three):
    put_scores(three, A, [number / 7 for number in range(900)])
    three.delete_generation(A)
    put_run(three, replace(FAILED, status="running"))
    with pytest.raises(UserError, match=f"Run {A} of model 'churn' is still under way"):
        generations.delete(three, A, lambda items: None)
    put_run(three, FAILED)
    three.move_pointer(three.pointer(), Pointer(results=C, scores=A, previous_scores=B, revision=2))
    with pytest.raises(UserError, match="is visible; it stays"):
        generations.delete(three, A, lambda items: None)
    assert items_of(three, A) != []


def test_a_redriven_run_that_ends_well_while_it_is_being_deleted_keeps_its_scores(three, monkeypatch):
    put_scores(three, A, [number / 7 for number in range(900)])
    three.delete_generation(A)
    put_run(three, FAILED)
    put = deployed.Model.put_run

    def late(self, run, **condition):
        put_run(three, replace(FAILED, status="succeeded"))
        put(self, run, **condition)

    monkeypatch.setattr(deployed.Model, "put_run", late)
    with pytest.raises(UserError, match=f"Run {A} of model 'churn' changed meanwhile"):
        generations.delete(three, A, lambda items: None)
    assert items_of(three, A) != []


@pytest.mark.parametrize(
    ("pointer", "says"),
    [
        (Pointer(results=C, scores=A, previous_scores=B, revision=2), "is visible; it stays"),
        (Pointer(results=C, scores=B, previous_scores=A, revision=2), "is the one that a rollback would show"),
        (Pointer(results=A, scores=B, previous_scores=C, revision=2), "is the newest results"),
    ],
)
def test_what_somebody_sees_or_may_see_is_not_deleted(three, pointer, says):
    three.move_pointer(three.pointer(), pointer)
    with pytest.raises(UserError, match=says):
        generations.delete(three, A, lambda items: None)
    assert three.generation(A) == manifest(A)
    with pytest.raises(UserError, match="has no generation nonsense"):
        generations.delete(three, "nonsense", lambda items: None)


def test_a_generation_whose_run_is_under_way_is_not_deleted(three):
    run = Run(A, "e", "manual", "s", "running", "2026-11-21T06:00:00Z", LATER)
    boto3.resource("dynamodb").Table(three.table_name).put_item(Item=run.to_item())
    with pytest.raises(UserError, match=f"Run {A} of model 'churn' is still under way"):
        generations.delete(three, A, lambda items: None)


def test_a_rollback_that_read_a_generation_before_it_was_deleted_comes_too_late(three, monkeypatch):
    move, races = deployed.Model.move_pointer, []

    def late(self, old, new):
        if not races:  # between the rollback's reading and its writing somebody deletes the generation
            races.append(True)
            generations.delete(three, A, lambda items: None)
        move(self, old, new)

    monkeypatch.setattr(deployed.Model, "move_pointer", late)
    with pytest.raises(UserError, match="changed while it was being rolled back"):
        generations.make_visible(three, A, accept_refused=False)
    assert three.pointer().scores == C


def test_a_generation_that_is_shown_while_it_is_being_marked_stays(three, monkeypatch):
    put = deployed.Model.put_generation
    races = []

    def late(self, generation, **condition):
        if generation.deleting and not races:
            races.append(True)
            generations.make_visible(three, A, accept_refused=False)
        put(self, generation, **condition)

    monkeypatch.setattr(deployed.Model, "put_generation", late)
    with pytest.raises(UserError, match="is visible; it stays"):
        generations.delete(three, A, lambda items: None)
    assert three.generation(A).deleting is None


def test_a_generation_that_is_shown_just_after_it_was_marked_stays_and_can_be_shown_again(three, monkeypatch):
    move, races = deployed.Model.move_pointer, []

    def late(self, old, new):
        if not races:  # somebody read the generation before it was marked, and moves the pointer first
            races.append(True)
            move(self, old, replace(old, scores=A, previous_scores=C, revision=old.revision + 1))
        move(self, old, new)

    monkeypatch.setattr(deployed.Model, "move_pointer", late)
    with pytest.raises(UserError):
        generations.delete(three, A, lambda items: None)
    assert three.generation(A) == manifest(A)
    assert generations.show_previous(three) == (A, C)
    assert generations.show_previous(three) == (C, A)


@pytest.mark.parametrize("begins_at", ["put_generation", "move_pointer"])
@pytest.mark.parametrize("first", [False, True])
def test_a_refused_generation_that_is_deleted_while_it_is_accepted_stays_deleted(model, monkeypatch, begins_at, first):
    if not first:
        model.put_generation(manifest(C))
        model.move_pointer(Pointer(), Pointer(results=C, scores=C, revision=1))
    put_scores(model, A, [0.5] * 900, refused="all predictions are 0.5")
    step, races = getattr(deployed.Model, begins_at), []

    def late(self, *arguments, **condition):
        if not races:  # between the acceptance's reading and its writing
            races.append(True)
            generations.delete(model, A, lambda items: None)
        step(self, *arguments, **condition)

    monkeypatch.setattr(deployed.Model, begins_at, late)
    with pytest.raises(UserError, match="changed"):
        generations.make_visible(model, A, accept_refused=True)
    assert model.generation(A) is None
    assert items_of(model, A) == []
    assert model.pointer().scores == (None if first else C)


def test_a_deletion_that_broke_stays_marked_whatever_keeps_the_next_from_going_on(three, monkeypatch):
    three.put_generation(manifest(A, deleting="2026-11-23T06:00:00Z"))
    move = deployed.Model.move_pointer

    def contended(self, old, new):
        move(self, old, replace(old, revision=old.revision + 1))
        move(self, old, new)

    monkeypatch.setattr(deployed.Model, "move_pointer", contended)
    with pytest.raises(UserError):
        generations.delete(three, A, lambda items: None)
    assert states(three)[A] == "deleting"


def test_two_deletions_of_one_generation_end_with_nothing_of_it(three, monkeypatch):
    put_scores(three, A, [number / 7 for number in range(900)])
    put, races = deployed.Model.put_generation, []

    def late(self, generation, **condition):
        if not races:
            races.append(True)
            generations.delete(three, A, lambda items: None)
        put(self, generation, **condition)

    monkeypatch.setattr(deployed.Model, "put_generation", late)
    with pytest.raises(UserError, match="was deleted or changed meanwhile"):
        generations.delete(three, A, lambda items: None)
    assert three.generation(A) is None
    assert items_of(three, A) == []


class TestCommands:
    @pytest.fixture(autouse=True)
    def found(self, three, monkeypatch):
        monkeypatch.setattr(deployed, "find_model", lambda stage, name: three)

    def call(self, *arguments):
        ended = CliRunner().invoke(cli.app, list(arguments), catch_exceptions=False)
        assert ended.exit_code == 0, ended.output
        return ended.stdout

    def test_a_list_shows_what_predictions_look_like_and_why_one_was_refused(self, three):
        three.put_generation(manifest("20261124T060000Z", refused="40 rows are 40.0% of the 100"))
        shown = self.call("generations", "churn")
        assert "visible" in shown
        assert "0.25, 0.75, 0.75" in shown
        assert "20261124T060000Z was refused: 40 rows are 40.0% of the 100" in shown
        three.put_generation(manifest("20261125T060000Z", refused="receipts are lost", miscounted=True))
        assert "20261125T060000Z was refused, and cannot be accepted: rec" in self.call("generations", "churn")
        three.delete_generation("20261125T060000Z")
        first, *_ = json.loads(self.call("generations", "churn", "--json", "--limit", "1"))
        assert (first["generation"], first["state"]) == ("20261124T060000Z", "refused")

    def test_one_generation_is_shown(self, three):
        assert json.loads(self.call("rollback", "churn", "--to", A, "--json")) == {"model": "churn", "from": C, "to": A}
        assert f"generation {C} is visible (was {A})" in self.call("rollback", "churn", "--to", C)

    def test_one_generation_is_deleted(self, three):
        put_scores(three, A, [number / 7 for number in range(900)])
        told = json.loads(self.call("generations", "churn", "--delete", A, "--json"))
        assert (told["model"], told["deleted"]) == ("churn", A)
        assert told["items"] > 1
        assert three.generation(A) is None

    def test_accepting_wants_a_name(self):
        assert CliRunner().invoke(cli.app, ["rollback", "churn", "--accept-refused"]).exit_code == 2

    def test_a_model_without_generations_says_how_to_make_one(self, three):
        for name in (A, B, C):
            three.delete_generation(name)
        assert "turnout run churn" in self.call("generations", "churn")
