"""The signed client of the front door, against a real HTTP server on this machine."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from turnout.errors import CallFailed
from turnout.front_door import FrontDoor


class Recorder(BaseHTTPRequestHandler):
    """Answers with what it was asked, as JSON; status 404 below /models/nobody."""

    def do_GET(self):
        length = int(self.headers.get("Content-Length") or 0)
        body = {
            "method": self.command,
            "path": self.path,
            "headers": dict(self.headers),
            "body": self.rfile.read(length).decode(),
        }
        raw = json.dumps(body).encode()
        self.send_response(404 if self.path.startswith("/models/nobody") else 200)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    do_POST = do_GET

    def log_message(self, *args):
        return


@pytest.fixture
def door(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKID")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "SECRET")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)
    server = HTTPServer(("127.0.0.1", 0), Recorder)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield FrontDoor(f"http://127.0.0.1:{server.server_port}")
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("key", "path"),
    [("00001", "00001"), ("a/b", "a%2Fb"), ("100%", "100%25"), ("ü", "%C3%BC"), ("a b", "a%20b"), (7, "7")],
)
def test_a_key_travels_as_one_encoded_segment(door, key, path):
    assert door.lookup("churn", key).body["path"] == f"/models/churn/predictions/{path}"


def test_a_request_is_signed_for_execute_api(door):
    sent = door.lookup("churn", "a b").body
    authorization = sent["headers"]["Authorization"]
    assert "/eu-west-1/execute-api/aws4_request" in authorization
    again = AWSRequest("GET", door.api_url + sent["path"], headers={"Content-Type": "application/json"})
    again.context["timestamp"] = sent["headers"]["X-Amz-Date"]
    signer = SigV4Auth(Credentials("AKID", "SECRET"), "execute-api", "eu-west-1")
    again.headers["X-Amz-Date"] = sent["headers"]["X-Amz-Date"]
    signature = signer.signature(signer.string_to_sign(again, signer.canonical_request(again)), again)
    assert authorization.endswith(f"Signature={signature}")


def test_a_body_is_posted_as_json(door):
    sent = door.predict("churn", {"key": "00001"}).body
    assert (sent["method"], json.loads(sent["body"])) == ("POST", {"key": "00001"})


def test_an_error_answer_is_an_answer(door):
    answer = door.describe("nobody")
    assert (answer.status, answer.ok) == (404, False)


def test_no_answer_at_all_is_an_expected_failure(door):
    with pytest.raises(CallFailed, match="did not answer"):
        FrontDoor("http://127.0.0.1:9").describe("churn")
