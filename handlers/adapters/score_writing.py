"""Many items into a DynamoDB table, fast and completely: BatchWriteItem from several threads until none is left."""

import random
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Any

from botocore.exceptions import ClientError

Item = dict[str, Any]

#: Items that one BatchWriteItem takes.
WRITE_BATCH = 25
#: Three threads already fill a new table's 4,000 writes/s; more would only wait in the same queue.
THREADS = 4
#: Rounds for items that DynamoDB did not take, with full jitter below 0.05, 0.1, 0.2 ... 5 s: about a minute in all.
ROUNDS = 20
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 5.0

THROTTLES = frozenset(
    {
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "ThrottlingException",
        "ThrottledException",
        "LimitExceededException",
    }
)


#: Items between two notes of how far writing came: at most 1,000 write units, of which a note costs one.
NOTED = 250


class NotAllWritten(RuntimeError):
    """DynamoDB kept refusing items; writing all of them again later is safe."""


def write_all(
    client: Any,
    table: str,
    items: Iterable[Item],
    *,
    threads: int = THREADS,
    sleep: Callable[[float], None] = time.sleep,
    jitter: Callable[[], float] = random.random,
    note: Callable[[int], None] = lambda written: None,
) -> int:
    """Put all items and return how many. No two items may have the same key. Raises NotAllWritten or ClientError.

    `note` is told how many items from the start are in the table for sure: after each NOTED, and then at the end.
    """
    written = noted = 0
    with ThreadPoolExecutor(threads, thread_name_prefix="write") as pool:
        running: deque[Future[int]] = deque()
        try:
            for batch in _batches(items):
                # Twice as many batches as threads: the threads never wait, and memory holds no more than that.
                if len(running) >= 2 * threads:
                    written += running.popleft().result()
                    if written - noted >= NOTED:
                        note(noted := written)
                running.append(pool.submit(_write_batch, client, table, batch, sleep, jitter))
            written += sum(future.result() for future in running)
            if written > noted:
                note(written)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return written


def _batches(items: Iterable[Item]) -> Iterator[list[Item]]:
    iterator = iter(items)
    while batch := list(islice(iterator, WRITE_BATCH)):
        yield batch


def _write_batch(
    client: Any, table: str, batch: list[Item], sleep: Callable[[float], None], jitter: Callable[[], float]
) -> int:
    pending = [{"PutRequest": {"Item": item}} for item in batch]
    for attempt in range(ROUNDS):
        pending = _left_over(client, table, pending)
        if not pending:
            return len(batch)
        sleep(jitter() * min(LONGEST_PAUSE, FIRST_PAUSE * 2**attempt))
    raise NotAllWritten(f"{len(pending)} of {len(batch)} items were refused {ROUNDS} times")


def _left_over(client: Any, table: str, requests: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Send one BatchWriteItem and return what has to be sent again: a throttled call took nothing."""
    try:
        answer = client.batch_write_item(RequestItems={table: requests})
    except ClientError as error:
        if error.response["Error"]["Code"] not in THROTTLES:
            raise
        return requests
    return answer.get("UnprocessedItems", {}).get(table, [])
