"""A model server that sums numbers, for tests of the local cloud: SageMaker's container contract without a framework.

The model's `settings.json` may ask for trouble: `crash` (text) ends it at start, `fail_on` (text) answers 500
to a body that contains it, `reject_on` 400, `exit_on` ends the process, `swallow_on` drops those lines, `slow`
(seconds) delays each answer, `flaky` (count) answers the first requests 503. `echo` answers any bytes as they came;
`execution_parameters` is what the server offers of itself. `headers` are added to every answer, `echo_header` (name)
answers that header of the request. `stream` (texts) answers in chunks, all but the first once a body `go` has come;
with `broken` the connection ends without the last one.
"""

import json
import os
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

MODEL = Path(os.environ["TURNOUT_MODEL_DIR"])
SETTINGS = json.loads((MODEL / "settings.json").read_text())
GO = threading.Event()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        if self.path == "/execution-parameters" and "execution_parameters" in SETTINGS:
            return self._answer(200, json.dumps(SETTINGS["execution_parameters"]).encode())
        return self._answer(200 if self.path == "/ping" else 404, b"")

    def do_POST(self):
        body = self._body()
        lines, kinds = body.count(b"\n"), (self.headers["Content-Type"], self.headers["Accept"])
        how = self.headers["Transfer-Encoding"] or "whole"
        print(f"POST {len(body)} bytes, {lines} lines, {kinds[0]} to {kinds[1]}, {how}", flush=True)
        self._respond(body)

    def _body(self) -> bytes:
        if self.headers["Transfer-Encoding"] != "chunked":
            return self.rfile.read(int(self.headers["Content-Length"]))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _respond(self, data: bytes) -> None:
        time.sleep(SETTINGS.get("slow", 0))
        if SETTINGS.get("flaky", 0) > 0:
            SETTINGS["flaky"] -= 1
            return self._answer(503, b"try again")
        body = data.decode(errors="replace")
        if SETTINGS.get("exit_on") and SETTINGS["exit_on"] in body:
            os._exit(3)
        for setting, status in (("fail_on", 500), ("reject_on", 400)):
            if SETTINGS.get(setting) and SETTINGS[setting] in body:
                return self._answer(status, f"cannot score {SETTINGS[setting]}".encode())
        if "stream" in SETTINGS and body != "go":
            return self._stream(SETTINGS["stream"])
        if body == "go":
            GO.set()
            return self._answer(200, b"gone")
        if "echo_header" in SETTINGS:
            return self._answer(200, (self.headers[SETTINGS["echo_header"]] or "").encode())
        if SETTINGS.get("echo"):
            return self._answer(200, data)
        lines = [line for line in body.splitlines() if SETTINGS.get("swallow_on", "\0") not in line]
        return self._answer(200, "\n".join(self._score(line) for line in lines).encode())

    def _score(self, line: str) -> str:
        if self.headers["Content-Type"] == "text/csv":
            return str(sum(float(value) for value in line.split(",")) + SETTINGS.get("plus", 0))
        return json.dumps({"total": sum(json.loads(line).values())})

    def _answer(self, status: int, body: bytes) -> None:
        self._head(status, "Content-Length", str(len(body)))
        self.wfile.write(body)

    def _stream(self, texts: list[str]) -> None:
        self._head(200, "Transfer-Encoding", "chunked")
        for number, text in enumerate(texts):
            if number:
                GO.wait(20)
            self.wfile.write(f"{len(text):x}\r\n{text}\r\n".encode())
        if SETTINGS.get("broken"):
            self.close_connection = True
            return
        self.wfile.write(b"0\r\n\r\n")

    def _head(self, status: int, name: str, value: str) -> None:
        self.send_response(status)
        for header in ((name, value), *SETTINGS.get("headers", {}).items()):
            self.send_header(*header)
        self.end_headers()

    def log_message(self, *_):
        return


if __name__ == "__main__":
    print("environment", json.dumps({k: v for k, v in os.environ.items() if k.startswith("SAGEMAKER_")}), flush=True)
    if "crash" in SETTINGS:
        sys.exit(SETTINGS["crash"])
    where = (os.environ["SAGEMAKER_BIND_TO_HOST"], int(os.environ["SAGEMAKER_BIND_TO_PORT"]))
    ThreadingHTTPServer(where, Handler).serve_forever()
