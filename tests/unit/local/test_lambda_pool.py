"""The pool of Lambda environments."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass

import pytest

from turnout.local.lambda_pool import Pool


@dataclass(eq=False)
class Worker:
    in_use: bool = False
    last_used: float = 0.0
    _cold: bool = False


@pytest.fixture
def killed():
    return []


@pytest.fixture
def pool(killed):
    return Pool({}, threading.Lock(), killed.extend, limit=2)


def test_a_free_environment_is_reused(pool):
    first, how = pool.acquire("f", Worker, None)
    assert how == "spawn"
    pool.release(first)
    assert pool.acquire("f", Worker, None) == (first, "reused")


def test_no_more_than_the_limit_run_and_callers_wait_for_one(pool):
    first, second = (pool.acquire("f", Worker, None)[0] for _ in range(2))
    threading.Timer(0.2, pool.release, [first]).start()
    started = time.monotonic()
    assert pool.acquire("f", Worker, None) == (first, "reused")
    assert time.monotonic() - started >= 0.15
    assert second.in_use


def test_a_second_environment_starts_only_when_the_first_has_started(pool):
    first, _ = pool.acquire("f", lambda: Worker(_cold=True), None)
    threading.Timer(0.2, lambda: setattr(first, "_cold", False)).start()
    started = time.monotonic()
    second, how = pool.acquire("f", Worker, None)
    assert (how, second is first) == ("spawn", False)
    assert time.monotonic() - started >= 0.15


def test_retired_environments_finish_their_answer(pool, killed):
    busy, idle = (pool.acquire("f", Worker, None)[0] for _ in range(2))
    pool.release(idle)
    pool.retire(lambda key: key == "f")
    assert killed == [idle]
    fresh, how = pool.acquire("f", Worker, None)
    assert how == "spawn"
    assert fresh is not busy
    pool.release(busy)
    assert killed == [idle, busy]


def test_other_functions_are_left_alone(pool, killed):
    worker, _ = pool.acquire("g", Worker, None)
    pool.release(worker)
    pool.retire(lambda key: key == "f")
    assert killed == []
    assert pool.acquire("g", Worker, None) == (worker, "reused")


def test_an_environment_that_is_given_back_goes_to_a_caller_of_its_own_function(killed):
    pool = Pool({}, threading.Lock(), killed.extend, limit=1)
    first, other = (pool.acquire(name, Worker, None)[0] for name in "fg")
    with ThreadPoolExecutor(40) as callers:
        waiting = {
            name: [
                callers.submit(lambda name=name: pool.release(pool.acquire(name, Worker, None)[0])) for _ in range(20)
            ]
            for name in "fg"
        }
        pool.release(first)
        assert wait(waiting["f"], timeout=10).not_done == set()
        assert not any(caller.done() for caller in waiting["g"])
        pool.release(other)
        assert wait(waiting["g"], timeout=10).not_done == set()
