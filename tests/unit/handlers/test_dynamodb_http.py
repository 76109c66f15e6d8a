"""Our own DynamoDB client: signatures against botocore's, the rest against a server that misbehaves on purpose."""

import base64
import contextlib
import hashlib
import json
import socket
import ssl
import subprocess
import threading
from datetime import UTC, datetime

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given, settings
from hypothesis import strategies as st

from handlers.adapters import amazon_roots, dynamodb_http
from handlers.adapters.dynamodb_http import MOMENT_SECONDS, TRIES, DynamoDBReads, reader
from handlers.adapters.http_connection import Connection
from handlers.adapters.score_table import ScoreTable
from handlers.adapters.sigv4 import Signer
from handlers.adapters.store_errors import CallFailed
from handlers.contract.errors import StoreUnavailable
from handlers.contract.records import Generation

HERE = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "s", "AWS_REGION": "eu-central-1"}

printable = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=40)
spaced = st.lists(printable, min_size=1, max_size=4).map("  ".join)


@settings(max_examples=300, deadline=None)
@given(
    credentials=st.tuples(printable, printable, st.none() | printable),
    region=st.from_regex(r"[a-z]{2}-[a-z]{4,9}-[1-9]", fullmatch=True),
    service=st.sampled_from(["dynamodb", "sagemaker"]),
    host=st.from_regex(r"[a-z0-9.-]{1,30}(:[1-9][0-9]{3})?", fullmatch=True),
    headers=st.dictionaries(st.from_regex(r"x-amz-[a-z]{1,9}-[a-z]{1,9}", fullmatch=True), spaced, max_size=4),
    body=st.binary(max_size=200),
    moment=st.datetimes(datetime(2000, 1, 1), datetime(2099, 1, 1)),
)
def test_signatures_are_those_of_botocore(credentials, region, service, host, headers, body, moment):
    stamp = moment.strftime("%Y%m%dT%H%M%SZ")
    headers = {"content-type": "application/x-amz-json-1.0", "host": host, **headers}
    signed = Signer(*credentials, region, service).headers(headers, body, stamp)
    request = AWSRequest("POST", f"https://{host}/", data=body, headers=headers)
    theirs = SigV4Auth(Credentials(*credentials), service, region)
    request.context["timestamp"] = stamp
    request.headers["X-Amz-Date"] = stamp
    if credentials[2]:
        request.headers["X-Amz-Security-Token"] = credentials[2]
    text = theirs.string_to_sign(request, theirs.canonical_request(request))
    assert signed["authorization"].endswith(f"Signature={theirs.signature(text, request)}")
    listed = theirs.signed_headers(theirs.headers_to_sign(request))
    assert f"SignedHeaders={listed}, " in signed["authorization"]
    assert f"Credential={theirs.scope(request)}, " in signed["authorization"]


def test_the_key_of_another_day_is_another():
    signer = Signer("a", "s", None, "eu-central-1", "dynamodb")
    first = signer.headers({"host": "h"}, b"", "20261123T235959Z")
    second = signer.headers({"host": "h"}, b"", "20261124T000000Z")
    fresh = Signer("a", "s", None, "eu-central-1", "dynamodb").headers({"host": "h"}, b"", "20261124T000000Z")
    assert first["authorization"] != second["authorization"] == fresh["authorization"]


def answer(body, status=200, headers=""):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return f"HTTP/1.1 {status} X\r\nContent-Length: {len(raw)}\r\n{headers}\r\n".encode() + raw


CLOSE, HANG = "close", "hang"


class Server:
    """Plays a script, a step for each request: bytes to answer (in one piece or several), or CLOSE, or HANG."""

    def __init__(self, *script):
        self.script, self.requests, self.connections = list(script), [], 0
        self.released = threading.Event()
        self.listening = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.listening.getsockname()[1]}"

    def close(self):
        self.released.set()
        self.listening.close()

    def _serve(self):
        while True:
            try:
                connection, _ = self.listening.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._play, args=(connection,), daemon=True).start()

    def _play(self, connection):
        with connection:
            while head := self._request(connection):
                self.requests.append(head)
                step = self.script.pop(0)
                if step is HANG:
                    self.released.wait(10)
                    return
                pieces = [] if step is CLOSE else step if isinstance(step, list) else [step]
                for piece in pieces:
                    connection.sendall(piece)
                if step is CLOSE or (self.script and self.script[0] == "then close" and self.script.pop(0)):
                    return

    def _request(self, connection):
        data = b""
        while b"\r\n\r\n" not in data:
            if not (more := connection.recv(65_536)):
                return None
            data += more
        head, _, body = data.partition(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        while len(body) < length:
            body += connection.recv(65_536)
        return head.decode(), json.loads(body)


@pytest.fixture
def serve():
    servers = []

    def start(*script):
        servers.append(Server(*script))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def client_of(server, **settings):
    signer = Signer("a", "s", None, "eu-central-1", "dynamodb")
    pauses = []
    client = DynamoDBReads(signer, server.url, sleep=pauses.append, **settings)
    client.pauses = pauses
    return client


ITEM = {"Item": {"p": {"S": "ü"}}}


class TestConnection:
    def test_a_request_is_what_dynamodb_wants(self, serve):
        server = serve(answer(ITEM))
        assert client_of(server).get_item(TableName="t", Key={"pk": {"S": "ü"}}) == ITEM
        head, body = server.requests[0]
        assert head.startswith("POST / HTTP/1.1\r\n")
        assert "x-amz-target: DynamoDB_20120810.GetItem" in head
        assert "content-type: application/x-amz-json-1.0" in head
        assert body == {"TableName": "t", "Key": {"pk": {"S": "ü"}}}

    def test_one_connection_serves_many_requests(self, serve):
        server = serve(*[answer(ITEM)] * 5)
        client = client_of(server)
        assert [client.get_item() for _ in range(5)] == [ITEM] * 5
        assert server.connections == 1

    def test_a_connection_that_died_while_we_were_frozen_is_replaced_without_a_pause(self, serve):
        server = serve(answer(ITEM), "then close", answer(ITEM))
        client = client_of(server)
        assert [client.get_item(), client.get_item()] == [ITEM, ITEM]
        assert (server.connections, client.pauses) == (2, [])

    def test_a_connection_that_is_announced_to_close_is_not_used_again(self, serve):
        server = serve(answer(ITEM, headers="Connection: close\r\n"), answer(ITEM))
        client = client_of(server)
        assert [client.get_item(), client.get_item()] == [ITEM, ITEM]
        assert server.connections == 2

    def test_an_answer_may_come_in_pieces(self, serve):
        large = {"Item": {"p": {"S": "x" * 200_000}}}
        whole = answer(large)
        server = serve([whole[:7], whole[7:30], whole[30:90_000], whole[90_000:]])
        assert client_of(server).get_item() == large

    @pytest.mark.parametrize("raw", [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"what\r\n\r\n"])
    def test_what_is_no_answer_is_a_failure(self, serve, raw):
        server = serve(*[raw] * TRIES)
        with pytest.raises(CallFailed, match="BadAnswer"):
            client_of(server).get_item()

    def test_a_request_too_large_for_one_send_arrives_whole(self, serve):
        server = serve(answer(ITEM))
        assert client_of(server).get_item(TableName="t" * 8_000_000) == ITEM
        assert server.requests[0][1] == {"TableName": "t" * 8_000_000}

    def test_a_server_that_hangs_is_left_and_asked_again(self, serve):
        server = serve(HANG, answer(ITEM))
        assert client_of(server, read_seconds=0.05).get_item() == ITEM
        assert server.connections == 2

    def test_threads_do_not_share_a_connection(self, serve):
        server = serve(*[answer(ITEM)] * 40)
        client, found = client_of(server), []
        threads = [threading.Thread(target=lambda: found.append(client.get_item())) for _ in range(40)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == [ITEM] * 40

    def test_nobody_there_is_a_failure_with_its_name(self):
        with socket.create_server(("127.0.0.1", 0)) as free:
            url = f"http://127.0.0.1:{free.getsockname()[1]}"
        client = DynamoDBReads(Signer("a", "s", None, "r", "dynamodb"), url, sleep=lambda seconds: None)
        with pytest.raises(CallFailed, match="ConnectionRefusedError"):
            client.get_item()


def refused(code, status=400):
    return answer({"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": "no"}, status)


class TestRefusals:
    @pytest.mark.parametrize(
        "step",
        [
            refused("ProvisionedThroughputExceededException"),
            refused("ThrottlingException"),
            refused("InternalServerError", 500),
            answer(b"<html>bad gateway</html>", 502),
            CLOSE,
        ],
    )
    def test_what_passes_is_asked_again_after_a_jittered_pause(self, serve, step):
        server = serve(step, step, answer(ITEM))
        client = client_of(server)
        assert client.get_item() == ITEM
        assert len(client.pauses) == 2
        assert 0 <= client.pauses[0] <= 0.025
        assert 0 <= client.pauses[1] <= 0.05

    def test_what_does_not_pass_is_given_up(self, serve):
        server = serve(*[refused("ThrottlingException")] * TRIES)
        with pytest.raises(CallFailed, match="ThrottlingException"):
            client_of(server).get_item()
        assert len(server.requests) == TRIES

    def test_an_error_that_would_come_again_is_not_asked_for_again(self, serve):
        server = serve(refused("ResourceNotFoundException"))
        with pytest.raises(CallFailed, match="ResourceNotFoundException: no") as failed:
            client_of(server).get_item()
        assert (len(server.requests), failed.value.code) == (1, "ResourceNotFoundException")

    def test_a_reader_hears_that_the_store_is_unavailable(self, serve):
        server = serve(refused("AccessDeniedException"))
        generation = Generation("g", "v", "s", "p", 1, 1, 0, 1, "string", "s3://", None, 9)
        with pytest.raises(StoreUnavailable) as unavailable:
            ScoreTable(client_of(server), "t").get(generation, "a")
        assert "AccessDenied" in repr(unavailable.value.__cause__)


def test_binary_attributes_are_bytes_as_with_botocore(serve):
    item = {"b": {"B": base64.b64encode(b"\x00\xff").decode()}, "n": {"N": "9"}}
    server = serve(
        answer({"Item": item}), answer({"Responses": {"t": [item, item]}, "UnprocessedKeys": {}}), answer({})
    )
    client = client_of(server)
    read = {"b": {"B": b"\x00\xff"}, "n": {"N": "9"}}
    assert client.get_item()["Item"] == read
    assert client.batch_get_item()["Responses"]["t"] == [read, read]
    assert client.get_item() == {}


class TestEnvironment:
    @pytest.mark.parametrize(
        ("environ", "host"),
        [
            ({}, "dynamodb.eu-central-1.amazonaws.com"),
            ({"AWS_REGION": "cn-north-1"}, "dynamodb.cn-north-1.amazonaws.com.cn"),
            ({"AWS_ENDPOINT_URL": "http://localhost:4566"}, "localhost:4566"),
            ({"AWS_ENDPOINT_URL": "http://a:1", "AWS_ENDPOINT_URL_DYNAMODB": "http://b:2/"}, "b:2"),
            (
                {"AWS_ENDPOINT_URL": "http://a:1", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"},
                "dynamodb.eu-central-1.amazonaws.com",
            ),
        ],
    )
    def test_endpoints_are_those_that_botocore_would_take(self, environ, host):
        assert DynamoDBReads.from_environ({**HERE, **environ})._host == host

    @pytest.mark.parametrize(
        "environ",
        [
            {"AWS_ACCESS_KEY_ID": ""},
            {"AWS_REGION": ""},
            {"AWS_REGION": "us-gov-west-1"},
            {"AWS_REGION": "eu-isoe-west-1"},
            {"AWS_REGION": "eusc-de-east-1"},
            {"AWS_PROFILE": "me"},
            {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://169.254.170.23/v1/credentials"},
            {"HTTPS_PROXY": "http://proxy"},
            {"AWS_USE_FIPS_ENDPOINT": "true"},
            {"AWS_ENDPOINT_URL": "http://gateway/dynamodb"},
            {"AWS_ENDPOINT_URL": "http://[::1]:4566"},
            {"AWS_ENDPOINT_URL": "http://me:secret@gateway"},
            {"AWS_ENDPOINT_URL": "http://gateway:"},
            {"AWS_ENDPOINT_URL": "gateway"},
        ],
    )
    def test_what_only_botocore_knows_is_left_to_it(self, environ):
        assert DynamoDBReads.from_environ({**HERE, **environ}) is None

    def test_without_credentials_in_the_environment_the_client_is_botocores(self, aws):
        assert type(reader({})).__name__ == "DynamoDB"
        assert isinstance(reader(HERE), dynamodb_http.DynamoDBReads)


def test_the_moment_of_a_signature_is_now_in_utc(serve):
    server = serve(answer({}))
    client_of(server).get_item()
    stamp = server.requests[0][0].split("x-amz-date: ")[1].split("\r\n")[0]
    signed = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    assert abs((datetime.now(UTC) - signed).total_seconds()) < 60


class TestMoments:
    """A signature's moment is used for a while: what does not depend on the body is done once in that time."""

    def stamps(self, serve, *times):
        server = serve(*[answer({})] * len(times))
        client = client_of(server, clock=iter(times).__next__)
        for _ in times:
            client.get_item()
        return [head.split("x-amz-date: ")[1].split("\r\n")[0] for head, _ in server.requests]

    def test_it_is_renewed_in_time(self, serve):
        first = 1_795_417_200.0
        stamps = self.stamps(serve, first, first + MOMENT_SECONDS - 0.1, first + MOMENT_SECONDS)
        assert stamps == ["20261123T070000Z", "20261123T070000Z", "20261123T070010Z"]

    def test_a_clock_that_was_set_back_is_believed(self, serve):
        assert self.stamps(serve, 1_795_417_200.0, 1_795_417_140.0) == ["20261123T070000Z", "20261123T065900Z"]

    def test_each_body_has_its_own_signature_and_each_operation_its_own_head(self, serve):
        server = serve(*[answer({})] * 4)
        client = client_of(server, clock=lambda: 1_795_417_200.0)
        for key in ("a", "b", "a"):
            client.get_item(Key=key)
        client.batch_get_item(Key="a")
        heads = [head.split("content-length")[0] for head, _ in server.requests]
        assert heads[0] == heads[2]
        assert len(set(heads)) == 3
        assert "BatchGetItem" not in heads[0]
        assert "BatchGetItem" in heads[3]

    def test_the_signature_on_the_wire_is_botocores(self, serve):
        server = serve(answer({}))
        client_of(server, clock=lambda: 1_795_417_200.0).get_item(TableName="t")
        lines = dict(line.split(": ", 1) for line in server.requests[0][0].split("\r\n")[1:] if line)
        names = ("content-type", "host", "x-amz-target")
        body = json.dumps({"TableName": "t"}).encode()
        request = AWSRequest("POST", server.url, data=body, headers={name: lines[name] for name in names})
        request.context["timestamp"] = request.headers["X-Amz-Date"] = lines["x-amz-date"]
        theirs = SigV4Auth(Credentials("a", "s"), "dynamodb", "eu-central-1")
        text = theirs.string_to_sign(request, theirs.canonical_request(request))
        assert lines["authorization"].endswith(f"Signature={theirs.signature(text, request)}")


def certificate(folder, name):
    """Write a certificate of its own for localhost and return its file, key included."""
    file, public = folder / f"{name}.pem", folder / f"{name}.crt"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    command += ["-subj", f"/CN={name}", "-addext", "subjectAltName=DNS:localhost", "-days", "2"]
    subprocess.run([*command, "-keyout", str(file), "-out", str(public)], check=True, capture_output=True)
    file.write_text(file.read_text() + public.read_text())
    return file


class TestTrust:
    @pytest.fixture
    def secure(self, tmp_path):
        """Return the port of a server that answers any request over TLS, and the file of its certificate."""
        file = certificate(tmp_path, "service")
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(file)
        listening = socket.create_server(("127.0.0.1", 0))

        def play():
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with contextlib.suppress(OSError), context.wrap_socket(connection, server_side=True) as secured:
                    while secured.recv(65_536):
                        secured.sendall(answer(ITEM))

        threading.Thread(target=play, daemon=True).start()
        yield listening.getsockname()[1], file
        listening.close()

    def connection(self, port, **trust):
        return Connection("localhost", port, tls=True, connect_seconds=5, read_seconds=5, **trust)

    def test_a_certificate_under_the_roots_is_trusted_without_reading_the_systems(self, secure, monkeypatch):
        port, file = secure
        monkeypatch.setattr(ssl.SSLContext, "load_default_certs", lambda *args: pytest.fail("read the system's"))
        assert self.connection(port, roots=file.read_text).send(b"?")[0] == 200

    def test_one_under_the_systems_roots_alone_is_trusted_too(self, secure, tmp_path, monkeypatch):
        port, file = secure
        monkeypatch.setenv("SSL_CERT_FILE", str(file))
        connection = self.connection(port, roots=lambda: amazon_roots.PEM)
        assert [connection.send(b"?")[0] for _ in range(2)] == [200, 200]

    def test_one_under_neither_is_refused(self, secure, tmp_path, monkeypatch):
        port, _ = secure
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate(tmp_path, "stranger")))
        with pytest.raises(ssl.SSLCertVerificationError):
            self.connection(port, roots=lambda: amazon_roots.PEM).send(b"?")

    def test_a_file_of_ones_own_replaces_both(self, secure, tmp_path, monkeypatch):
        port, file = secure
        monkeypatch.setenv("SSL_CERT_FILE", str(file))
        stranger = str(certificate(tmp_path, "stranger"))
        with pytest.raises(ssl.SSLCertVerificationError):
            self.connection(port, ca_file=stranger, roots=file.read_text).send(b"?")

    def test_the_roots_are_those_that_amazon_publishes(self):
        found = {
            hashlib.sha256(der).hexdigest()
            for der in ssl.create_default_context(cadata=amazon_roots.PEM).get_ca_certs(binary_form=True)
        }
        assert found == amazon_roots.FINGERPRINTS.keys()

    @pytest.mark.parametrize(
        ("environ", "own"),
        [
            ({}, True),
            ({"AWS_REGION": "cn-north-1"}, True),
            ({"AWS_ENDPOINT_URL": "https://localhost:4566"}, False),
            ({"AWS_CA_BUNDLE": "/company.pem"}, False),
        ],
    )
    def test_only_aws_itself_is_known_by_them(self, environ, own):
        connection = DynamoDBReads.from_environ({**HERE, **environ})._connection
        assert (connection._roots is not None) == own
