"""Requests to a container: how many, in which order, and which are tried again. A list stands for the time waited."""

import threading

import pytest

from turnout.local.sagemaker.transform.errors import BadData, ModelFailed, Stopped
from turnout.local.sagemaker.transform.sending import BATCHES_PER_REQUEST, Requests
from turnout.local.sagemaker.transform.settings import TransformSettings
from turnout.local.sagemaker.transform.splitting import Batch


def settings(concurrency=1, **client) -> TransformSettings:
    return TransformSettings.from_request(
        {
            "TransformInput": {"ContentType": "text/csv", "SplitType": "Line"},
            "TransformOutput": {"Accept": "application/json"},
            "MaxConcurrentTransforms": concurrency,
            "ModelClientConfig": client,
        },
        {},
    )


class Container:
    """Answers what it is told, one after the other, and remembers what it was asked."""

    def __init__(self, *answers):
        self.answers, self.asked = list(answers), []

    def __call__(self, body, headers, timeout):
        self.asked.append((body, headers, timeout))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        status, body = answer if isinstance(answer, tuple) else (answer, b"ok")
        return status, body, {}


def invoke(container, **client):
    waited = []
    with Requests(container, settings(**client), waited.append) as requests:
        return requests.invoke(b"x"), waited


@pytest.mark.parametrize("failure", [500, 503, 504, TimeoutError(), ConnectionResetError(), ConnectionRefusedError()])
def test_5xx_time_outs_and_broken_connections_are_tried_three_times_more(failure):
    container = Container(failure, failure, failure, 200)
    assert invoke(container) == (b"ok", [0.1, 0.2, 0.4])
    container = Container(*[failure] * 4)
    with pytest.raises(ModelFailed):
        invoke(container)
    assert len(container.asked) == 4


@pytest.mark.parametrize("status", [400, 404, 413, 415, 429])
def test_no_4xx_is_tried_again(status):
    container = Container((status, b"no\nway"))
    with pytest.raises(BadData) as caught:
        invoke(container)
    assert (caught.value.message, caught.value.answer) == (f"ClientError: {status}", "no\nway")
    assert str(caught.value) == f"ClientError: {status}: no way"
    assert len(container.asked) == 1


@pytest.mark.parametrize("retries", [0, 1, 2])
def test_the_job_says_how_often_to_try_again(retries):
    container = Container(*[500] * 4)
    with pytest.raises(ModelFailed, match="Bad HTTP status received from algorithm: 500: ok"):
        invoke(container, InvocationsMaxRetries=retries)
    assert len(container.asked) == retries + 1


def test_the_job_says_how_long_to_wait_for_an_answer():
    container = Container(TimeoutError())
    with pytest.raises(ModelFailed, match=r"^Model server did not respond to /invocations request within 7 seconds$"):
        invoke(container, InvocationsTimeoutInSeconds=7, InvocationsMaxRetries=0)
    assert container.asked == [(b"x", {"Content-Type": "text/csv", "Accept": "application/json"}, 7.0)]
    with pytest.raises(ModelFailed, match="Unable to get response from algorithm"):
        invoke(Container(ConnectionResetError()), InvocationsMaxRetries=0)


def test_a_stop_ends_the_retries():
    def stopped(seconds):
        raise Stopped

    container = Container(500, 200)
    with Requests(container, settings(), stopped) as requests, pytest.raises(Stopped):
        requests.invoke(b"x")
    assert len(container.asked) == 1


def batches(count, drawn=None):
    for number in range(count):
        if drawn is not None:
            drawn.append(number)
        yield Batch(str(number).encode(), [])


def test_answers_keep_the_order_of_the_requests_when_the_first_is_the_last_to_be_ready():
    others = threading.Semaphore(0)

    def send(body, headers, timeout):
        if body == b"0":
            assert all(others.acquire(timeout=10) for _ in range(3))
        else:
            others.release()
        return 200, body, {}

    with Requests(send, settings(concurrency=2), wait=None) as requests:
        assert [answer for _, answer in requests.answers(batches(6))] == [b"0", b"1", b"2", b"3", b"4", b"5"]


def test_as_many_requests_are_open_as_the_job_says_and_few_more_are_read_ahead():
    barrier, drawn = threading.Barrier(3, timeout=10), []

    def send(body, headers, timeout):
        barrier.wait()  # passes only when three requests are open at once
        return 200, body, {}

    with Requests(send, settings(concurrency=3), wait=None) as requests:
        answers = requests.answers(batches(30, drawn))
        next(answers)
        assert len(drawn) == 3 * BATCHES_PER_REQUEST + 1
        assert len(list(answers)) == 29


def test_objects_that_share_the_requests_do_not_lock_each_other_out():
    with Requests(lambda body, *_: (200, body, {}), settings(concurrency=2), wait=None) as requests:
        results = {}

        def one(name):
            results[name] = [answer for _, answer in requests.answers(batches(200))]

        threads = [threading.Thread(target=one, args=(name,), daemon=True) for name in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
    assert all(results[name] == [str(n).encode() for n in range(200)] for name in range(8))


def test_a_failed_object_gives_its_room_back():
    failures = BATCHES_PER_REQUEST
    with Requests(Container(*[400] * failures, 200, 200), settings(), wait=None) as requests:
        for _ in range(failures):
            with pytest.raises(BadData):
                list(requests.answers(batches(1)))
        after = []
        thread = threading.Thread(target=lambda: after.extend(requests.answers(batches(2))), daemon=True)
        thread.start()
        thread.join(10)
    assert len(after) == 2
