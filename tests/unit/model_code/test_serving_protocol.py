import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from serving_protocol import Chunks, body_length, parse_head
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
