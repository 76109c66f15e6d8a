"""A generation that must not be seen, and everything that can be done about it from the command line."""

import json

import pytest

from handlers.contract import metrics
from tests.integration.pipeline_runs import counted, generation_items, objects, put_input, run, wait_for
from tests.integration.test_command_line import turnout

#: Doubles its feature; no later test gives it few rows, which it would refuse after these.
MODEL = "odd"
WHOLE, TORN = 300, 120


def put_rows(client, platform, rows: int) -> None:
    lines = "".join(json.dumps({"name": f"k{number}", "x": number}) + "\n" for number in range(rows))
    put_input(client, platform, MODEL, {"rows.jsonl": lines.encode()})


@pytest.fixture(scope="module")
def whole(client, platform, model):
    put_rows(client, platform, WHOLE)
    ended = run(model(MODEL), platform)
    assert ended.status == "SUCCEEDED", ended.run
    return ended.run.id


@pytest.fixture(scope="module")
def torn(client, platform, model, whole):
    """The next run, after most of the input was lost."""
    put_rows(client, platform, TORN)
    return run(model(MODEL), platform)


def listed() -> dict[str, dict]:
    return {entry["generation"]: entry for entry in json.loads(turnout("generations", MODEL, "--json").stdout)}


def answers_from(door, generation: str) -> None:
    """Wait until a lookup is answered from that generation: a warm front door reads the pointer every two seconds."""
    wait_for(lambda: door.lookup(MODEL, "k1").body["generation"] == generation, f"generation {generation}", seconds=10)


def test_a_generation_that_lost_most_rows_is_refused_and_the_one_before_goes_on(
    client, platform, model, door, whole, torn
):
    assert (torn.status, torn.run.status, torn.run.error) == ("FAILED", "failed", "QualityFailed")
    assert torn.run.cause == (
        f"120 rows are 40.0% of the 300 of generation {whole}, at least 50.0% are asked for (quality.min_coverage)"
    )
    assert "Conclude" in torn.seconds, "the step said so itself, and was not tried again"
    assert model(MODEL).pointer().scores == whole
    answers_from(door, whole)
    failed = {"Stage": "dev", "Model": MODEL}
    wait_for(lambda: counted(client, metrics.NAMESPACE, metrics.RUN_FAILED, **failed) >= 1, "the failure to be counted")


def test_the_list_says_what_each_generation_is_and_why_one_was_refused(whole, torn):
    entries = listed()
    assert (entries[whole]["state"], entries[torn.run.id]["state"]) == ("visible", "refused")
    assert entries[torn.run.id]["refused"] == torn.run.cause
    told = entries[whole]["predictions"]
    assert (told["mean"], told["smallest"], told["largest"]) == (299.0, 0.0, 598.0)
    assert entries[torn.run.id]["compared"]["coverage"] == TORN / WHOLE
    shown = turnout("generations", MODEL).stdout
    assert "visible" in shown
    assert f"{torn.run.id} was refused: 120 rows are 40.0%" in shown


def test_a_refused_generation_is_shown_only_on_purpose_and_a_rollback_takes_it_back(door, whole, torn):
    refused = turnout("rollback", MODEL, "--to", torn.run.id, status=1)
    assert "--accept-refused" in refused.stderr
    accepted = json.loads(turnout("rollback", MODEL, "--to", torn.run.id, "--accept-refused", "--json").stdout)
    assert accepted == {"model": MODEL, "from": whole, "to": torn.run.id}
    answers_from(door, torn.run.id)
    assert door.lookup(MODEL, "k200").status == 404
    turnout("rollback", MODEL)
    answers_from(door, whole)
    assert door.lookup(MODEL, "k200").body["prediction"] == 400.0


def test_a_generation_nobody_sees_is_deleted_and_its_results_stay(client, platform, model, door, whole, torn):
    odd = model(MODEL)
    refused = turnout("generations", MODEL, "--delete", torn.run.id, status=1)
    assert "is the one that a rollback would show; it stays" in refused.stderr
    put_rows(client, platform, WHOLE)
    assert run(odd, platform).status == "SUCCEEDED"
    assert listed()[torn.run.id]["state"] == "kept"
    assert generation_items(client, odd.table_name, torn.run.id)
    turnout("generations", MODEL, "--delete", torn.run.id)
    assert generation_items(client, odd.table_name, torn.run.id) == []
    assert torn.run.id not in listed()
    assert [key for key in objects(client, platform, f"results/{MODEL}/") if torn.run.id in key]
    assert door.lookup(MODEL, "k1").body["prediction"] == 2.0
