import itertools
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from serving_protocol import Chunks, Connection, body_length, parse_head
from serving_script import Refused


@given(st.lists(st.binary(min_size=1, max_size=40)), st.lists(st.integers(0, 400)), st.booleans())
def test_a_chunked_body_is_the_same_however_it_is_cut(chunks, cuts, trailer):
    sent = b"".join(b"%x;ext=1\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    sent += b"0\r\n" + (b"X-Sum: 1\r\n" if trailer else b"") + b"\r\nGET /ping"
    reader, edges = Chunks(), sorted({0, len(sent), *(cut for cut in cuts if cut < len(sent))})
    rest = b""
    for begin, end in itertools.pairwise(edges):
        if reader.done:
            rest += sent[begin:end]
        else:
            reader.feed(sent[begin:end])
    assert reader.done
    assert bytes(reader.body) == b"".join(chunks)
    assert reader.rest + rest == b"GET /ping"


@pytest.mark.parametrize(
    ("sent", "status"), [(b"zz\r\n", 400), (b"-1\r\n", 413), (b"40000001\r\n", 413), (b"1" * 2000, 400)]
)
def test_a_chunk_that_has_no_size_or_is_too_large_is_refused(sent, status):
    with pytest.raises(Refused) as refusal:
        Chunks().feed(sent)
    assert refusal.value.status == status


def test_a_head_is_its_first_line_and_its_fields():
    head = parse_head(b"POST /invocations HTTP/1.1\r\nContent-Length: 12\r\nX-Long:  a: b ")
    assert (head.method, head.target, head.fields["x-long"]) == ("POST", "/invocations", "a: b")
    assert body_length(head) == 12


@pytest.mark.parametrize(
    ("version", "connection", "kept"),
    [("1.1", "", True), ("1.1", "close", False), ("1.0", "", False), ("1.0", "Keep-Alive", True)],
)
def test_a_connection_is_kept_as_its_version_and_the_caller_say(version, connection, kept):
    field = f"\r\nConnection: {connection}" if connection else ""
    assert parse_head(f"GET / HTTP/{version}{field}".encode()).keep_alive is kept


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"POST / HTTP/1.1\r\nContent-Length: -1", 411),
        (b"POST / HTTP/1.1\r\nContent-Length: \xb2", 411),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip", 501),
        (b"POST / HTTP/2.0", 400),
        (b"POST / HTTP/1.1\r\nContent-Length : 3", 400),
    ],
)
def test_lengths_that_cannot_be_trusted_are_refused(head, status):
    with pytest.raises(Refused) as refusal:
        body_length(parse_head(head))
    assert refusal.value.status == status


REQUEST = b"POST /invocations HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi"


class Wire:
    """A transport that keeps what is written."""

    def __init__(self):
        self.written, self.closed = b"", False

    def writelines(self, parts):
        assert not self.closed
        self.written += b"".join(parts)

    def close(self):
        self.closed = True

    def resume_reading(self):
        pass

    pause_reading = resume_reading


class Holding:
    """A server that answers when the test says so, and its loop, whose callbacks run when the test says so."""

    stopping = False
    settings = SimpleNamespace(timeout_seconds=60)

    def __init__(self):
        self.connections, self.asked, self.soon = set(), [], []

    def admit(self, size, already=0):
        pass

    def release(self, size):
        pass

    def answer(self, connection, head, body):
        self.asked.append(bytes(body))

    def refuse(self, connection, refusal, hang_up=False):
        connection.send(refusal.status, "text/plain", b"", None, hang_up)

    def time(self):
        return 0.0

    def call_soon(self, function):
        self.soon.append(function)

    def call_later(self, seconds, function):
        return SimpleNamespace(cancel=lambda: None)

    def run(self):
        while self.soon:
            self.soon.pop(0)()


def connected(sent):
    """Return the server, the wire and a connection on which these bytes have arrived."""
    server, wire = Holding(), Wire()
    connection = Connection(server, server)
    connection.connection_made(wire)
    connection.get_buffer(-1)[: len(sent)] = sent
    connection.buffer_updated(len(sent))
    return server, wire, connection


def test_a_caller_who_says_no_more_still_gets_the_answer_that_is_on_its_way():
    server, wire, connection = connected(REQUEST)
    assert connection.eof_received() is True
    assert not wire.closed
    connection.send(200, "text/csv", b"0.5")
    assert wire.written.endswith(b"0.5")
    assert wire.closed
    assert server.asked == [b"hi"]


def test_requests_sent_before_the_caller_ended_are_all_answered():
    server, wire, connection = connected(REQUEST * 3)
    assert connection.eof_received() is True
    for number in range(3):
        assert not wire.closed
        connection.send(200, "text/csv", b"0.%d" % number)
        server.run()
    assert wire.written.count(b"HTTP/1.1 200") == len(server.asked) == 3
    assert wire.closed


@pytest.mark.parametrize(
    "begun", [REQUEST[:20], REQUEST[:-1], b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5"]
)
def test_a_request_that_the_caller_broke_off_ends_the_connection(begun):
    server, wire, connection = connected(begun)
    assert connection.eof_received() is False
    assert wire.closed
    assert not server.asked


def test_a_request_broken_off_behind_a_whole_one_does_not_keep_the_connection():
    server, wire, connection = connected(REQUEST + REQUEST[:20])
    assert connection.eof_received() is True
    connection.send(200, "text/csv", b"0.5")
    assert not wire.closed
    server.run()
    assert wire.closed
    assert server.asked == [b"hi"]


def test_a_caller_who_ends_after_the_answer_is_let_go():
    _, wire, connection = connected(REQUEST)
    connection.send(200, "text/csv", b"0.5")
    assert not wire.closed
    assert connection.eof_received() is False
