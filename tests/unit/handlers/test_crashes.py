"""Publishing under every kind of misfortune: killed, delivered twice or late, throttled, with a rival. Readers watch.

The steps are driven as Step Functions drives them: each until it succeeds, the next one only then. Every call of AWS
goes through a `Line`, which can kill the process before or after it, and before which readers read.
"""

import json
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from typing import Any

import pyarrow as pa
import pytest
from botocore.exceptions import ClientError

from benchmarks.write_units import write_units
from handlers.adapters import score_table, score_writing
from handlers.adapters.clients import client
from handlers.adapters.records_table import RecordsTable
from handlers.adapters.score_table import ScoreTable
from handlers.adapters.score_writing import NotAllWritten, write_all
from handlers.contract import layout
from handlers.contract.modes import ServingMode
from handlers.contract.pipeline import Conclude, Prepared, Shard
from handlers.contract.records import Generation, Run
from handlers.logic.concluding import Conclusion
from handlers.logic.lookup import Visible
from handlers.logic.moments import format_moment
from handlers.logic.publishing import Publisher
from tests.unit.handlers.conftest import TABLE
from tests.unit.handlers.datasets import card, parquet
from tests.unit.handlers.fakes import FakeClock, FakeMetrics, FakeObjects

CARD = card(wire_format="jsonlines", retention_seconds=30 * 86_400)
SHARDS = [Shard(index=index, rows=40) for index in range(3)]
PARTITIONS = [0, 1]
#: Small enough that a partition is written in many batches and noted several times.
BATCH, NOTED = 2, 6
#: Items that a killed packer may write again: what was not noted yet, and what was on its way.
AGAIN = NOTED + 3 * BATCH


class Killed(BaseException):
    """The process is gone."""


class Line:
    """All calls of one process. It dies at call `kill_at`: before that has an effect, or after with `late`."""

    def __init__(self, before_each: Callable[[], None], *, kill_at: int | None = None, late: bool = False) -> None:
        self.before_each, self.kill_at, self.late = before_each, kill_at, late
        self.calls, self.dead, self.lock = 0, False, threading.RLock()

    def call(self, work: Callable[[], Any]) -> Any:
        with self.lock:
            if self.dead:
                raise Killed
            self.before_each()
            self.calls += 1
            if self.calls == self.kill_at and not self.late:
                self._die()
            answer = work()
            if self.calls == self.kill_at:
                self._die()
            return answer

    def _die(self) -> None:
        self.dead = True
        raise Killed

    def to(self, target: Any) -> Any:
        return Watched(self, target)


class Watched:
    """Something in AWS at the end of a line."""

    def __init__(self, line: Line, target: Any) -> None:
        self._line, self._target = line, target

    def __getattr__(self, name: str) -> Any:
        member = getattr(self._target, name)
        if name == "exceptions":
            return member
        return lambda *arguments, **named: self._line.call(partial(member, *arguments, **named))


class ConditionalCheckFailed(ClientError):
    def __init__(self, item: dict[str, Any]) -> None:
        error = {"Code": "ConditionalCheckFailedException", "Message": "the condition failed"}
        super().__init__({"Error": error, "Item": item}, "PutItem")


class Exceptions:
    ConditionalCheckFailedException = ConditionalCheckFailed


CONDITIONS = {
    "attribute_not_exists(pk)": lambda old, values: old is None,
    "revision = :expected": lambda old, values: old is not None and old["revision"] == values[":expected"],
}


class FakeDynamoDB:
    """One table behind boto3's low-level calls, as far as publishing and looking up use them.

    `take` says how many requests of a batch it takes, and may raise. `units` counts write units of what it took.
    """

    exceptions = Exceptions

    def __init__(self, take: Callable[[list[Any]], int] = len) -> None:
        self.items: dict[tuple[str, str], Any] = {}
        self.take, self.units, self.changes = take, 0, 0

    def get_item(self, *, TableName: str, Key: Any, ConsistentRead: bool) -> Any:
        found = self.items.get(_name(Key))
        return {"Item": found} if found else {}

    def batch_get_item(self, *, RequestItems: Any) -> Any:
        found = [self.items.get(_name(key)) for key in RequestItems[TABLE]["Keys"]]
        return {"Responses": {TABLE: [item for item in found if item]}}

    def put_item(
        self,
        *,
        TableName: str,
        Item: Any,
        ConditionExpression: str = "",
        ExpressionAttributeValues: Any = None,
        ReturnValuesOnConditionCheckFailure: str = "",
    ) -> None:
        old = self.items.get(_name(Item))
        if ConditionExpression and not CONDITIONS[ConditionExpression](old, ExpressionAttributeValues):
            raise ConditionalCheckFailed(old)
        self._put(Item)

    def batch_write_item(self, *, RequestItems: Any) -> Any:
        requests = RequestItems[TABLE]
        taken = self.take(requests)
        for request in requests[:taken]:
            self._put(request["PutRequest"]["Item"])
        return {"UnprocessedItems": {TABLE: requests[taken:]} if requests[taken:] else {}}

    def _put(self, item: Any) -> None:
        self.items[_name(item)] = item
        self.units += write_units(item)
        self.changes += 1


def _name(item: Any) -> tuple[str, str]:
    return item["pk"]["S"], item["sk"]["S"]


class World:
    """A table and a bucket in which generation 0 is visible, and readers that know what each generation holds."""

    def __init__(self, table: Any = None) -> None:
        self.table = table or FakeDynamoDB()
        self.objects, self.clock = FakeObjects(), FakeClock()
        self.shown: list[str] = []  # generations in the order in which readers saw them
        self.warm = Visible(RecordsTable(self.table, TABLE), self.clock.monotonic)
        self._dice = random.Random(8)

    def copy(self) -> "World":
        twin = World(FakeDynamoDB())
        twin.table.items, twin.objects.stored = dict(self.table.items), dict(self.objects.stored)
        twin.table.units, twin.shown = self.table.units, list(self.shown)
        return twin

    def watch(self) -> None:
        """Read as a front door does that has just begun, and as one that keeps the pointer for a while."""
        shown = self.read(Visible(RecordsTable(self.table, TABLE), self.clock.monotonic))
        if shown is not None and shown not in self.shown:
            self.shown.append(shown)
        assert shown == max(self.shown, default=None), "an older generation after a newer one was visible"
        self.read(self.warm)

    def read(self, visible: Visible) -> str | None:
        """Look up some keys in one generation, all of them if it has just become visible; return which it was."""
        generation = visible.generation(visible.pointer().scores)
        if generation is None:
            return None
        expected = scores_of(generation.id)
        keys = self._dice.sample(sorted(expected), 2) if generation.id in self.shown else expected
        self.read_all(generation, keys)
        return generation.id

    def read_all(self, generation: Generation, keys: Iterable[str]) -> None:
        expected = scores_of(generation.id)
        found = ScoreTable(self.table, TABLE).get_many(generation, [*keys, "absent"])
        assert {key: score.prediction for key, score in found.items()} == {key: expected[key] for key in keys}

    def of_scores(self) -> dict[Any, Any]:
        """Return what lookups can come across: all items but the ledger and how far writing came."""
        return {
            name: {key: value for key, value in item.items() if key != "published_at"}
            for name, item in self.table.items.items()
            if name[0] != "RUN" and name[1] != score_table.WRITTEN
        }


def run_id(day: int) -> str:
    return f"202611{22 + day}T060000Z"


def keys_of(day: int) -> list[str]:
    """Return 120 keys, of which each day loses one and gets another."""
    return [f"key-{number}" for number in range(day, day + 120)]


@cache
def scores_of(run: str) -> dict[str, Any]:
    """Return what a run's model says: so large that some five fit into a bucket, and some into none."""
    generator = random.Random(run)
    return {
        key: {"of": run, "key": key, "more": generator.randbytes(900 if number % 30 == 0 else 300).hex()}
        for number, key in enumerate(keys_of(int(run[6:8]) - 22))
    }


#: A step of an execution, which is given when the step is done.
Step = Callable[["Execution"], None]


class Execution:
    """One run as the state machine drives it. Each attempt of a step is a process of its own."""

    def __init__(self, world: World, day: int) -> None:
        self.world, self.run_id = world, run_id(day)
        self.scored_at = datetime(2026, 11, 22 + day, 6, 9, tzinfo=UTC)
        self.published: dict[int, Any] = {}
        self.packed: dict[int, Any] = {}
        self.line = Line(world.watch)
        self._transform()
        run = Run(self.run_id, self.run_id, "schedule", "s", "running", self.started_at, 2_000_000_000)
        RecordsTable(world.table, TABLE).put_run(run)

    @property
    def started_at(self) -> str:
        return format_moment(self.scored_at - timedelta(minutes=9))

    def _transform(self) -> None:
        """Leave what Batch Transform and the step before it leave."""
        scores = list(scores_of(self.run_id).items())
        for shard in SHARDS:
            rows = range(shard["index"] * 40, shard["index"] * 40 + 40)
            lines = [json.dumps({"row": row, "SageMakerOutput": scores[row][1]}) for row in rows]
            sidecar = parquet({"row": pa.array(rows), "key": [scores[row][0] for row in rows]})
            self.world.objects.put("data", layout.keys_key("m", self.run_id, shard["index"]), sidecar)
            output = layout.transform_output_key("m", self.run_id, shard["index"], "jsonlines")
            self.world.objects.put("data", output, "\n".join(lines).encode())

    @property
    def steps(self) -> list[Step]:
        return [
            *(partial(Execution.publish, shard=shard) for shard in SHARDS),
            *(partial(Execution.pack, partition=partition) for partition in PARTITIONS),
            Execution.conclude,
        ]

    def run(self) -> "Execution":
        for step in self.steps:
            assert self.attempt(step)
        return self

    def attempt(self, step: Step, **line: Any) -> bool:
        """Do a step in a new process; return whether that lived to its end."""
        self.line = Line(**{"before_each": self.world.watch, **line})
        try:
            step(self)
        except Killed:
            return False
        return True

    def fork(self) -> "Execution":
        """Return the same run at the same moment in a world of its own."""
        twin = object.__new__(Execution)
        twin.__dict__ |= {**self.__dict__, "world": self.world.copy()}
        twin.published, twin.packed = dict(self.published), dict(self.packed)
        return twin

    def publisher(self) -> Publisher:
        scores = ScoreTable(self.line.to(self.world.table), TABLE)
        return Publisher(CARD, "data", self.line.to(self.world.objects), scores)

    def publish(self, shard: Shard) -> None:
        event = {"run_id": self.run_id, "shard": shard, "scored_at": format_moment(self.scored_at)}
        event |= {"model_version": "v1", "key_type": "string", "partitions": PARTITIONS}
        self.published[shard["index"]] = self.publisher().publish(event)

    def pack(self, partition: int) -> None:
        event = {"run_id": self.run_id, "partition": partition, "partitions": PARTITIONS, "shards": SHARDS}
        self.packed[partition] = self.publisher().pack(
            {**event, "scored_at": format_moment(self.scored_at), "retention_seconds": CARD.retention_seconds}
        )

    def conclude(self) -> None:
        prepared = Prepared(
            rows_in=120,
            rows_valid=120,
            rows_quarantined=0,
            key_type="string",
            quarantine_uri=None,
            reasons={},
            shards=SHARDS,
            partitions=PARTITIONS,
            data_as_of=self.started_at,
        )
        concluded = Conclusion(
            card=CARD,
            mode=ServingMode.PRECOMPUTE,
            bucket="data",
            objects=self.line.to(self.world.objects),
            records=RecordsTable(self.line.to(self.world.table), TABLE),
            metric_sink=self.line.to(FakeMetrics()),
            clock=self.world.clock,
        ).conclude(
            Conclude(
                outcome="succeeded",
                run_id=self.run_id,
                execution=self.run_id,
                started_at=self.started_at,
                scored_at=format_moment(self.scored_at),
                model_version="v1",
                retention_seconds=CARD.retention_seconds,
                prepared=prepared,
                published=list(self.published.values()),
                packed=list(self.packed.values()),
            )
        )
        assert concluded["status"] == "succeeded"


@pytest.fixture(autouse=True, scope="module")
def pauses():
    """Write in small batches and in order: a call has the same number in every run. Pauses take no time."""
    pauses: list[float] = []
    writer = partial(write_all, threads=1, sleep=pauses.append, jitter=lambda: 1.0)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"WRITE_BATCH": BATCH, "NOTED": NOTED, "write_all": writer}.items():
            patch.setattr(score_writing, name, value)
        yield pauses


@pytest.fixture(scope="module")
def before():
    """The world before: generation 0 is visible."""
    return Execution(World(), 0).run().world


@pytest.fixture(scope="module")
def undisturbed(before):
    """The run of generation 1 that nothing disturbs."""
    world = before.copy()
    return Execution(world, 1).run()


def require_same(execution: Execution, undisturbed: Execution) -> None:
    """Assert that a run has left what the undisturbed one had left at that moment."""
    mine, its = execution.world, undisturbed.world
    mine.watch()
    assert mine.of_scores() == its.of_scores()
    assert mine.objects.stored == its.objects.stored
    assert (execution.published, execution.packed, mine.shown) == (undisturbed.published, undisturbed.packed, its.shown)


def most_units_again(execution: Execution) -> int:
    """Return the write units that one kill may cost: AGAIN items of the largest size, a note and a record."""
    return AGAIN * max(map(write_units, execution.world.table.items.values())) + 3


def test_the_run_that_is_disturbed_below_has_what_can_go_wrong(before, undisturbed):
    items = [name for name in undisturbed.world.table.items if name[0].startswith(f"{run_id(1)}#")]
    kinds = Counter(sort for _, sort in items)
    assert kinds["bucket"] > 2 * len(PARTITIONS) * NOTED
    assert kinds["-"] == 4  # scores that stand alone
    assert kinds[score_table.WRITTEN] == len(PARTITIONS)
    assert (before.shown, undisturbed.world.shown) == ([run_id(0)], [run_id(0), run_id(1)])


def test_killed_before_or_after_any_call_a_step_is_done_again_and_leaves_the_same(before):
    undisturbed, kills = Execution(before.copy(), 1), 0
    for step in undisturbed.steps:
        start = undisturbed.fork()
        undisturbed.attempt(step)
        for kill_at in range(1, undisturbed.line.calls + 1):
            for late in (False, True):
                execution = start.fork()
                assert not execution.attempt(step, kill_at=kill_at, late=late)
                assert execution.attempt(step)
                require_same(execution, undisturbed)
                again = execution.world.table.units - undisturbed.world.table.units
                assert again <= most_units_again(undisturbed), (step, kill_at, late)
                kills += 1
    assert kills > 100


@pytest.mark.parametrize("seed", range(8))
def test_killed_at_random_again_and_again_a_run_ends_as_if_nothing_had_happened(before, undisturbed, seed):
    dice, execution, kills = random.Random(seed), Execution(before.copy(), 1), 0
    for step in execution.steps:
        while not execution.attempt(step, kill_at=dice.randint(1, 25), late=dice.random() < 0.5):
            kills += 1
    require_same(execution, undisturbed)
    assert kills > 1
    again = execution.world.table.units - undisturbed.world.table.units
    assert again <= kills * most_units_again(undisturbed)


@pytest.mark.parametrize("seed", range(8))
def test_steps_delivered_twice_late_and_in_any_order_change_nothing_and_cost_next_to_nothing(before, undisturbed, seed):
    dice, execution = random.Random(seed), Execution(before.copy(), 1)
    delivered: list[Step] = []
    for steps in (execution.steps[:3], execution.steps[3:5], execution.steps[5:]):
        dice.shuffle(steps)
        for step in steps:
            assert execution.attempt(step)
            delivered.append(step)
            for late in dice.sample(delivered, dice.randint(0, len(delivered))):
                assert execution.attempt(late)
    for step in dice.sample(delivered, len(delivered)):
        assert execution.attempt(step)  # long after the generation has become visible
    execution.published = dict(sorted(execution.published.items()))
    execution.packed = dict(sorted(execution.packed.items()))
    require_same(execution, undisturbed)
    # Every packing was complete and noted so: only records are written again.
    assert execution.world.table.units - undisturbed.world.table.units <= 3 * len(delivered)


def test_a_packer_taken_for_dead_goes_on_beside_its_successor_and_after_it(before, undisturbed):
    """Lambda may report a function lost that still runs: the next attempt and the conclusion overtake it."""
    *publish, pack, last_pack, conclude = undisturbed.steps
    start = Execution(before.copy(), 1)
    for step in [*publish, pack]:
        assert start.attempt(step)
    counted = start.fork()
    counted.attempt(last_pack)
    for overtaken_at in range(1, counted.line.calls + 1, 3):
        execution = start.fork()
        left = [overtaken_at]

        def overtake(execution=execution, left=left):
            left[0] -= 1
            if left[0] == 0:
                rest = object.__new__(Execution)
                rest.__dict__ |= execution.__dict__
                assert rest.attempt(last_pack)
                assert rest.attempt(conclude)
            execution.world.watch()

        assert execution.attempt(last_pack, before_each=overtake)
        require_same(execution, undisturbed)


@pytest.mark.parametrize("ahead", ["older", "newer"])
def test_of_two_publishers_at_once_the_newer_generation_stays_visible(before, ahead):
    """From some call of one run on, the other one does its next step before each further call, and so ends `ahead`."""
    for beginning in range(0, 60, 6):
        world = before.copy()
        older, newer = Execution(world, 1), Execution(world, 2)
        first, second = (older, newer) if ahead == "older" else (newer, older)
        waiting, calls = first.steps, [0]

        def interleave(first=first, waiting=waiting, calls=calls, beginning=beginning):
            calls[0] += 1
            if waiting and calls[0] > beginning:
                assert first.attempt(waiting.pop(0))
            first.world.watch()

        for step in second.steps:
            assert second.attempt(step, before_each=interleave)
        for step in waiting:
            assert first.attempt(step)
        pointer = RecordsTable(world.table, TABLE).pointer()
        assert (pointer.scores, pointer.results) == (run_id(2), run_id(2))
        for day in (0, 1, 2):
            generation = RecordsTable(world.table, TABLE).generation(run_id(day))
            world.read_all(generation, scores_of(run_id(day)))


def throttled() -> ClientError:
    return ClientError({"Error": {"Code": "ProvisionedThroughputExceededException", "Message": ""}}, "BatchWriteItem")


@pytest.mark.parametrize("seed", range(4))
def test_a_storm_of_throttles_delays_writing_but_neither_loses_nor_doubles_anything(before, undisturbed, seed, pauses):
    dice, execution, waited = random.Random(seed), Execution(before.copy(), 1), len(pauses)

    def take(requests):
        if dice.random() < 0.2:
            raise throttled()
        return dice.randint(0, len(requests))

    execution.world.table.take = take
    execution.run()
    require_same(execution, undisturbed)
    assert execution.world.table.units == undisturbed.world.table.units
    assert len(pauses) - waited > 20


def test_a_table_that_takes_nothing_fails_the_step_and_the_retry_goes_on_where_it_was(before, undisturbed):
    execution, left = Execution(before.copy(), 1), [8]

    def take(requests):
        left[0] -= 1
        if left[0] < 0:
            raise throttled()
        return len(requests)

    execution.world.table.take = take
    *publish, pack, last_pack, conclude = execution.steps
    for step in publish:
        assert execution.attempt(step)
    with pytest.raises(NotAllWritten):
        execution.attempt(pack)
    execution.world.table.take = len
    for step in (pack, last_pack, conclude):
        assert execution.attempt(step)
    require_same(execution, undisturbed)
    assert execution.world.table.units - undisturbed.world.table.units <= most_units_again(undisturbed)


def test_the_limit_of_a_new_table_makes_publishing_as_slow_as_it_must_be_and_no_slower():
    """4,000 write units a second, which refill as time passes; a million scores are some 13,400 units."""
    now, budget = [0.0], [4_000.0]

    def wait(seconds):
        now[0] += seconds
        budget[0] = min(4_000.0, budget[0] + 4_000 * seconds)

    def take(requests):
        taken = min(len(requests), int(budget[0] // 4))
        if not taken:
            raise throttled()
        budget[0] -= 4 * taken
        return taken

    table = FakeDynamoDB(take)
    items = [{"pk": {"S": f"bucket-{number}"}, "sk": {"S": "-"}, "b": {"B": b"x" * 4_000}} for number in range(3_350)]
    write_all(table, TABLE, items, threads=1, sleep=wait, jitter=lambda: 0.5)
    assert len(table.items) == 3_350
    assert table.units == 13_400
    floor = (13_400 - 4_000) / 4_000
    assert 0.99 * floor < now[0] < 1.2 * floor


def test_the_table_in_memory_behaves_as_dynamodb_does(aws, before):
    real = Execution(World(client("dynamodb")), 0)
    real.line = Line(lambda: None)
    for step in real.steps:
        step(real)
    stored = client("dynamodb").scan(TableName=TABLE)["Items"]
    assert {_name(item): item for item in stored} == before.table.items
    pointer = RecordsTable(client("dynamodb"), TABLE).pointer()
    for table in (client("dynamodb"), before.table):
        records = RecordsTable(table, TABLE)
        assert not records.move_pointer(replace(pointer, revision=8), expected_revision=7)
        assert not records.move_pointer(replace(pointer, revision=2), expected_revision=0)
