"""The local side of `benchmarks.publish --local` drives the pipeline's own code: it has to keep up with it."""

import pytest

from benchmarks import publish_local
from handlers.adapters.clients import client
from handlers.adapters.records_table import RecordsTable
from handlers.adapters.score_table import ScoreTable


@pytest.fixture
def rows(aws, monkeypatch):
    """As many rows as make two shards."""
    monkeypatch.setattr(publish_local, "SHARD_ROWS", 60)
    return 100


def test_our_side_of_the_publishing_benchmark_ends_at_a_visible_generation(rows):
    assert publish_local.seconds("ours", rows) > 0
    records = RecordsTable(client("dynamodb"), publish_local.TABLE)
    generation = records.generation(records.pointer().scores)
    assert generation.rows_published == rows
    wanted = publish_local.scores(rows, "0000001")
    found = ScoreTable(client("dynamodb"), publish_local.TABLE).get_many(generation, list(wanted))
    assert {key: score.prediction for key, score in found.items()} == wanted


def test_the_peers_side_of_the_publishing_benchmark_writes_an_item_for_each_score(rows):
    assert publish_local.seconds("boto3", rows) > 0
    assert client("dynamodb").scan(TableName=publish_local.TABLE, Select="COUNT")["Count"] == rows
