"""What Lambda does with records of a stream that fail."""

import itertools
import json

import pytest

from turnout.local.streams import EXHAUSTED, TOO_OLD, Lane, Outcome, Record, Rules, failure_record, first_reported

START = 1_000_000.0


class Shard:
    """A shard whose function fails on the records that `fails` names."""

    def __init__(self, count: int, *, fails=(), reports=False, answers=None, **rules):
        self.now, self.on, self.size = START, True, 1
        self.records = [self._record(number) for number in range(count)]
        self.fails, self.reports, self.answers = set(fails), reports, answers
        self._rules = Rules(reports_failures=reports, **rules)
        self.calls: list[list[int]] = []
        self.lost: list[tuple[list[int], str, int, bool]] = []
        self.position, self.unwanted = 0, set()

    def _record(self, number: int) -> Record:
        return Record(number + 1, str(number), self.now, {"number": number, "data": "x" * self.size})

    def put(self, count: int = 1) -> None:
        self.records += [self._record(len(self.records) + offset) for offset in range(count)]

    def rules(self):
        return self._rules if self.on else None

    def read(self, limit):
        return self.records[self.position : self.position + limit]

    def wanted(self, records):
        return [record for record in records if int(record.sequence) not in self.unwanted]

    def invoke(self, records):
        numbers = [int(record.sequence) for record in records]
        self.calls.append(numbers)
        if self.answers:
            return next(self.answers)
        bad = [number for number in numbers if number in self.fails]
        if self.reports:
            return Outcome({"batchItemFailures": [{"itemIdentifier": str(number)} for number in bad]})
        return Outcome(error=bool(bad))

    def done(self, record):
        assert record.position > self.position
        self.position = record.position

    def give_up(self, records, reason, attempts, error):
        self.lost.append(([int(record.sequence) for record in records], reason, attempts, error))


def work_off(shard: Shard, most: int = 200) -> Lane:
    lane = Lane(shard, lambda: shard.now)
    for _ in range(most):
        wait = lane.step()
        if wait is None:
            return lane
        shard.now += wait
    return lane


def test_batches_are_as_large_as_said_and_in_order():
    shard = Shard(7, batch_size=3)
    work_off(shard)
    assert shard.calls == [[0, 1, 2], [3, 4, 5], [6]]
    assert shard.position == 7


def test_a_window_gathers_until_it_has_passed():
    shard = Shard(2, batch_size=10, window_seconds=5)
    lane = Lane(shard, lambda: shard.now)
    assert lane.step() == 5
    shard.now += 3
    shard.put(2)
    assert lane.step() == 2
    shard.now += 2
    lane.step(), lane.step()
    assert shard.calls == [[0, 1, 2, 3]]


def test_a_full_batch_does_not_wait_for_its_window():
    shard = Shard(4, batch_size=3, window_seconds=5)
    lane = Lane(shard, lambda: shard.now)
    lane.step(), lane.step()
    assert shard.calls == [[0, 1, 2]]
    assert lane.step() == 5


def test_an_event_holds_six_megabytes_at_most_and_one_record_at_least():
    shard = Shard(0, batch_size=10, window_seconds=60)
    shard.size = 4_000_000
    shard.put(3)
    lane = Lane(shard, lambda: shard.now)
    for _ in range(4):
        lane.step()
    assert shard.calls == [[0], [1]]


def test_a_poison_batch_blocks_the_shard_for_ever_unless_told_otherwise():
    shard = Shard(4, batch_size=2, fails=[0])
    work_off(shard, most=40)
    assert shard.calls.count([0, 1]) > 20
    assert [2, 3] not in shard.calls
    assert shard.lost == []


def test_retries_are_counted_and_then_the_batch_is_given_up():
    shard = Shard(4, batch_size=2, fails=[1], retries=2)
    work_off(shard)
    assert shard.calls == [[0, 1]] * 3 + [[2, 3]]
    assert shard.lost == [([0, 1], EXHAUSTED, 3, True)]
    assert shard.position == 4


def test_no_retries_means_one_attempt():
    shard = Shard(1, fails=[0], retries=0)
    work_off(shard)
    assert shard.calls == [[0]]


def test_halving_isolates_the_poison_without_using_up_retries():
    shard = Shard(8, fails=[5], bisect=True, retries=3)
    work_off(shard)
    assert shard.lost == [([5], EXHAUSTED, 4, True)]
    assert shard.calls.count([5]) == 4
    done = set(itertools.chain(*(call for call in shard.calls if 5 not in call)))
    assert done == {0, 1, 2, 3, 4, 6, 7}


def test_every_record_is_delivered_in_order_whatever_fails():
    shard = Shard(20, batch_size=6, fails=[3, 4, 11, 19], bisect=True, retries=1)
    work_off(shard)
    good = [call for call in shard.calls if not set(call) & shard.fails]
    assert list(itertools.chain(*good)) == [n for n in range(20) if n not in shard.fails]
    assert [records for records, *_ in shard.lost] == [[3], [4], [11], [19]]


def test_reported_failures_are_tried_again_from_the_first_one_on():
    shard = Shard(5, fails=[2], reports=True, retries=1)
    work_off(shard)
    assert shard.calls == [[0, 1, 2, 3, 4], [2, 3, 4]]
    assert shard.lost == [([2, 3, 4], EXHAUSTED, 2, False)]


def test_reported_failures_and_halving_lose_the_poison_alone():
    shard = Shard(6, fails=[2], reports=True, retries=0, bisect=True)
    work_off(shard)
    assert shard.lost == [([2], EXHAUSTED, 1, False)]
    assert shard.position == 6


def test_a_record_that_is_reached_by_a_checkpoint_has_failed_once():
    answers = iter([Outcome(error=True), Outcome({"batchItemFailures": [{"itemIdentifier": "1"}]}), Outcome()])
    shard = Shard(2, reports=True, retries=1, answers=answers)
    work_off(shard)
    assert shard.calls == [[0, 1], [0, 1], [1]]
    assert shard.lost == []


def test_a_failed_call_fails_everything_even_where_failures_are_reported():
    shard = Shard(3, reports=True, retries=1, answers=iter([Outcome(error=True), Outcome(error=True)]))
    work_off(shard)
    assert shard.lost == [([0, 1, 2], EXHAUSTED, 2, True)]


def test_old_records_are_given_up_without_being_sent():
    shard = Shard(2, max_age_seconds=60)
    shard.now += 61
    shard.put(2)
    work_off(shard)
    assert shard.calls == [[2, 3]]
    assert shard.lost == [([0, 1], TOO_OLD, 0, False)]


def test_a_failing_batch_is_given_up_when_it_is_too_old():
    shard = Shard(1, fails=[0], max_age_seconds=60)
    work_off(shard)
    assert shard.lost[0][:2] == ([0], TOO_OLD)
    assert len(shard.calls) > 5


def test_a_throttled_call_is_no_attempt():
    shard = Shard(1, retries=0, answers=iter([Outcome(error=True, throttled=True)] * 5 + [Outcome()]))
    work_off(shard)
    assert len(shard.calls) == 6
    assert shard.lost == []


def test_filtered_records_are_passed_over_and_not_lost():
    shard = Shard(6, batch_size=3, fails=[4], retries=0)
    shard.unwanted = {0, 1, 2, 3}
    work_off(shard)
    assert shard.calls == [[4, 5]]
    assert shard.lost == [([4, 5], EXHAUSTED, 1, True)]
    assert shard.position == 6


def test_a_mapping_that_is_switched_off_forgets_its_batch():
    shard = Shard(2, fails=[0])
    lane = Lane(shard, lambda: shard.now)
    lane.step(), lane.step()
    shard.on = False
    assert lane.step() is None
    shard.on, shard.fails = True, set()
    shard.now += 10
    lane.step(), lane.step()
    assert shard.position == 2


@pytest.mark.parametrize(
    ("answer", "index"),
    [
        (None, None),
        ({}, None),
        ("", None),
        ({"batchItemFailures": []}, None),
        ({"batchItemFailures": None}, None),
        ({"batchItemFailures": [{"itemIdentifier": "b"}]}, 1),
        ({"batchItemFailures": [{"itemIdentifier": "c"}, {"itemIdentifier": "b"}]}, 1),
        ('{"batchItemFailures": [{"itemIdentifier": "c"}]}', 2),
        ({"batchItemFailures": [{"itemIdentifier": ""}]}, 0),
        ({"batchItemFailures": [{"itemIdentifier": None}]}, 0),
        ({"batchItemFailures": [{"wrong": "b"}]}, 0),
        ({"batchItemFailures": [{"itemIdentifier": "not in the batch"}]}, 0),
        ({"batchItemFailures": ["b"]}, 0),
        ("no json", 0),
        ([1], 0),
    ],
)
def test_answers_are_read_as_aws_reads_them(answer, index):
    assert first_reported(answer, ["a", "b", "c"]) == index


def test_rules_are_read_from_a_mapping_of_the_api_and_of_a_template():
    api = {
        "BatchSize": 5,
        "MaximumBatchingWindowInSeconds": 2,
        "MaximumRetryAttempts": 0,
        "MaximumRecordAgeInSeconds": -1,
        "BisectBatchOnFunctionError": True,
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
    }
    assert Rules.of(api) == Rules(5, 2, 0, None, bisect=True, reports_failures=True)
    assert Rules.of({name: value if isinstance(value, list) else str(value) for name, value in api.items()}) == (
        Rules.of(api)
    )
    assert Rules.of({}) == Rules()


def test_the_failure_record_has_the_shape_of_the_developer_guide():
    records = [Record(i, str(i), START + i, {}) for i in range(2)]
    function = {"FunctionArn": "arn:f", "Version": "3"}
    told = failure_record("KinesisBatchInfo", "shard", "arn:s", function, records, EXHAUSTED, 4, True, "id", START + 9)
    assert json.loads(json.dumps(told)) == {
        "requestContext": {
            "requestId": "id",
            "functionArn": "arn:f",
            "condition": "RetryAttemptsExhausted",
            "approximateInvokeCount": 4,
        },
        "responseContext": {"statusCode": 200, "executedVersion": "3", "functionError": "Unhandled"},
        "version": "1.0",
        "timestamp": "1970-01-12T13:46:49.000Z",
        "KinesisBatchInfo": {
            "shardId": "shard",
            "startSequenceNumber": "0",
            "endSequenceNumber": "1",
            "approximateArrivalOfFirstRecord": "1970-01-12T13:46:40.000Z",
            "approximateArrivalOfLastRecord": "1970-01-12T13:46:41.000Z",
            "batchSize": 2,
            "streamArn": "arn:s",
        },
    }
