"""Adapters of the live modes against moto, and against clients that fail in the ways SageMaker, S3 and DynamoDB do."""

import io
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import botocore.session
import pytest
from botocore.exceptions import ClientError, ConnectionClosedError, EndpointConnectionError, ReadTimeoutError
from moto.dynamodb.responses import DynamoHandler

from handlers.adapters.async_files import AsyncFiles
from handlers.adapters.clients import FAST, FILES, LIVE, client
from handlers.adapters.live_table import LiveTable, RequestLedger
from handlers.adapters.sagemaker_endpoint import SageMakerEndpoint, SageMakerQueue
from handlers.contract.errors import (
    EndpointUnavailable,
    ModelFailed,
    ModelRefused,
    ModelTimeout,
    StoreUnavailable,
    Throttled,
)
from handlers.contract.records import Flight, Remembered, Request
from handlers.logic.live_ports import Places
from handlers.logic.ports import ObjectMissing
from tests.unit.handlers.conftest import BUCKET, TABLE

NOW = 1_795_414_200_000  # milliseconds


class FakeRuntime:
    """A client of sagemaker-runtime that does what it is told to, one thing per call."""

    def __init__(self, *outcomes):
        self.outcomes, self.calls = list(outcomes), []

    def _next(self, arguments):
        self.calls.append(arguments)
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def invoke_endpoint(self, **arguments):
        return {"Body": io.BytesIO(self._next(arguments))}

    def invoke_endpoint_async(self, **arguments):
        return self._next(arguments)


def failed(code, **members):
    return ClientError({"Error": {"Code": code, "Message": "said"}, **members}, "InvokeEndpoint")


class TestEndpoint:
    def test_a_body_goes_as_it_is_and_the_answer_comes_back(self):
        runtime = FakeRuntime(b"1\n")
        assert SageMakerEndpoint(runtime, "e").invoke(b"2\n", "text/csv") == b"1\n"
        assert runtime.calls == [{"EndpointName": "e", "Body": b"2\n", "ContentType": "text/csv", "Accept": "text/csv"}]

    @pytest.mark.parametrize(
        ("failure", "kind", "wait"),
        [
            (failed("ThrottlingException"), Throttled, 1),
            (failed("ServiceUnavailable"), EndpointUnavailable, 5),
            (failed("ModelNotReadyException"), EndpointUnavailable, 5),
            (failed("InternalFailure"), EndpointUnavailable, 5),
            (failed("InternalDependencyException"), EndpointUnavailable, 5),
            (failed("ValidationError"), EndpointUnavailable, 5),
            (failed("AccessDeniedException"), EndpointUnavailable, 5),
            (failed("ModelError", OriginalStatusCode=400, OriginalMessage="odd"), ModelRefused, None),
            (failed("ModelError", OriginalStatusCode=500, OriginalMessage="boom"), ModelFailed, None),
            (failed("ModelError"), ModelFailed, None),
            (ReadTimeoutError(endpoint_url="https://e"), ModelTimeout, 1),
            (EndpointConnectionError(endpoint_url="https://e"), EndpointUnavailable, 5),
        ],
    )
    def test_a_failure_is_what_a_caller_can_act_on_after_a_single_call(self, failure, kind, wait):
        runtime = FakeRuntime(failure)
        with pytest.raises(kind) as raised:
            SageMakerEndpoint(runtime, "e").invoke(b"", "text/csv")
        assert type(raised.value) is kind
        assert raised.value.details.get("retry_after_seconds") == wait
        assert (raised.value.__cause__, len(runtime.calls)) == (failure, 1)

    def test_a_kept_connection_that_was_closed_meanwhile_costs_one_repetition_and_no_more(self):
        closed = ConnectionClosedError(endpoint_url="https://e")
        assert SageMakerEndpoint(FakeRuntime(closed, b"1\n"), "e").invoke(b"", "text/csv") == b"1\n"
        twice = FakeRuntime(closed, closed, b"1\n")
        with pytest.raises(EndpointUnavailable):
            SageMakerEndpoint(twice, "e").invoke(b"", "text/csv")
        assert len(twice.calls) == 2

    def test_the_client_gives_up_before_an_http_api_does_and_repeats_nothing_by_itself(self):
        assert LIVE.connect_timeout * 2 + LIVE.read_timeout < 28
        assert LIVE.retries == {"total_max_attempts": 1, "mode": "standard"}


class Slow(BaseHTTPRequestHandler):
    """Answers after the client has lost patience; counts what it was asked."""

    asked = 0
    release = threading.Event()

    def do_POST(self):
        Slow.asked += 1
        self.rfile.read(int(self.headers["Content-Length"]))
        Slow.release.wait(10)
        self.close_connection = True

    def log_message(self, *args):
        return


def test_a_call_that_timed_out_is_not_sent_again(monkeypatch):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Slow)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    impatient = LIVE.merge(LIVE.__class__(read_timeout=0.2))
    runtime = botocore.session.Session().create_client(
        "sagemaker-runtime", "us-east-1", config=impatient, endpoint_url=f"http://127.0.0.1:{server.server_port}"
    )
    try:
        with pytest.raises(ModelTimeout):
            SageMakerEndpoint(runtime, "e").invoke(b"1\n", "text/csv")
        assert Slow.asked == 1
    finally:
        Slow.release.set()
        server.shutdown()
        server.server_close()


class TestQueue:
    def test_a_small_body_goes_inline_and_a_large_one_by_its_place(self):
        queued = {"OutputLocation": "s3://b/o", "FailureLocation": "s3://b/f", "InferenceId": "r"}
        runtime = FakeRuntime(queued, queued)
        queue = SageMakerQueue(runtime, "e")
        assert queue.put("r", b"1\n", "text/csv", expiry=60, invocation=9) == Places("s3://b/o", "s3://b/f")
        queue.put("r", "s3://b/i", "text/csv", expiry=60, invocation=9)
        inline, placed = runtime.calls
        assert (inline["Body"], placed["InputLocation"]) == (b"1\n", "s3://b/i")
        assert "InputLocation" not in inline
        assert "Body" not in placed
        assert {inline["InferenceId"], inline["Filename"]} == {"r"}
        assert (inline["RequestTTLSeconds"], inline["InvocationTimeoutSeconds"]) == (60, 9)

    @pytest.mark.parametrize(
        ("failure", "kind"),
        [
            (failed("ThrottlingException"), Throttled),
            (failed("ValidationError"), EndpointUnavailable),
            (ReadTimeoutError(endpoint_url="https://e"), EndpointUnavailable),
        ],
    )
    def test_what_cannot_be_queued_says_when_to_come_again(self, failure, kind):
        with pytest.raises(kind) as raised:
            SageMakerQueue(FakeRuntime(failure), "e").put("r", b"", "text/csv", expiry=60, invocation=9)
        assert raised.value.details["retry_after_seconds"] >= 1

    def test_what_is_sent_is_what_sagemakers_model_allows(self):
        shape = botocore.session.Session().get_service_model("sagemaker-runtime")
        members = shape.operation_model("InvokeEndpointAsync").input_shape.members
        runtime = FakeRuntime({"OutputLocation": "s3://b/o"}, {"OutputLocation": "s3://b/o"})
        queue = SageMakerQueue(runtime, "e")
        queue.put("20261123T061000Z-0123456789abcde", b"1", "text/csv", expiry=60, invocation=9)
        queue.put("20261123T061000Z-0123456789abcde", "s3://b/i", "text/csv", expiry=60, invocation=9)
        for call in runtime.calls:
            assert set(call) <= set(members)
            assert len(call["Filename"]) <= members["Filename"].metadata["max"]


@pytest.fixture
def flights(aws, monkeypatch):
    """A table that takes one request at a time: DynamoDB's writes are atomic. Moto's look at the condition and write in
    two steps, and copy the item before and after, while another thread may be writing it.
    """
    lock, answer = threading.Lock(), DynamoHandler.call_action

    def one_at_a_time(handler):
        with lock:
            return answer(handler)

    monkeypatch.setattr(DynamoHandler, "call_action", one_at_a_time)
    return LiveTable(client("dynamodb"), TABLE)


def remembered(prediction=0.1 + 0.2, expires_at=1_800_000_000):
    return Remembered(prediction, "v7", "2026-11-23T06:10:00Z", expires_at)


class TestRemembering:
    @pytest.mark.parametrize("prediction", [0.1 + 0.2, 5e-324, "label", {"a": [1, None, "ü"]}, True, 2**70])
    def test_an_answer_comes_back_bit_for_bit(self, flights, prediction):
        assert flights.remember("a/b#c", remembered(prediction)) is True
        assert flights.remembered(["a/b#c", "absent"]) == {"a/b#c": remembered(prediction)}

    def test_many_keys_are_read_at_once_also_repeated_ones(self, flights):
        for number in range(120):
            flights.remember(f"k{number}", remembered(number))
        keys = [f"k{number}" for number in range(150)]
        assert len(flights.remembered(keys + keys)) == 120
        assert flights.remembered([]) == {}

    def test_an_answer_that_an_item_cannot_hold_is_not_remembered(self, flights):
        assert flights.remember("k", remembered("x" * 400_000)) is False
        assert flights.remembered(["k"]) == {}


class TestLeading:
    def test_one_leads_until_it_lands_or_its_lease_ends(self, flights):
        mine, other = Flight("me", NOW + 30_000), Flight("you", NOW + 30_000)
        assert flights.lead("k", mine, NOW) == mine
        assert flights.lead("k", other, NOW + 29_999) == mine
        assert flights.under_way(["k", "other"]) == {"k": mine}
        assert flights.lead("k", other, NOW + 30_000) == other
        flights.land("k", "me")
        assert flights.under_way(["k"]) == {"k": other}
        flights.land("k", "you")
        assert flights.under_way(["k"]) == {}
        flights.land("k", "you")

    def test_a_failure_stays_readable_and_stops_nobody(self, flights):
        failure = Flight("me", NOW + 30_000, '{"code": "throttled"}')
        flights.lead("k", Flight("me", NOW + 30_000), NOW)
        flights.extend("k", failure)
        flights.land("k", "me")
        assert flights.under_way(["k"]) == {"k": failure}
        next_one = Flight("you", NOW + 30_000)
        assert flights.lead("k", next_one, NOW) == next_one
        flights.extend("k", failure)
        assert flights.under_way(["k"]) == {"k": next_one}

    def test_a_retry_inside_the_client_that_meets_its_own_write_leads(self, flights):
        mine = Flight("me", NOW + 30_000)
        flights.lead("k", mine, NOW)
        assert flights.lead("k", mine, NOW) == mine

    def test_of_many_at_once_exactly_one_leads(self, flights):
        def lead(number):
            return flights.lead("k", Flight(f"leader-{number}", NOW + 30_000), NOW).leader

        with ThreadPoolExecutor(16) as pool:
            assert len(set(pool.map(lead, range(64)))) == 1


class TestCounting:
    def test_the_cap_holds_exactly_at_once(self, flights):
        def count(_):
            return flights.count_call("20261123T0610", 10, expires_at=1_800_000_000)

        with ThreadPoolExecutor(16) as pool:
            counted = list(pool.map(count, range(64)))
        assert counted.count(True) == 10
        assert flights.count_call("20261123T0611", 10, expires_at=1_800_000_000) is True

    def test_none_allowed_is_none_counted(self, flights):
        assert flights.count_call("20261123T0610", 0, expires_at=1) is False


class BrokenTable:
    """Every call of DynamoDB fails."""

    def __getattr__(self, name):
        def call(**arguments):
            raise ClientError({"Error": {"Code": "ProvisionedThroughputExceededException"}}, name)

        return call


@pytest.mark.parametrize(
    "use",
    [
        lambda table: table.remembered(["k"]),
        lambda table: table.remember("k", remembered()),
        lambda table: table.lead("k", Flight("me", NOW), NOW),
        lambda table: table.under_way(["k"]),
        lambda table: table.extend("k", Flight("me", NOW)),
        lambda table: table.land("k", "me"),
        lambda table: table.count_call("m", 1, expires_at=1),
    ],
)
def test_a_table_that_does_not_answer_is_unavailable(use):
    with pytest.raises(StoreUnavailable):
        use(LiveTable(BrokenTable(), TABLE))


class TestLedger:
    def test_a_request_comes_back_as_it_was_and_can_be_replaced_and_dropped(self, aws):
        ledger = RequestLedger(client("dynamodb"), TABLE)
        request = Request(
            id="20261123T061000Z-0123456789abcde",
            created_at="2026-11-23T06:10:00Z",
            mode="async",
            model_version="v7",
            keys=["a", 7, None],
            several=True,
            output_uri="s3://b/o",
            failure_uri="s3://b/f",
            waits_until="2026-11-23T07:25:00Z",
            expires_at=1_800_000_000,
            known={"1": {"error": {"code": "bad_features", "x": 0.5}}},
            shared={"2": 0},
            endpoint="dev-m-async-1",
        )
        assert ledger.get(request.id) is None
        ledger.put(request)
        assert ledger.get(request.id) == request
        ledger.drop(request.id)
        ledger.drop(request.id)
        assert ledger.get(request.id) is None


class TestFiles:
    @pytest.fixture
    def files(self, aws):
        return AsyncFiles(client("s3", FILES))

    def test_objects_are_looked_at_and_read(self, files):
        uri = f"s3://{BUCKET}/async/m/output/a b.out"
        assert files.look(uri) is None
        with pytest.raises(ObjectMissing):
            files.get(uri)
        files.put(uri, b"1\n")
        assert (files.look(uri).size, files.get(uri)) == (2, b"1\n")
        assert abs((files.look(uri).modified - datetime.now(UTC)).total_seconds()) < 60

    def test_urls_are_signed_with_version_4_for_their_object_and_time(self, files):
        for url, name in (
            (files.upload_url(f"s3://{BUCKET}/async/m/input/x", 60), "input/x"),
            (files.download_url(f"s3://{BUCKET}/async/m/output/x", 60), "output/x"),
        ):
            assert f"async/m/{name}?" in url
            assert "X-Amz-Algorithm=AWS4-HMAC-SHA256" in url
            assert "X-Amz-Expires=60" in url


def test_the_table_and_the_bucket_are_asked_with_little_patience():
    for config in (FAST, FILES):
        assert config.retries["total_max_attempts"] * (config.connect_timeout + config.read_timeout) < 20
